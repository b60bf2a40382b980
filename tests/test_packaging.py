"""The wheel is complete when it is installed with nothing but its dependencies; the sdist's tests run."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tomllib
import zipapp
from importlib.metadata import Distribution
from pathlib import Path
from zipfile import ZipFile

import pytest
from installed import lay_out, required, requirements, run, run_python
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

pytestmark = pytest.mark.project

ROOT = Path(__file__).parents[1]
CONSUMER = ROOT / "tests" / "typing" / "consumer.py"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


FIVE = {"anyio", "attrs", "httpx", "python-dateutil", "sniffio"}

SERVICE = """
import asyncio
import teamwork_desk
from teamwork_desk import AsyncDesk
from teamwork_desk.testing import FakeDesk

async def call():
    fake = FakeDesk()
    async with AsyncDesk("https://acme.teamwork.com", token="a-token", transport=fake.transport) as desk:
        conversation = await desk.conversations.convert(42, message="\u00e9")
        print(conversation.ticket_id == fake.tickets[0].id, teamwork_desk.__version__)
        print(teamwork_desk.__file__)
    async with AsyncDesk("https://acme.teamwork.com", token="a-token"):
        pass  # its certificates were read

def main():
    asyncio.run(call())

if __name__ == "__main__":
    main()
"""


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the wheel and what it requires, and nothing else."""
    return lay_out(wheel, tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the interpreter of a fresh environment in which only the wheel and its dependencies are installed."""
    environment = tmp_path_factory.mktemp("installed") / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", environment, cwd=wheel.parent)
    interpreter = environment / "bin" / "python"
    (packages,) = environment.glob("lib/python*/site-packages")
    lay_out(wheel, packages)
    return interpreter


@pytest.fixture
def service(tmp_path: Path) -> Path:
    """Return a script that calls the fake Desk, and prints the version and the file of the package."""
    path = tmp_path / "service.py"
    path.write_text(SERVICE, "utf-8")
    return path


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


def test_the_wheel_requires_five_packages(site: Path) -> None:
    (own,) = Distribution.discover(name="teamwork-desk", path=[str(site)])
    assert {requirement.name for requirement in requirements(own.requires or ())} == FIVE
    assert {requirement.name for requirement in requirements(own.requires or (), ["orjson"])} == FIVE | {"orjson"}


def test_an_installation_is_complete_and_has_only_what_the_five_packages_require(python: Path, tmp_path: Path) -> None:
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python)
    assert run(*pip, "check", cwd=tmp_path) == "No broken requirements found.\n"
    listed = json.loads(run(*pip, "list", "--format=json", cwd=tmp_path))
    expected = required(map(Requirement, FIVE))
    assert {canonicalize_name(each["name"]) for each in listed} == {"teamwork-desk", *expected}
    assert "orjson" not in expected


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("-OO",),
        ("-W", "error"),
        ("-X", "dev", "-W", "error"),
        ("-X", "utf8=0"),
        ("-OO", "-I", "-X", "importtime"),
    ],
    ids=" ".join,
)
def test_a_call_works_with_the_dependencies_alone(options: tuple[str, ...], python: Path, service: Path) -> None:
    output = run(python, *options, service, cwd=service.parent, LC_ALL="C")
    assert output.startswith(f"True {PROJECT['version']}\n")


def test_a_call_works_with_every_installed_extra_without_docstrings(wheel: Path, service: Path, tmp_path: Path) -> None:
    site = lay_out(wheel, tmp_path / "site", *PROJECT["optional-dependencies"])
    modules = ("otel", "fleet", "backlog", "probe", "cli._app")
    imports = "\n".join(f"import teamwork_desk.{module}" for module in modules)
    run_python(site, "-OO", "-W", "error", "-c", imports, cwd=tmp_path)
    run_python(site, "-OO", service, cwd=tmp_path)
    help_text = run_python(site, "-OO", "-m", "teamwork_desk.cli", "convert", "--help", cwd=tmp_path)
    assert "--subject" in help_text


def test_a_call_works_without_the_metadata(wheel: Path, service: Path, tmp_path: Path) -> None:
    site = lay_out(wheel, tmp_path / "site", "cli", "otel")
    for metadata in site.glob("*.dist-info"):
        shutil.rmtree(metadata)
    assert run_python(site, service, cwd=tmp_path).startswith("True unknown\n")
    observer = "from teamwork_desk._client import find_observer; print(find_observer('https://acme.teamwork.com'))"
    assert "observe" in run_python(site, "-c", observer, cwd=tmp_path)
    assert run_python(site, "-m", "teamwork_desk.cli", "--version", cwd=tmp_path) == "teamwork-desk unknown\n"


def test_a_call_works_if_the_metadata_has_no_version(site: Path, service: Path, tmp_path: Path) -> None:
    (tmp_path / "first" / "teamwork_desk-0.1.0.dist-info").mkdir(parents=True)
    output = run(*(sys.executable, "-S", service), cwd=tmp_path, PYTHONPATH=f"{tmp_path / 'first'}:{site}")
    assert output.startswith("True unknown\n")


def test_a_call_works_from_a_zipapp(site: Path, service: Path, tmp_path: Path) -> None:
    staged = tmp_path / "staged"
    shutil.copytree(site, staged)
    shutil.copy(service, staged)
    archive = tmp_path / "service.pyz"
    zipapp.create_archive(staged, archive, main="service:main")
    shutil.rmtree(staged)
    output = run(sys.executable, "-S", "-I", archive, cwd=tmp_path)
    assert output.startswith(f"True {PROJECT['version']}\n{archive}")


def test_a_call_works_after_pip_install_target(wheel: Path, site: Path, service: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "install", "--no-index", "--no-deps")
    run(*pip, "--target", target, wheel, cwd=tmp_path)
    output = run(sys.executable, "-S", service, cwd=tmp_path, PYTHONPATH=f"{target}:{site}")
    assert output == f"True {PROJECT['version']}\n{target / 'teamwork_desk' / '__init__.py'}\n"


@pytest.mark.parametrize("extra", ["otel", "fleet"])
def test_a_companion_names_the_extra_to_install_if_it_is_missing(extra: str, python: Path, tmp_path: Path) -> None:
    script = f"""
try:
    import teamwork_desk.{extra}
except ImportError as error:
    print(error)
"""
    expected = f'teamwork_desk.{extra} needs an extra: pip install "teamwork-desk[{extra}]"\n'
    assert run(python, "-c", script, cwd=tmp_path) == expected


def test_the_command_names_the_extra_to_install_if_it_is_missing(python: Path, tmp_path: Path) -> None:
    started = subprocess.run(
        [python, "-m", "teamwork_desk.cli"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (started.returncode, started.stdout) == (2, "")
    assert started.stderr == 'The command line needs the extra cli: pip install "teamwork-desk[cli]"\n'


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
