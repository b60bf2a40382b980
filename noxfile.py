"""The tests on every supported Python, with the newest and with the oldest dependencies that pyproject.toml allows.

`nox` runs what `make test` does not: the oldest Python with the oldest dependencies, the newest Python, the one between
them with httpx2 in place of httpx, and the tools that patch or inspect the SDK, such as mocks and tracers.
`nox -s tests` runs every Python with both sets of dependencies. `nox -s full` also runs the campaigns and the tests of
the project itself. The arguments after `--`
are passed to pytest: `nox -s "tests-3.12(oldest)" -- tests/test_retry.py`. `nox -s foreign` tries the generator on
contracts that we did not write.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import nox
from nox.project import load_toml, python_versions

PROJECT = load_toml("pyproject.toml")
PYTHONS = python_versions(PROJECT)
EXTRAS = ",".join(PROJECT["project"]["optional-dependencies"])
# Tests of the project itself do not depend on the Python, and `make test-project` runs them.
OF_THE_SDK = ("-m", "not campaign and not project")

nox.needs_version = ">=2025.5.1"
nox.options.sessions = [
    f"tests-{PYTHONS[0]}(oldest)",
    f"tests-{PYTHONS[-1]}(newest)",
    "httpx2",
    "tools",
]
nox.options.default_venv_backend = "uv"
nox.options.download_python = "never"
nox.options.error_on_external_run = True

if pyenv := shutil.which("pyenv"):
    # A shim of pyenv starts only versions that are enabled, so enable all installed versions.
    versions = subprocess.check_output([pyenv, "versions", "--bare"], text=True).split()
    os.environ["PYENV_VERSION"] = ":".join(versions)


def install(session: nox.Session, group: str, dependencies: str) -> None:
    """Install the package with all extras and a group of tools.

    "oldest" is about the package's own dependencies: the tools are the newest, even if they ask for newer dependencies.
    """
    command = ["--editable", f".[{EXTRAS}]", "--group", group]
    if dependencies == "oldest":
        # Not in session.create_tmp(): that would also put pytest's temporary folders below this repository's settings.
        pins = Path(session.virtualenv.location, "oldest.txt")
        session.run(
            *("uv", "pip", "compile", "pyproject.toml", "--all-extras", "--group", "telemetry"),
            *("--no-deps", "--resolution", "lowest-direct", "--python-version", str(session.python)),
            *("--no-header", "--no-annotate", "--output-file", str(pins)),
        )
        command += ["--override", str(pins)]
    session.install(*command)


def run(session: nox.Session, *options: str, **variables: str) -> None:
    """Run the tests. If the session has arguments, they choose which tests run."""
    command = ("python", "-m", "pytest", "-q", "-n", "auto", "--dist", "loadfile", "-p", "no:cacheprovider")
    session.run(*command, *options, *session.posargs, env=variables)


@nox.session(python=PYTHONS)
@nox.parametrize("dependencies", ["newest", "oldest"], ids=["newest", "oldest"])
def tests(session: nox.Session, dependencies: str) -> None:
    """Test the SDK, without the campaigns."""
    install(session, "tests", dependencies)
    run(session, *OF_THE_SDK)


@nox.session(python=PYTHONS[1])
def httpx2(session: nox.Session) -> None:
    """Test the SDK with httpx2 in place of httpx."""
    install(session, "tests", "newest")
    session.install("httpx2")
    options = ("-p", "replace_httpx", "-W", "ignore:Module already imported:pytest.PytestAssertRewriteWarning")
    run(session, *OF_THE_SDK, *options, PYTHONPATH="tests")


@nox.session(python=PYTHONS)
@nox.parametrize("dependencies", ["newest", "oldest"], ids=["newest", "oldest"])
def full(session: nox.Session, dependencies: str) -> None:
    """Run all tests."""
    install(session, "dev", dependencies)
    run(session)


@nox.session(python=PYTHONS[0])
@nox.parametrize("vcrpy", ["newest", "7"])
def tools(session: nox.Session, vcrpy: str) -> None:
    """Test the SDK below mocks, recorders and tracers, and with tools that inspect its classes.

    Each file runs in its own process, because what these tools patch stays patched.
    """
    # Version 7 of vcrpy cannot patch newer versions of aiohttp.
    versions = ["vcrpy>=8"] if vcrpy == "newest" else ["vcrpy>=7,<8", "aiohttp<3.14"]
    session.install("--editable", f".[{EXTRAS}]", "--group", "tools", *versions)
    for path in sorted(Path("tests/tools").glob("test_vcrpy.py" if vcrpy == "7" else "test_*.py")):
        options = ("-p", "no:cacheprovider", "-p", "no:ddtrace", "-W", "default")
        session.run("python", "-m", "pytest", "-q", *options, str(path), *session.posargs)


@nox.session(python=PYTHONS[0])
def foreign(session: nox.Session) -> None:
    """Try the generator on contracts of others, which are downloaded (needs Node.js)."""
    install(session, "dev", "newest")
    session.run("python", "openapi/foreign.py", *session.posargs)
