"""Report how a change affects callers, and which version it needs: `make diff BASE=<ref>`.

It compares the working tree with a git ref, by default with the last release. The contract is compared by rules of our
own (diff_contract.py, diff_rules.py), and the two Python packages with griffe (diff_packages.py). `--check` fails if
the version in pyproject.toml is too low.
"""

from __future__ import annotations

import argparse
import io
import shutil
import subprocess
import tarfile
import tempfile
import tomllib
from collections.abc import Iterable
from pathlib import Path

import yaml
from contract import ContractError, load
from diff_contract import facts, schema_ways
from diff_packages import PACKAGES, python_changes
from diff_rules import NOTHING, Change, Level, compare
from generate import differences
from lint import lint
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
GIT = shutil.which("git") or "git"
LABELS = {Level.PATCH: "fix", Level.MINOR: "addition", Level.MAJOR: "BREAKING"}


def needed(released: Version, level: Level) -> Version:
    """Return the lowest version that may contain a change.

    Before 1.0.0 a breaking change needs a minor step, and every other change a patch.
    """
    major, minor, patch = released.major, released.minor, released.micro
    if level is Level.NOTHING:
        return released
    if major == 0:
        return Version(f"0.{minor + 1}.0" if level is Level.MAJOR else f"0.{minor}.{patch + 1}")
    steps = {Level.MAJOR: f"{major + 1}.0.0", Level.MINOR: f"{major}.{minor + 1}.0"}
    return Version(steps.get(level, f"{major}.{minor}.{patch + 1}"))


def version_of(tree: Path) -> Version:
    """Return the version in a tree's pyproject.toml."""
    return Version(tomllib.loads((tree / "pyproject.toml").read_text("utf-8"))["project"]["version"])


def is_high_enough(version: Version, least: Version) -> bool:
    """Return whether a version, or the release that a pre-release prepares, is high enough."""
    return Version(version.base_version) >= least


def _git(*arguments: str) -> bytes | None:
    """Return what git prints, or None if it fails."""
    run = subprocess.run([GIT, *arguments], cwd=ROOT, capture_output=True, check=False)
    return None if run.returncode else run.stdout


def _print_changes(title: str, found: Iterable[Change]) -> None:
    print(f"\n{title}")
    for change in sorted(found, reverse=True) or [Change(Level.NOTHING, "no change for callers")]:
        print(f"  {LABELS.get(change.level, ''):9} {change.text}")


def report(base: Path) -> bool:
    """Print what changed since an older tree, and return whether the version in pyproject.toml is high enough."""
    if faults := lint(load(ROOT / "openapi" / "desk.yaml")):
        raise SystemExit("\n".join(["desk.yaml breaks these rules:", *faults]))
    old, new = (yaml.safe_load((tree / "openapi" / "desk.yaml").read_text("utf-8")) for tree in (base, ROOT))
    old_ways, new_ways = schema_ways(old), schema_ways(new)
    ways_of = {name: old_ways.get(name, NOTHING) | new_ways.get(name, NOTHING) for name in {**old_ways, **new_ways}}
    in_contract, in_python = set(compare(facts(old), facts(new))), python_changes(base, ROOT, ways_of)
    _print_changes("Changes of the API, in openapi/desk.yaml", in_contract)
    _print_changes("Changes of the Python packages, for callers", in_python)
    touched = any(differences(base / folder, ROOT / folder) for folder in PACKAGES.values())
    level = max([Level.PATCH if touched else Level.NOTHING, *(change.level for change in in_contract | in_python)])
    released, version = version_of(base), version_of(ROOT)
    least = needed(released, level)
    step = f"at least {least} is needed" if least > released else "no new version is needed"
    print(f"\nThe last version is {released}, and {step}; pyproject.toml has {version}.")
    if released.major == 0:
        print("Before 1.0.0 a breaking change needs a minor step, and every other change a patch.")
    return is_high_enough(version, least)


def main() -> None:
    """Compare, and fail with `--check` if the version is too low."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base", nargs="?", help="a git ref; the last v* tag by default")
    parser.add_argument("--check", action="store_true", help="fail if the version in pyproject.toml is too low")
    options = parser.parse_args()
    tag = _git("describe", "--tags", "--abbrev=0", "--match", "v[0-9]*")
    ref: str = options.base or (tag or b"").decode().strip()
    if not ref:
        print("There is no v* tag to compare with: nothing was released yet.")
        return
    archive = _git("archive", ref, "pyproject.toml", "openapi/desk.yaml", *PACKAGES.values())
    if archive is None:
        raise SystemExit(f"{ref} is not a commit that contains openapi/desk.yaml")
    print(f"Changes from {ref} to the working tree")
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            tar.extractall(folder, filter="data")
        try:
            is_enough = report(Path(folder))
        except ContractError as error:
            raise SystemExit(str(error)) from None
        if not is_enough and options.check:
            raise SystemExit("The version in pyproject.toml is too low for this change.")


if __name__ == "__main__":
    main()
