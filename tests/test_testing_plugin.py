"""The fixtures and virtual time work in the test suite of a service, with each plugin that runs async tests."""

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
async def test_each_test_has_a_new_fake_desk(desk: AsyncDesk, fake_desk: FakeDesk) -> None:
    fake_desk.assert_not_converted(42)


MARK
async def test_many_callers_share_one_client(desk: AsyncDesk, fake_desk: FakeDesk) -> None:
    async with anyio.create_task_group() as calls:
        for conversation_id in range(1, 51):
            calls.start_soon(desk.conversations.convert, conversation_id)
    assert len(fake_desk.tickets) == 50


def test_the_fixture_works_without_an_event_loop(desk: AsyncDesk) -> None:
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
async def test_a_rate_window_and_a_slow_server_take_no_real_time(desk, fake_desk):
    fake_desk.inject("rate limited", method="POST")
    fake_desk.inject("answer lost while the work goes on", method="POST")
    real, start = time.monotonic(), anyio.current_time()
    await desk.conversations.convert(42)
    assert anyio.current_time() - start >= 60
    assert time.monotonic() - real < 60
    fake_desk.assert_converted_once(42)
"""


def run(pytester: pytest.Pytester, *options: str) -> pytest.RunResult:
    """Run the test suite that a test has written, in a process of its own, with warnings as errors."""
    loop_scope = [] if "no:asyncio" in options else ["-o", "asyncio_default_fixture_loop_scope=function"]
    return pytester.runpytest_subprocess("-W", "error", "-p", "no:randomly", "--strict-markers", *loop_scope, *options)


@pytest.mark.parametrize(
    ("mark", "options", "conftest", "passed"),
    [
        ("@pytest.mark.asyncio", ["--asyncio-mode=strict"], VIRTUAL_ASYNCIO, 4 + 1),
        ("", ["--asyncio-mode=auto"], VIRTUAL_ASYNCIO, 4 + 1),
        ("@pytest.mark.anyio", ["-p", "no:asyncio"], VIRTUAL_ANYIO, 7 + 2),
        ("@pytest.mark.anyio", ["--asyncio-mode=strict"], VIRTUAL_ANYIO, 7 + 2),
    ],
)
def test_the_fixtures_work_with_each_async_plugin(
    pytester: pytest.Pytester, mark: str, options: list[str], conftest: str, passed: int
) -> None:
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


def test_a_failed_assertion_points_at_the_line_of_the_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        def test_a(fake_desk):
            fake_desk.assert_converted_once(42, subject="Refund")

        def test_b(fake_desk):
            fake_desk._conversations.tickets.append(type("Ticket", (), {"conversation_id": 42}))
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
def desks_that_outlive_the_test() -> Iterator[list[AsyncDesk]]:
    """Clients that a test adds. The fixture `desk` ends before this one, and must have closed them by then."""
    desks: list[AsyncDesk] = []
    yield desks
    with pytest.raises(ConfigurationError, match="closed"):
        anyio.run(desks[0].conversations.convert, 42)


def test_a_client_that_no_event_loop_has_used_is_closed(
    desks_that_outlive_the_test: list[AsyncDesk], desk: AsyncDesk
) -> None:
    desks_that_outlive_the_test.append(desk)


# The tests that the documentation shows

EXAMPLE = """
import pytest

from teamwork_desk import AsyncDesk
from teamwork_desk.testing import FakeDesk


async def refund(desk: AsyncDesk, conversation_id: int) -> int | None:
    conversation = await desk.conversations.convert(conversation_id, subject="Refund", inbox=7)
    return conversation.ticket_id


@pytest.mark.asyncio  # or @pytest.mark.anyio
async def test_a_lost_response_makes_no_second_ticket(desk: AsyncDesk, fake_desk: FakeDesk) -> None:
    fake_desk.inject("answer lost after the work")
    ticket_id = await refund(desk, 42)
    ticket = fake_desk.assert_converted_once(42, subject="Refund", inbox=7)
    assert ticket.id == ticket_id
"""
DOCUMENTED_BLOCKS = blocks(ROOT / "docs" / "pages" / "testing.md")


@pytest.mark.parametrize("example", [EXAMPLE, *(block for block in DOCUMENTED_BLOCKS if "def test_" in block)])
@pytest.mark.parametrize("plugin", ["asyncio", "anyio"])
def test_the_tests_in_the_documentation_pass(pytester: pytest.Pytester, example: str, plugin: str) -> None:
    pytester.makepyfile(example.replace("@pytest.mark.asyncio", f"@pytest.mark.{plugin}"))
    result = run(pytester, "--asyncio-mode=strict")
    result.assert_outcomes(passed=example.count("async def test_") * (1 if plugin == "asyncio" else 2))
