"""How a call reacts to each kind of outcome, over real sockets: it retries, looks up, gives up or raises an error."""

from __future__ import annotations

import itertools
import json
import logging
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any, cast

import anyio
import httpx
import pytest
from attrs import evolve
from fault_server import Answer, Fault, FaultServer, Listing, Plan, Work
from virtual_time import in_time_that_leaps, in_virtual_time, leap, leaping

from teamwork_desk import (
    AsyncDesk,
    AuthenticationError,
    ConflictError,
    Conversation,
    ConvertedConversation,
    DeadlineExceeded,
    DeskError,
    NotFoundError,
    NotSentError,
    OutcomeUnknownError,
    PermissionDeniedError,
    RateLimitedError,
    ResponseDecodeError,
    RetryPolicy,
    ServerError,
    StatusError,
    TransportError,
    UnprocessableError,
    ValidationError,
)
from teamwork_desk.testing import FakeDesk
from teamwork_desk_api.types import Hook, Request

QUICK = RetryPolicy(backoff_base=0.001, settle=(0.001, 0.001))
PATIENT = RetryPolicy(settle=(0.001, 60))
RAISE = RetryPolicy(backoff_base=0.001, settle=(0.001, 0.001), on_unknown="raise")
PATIENCE = 10
"""Seconds for which the client waits for a response. When the server gives none, the tests let them pass at once."""


def status(code: int, work: Work = "never", *headers: str) -> Fault:
    return Fault(answer="status", status=code, work=work, headers=headers)


def make_fault(answer: Answer, work: Work = "never") -> Fault:
    return Fault(answer=answer, work=work)


def once(fault: Fault, *, lagging_lookups: int = 0, listing: Listing = "reliable") -> Plan:
    return Plan(faults=(fault,), lagging_lookups=lagging_lookups, listing=listing)


def always(fault: Fault, *, listing: Listing = "reliable") -> Plan:
    return Plan(faults=(fault,) * 9, listing=listing)


def listed(request: httpx.Request) -> httpx.Response:
    """Return the listing that shows the only conversation that a lookup asks for, without a ticket."""
    conversation_id = json.loads(request.url.params["filter"])["id"]["$eq"]
    return httpx.Response(200, json={"conversations": [{"id": conversation_id, "ticket_id": None}]})


CONVERTED: Work = "before the response"
CONVERTED_LATE: Work = "at the second lookup"
CONVERTED_TOO_LATE: Work = "after the client gave up"

UNREADABLE: tuple[Answer, ...] = ("half a body", "reset within the body", "HTML", "no id", "broken gzip", "empty")
WITHOUT_TICKET: tuple[Answer, ...] = ("ticket null", "ticket 0", "ticket missing")


def refused(code: int, work: Work = "never") -> Fault:
    return status(code, work, "Retry-After: 0")


