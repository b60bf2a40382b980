"""Check the contract with tools of third parties: `make contract`.

- openapi-spec-validator: the contract is valid OpenAPI.
- Spectral: the contract follows the rules of spectral.yaml, and each of these rules reports its fault in bad.yaml.
- Prism: a mock that validates requests accepts the SDK's request for every operation and for every field of a body. It
  rejects the same fields with a wrong value, with the 400 of the contract.
- schemathesis: FakeDesk behaves as the contract describes. An operation that FakeDesk does not serve is not judged, and
  the report names it. If a method of the SDK needs the operation, that is a finding.
- All of them again, with a clone of the project to which the recipe in CONTRIBUTING.md adds operations.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml
from openapi_spec_validator import OpenAPIV31SpecValidator
from recipe import ADDED, Clone
from trials import Trial, method_trials, operation_trials, operations_of

from teamwork_desk import AsyncDesk, DeskError, NotFoundError, RetryPolicy, StatusError
from teamwork_desk.testing import FakeDesk, UploadedFile

HERE = Path(__file__).resolve().parent
CONTRACT = HERE.parent / "desk.yaml"
MODULES = HERE / "node_modules"
NEEDS_NODE = "make contract needs Node.js 18 or newer with npm: install them with your system's package manager"
TOKEN = "a-token"  # noqa: S105 - it is the token of a fake Desk
ONCE = RetryPolicy(max_attempts=1, on_unknown="raise", settle=())


def judge_validity(contract: Any) -> Iterator[str]:
    """Yield what openapi-spec-validator finds."""
    for error in OpenAPIV31SpecValidator(contract).iter_errors():
        yield f"{'/'.join(map(str, error.path))}: {error.message}"


# Spectral


def judge_style(_: Any) -> Iterator[str]:
    """Yield what Spectral finds in the contract, and the rules that do not report their fault in bad.yaml."""
    yield from (f"line {line}: {rule}: {message}" for line, rule, message in _spectral(CONTRACT))
    bad = HERE / "bad.yaml"
    rules = own_rules(yaml.safe_load((HERE / "spectral.yaml").read_text("utf-8")))
    found = {(line, rule) for line, rule, _ in _spectral(bad) if rule in rules}
    yield from misfires(expected_findings(bad.read_text("utf-8")), found)


def own_rules(ruleset: Any) -> set[str]:
    """Return the names of the rules that a ruleset defines itself, without those that it extends."""
    return {name for name, rule in ruleset["rules"].items() if isinstance(rule, dict)}


def expected_findings(text: str) -> set[tuple[int, str]]:
    """Return the line and the rule of each finding that the comments in a bad contract name."""
    return {
        (number, rule)
        for number, line in enumerate(text.splitlines(), 1)
        if not line.lstrip().startswith("#")
        for rule in line.partition(" # ")[2].split()
    }


def misfires(expected: set[tuple[int, str]], found: set[tuple[int, str]]) -> Iterator[str]:
    """Yield the rules that miss a fault, and those that report a fault where there is none."""
    yield from (f"bad.yaml, line {line}: {rule} misses the fault" for line, rule in sorted(expected - found))
    yield from (
        f"bad.yaml, line {line}: {rule} reports a fault, but there is none" for line, rule in sorted(found - expected)
    )


def _spectral(contract: Path) -> list[tuple[int, str, str]]:
    command: list[str | Path] = [
        MODULES / ".bin" / "spectral",
        "lint",
        "--ruleset",
        HERE / "spectral.yaml",
        "-q",
        "-f",
        "json",
        contract,
    ]
    run = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False)
    try:
        findings = json.loads(run.stdout)
    except ValueError:
        # Spectral prints no JSON if it could not run at all.
        raise SystemExit(f"Spectral failed:\n{run.stdout}{run.stderr}") from None
    return [(each["range"]["start"]["line"] + 1, each["code"], each["message"]) for each in findings]


# Prism


def judge_requests(contract: Any) -> list[str]:
    """Return the requests of the SDK that Prism judges otherwise than expected."""
    with _prism() as url:
        return asyncio.run(_try_everything(url, contract))


@contextmanager
def _prism() -> Generator[str]:
    """Run Prism as a mock of the contract, and yield its URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    with tempfile.TemporaryFile("w+") as log:
        command: list[str | Path] = [
            MODULES / ".bin" / "prism",
            "mock",
            "--errors",
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
            CONTRACT,
        ]
        process = subprocess.Popen(command, cwd=HERE, stdout=log, stderr=subprocess.STDOUT)
        try:
            deadline = time.monotonic() + 60
            while not _listens(port):
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    raise SystemExit(f"Prism did not start within 60 seconds:\n{log.read()}")
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def _try_everything(url: str, contract: Any) -> list[str]:
    findings: list[str] = []
    headers = list[str]()

    async def keep_header(response: httpx.Response) -> None:
        headers.append(response.headers.get("sl-violations", "[]"))

    drift = _DriftCollector(findings)
    logging.getLogger("teamwork_desk.drift").addHandler(drift)
    # The bytes of a file go to the host of the example, which does not exist.
    mounts = {"https://uploads.example.com": httpx.MockTransport(lambda _: httpx.Response(204))}
    hooks = {"response": [keep_header]}
    async with AsyncDesk(url, token=TOKEN, retry=ONCE, mounts=mounts, event_hooks=hooks) as desk:
        number = 0
        for trial in [*operation_trials(contract, desk), *method_trials(contract, desk)]:
            headers.clear()
            error = await _error_of(trial)
            expected = [trial.rejected_part] if trial.rejected_part else []
            violations = violations_of(headers, error)
            if not is_as_expected(trial, error) or violations != expected:
                outcome = "accepted" if error is None else f"{type(error).__name__}: {error}"
                findings.append(f"{trial.name}: {outcome}; violations that Prism reports: {violations or 'none'}")
            number += 1
    print(f"  trials: {number}")
    return findings


