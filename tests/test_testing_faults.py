"""Every fault by name, and what `convert` makes of it: over the transport in virtual time, and over a real socket."""

from __future__ import annotations

from typing import Any, get_args

import anyio
import httpx
import pytest
from trio.testing import MockClock

from teamwork_desk import (
    AsyncDesk,
    AuthenticationError,
    Conversation,
    DeskError,
    OutcomeUnknownError,
    PermissionDeniedError,
    RateLimitedError,
    ResponseDecodeError,
    RetryPolicy,
)
from teamwork_desk.testing import FakeDesk, Fault, VirtualTimeLoop

QUICK = RetryPolicy(backoff_base=0.001, settle=(0.001,))
PATIENT = RetryPolicy(backoff_base=0.001, settle=(0.02,) * 200)

# What convert gives, convert requests sent, tickets made
TABLE: dict[Fault, tuple[type, int, int]] = {
    "connection refused": (Conversation, 2, 1),
    "rate limited": (Conversation, 2, 1),
    "maintenance": (Conversation, 2, 1),
    "token refused": (AuthenticationError, 1, 0),
    "forbidden": (PermissionDeniedError, 1, 0),
    "answer lost before the work": (Conversation, 2, 1),
    "answer lost after the work": (Conversation, 1, 1),
    "answer lost while the work goes on": (Conversation, 1, 1),
    "server error before the work": (Conversation, 2, 1),
    "server error after the work": (Conversation, 1, 1),
    "timeout before the work": (OutcomeUnknownError, 1, 0),
    "timeout after the work": (Conversation, 1, 1),
    "timeout while the work goes on": (Conversation, 1, 1),
    "gateway timeout before the work": (OutcomeUnknownError, 1, 0),
    "gateway timeout after the work": (Conversation, 1, 1),
    "gateway timeout while the work goes on": (Conversation, 1, 1),
    "unreadable answer": (Conversation, 1, 1),
    "answer cut off": (Conversation, 1, 1),
}

on_asyncio = pytest.mark.parametrize("anyio_backend", ["asyncio"])


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    if request.param == "trio":
        return "trio", {"clock": MockClock(autojump_threshold=0)}
    return "asyncio", {"loop_factory": VirtualTimeLoop}


async def convert(desk: AsyncDesk, **arguments: Any) -> Conversation | DeskError:
    try:
        return await desk.conversations.convert(42, **arguments)
    except DeskError as error:
        return error


def converts(fake: FakeDesk) -> list[int | None]:
    return [request.status for request in fake.requests if request.method == "POST"]


def test_every_fault_is_in_both_tables() -> None:
    assert list(TABLE) == list(get_args(Fault))
    assert FakeDesk.inject.__doc__ is not None
    for name in TABLE:
        assert f'| `"{name}"` |' in FakeDesk.inject.__doc__


@pytest.mark.parametrize("fault", TABLE)
async def test_over_the_transport(fault: Fault, fake_desk: FakeDesk, desk: AsyncDesk) -> None:
    kind, attempts, tickets = TABLE[fault]
    fake_desk.inject(fault, method="post")
    result = await convert(desk)
    assert type(result) is kind
    arrived = attempts - (fault == "connection refused")
    assert (len(converts(fake_desk)), len(fake_desk.tickets)) == (arrived, tickets)
    if isinstance(result, Conversation):
        assert fake_desk.assert_converted_once(42).id == result.ticket_id
    else:
        assert result.attempts == attempts
        assert result.maybe_applied is isinstance(result, OutcomeUnknownError)


async def test_what_desk_asks_for_is_waited_for(fake_desk: FakeDesk, desk: AsyncDesk) -> None:
    start = anyio.current_time()
    fake_desk.inject("maintenance")
    await desk.conversations.convert(42)
    assert 5 <= anyio.current_time() - start < 10
    fake_desk.inject("rate limited", times=9)
    with pytest.raises(RateLimitedError) as caught:
        await desk.with_options(retry=RetryPolicy(max_attempts=1)).conversations.convert(42)
    assert caught.value.rate_limit is not None
    assert caught.value.rate_limit.remaining == 0
    assert caught.value.retry_after is not None
    assert 50 <= caught.value.retry_after <= 61


async def test_a_window_that_is_used_up_is_so_for_everyone_until_it_resets(
    fake_desk: FakeDesk, desk: AsyncDesk
) -> None:
    fake_desk.inject("rate limited")
    impatient = desk.with_options(retry=RetryPolicy(max_attempts=1))
    async with AsyncDesk("https://d.example", token="t", transport=fake_desk.transport) as other:
        with pytest.raises(RateLimitedError):
            await impatient.conversations.convert(41)
        start = anyio.current_time()
        await other.conversations.convert(42)
    assert 50 <= anyio.current_time() - start <= 70
    assert converts(fake_desk) == [429, 429, 200]


async def test_no_fault_says_that_a_request_was_done_for_which_the_window_had_no_room() -> None:
    fake = FakeDesk(rate_limit=2)
    async with AsyncDesk("https://d.example", token="t", transport=fake.transport) as desk:
        await desk.conversations.convert(40)
        await desk.conversations.convert(41)
        fake.inject("unreadable answer", method="POST")
        async with AsyncDesk("https://d.example", token="t", transport=fake.transport) as other:
            await other.conversations.convert(42)
    assert converts(fake) == [200, 200, 429, 200]
    fake.assert_converted_once(42)