# The plan, the result of convert, maybe_applied, and the number of convert requests
TABLE = {
    "no fault": (Plan(), ConvertedConversation, False, 1),
    # The server, or a gateway, says that it refuses the request for now: the call looks it up, and then retries.
    **{
        f"{code}, not converted": (once(fault), ConvertedConversation, False, 2)
        for code, fault in (("425", status(425)), ("429", refused(429)), ("the first 401", status(401)))
    },
    **{
        f"{code}, converted all the same": (once(fault), ConvertedConversation, False, 1)
        for code, fault in (
            ("425", status(425, CONVERTED)), ("429", refused(429, CONVERTED)), ("the first 401", status(401, CONVERTED))
        )
    },
    "429 forever": (always(refused(429)), RateLimitedError, False, 4),
    "429 again and again, converted at the second": (
        Plan(faults=(refused(429), refused(429, CONVERTED), refused(429))), ConvertedConversation, False, 2
    ),
    "429, the lookup is forbidden": (once(refused(429), listing="forbidden"), OutcomeUnknownError, True, 1),
    "Retry-After is too long": (always(status(429, "never", "Retry-After: 121")), RateLimitedError, False, 1),
    # The request has ended and its effect is unknown: the call looks it up, and then retries.
    "reset, not converted": (once(make_fault("reset")), ConvertedConversation, False, 2),
    "reset, converted": (once(make_fault("reset", CONVERTED)), ConvertedConversation, False, 1),
    "reset, converted later": (once(make_fault("reset", CONVERTED_LATE)), ConvertedConversation, False, 1),
    "reset, converted, lookups lag": (
        once(make_fault("reset", CONVERTED), lagging_lookups=2), ConvertedConversation, False, 1
    ),
    "closed, not converted": (once(make_fault("close")), ConvertedConversation, False, 2),
    "half a status line, converted": (
        once(make_fault("half a status line", CONVERTED)), ConvertedConversation, False, 1
    ),
    "not HTTP, not converted": (once(make_fault("not HTTP")), ConvertedConversation, False, 2),
    "reset forever": (always(make_fault("reset")), TransportError, False, 4),
    "reset, the lookup is forbidden": (always(make_fault("reset"), listing="forbidden"), OutcomeUnknownError, True, 1),
    "reset, converted, first lookup fails": (
        once(make_fault("reset", CONVERTED), listing="flaky"), ConvertedConversation, False, 1
    ),
    **{
        f"{code}, converted": (once(status(code, CONVERTED)), ConvertedConversation, False, 1)
        for code in (408, 500, 502, 503)
    },
    **{
        f"{code}, not converted": (once(status(code)), ConvertedConversation, False, 2)
        for code in (408, 503, 520, 999)
    },
    "500 forever": (always(status(500)), ServerError, False, 4),
    "999 forever": (always(status(999)), StatusError, False, 4),
    "500, the lookup is forbidden": (always(status(500), listing="forbidden"), OutcomeUnknownError, True, 1),
    # A maintenance page says nothing about what the server behind it does.
    "503 with Retry-After, not converted": (once(refused(503)), ConvertedConversation, False, 2),
    "503 with Retry-After, converted": (once(refused(503, CONVERTED)), ConvertedConversation, False, 1),
    "503 with Retry-After, converted later": (once(refused(503, CONVERTED_LATE)), ConvertedConversation, False, 1),
    "503 with Retry-After forever": (always(refused(503)), ServerError, False, 4),
    "503 with Retry-After, the lookup is forbidden": (
        always(refused(503), listing="forbidden"), OutcomeUnknownError, True, 1
    ),
    # The status does not show whether the request was carried out: the call looks it up, but never retries.
    **{
        f"{code}, converted": (once(status(code, CONVERTED, "Location: /elsewhere")), ConvertedConversation, False, 1)
        for code in (302, 303, 308, 499)
    },
    "303, converted later": (once(status(303, CONVERTED_LATE)), ConvertedConversation, False, 1),
    **{
        f"{code}, not converted": (always(status(code, "never", "Location: /elsewhere")), StatusError, False, 1)
        for code in (302, 303, 308, 499)
    },
    "303, the lookup is forbidden": (always(status(303), listing="forbidden"), OutcomeUnknownError, True, 1),
    # The request may still be running: the call looks it up, but never retries.
    "no response, converted": (once(make_fault("hang", CONVERTED)), ConvertedConversation, False, 1),
    "no response, not converted": (once(make_fault("hang")), OutcomeUnknownError, True, 1),
    "no response, converted too late": (once(make_fault("hang", CONVERTED_TOO_LATE)), OutcomeUnknownError, True, 1),
    "504, converted": (once(status(504, CONVERTED)), ConvertedConversation, False, 1),
    "504, converted too late": (once(status(504, CONVERTED_TOO_LATE)), OutcomeUnknownError, True, 1),
    "524, not converted": (once(status(524)), OutcomeUnknownError, True, 1),
    # The request was applied: it is never retried.
    **{
        f"{answer}, the lookup shows the ticket": (once(make_fault(answer, CONVERTED)), ConvertedConversation, False, 1)
        for answer in UNREADABLE
    },
    **{
        f"{answer}, the lookup shows no ticket": (once(make_fault(answer)), ResponseDecodeError, True, 1)
        for answer in ("HTML", "empty")  # type: Answer
    },
    "half a body, the lookup is forbidden": (
        always(make_fault("half a body", CONVERTED), listing="forbidden"), ResponseDecodeError, True, 1
    ),
    **{
        f"{answer}, the lookup shows the ticket": (once(make_fault(answer, CONVERTED)), ConvertedConversation, False, 1)
        for answer in WITHOUT_TICKET
    },
    "ticket null, the lookup shows the ticket later": (
        once(make_fault("ticket null", CONVERTED_LATE)), ConvertedConversation, False, 1
    ),
    **{
        f"{answer}, the lookup shows no ticket": (once(make_fault(answer)), OutcomeUnknownError, True, 1)
        for answer in WITHOUT_TICKET
    },
    "ticket null, the lookup is forbidden": (
        always(make_fault("ticket null", CONVERTED), listing="forbidden"), OutcomeUnknownError, True, 1
    ),
    "ticket as digits": (once(make_fault("ticket as digits", CONVERTED)), ConvertedConversation, False, 1),
    "slow": (once(make_fault("slow", CONVERTED)), ConvertedConversation, False, 1),
    "interim responses": (once(make_fault("after interim responses", CONVERTED)), ConvertedConversation, False, 1),
    # The response is final: the request is not retried.
    "400": (always(status(400)), ValidationError, False, 1),
    "401 for the fresh token too": (always(status(401)), AuthenticationError, False, 2),
    "403": (always(status(403)), PermissionDeniedError, False, 1),
    "404": (always(status(404)), NotFoundError, False, 1),
    "409": (always(status(409)), ConflictError, False, 1),
    "418": (always(status(418)), StatusError, False, 1),
    "422": (always(status(422)), UnprocessableError, False, 1),
    "501": (always(status(501)), ServerError, False, 1),
}  # fmt: skip


