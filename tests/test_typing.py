"""What type checkers accept and refuse, seen from a service that uses the package."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

TYPING = Path(__file__).parent / "typing"


@pytest.fixture(scope="module", params=["mypy", "pyright"])
def complaints(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[int]]:
    """The lines that a type checker, at its strictest, refuses in each file."""
    sources = tmp_path_factory.mktemp("typing")
    for source in TYPING.glob("*.py"):
        # The first line keeps the checkers silent where they check the whole project.
        text = source.read_text("utf-8").replace("# type: ignore", "#", 1)
        (sources / source.name).write_text(text, "utf-8")
    (sources / "pyrightconfig.json").write_text(json.dumps({"typeCheckingMode": "strict"}), "utf-8")
    arguments = {
        "mypy": ["--strict", "--config-file=", "--python-executable", sys.executable, "consumer.py", "refused.py"],
        "pyright": ["--pythonpath", sys.executable],
    }[request.param]
    run = subprocess.run(
        [sys.executable, "-m", request.param, *arguments], cwd=sources, capture_output=True, text=True, check=False
    )
    found = re.findall(r"(\w+)\.py:(\d+)(?::\d+)?(?: -|:) error", run.stdout)
    assert found, run.stdout + run.stderr
    return {name: {int(line) for file, line in found if file == name} for name in ("consumer", "refused")}


def test_what_a_service_writes_is_accepted(complaints: dict[str, set[int]]) -> None:
    assert complaints["consumer"] == set()


def test_what_is_wrong_is_refused_line_by_line(complaints: dict[str, set[int]]) -> None:
    lines = (TYPING / "refused.py").read_text("utf-8").splitlines()
    marked = {number: line for number, line in enumerate(lines, 1) if "# refused: " in line}
    assert len(marked) > 40
    assert complaints["refused"] == marked.keys()
