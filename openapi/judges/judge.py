"""Check the contract with tools of third parties: `make contract`.

- openapi-spec-validator: the contract is valid OpenAPI.
- Spectral: the contract follows the rules of spectral.yaml, and each of these rules reports its fault in bad.yaml.
- Prism: a mock that validates requests accepts the SDK's request for every operation and for every field of a body. It
  rejects the same fields with a wrong value, with the 400 of the contract.
- schemathesis: FakeDesk behaves as the contract describes.
"""

from __future__ import annotations

import asyncio
import inspect
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
from collections.abc import Awaitable, Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, cast, get_type_hints

import httpx
import yaml
from attrs import frozen
from openapi_spec_validator import OpenAPIV31SpecValidator

from teamwork_desk import AsyncDesk, DeskError, OutcomeUnknownError, RetryPolicy, ValidationError
from teamwork_desk.testing import FakeDesk

HERE = Path(__file__).resolve().parent
CONTRACT = HERE.parent / "desk.yaml"
MODULES = HERE / "node_modules"
NEEDS_NODE = "make contract needs Node.js 18 or newer with npm: install them with your system's package manager"
TOKEN = "a-token"  # noqa: S105 - it is the token of a fake Desk


def judge_validity(contract: Any) -> Iterator[str]:
    """Yield what openapi-spec-validator finds."""
    for error in OpenAPIV31SpecValidator(contract).iter_errors():
        yield f"{'/'.join(map(str, error.path))}: {error.message}"


# Spectral


def judge_style() -> Iterator[str]:
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


@frozen
class Trial:
    """A call, and the expected verdict of Prism.

    Attributes:
        name: The name of the trial, for the report.
        call: Makes the call.
        rejected_part: The part of the request for which Prism must reject it, or None if it must accept the request.
    """

    name: str
    call: Callable[[], Awaitable[Any]]
    rejected_part: str | None = None


async def _try_everything(url: str, contract: Any) -> list[str]:
    findings: list[str] = []
    violations: list[str] = []

    async def keep_violations(response: httpx.Response) -> None:
        reported = json.loads(response.headers.get("sl-violations", "[]"))
        violations[:] = sorted({"/".join(violation["location"][:3]) for violation in reported})

    logging.getLogger("teamwork_desk.drift").addHandler(_DriftCollector(findings))
    policy = RetryPolicy(max_attempts=1, on_unknown="raise", settle=())
    options: dict[str, Any] = {"retry": policy, "event_hooks": {"response": [keep_violations]}}
    async with AsyncDesk(url, token=TOKEN, **options) as desk:
        for trial in [*trials(contract, desk), *named_trials(contract, desk)]:
            violations.clear()
            outcome = "accepted"
            try:
                await trial.call()
            except ValidationError as error:
                outcome = f"rejected, errors by field: {len(error.errors)}"
            except DeskError as error:
                outcome = f"failed: {error}"
            expected = "accepted" if trial.rejected_part is None else "rejected, errors by field: 1"
            if outcome != expected or violations != ([trial.rejected_part] if trial.rejected_part else []):
                findings.append(f"{trial.name}: {outcome}; violations that Prism reports: {violations or 'none'}")
    return findings


class _DriftCollector(logging.Handler):
    """Collects the values in the mock's responses that the SDK reports as unexpected."""

    def __init__(self, messages: list[str]) -> None:
        super().__init__()
        self._messages = messages

    def emit(self, record: logging.LogRecord) -> None:
        self._messages.append(f"the SDK does not accept a response of the mock: {record.getMessage()}")


def trials(contract: Any, desk: AsyncDesk) -> Iterator[Trial]:
    """Yield a trial of every operation with its examples, and of every body field with a right and a wrong value."""
    for operation in operations(contract):
        name, function = operation["operationId"], function_of(operation)
        arguments = example_arguments(operation, function)
        yield Trial(name, partial(_send, desk, function, arguments))
        for field, schema in body_fields(contract, operation):
            model = get_type_hints(function)["body"]
            right = model.from_dict({field: sample(contract, schema)})
            # The field is set by its Python name, and Prism reports it by its name in the contract.
            wrong = model(**{attribute_of(right): "text" if schema.get("type") == "boolean" else True})
            yield Trial(f"{name} with {field}", partial(_send, desk, function, {**arguments, "body": right}))
            # A field without a type accepts every value, so no value is wrong.
            if set(schema) & {"type", "allOf", "anyOf"}:
                call = partial(_send, desk, function, {**arguments, "body": wrong})
                yield Trial(f"{name} with a wrong {field}", call, f"request/body/{field}")


def named_trials(contract: Any, desk: AsyncDesk) -> Iterator[Trial]:
    """Yield a trial of every method of `desk.conversations`."""
    convert = next(each for each in operations(contract) if each["operationId"] == "convertConversation")
    model = get_type_hints(function_of(convert))["body"]
    old = desk.with_options(email_fallback="always")
    yield Trial("conversations.convert on an old installation", partial(_convert, old, customer="jo@example.com"))
    # The scheduled email comes last: while its outcome is unknown, the client converts this conversation no more.
    for field, schema in sorted(body_fields(contract, convert), key=lambda each: each[0] == "scheduledEmail"):
        body = model.from_dict({field: sample(contract, schema)})
        arguments = {attribute_of(body): getattr(body, attribute_of(body))}
        yield Trial(f"conversations.convert with {field}", partial(_convert, desk, **arguments))
    yield Trial("conversations.get", partial(desk.conversations.get, 42))
    yield Trial("conversations.list", partial(_list_all, desk))