def without_patience(server: FaultServer) -> AbstractAsyncContextManager[None]:
    """Let the client's timeout pass as soon as it waits for a response that the server does not give."""
    return leaping(PATIENCE, when=lambda: server.hangs, all_wait=True)


async def convert(desk: AsyncDesk, conversation_id: int = 7, **arguments: object) -> Conversation | DeskError:
    try:
        return await desk.conversations.convert(conversation_id, **arguments)  # type: ignore[arg-type]
    except DeskError as error:
        return error


def methods_of(server: FaultServer) -> list[str]:
    return [request.partition(" ")[0] for request in server.requests]


@in_time_that_leaps
@pytest.mark.parametrize(("plan", "kind", "maybe_applied", "requests"), TABLE.values(), ids=TABLE.keys())
async def test_a_call_follows_the_table(plan: Plan, kind: type, maybe_applied: bool, requests: int) -> None:
    tokens = (f"token-{number}" for number in itertools.count())
    with FaultServer({7: plan}) as server:
        async with (
            AsyncDesk(
                server.url, token=lambda: next(tokens), retry=QUICK, timeout=PATIENCE, verify_first=False
            ) as desk,
            without_patience(server),
        ):
            result = await convert(desk)
        assert type(result) is kind
        assert server.converts[7] == requests
        # Whatever the response was, the call looks before it sends the request again.
        assert ("POST", "POST") not in set(itertools.pairwise(methods_of(server)))
        if isinstance(result, DeskError):
            assert (result.maybe_applied, result.attempts, result.conversation_id) == (maybe_applied, requests, 7)
        else:
            assert [result.ticket_id] == server.tickets[7]
            assert isinstance(result, ConvertedConversation)
            assert result.created


@in_time_that_leaps
@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (make_fault("reset", CONVERTED), OutcomeUnknownError),
        (status(500), OutcomeUnknownError),
        (make_fault("hang", CONVERTED), OutcomeUnknownError),
        (make_fault("HTML", CONVERTED), ResponseDecodeError),
        (make_fault("ticket null", CONVERTED), OutcomeUnknownError),
        (refused(503), OutcomeUnknownError),
        (status(303), OutcomeUnknownError),
        (status(499), OutcomeUnknownError),
    ],
    ids=str,
)
async def test_a_call_with_on_unknown_raise_never_looks_up(fault: Fault, kind: type) -> None:
    with FaultServer({7: always(fault)}) as server:
        async with (
            AsyncDesk(server.url, token="t", retry=RAISE, timeout=PATIENCE, verify_first=False) as desk,
            without_patience(server),
        ):
            result = await convert(desk)
        assert isinstance(result, DeskError)
        assert type(result) is kind
        assert result.maybe_applied
        assert not any(request.startswith("GET") for request in server.requests)


