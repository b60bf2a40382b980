"""The pacer keeps concurrent callers within the rate window. The time is virtual: it is trio's mock clock."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Coroutine
from email.utils import formatdate
from typing import Any

import anyio
import httpx
import pytest
import trio.testing

from teamwork_desk import AsyncDesk, DeadlineExceeded, RateLimit, RateLimitedError, RetryPolicy
from teamwork_desk._pacing import FIRST_REQUESTS, JITTER, Pacer
from teamwork_desk.testing import FakeDesk

EPOCH = 1_800_000_000.0
PAGE = {"conversations": [{"id": 1, "ticket_id": None}]}


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return "trio", {"clock": trio.testing.MockClock()}


def let_the_clock_jump() -> None:
    """Let the clock jump to the next timer when all tasks wait. Until then, it stands still."""
    clock = trio.lowlevel.current_clock()
    assert isinstance(clock, trio.testing.MockClock)
    clock.autojump_threshold = 0


def desk_clock() -> float:
    """Return the virtual time as seconds since the epoch, for a fake Desk."""
    return EPOCH + anyio.current_time()


def desk_over(transport: httpx.AsyncBaseTransport, **options: object) -> AsyncDesk:
    return AsyncDesk("https://desk.example", token="t", transport=transport, **options)  # type: ignore[arg-type]


async def call_concurrently(count: int, call: Callable[[int], Coroutine[Any, Any, object]]) -> None:
    """Call a function with each number from 1 to the count, all at the same time."""
    async with anyio.create_task_group() as calls:
        for number in range(1, count + 1):
            calls.start_soon(call, number)


class HoldingTransport(httpx.AsyncBaseTransport):
    """Responds to every request with a page. After `hold`, the responses wait until the test sets `released`.

    Args:
        headers: The headers of the first responses. Later responses have no headers of their own.
    """

    def __init__(self, *headers: dict[str, str]) -> None:
        self.in_flight = 0
        self.released = anyio.Event()
        self.released.set()
        self._headers = list(headers)

    def hold(self) -> None:
        self.released = anyio.Event()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        headers = self._headers.pop(0) if self._headers else {}
        self.in_flight += 1
        await self.released.wait()
        self.in_flight -= 1
        return httpx.Response(200, json=PAGE, headers=headers)


def window_headers(remaining: int, *, resets_in: float = 60) -> dict[str, str]:
    """Return the headers of a response that reports a rate window."""
    return {
        "Date": formatdate(EPOCH, usegmt=True),
        "X-Rate-Limit-Limit": "120",
        "X-Rate-Limit-Remaining": str(remaining),
        "X-Rate-Limit-Reset": str(int(EPOCH + resets_in)),
    }


@pytest.mark.parametrize("skew", [0, 3600, -3600, 10**8, -(10**9)], ids="clock {} s off".format)
async def test_no_request_is_rejected_whatever_the_difference_between_the_clocks(skew: float) -> None:
    let_the_clock_jump()
    fake = FakeDesk(rate_limit=20, clock=lambda: desk_clock() + skew, conversations=range(1, 101))
    async with desk_over(fake.transport, deadline=600) as desk:
        await call_concurrently(100, desk.conversations.convert)
    assert [request.status for request in fake.requests] == [200] * 100
    assert len({ticket.conversation_id for ticket in fake.tickets}) == len(fake.tickets) == 100


async def test_calls_wait_for_the_next_window_if_another_client_used_up_this_window() -> None:
    let_the_clock_jump()
    fake = FakeDesk(rate_limit=20, clock=desk_clock)
    other = httpx.AsyncClient(transport=fake.transport, headers={"Authorization": "Bearer t"})
    async with other, desk_over(fake.transport, deadline=600) as desk:
        await desk.conversations.get(1)
        for _ in range(19):
            await other.get("https://desk.example/desk/api/v2/conversations.json")
        await call_concurrently(30, desk.conversations.convert)
    rejected = [request for request in fake.requests if request.status == 429]
    assert 1 <= len(rejected) <= 19
    assert len(fake.tickets) == 30


async def test_at_most_ten_requests_are_in_flight_until_a_response_reports_the_window() -> None:
    transport = HoldingTransport()
    transport.hold()
    async with desk_over(transport) as desk, anyio.create_task_group() as calls:
        for _ in range(30):
            calls.start_soon(desk.conversations.get, 1)
        await trio.testing.wait_all_tasks_blocked()
        assert transport.in_flight == FIRST_REQUESTS
        transport.released.set()


async def test_no_request_waits_if_the_responses_report_no_window() -> None:
    transport = HoldingTransport()
    async with desk_over(transport) as desk, anyio.create_task_group() as calls:
        await desk.conversations.get(1)
        transport.hold()
        for _ in range(50):
            calls.start_soon(desk.conversations.get, 1)
        await trio.testing.wait_all_tasks_blocked()
        assert transport.in_flight == 50
        transport.released.set()
    assert desk.rate_limit is None


async def test_no_more_requests_are_in_flight_than_the_window_has_left() -> None:
    transport = HoldingTransport(window_headers(5))
    async with desk_over(transport) as desk, anyio.create_task_group() as calls:
        await desk.conversations.get(1)
        transport.hold()
        for _ in range(20):
            calls.start_soon(desk.conversations.get, 1)
        await trio.testing.wait_all_tasks_blocked()
        assert transport.in_flight == 5
        calls.cancel_scope.cancel()


async def test_a_late_response_of_the_same_window_does_not_raise_the_remaining_requests() -> None:
    async with desk_over(HoldingTransport(window_headers(3), window_headers(90))) as desk:
        await desk.conversations.get(1)
        await desk.conversations.get(1)
        assert desk.rate_limit is not None
        assert desk.rate_limit.remaining == 3


async def test_a_response_of_an_earlier_window_is_ignored() -> None:
    async with desk_over(HoldingTransport(window_headers(3), window_headers(90, resets_in=30))) as desk:
        await desk.conversations.get(1)
        reported = desk.rate_limit
        await desk.conversations.get(1)
        assert desk.rate_limit == reported


async def test_the_client_shows_the_window_of_the_last_response() -> None:
    fake = FakeDesk(clock=desk_clock)
    async with desk_over(fake.transport) as desk:
        assert desk.rate_limit is None
        await desk.conversations.get(1)
        assert desk.rate_limit is not None
        assert (desk.rate_limit.limit, desk.rate_limit.remaining) == (120, 119)
        assert desk.rate_limit.reset_at.timestamp() == pytest.approx(EPOCH + 60, abs=1)


async def test_a_call_fails_at_once_if_the_window_resets_after_its_deadline() -> None:
    fake = FakeDesk(rate_limit=1, clock=desk_clock)
    async with desk_over(fake.transport, deadline=30) as desk:
        await desk.conversations.convert(1)
        started_at = anyio.current_time()
        with pytest.raises(DeadlineExceeded, match="rate window") as caught:
            await desk.conversations.convert(2)
        assert anyio.current_time() == started_at
    assert (caught.value.attempts, caught.value.maybe_applied) == (0, False)
    assert len(fake.requests) == 1


async def test_the_wait_for_the_window_counts_against_the_deadline() -> None:
    let_the_clock_jump()
    fake = FakeDesk(rate_limit=1, clock=desk_clock)
    async with desk_over(fake.transport, deadline=90) as desk:
        await desk.conversations.convert(1)
        async with anyio.create_task_group() as calls:

            async def expect_deadline_exceeded() -> None:
                with pytest.raises(DeadlineExceeded):
                    await desk.conversations.convert(3)

            calls.start_soon(desk.conversations.convert, 2)
            await trio.testing.wait_all_tasks_blocked()
            calls.start_soon(expect_deadline_exceeded)
    assert [ticket.conversation_id for ticket in fake.tickets] == [1, 2]


async def test_a_429_pauses_all_callers() -> None:
    let_the_clock_jump()
    arrivals: list[float] = []

    async def respond(request: httpx.Request) -> httpx.Response:
        arrivals.append(anyio.current_time())
        if len(arrivals) == 1:
            return httpx.Response(429, headers={"Retry-After": "30"})
        return httpx.Response(200, json=PAGE)

    desk = desk_over(httpx.MockTransport(respond), retry=RetryPolicy(backoff_base=0))
    async with desk, anyio.create_task_group() as calls:
        calls.start_soon(desk.conversations.get, 1)
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(20):
            calls.start_soon(desk.conversations.get, 1)
    assert len(arrivals) == 22
    assert all(arrival >= arrivals[0] + 30 for arrival in arrivals[1:])


@pytest.mark.parametrize("step", [0.2, 0.3, 0.5, 0.7, 1.0])
async def test_no_caller_waits_forever_if_a_pause_ends_between_two_reads_of_the_clock(
    step: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = trio.lowlevel.current_clock()
    assert isinstance(clock, trio.testing.MockClock)
    pacer = Pacer()
    pacer.hold(1)

    def read_clock_and_jump() -> float:
        clock.jump(step)
        return trio.current_time()

    with monkeypatch.context() as patch, trio.fail_after(60):
        patch.setattr("anyio.current_time", read_clock_and_jump)
        let_the_clock_jump()
        await pacer.enter(deadline=math.inf)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_cancellation_at_the_end_of_a_pause_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("random.random", lambda: 0.0)
    pacer = Pacer()
    pacer.hold(0.1)
    entering = asyncio.create_task(pacer.enter(deadline=math.inf))
    for _ in range(5):
        await asyncio.sleep(0)
    asyncio.get_running_loop().call_later(0.1, entering.cancel)
    time.sleep(0.2)  # noqa: ASYNC251 - the pause and the cancellation must be due in one iteration of the loop
    await asyncio.wait([entering])
    assert entering.cancelled()


async def test_the_first_request_after_a_reset_waits_for_the_jitter_too(monkeypatch: pytest.MonkeyPatch) -> None:
    let_the_clock_jump()
    monkeypatch.setattr("random.random", lambda: 0.5)
    fake = FakeDesk(rate_limit=1, clock=desk_clock)
    async with desk_over(fake.transport) as desk:
        await desk.conversations.convert(1)
        limit = desk.rate_limit
        await desk.conversations.convert(2)
    assert isinstance(limit, RateLimit)
    assert anyio.current_time() + EPOCH == pytest.approx(limit.reset_at.timestamp() + JITTER / 2, abs=1)


async def test_a_cancelled_caller_does_not_delay_the_other_callers() -> None:
    fake = FakeDesk(rate_limit=1, clock=desk_clock)
    async with desk_over(fake.transport, deadline=600) as desk:
        await desk.conversations.convert(1)

        async def wait_five_seconds() -> None:
            with anyio.move_on_after(5):
                await desk.conversations.convert(2)

        async with anyio.create_task_group() as calls:
            calls.start_soon(wait_five_seconds)
            await trio.testing.wait_all_tasks_blocked()
            calls.start_soon(desk.conversations.convert, 3)
            let_the_clock_jump()
    assert [ticket.conversation_id for ticket in fake.tickets] == [1, 3]


async def test_a_429_pauses_for_its_retry_after_and_not_until_the_window_resets() -> None:
    responses = [
        httpx.Response(200, json=PAGE, headers=window_headers(119)),
        httpx.Response(429, headers={"Retry-After": "1"}),
    ]

    async def respond(request: httpx.Request) -> httpx.Response:
        return responses.pop(0) if responses else httpx.Response(200, json=PAGE)

    let_the_clock_jump()
    no_retry = RetryPolicy(max_attempts=1, backoff_base=0)
    async with desk_over(httpx.MockTransport(respond), retry=no_retry) as desk:
        await desk.conversations.get(1)
        with pytest.raises(RateLimitedError):
            await desk.conversations.get(1)
        started_at = anyio.current_time()
        await desk.conversations.get(1)
    assert anyio.current_time() - started_at <= 1 + JITTER
