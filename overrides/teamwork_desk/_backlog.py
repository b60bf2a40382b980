"""The engine of `convert_many`: it runs many conversions, a bounded number at a time."""

from __future__ import annotations

import asyncio
import random
from collections import UserString
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Collection, Coroutine, Iterable, Mapping
from contextlib import aclosing
from typing import Any, TypeAlias, cast

import anyio

from ._checks import is_count, is_id, type_name, unknown_names
from ._errors import DeadlineExceeded, DeskError, RateLimitedError, RequestError
from ._tickets import Converted, ConvertedConversation, Failed, Outcome
from ._values import dimensions, plain_items

Convert: TypeAlias = Callable[..., Coroutine[Any, Any, ConvertedConversation]]
"""`desk.conversations.convert`, or a function that wraps it."""

Jobs: TypeAlias = Iterable[Any] | AsyncIterable[Any]

PATIENCE = 300.0
"""Seconds (five rate windows). A job that got no turn is retried until no job has ended for this long."""
PAUSE = 5.0
"""Seconds. The pause between two such retries is random, and not longer than this if the turn is near."""
LONGEST_PAUSE = 30.0
"""Seconds. The pause is a quarter of the time until the turn, and not longer than this."""


def convert_many(
    convert: Convert, jobs: Jobs, *, names: Collection[str], concurrency: int
) -> AsyncGenerator[Outcome, None]:
    """Convert a backlog, as `teamwork_desk.backlog.convert_many` describes.

    Args:
        convert: Converts one conversation.
        jobs: The arguments of each conversion, or the conversation's id.
        names: The arguments that a job may have.
        concurrency: How many jobs run at the same time.
    """
    if not is_count(concurrency):
        raise RequestError("concurrency: expected an int of at least 1")
    _check_jobs(jobs)
    return _convert_many(convert, plain_items(jobs), names, concurrency)


def _check_jobs(jobs: object) -> None:
    expected = "a list or another iterable of ints (ids) and dicts, or an async iterable"
    problem = f"jobs: expected {expected}, got {type_name(jobs)}"
    if dimensions(jobs) != 1:
        raise RequestError(f"{problem}; pass its rows as dicts")
    if isinstance(jobs, (str, bytes, bytearray, memoryview, UserString, Mapping)) or not isinstance(
        jobs, (Iterable, AsyncIterable)
    ):
        raise RequestError(problem)


async def _convert_many(
    convert: Convert, jobs: Jobs, names: Collection[str], concurrency: int
) -> AsyncGenerator[Outcome, None]:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError("convert_many runs on asyncio only; on trio, call convert in a nursery") from None
    # Use plain tasks: a task group must not live across a yield (PEP 789).
    tasks: set[asyncio.Task[Outcome | None]] = set()
    ended: asyncio.Queue[asyncio.Task[Outcome | None]] = asyncio.Queue()
    room = asyncio.Semaphore(concurrency)
    turns = _Turns()

    def start(work: Coroutine[Any, Any, Outcome | None]) -> asyncio.Task[Outcome | None]:
        task = asyncio.create_task(work)
        tasks.add(task)
        task.add_done_callback(ended.put_nowait)
        return task

    async def feed() -> None:
        source = cast("AsyncGenerator[Any]", jobs) if isinstance(jobs, AsyncGenerator) else _each(jobs)
        async with aclosing(source) as each:
            await room.acquire()
            async for job in each:
                # Copy the arguments at once, because the source may reuse one dict for all jobs.
                start(_outcome_of(convert, _arguments(job, names), turns))
                await room.acquire()

    failure: BaseException | None = None
    try:
        feeder = start(feed())
        while tasks:
            task = await ended.get()
            tasks.discard(task)
            try:
                outcome = task.result()
            except BaseException as error:
                # The source failed, or there is a bug. Yield the outcomes of the running jobs before raising it.
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
            # Without the shield, anyio would cancel this wait again and again.
            with anyio.CancelScope(shield=True):
                await asyncio.wait(tasks)


async def _each(jobs: Jobs) -> AsyncGenerator[Any, None]:
    if isinstance(jobs, AsyncIterable):
        async for job in jobs:
            yield job
    else:
        for job in jobs:
            yield job


def _arguments(job: object, names: Collection[str]) -> dict[str, Any] | RequestError:
    """Return the arguments of `convert` for a job, or an error if the job is invalid."""
    if not isinstance(job, Mapping):
        return {"conversation_id": job}
    arguments = {**cast("Mapping[str, Any]", job)}
    if unknown := arguments.keys() - names:
        error = RequestError(unknown_names("argument", unknown, names))
    elif "conversation_id" not in arguments:
        error = RequestError("conversation_id: missing in the job")
    else:
        return arguments
    error.conversation_id = _id_of(arguments)
    return error


def _id_of(arguments: Mapping[str, Any]) -> int | None:
    conversation_id = arguments.get("conversation_id")
    return int.__int__(conversation_id) if is_id(conversation_id) else None


async def _outcome_of(convert: Convert, arguments: dict[str, Any] | RequestError, turns: _Turns) -> Outcome:
    if isinstance(arguments, RequestError):
        return Failed(conversation_id=arguments.conversation_id, error=arguments)
    try:
        conversation = await turns.convert(convert, arguments)
    except DeskError as error:
        return Failed(conversation_id=_id_of(arguments), error=error)
    # The id was valid, because the conversation was converted.
    return Converted(conversation_id=int(arguments["conversation_id"]), conversation=conversation)


class _Turns:
    """Retries the jobs of one backlog that got no turn, for as long as others end."""

    def __init__(self) -> None:
        self._last_end = anyio.current_time()

    async def convert(self, convert: Convert, arguments: dict[str, Any]) -> ConvertedConversation:
        """Convert, and retry if the rate limit left no room before the deadline: the request did nothing then."""
        began = anyio.current_time()
        while True:
            try:
                conversation = await convert(**arguments)
            except (DeadlineExceeded, RateLimitedError) as error:
                # The rate limit may leave room before the next deadline; if it does not, the next try ends at once.
                is_impatient = anyio.current_time() - max(began, self._last_end) > PATIENCE
                if is_impatient or (isinstance(error, DeadlineExceeded) and error.retry_after is None):
                    raise
                wait = error.retry_after or 0.0
            else:
                self._last_end = anyio.current_time()
                return conversation
            # A job that is far from its turn need not ask often.
            await anyio.sleep(max(PAUSE * random.random(), min(wait / 4, LONGEST_PAUSE)))
