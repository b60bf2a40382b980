"""Type checkers accept the code of a service that uses the package, and reject wrong uses."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.project

TYPING = Path(__file__).parent / "typing"


@pytest.fixture(scope="module", params=["mypy", "pyright"])
def rejected_lines(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[int]]:
    """Return the lines of each file that a type checker rejects in its strict mode."""
    sources = tmp_path_factory.mktemp("typing")
    for source in TYPING.glob("*.py"):
        # The first line turns the errors off for a check of the whole project, so remove it here.
        text = source.read_text("utf-8").replace("# type: ignore", "#", 1)
        (sources / source.name).write_text(text, "utf-8")
    (sources / "pyrightconfig.json").write_text(json.dumps({"typeCheckingMode": "strict"}), "utf-8")
    arguments = {
        "mypy": ["--strict", "--config-file=", "--python-executable", sys.executable, "consumer.py", "rejected.py"],
        "pyright": ["--pythonpath", sys.executable],
    }[request.param]
    run = subprocess.run(
        [sys.executable, "-m", request.param, *arguments], cwd=sources, capture_output=True, text=True, check=False
    )
    found = re.findall(r"(\w+)\.py:(\d+)(?::\d+)?(?: -|:) error", run.stdout)
    assert found, run.stdout + run.stderr
    return {name: {int(line) for file, line in found if file == name} for name in ("consumer", "rejected")}


@pytest.mark.parametrize(
    "command",
    [
        ("pyrefly", "check", "--python-interpreter-path", sys.executable),
        ("ty", "check", "--python", sys.prefix, "--error-on-warning"),
    ],
    ids=["pyrefly", "ty"],
)
def test_other_type_checkers_accept_the_code_of_a_service_and_know_its_types(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    program = Path(sys.executable).with_name(command[0])
    (tmp_path / "pyrefly.toml").touch()
    for name, text in {
        "consumer.py": (TYPING / "consumer.py").read_text("utf-8"),
        "wrong.py": "from teamwork_desk import CustomField\n\nCustomField(id='7')\n",
    }.items():
        (tmp_path / name).write_text(text, "utf-8")
        run = subprocess.run([program, *command[1:], name], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert run.returncode == (0 if name == "consumer.py" else 1), run.stdout + run.stderr


def test_the_code_of_a_service_is_accepted(rejected_lines: dict[str, set[int]]) -> None:
    assert rejected_lines["consumer"] == set()


def test_every_marked_line_is_rejected_and_no_other(rejected_lines: dict[str, set[int]]) -> None:
    lines = (TYPING / "rejected.py").read_text("utf-8").splitlines()
    marked = {number: line for number, line in enumerate(lines, 1) if "# rejected: " in line}
    assert len(marked) > 40
    assert rejected_lines["rejected"] == marked.keys()