async def test_a_call_with_on_unknown_raise_sends_again_only_what_was_refused() -> None:
    with FaultServer({7: Plan(faults=(refused(429), status(425)))}) as server:
        async with AsyncDesk(server.url, token="t", retry=RAISE, verify_first=False) as desk:
            result = await convert(desk)
        assert type(result) is ConvertedConversation
        assert methods_of(server) == ["POST", "POST", "POST"]


async def test_a_call_that_gets_no_connection_is_retried_and_was_not_sent() -> None:
    with FaultServer() as server:
        url = server.url
    async with AsyncDesk(url, token="t", retry=QUICK, verify_first=False) as desk:
        result = await convert(desk)
    assert type(result) is NotSentError
    assert (result.maybe_applied, result.attempts) == (False, 4)
    assert "ConnectError" in str(result)


async def test_a_conversation_that_has_a_ticket_is_returned_as_it_is() -> None:
    with FaultServer() as server:
        async with AsyncDesk(server.url, token="t", retry=RetryPolicy(settle=(60.0,))) as desk:
            first = await desk.conversations.convert(7)
            second = await desk.conversations.convert(7)
        assert (first.created, second.created) == (True, False)
        assert [first.ticket_id] == [second.ticket_id] == server.tickets[7]
        assert methods_of(server) == ["GET", "POST"]  # the client knows what it has converted a moment ago


@pytest.mark.parametrize("whose", ["client", "view", "call"])
async def test_with_verify_first_false_a_call_sends_at_once(whose: str) -> None:
    with FaultServer() as server:
        async with AsyncDesk(server.url, token="t", verify_first=whose != "client") as desk:
            view = desk.with_options(verify_first=False) if whose == "view" else desk
            result = await convert(view, verify_first=False if whose == "call" else None)
        assert isinstance(result, ConvertedConversation)
        assert result.created
        assert methods_of(server) == ["POST"]


async def test_concurrent_calls_convert_a_conversation_once() -> None:
    results: list[ConvertedConversation] = []

    async def keep(desk: AsyncDesk, conversation_id: int) -> None:
        results.append(await desk.conversations.convert(conversation_id))

    with FaultServer() as server:
        async with AsyncDesk(server.url, token="t", retry=QUICK) as desk, anyio.create_task_group() as calls:
            for view in (desk, desk.with_options(deadline=60)) * 3:
                calls.start_soon(keep, view, 7)
                calls.start_soon(keep, view, 8)
        assert (server.converts[7], server.converts[8]) == (1, 1)
    assert sorted((result.id or 0, result.created) for result in results) == [
        *[(7, False)] * 5, (7, True), *[(8, False)] * 5, (8, True),
    ]  # fmt: skip
    assert len({result.ticket_id for result in results}) == 2


@in_time_that_leaps
@pytest.mark.parametrize("verify_first", [True, False])
@pytest.mark.parametrize("how", ["it is cancelled", "its deadline passes", "its policy forbids lookups"])
async def test_a_call_waits_until_the_unknown_outcome_of_an_earlier_call_is_settled(
    how: str, verify_first: bool
) -> None:
    plan = once(make_fault("hang", CONVERTED), lagging_lookups=2)
    with FaultServer({7: plan}) as server:
        async with AsyncDesk(server.url, token="t", retry=PATIENT) as desk:
            first = {
                "it is cancelled": desk,
                "its deadline passes": desk.with_options(deadline=PATIENCE),
                "its policy forbids lookups": desk.with_options(
                    timeout=PATIENCE, retry=evolve(PATIENT, on_unknown="raise")
                ),
            }[how]
            async with anyio.create_task_group() as calls:
                calls.start_soon(convert, first)
                while not server.tickets[7]:
                    await anyio.sleep(0.001)
                if how == "it is cancelled":
                    calls.cancel_scope.cancel()
                else:
                    await anyio.wait_all_tasks_blocked()
                    leap(PATIENCE)
            second = await desk.conversations.convert(7, verify_first=verify_first)
        assert server.tickets[7] == [second.ticket_id]
        assert not second.created


