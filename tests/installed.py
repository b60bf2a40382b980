"""Installations of the wheel with nothing but what it requires, made without a network.

What the wheel requires is copied from the environment of the tests, so that the versions are the same.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path
from zipfile import ZipFile

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]


def run(*command: str | Path, cwd: Path, **variables: str) -> str:
    """Run a command, check that it succeeds, and return its output.

    It gets this process's environment variables without those of this interpreter, and the variables.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    done = subprocess.run(
        command, cwd=cwd, env={**environment, **variables}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build_wheel(folder: Path) -> Path:
    """Build the wheel and return its path."""
    run(sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", folder, ROOT, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


def requirements(lines: Iterable[str], extras: Iterable[str] = ()) -> list[Requirement]:
    """Return the requirements that hold on this Python with these extras."""
    parsed = [Requirement(line) for line in lines]
    markers = [{"extra": extra} for extra in ("", *extras)]
    return [each for each in parsed if each.marker is None or any(map(each.marker.evaluate, markers))]


def required(names: Iterable[Requirement]) -> dict[str, Distribution]:
    """Return what must be installed for these requirements, by name, with the requirements of each."""
    found: dict[str, Distribution] = {}
    waiting = list(names)
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name not in found or requirement.extras:
            found[name] = distribution(name)
            waiting += requirements(found[name].requires or (), requirement.extras)
    return found


def _files(package: Distribution) -> Iterator[tuple[str, Path]]:
    for file in package.files or ():
        if ".." not in file.parts and "__pycache__" not in file.parts:
            yield str(file), Path(str(package.locate_file(file)))


def copy_required(names: Iterable[Requirement], folder: Path) -> None:
    """Copy what these requirements need from this environment into a folder."""
    for package in required(names).values():
        for name, path in _files(package):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, folder / name)


def lay_out(wheel: Path, folder: Path, *extras: str) -> Path:
    """Put the wheel and what it requires into a folder, as an installer does, and return the folder."""
    with ZipFile(wheel) as archive:
        archive.extractall(folder)
    (own,) = Distribution.discover(name="teamwork-desk", path=[str(folder)])
    copy_required(requirements(own.requires or (), extras), folder)
    return folder


def run_python(folder: Path, *arguments: str | Path, cwd: Path, **variables: str) -> str:
    """Run this Python with the packages in a folder, and no others."""
    return run(sys.executable, "-S", *arguments, cwd=cwd, PYTHONPATH=str(folder), **variables)
