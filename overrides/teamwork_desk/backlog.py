"""Many conversations at once: `desk.conversations.convert_many`, as a function of the one that converts."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Literal, Required, TypeAlias, TypedDict, cast

import anyio
import attrs
from attrs import frozen

from . import Conversation, CustomerRef, CustomField, DeadlineExceeded, DeskError, EntityRef, RequestError
from ._conversations import SequenceNotStr

__all__ = ["ConvertedFields", "Job", "Outcome", "convert_many"]

Convert: TypeAlias = Callable[..., Coroutine[Any, Any, Conversation]]
"""`desk.conversations.convert`, or a function that wraps it."""

PATIENCE = 300.0
"""Seconds, five rate windows: as long a job is tried again that got no turn within its deadline."""
PAUSE = 5.0
"""Seconds at most between two such tries."""


_MODELS: Mapping[str, type[CustomerRef | CustomField]] = {"customer": CustomerRef, "customfields": CustomField}
"""What an object in an argument is; in every other, an EntityRef."""


class ConvertedFields(TypedDict, total=False):
    """The arguments of `convert` that reach the ticket; None is what is not sent."""

    agent: EntityRef | int | None
    bcc: SequenceNotStr[str] | None
    cc: SequenceNotStr[str] | None
    customer: CustomerRef | int | str | None
    customfields: Sequence[CustomField] | None
    edit_method: Literal["html", "markdown"] | str | None
    files: Sequence[EntityRef | int] | None
    from_thread_id: int | None
    from_ticket_id: int | None
    inbox: EntityRef | int | None
    message: str | None
    notify_customer: bool | None
    parent: EntityRef | int | None
    priority: EntityRef | int | None
    scheduled_email: Mapping[str, Any] | None
    send_from: str | None
    source: EntityRef | int | None
    status: EntityRef | int | None
    subject: str | None
    tags: SequenceNotStr[EntityRef | int | str] | None
    tickettemplate: EntityRef | int | None
    type: EntityRef | int | None


class Job(ConvertedFields, total=False):
    """One conversation to convert: the arguments of `convert` by their names."""

    conversation_id: Required[int]
    email: str | None
    verify_first: bool


@frozen(kw_only=True)
class Outcome:
    """What became of one job: a conversation or an error, never both.

    Attributes:
        conversation_id: The job's conversation; None where the job names none.
        conversation: The converted conversation; `ticket_id` is its ticket.
        error: Why it was not converted, or where `maybe_applied` is True, perhaps was.
    """

    conversation_id: int | None
    conversation: Conversation | None = None
    error: DeskError | None = None


def convert_many(
    convert: Convert, jobs: Iterable[Job | int] | AsyncIterable[Job | int], *, concurrency: int = 8
) -> AsyncGenerator[Outcome, None]:
    """Convert a backlog, and yield what became of each job as it becomes known, in any order.

    It stops at no failure: that is an outcome too. It reads a job when there is room for it, so that at most
    `concurrency` jobs and outcomes are held: a backlog may be of any length, and a slow consumer stops it. An iterable
    is read on the event loop; where reading takes long, give an async one. The client paces the requests. A job that
    got no turn within its deadline, because the rate window was used up, is tried again for five minutes: nothing of
    it was sent.

    To stop early, close it: `async with contextlib.aclosing(desk.conversations.convert_many(jobs)) as outcomes`. This
    cancels the jobs under way, waits for their end, and closes `jobs` where that is an async generator. They get no
    outcome: convert them again with `verify_first`, for each may have been converted. Two jobs of one conversation
    convert it twice, unless the later one has `verify_first`.

    It runs on asyncio only.

    Args:
        convert: What converts one conversation: `desk.conversations.convert`.
        jobs: The arguments of `convert` for each conversation, or its id where there are no others.
        concurrency: How many are under way at once. The rate window bounds the speed, so that more bring little.

    Yields:
        The outcome of each job. A job that cannot be a call of `convert` has a `RequestError`.

    Raises:
        RequestError: `concurrency` is no int of at least 1.
        RuntimeError: It runs on trio.
        Exception: What iterating over the jobs raised, once every job under way has its outcome.
    """
    if concurrency.__class__ is not int or concurrency < 1:
        raise RequestError("concurrency: expected an int of at least 1")
    return _convert_many(convert, jobs, concurrency)


async def _convert_many(
    convert: Convert, jobs: Iterable[Job | int] | AsyncIterable[Job | int], concurrency: int
) -> AsyncGenerator[Outcome, None]:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError("convert_many runs on asyncio only; on trio, call convert in a nursery") from None
    # Plain tasks: a task group must not live across a yield (PEP 789).
    tasks: set[asyncio.Task[Outcome | None]] = set()
    ended: asyncio.Queue[asyncio.Task[Outcome | None]] = asyncio.Queue()
    room = asyncio.Semaphore(concurrency)

    def start(work: Coroutine[Any, Any, Outcome | None]) -> asyncio.Task[Outcome | None]:
        task = asyncio.create_task(work)
        tasks.add(task)
        task.add_done_callback(ended.put_nowait)
        return task

    async def feed() -> None:
        source = cast("AsyncGenerator[Job | int]", jobs) if isinstance(jobs, AsyncGenerator) else _each(jobs)
        async with aclosing(source) as each:
            await room.acquire()
            async for job in each:
                # Copied at once: the source may use one dict for all.
                start(_outcome_of(convert, _arguments(job)))
                await room.acquire()

    failure: BaseException | None = None
    try:
        feeder = start(feed())
        while tasks:
            task = await ended.get()
            tasks.discard(task)
            try:
                outcome = task.result()
            except BaseException as error:  # of the source, or a bug: the others' outcomes come first
                failure = error if failure is None else failure
                feeder.cancel()
                continue
            if outcome is not None:
                room.release()
                yield outcome
        if failure is not None:
            raise failure
    finally:
        for task in tasks:
            task.cancel()
        if tasks:
            # anyio would cancel the wait again and again.
            with anyio.CancelScope(shield=True):
                await asyncio.wait(tasks)


async def _each(jobs: Iterable[Job | int] | AsyncIterable[Job | int]) -> AsyncGenerator[Job | int, None]:
    if isinstance(jobs, AsyncIterable):
        async for job in jobs:
            yield job
    else:
        for job in jobs:
            yield job


def _arguments(job: object) -> dict[str, Any] | RequestError:
    """Return a job as the arguments of `convert`, or why it is none."""
    if not isinstance(job, Mapping):
        return {"conversation_id": job}
    arguments = {**cast("Mapping[str, Any]", job)}
    if unknown := arguments.keys() - Job.__annotations__.keys():
        error = RequestError(f"the job has what convert does not take: {shown(unknown)}")
    elif "conversation_id" not in arguments:
        error = RequestError("the job has no conversation_id")
    else:
        return arguments
    error.conversation_id = _id_of(arguments)
    return error


def shown(names: Iterable[object]) -> str:
    """Return names that may be shown: what is no name may be data that slipped."""
    return ", ".join(sorted(name if name.isidentifier() else "..." for name in map(str, names)))


def from_json(name: str, value: Any) -> Any:
    """Return an argument of `convert` as JSON holds it with models for its objects; what else is wrong, `convert` says.

    Raises:
        RequestError: An object has what its model has not.
    """
    if value.__class__ is list:
        # No deeper: convert refuses lists of lists.
        return [from_json(name, each) if each.__class__ is dict else each for each in value]
    if value.__class__ is not dict or name == "scheduled_email":
        return value
    model, fields = _MODELS.get(name, EntityRef), cast("dict[str, Any]", value)
    if unknown := fields.keys() - ({field.name for field in attrs.fields(model)} - {"additional_properties"}):
        raise RequestError(f"{shown([name])}: it has what {model.__name__} has not: {shown(unknown)}")
    return model(**fields)


def _id_of(arguments: Mapping[str, Any]) -> int | None:
    conversation_id = arguments.get("conversation_id")
    return conversation_id if conversation_id.__class__ is int else None


async def _outcome_of(convert: Convert, arguments: dict[str, Any] | RequestError) -> Outcome:
    if isinstance(arguments, RequestError):
        return Outcome(conversation_id=arguments.conversation_id, error=arguments)
    conversation_id = _id_of(arguments)
    try:
        return Outcome(conversation_id=conversation_id, conversation=await _convert_in_turn(convert, arguments))
    except DeskError as error:
        return Outcome(conversation_id=conversation_id, error=error)


async def _convert_in_turn(convert: Convert, arguments: dict[str, Any]) -> Conversation:
    """Convert, and try again where the deadline passed before the request had its turn."""
    patience = anyio.current_time() + PATIENCE
    while True:
        try:
            return await convert(**arguments)
        except DeadlineExceeded:
            # The window may open within the next try's deadline; a try that does not fit ends at once.
            if anyio.current_time() > patience:
                raise
        await anyio.sleep(PAUSE * random.random())
