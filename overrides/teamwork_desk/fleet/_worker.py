"""The worker: it runs the deliveries of jobs, and converts their conversations, each by one worker at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, TypeAlias, TypeVar

from attrs import define, field
from limits import RateLimitItem
from limits.aio.strategies import RateLimiter
from redis.asyncio.lock import Lock
from redis.exceptions import LockError, RedisError
from taskiq import NoResultError, TaskiqMessage

from .. import AsyncDesk, ConfigurationError, DeskError, OutcomeUnknownError
from .._arguments import from_json
from .._checks import is_id
from ._account import Account, lease
from ._failures import describe, got_no_turn, is_about_job, is_final, leaves_unknown
from ._queue import Queue
from ._records import Attempt
from ._redis import explain, logger

T = TypeVar("T")

EventHooks: TypeAlias = Mapping[str, list[Callable[..., Any]]]
"""Functions that httpx calls for each request: pass them to `AsyncDesk(event_hooks=...)`."""

RECORD_PAUSE = 1.0
"""How many seconds a worker waits before it tries again to record how a job ended."""


@define(kw_only=True, eq=False)
class Worker:
    """Runs the jobs that the queue delivers.

    Attributes:
        queue: The queue.
        open_desk: Opens the client of an account.
        limiter: Counts the requests of all workers.
        rate: How many requests all workers together may send per account.
        deadline: Seconds for one call.
        settle: Seconds for which no worker touches a conversation whose outcome is unknown.
        max_attempts: How many calls are made for a job at most.
    """

    queue: Queue
    open_desk: Callable[[str, EventHooks], AsyncDesk]
    limiter: RateLimiter
    rate: RateLimitItem
    deadline: float
    settle: float
    max_attempts: int
    _desks: dict[str, tuple[AsyncDesk, Account]] = field(factory=dict[str, tuple[AsyncDesk, Account]], init=False)

    async def run(
        self, account_name: str, conversation_id: int, arguments: dict[str, Any], message: TaskiqMessage
    ) -> int | None:
        """Run one delivery of a job, and remove the job from the stream if its outcome is final.

        Returns:
            The ticket's id; None if the job is parked.

        Raises:
            NoResultError: The job stays in the stream and will be delivered again. Taskiq stores no result then.
        """
        job = f"conversation {conversation_id} of {account_name}"
        attempt: Attempt | None = None
        try:
            desk, account = self._open_account(account_name)
            async with account.turn(self.deadline):
                lock = await self._acquire_lease(account_name, conversation_id)
                attempt = await self.queue.records.count_attempt(message)
                if not attempt.number:
                    await _release(lock)
                    raise _gone(job)
                if attempt.number > self.max_attempts:
                    # The last attempt that is allowed parks the job if it fails. So its worker died before that.
                    raise OutcomeUnknownError("attempts exhausted: every worker died before it reported an outcome")
                ticket_id = await _convert(desk, conversation_id, arguments, lock, attempt)
            if not account.hook_was_called:
                logger.error(
                    "open_desk did not pass the event hooks to the client of %s: its rate is not kept", account_name
                )
        except NoResultError:
            # A job that is not in the stream any more is not deferred.
            if attempt is None:
                logger.info("%s has to wait, and will be retried", job)
            raise
        except Exception as error:  # catch every error, because the job must not be lost
            await self._failed(job, message, attempt, error)
            return None
        await self._ended(job, lambda: self.queue.records.finish(message))
        return ticket_id

    async def _failed(self, job: str, message: TaskiqMessage, attempt: Attempt | None, error: Exception) -> None:
        """Park a job whose delivery failed.

        Raises:
            NoResultError: A retry may help, and the job stays in the stream.
        """
        text = explain(error).words if isinstance(error, RedisError) else describe(error)
        if isinstance(error, RedisError) and not isinstance(error, LockError):
            await self.queue.suspect(error)
        is_unknown = attempt is not None and leaves_unknown(error, attempt)
        counts = is_about_job(error)
        if counts and (is_final(error, attempt) or (attempt is not None and attempt.number >= self.max_attempts)):
            parked = await self._ended(
                job, lambda: self.queue.records.park(message, attempt, text, is_unknown=is_unknown)
            )
            if parked is None:
                raise _gone(job)
            logger.error("%s is parked: %s", job, parked)
            return
        if attempt is not None:
            # If Redis fails, the attempt stays counted, and its outcome stays unknown. The job is delivered again all
            # the same.
            with suppress(RedisError):
                if not await self.queue.records.report_attempt(message, attempt, is_unknown=is_unknown, counts=counts):
                    raise _gone(job)
        if counts:
            logger.warning("%s will be retried: %s", job, text)
        else:
            log = logger.warning if got_no_turn(error) else logger.error
            log("%s has to wait, and will be retried: %s", job, text)
        raise NoResultError from None

    async def _ended(self, job: str, record: Callable[[], Awaitable[T]]) -> T:
        """Wait until Redis has recorded the end of a job.

        This is tried for the settling time, so that a job that ends during a failover need not run again. After that
        time, another worker may have the job.

        Raises:
            NoResultError: Redis failed, and the job stays in the stream.
        """
        give_up = time.monotonic() + self.settle
        while True:
            try:
                return await record()
            except RedisError as error:
                await self.queue.suspect(error)
                if time.monotonic() + RECORD_PAUSE >= give_up:
                    logger.warning("%s will be retried: its end is not recorded: %s", job, explain(error).words)
                    raise NoResultError from None
            await asyncio.sleep(RECORD_PAUSE)

    def _open_account(self, name: str) -> tuple[AsyncDesk, Account]:
        """Return the client and the state of an account. The first call opens the client."""
        if name not in self._desks:
            account = Account(name, self.limiter, self.rate)
            try:
                # The rate is kept by an event hook and not by a transport, because a transport would replace the
                # client's own connections.
                desk = self.open_desk(name, {"request": [account.before_request]})
                desk = desk.with_options(deadline=self.deadline)
            except Exception as error:
                raise ConfigurationError(f"open_desk failed: {describe(error)}") from error
            self._desks[name] = desk, account
        return self._desks[name]

    async def _acquire_lease(self, account_name: str, conversation_id: int) -> Lock:
        """Take the lease on a conversation. Its key does not contain the queue: all queues of a Redis share the lease.

        Raises:
            NoResultError: Another worker has the lease.
        """
        key = f"teamwork-desk:lease:{account_name}:{conversation_id}"
        # The lock need not keep its token per thread, because a worker runs all its jobs on one event loop.
        lock = self.queue.redis.lock(key, timeout=self.deadline + self.settle, thread_local=False)
        if not await lock.acquire(blocking=False):
            raise NoResultError
        return lock

    async def close(self, *_: object) -> None:
        """Close the clients of all accounts."""
        while self._desks:
            _name, (desk, _account) = self._desks.popitem()
            await desk.aclose()


async def _convert(
    desk: AsyncDesk, conversation_id: int, arguments: dict[str, Any], lock: Lock, attempt: Attempt
) -> int | None:
    """Convert a conversation, and release its lease unless a request may still be running.

    A lease that is not released expires by itself. Until then no other worker touches the conversation.
    """
    lease.set(lock)
    arguments = decode_arguments(arguments)
    try:
        if attempt.must_not_send:
            conversation = await desk.conversations.get(conversation_id)
            if not is_id(conversation.ticket_id):
                raise OutcomeUnknownError("an earlier attempt may have scheduled an email, whose ticket appears later")
        else:
            conversation = await desk.conversations.convert(conversation_id, **arguments, verify_first=True)
    except DeskError as error:
        if not error.maybe_applied:
            await _release(lock)
        raise
    await _release(lock)
    return conversation.ticket_id


async def _release(lock: Lock) -> None:
    """Release a lease. If Redis fails, the lease expires by itself."""
    with suppress(RedisError):
        await lock.release()


def _gone(job: str) -> NoResultError:
    """Log that a job is not in the stream any more, and return the error that keeps Taskiq from storing a result."""
    logger.warning("%s is not in the queue any more: somebody has ended it, or Redis has lost it", job)
    return NoResultError()


def decode_arguments(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a job as `convert` takes them, with models for their objects."""
    return {name: from_json(name, value) for name, value in arguments.items()}
