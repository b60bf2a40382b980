"""A backlog: every job has one outcome, memory is bounded, and no task is left running."""

from __future__ import annotations

import asyncio
import gc
import inspect
import typing
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from typing import Any, cast

import anyio
import httpx
import pytest
from virtual_time import ON_ASYNCIO

from teamwork_desk import (
    AsyncDesk,
    ConvertedConversation,
    DeadlineExceeded,
    NotFoundError,
    OutcomeUnknownError,
    RequestError,
    _backlog,
)
from teamwork_desk._conversations import Conversations
from teamwork_desk.backlog import Converted, Failed, Job, convert_many
from teamwork_desk.testing import FakeDesk


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class GatedDesk:
    """Converts at once, or when a gate opens, and records its calls."""

    def __init__(self) -> None:
        self.running: set[int] = set()
        self.cancelled: set[int] = set()
        self.most_running = 0
        self.calls: list[dict[str, Any]] = []
        self.gates: dict[int, asyncio.Event] = {}

    def hold(self, *conversations: int) -> None:
        self.gates.update((conversation, asyncio.Event()) for conversation in conversations)

    async def convert(self, conversation_id: int, **keywords: Any) -> ConvertedConversation:
        self.calls.append({"conversation_id": conversation_id, **keywords})
        self.running.add(conversation_id)
        self.most_running = max(self.most_running, len(self.running))
        try:
            await asyncio.sleep(0)
            if conversation_id in self.gates:
                await self.gates[conversation_id].wait()
        except asyncio.CancelledError:
            self.cancelled.add(conversation_id)
            raise
        finally:
            self.running.discard(conversation_id)
        return ConvertedConversation(id=conversation_id, ticket_id=conversation_id + 1000)


def a_desk(fake: FakeDesk, **options: Any) -> AsyncDesk:
    return AsyncDesk("https://acme.teamwork.com", token="t", transport=fake.transport, **options)


async def let_other_tasks_run(number: int = 20) -> None:
    """Let every task that is ready run."""
    for _ in range(number):
        await asyncio.sleep(0)


# The types


def test_a_job_has_the_arguments_of_convert_with_their_types() -> None:
    arguments = typing.get_type_hints(Conversations.convert)
    del arguments["return"]
    assert typing.get_type_hints(Job) == arguments
    required = typing.get_type_hints(Job, include_extras=True)
    assert {name for name, hint in required.items() if typing.get_origin(hint) is typing.Required} == {
        "conversation_id"
    }
    assert set(inspect.signature(Conversations.convert).parameters) == {"self", *Job.__annotations__}


def test_an_outcome_is_frozen() -> None:
    for outcome in (
        Converted(conversation_id=7, conversation=ConvertedConversation(id=7, ticket_id=9)),
        Failed(conversation_id=7, error=RequestError("invalid")),
    ):
        with pytest.raises(AttributeError):
            outcome.conversation_id = 8  # type: ignore[misc]


# Outcomes


class AsyncIterableOnly:
    """Supports `async for` but, unlike a generator, has no `aclose`."""

    def __init__(self, jobs: list[Job | int]) -> None:
        self.jobs = jobs

    async def __aiter__(self) -> AsyncGenerator[Job | int]:
        for job in self.jobs:
            await asyncio.sleep(0)
            yield job


def generator(jobs: list[Job | int]) -> Any:
    return aiter(AsyncIterableOnly(jobs))


@pytest.mark.parametrize("form", [list, AsyncIterableOnly, generator])
async def test_every_job_has_one_outcome(form: Callable[[list[Job | int]], Any]) -> None:
    fake = FakeDesk(rate_limit=1000)
    jobs: list[Job | int] = [*range(1, 50), {"conversation_id": 50, "subject": "Refund", "tags": ("billing",)}]

    async with a_desk(fake) as desk:
        outcomes = [outcome async for outcome in desk.conversations.convert_many(form(jobs))]
    assert sorted(outcome.conversation_id or 0 for outcome in outcomes) == list(range(1, 51))
    assert {
        outcome.conversation_id: outcome.conversation.ticket_id for outcome in outcomes if outcome.conversation
    } == {ticket.conversation_id: ticket.id for ticket in fake.tickets}
    assert not any(outcome.error for outcome in outcomes)
    (last,) = (ticket for ticket in fake.tickets if ticket.conversation_id == 50)
    assert last.body == {"subject": "Refund", "tags": ["billing"]}


