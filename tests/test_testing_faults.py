"""Every fault has the documented effect on `convert`, with the transport in virtual time and over a real socket."""

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
    ConvertedConversation,
    DeskError,
    NotSentError,
    OutcomeUnknownError,
    PermissionDeniedError,
    RateLimitedError,
    ResponseDecodeError,
    RetryPolicy,
    TransportError,
)
from teamwork_desk.testing import FakeDesk, Fault, VirtualTimeLoop

QUICK = RetryPolicy(backoff_base=0.001, settle=(0.001,))
PATIENT = RetryPolicy(backoff_base=0.001, settle=(0.02,) * 200)

# For each fault: what `convert` returns or raises, how many convert requests it sends, how many tickets are made.
EFFECTS: dict[Fault, tuple[type, int, int]] = {
    "connection refused": (ConvertedConversation, 2, 1),
    "rate limited": (ConvertedConversation, 2, 1),
    "maintenance": (ConvertedConversation, 2, 1),
    "token refused": (AuthenticationError, 1, 0),
    "forbidden": (PermissionDeniedError, 1, 0),
    "answer lost before the work": (ConvertedConversation, 2, 1),
    "answer lost after the work": (ConvertedConversation, 1, 1),
    "answer lost while the work goes on": (ConvertedConversation, 1, 1),
    "server error before the work": (ConvertedConversation, 2, 1),
    "server error after the work": (ConvertedConversation, 1, 1),
    "timeout before the work": (OutcomeUnknownError, 1, 0),
    "timeout after the work": (ConvertedConversation, 1, 1),
    "timeout while the work goes on": (ConvertedConversation, 1, 1),
    "gateway timeout before the work": (OutcomeUnknownError, 1, 0),
    "gateway timeout after the work": (ConvertedConversation, 1, 1),
    "gateway timeout while the work goes on": (ConvertedConversation, 1, 1),
    "unreadable answer": (ConvertedConversation, 1, 1),
    "answer cut off": (ConvertedConversation, 1, 1),
}

on_asyncio = pytest.mark.parametrize("anyio_backend", ["asyncio"])


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    if request.param == "trio":
        return "trio", {"clock": MockClock(autojump_threshold=0)}
    return "asyncio", {"loop_factory": VirtualTimeLoop}


async def convert(desk: AsyncDesk, **arguments: Any) -> Conversation | DeskError:
    """Convert conversation 42, and return the conversation or the error."""
    try:
        return await desk.conversations.convert(42, **arguments)
    except DeskError as error:
        return error


def statuses_of_converts(fake: FakeDesk) -> list[int | None]:
    """Return the status of each convert request that arrived; None if its response was lost."""
    return [request.status for request in fake.requests if request.method == "POST"]


def test_every_fault_is_in_both_tables() -> None:
    assert list(EFFECTS) == list(get_args(Fault))
    assert FakeDesk.inject.__doc__ is not None
    for name in EFFECTS:
        assert f'| `"{name}"` |' in FakeDesk.inject.__doc__


@pytest.mark.parametrize("fault", EFFECTS)
async def test_every_fault_has_its_effect_with_the_transport(
    fault: Fault, fake_desk: FakeDesk, desk: AsyncDesk
) -> None:
    kind, attempts, tickets = EFFECTS[fault]
    fake_desk.inject(fault, method="post")
    result = await convert(desk)
    assert type(result) is kind
    # The transport refuses a connection before the request arrives, so that request is not recorded.
    arrived = attempts - (fault == "connection refused")
    assert (len(statuses_of_converts(fake_desk)), len(fake_desk.tickets)) == (arrived, tickets)
    if isinstance(result, Conversation):
        assert fake_desk.assert_converted_once(42).id == result.ticket_id
    else:
        assert result.attempts == attempts
        assert result.maybe_applied is isinstance(result, OutcomeUnknownError)


async def test_the_client_waits_as_long_as_the_response_asks(fake_desk: FakeDesk, desk: AsyncDesk) -> None:
    start = anyio.current_time()
    fake_desk.inject("maintenance")
    await desk.conversations.convert(42)
    assert 5 <= anyio.current_time() - start < 10
    fake_desk.inject("rate limited", times=9)
    with pytest.raises(RateLimitedError) as caught:
        await desk.with_options(retry=RetryPolicy(max_attempts=1)).conversations.convert(43)
    assert caught.value.rate_limit is not None
    assert caught.value.rate_limit.remaining == 0
    assert caught.value.retry_after is not None
    assert 50 <= caught.value.retry_after <= 61