@on_asyncio
@pytest.mark.parametrize("fault", sorted(TABLE.keys() - {"rate limited", "maintenance"}))
async def test_over_a_server(fault: Fault) -> None:
    kind, attempts, tickets = TABLE[fault]
    fake = FakeDesk()
    fake.inject(fault, method="POST", lasts=0.1)
    retry = PATIENT if fault.endswith("goes on") else QUICK
    async with fake.serve() as url, AsyncDesk(url, token="t", retry=retry, timeout=httpx.Timeout(30, read=1)) as desk:
        result = await convert(desk)
    assert type(result) is kind
    assert (len(converts(fake)), len(fake.tickets)) == (attempts, tickets)


@on_asyncio
@pytest.mark.parametrize("over_a_server", [False, True])
@pytest.mark.parametrize("fault", ["unreadable answer", "answer cut off"])
async def test_an_answer_that_says_it_was_applied(
    fault: Fault, over_a_server: bool, fake_desk: FakeDesk, desk: AsyncDesk
) -> None:
    fake_desk.inject(fault)
    never_look = RetryPolicy(on_unknown="raise")
    if over_a_server:
        async with fake_desk.serve() as url, AsyncDesk(url, token="t", retry=never_look) as over_http:
            result = await convert(over_http)
    else:
        result = await convert(desk.with_options(retry=never_look))
    assert type(result) is ResponseDecodeError
    fake_desk.assert_converted_once(42)


async def test_a_refused_token_is_asked_for_again(fake_desk: FakeDesk) -> None:
    tokens = iter(["old", "new"])
    fake_desk.inject("token refused")
    async with AsyncDesk("https://d.example", token=lambda: next(tokens), transport=fake_desk.transport) as desk:
        await desk.conversations.convert(42)
    assert [request.headers["authorization"] for request in fake_desk.requests] == ["Bearer old", "Bearer new"]
    fake_desk.assert_converted_once(42)


@pytest.mark.parametrize("fault", ["timeout while the work goes on", "gateway timeout while the work goes on"])
async def test_work_that_ends_after_the_last_look(fault: Fault, fake_desk: FakeDesk, desk: AsyncDesk) -> None:
    fake_desk.inject(fault, lasts=60)
    result = await convert(desk)
    assert type(result) is OutcomeUnknownError
    fake_desk.assert_not_converted(42)
    await anyio.sleep(60)
    ticket = fake_desk.assert_converted_once(42)
    assert (await desk.conversations.convert(42, verify_first=True)).ticket_id == ticket.id
    fake_desk.assert_converted_once(42)


async def test_the_limit_of_the_promise(fake_desk: FakeDesk, desk: AsyncDesk) -> None:
    fake_desk.inject("answer lost while the work goes on", lasts=60)
    await convert(desk, subject="one")
    await anyio.sleep(60)
    assert [ticket.body for ticket in fake_desk.tickets] == [{"subject": "one"}] * 2


async def test_work_that_goes_on_ends_in_its_order(fake_desk: FakeDesk, desk: AsyncDesk) -> None:
    blind = desk.with_options(retry=RetryPolicy(on_unknown="raise"))
    for lasts in (30, 20, 10):
        fake_desk.inject("timeout while the work goes on", lasts=lasts)
        await convert(blind, subject=str(lasts))
    await anyio.sleep(25)
    assert [ticket.body["subject"] for ticket in fake_desk.tickets] == ["10", "20"]
    await anyio.sleep(25)
    assert [ticket.body["subject"] for ticket in fake_desk.tickets] == ["10", "20", "30"]


@pytest.mark.parametrize("fault", ["answer lost while the work goes on", "answer lost after the work"])
async def test_what_desk_refuses_it_does_not_do_later_either(fault: Fault) -> None:
    fake = FakeDesk(token="right")
    fake.inject(fault)
    async with AsyncDesk("https://d.example", token="wrong", transport=fake.transport) as desk:
        with pytest.raises(OutcomeUnknownError):
            await desk.conversations.convert(42)
        await anyio.sleep(100)
    fake.assert_not_converted(42)


async def test_a_listing_is_cut_off_too(fake_desk: FakeDesk, desk: AsyncDesk) -> None:
    fake_desk.inject("answer cut off", times=2)
    result = await desk.conversations.get(42)
    assert result.id == 42
    assert [request.status for request in fake_desk.requests] == [200, 200, 200]


async def test_faults_queue_with_those_of_fail_and_lose_answer(fake_desk: FakeDesk, desk: AsyncDesk) -> None:
    fake_desk.inject("server error before the work", times=2, method="POST")
    fake_desk.fail(status=425)
    fake_desk.inject("connection refused", method="POST")
    fake_desk.lose_answer("after", method="POST")
    await desk.with_options(retry=RetryPolicy(max_attempts=9)).conversations.convert(42)
    statuses = [(request.method, request.status) for request in fake_desk.requests]
    assert statuses[:2] == [("POST", 500), ("GET", 425)]
    assert converts(fake_desk) == [500, 500, None]
    fake_desk.assert_converted_once(42)


def test_a_fault_that_does_not_exist() -> None:
    with pytest.raises(ValueError, match="no fault: 'earthquake'; there are: 'connection refused', 'rate limited', "):
        FakeDesk().inject("earthquake")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no fault: 'answer lost later the work'"):
        FakeDesk().lose_answer("later")  # type: ignore[arg-type]
