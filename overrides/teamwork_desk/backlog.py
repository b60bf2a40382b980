"""Many conversations at once: the types of a backlog, and `desk.conversations.convert_many` as a function."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Iterable

from ._backlog import Convert
from ._backlog import convert_many as _convert_many
from ._conversations import ConvertedFields, Job
from ._tickets import Converted, Failed, Outcome

__all__ = ["Convert", "Converted", "ConvertedFields", "Failed", "Job", "Outcome", "convert_many"]


def convert_many(
    convert: Convert, jobs: Iterable[Job | int] | AsyncIterable[Job | int], *, concurrency: int = 8
) -> AsyncGenerator[Outcome, None]:
    """Convert a backlog, and yield the outcome of each job as soon as it is known, in any order.

    A failed job is an outcome too, and does not stop the others. A job is read from `jobs` when there is room for it,
    so that at most `concurrency` jobs and outcomes are held: a backlog may have any length, and a slow consumer slows
    it down. A plain iterable is read on the event loop, so pass an async iterable if reading takes long. The client
    paces the requests. A job that got no turn within its deadline, because the rate window was used up, is retried
    until no job has ended for five minutes: it has changed nothing.

    To stop early, close the generator: `async with contextlib.aclosing(desk.conversations.convert_many(jobs)) as
    outcomes`. This cancels the running jobs, waits for their end, and closes `jobs` if that is an async generator. The
    cancelled jobs get no outcome, and each may have been converted: convert them again, which looks them up first. Of
    two jobs for one conversation, the later one has the same ticket, and its `created` is False.

    It runs on asyncio only.

    Args:
        convert: Converts one conversation: `desk.conversations.convert`, or a function that wraps it.
        jobs: For each conversation the arguments of `convert`, or its id if there are no other arguments.
        concurrency: How many jobs run at the same time. The rate window limits the speed. More jobs need fewer
            requests, because they share their lookups: a conversion needs 1.3 requests with 8 jobs, and 1.1 with 32.

    Yields:
        The outcome of each job. A job with invalid arguments has a `RequestError`.

    Raises:
        RequestError: `concurrency` is not an int of at least 1.
        RuntimeError: It runs on trio.
        Exception: Iterating over the jobs raised this exception. It is raised again after every running job has its
            outcome.
    """
    return _convert_many(convert, jobs, names=Job.__annotations__, concurrency=concurrency)