@in_time_that_leaps
async def test_the_longest_settling_time_of_the_calls_for_a_conversation_counts() -> None:
    plan = once(make_fault("hang", CONVERTED), lagging_lookups=2)
    with FaultServer({7: plan}) as server:
        async with AsyncDesk(server.url, token="t", retry=RetryPolicy(settle=(0, 0)), verify_first=False) as desk:
            without_lookup = desk.with_options(timeout=PATIENCE, retry=evolve(RAISE, settle=(60,)))
            async with without_patience(server):
                first = await convert(without_lookup)
            # This call looks first, and has no time to wait until the first call is settled.
            second = await convert(desk.with_options(deadline=1, retry=RetryPolicy(settle=(60,))))
            for error in (first, second):
                assert type(error) is OutcomeUnknownError
                assert error.maybe_applied
            last = await desk.conversations.convert(7)
        assert server.tickets[7] == [last.ticket_id]
        assert not last.created


@in_time_that_leaps
async def test_a_call_converts_if_the_unknown_outcome_of_an_earlier_call_shows_no_ticket() -> None:
    with FaultServer({7: once(make_fault("hang"))}) as server:
        async with AsyncDesk(server.url, token="t", retry=QUICK, verify_first=False) as desk:
            async with without_patience(server):
                assert type(await convert(desk.with_options(timeout=PATIENCE, retry=RAISE))) is OutcomeUnknownError
            second = await desk.conversations.convert(7)
            assert second.created
        assert server.tickets[7] == [second.ticket_id]
        first, *between, last = methods_of(server)
        assert (first, set(between), last) == ("POST", {"GET"}, "POST")


@pytest.mark.parametrize("verify_first", [True, False])
async def test_a_call_waits_for_another_call_for_its_conversation_until_its_own_deadline(verify_first: bool) -> None:
    results: list[object] = []
    with FaultServer({7: always(make_fault("hang"))}) as server:
        async with AsyncDesk(server.url, token="t") as desk, anyio.create_task_group() as calls:
            calls.start_soon(desk.conversations.convert, 7)
            while len(server.requests) < 2:
                await anyio.sleep(0.001)
            results.append(await convert(desk.with_options(deadline=0.05), verify_first=verify_first))
            calls.cancel_scope.cancel()
        (result,) = results
        assert isinstance(result, OutcomeUnknownError)  # the other call may have converted it
        assert (result.attempts, result.maybe_applied, len(server.requests)) == (0, True, 2)


async def test_no_convert_request_is_sent_if_the_first_lookup_fails() -> None:
    with FaultServer({7: Plan(listing="forbidden")}) as server:
        async with AsyncDesk(server.url, token="t", retry=QUICK) as desk:
            result = await convert(desk)
        assert type(result) is PermissionDeniedError
        assert (result.maybe_applied, result.attempts, server.converts[7]) == (False, 0, 0)


async def test_a_read_is_retried_even_if_it_may_have_been_carried_out() -> None:
    with FaultServer({7: Plan(listing="flaky")}) as server:
        async with AsyncDesk(server.url, token="t", retry=QUICK, verify_first=False) as desk:
            conversation = await desk.conversations.get(7)
        assert conversation.id == 7
        assert len(server.requests) == 2


async def test_a_deadline_that_passes_before_the_request_is_sent_raises_deadline_exceeded() -> None:
    async def too_slow() -> str:
        await anyio.sleep_forever()
        raise AssertionError

    async with AsyncDesk("http://127.0.0.1:1", token=too_slow, deadline=0.01, verify_first=False) as desk:
        result = await convert(desk)
    assert type(result) is DeadlineExceeded
    assert (result.maybe_applied, result.attempts) == (False, 0)


@in_time_that_leaps
@pytest.mark.parametrize("fault", [make_fault("hang", CONVERTED), make_fault("hang")], ids=str)
async def test_a_deadline_that_passes_after_the_request_was_sent_raises_outcome_unknown(fault: Fault) -> None:
    with FaultServer({7: once(fault)}) as server:
        async with (
            AsyncDesk(server.url, token="t", retry=QUICK, deadline=PATIENCE, verify_first=False) as desk,
            leaping(PATIENCE, when=lambda: server.bodies),
        ):
            result = await convert(desk)
    assert type(result) is OutcomeUnknownError
    assert (result.maybe_applied, result.attempts) == (True, 1)


