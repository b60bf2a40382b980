"""What the README and the demo show works as they stand."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    command = [sys.executable, "-m", "teamwork_desk.testing", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        first_line = server.stdout.readline()
        match = re.search(r"http://[\w.]+:\d+", first_line)
        assert match, first_line
        yield match[0]
        server.send_signal(signal.SIGINT)


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: str(BLOCKS.index(block)))
def test_a_code_block_runs(block: str, url: str) -> None:
    environment = {**os.environ, "TEAMWORK_DESK_URL": url, "TEAMWORK_DESK_TOKEN": "t"}
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", block], env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert not run.stderr


def test_the_first_example_has_12_lines() -> None:
    assert len([line for line in BLOCKS[0].splitlines() if line.strip()]) <= 12


def test_every_error_is_in_the_table() -> None:
    import teamwork_desk

    errors = {name for name in teamwork_desk.__all__ if name.endswith(("Error", "Exceeded"))} - {
        "DeskError",
        "StatusError",
    }
    assert errors == set(re.findall(r"`(\w+(?:Error|Exceeded))`(?=[^|]*\|)", README.partition("| error |")[2]))


def test_the_demo_tells_what_it_does() -> None:
    run = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "demo.py")], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    for line in (
        "conversation 1 is now ticket 1000001",
        "DeprecationWarning: email= is deprecated, use customer=",
        "customer.email: must be a valid email address",
        "conversation 4 is ticket 1000003; made: 1",
        "all converted, each once: [1000001, 1000002, 1000003, 1000004, 1000005, 1000006]",
        "convert(1): [400, 200], ticket 1000001",
        "convert(2): [200], ticket 1000002 (the client remembers)",
    ):
        assert f"  {line}\n" in run.stdout
