"""The wheel is complete when it is installed with nothing but its dependencies; the sdist's tests run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
CONSUMER = ROOT / "tests" / "typing" / "consumer.py"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command without this interpreter's environment variables, check that it succeeds, and return its output."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel and return its path."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", folder, ROOT, cwd=folder)
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the interpreter of a fresh environment in which only the wheel and its dependencies are installed.

    The dependencies are copied from this environment, so that the test needs no network.
    """
    environment = tmp_path_factory.mktemp("installed") / "venv"
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or "uv"
    run(uv, "venv", "--quiet", "--python", sys.executable, environment, cwd=wheel.parent)
    interpreter = environment / "bin" / "python"
    install = ("pip", "install", "--quiet", "--offline", "--no-deps", "--python", interpreter)
    run(uv, *install, wheel, cwd=wheel.parent)
    (packages,) = environment.glob("lib/python*/site-packages")
    for dependency in dependencies(PROJECT["dependencies"]):
        for file in dependency.files or ():
            if ".." not in file.parts:  # a script is outside of the packages
                (packages / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file.locate(), packages / file)
    run(uv, "pip", "check", "--quiet", "--python", interpreter, cwd=wheel.parent)
    return interpreter


def dependencies(requirements: Iterable[str]) -> Iterator[Distribution]:
    """Yield the distributions that requirements need, as they are installed here."""
    for requirement in map(Requirement, requirements):
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            found = distribution(requirement.name)
            yield found
            yield from dependencies(found.requires or ())


def test_the_wheel_contains_only_the_packages_and_the_plugin(wheel: Path) -> None:
    sources = {
        str(path.relative_to(ROOT / folder))
        for folder in ("generated", "overrides")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert packed == sources
    assert {"teamwork_desk/py.typed", "teamwork_desk_api/py.typed"} <= packed


def test_the_tests_run_from_an_unpacked_sdist(tmp_path: Path) -> None:
    run(sys.executable, "-m", "build", "--no-isolation", "--sdist", "--outdir", tmp_path, ROOT, cwd=tmp_path)
    (sdist,) = tmp_path.iterdir()
    shutil.unpack_archive(sdist, tmp_path, filter="data")
    modules = ("tests/test_contract.py", "tests/test_wire.py", "tests/test_readme.py")
    folder = tmp_path / sdist.name.removesuffix(".tar.gz")
    output = run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *modules, cwd=folder)
    assert " passed" in output
    assert "skipped" not in output


def test_both_packages_are_imported_from_the_wheel(python: Path, tmp_path: Path) -> None:
    script = "import teamwork_desk as a, teamwork_desk_api as b, teamwork_desk.testing; print(a.__file__, b.__file__)"
    for imported in run(python, "-c", script, cwd=tmp_path).split():
        package = Path(imported).parent
        assert python.parents[1] in package.parents
        assert (package / "py.typed").is_file()


def test_the_metadata_matches_pyproject(python: Path, tmp_path: Path) -> None:
    script = (
        "import json; from importlib.metadata import metadata; m = metadata('teamwork-desk')\n"
        "print(json.dumps([m['Version'], m['Requires-Python'], m['License-Expression'], m.get_all('Provides-Extra')]))"
    )
    assert json.loads(run(python, "-c", script, cwd=tmp_path)) == [
        PROJECT["version"],
        PROJECT["requires-python"],
        PROJECT["license"],
        sorted(PROJECT["optional-dependencies"]),
    ]


def test_a_call_works_with_the_dependencies_alone(python: Path, tmp_path: Path) -> None:
    script = """
import asyncio, warnings
from teamwork_desk import AsyncDesk
from teamwork_desk.testing import FakeDesk

async def main():
    fake = FakeDesk()
    async with AsyncDesk("https://acme.teamwork.com", token="a-token", transport=fake.transport) as desk:
        print((await desk.conversations.convert(42)).ticket_id == fake.tickets[0].id)

warnings.simplefilter("error")
asyncio.run(main())
"""
    assert run(python, "-c", script, cwd=tmp_path) == "True\n"


def test_the_fake_server_names_the_extra_to_install_if_it_is_missing(python: Path, tmp_path: Path) -> None:
    started = subprocess.run(
        [python, "-m", "teamwork_desk.testing", "--port", "0"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert started.returncode != 0
    assert started.stdout == ""
    (line,) = started.stderr.splitlines()
    assert "teamwork-desk[testing]" in line


@pytest.mark.parametrize(
    "checker",
    [("mypy", "--strict", "--config-file=", "--python-executable"), ("pyright", "--pythonpath")],
    ids=lambda checker: checker[0],
)
def test_the_code_of_a_service_passes_type_checkers_against_the_wheel(
    checker: tuple[str, ...], python: Path, tmp_path: Path
) -> None:
    shutil.copy(CONSUMER, tmp_path)
    (tmp_path / "pyrightconfig.json").write_text(json.dumps({"typeCheckingMode": "strict"}), "utf-8")
    files = ["consumer.py"] if checker[0] == "mypy" else []
    run(sys.executable, "-m", *checker, python, *files, cwd=tmp_path)