class EarlyResponse(httpx.AsyncBaseTransport, httpx.AsyncByteStream):
    """A transport that starts a response before it has read the request, and never ends the response."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, stream=self)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"{"
        await anyio.sleep_forever()


@in_virtual_time
async def test_the_outcome_is_unknown_if_a_response_began_before_the_request_was_read() -> None:
    async with AsyncDesk(
        "https://desk.example", token="t", deadline=1, transport=EarlyResponse(), verify_first=False
    ) as desk:
        result = await convert(desk)
    assert type(result) is OutcomeUnknownError
    assert (result.maybe_applied, result.attempts) == (True, 1)


@in_virtual_time
async def test_the_outcome_is_unknown_if_the_tasks_of_a_hook_fail_at_the_deadline() -> None:
    async def fail_when_cancelled() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            raise ValueError

    async def wait(_: httpx.Response) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(fail_when_cancelled)
            await anyio.sleep_forever()

    fake = FakeDesk()
    async with AsyncDesk(
        "https://desk.example",
        token="t",
        transport=fake.transport,
        deadline=1,
        event_hooks={"response": [wait]},
        verify_first=False,
    ) as desk:
        result = await convert(desk)
    assert (type(result), len(fake.tickets)) == (OutcomeUnknownError, 1)


async def test_a_retry_pause_that_exceeds_the_deadline_raises_at_once() -> None:
    with FaultServer({7: always(status(429, "never", "Retry-After: 60"))}) as server:
        async with AsyncDesk(server.url, token="t", deadline=30, verify_first=False) as desk:
            with anyio.fail_after(10):
                result = await convert(desk)
    assert type(result) is DeadlineExceeded
    assert isinstance(result.__cause__, RateLimitedError)
    assert result.__cause__.retry_after == 60
    assert not result.maybe_applied


async def test_a_lookup_pause_that_exceeds_the_deadline_raises_at_once() -> None:
    patient = RetryPolicy(settle=(60,))
    with FaultServer({7: always(make_fault("reset"))}) as server:
        async with AsyncDesk(server.url, token="t", deadline=30, retry=patient, verify_first=False) as desk:
            with anyio.fail_after(10):
                result = await convert(desk)
    assert type(result) is OutcomeUnknownError
    assert result.maybe_applied


@pytest.mark.parametrize("was_sent", [True, False])
async def test_a_cancelled_call_logs_a_warning_if_its_request_was_sent(
    was_sent: bool, caplog: pytest.LogCaptureFixture
) -> None:
    waiting = anyio.Event()

    async def token() -> str:
        if not was_sent:
            waiting.set()
            await anyio.sleep_forever()
        return "t"

    with FaultServer({7: always(make_fault("hang"))}) as server:
        async with AsyncDesk(server.url, token=token, verify_first=False) as desk, anyio.create_task_group() as calls:
            calls.start_soon(desk.conversations.convert, 7)
            while not server.requests and not waiting.is_set():
                await anyio.sleep(0.001)
            calls.cancel_scope.cancel()
    log_lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert log_lines == (["convert 7: interrupted: its outcome is unknown"] if was_sent else [])


async def test_the_retry_quota_bounds_the_requests_during_an_outage() -> None:
    calls = 300
    methods: list[str] = []

    def outage(request: httpx.Request) -> httpx.Response:
        methods.append(request.method)
        return httpx.Response(500)

    transport = httpx.MockTransport(outage)
    policy = RetryPolicy(backoff_base=0, settle=())
    async with AsyncDesk(
        "https://desk.example", token="t", retry=policy, transport=transport, verify_first=False
    ) as desk:
        # Each call is about another conversation, because a second call for one would only look it up.
        for number in range(calls):
            assert type(await convert(desk, 1 + number)) is OutcomeUnknownError
    assert methods.count("POST") == calls
    assert calls < methods.count("GET") <= calls + 500 // 5


async def test_the_first_lookup_is_sent_even_if_the_retry_quota_is_exhausted() -> None:
    methods: list[str] = []
    is_down = True

    def outage(request: httpx.Request) -> httpx.Response:
        methods.append(request.method)
        if request.method == "POST":
            return httpx.Response(504)
        return httpx.Response(425) if is_down else listed(request)

    transport = httpx.MockTransport(outage)
    policy = RetryPolicy(backoff_base=0, settle=(0, 0))
    async with AsyncDesk(
        "https://desk.example", token="t", retry=policy, transport=transport, verify_first=False
    ) as desk:
        for number in range(50):
            assert type(await convert(desk, 100 + number)) is OutcomeUnknownError
        methods.clear()
        is_down = False
        assert type(await convert(desk)) is OutcomeUnknownError
    assert methods == ["POST", "GET"]


async def test_a_retry_that_exceeds_the_deadline_costs_no_quota() -> None:
    refusals = [httpx.Response(425, headers={"Retry-After": "60"})] * 200
    responses = [*refusals, httpx.Response(425), httpx.Response(200, json={"id": 7, "ticket_id": 9})]
    transport = httpx.MockTransport(lambda request: listed(request) if request.method == "GET" else responses.pop(0))
    async with AsyncDesk(
        "https://desk.example", token="t", deadline=30, transport=transport, verify_first=False
    ) as desk:
        for number in range(200):
            assert type(await convert(desk, 100 + number)) is DeadlineExceeded
        assert isinstance(await convert(desk.with_options(retry=QUICK)), Conversation)


async def test_the_error_of_a_lookup_names_the_deadline_of_the_whole_call() -> None:
    async def slow() -> str:
        await anyio.sleep(0.05)
        return "t"

    def refuse(_: httpx.Request) -> httpx.Response:
        return httpx.Response(429, headers={"Retry-After": "60"})

    transport = httpx.MockTransport(refuse)
    async with AsyncDesk("https://desk.example", token=slow, deadline=2, transport=transport) as desk:
        result = await convert(desk)
    assert "the deadline of 2 s" in str(result)


@in_virtual_time
async def test_the_cause_of_an_unknown_outcome_says_that_the_request_was_accepted() -> None:
    fake = FakeDesk()
    fake.inject("answer cut off")
    fake.add_conversation(42)
    transport = NeverListsTickets(fake)
    retry = RetryPolicy(settle=(1.0,))
    async with AsyncDesk(
        "https://a.example", token="t", transport=transport, deadline=0.3, retry=retry, verify_first=False
    ) as desk:
        with pytest.raises(OutcomeUnknownError) as caught:
            await desk.conversations.convert(42)
    assert isinstance(caught.value.__cause__, ResponseDecodeError)


class NeverListsTickets(httpx.AsyncBaseTransport):
    """A Desk whose listing lags behind."""

    def __init__(self, fake: FakeDesk) -> None:
        self._fake = fake

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, json={"conversations": [{"id": 42, "ticket_id": None}]})
        return await self._fake.transport.handle_async_request(request)


class Loses(httpx.AsyncBaseTransport):
    """Receives every request, and loses every response."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        async for _ in cast("httpx.AsyncByteStream", request.stream):
            pass
        raise httpx.ReadError("the connection broke")


