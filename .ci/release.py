"""Make a release from a clean working tree: check, build twice, inspect, install, test the installation, and tag.

`python .ci/release.py x.y.z` makes the sdist and the wheel in dist/ and a tag in the repository. It publishes nothing;
the last lines that it prints are the commands that publish.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from zipfile import ZipFile

ROOT = Path(__file__).resolve().parents[1]
CHECKS = (("make", "check"), ("make", "test"), ("make", "test-project"))
PACKAGES = ("generated/", "overrides/")
SMOKE = """
import asyncio, sys, warnings
import teamwork_desk
from teamwork_desk.testing import FakeDesk

async def main(version):
    fake = FakeDesk()
    async with teamwork_desk.AsyncDesk("https://acme.teamwork.com", token="any", transport=fake.transport) as desk:
        conversation = await desk.conversations.convert(42)
    assert [ticket.id for ticket in fake.tickets] == [conversation.ticket_id]
    assert fake.requests[0].headers["user-agent"] == f"teamwork-desk/{version}"
    assert teamwork_desk.__version__ == version

warnings.simplefilter("error")
asyncio.run(main(sys.argv[1]))
"""

_VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")
_HEADING = re.compile(r"^## (.*)\n", re.MULTILINE)
_DATED = re.compile(r"\[(.+)\] - \d{4}-\d\d-\d\d")
_Version = tuple[int, int, int]


def parse_version(text: str) -> _Version | None:
    """Return a version as numbers, or None if it is not of the form x.y.z."""
    match = _VERSION.fullmatch(text)
    return (int(match[1]), int(match[2]), int(match[3])) if match else None


def follows(version: _Version, last: _Version) -> bool:
    """Return whether a version is the next patch, minor or major version."""
    major, minor, patch = last
    return version in ((major, minor, patch + 1), (major, minor + 1, 0), (major + 1, 0, 0))


def changelog_entry(changelog: str, version: str) -> str:
    """Return the changelog's text about a version, or an empty string if there is no entry with a date."""
    links = re.search(r"^\[.+\]: ", changelog, re.MULTILINE)
    parts = iter(_HEADING.split(changelog[: links.start() if links else None])[1:])
    for heading, text in zip(parts, parts, strict=True):
        dated = _DATED.fullmatch(heading)
        if dated and dated[1] == version:
            return text.strip()
    return ""


def refusals(*, version: str, declared: str, tags: Iterable[str], status: str, changelog: str) -> list[str]:
    """Return the reasons why the release cannot be made.

    Args:
        version: The version to release.
        declared: The version in pyproject.toml.
        tags: The repository's tags.
        status: What `git status --porcelain` prints.
        changelog: The changelog's text.
    """
    reasons: list[str] = []
    numbers = parse_version(version)
    released = [number for tag in tags if tag.startswith("v") and (number := parse_version(tag[1:]))]
    if numbers is None:
        reasons.append(f"{version!r} is not a version: expected a form such as 1.2.3")
    elif numbers in released:
        reasons.append(f"{version} is released already: there is a tag v{version}")
    elif released and not follows(numbers, max(released)):
        reasons.append(f"{version} is not the next version after {'.'.join(map(str, max(released)))}")
    if declared != version:
        reasons.append(f"pyproject.toml says version {declared}")
    if status:
        reasons.append("the tree is dirty:\n" + status.rstrip())
    if not changelog_entry(changelog, version):
        reasons.append(f"CHANGELOG.md has no entry '## [{version}] - YYYY-MM-DD'")
    return reasons


def faults_of_sdist(names: Iterable[str], tracked: Iterable[str]) -> list[str]:
    """Compare the files of an sdist with the files of the repository: it holds all of them, so that its tests run.

    Args:
        names: The names in the sdist, without its top folder.
        tracked: The names of the files in the repository.
    """
    held, expected = set(names), {*tracked, "PKG-INFO"}
    return [
        *(f"missing in the sdist: {name}" for name in sorted(expected - held)),
        *(f"in the sdist by mistake: {name}" for name in sorted(held - expected)),
    ]


