"""The examples of the README and the demo work as they are shown."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
from code_blocks import ROOT, blocks, desk_fleet, fake_desk, run

import teamwork_desk

README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = blocks(ROOT / "README.md")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with fake_desk() as url:
        yield url


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with desk_fleet(BLOCKS, tmp_path_factory.mktemp("modules")):
        yield


@pytest.mark.usefixtures("fleet")
@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: str(BLOCKS.index(block)))
def test_a_code_block_runs(block: str, url: str) -> None:
    run(block, url)


def test_the_first_example_has_12_lines() -> None:
    assert len([line for line in BLOCKS[0].splitlines() if line.strip()]) <= 12


def test_every_error_is_in_the_table() -> None:
    errors = {name for name in teamwork_desk.__all__ if name.endswith(("Error", "Exceeded"))} - {"DeskError"}
    assert errors == set(re.findall(r"`(\w+(?:Error|Exceeded))`(?=[^|]*\|)", README.partition("| error |")[2]))


def test_the_demo_prints_what_it_does() -> None:
    demo = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "demo.py")], capture_output=True, text=True, check=False
    )
    assert demo.returncode == 0, demo.stderr
    for line in (
        "conversation 1 is now ticket 1000001",
        "DeprecationWarning: email= is deprecated, use customer=",
        "customer.email: must be a valid email address",
        "conversation 4 is ticket 1000003; made: 1",
        "all converted, each once: [1000001, 1000002, 1000003, 1000004, 1000005, 1000006]",
        "convert(1): [400, 200], ticket 1000001",
        "convert(2): [200], ticket 1000002 (the client remembers)",
    ):
        assert f"  {line}\n" in demo.stdout