async def test_the_fault_rate_limited_affects_every_client_until_the_window_ends(
    fake_desk: FakeDesk, desk: AsyncDesk
) -> None:
    fake_desk.inject("rate limited", method="POST")
    without_retries = desk.with_options(retry=RetryPolicy(max_attempts=1))
    async with AsyncDesk("https://d.example", token="t", transport=fake_desk.transport, verify_first=False) as other:
        with pytest.raises(RateLimitedError):
            await without_retries.conversations.convert(41)
        start = anyio.current_time()
        await other.conversations.convert(42)
    assert 50 <= anyio.current_time() - start <= 70
    assert statuses_of_converts(fake_desk) == [429, 429, 200]


async def test_no_fault_happens_to_a_request_above_the_rate_limit() -> None:
    fake = FakeDesk(rate_limit=3)
    async with AsyncDesk("https://d.example", token="t", transport=fake.transport, verify_first=False) as desk:
        for conversation_id in (39, 40, 41):
            await desk.conversations.convert(conversation_id)
        fake.inject("unreadable answer", method="POST")
        async with AsyncDesk("https://d.example", token="t", transport=fake.transport, verify_first=False) as other:
            await other.conversations.convert(42)
    assert statuses_of_converts(fake) == [200, 200, 200, 429, 200]
    fake.assert_converted_once(42)


# The server runs in real time, so it leaves out the two faults after which the client waits for seconds or minutes.
@on_asyncio
@pytest.mark.parametrize("fault", sorted(EFFECTS.keys() - {"rate limited", "maintenance"}))
async def test_every_fault_has_its_effect_over_a_server(fault: Fault) -> None:
    kind, attempts, tickets = EFFECTS[fault]
    fake = FakeDesk()
    fake.inject(fault, method="POST", lasts=0.1)
    retry = PATIENT if fault.endswith("goes on") else QUICK
    async with (
        fake.serve() as url,
        AsyncDesk(url, token="t", retry=retry, timeout=httpx.Timeout(30, read=1), verify_first=False) as desk,
    ):
        result = await convert(desk)
    assert type(result) is kind
    assert (len(statuses_of_converts(fake)), len(fake.tickets)) == (attempts, tickets)


@on_asyncio
@pytest.mark.parametrize("over_a_server", [False, True])
@pytest.mark.parametrize("fault", ["unreadable answer", "answer cut off"])
async def test_a_damaged_response_with_status_200_means_that_the_request_was_carried_out(
    fault: Fault, over_a_server: bool, fake_desk: FakeDesk, desk: AsyncDesk
) -> None:
    fake_desk.inject(fault, method="POST")
    without_lookups = RetryPolicy(on_unknown="raise")
    if over_a_server:
        async with (
            fake_desk.serve() as url,
            AsyncDesk(url, token="t", retry=without_lookups, verify_first=False) as over_http,
        ):
            result = await convert(over_http)
    else:
        result = await convert(desk.with_options(retry=without_lookups))
    assert type(result) is ResponseDecodeError
    fake_desk.assert_converted_once(42)


async def test_the_client_asks_for_a_new_token_after_the_fault_token_refused(fake_desk: FakeDesk) -> None:
    tokens = iter(["old", "new"])
    fake_desk.inject("token refused")
    async with AsyncDesk(
        "https://d.example", token=lambda: next(tokens), transport=fake_desk.transport, verify_first=False
    ) as desk:
        await desk.conversations.convert(42)
    assert [(request.method, request.headers["authorization"]) for request in fake_desk.requests] == [
        ("POST", "Bearer old"),
        ("GET", "Bearer new"),
        ("POST", "Bearer new"),
    ]
    fake_desk.assert_converted_once(42)


@pytest.mark.parametrize("fault", ["timeout while the work goes on", "gateway timeout while the work goes on"])
async def test_a_request_that_is_carried_out_after_the_last_lookup_has_an_unknown_outcome(
    fault: Fault, fake_desk: FakeDesk, desk: AsyncDesk
) -> None:
    fake_desk.inject(fault, lasts=60, method="POST")
    result = await convert(desk)
    assert type(result) is OutcomeUnknownError
    fake_desk.assert_not_converted(42)
    await anyio.sleep(60)
    ticket = fake_desk.assert_converted_once(42)
    later = await desk.conversations.convert(42)
    assert (later.ticket_id, later.created) == (ticket.id, False)
    fake_desk.assert_converted_once(42)