async def _convert(desk: AsyncDesk, **arguments: Any) -> None:
    try:
        await desk.conversations.convert(42, **arguments)
    except OutcomeUnknownError as error:
        # The mock responds with the example of the API page, whose ticket_id is 0. The SDK takes no such response for a
        # success, and this trial is about the request.
        if "names no ticket" not in str(error):
            raise


async def _send(desk: AsyncDesk, function: Callable[..., Any], arguments: dict[str, Any]) -> None:
    await desk.send(function(**arguments))


async def _list_all(desk: AsyncDesk) -> None:
    async for _ in desk.conversations.list(filter={"id": {"$eq": 42}}, order_by="createdAt", order_mode="asc"):
        pass


def operations(contract: Any) -> list[Any]:
    """Return the operations of a contract."""
    return [operation for path in contract["paths"].values() for operation in path.values()]


def snake(name: str) -> str:
    """Turn a name in the contract into the name that the generator gives it."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def function_of(operation: Any) -> Callable[..., Any]:
    """Return the generated function of an operation."""
    name = snake(operation["operationId"])
    function: Callable[..., Any] = getattr(
        import_module(f"teamwork_desk_api.api.{snake(operation['tags'][0])}.{name}"), name
    )
    return function


def example_arguments(operation: Any, function: Callable[..., Any]) -> dict[str, Any]:
    """Return the arguments for a generated function from the examples of its operation."""
    names = {name.rstrip("_"): name for name in inspect.signature(function).parameters}
    arguments = {names[snake(each["name"])]: each["example"] for each in operation.get("parameters", ())}
    if "requestBody" in operation:
        example = operation["requestBody"]["content"]["application/json"]["example"]
        arguments["body"] = get_type_hints(function)["body"].from_dict(example)
    return arguments


def body_fields(contract: Any, operation: Any) -> list[tuple[str, Any]]:
    """Return the name and the schema of each field of an operation's body."""
    if "requestBody" not in operation:
        return []
    schema = resolved(contract, operation["requestBody"]["content"]["application/json"]["schema"])
    return list(schema.get("properties", {}).items())


def attribute_of(body: Any) -> str:
    """Return the name of the only attribute that is set."""
    values = cast("dict[str, Any]", body.__dict__)
    (name,) = [name for name, value in values.items() if value]
    return name


def resolved(contract: Any, schema: Any) -> Any:
    """Return a schema after following its reference, or its first part in allOf, anyOf or oneOf."""
    for key in ("allOf", "anyOf", "oneOf"):
        if key in schema:
            return resolved(contract, schema[key][0])
    if "$ref" not in schema:
        return schema
    return resolved(contract, contract["components"]["schemas"][schema["$ref"].rpartition("/")[2]])


def sample(contract: Any, schema: Any) -> Any:
    """Return a value that is valid for a schema. An object gets only its first property."""
    schema = resolved(contract, schema)
    kinds = schema.get("type", "string")
    match kinds if isinstance(kinds, str) else kinds[0]:
        case "object":
            properties = list(schema.get("properties", {"any": {}}).items())[:1]
            return {name: sample(contract, part) for name, part in properties}
        case "array":
            return [sample(contract, schema["items"])]
        case "boolean":
            return True
        case "integer" | "number":
            return 1
        case _:
            return {"date": "2024-12-19", "date-time": "2024-12-19T16:02:34Z"}.get(
                schema.get("format"), schema.get("x-extensible-enum", ["text"])[0]
            )


# schemathesis


def judge_fake_desk() -> list[str]:
    """Return the report of schemathesis about FakeDesk, if it found something."""
    return asyncio.run(_try_fake_desk())


async def _try_fake_desk() -> list[str]:
    # schemathesis also sends requests that are not valid HTTP, and uvicorn would log a warning for each.
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as scratch:
        async with FakeDesk(token=TOKEN, rate_limit=sys.maxsize).serve() as url:
            process = await asyncio.create_subprocess_exec(
                *(Path(sys.executable).parent / "schemathesis", "--config-file", HERE / "schemathesis.toml"),
                *("run", CONTRACT, "--url", url, "--header", f"Authorization: Bearer {TOKEN}", "--no-color"),
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
    """Run every judge, and fail if one of them finds something."""
    require_node()
    warnings.simplefilter("ignore", DeprecationWarning)  # The deprecated email= is used on purpose.
    contract = yaml.safe_load(CONTRACT.read_text("utf-8"))
    judges: dict[str, Callable[[], Iterable[str]]] = {
        "openapi-spec-validator: the contract is valid": lambda: judge_validity(contract),
        "Spectral: the contract follows our rules, and every rule works": judge_style,
        "Prism: it accepts the requests of the SDK, and rejects wrong values": lambda: judge_requests(contract),
        "schemathesis: FakeDesk behaves as the contract describes": judge_fake_desk,
    }
    found = 0
    for claim, judge in judges.items():
        began = time.monotonic()
        print(claim, flush=True)
        findings = list(judge())
        found += len(findings)
        for finding in findings:
            print(f"  FOUND {finding}")
        print(f"  {'no' if findings else 'yes'}, in {time.monotonic() - began:.1f} s", flush=True)
    if found:
        raise SystemExit(f"number of findings: {found}")


if __name__ == "__main__":
    main()