async def test_a_failed_job_does_not_stop_the_others() -> None:
    fake = FakeDesk()
    fake.fail(status=500, times=2, method="GET")
    jobs: list[Any] = [
        1,
        {"conversation_id": 404},
        {"conversation_id": 2, "subjct": "hush", "jo@example.com": 1, 7: 1},
        {"subject": "hush"},
        {"conversation_id": "3"},
        {"conversation_id": "3", "nothing": 1},
        {"conversation_id": 4, "subject": 7},
        "5",
        True,
        None,
        {"conversation_id": 6},
    ]
    async with a_desk(fake) as desk:
        outcomes = [outcome async for outcome in desk.conversations.convert_many(jobs, concurrency=1)]
    assert [(outcome.conversation_id, type(outcome.error)) for outcome in outcomes] == [
        (1, type(None)),
        (404, NotFoundError),
        (2, RequestError),
        (None, RequestError),
        (None, RequestError),
        (None, RequestError),
        (4, RequestError),
        (None, RequestError),
        (None, RequestError),
        (None, RequestError),
        (6, type(None)),
    ]
    assert [str(outcome.error) for outcome in outcomes[2:4]] == [
        "unknown arguments: ..., ..., subjct (did you mean subject?)",
        "conversation_id: missing in the job",
    ]
    assert outcomes[2].error is not None
    assert outcomes[2].error.conversation_id == 2
    assert [ticket.conversation_id for ticket in fake.tickets] == [1, 6]


async def test_an_unknown_outcome_is_reported() -> None:
    fake = FakeDesk()
    fake.lose_answer("after", method="POST")
    fake.fail(status=403, method="GET")
    async with a_desk(fake) as desk:
        jobs: list[Job] = [{"conversation_id": 1, "verify_first": False}]
        (outcome,) = [outcome async for outcome in desk.conversations.convert_many(jobs)]
    assert isinstance(outcome.error, OutcomeUnknownError)
    assert outcome.error.maybe_applied


async def test_a_source_may_reuse_one_dict_for_all_jobs() -> None:
    desk = GatedDesk()

    def jobs() -> Iterator[Job]:
        job: Job = {"conversation_id": 0}
        for number in range(1, 9):
            job["conversation_id"], job["subject"] = number, f"of {number}"
            yield job

    assert [outcome async for outcome in convert_many(desk.convert, jobs())]
    assert desk.calls == [{"conversation_id": number, "subject": f"of {number}"} for number in range(1, 9)]


@pytest.mark.parametrize("concurrency", [0, -1, True, 2.0, None])
def test_an_invalid_concurrency_is_rejected(concurrency: Any) -> None:
    with pytest.raises(RequestError, match=r"^concurrency: "):
        convert_many(GatedDesk().convert, [1], concurrency=concurrency)


@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_trio_is_rejected_with_a_reason() -> None:
    outcomes = convert_many(GatedDesk().convert, [1])
    with pytest.raises(RuntimeError, match="asyncio only"):
        await anext(outcomes)


# Bounds


async def test_no_more_jobs_run_at_once_than_the_concurrency_allows() -> None:
    desk = GatedDesk()
    assert len([outcome async for outcome in convert_many(desk.convert, range(1, 100), concurrency=5)]) == 99
    assert desk.most_running == 5


async def test_a_slow_consumer_stops_the_reading_of_the_source() -> None:
    desk = GatedDesk()
    read: list[int] = []

    def jobs() -> Iterator[int]:
        for number in range(1, 1000):
            read.append(number)
            yield number

    async with aclosing(convert_many(desk.convert, jobs(), concurrency=3)) as outcomes:
        for taken in range(1, 50):
            await anext(outcomes)
            await let_other_tasks_run()
            assert len(read) == taken + 3, "only the jobs that may run at once are read ahead"
    assert len(desk.calls) <= 52


