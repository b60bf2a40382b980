"""The pacer keeps concurrent callers within the rate limit, whatever the way in which the server counts.

Time is virtual: it stands still while anything can run, and jumps to the next timer when everything waits.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from email.utils import formatdate
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teamwork_desk import AsyncDesk, DeadlineExceeded, DeskError, RateLimitedError, RetryPolicy
from teamwork_desk._pacing import DOCUMENTED_LIMIT, FIRST_REQUESTS, PERIOD, Pacer
from teamwork_desk.testing import FakeDesk, VirtualTimeLoop
from teamwork_desk.testing._limiter import LimiterName

EPOCH = 1_800_000_000.0
LISTING = {"conversations": [{"id": 1, "ticket_id": None}]}
REPORTING: list[LimiterName] = ["sliding log", "window", "seconds left"]
"""The limiters that report the limit in headers."""


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return "asyncio", {"loop_factory": VirtualTimeLoop}


class SlowTransport(httpx.AsyncBaseTransport):
    """Takes time in both directions, so that requests overlap."""

    def __init__(
        self,
        inner: httpx.AsyncBaseTransport,
        *,
        seconds: Callable[[], float] = lambda: 0.1,
        is_lost: Callable[[], bool] = lambda: False,
    ) -> None:
        self._inner = inner
        self._seconds = seconds
        self._is_lost = is_lost

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await anyio.sleep(self._seconds())
        response = await self._inner.handle_async_request(request)
        await anyio.sleep(self._seconds())
        if self._is_lost():
            raise httpx.ReadError("lost")
        return response


class HeldTransport(httpx.AsyncBaseTransport):
    """Holds requests until the test lets them go, and responds with the given headers in turn."""

    def __init__(self, *headers: dict[str, str], status: int = 200) -> None:
        self.in_flight = 0
        self.open = anyio.Event()
        self.open.set()
        self._headers = list(headers)
        self._status = status

    def hold(self) -> None:
        self.open = anyio.Event()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        headers = self._headers.pop(0) if self._headers else {}
        self.in_flight += 1
        await self.open.wait()
        self.in_flight -= 1
        return httpx.Response(self._status, json=LISTING, headers=headers)


def reported(remaining: int, *, limit: int = 120, reset: str | None = None) -> dict[str, str]:
    return {
        "Date": formatdate(EPOCH, usegmt=True),
        "X-Rate-Limit-Limit": str(limit),
        "X-Rate-Limit-Remaining": str(remaining),
        "X-Rate-Limit-Reset": reset or str(int(EPOCH + 60)),
    }


@asynccontextmanager
async def client_over(transport: httpx.AsyncBaseTransport, **options: Any) -> AsyncGenerator[AsyncDesk]:
    async with AsyncDesk("https://desk.example", token="t", transport=transport, **options, verify_first=False) as desk:
        yield desk


async def at_once(count: int, call: Callable[[int], Awaitable[object]]) -> None:
    async def run(number: int) -> None:
        await call(number)

    async with anyio.create_task_group() as calls:
        for number in range(1, count + 1):
            calls.start_soon(run, number)


def statuses(fake: FakeDesk) -> list[int | None]:
    return [request.status for request in fake.requests]


# Within the limit


@pytest.mark.parametrize("limiter", REPORTING)
async def test_no_request_is_refused_by_a_server_that_reports_its_limit(limiter: LimiterName) -> None:
    fake = FakeDesk(rate_limit=20, limiter=limiter, conversations=range(1, 101))
    async with client_over(SlowTransport(fake.transport), deadline=600) as desk:
        await at_once(100, desk.conversations.convert)
    assert statuses(fake) == [200] * 100
    assert len({ticket.conversation_id for ticket in fake.tickets}) == len(fake.tickets) == 100
    # Four further periods are necessary, and they are used in full.
    assert 240 <= anyio.current_time() <= 252


async def test_a_server_that_reports_nothing_refuses_a_few_requests_and_no_job_fails() -> None:
    fake = FakeDesk(rate_limit=20, limiter="silent", conversations=range(1, 101))
    async with client_over(SlowTransport(fake.transport), deadline=600) as desk:
        outcomes = [outcome async for outcome in desk.conversations.convert_many(range(1, 101), concurrency=4)]
    assert [outcome.error for outcome in outcomes] == [None] * 100
    assert statuses(fake).count(429) <= 6 * 4
    # Before a refused request is sent again, a lookup takes a place of the window, too.
    lookups = len([request for request in fake.requests if (request.method, request.status) == ("GET", 200)])
    assert lookups <= statuses(fake).count(429)
    assert anyio.current_time() <= 320


@pytest.mark.parametrize("limiter", [*REPORTING, "silent"])
async def test_three_clients_of_one_account_share_the_limit(limiter: LimiterName) -> None:
    fake = FakeDesk(rate_limit=30, limiter=limiter, conversations=range(1, 151))
    errors: list[DeskError] = []

    async def work_off(part: int) -> None:
        async with client_over(SlowTransport(fake.transport, seconds=random.Random(part).random)) as desk:
            jobs = range(part, 151, 3)
            errors.extend([each.error async for each in desk.conversations.convert_many(jobs) if each.error])

    await at_once(3, work_off)
    assert errors == []
    assert len(fake.tickets) == 150
    assert statuses(fake).count(429) <= len(fake.requests) / 3


@settings(max_examples=60)
@given(
    limiter=st.sampled_from(REPORTING),
    limit=st.integers(1, 12),
    period=st.integers(5, 90),
    starts=st.lists(st.floats(0, 200), min_size=1, max_size=60),
    seed=st.integers(0, 2**16),
    slowest=st.sampled_from([0.0, 0.3, 4.0]),
    loss=st.sampled_from([0, 0.1]),
)
def test_no_request_exceeds_the_limit_in_any_period(
    *, limiter: LimiterName, limit: int, period: int, starts: list[float], seed: int, slowest: float, loss: float
) -> None:
    async def main() -> list[int | None]:
        fake = FakeDesk(rate_limit=limit, window=period, limiter=limiter, conversations=range(1, len(starts) + 1))
        draw = random.Random(seed)
        # A first response shows the limit: before it, up to ten requests may be in flight.
        transport = SlowTransport(
            fake.transport,
            seconds=lambda: draw.uniform(0, slowest),
            is_lost=lambda: len(fake.requests) > 1 and draw.random() < loss,
        )
        async with client_over(transport, retry=RetryPolicy(max_attempts=20)) as desk:
            patient = desk.with_options(deadline=100_000)
            await patient.conversations.get(1)

            async def convert(number: int) -> None:
                await anyio.sleep(starts[number - 1])
                await patient.conversations.convert(number)

            await at_once(len(starts), convert)
        assert len(fake.tickets) == len(starts)
        return statuses(fake)

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        assert 429 not in runner.run(main())


# What the responses report


async def test_at_most_ten_requests_are_in_flight_before_the_first_response() -> None:
    transport = HeldTransport()
    transport.hold()
    async with client_over(transport) as desk, anyio.create_task_group() as calls:
        for _ in range(30):
            calls.start_soon(desk.conversations.get, 1)
        await anyio.wait_all_tasks_blocked()
        assert transport.in_flight == FIRST_REQUESTS
        transport.open.set()


async def test_a_server_without_limit_headers_that_refuses_nothing_is_not_paced_for_long() -> None:
    transport = HeldTransport()
    async with client_over(transport) as desk, anyio.create_task_group() as calls:
        for _ in range(DOCUMENTED_LIMIT + 50):
            await desk.conversations.get(1)
        assert anyio.current_time() == 0
        transport.hold()
        for _ in range(50):
            calls.start_soon(desk.conversations.get, 1)
        await anyio.wait_all_tasks_blocked()
        assert transport.in_flight == 50
        transport.open.set()
    assert desk.rate_limit is None


async def test_the_requests_of_other_clients_take_their_places() -> None:
    transport = HeldTransport(reported(5))
    async with client_over(transport) as desk, anyio.create_task_group() as calls:
        await desk.conversations.get(1)
        transport.hold()
        for _ in range(20):
            calls.start_soon(desk.conversations.get, 1)
        await anyio.wait_all_tasks_blocked()
        # Others have used 114 of 120 places, so this client takes a share of the five that are left, and no more.
        assert 1 <= transport.in_flight <= 5
        calls.cancel_scope.cancel()


async def test_the_reported_limit_is_shown() -> None:
    fake = FakeDesk(clock=lambda: EPOCH + anyio.current_time(), limiter="window")
    async with client_over(fake.transport) as desk:
        assert desk.rate_limit is None
        await desk.conversations.get(1)
        assert desk.rate_limit is not None
        assert (desk.rate_limit.limit, desk.rate_limit.remaining) == (120, 119)
        assert desk.rate_limit.reset_at.timestamp() == pytest.approx(EPOCH + 60, abs=1)


async def test_a_request_without_a_response_counts_for_a_period() -> None:
    fake = FakeDesk(rate_limit=2)
    async with client_over(fake.transport, retry=RetryPolicy(max_attempts=1)) as desk:
        await desk.conversations.get(1)
        fake.lose_answer("after", method="GET")
        with pytest.raises(DeskError):
            await desk.conversations.get(1)
        await desk.conversations.get(1)
    assert anyio.current_time() >= PERIOD


async def test_a_request_that_was_not_sent_takes_no_place() -> None:
    fake = FakeDesk(rate_limit=2)
    async with client_over(fake.transport, retry=RetryPolicy(max_attempts=1)) as desk:
        await desk.conversations.get(1)
        for _ in range(5):
            fake.inject("connection refused")
            with pytest.raises(DeskError):
                await desk.conversations.get(1)
        await desk.conversations.get(1)
    assert anyio.current_time() == 0


# After a 429


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [({"Retry-After": "30"}, 30), (reported(0, reset="45"), 45), ({}, PERIOD)],
    ids=["Retry-After", "a reset", "nothing"],
)
async def test_after_a_429_nothing_is_sent_until_there_can_be_room(headers: dict[str, str], seconds: float) -> None:
    sent: list[float] = []

    async def respond(request: httpx.Request) -> httpx.Response:
        sent.append(anyio.current_time())
        if len(sent) == 1:
            return httpx.Response(429, headers=headers)
        return httpx.Response(200, json=LISTING)

    async with client_over(httpx.MockTransport(respond), deadline=600) as desk, anyio.create_task_group() as calls:
        calls.start_soon(desk.conversations.get, 1)
        await anyio.wait_all_tasks_blocked()
        for _ in range(20):
            calls.start_soon(desk.conversations.get, 1)
    assert all(moment >= sent[0] + seconds for moment in sent[1:])


async def test_a_window_whose_reset_is_rounded_down_refuses_a_call_twice_at_most() -> None:
    window_ends = 59.9
    refused = 0

    async def respond(request: httpx.Request) -> httpx.Response:
        nonlocal refused
        now = anyio.current_time()
        is_refused = 0 < now < window_ends
        refused += is_refused
        headers = {"X-Rate-Limit-Limit": "1", "X-Rate-Limit-Remaining": "0"}
        headers["X-Rate-Limit-Reset"] = str(int(window_ends - now) if now < window_ends else 60)
        return httpx.Response(429 if is_refused else 200, json=LISTING, headers=headers)

    async with client_over(httpx.MockTransport(respond)) as desk:
        await desk.conversations.get(1)
        await desk.conversations.get(1)
    assert refused <= 2


async def test_a_pause_that_the_server_asks_for_says_nothing_about_its_limit() -> None:
    fake = FakeDesk(limiter="silent")
    async with client_over(fake.transport) as desk:
        for _ in range(20):
            await desk.conversations.get(1)
        fake.fail(status=429, headers={"Retry-After": "1"})
        await desk.conversations.get(1)
        for _ in range(50):
            await desk.conversations.get(1)
    assert anyio.current_time() < 3


async def test_a_call_ends_with_the_429_when_its_attempts_are_used_up() -> None:
    transport = HeldTransport(status=429)
    async with client_over(transport, retry=RetryPolicy(max_attempts=2)) as desk:
        with pytest.raises(RateLimitedError) as caught:
            await desk.conversations.get(1)
    assert caught.value.attempts == 2


# The order, and the deadline


async def test_the_oldest_call_has_its_turn_first() -> None:
    pacer, turns = Pacer(), list[int]()

    async def wait(call: int) -> None:
        await pacer.enter(call, deadline=1000)
        turns.append(call)
        pacer.leave(httpx.Response(200, headers=reported(0, limit=1, reset="10")), started=anyio.current_time())

    await wait(0)
    async with anyio.create_task_group() as tasks:
        for call in (5, 3, 4, 1, 2):
            tasks.start_soon(wait, call)
    assert turns == [0, 1, 2, 3, 4, 5]


async def test_a_call_that_cannot_have_its_turn_before_its_deadline_fails_at_once() -> None:
    fake = FakeDesk(rate_limit=1)
    async with client_over(fake.transport, deadline=30) as desk:
        await desk.conversations.convert(1)
        began = anyio.current_time()
        with pytest.raises(DeadlineExceeded, match="rate limit") as caught:
            await desk.conversations.convert(2)
        assert anyio.current_time() == began
    assert (caught.value.attempts, caught.value.maybe_applied) == (0, False)
    assert len(fake.requests) == 1


async def test_a_call_behind_others_fails_at_once_if_they_use_up_the_time() -> None:
    fake = FakeDesk(rate_limit=1)
    async with client_over(fake.transport, deadline=90) as desk:
        await desk.conversations.convert(1)
        async with anyio.create_task_group() as calls:

            async def expect_no_time() -> None:
                began = anyio.current_time()
                with pytest.raises(DeadlineExceeded):
                    await desk.conversations.convert(3)
                assert anyio.current_time() == began

            calls.start_soon(desk.conversations.convert, 2)
            await anyio.wait_all_tasks_blocked()
            calls.start_soon(expect_no_time)
    assert [ticket.conversation_id for ticket in fake.tickets] == [1, 2]


@pytest.mark.parametrize("limit", [10, 120])
async def test_all_who_wait_learn_from_the_first_response_that_the_limit_leaves_no_room_for_them(limit: int) -> None:
    callers = 3 * limit + 70
    fake = FakeDesk(rate_limit=limit, conversations=range(1, callers + 1))
    failed_at = list[float]()

    async def convert(number: int) -> None:
        try:
            await desk.conversations.convert(number)
        except DeadlineExceeded:
            failed_at.append(anyio.current_time())

    async with client_over(SlowTransport(fake.transport), deadline=90) as desk:
        await at_once(callers, convert)
    # Two periods begin before the deadline.
    assert len(fake.tickets) == 2 * limit
    assert len(failed_at) == callers - 2 * limit
    assert max(failed_at) < 1


async def test_an_old_call_does_not_wait_behind_the_lookup_of_a_young_one() -> None:
    """The young call leads the listing, and has the turn of the oldest call that waits for it."""
    fake = FakeDesk(rate_limit=20, conversations=range(1, 101))
    outcomes: dict[int, Any] = {}

    async def convert(view: AsyncDesk, number: int, *, verify_first: bool = False) -> None:
        try:
            outcomes[number] = await view.conversations.convert(number, verify_first=verify_first)
        except DeskError as error:
            outcomes[number] = error

    async with client_over(SlowTransport(fake.transport)) as desk, anyio.create_task_group() as calls:
        await desk.conversations.get(1)
        fake.lose_answer("after", method="POST")
        for number in range(1, 61):
            calls.start_soon(convert, desk, number)
        await anyio.lowlevel.checkpoint()
        calls.start_soon(partial(convert, desk.with_options(deadline=1000), 100, verify_first=True))
    lost = fake.tickets[0]
    assert outcomes[lost.conversation_id].ticket_id == lost.id


async def test_a_call_learns_behind_the_lookup_of_another_that_there_is_no_room_for_it() -> None:
    fake = FakeDesk(rate_limit=1)
    async with client_over(fake.transport) as desk, anyio.create_task_group() as calls:
        await desk.conversations.get(1)
        calls.start_soon(partial(desk.conversations.convert, 2, verify_first=True))
        await anyio.wait_all_tasks_blocked()
        began = anyio.current_time()
        with pytest.raises(DeadlineExceeded, match="leaves no room") as caught:
            await desk.with_options(deadline=30).conversations.convert(3, verify_first=True)
        assert anyio.current_time() == began
        assert caught.value.retry_after == pytest.approx(60, abs=2)
        calls.cancel_scope.cancel()


async def test_a_deadline_that_passes_for_another_reason_has_no_retry_after() -> None:
    transport = HeldTransport()
    transport.hold()
    async with client_over(transport, deadline=5) as desk:
        with pytest.raises(DeadlineExceeded) as caught:
            await desk.conversations.get(1)
    assert caught.value.retry_after is None


async def test_a_crowd_leaves_no_outcome_unknown() -> None:
    fake = FakeDesk(rate_limit=20, conversations=range(1, 101))
    converted, errors = list[int](), list[DeskError]()

    async def convert(number: int) -> None:
        try:
            await desk.conversations.convert(number, verify_first=True)
        except DeskError as error:
            errors.append(error)
        else:
            converted.append(number)

    async with client_over(SlowTransport(fake.transport), deadline=120) as desk:
        await at_once(100, convert)
    # Two windows have 40 places, and a few of them are used for lookups.
    assert len(converted) >= 34
    assert {type(error) for error in errors} == {DeadlineExceeded}
    assert not any(error.maybe_applied for error in errors)
    assert len(fake.tickets) == len(converted)


async def test_a_request_does_not_start_so_late_that_its_outcome_would_be_unknown() -> None:
    fake = FakeDesk()
    async with client_over(SlowTransport(fake.transport, seconds=lambda: 2)) as desk:
        await desk.conversations.get(1)
        # A lookup takes four seconds, so that less than a tenth of the deadline is left for the conversion.
        with pytest.raises(DeadlineExceeded, match="too little time is left") as caught:
            await desk.with_options(deadline=4.3).conversations.convert(2, verify_first=True)
    assert not caught.value.maybe_applied
    assert fake.tickets == []


async def test_a_slow_desk_leaves_a_short_deadline_nine_tenths_of_its_time() -> None:
    fake = FakeDesk()
    delay = 2.0
    async with client_over(SlowTransport(fake.transport, seconds=lambda: delay)) as desk:
        await desk.conversations.get(1)
        delay = 0.1
        await desk.with_options(deadline=1).conversations.convert(2, verify_first=True)
    fake.assert_converted_once(2)


async def test_without_lists_of_ids_a_crowd_does_not_use_up_the_window_with_lookups() -> None:
    fake = FakeDesk(rate_limit=20, conversations=range(1, 101))
    transport = SlowTransport(fake.transport)

    async def refuse_lists(request: httpx.Request) -> httpx.Response:
        if "%24in" in str(request.url):
            fake.fail(status=400)
        return await transport.handle_async_request(request)

    errors = list[DeskError]()

    async def convert(number: int) -> None:
        try:
            await desk.conversations.convert(number, verify_first=True)
        except DeskError as error:
            errors.append(error)

    async with client_over(httpx.MockTransport(refuse_lists), deadline=120) as desk:
        await at_once(100, convert)
    # Two windows have 40 places, and each conversion needs two. A list of ids is tried once.
    assert len(fake.tickets) >= 18
    assert len(errors) == 100 - len(fake.tickets)
    assert not any(error.maybe_applied for error in errors)


async def test_a_caller_that_gives_up_does_not_hold_up_the_others() -> None:
    fake = FakeDesk(rate_limit=1)
    async with client_over(fake.transport, deadline=600) as desk:
        await desk.conversations.convert(1)

        async def give_up() -> None:
            with anyio.move_on_after(5):
                await desk.conversations.convert(2)

        async with anyio.create_task_group() as calls:
            calls.start_soon(give_up)
            await anyio.wait_all_tasks_blocked()
            calls.start_soon(desk.conversations.convert, 3)
    assert [ticket.conversation_id for ticket in fake.tickets] == [1, 3]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_cancellation_that_meets_the_end_of_a_wait_is_not_lost() -> None:
    pacer = Pacer()
    headers = reported(0, limit=1, reset="0")
    await pacer.enter(0, deadline=1e9)
    pacer.leave(httpx.Response(429, headers={**headers, "Retry-After": "0.1"}), started=anyio.current_time())
    entering = asyncio.create_task(pacer.enter(0, deadline=1e9))
    for _ in range(5):
        await asyncio.sleep(0)
    asyncio.get_running_loop().call_later(0.1, entering.cancel)
    time.sleep(0.2)  # noqa: ASYNC251 - so that both are due in the same turn of the loop
    await asyncio.wait([entering])
    assert entering.cancelled()