def faults_of_wheel(names: Iterable[str], tracked: Iterable[str]) -> list[str]:
    """Compare the files of a wheel with the files of the repository."""
    packed = set(names)
    modules = {name for name in packed if ".dist-info/" not in name}
    expected = {name.partition("/")[2] for name in tracked if name.startswith(PACKAGES)}
    marker = [] if any(name.endswith(".dist-info/licenses/LICENSE") for name in packed) else ["LICENSE"]
    return [
        *(f"missing in the wheel: {name}" for name in [*sorted(expected - modules), *marker]),
        *(f"in the wheel by mistake: {name}" for name in sorted(modules - expected)),
    ]


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    """Run a command and return what it prints.

    Raises:
        SystemExit: The command failed.
    """
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{shlex.join(map(str, command))} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def build(root: Path, commit: str, scratch: Path) -> list[Path]:
    """Build the sdist, and the wheel out of it, from a fresh clone of a commit."""
    clone, output = scratch / "clone", scratch / "dist"
    run("git", "clone", "--quiet", "--no-checkout", str(root), str(clone), cwd=root)
    run("git", "checkout", "--quiet", "--detach", commit, cwd=clone)
    moment = run("git", "log", "-1", "--format=%ct", cwd=clone).strip()
    command = (sys.executable, "-m", "build", "--no-isolation", "--outdir", output, clone)
    run(*command, cwd=clone, SOURCE_DATE_EPOCH=moment)
    return sorted(output.iterdir())


def inspect(wheel: Path, sdist: Path, tracked: Sequence[str]) -> list[str]:
    """Return the files that are missing in the distributions, and those that are in them by mistake."""
    with ZipFile(wheel) as packed, tarfile.open(sdist) as packed_sources:
        sources = [name.partition("/")[2] for name in packed_sources.getnames()]
        return [*faults_of_wheel(packed.namelist(), tracked), *faults_of_sdist(sources, tracked)]


def smoke(distribution: Path, version: str, scratch: Path) -> None:
    """Install a distribution in a new environment, and convert a conversation with it."""
    uv = (sys.executable, "-m", "uv")
    run(*uv, "venv", "--quiet", "--python", sys.executable, "venv", cwd=scratch)
    python = scratch / "venv" / "bin" / "python"
    run(*uv, "pip", "install", "--quiet", "--python", python, distribution, cwd=scratch)
    run(python, "-I", "-c", SMOKE, version, cwd=scratch)


def release(root: Path, version: str, checks: Iterable[Sequence[str]] = CHECKS) -> list[Path]:
    """Make a release, and return its distributions.

    Raises:
        SystemExit: The release cannot be made, and nothing was tagged.
    """
    declared = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    changelog = (root / "CHANGELOG.md").read_text("utf-8")
    reasons = refusals(
        version=version,
        declared=declared,
        tags=run("git", "tag", cwd=root).split(),
        status=run("git", "status", "--porcelain", cwd=root),
        changelog=changelog,
    )
    if reasons:
        raise SystemExit("\n".join(["the release cannot be made:", *reasons]))
    commit = run("git", "rev-parse", "HEAD", cwd=root).strip()
    tracked = run("git", "ls-files", cwd=root).splitlines()
    for check in checks:
        print(shlex.join(check), flush=True)
        run(*check, cwd=root)
    if run("git", "status", "--porcelain", cwd=root) or run("git", "rev-parse", "HEAD", cwd=root).strip() != commit:
        raise SystemExit("the checks changed the tree")
    with tempfile.TemporaryDirectory() as scratch:
        folders = [Path(scratch) / name for name in ("once", "twice", "from-sdist", "from-wheel")]
        for folder in folders:
            folder.mkdir()
        once, twice = (build(root, commit, folder) for folder in folders[:2])
        if [(path.name, path.read_bytes()) for path in once] != [(path.name, path.read_bytes()) for path in twice]:
            raise SystemExit("two builds of the same commit differ")
        print("built twice, with identical results")
        sdist, wheel = sorted(once, key=lambda path: path.suffix)
        run(sys.executable, "-m", "twine", "check", "--strict", sdist, wheel, cwd=root)
        if faults := inspect(wheel, sdist, tracked):
            raise SystemExit("\n".join(faults))
        for distribution, folder in ((sdist, folders[2]), (wheel, folders[3])):
            smoke(distribution, version, folder)
            print(f"{distribution.name} is complete, can be installed by itself and works")
        (root / "dist").mkdir(exist_ok=True)
        kept = [Path(shutil.copy2(path, root / "dist")) for path in (sdist, wheel)]
    message = f"teamwork-desk {version}\n\n{changelog_entry(changelog, version)}"
    run("git", "tag", "--annotate", "--cleanup=verbatim", "--message", message, f"v{version}", commit, cwd=root)
    return kept


def main() -> None:
    """Make the release, and print the commands that publish it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("version", help="the version to release, such as 1.2.3")
    version: str = parser.parse_args().version
    kept = release(ROOT, version)
    paths = [str(path.relative_to(ROOT)) for path in kept]
    print(f"Tagged v{version}. Nothing was published yet. To publish it:")
    print(f"  git push origin v{version}")
    print(f"  {shlex.join(['twine', 'upload', *paths])}")


if __name__ == "__main__":
    main()