async def test_a_lost_response_to_a_request_that_is_carried_out_too_late_makes_two_tickets(
    fake_desk: FakeDesk, desk: AsyncDesk
) -> None:
    fake_desk.inject("answer lost while the work goes on", lasts=60, method="POST")
    await convert(desk, subject="Refund")
    await anyio.sleep(60)
    assert [ticket.body for ticket in fake_desk.tickets] == [{"subject": "Refund"}] * 2


async def test_delayed_requests_are_carried_out_in_the_order_of_their_times(
    fake_desk: FakeDesk, desk: AsyncDesk
) -> None:
    without_lookups = desk.with_options(retry=RetryPolicy(on_unknown="raise"))
    for conversation_id, lasts in ((41, 30), (42, 20), (43, 10)):
        fake_desk.inject("timeout while the work goes on", lasts=lasts, method="POST")
        with pytest.raises(OutcomeUnknownError):
            await without_lookups.conversations.convert(conversation_id, subject=str(lasts))
    await anyio.sleep(25)
    assert [ticket.body["subject"] for ticket in fake_desk.tickets] == ["10", "20"]
    await anyio.sleep(25)
    assert [ticket.body["subject"] for ticket in fake_desk.tickets] == ["10", "20", "30"]


@pytest.mark.parametrize("fault", ["answer lost while the work goes on", "answer lost after the work"])
async def test_a_request_that_desk_rejects_is_not_carried_out_later(fault: Fault) -> None:
    fake = FakeDesk(token="right")
    fake.inject(fault)
    async with AsyncDesk("https://d.example", token="wrong", transport=fake.transport, verify_first=False) as desk:
        with pytest.raises(OutcomeUnknownError):
            await desk.conversations.convert(42)
        await anyio.sleep(100)
    fake.assert_not_converted(42)


async def test_the_response_of_a_listing_can_be_cut_off_too(fake_desk: FakeDesk, desk: AsyncDesk) -> None:
    fake_desk.inject("answer cut off", times=2, method="GET")
    result = await desk.conversations.get(42)
    assert result.id == 42
    assert [request.status for request in fake_desk.requests] == [200, 200, 200]


async def test_the_faults_of_inject_fail_and_lose_answer_share_one_queue(fake_desk: FakeDesk, desk: AsyncDesk) -> None:
    fake_desk.inject("server error before the work", times=2, method="POST")
    fake_desk.fail(status=425)
    fake_desk.inject("connection refused", method="POST")
    fake_desk.lose_answer("after", method="POST")
    await desk.with_options(retry=RetryPolicy(max_attempts=9)).conversations.convert(42)
    statuses = [(request.method, request.status) for request in fake_desk.requests]
    assert statuses[:3] == [("GET", 425), ("GET", 200), ("POST", 500)]
    assert statuses_of_converts(fake_desk) == [500, 500, None]
    fake_desk.assert_converted_once(42)


async def test_a_mock_that_refuses_the_connection_has_received_the_request(
    fake_desk: FakeDesk, desk: AsyncDesk
) -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            raise httpx.ConnectError("refused")
        return httpx.Response(200, json={"conversations": [{"id": 42, "ticket_id": None}]})

    once = RetryPolicy(max_attempts=1, settle=())
    mock = httpx.MockTransport(refuse)
    async with AsyncDesk("https://a.example", token="any", transport=mock, retry=once) as mocked:
        with pytest.raises(TransportError, match="was sent") as caught:
            await mocked.conversations.convert(42)
        assert type(caught.value) is TransportError
    fake_desk.inject("connection refused", method="POST")
    with pytest.raises(NotSentError):
        await desk.with_options(retry=once).conversations.convert(42)
    assert [request.method for request in fake_desk.requests] == ["GET"]


def test_an_unknown_fault_is_rejected() -> None:
    with pytest.raises(
        ValueError, match="unknown fault: 'earthquake'; expected one of: 'connection refused', 'rate limited', "
    ):
        FakeDesk().inject("earthquake")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="unknown fault: 'answer lost later the work'"):
        FakeDesk().lose_answer("later")  # type: ignore[arg-type]