def decode_nothing(payload: Any, hook: Hook) -> None:
    return None


async def test_an_operation_that_nobody_can_verify_reports_an_unknown_outcome() -> None:
    request = Request[Any](operation="merge_ticket", method="POST", target="/tickets/7.json", decode=decode_nothing)
    async with AsyncDesk("https://acme.teamwork.com", token="t", transport=Loses(), verify_first=False) as desk:
        with pytest.raises(OutcomeUnknownError, match="whether the request was carried out: POST /tickets") as caught:
            await desk.send(request)
    assert (caught.value.attempts, caught.value.maybe_applied, caught.value.conversation_id) == (1, True, None)


# Methods that are idempotent

LOST, HUNG, INCOMPLETE = httpx.ReadError("lost"), httpx.ReadTimeout("hung"), "incomplete"
NO_CONNECTION = httpx.ConnectError("no connection")


class IncompleteBody(httpx.AsyncByteStream):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"{"
        raise LOST


class Steps(httpx.AsyncBaseTransport):
    """A transport that takes one step for each request: a status, an incomplete response, or an exception."""

    def __init__(self, steps: list[Any]) -> None:
        self.steps = steps

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        step = self.steps.pop(0)
        if step is NO_CONNECTION:
            raise step
        await request.aread()
        if isinstance(step, Exception):
            raise step
        if step == INCOMPLETE:
            return httpx.Response(200, stream=IncompleteBody())
        return httpx.Response(step, headers={"Retry-After": "0"}, json={} if step < 300 else {"errors": []})


