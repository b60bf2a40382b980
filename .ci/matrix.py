"""Run the suite on every supported Python, with the newest and the oldest dependencies that pyproject.toml allows.

`python .ci/matrix.py` runs all of it, `--quick` leaves out the campaigns and what looks at no dependency. Each
combination has an environment under build/matrix/, and a log where it fails. The development tools are as they resolve,
whatever versions of the package's own dependencies they ask for.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeAlias

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "build" / "matrix"
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
ENDS = {"newest": "highest", "oldest": "lowest-direct"}
TIED = ("opentelemetry-sdk", "opentelemetry-instrumentation-httpx")
"""Tools that ask for one version of a dependency, and no other."""
SLOW = ("docs", "judges", "packaging", "release", "typing")
UV = (sys.executable, "-m", "uv")

Minor: TypeAlias = tuple[int, int]


class CommandError(Exception):
    """A command failed; the message is its output."""


def run(*command: str | Path, **environment: str) -> str:
    """Run a command and return what it prints.

    Raises:
        CommandError: It fails.
    """
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise CommandError(done.stdout + done.stderr)
    return done.stdout


def interpreters() -> dict[Minor, str]:
    """Find an interpreter of each minor version: its path."""
    # pyenv's commands start no version that is not switched on.
    versions = run("pyenv", "versions", "--bare").split() if shutil.which("pyenv") else []
    environment = {"PYENV_VERSION": ":".join(versions)} if versions else {}
    listing = run(*UV, "python", "list", "--only-installed", "--output-format", "json", **environment)
    found: dict[Minor, str] = {}
    for one in json.loads(listing):
        minor = (one["version_parts"]["major"], one["version_parts"]["minor"])
        if one["implementation"] == "cpython" and one.get("variant", "default") == "default" and minor not in found:
            found[minor] = run(one["path"], "-c", "import sys; print(sys.executable)", **environment).strip()
    return found


def wanted(classifiers: Iterable[str], found: Iterable[Minor]) -> list[Minor]:
    """Return the versions that the project supports by name, and the newer ones that are here."""
    named = [re.fullmatch(r"Programming Language :: Python :: (\d+)\.(\d+)", line) for line in classifiers]
    supported = {(int(match[1]), int(match[2])) for match in named if match}
    return sorted(supported | {minor for minor in found if minor > max(supported)})


def name_of(requirement: str) -> str:
    """Return the package that a requirement is for."""
    return re.split(r"[^\w.-]", requirement, maxsplit=1)[0]


def pin(python: str, end: str) -> list[str]:
    """Resolve the package's own dependencies, those of its extras too, to one end of what is allowed."""
    extras: dict[str, list[str]] = PROJECT["project"]["optional-dependencies"]
    tied = [line for line in PROJECT["dependency-groups"]["dev"] if name_of(line) in TIED]
    requirements = [
        *PROJECT["project"]["dependencies"],
        *(line for lines in extras.values() for line in lines),
        *tied,
    ]
    names = {name_of(line) for line in requirements}
    with tempfile.NamedTemporaryFile("w", suffix=".in", encoding="utf-8") as tools:
        tools.write("\n".join(tied))
        tools.flush()
        resolved = run(
            *(*UV, "pip", "compile", "--quiet", "--no-header", "--no-annotate", "--no-emit-index-url"),
            *("--no-emit-find-links", "--all-extras", "--resolution", ENDS[end], "--python", python),
            *("pyproject.toml", tools.name),
        )
    return [line for line in resolved.splitlines() if line.partition("==")[0] in names]


def test(python: str, end: str, folder: Path, *options: str) -> str:
    """Run the suite in an environment of its own, and return pytest's last line."""
    folder.mkdir(parents=True, exist_ok=True)
    pins = pin(python, end)
    print(f"{folder.name}: {', '.join(pins)}", flush=True)
    overrides, environment = folder / "overrides.txt", folder / "venv"
    overrides.write_text("\n".join(pins), "utf-8")
    run(*UV, "venv", "--quiet", "--clear", "--python", python, environment)
    python = str(environment / "bin" / "python")
    extras = ",".join(PROJECT["project"]["optional-dependencies"])
    run(
        *(*UV, "pip", "install", "--quiet", "--python", python, "--override", overrides),
        *("--editable", f".[{extras}]", "--group", "dev"),
    )
    workers = ("-n", "auto", "--dist", "loadfile")
    return run(python, "-m", "pytest", "-q", *workers, "-p", "no:cacheprovider", *options).splitlines()[-1]


def main() -> None:
    """Run every combination, and print a line about each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="leave out what takes minutes")
    quick: bool = parser.parse_args().quick
    options = ["-m", "not campaign", *(f"--ignore=tests/test_{name}.py" for name in SLOW)] if quick else []
    found = interpreters()
    rows: list[str] = []
    failed = False
    for minor in wanted(PROJECT["project"]["classifiers"], found):
        version = "{}.{}".format(*minor)
        if minor not in found:
            rows.append(f"Python {version}          missing: there is no interpreter of it here")
            continue
        for end in ENDS:
            began, folder = time.monotonic(), FOLDER / f"{version}-{end}"
            try:
                outcome = test(found[minor], end, folder, *options)
            except CommandError as failure:
                failed = True
                outcome = f"FAILED after {time.monotonic() - began:.0f} s, see {folder.relative_to(ROOT)}/log"
                (folder / "log").write_text(str(failure), "utf-8")
                print(*str(failure).splitlines()[-30:], sep="\n", flush=True)
            rows.append(f"Python {version}  {end}  {outcome}")
    print("", *rows, f"left out: campaigns, tests of {', '.join(SLOW)}" if quick else "nothing left out", sep="\n")
    sys.exit(failed)


if __name__ == "__main__":
    main()