def violations_of(headers: list[str], error: DeskError | None) -> list[str]:
    """Return the parts of a request that break the contract, as Prism reports them.

    Args:
        headers: Its header, of each response of a trial. It is there if the contract describes the status.
        error: The error of the trial. Otherwise the violations are in the body.
    """
    places = [violation["location"] for header in headers for violation in json.loads(header)]
    if not places and isinstance(error, StatusError) and error.status_code == 422:
        places = [["request", *violation["location"]] for violation in json.loads(error.body).get("validation", [])]
    return sorted({"/".join(place[:3]) for place in places})


async def _error_of(trial: Trial) -> DeskError | None:
    try:
        await trial.call()
    except DeskError as error:
        return error
    return None


def is_as_expected(trial: Trial, error: DeskError | None) -> bool:
    """Return whether a trial ended as the contract says."""
    if trial.rejection is None or not isinstance(error, StatusError):
        return error is None and trial.rejection is None
    return error.status_code == trial.rejection.status and trial.rejection.errors in (None, error.errors)


class _DriftCollector(logging.Handler):
    """Collects the values in the mock's responses that the SDK reports as unexpected."""

    def __init__(self, messages: list[str]) -> None:
        super().__init__()
        self._messages = messages

    def emit(self, record: logging.LogRecord) -> None:
        self._messages.append(f"the SDK does not accept a response of the mock: {record.getMessage()}")


# schemathesis


def judge_fake_desk(contract: Any) -> list[str]:
    """Return the report of schemathesis about FakeDesk, if it found something."""
    return asyncio.run(_try_fake_desk(contract))


async def _try_fake_desk(contract: Any) -> list[str]:
    # schemathesis also sends requests that are not valid HTTP, and uvicorn would log a warning for each.
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)
    fake = FakeDesk(token=TOKEN, rate_limit=sys.maxsize)
    # The file of the example, for which a confirmation waits.
    fake.files[9] = UploadedFile(9, "invoice.pdf", "application/pdf", content=b"bytes")
    async with fake.serve() as url:
        async with AsyncDesk(url, token=TOKEN, retry=ONCE) as desk:
            findings = await missing_methods(contract, desk)
            missing = await missing_operations(contract, desk)
        served = len(operations_of(contract)) - len(missing)
        print(
            f"  operations that are judged: {served}; not judged, because FakeDesk does not serve them: {len(missing)}"
        )
        for name in missing:
            print(f"  NOT JUDGED {name}: to have it judged, serve it in overrides/teamwork_desk/testing")
        return findings + (await _run_schemathesis(url, missing) if served else [])


async def missing_operations(contract: Any, desk: AsyncDesk) -> list[str]:
    """Return the operations that FakeDesk does not serve: it responds to a valid request with a 404."""
    # Desk rejects some requests before it looks at their path, but no request that follows the contract.
    return [
        trial.name
        for trial in operation_trials(contract, desk)
        if trial.is_example and isinstance(await _error_of(trial), NotFoundError)
    ]


async def missing_methods(contract: Any, desk: AsyncDesk) -> list[str]:
    """Return a finding for each method whose requests FakeDesk does not serve: users test their code with it."""
    return [
        f"{trial.name}: FakeDesk responds with 404; serve its requests in overrides/teamwork_desk/testing"
        for trial in method_trials(contract, desk)
        if isinstance(await _error_of(trial), NotFoundError)
    ]