# The steps after the first lost response, the result of a repeated request, and maybe_applied
REPEATED: dict[str, tuple[list[Any], type, bool]] = {
    "lost": ([LOST, 200], dict, False),
    "lost three times": ([LOST, HUNG, LOST, 200], dict, False),
    "no response in time": ([HUNG, 200], dict, False),
    "incomplete response": ([INCOMPLETE, 200], dict, False),
    "gateway": ([504, 200], dict, False),
    "no connection after a lost response": ([LOST, NO_CONNECTION, 200], dict, False),
    "refused after a lost response": ([LOST, 429, 200], dict, False),
    "lost forever": ([LOST] * 4, OutcomeUnknownError, True),
    "gateway forever": ([503] * 4, OutcomeUnknownError, True),
    "incomplete forever": ([INCOMPLETE] * 4, OutcomeUnknownError, True),
    "no connection forever after a lost response": ([LOST, *[NO_CONNECTION] * 3], OutcomeUnknownError, True),
    "refused forever after a lost response": ([LOST, *[429] * 3], OutcomeUnknownError, True),
    # The status says what the object is like now: a DELETE whose response was lost may be the reason for the 404.
    "not found after a lost response": ([LOST, 404], NotFoundError, True),
    "redirect": ([303], OutcomeUnknownError, True),
    "nothing was lost": ([404], NotFoundError, False),
    "no connection": ([NO_CONNECTION] * 4, NotSentError, False),
}


@pytest.mark.parametrize("on_unknown", ["verify", "raise"])
@pytest.mark.parametrize("method", ["PUT", "DELETE"])
@pytest.mark.parametrize(("steps", "kind", "maybe_applied"), REPEATED.values(), ids=REPEATED)
async def test_an_idempotent_request_is_repeated_after_a_lost_response(
    steps: list[Any], kind: type, method: str, on_unknown: Any, *, maybe_applied: bool
) -> None:
    transport = Steps([*steps])
    result = await send(transport, method, on_unknown=on_unknown)
    assert type(result) is kind
    assert transport.steps == []
    if isinstance(result, DeskError):
        assert (result.maybe_applied, result.attempts) == (maybe_applied, len(steps))


@pytest.mark.parametrize("method", ["POST", "PATCH"])
@pytest.mark.parametrize("step", [LOST, HUNG, 504, 303], ids=repr)
async def test_a_request_that_is_not_idempotent_is_never_repeated_after_a_lost_response(step: Any, method: str) -> None:
    result = await send(Steps([step]), method)
    assert type(result) is OutcomeUnknownError
    assert (result.maybe_applied, result.attempts) == (True, 1)


async def test_a_deadline_after_a_lost_response_leaves_the_outcome_of_an_idempotent_request_unknown() -> None:
    result = await send(Steps([LOST]), "PUT", backoff_base=1e9, backoff_cap=1e9)
    assert type(result) is OutcomeUnknownError
    assert (result.maybe_applied, result.attempts) == (True, 1)
    # The rate window is used up after the lost response, so that the second attempt gets no turn.
    full = {"X-Rate-Limit-Limit": "120", "X-Rate-Limit-Remaining": "0", "X-Rate-Limit-Reset": "3000"}
    result = await send(httpx.MockTransport(lambda request: httpx.Response(503, headers=full)), "PUT")
    assert type(result) is OutcomeUnknownError
    assert (result.maybe_applied, result.attempts) == (True, 1)


@in_virtual_time
async def test_the_error_of_a_deadline_that_passes_while_an_idempotent_request_is_repeated_is_unknown() -> None:
    class LostThenHanging(Steps):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if self.steps:
                return await super().handle_async_request(request)
            await anyio.sleep_forever()
            raise AssertionError

    result = await send(LostThenHanging([LOST]), "DELETE", deadline=0.2)
    assert type(result) is OutcomeUnknownError
    assert result.maybe_applied


async def send(transport: httpx.AsyncBaseTransport, method: str, *, deadline: float = 60, **policy: Any) -> Any:
    """Send a request with this method, and return its result or its error."""
    request: Request[Any] = Request(
        operation="try", method=method, target="/desk/api/v2/x", body={}, decode=lambda payload, hook: payload
    )
    options: dict[str, Any] = {"backoff_base": 0.001, **policy}
    retry = RetryPolicy(**options)
    async with AsyncDesk(
        "https://acme.teamwork.com", token="t", retry=retry, deadline=deadline, transport=transport
    ) as desk:
        try:
            return await desk.send(request)
        except DeskError as error:
            return error
