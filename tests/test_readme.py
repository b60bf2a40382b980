"""The examples of the README and the demo work as they are shown."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
from code_blocks import ROOT, blocks, fake_desk, run

import teamwork_desk

pytestmark = pytest.mark.project

README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = blocks(ROOT / "README.md")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with fake_desk() as url:
        yield url


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: str(BLOCKS.index(block)))
def test_a_code_block_runs(block: str, url: str) -> None:
    run(block, url)


def test_the_first_example_is_short_and_needs_no_desk(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len([line for line in BLOCKS[0].splitlines() if line.strip()]) <= 10
    assert run(BLOCKS[0], url="http://127.0.0.1:1") == "1000001 True\n"


def test_it_is_short_and_stands_alone() -> None:
    assert len(README.split()) <= 1200
    # PyPI shows this page without the repository, so a relative link would be dead.
    assert not re.findall(r"\]\((?!https://)", README)


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
        "created=False: conversation 1 has ticket 1000001, so nothing was sent",
        "conversation 4 is ticket 1000003; made: 1",
        "all converted, each once: [1000001, 1000002, 1000003, 1000004, 1000005, 1000006]",
        "convert(1): [400, 200], ticket 1000001",
        "convert(2): [200], ticket 1000002 (the client remembers)",
        "twelve conversations, 12 tickets",
        "from_desk=False",
    ):
        assert f"  {line}\n" in demo.stdout
