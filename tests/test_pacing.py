"""The gate keeps concurrent callers within the rate window. Time is trio's mock clock: it stands, or jumps."""

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
ANSWER = {"conversations": [{"id": 1, "ticket_id": None}]}


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return "trio", {"clock": trio.testing.MockClock()}


def let_time_jump() -> None:
    clock = trio.lowlevel.current_clock()
    assert isinstance(clock, trio.testing.MockClock)
    clock.autojump_threshold = 0


def desk_clock() -> float:
    return EPOCH + anyio.current_time()


def desk_over(transport: httpx.AsyncBaseTransport, **options: object) -> AsyncDesk:
    return AsyncDesk("https://desk.example", token="t", transport=transport, **options)  # type: ignore[arg-type]


async def at_once(count: int, call: Callable[[int], Coroutine[Any, Any, object]]) -> None:
    async with anyio.create_task_group() as calls:
        for number in range(1, count + 1):
            calls.start_soon(call, number)


class HeldTransport(httpx.AsyncBaseTransport):
    """Answers the first request, and holds the others until they are let go."""

    def __init__(self, *headers: dict[str, str]) -> None:
        self.in_flight = 0
        self.open = anyio.Event()
        self.open.set()
        self._headers = list(headers)

    def hold(self) -> None:
        self.open = anyio.Event()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        headers = self._headers.pop(0) if self._headers else {}
        self.in_flight += 1
        await self.open.wait()
        self.in_flight -= 1
        return httpx.Response(200, json=ANSWER, headers=headers)


def window(remaining: int, *, resets_in: float = 60) -> dict[str, str]:
    return {
        "Date": formatdate(EPOCH, usegmt=True),
        "X-Rate-Limit-Limit": "120",
        "X-Rate-Limit-Remaining": str(remaining),
        "X-Rate-Limit-Reset": str(int(EPOCH + resets_in)),
    }


@pytest.mark.parametrize("skew", [0, 3600, -3600, 10**8, -(10**9)], ids="clock {} s off".format)
async def test_desk_refuses_nobody_once_it_told_its_window(skew: float) -> None:
    let_time_jump()
    fake = FakeDesk(rate_limit=20, clock=lambda: desk_clock() + skew, conversations=range(1, 101))
    async with desk_over(fake.transport, deadline=600) as desk:
        await at_once(100, desk.conversations.convert)
    assert [request.status for request in fake.requests] == [200] * 100
    assert len({ticket.conversation_id for ticket in fake.tickets}) == len(fake.tickets) == 100


async def test_an_account_shared_with_others_is_refused_once_and_then_waits() -> None:
    let_time_jump()
    fake = FakeDesk(rate_limit=20, clock=desk_clock)
    other = httpx.AsyncClient(transport=fake.transport, headers={"Authorization": "Bearer t"})
    async with other, desk_over(fake.transport, deadline=600) as desk:
        await desk.conversations.get(1)
        for _ in range(19):
            await other.get("https://desk.example/desk/api/v2/conversations.json")
        await at_once(30, desk.conversations.convert)
    refused = [request for request in fake.requests if request.status == 429]
    assert 1 <= len(refused) <= 19
    assert len(fake.tickets) == 30


async def test_at_most_ten_are_in_flight_until_an_answer_tells_the_window() -> None:
    transport = HeldTransport()
    transport.hold()
    async with desk_over(transport) as desk, anyio.create_task_group() as calls:
        for _ in range(30):
            calls.start_soon(desk.conversations.get, 1)
        await trio.testing.wait_all_tasks_blocked()
        assert transport.in_flight == FIRST_REQUESTS
        transport.open.set()


async def test_without_a_window_nobody_waits() -> None:
    transport = HeldTransport()
    async with desk_over(transport) as desk, anyio.create_task_group() as calls:
        await desk.conversations.get(1)
        transport.hold()
        for _ in range(50):
            calls.start_soon(desk.conversations.get, 1)
        await trio.testing.wait_all_tasks_blocked()
        assert transport.in_flight == 50
        transport.open.set()
    assert desk.rate_limit is None


async def test_no_more_are_in_flight_than_the_window_has_left() -> None:
    transport = HeldTransport(window(5))
    async with desk_over(transport) as desk, anyio.create_task_group() as calls:
        await desk.conversations.get(1)
        transport.hold()
        for _ in range(20):
            calls.start_soon(desk.conversations.get, 1)
        await trio.testing.wait_all_tasks_blocked()
        assert transport.in_flight == 5
        calls.cancel_scope.cancel()


async def test_an_answer_that_was_overtaken_does_not_widen_the_window() -> None:
    async with desk_over(HeldTransport(window(3), window(90))) as desk:
        await desk.conversations.get(1)
        await desk.conversations.get(1)
        assert desk.rate_limit is not None
        assert desk.rate_limit.remaining == 3


async def test_an_answer_of_the_window_before_is_ignored() -> None:
    async with desk_over(HeldTransport(window(3), window(90, resets_in=30))) as desk:
        await desk.conversations.get(1)
        told = desk.rate_limit
        await desk.conversations.get(1)
        assert desk.rate_limit == told


async def test_the_window_is_told() -> None:
    fake = FakeDesk(clock=desk_clock)
    async with desk_over(fake.transport) as desk:
        assert desk.rate_limit is None
        await desk.conversations.get(1)
        assert desk.rate_limit is not None
        assert (desk.rate_limit.limit, desk.rate_limit.remaining) == (120, 119)
        assert desk.rate_limit.reset_at.timestamp() == pytest.approx(EPOCH + 60, abs=1)


