"""The fixtures and the virtual time, in the test suite of a service, under each of the plugins that run async tests."""

from __future__ import annotations

from collections.abc import Iterator

import anyio
import pytest
from code_blocks import ROOT, blocks

from teamwork_desk import AsyncDesk, ConfigurationError

pytest_plugins = ["pytester"]

TESTS = """
import anyio
import pytest

from teamwork_desk import AsyncDesk
from teamwork_desk.testing import FakeDesk


MARK
async def test_converts(desk: AsyncDesk, fake_desk: FakeDesk) -> None:
    conversation = await desk.conversations.convert(42, subject="Refund", customer="jo@example.com")
    ticket = fake_desk.assert_converted_once(42, subject="Refund", customer="jo@example.com")
    assert ticket.id == conversation.ticket_id


MARK
async def test_begins_anew(desk: AsyncDesk, fake_desk: FakeDesk) -> None:
    fake_desk.assert_not_converted(42)


MARK
async def test_callers_wait_for_each_other(desk: AsyncDesk, fake_desk: FakeDesk) -> None:
    async with anyio.create_task_group() as calls:
        for conversation_id in range(1, 51):
            calls.start_soon(desk.conversations.convert, conversation_id)
    assert len(fake_desk.tickets) == 50


def test_without_a_loop(desk: AsyncDesk) -> None:
    assert desk.rate_limit is None
"""
VIRTUAL_ASYNCIO = """
def pytest_asyncio_loop_factories(config, item):
    from teamwork_desk.testing import VirtualTimeLoop

    return {"virtual time": VirtualTimeLoop}
"""
VIRTUAL_ANYIO = """
import pytest
from trio.testing import MockClock

from teamwork_desk.testing import VirtualTimeLoop


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    if request.param == "trio":
        return "trio", {"clock": MockClock(autojump_threshold=0)}
    return "asyncio", {"loop_factory": VirtualTimeLoop}
"""
WAITING = """
import time

import anyio
import pytest

MARK
async def test_a_window_and_a_late_server(desk, fake_desk):
    fake_desk.inject("rate limited", method="POST")
    fake_desk.inject("answer lost while the work goes on", method="POST")
    real, start = time.monotonic(), anyio.current_time()
    await desk.conversations.convert(42)
    assert anyio.current_time() - start >= 60
    assert time.monotonic() - real < 60
    fake_desk.assert_converted_once(42)
"""


def run(pytester: pytest.Pytester, *options: str) -> pytest.RunResult:
    quiet = [] if "no:asyncio" in options else ["-o", "asyncio_default_fixture_loop_scope=function"]
    return pytester.runpytest_subprocess("-W", "error", "-p", "no:randomly", "--strict-markers", *quiet, *options)


@pytest.mark.parametrize(
    ("mark", "options", "conftest", "passed"),
    [
        ("@pytest.mark.asyncio", ["--asyncio-mode=strict"], VIRTUAL_ASYNCIO, 4 + 1),
        ("", ["--asyncio-mode=auto"], VIRTUAL_ASYNCIO, 4 + 1),
        ("@pytest.mark.anyio", ["-p", "no:asyncio"], VIRTUAL_ANYIO, 7 + 2),
        ("@pytest.mark.anyio", ["--asyncio-mode=strict"], VIRTUAL_ANYIO, 7 + 2),
    ],
)
def test_a_suite(pytester: pytest.Pytester, mark: str, options: list[str], conftest: str, passed: int) -> None:
    pytester.mkdir("virtual")
    files = {"test_real": TESTS, "virtual/conftest": conftest, "virtual/test_virtual": WAITING}
    pytester.makepyfile(**{name: text.replace("MARK", mark) for name, text in files.items()})
    run(pytester, *options).assert_outcomes(passed=passed)


def test_a_suite_that_uses_no_fixture_does_not_import_the_package(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sys

        def test_unused(pytestconfig):
            assert pytestconfig.pluginmanager.hasplugin("teamwork_desk")
            assert "teamwork_desk" not in sys.modules
        """
    )
    run(pytester, "-p", "no:asyncio").assert_outcomes(passed=1)


def test_a_failure_points_at_the_line_of_the_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        def test_a(fake_desk):
            fake_desk.assert_converted_once(42, subject="Refund")

        def test_b(fake_desk):
            fake_desk._tickets.append(type("Ticket", (), {"conversation_id": 42}))
            fake_desk.assert_not_converted(42)
        """
    )
    result = run(pytester)
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(
        [
            '>*fake_desk.assert_converted_once(42, subject="Refund")',
            "E*AssertionError: expected conversation 42 to be converted once, got not at all",
            "test_*.py:2: AssertionError",
            ">*fake_desk.assert_not_converted(42)",
            "E*AssertionError: expected conversation 42 not to be converted, got once",
            "test_*.py:6: AssertionError",
        ]
    )


@pytest.fixture
def kept() -> Iterator[list[AsyncDesk]]:
    """What outlives the fixtures that come after this one."""
    desks: list[AsyncDesk] = []
    yield desks
    with pytest.raises(ConfigurationError, match="closed"):
        anyio.run(desks[0].conversations.convert, 42)


def test_a_desk_that_no_loop_ever_saw_is_closed(kept: list[AsyncDesk], desk: AsyncDesk) -> None:
    kept.append(desk)


# What the README shows.

EXAMPLE = """
import pytest

from teamwork_desk import AsyncDesk
from teamwork_desk.testing import FakeDesk


async def refund(desk: AsyncDesk, conversation_id: int) -> int | None:
    conversation = await desk.conversations.convert(conversation_id, subject="Refund", inbox=7)
    return conversation.ticket_id


@pytest.mark.asyncio  # or @pytest.mark.anyio
async def test_a_lost_answer_makes_no_second_ticket(desk: AsyncDesk, fake_desk: FakeDesk) -> None:
    fake_desk.inject("answer lost after the work")
    ticket_id = await refund(desk, 42)
    ticket = fake_desk.assert_converted_once(42, subject="Refund", inbox=7)
    assert ticket.id == ticket_id
"""
SHOWN = [block for page in ("README.md", "docs/pages/testing.md") for block in blocks(ROOT / page)]


@pytest.mark.parametrize("example", [EXAMPLE, *(block for block in SHOWN if "def test_" in block)])
@pytest.mark.parametrize("flavour", ["asyncio", "anyio"])
def test_the_tests_that_are_shown(pytester: pytest.Pytester, example: str, flavour: str) -> None:
    pytester.makepyfile(example.replace("@pytest.mark.asyncio", f"@pytest.mark.{flavour}"))
    result = run(pytester, "--asyncio-mode=strict")
    result.assert_outcomes(passed=example.count("async def test_") * (1 if flavour == "asyncio" else 2))