async def _run_schemathesis(url: str, without: list[str]) -> list[str]:
    with tempfile.TemporaryDirectory() as scratch:
        process = await asyncio.create_subprocess_exec(
            *(Path(sys.executable).parent / "schemathesis", "--config-file", HERE / "schemathesis.toml"),
            *("run", CONTRACT, "--url", url, "--header", f"Authorization: Bearer {TOKEN}", "--no-color"),
            *(f"--exclude-operation-id={name}" for name in without),
            cwd=scratch,
            env={**os.environ, "SCHEMATHESIS_HOOKS": str(HERE / "hooks.py")},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
    report = output.decode()
    if process.returncode == 0:
        print(f"  {next((line.strip() for line in report.splitlines() if ' generated, ' in line), '')}")
        return []
    return [report]


# The recipe for a new operation


def judge_recipe(_: Any) -> Iterator[str]:
    """Yield what the judges find in a clone of the project that has further operations."""
    with tempfile.TemporaryDirectory() as folder:
        clone = Clone(Path(folder))
        clone.add_operations()
        judges = clone.root / "openapi" / "judges"
        (judges / "node_modules").symlink_to(MODULES, target_is_directory=True)
        # The operations of FakeDesk were judged before, so that few examples are enough.
        settings = (judges / "schemathesis.toml").read_text("utf-8")
        (judges / "schemathesis.toml").write_text(re.sub(r"(?<=max-examples = )\d+", "5", settings), "utf-8")
        run = clone.run("openapi/judges/judge.py", "--only", "validity", "style", "requests", "fake")
    print("".join(f"  | {line}\n" for line in run.stdout.splitlines()), end="")
    if run.returncode:
        yield run.stderr
    missing = [name for name in ADDED if f"NOT JUDGED {name}:" not in run.stdout]
    yield from (f"{name}: FakeDesk does not serve it, and the report does not say so" for name in missing)


def require_node() -> None:
    """Install the packages of package-lock.json, unless they are installed already.

    Raises:
        SystemExit: Node or npm is missing or too old, or npm fails.
    """
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise SystemExit(NEEDS_NODE)
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout.strip()
    if not is_new_enough(version):
        raise SystemExit(f"{NEEDS_NODE}; {node} is {version}")
    installed, lock = MODULES / ".package-lock.json", HERE / "package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        print("npm ci", flush=True)
        run = subprocess.run([npm, "ci", "--loglevel", "error"], cwd=HERE, stdout=subprocess.DEVNULL, check=False)
        if run.returncode:
            raise SystemExit("npm ci failed: its output is above")


def is_new_enough(version: str) -> bool:
    """Return whether a version of Node, such as v20.1.2, is new enough for Spectral and Prism."""
    number = re.match(r"v(\d+)\.", version)
    return number is not None and int(number[1]) >= 18


def main() -> None:
    """Run the judges, and fail if one of them finds something."""
    judges: dict[str, tuple[str, Callable[[Any], Iterable[str]]]] = {
        "validity": ("openapi-spec-validator: the contract is valid", judge_validity),
        "style": ("Spectral: the contract follows our rules, and every rule works", judge_style),
        "requests": ("Prism: it accepts the requests of the SDK, and rejects wrong values", judge_requests),
        "fake": ("schemathesis: FakeDesk behaves as the contract describes", judge_fake_desk),
        "recipe": ("The recipe: the judges accept a contract with further operations", judge_recipe),
    }
    parser = argparse.ArgumentParser(description="Check the contract with tools of third parties.")
    parser.add_argument("--only", nargs="+", choices=judges, default=[*judges], help="the judges to run")
    only: list[str] = parser.parse_args().only
    require_node()
    warnings.simplefilter("ignore", DeprecationWarning)  # The deprecated email= is used on purpose.
    logging.getLogger("teamwork_desk").addHandler(logging.NullHandler())  # The trials are not about the log.
    contract = yaml.safe_load(CONTRACT.read_text("utf-8"))
    found = 0
    for claim, judge in (judges[name] for name in only):
        began = time.monotonic()
        print(claim, flush=True)
        findings = list(judge(contract))
        found += len(findings)
        for finding in findings:
            print(f"  FOUND {finding}")
        print(f"  {'no' if findings else 'yes'}, in {time.monotonic() - began:.1f} s", flush=True)
    if found:
        raise SystemExit(f"number of findings: {found}")


if __name__ == "__main__":
    main()