async def test_a_window_that_opens_after_the_deadline_is_not_waited_for() -> None:
    fake = FakeDesk(rate_limit=1, clock=desk_clock)
    async with desk_over(fake.transport, deadline=30) as desk:
        await desk.conversations.convert(1)
        begun = anyio.current_time()
        with pytest.raises(DeadlineExceeded, match="rate window") as caught:
            await desk.conversations.convert(2)
        assert anyio.current_time() == begun
    assert (caught.value.attempts, caught.value.maybe_applied) == (0, False)
    assert len(fake.requests) == 1


async def test_waiting_counts_against_the_deadline() -> None:
    let_time_jump()
    fake = FakeDesk(rate_limit=1, clock=desk_clock)
    async with desk_over(fake.transport, deadline=90) as desk:
        await desk.conversations.convert(1)
        async with anyio.create_task_group() as calls:

            async def expect_no_time() -> None:
                with pytest.raises(DeadlineExceeded):
                    await desk.conversations.convert(3)

            calls.start_soon(desk.conversations.convert, 2)
            await trio.testing.wait_all_tasks_blocked()
            calls.start_soon(expect_no_time)
    assert [ticket.conversation_id for ticket in fake.tickets] == [1, 2]


async def test_one_refusal_pauses_everyone() -> None:
    let_time_jump()
    seen: list[float] = []

    async def answer(request: httpx.Request) -> httpx.Response:
        seen.append(anyio.current_time())
        if len(seen) == 1:
            return httpx.Response(429, headers={"Retry-After": "30"})
        return httpx.Response(200, json=ANSWER)

    desk = desk_over(httpx.MockTransport(answer), retry=RetryPolicy(backoff_base=0))
    async with desk, anyio.create_task_group() as calls:
        calls.start_soon(desk.conversations.get, 1)
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(20):
            calls.start_soon(desk.conversations.get, 1)
    assert len(seen) == 22
    assert all(moment >= seen[0] + 30 for moment in seen[1:])


@pytest.mark.parametrize("step", [0.2, 0.3, 0.5, 0.7, 1.0])
async def test_a_pause_that_ends_between_two_looks_at_the_clock_strands_nobody(
    step: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = trio.lowlevel.current_clock()
    assert isinstance(clock, trio.testing.MockClock)
    pacer = Pacer()
    pacer.hold(1)

    def look() -> float:
        clock.jump(step)
        return trio.current_time()

    with monkeypatch.context() as patch, trio.fail_after(60):
        patch.setattr("anyio.current_time", look)
        let_time_jump()
        await pacer.enter(deadline=math.inf)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_cancellation_that_meets_the_end_of_a_pause_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("random.random", lambda: 0.0)
    pacer = Pacer()
    pacer.hold(0.1)
    entering = asyncio.create_task(pacer.enter(deadline=math.inf))
    for _ in range(5):
        await asyncio.sleep(0)
    asyncio.get_running_loop().call_later(0.1, entering.cancel)
    time.sleep(0.2)  # noqa: ASYNC251 - so that both are due in the same turn of the loop
    await asyncio.wait([entering])
    assert entering.cancelled()


async def test_the_first_after_a_reset_waits_a_little_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    let_time_jump()
    monkeypatch.setattr("random.random", lambda: 0.5)
    fake = FakeDesk(rate_limit=1, clock=desk_clock)
    async with desk_over(fake.transport) as desk:
        await desk.conversations.convert(1)
        limit = desk.rate_limit
        await desk.conversations.convert(2)
    assert isinstance(limit, RateLimit)
    assert anyio.current_time() + EPOCH == pytest.approx(limit.reset_at.timestamp() + JITTER / 2, abs=1)


async def test_a_caller_who_gives_up_waiting_does_not_hold_up_the_others() -> None:
    fake = FakeDesk(rate_limit=1, clock=desk_clock)
    async with desk_over(fake.transport, deadline=600) as desk:
        await desk.conversations.convert(1)

        async def give_up() -> None:
            with anyio.move_on_after(5):
                await desk.conversations.convert(2)

        async with anyio.create_task_group() as calls:
            calls.start_soon(give_up)
            await trio.testing.wait_all_tasks_blocked()
            calls.start_soon(desk.conversations.convert, 3)
            let_time_jump()
    assert [ticket.conversation_id for ticket in fake.tickets] == [1, 3]


async def test_a_refusal_holds_everyone_for_as_long_as_asked_not_for_the_window() -> None:
    answers = [httpx.Response(200, json=ANSWER, headers=window(119)), httpx.Response(429, headers={"Retry-After": "1"})]

    async def answer(request: httpx.Request) -> httpx.Response:
        return answers.pop(0) if answers else httpx.Response(200, json=ANSWER)

    let_time_jump()
    once = RetryPolicy(max_attempts=1, backoff_base=0)
    async with desk_over(httpx.MockTransport(answer), retry=once) as desk:
        await desk.conversations.get(1)
        with pytest.raises(RateLimitedError):
            await desk.conversations.get(1)
        begun = anyio.current_time()
        await desk.conversations.get(1)
    assert anyio.current_time() - begun <= 1 + JITTER