async def test_a_slow_source_does_not_delay_the_outcomes_of_finished_jobs() -> None:
    more = asyncio.Event()

    async def jobs() -> AsyncGenerator[int, None]:
        yield 1
        yield 2
        await more.wait()
        yield 3

    outcomes = convert_many(GatedDesk().convert, jobs())
    assert {(await anext(outcomes)).conversation_id, (await anext(outcomes)).conversation_id} == {1, 2}
    more.set()
    assert [outcome.conversation_id async for outcome in outcomes] == [3]


async def test_a_slow_job_does_not_delay_the_others() -> None:
    desk = GatedDesk()
    desk.hold(1)
    outcomes = convert_many(desk.convert, range(1, 30), concurrency=2)
    assert [(await anext(outcomes)).conversation_id for _ in range(28)] == list(range(2, 30))
    desk.gates[1].set()
    assert [outcome.conversation_id async for outcome in outcomes] == [1]


# The source or a conversion fails unexpectedly


@pytest.mark.parametrize("as_stream", [False, True], ids=["iterable", "async iterable"])
async def test_an_error_of_the_source_is_raised_after_all_outcomes(as_stream: bool) -> None:
    desk = GatedDesk()
    desk.hold(1, 2)

    def jobs() -> Iterator[int]:
        yield from (1, 2)
        raise OSError("the disk is gone")

    async def stream() -> AsyncGenerator[int, None]:
        for job in jobs():
            yield job

    outcomes = convert_many(desk.convert, stream() if as_stream else jobs())
    first = asyncio.ensure_future(anext(outcomes))
    await let_other_tasks_run()
    desk.gates[2].set()
    assert (await first).conversation_id == 2
    desk.gates[1].set()
    assert (await anext(outcomes)).conversation_id == 1
    with pytest.raises(OSError, match="the disk is gone"):
        await anext(outcomes)


@pytest.mark.parametrize("error", [LookupError("unexpected"), asyncio.CancelledError("unexpected")])
async def test_an_unexpected_error_is_raised_after_the_other_outcomes(error: BaseException) -> None:
    desk = GatedDesk()
    desk.hold(1)

    async def convert(conversation_id: int) -> ConvertedConversation:
        if conversation_id >= 2:
            raise error
        return await desk.convert(conversation_id)

    outcomes = convert_many(convert, range(1, 100), concurrency=3)
    first = asyncio.ensure_future(anext(outcomes))
    await let_other_tasks_run()
    assert not first.done()
    desk.gates[1].set()
    assert (await first).conversation_id == 1
    with pytest.raises(type(error), match="unexpected"):
        await anext(outcomes)


# Stopping early


def other_tasks() -> set[asyncio.Task[Any]]:
    return asyncio.all_tasks() - {cast("asyncio.Task[Any]", asyncio.current_task())}


async def test_closing_cancels_the_running_jobs_and_waits_for_them() -> None:
    before = other_tasks()
    desk = GatedDesk()
    desk.hold(2, 3)
    async with aclosing(convert_many(desk.convert, [1, 2, 3, 4], concurrency=3)) as outcomes:
        assert (await anext(outcomes)).conversation_id == 1
        await let_other_tasks_run()
        assert desk.running == {2, 3}
    assert desk.cancelled == {2, 3}
    assert not desk.running
    assert other_tasks() == before


async def test_closing_closes_the_source_too() -> None:
    desk = GatedDesk()
    closed = False

    async def jobs() -> AsyncGenerator[int]:
        nonlocal closed
        try:
            for number in range(1, 100):
                yield number
        finally:
            closed = True

    source = jobs()
    async with aclosing(convert_many(desk.convert, source, concurrency=2)) as outcomes:
        await anext(outcomes)
    assert closed


async def test_closing_before_the_first_outcome_starts_no_job() -> None:
    desk = GatedDesk()
    await convert_many(desk.convert, [1]).aclose()
    assert not desk.calls


async def test_a_break_cancels_the_running_jobs_and_leaves_no_task() -> None:
    before = other_tasks()
    desk = GatedDesk()
    desk.hold(2)
    async for _ in convert_many(desk.convert, [1, 2]):
        break
    gc.collect()
    await let_other_tasks_run()
    assert desk.cancelled == {2}
    assert other_tasks() == before


