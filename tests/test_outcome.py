"""What an attempt may have done decides what follows: the table of classes, over real sockets."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from functools import partial

import anyio
import httpx
import pytest
from attrs import evolve
from fault_server import Answer, Fault, FaultServer, Plan, Work

from teamwork_desk import (
    AsyncDesk,
    AuthenticationError,
    ConflictError,
    Conversation,
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

QUICK = RetryPolicy(backoff_base=0.001, settle=(0.001, 0.001))
PATIENT = RetryPolicy(settle=(0.001, 60))
RAISE = RetryPolicy(backoff_base=0.001, on_unknown="raise")
SHORT = httpx.Timeout(30, read=0.3)


def status(code: int, work: Work = "never", *headers: str) -> Fault:
    return Fault(answer="status", status=code, work=work, headers=headers)


def fault(answer: Answer, work: Work = "never") -> Fault:
    return Fault(answer=answer, work=work)


def always(one: Fault, listing: str = "well") -> Plan:
    return Plan(faults=(one,) * 9, listing=listing)  # type: ignore[arg-type]


NO_TICKET = {"conversations": [{"id": 7, "ticket_id": None}]}
DONE: Work = "before the answer"
LATE: Work = "at the second look"
TOO_LATE: Work = "after the client gave up"

# plan, what convert gives, maybe_applied, convert requests sent
TABLE = {
    "no fault": (Plan(), Conversation, False, 1),
    # refused: sent again
    "425": (Plan(faults=(status(425),)), Conversation, False, 2),
    "429": (Plan(faults=(status(429),)), Conversation, False, 2),
    "429 with Retry-After": (Plan(faults=(status(429, "never", "Retry-After: 0"),)), Conversation, False, 2),
    "503 with Retry-After": (Plan(faults=(status(503, "never", "Retry-After: 0"),)), Conversation, False, 2),
    "429 for ever": (always(status(429)), RateLimitedError, False, 4),
    "503 with Retry-After for ever": (always(status(503, "never", "Retry-After: 0")), ServerError, False, 4),
    "a longer Retry-After than allowed": (always(status(429, "never", "Retry-After: 121")), RateLimitedError, False, 1),
    # ended, unknown: looked at, then sent again
    "reset, nothing done": (Plan(faults=(fault("reset"),)), Conversation, False, 2),
    "reset, done": (Plan(faults=(fault("reset", DONE),)), Conversation, False, 1),
    "reset, done late": (Plan(faults=(fault("reset", LATE),)), Conversation, False, 1),
    "reset, done, the listing lags": (Plan(faults=(fault("reset", DONE),), lagging_looks=2), Conversation, False, 1),
    "closed, nothing done": (Plan(faults=(fault("close"),)), Conversation, False, 2),
    "half a status line, done": (Plan(faults=(fault("half a status line", DONE),)), Conversation, False, 1),
    "no HTTP, nothing done": (Plan(faults=(fault("no HTTP"),)), Conversation, False, 2),
    "reset for ever": (always(fault("reset")), TransportError, False, 4),
    "reset, nobody may look": (always(fault("reset"), "forbidden"), OutcomeUnknownError, True, 1),
    "reset, the first look fails": (Plan(faults=(fault("reset", DONE),), listing="flaky"), Conversation, False, 1),
    **{f"{code}, done": (Plan(faults=(status(code, DONE),)), Conversation, False, 1) for code in (408, 500, 502, 503)},
    **{f"{code}, nothing done": (Plan(faults=(status(code),)), Conversation, False, 2) for code in (408, 520, 999)},
    "500 for ever": (always(status(500)), ServerError, False, 4),
    "999 for ever": (always(status(999)), StatusError, False, 4),
    "500, nobody may look": (always(status(500), "forbidden"), OutcomeUnknownError, True, 1),
    # perhaps still running: looked at, never sent again
    "hangs, done": (Plan(faults=(fault("hang", DONE),)), Conversation, False, 1),
    "hangs, nothing done": (Plan(faults=(fault("hang"),)), OutcomeUnknownError, True, 1),
    "hangs, done too late": (Plan(faults=(fault("hang", TOO_LATE),)), OutcomeUnknownError, True, 1),
    "504, done": (Plan(faults=(status(504, DONE),)), Conversation, False, 1),
    "504, done too late": (Plan(faults=(status(504, TOO_LATE),)), OutcomeUnknownError, True, 1),
    "524, nothing done": (Plan(faults=(status(524),)), OutcomeUnknownError, True, 1),
    # applied: never sent again
    **{
        f"{answer}, the listing knows": (Plan(faults=(fault(answer, DONE),)), Conversation, False, 1)
        for answer in ("half a body", "reset in the body", "HTML", "no id", "broken gzip", "empty")  # type: Answer
    },
    "HTML, the listing knows nothing": (Plan(faults=(fault("HTML"),)), ResponseDecodeError, True, 1),
    "half a body, nobody may look": (always(fault("half a body", DONE), "forbidden"), ResponseDecodeError, True, 1),
    "slow": (Plan(faults=(fault("slow", DONE),)), Conversation, False, 1),
    "interim answers": (Plan(faults=(fault("after interim answers", DONE),)), Conversation, False, 1),
    # final
    "400": (always(status(400)), ValidationError, False, 1),
    "401": (always(status(401)), AuthenticationError, False, 1),
    "403": (always(status(403)), PermissionDeniedError, False, 1),
    "404": (always(status(404)), NotFoundError, False, 1),
    "409": (always(status(409)), ConflictError, False, 1),
    "418": (always(status(418)), StatusError, False, 1),
    "422": (always(status(422)), UnprocessableError, False, 1),
    "501": (always(status(501)), ServerError, False, 1),
    "302": (always(status(302, "never", "Location: /elsewhere")), StatusError, False, 1),
}  # fmt: skip


def patience(plan: Plan) -> httpx.Timeout:
    """Be short only with what never answers: else a busy machine would pass for a fault."""
    return SHORT if any(one.answer == "hang" for one in plan.faults) else httpx.Timeout(30)


async def convert(desk: AsyncDesk, **arguments: object) -> Conversation | DeskError:
    try:
        return await desk.conversations.convert(7, **arguments)  # type: ignore[arg-type]
    except DeskError as error:
        return error


@pytest.mark.parametrize(("plan", "kind", "maybe_applied", "requests"), TABLE.values(), ids=TABLE.keys())
async def test_the_table(plan: Plan, kind: type, maybe_applied: bool, requests: int) -> None:
    with FaultServer({7: plan}) as server:
        async with AsyncDesk(server.url, token="t", retry=QUICK, timeout=patience(plan)) as desk:
            result = await convert(desk)
        assert type(result) is kind
        assert server.converts[7] == requests
        if isinstance(result, DeskError):
            assert (result.maybe_applied, result.attempts, result.conversation_id) == (maybe_applied, requests, 7)
        else:
            assert [result.ticket_id] == server.tickets[7]


@pytest.mark.parametrize(
    ("one", "kind", "looks"),
    [
        (fault("reset", DONE), OutcomeUnknownError, 0),
        (status(500), OutcomeUnknownError, 0),
        (fault("hang", DONE), OutcomeUnknownError, 0),
        (fault("HTML", DONE), ResponseDecodeError, 0),
    ],
    ids=str,
)
async def test_on_unknown_raise_never_looks(one: Fault, kind: type, looks: int) -> None:
    with FaultServer({7: always(one)}) as server:
        async with AsyncDesk(server.url, token="t", retry=RAISE, timeout=patience(always(one))) as desk:
            result = await convert(desk)
        assert isinstance(result, DeskError)
        assert type(result) is kind
        assert result.maybe_applied
        assert sum(request.startswith("GET") for request in server.requests) == looks


async def test_nothing_listens() -> None:
    with FaultServer() as server:
        url = server.url
    async with AsyncDesk(url, token="t", retry=QUICK) as desk:
        result = await convert(desk)
    assert type(result) is NotSentError
    assert (result.maybe_applied, result.attempts) == (False, 4)
    assert "ConnectError" in str(result)


async def test_verify_first_returns_what_is_converted_already() -> None:
    with FaultServer() as server:
        async with AsyncDesk(server.url, token="t", retry=QUICK) as desk:
            first = await desk.conversations.convert(7, verify_first=True)
            second = await desk.conversations.convert(7, verify_first=True)
        assert first.ticket_id == second.ticket_id
        assert server.converts[7] == 1


async def test_verify_first_converts_once_for_callers_at_the_same_time() -> None:
    tickets: list[int | None] = []

    async def convert_first(desk: AsyncDesk, conversation_id: int) -> None:
        tickets.append((await desk.conversations.convert(conversation_id, verify_first=True)).ticket_id)

    with FaultServer() as server:
        async with AsyncDesk(server.url, token="t", retry=QUICK) as desk, anyio.create_task_group() as calls:
            for view in (desk, desk.with_options(deadline=60)) * 3:
                calls.start_soon(convert_first, view, 7)
                calls.start_soon(convert_first, view, 8)
        assert (server.converts[7], server.converts[8]) == (1, 1)
    assert len(tickets) == 12
    assert len(set(tickets)) == 2


@pytest.mark.parametrize("how", ["it is cancelled", "its deadline passes", "it must not look"])
async def test_verify_first_gives_what_an_earlier_call_left_open_its_time(how: str) -> None:
    plan = Plan(faults=(fault("hang", DONE),), lagging_looks=2)
    with FaultServer({7: plan}) as server:
        async with AsyncDesk(server.url, token="t", retry=PATIENT) as desk:
            first = {
                "it is cancelled": desk,
                "its deadline passes": desk.with_options(deadline=1),
                "it must not look": desk.with_options(timeout=SHORT, retry=evolve(PATIENT, on_unknown="raise")),
            }[how]
            async with anyio.create_task_group() as calls:
                calls.start_soon(partial(convert, first, verify_first=True))
                while not server.tickets[7]:
                    await anyio.sleep(0.001)
                if how == "it is cancelled":
                    calls.cancel_scope.cancel()
            second = await desk.conversations.convert(7, verify_first=True)
        assert server.tickets[7] == [second.ticket_id]


async def test_verify_first_gives_the_earlier_of_two_open_calls_its_time() -> None:
    with FaultServer({7: Plan(faults=(fault("hang", DONE), fault("hang")), lagging_looks=2)}) as server:
        async with AsyncDesk(server.url, token="t", retry=QUICK) as desk:
            for settle in (60, 0):
                careless = desk.with_options(timeout=SHORT, retry=evolve(RAISE, settle=(settle,)))
                assert type(await convert(careless)) is OutcomeUnknownError
            last = await desk.conversations.convert(7, verify_first=True)
        assert server.tickets[7] == [last.ticket_id]


async def test_verify_first_converts_what_an_earlier_call_left_open_and_does_not_show() -> None:
    impatient = evolve(PATIENT, settle=(0.001,))
    with FaultServer({7: Plan(faults=(fault("hang"),))}) as server:
        async with AsyncDesk(server.url, token="t", retry=PATIENT, deadline=1) as desk:
            assert type(await convert(desk)) is OutcomeUnknownError
            view = desk.with_options(deadline=60, retry=impatient)
            second = await view.conversations.convert(7, verify_first=True)
        assert server.tickets[7] == [second.ticket_id]
        assert [line.split()[0] for line in server.requests] == ["POST", "GET", "GET", "POST"]


async def test_a_call_waits_for_another_of_its_conversation_no_longer_than_its_deadline() -> None:
    results: list[object] = []
    with FaultServer({7: always(fault("hang"))}) as server:
        async with AsyncDesk(server.url, token="t") as desk, anyio.create_task_group() as calls:
            calls.start_soon(partial(desk.conversations.convert, 7, verify_first=True))
            while len(server.requests) < 2:
                await anyio.sleep(0.001)
            results.append(await convert(desk.with_options(deadline=0.05), verify_first=True))
            calls.cancel_scope.cancel()
        (result,) = results
        assert isinstance(result, DeadlineExceeded)
        assert (result.attempts, result.maybe_applied, len(server.requests)) == (0, False, 2)


async def test_verify_first_sends_nothing_where_it_cannot_look() -> None:
    with FaultServer({7: Plan(listing="forbidden")}) as server:
        async with AsyncDesk(server.url, token="t", retry=QUICK) as desk:
            result = await convert(desk, verify_first=True)
        assert type(result) is PermissionDeniedError
        assert (result.maybe_applied, result.attempts, server.converts[7]) == (False, 0, 0)


async def test_reads_are_sent_again_whatever_became_of_them() -> None:
    with FaultServer({7: Plan(listing="flaky")}) as server:
        async with AsyncDesk(server.url, token="t", retry=QUICK) as desk:
            conversation = await desk.conversations.get(7)
        assert conversation.id == 7
        assert len(server.requests) == 2


async def test_a_deadline_before_the_request_left() -> None:
    async def too_slow() -> str:
        await anyio.sleep_forever()
        raise AssertionError

    async with AsyncDesk("http://127.0.0.1:1", token=too_slow, deadline=0.01) as desk:
        result = await convert(desk)
    assert type(result) is DeadlineExceeded
    assert (result.maybe_applied, result.attempts) == (False, 0)


@pytest.mark.parametrize("one", [fault("hang", DONE), fault("hang")], ids=str)
async def test_a_deadline_after_the_request_left(one: Fault) -> None:
    with FaultServer({7: Plan(faults=(one,))}) as server:
        async with AsyncDesk(server.url, token="t", retry=QUICK, deadline=1) as desk:
            result = await convert(desk)
    assert type(result) is OutcomeUnknownError
    assert (result.maybe_applied, result.attempts) == (True, 1)


class Early(httpx.AsyncBaseTransport, httpx.AsyncByteStream):
    """Begins to answer before it has read the request, and never ends."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, stream=self)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"{"
        await anyio.sleep_forever()


async def test_a_deadline_after_an_answer_began_to_a_request_that_was_not_read() -> None:
    async with AsyncDesk("https://desk.example", token="t", deadline=0.05, transport=Early()) as desk:
        result = await convert(desk)
    assert type(result) is OutcomeUnknownError
    assert (result.maybe_applied, result.attempts) == (True, 1)


async def test_a_deadline_that_finds_tasks_of_a_hook_which_fail_then() -> None:
    async def fail_at_the_end() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            raise ValueError

    async def wait(_: httpx.Response) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(fail_at_the_end)
            await anyio.sleep_forever()

    with FaultServer() as server:
        async with AsyncDesk(server.url, token="t", deadline=0.3, event_hooks={"response": [wait]}) as desk:
            result = await convert(desk)
        assert (type(result), server.converts[7]) == (OutcomeUnknownError, 1)


async def test_a_pause_that_does_not_fit_into_the_deadline_is_not_begun() -> None:
    with FaultServer({7: always(status(429, "never", "Retry-After: 60"))}) as server:
        async with AsyncDesk(server.url, token="t", deadline=30) as desk:
            with anyio.fail_after(10):
                result = await convert(desk)
    assert type(result) is DeadlineExceeded
    assert isinstance(result.__cause__, RateLimitedError)
    assert result.__cause__.retry_after == 60
    assert not result.maybe_applied


async def test_a_settling_pause_that_does_not_fit_is_not_begun() -> None:
    patient = RetryPolicy(settle=(60,))
    with FaultServer({7: always(fault("reset"))}) as server:
        async with AsyncDesk(server.url, token="t", deadline=30, retry=patient) as desk:
            with anyio.fail_after(10):
                result = await convert(desk)
    assert type(result) is OutcomeUnknownError
    assert result.maybe_applied


@pytest.mark.parametrize(("one", "warned"), [(fault("hang"), True), (None, False)])
async def test_cancellation_propagates_and_is_told_if_the_request_had_left(
    one: Fault | None, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    waiting = anyio.Event()

    async def token() -> str:
        if one is None:
            waiting.set()
            await anyio.sleep_forever()
        return "t"

    with FaultServer({7: always(one) if one else Plan()}) as server:
        async with AsyncDesk(server.url, token=token) as desk, anyio.create_task_group() as calls:
            calls.start_soon(desk.conversations.convert, 7)
            while not server.requests and not waiting.is_set():
                await anyio.sleep(0.001)
            calls.cancel_scope.cancel()
    messages = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert messages == (["convert 7: interrupted: its outcome is unknown"] if warned else [])


async def test_the_retry_quota_bounds_what_an_outage_sees() -> None:
    calls = 300
    seen: list[str] = []

    def outage(request: httpx.Request) -> httpx.Response:
        seen.append(request.method)
        return httpx.Response(500)

    transport = httpx.MockTransport(outage)
    policy = RetryPolicy(backoff_base=0, settle=())
    async with AsyncDesk("https://desk.example", token="t", retry=policy, transport=transport) as desk:
        for _ in range(calls):
            assert type(await convert(desk)) is OutcomeUnknownError
    assert seen.count("POST") == calls
    assert calls < seen.count("GET") <= calls + 500 // 5


async def test_without_quota_one_look_is_left() -> None:
    seen: list[str] = []
    is_down = True

    def outage(request: httpx.Request) -> httpx.Response:
        seen.append(request.method)
        if request.method == "POST":
            return httpx.Response(504)
        return httpx.Response(425) if is_down else httpx.Response(200, json=NO_TICKET)

    transport = httpx.MockTransport(outage)
    policy = RetryPolicy(backoff_base=0, settle=(0, 0))
    async with AsyncDesk("https://desk.example", token="t", retry=policy, transport=transport) as desk:
        for _ in range(50):
            assert type(await convert(desk)) is OutcomeUnknownError
        seen.clear()
        is_down = False
        assert type(await convert(desk)) is OutcomeUnknownError
    assert seen == ["POST", "GET"]


async def test_a_retry_that_does_not_fit_costs_no_quota() -> None:
    answers = [httpx.Response(503, headers={"Retry-After": "60"})] * 200
    answers += [httpx.Response(425), httpx.Response(200, json={"id": 7, "ticket_id": 9})]
    transport = httpx.MockTransport(lambda _: answers.pop(0))
    async with AsyncDesk("https://desk.example", token="t", deadline=30, transport=transport) as desk:
        for _ in range(200):
            assert type(await convert(desk)) is DeadlineExceeded
        assert isinstance(await convert(desk.with_options(retry=QUICK)), Conversation)


async def test_a_look_tells_the_deadline_of_its_call() -> None:
    async def slow() -> str:
        await anyio.sleep(0.05)
        return "t"

    def refuse(_: httpx.Request) -> httpx.Response:
        return httpx.Response(429, headers={"Retry-After": "60"})

    transport = httpx.MockTransport(refuse)
    async with AsyncDesk("https://desk.example", token=slow, deadline=2, transport=transport) as desk:
        result = await convert(desk, verify_first=True)
    assert "the deadline of 2 s" in str(result)