@pytest.mark.parametrize("read_slowly", [False, True], ids=["source has ended", "source is waiting"])
async def test_cancelling_the_consumer_cancels_the_jobs_and_leaves_no_task(read_slowly: bool) -> None:
    before = other_tasks()
    desk = GatedDesk()
    desk.hold(1, 2)
    closed = asyncio.Event()

    async def jobs() -> AsyncGenerator[int, None]:
        try:
            yield 1
            yield 2
            if read_slowly:
                await asyncio.Event().wait()
        finally:
            closed.set()

    async def consume() -> None:
        async for _ in convert_many(desk.convert, jobs()):
            raise AssertionError

    consumer = asyncio.create_task(consume())
    await let_other_tasks_run()
    assert desk.running == {1, 2}
    consumer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await consumer
    assert desk.cancelled == {1, 2}
    assert closed.is_set()
    assert other_tasks() == before


async def test_a_cancelled_scope_waits_until_every_job_has_ended() -> None:
    """anyio cancels every wait in a cancelled scope again and again, and waiting for the jobs must survive that."""
    desk = GatedDesk()
    before = other_tasks()
    ended: list[int] = []

    async def convert(conversation_id: int) -> ConvertedConversation:
        try:
            return await desk.convert(conversation_id)
        finally:
            with anyio.CancelScope(shield=True):
                await let_other_tasks_run()
            ended.append(conversation_id)

    desk.hold(1, 2)
    with anyio.CancelScope() as scope:
        outcomes = convert_many(convert, [1, 2])
        asyncio.get_running_loop().call_later(0, scope.cancel)
        await anext(outcomes)
    assert sorted(ended) == [1, 2]
    assert other_tasks() == before


async def test_cancelling_a_running_job_logs_that_its_outcome_is_unknown(caplog: pytest.LogCaptureFixture) -> None:
    arrived = asyncio.Event()

    async def never_respond(request: httpx.Request) -> httpx.Response:
        arrived.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with AsyncDesk("https://acme.teamwork.com", token="t", transport=httpx.MockTransport(never_respond)) as desk:
        jobs: list[Job] = [{"conversation_id": 42, "verify_first": False}]
        outcomes = desk.conversations.convert_many(jobs)
        first = asyncio.ensure_future(anext(outcomes))
        await arrived.wait()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
    assert any("42" in record.getMessage() and "unknown" in record.getMessage() for record in caplog.records)


# The rate window


class FullWindow:
    """Fails a number of calls, as a rate window that is used up does, and then converts."""

    def __init__(self, failures: int) -> None:
        self.failures = failures

    async def convert(self, conversation_id: int, **_: Any) -> ConvertedConversation:
        self.failures -= 1
        if self.failures >= 0:
            raise DeadlineExceeded("the rate limit leaves no room", retry_after=0.0)
        return ConvertedConversation(id=conversation_id)


async def test_a_job_that_finds_the_rate_window_full_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_backlog, "PAUSE", 0)
    (outcome,) = [outcome async for outcome in convert_many(FullWindow(100).convert, [1])]
    assert outcome.conversation == ConvertedConversation(id=1)


async def test_a_job_fails_if_the_rate_window_stays_full_for_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_backlog, "PATIENCE", -1)
    (outcome,) = [outcome async for outcome in convert_many(FullWindow(1).convert, [1])]
    assert isinstance(outcome.error, DeadlineExceeded)


@pytest.mark.parametrize("anyio_backend", [ON_ASYNCIO])
async def test_a_deadline_shorter_than_the_rate_window_fails_no_job() -> None:
    fake = FakeDesk(rate_limit=4)
    async with a_desk(fake, deadline=5) as desk:
        outcomes = [outcome async for outcome in desk.conversations.convert_many(range(1, 6))]
    assert [outcome.error for outcome in outcomes] == [None] * 5
    assert len(fake.tickets) == 5


@pytest.mark.parametrize("invalid", [-1, 0, 2**70, True], ids=repr)
async def test_an_outcome_and_its_error_do_not_name_an_invalid_id(invalid: int) -> None:
    fake = FakeDesk()
    async with a_desk(fake) as desk:
        (outcome,) = [outcome async for outcome in desk.conversations.convert_many([invalid])]
    assert isinstance(outcome.error, RequestError)
    assert (outcome.conversation_id, outcome.error.conversation_id) == (None, None)
    assert fake.requests == []
