"""Fleet: jobs from the queue to `convert`, one at a time per conversation."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from operator import methodcaller
from typing import Annotated, Any, Self, TypeAlias, Unpack, cast

import limits
from limits.aio.storage import RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter
from redis.asyncio.lock import Lock
from redis.exceptions import RedisError
from taskiq import (
    AsyncTaskiqDecoratedTask,
    AsyncTaskiqTask,
    Context,
    NoResultError,
    TaskiqDepends,
    TaskiqEvents,
    TaskiqMessage,
)

from .. import (
    AsyncDesk,
    ConfigurationError,
    DeadlineExceeded,
    DeskError,
    OutcomeUnknownError,
    RateLimitedError,
    RequestError,
    ResponseDecodeError,
    ServerError,
    TransportError,
)
from .._arguments import from_json
from .._checks import is_count, is_id, is_seconds, unknown_names
from ..backlog import ConvertedFields
from ._account import Account, lease
from ._queue import Parked, Queue, logger

EventHooks: TypeAlias = Mapping[str, list[Callable[..., Any]]]
"""What `AsyncDesk(event_hooks=...)` takes."""

TASK = "teamwork_desk.fleet:convert"
_MAY_PASS = (OutcomeUnknownError, TransportError, DeadlineExceeded, RateLimitedError, ServerError)
"""What may be gone at the next delivery."""


class Fleet:
    """Workers that convert conversations of many accounts, and the queue they share.

    `taskiq worker your_module:broker`, where `broker = fleet.broker`, runs workers, and `enqueue` gives them work,
    within `async with fleet:`, which closes the connections to Redis. At any time a job is done, parked, or in the
    stream. One that may succeed later is delivered again `2 * deadline + settle` seconds after its last delivery.

    Args:
        redis_url: The Redis or Valkey, 6.2 or newer, such as `redis://localhost:6379`. What it forgets is lost.
        open_desk: Opens the client of the account whose name it is given, with the event hooks it is given: they keep
            the account's rate. A worker calls it once per account, when the first job comes, and closes the client
            when it shuts down. Tokens come from here; none goes through the queue. An account has one name, in all
            queues of a Redis.
        rate: Requests of all workers together, per account, such as `"120/minute"`; the same wherever the account is
            served.
        deadline: Seconds for one call, whatever the client's own deadline; as long a job waits for its turn before.
        settle: Seconds for which nobody touches a conversation after a call whose outcome is unknown.
        max_attempts: Calls made for a job, at most, before it is parked.
        queue: The stream's name; those of the keys that count and park its jobs begin with it.

    Attributes:
        broker: Taskiq's broker.

    Raises:
        ConfigurationError: The URL, the rate, the deadline, the settling time or the number of attempts makes no sense.
    """

    def __init__(
        self,
        redis_url: str,
        open_desk: Callable[[str, EventHooks], AsyncDesk],
        *,
        rate: str = "120/minute",
        deadline: float = 120.0,
        settle: float = 60.0,
        max_attempts: int = 10,
        queue: str = "teamwork-desk",
    ) -> None:
        try:
            (self._rate,) = limits.parse_many(rate)
        except ValueError:
            raise ConfigurationError('rate: expected requests per time, once, such as "120/minute"') from None
        if self._rate.amount < 1:
            raise ConfigurationError("rate: expected at least 1 request")
        if not is_seconds(deadline) or not is_seconds(settle) or deadline < 0.001:  # Redis counts milliseconds
            raise ConfigurationError("deadline, settle: expected finite seconds, at least 0.001 and 0")
        if not is_count(max_attempts):
            raise ConfigurationError("max_attempts: expected an int of at least 1")
        self._open_desk = open_desk
        self._deadline = deadline
        self._lease = deadline + settle
        self._max_attempts = max_attempts
        self._desks: dict[str, tuple[AsyncDesk, Account]] = {}
        try:
            # A job waits for a place for a deadline and runs for another, at most: then no live worker is at it.
            self._queue = Queue(redis_url, queue, redeliver_after=deadline + self._lease)
        except ValueError:  # its text may quote a password that is not percent-encoded
            raise ConfigurationError(
                "redis_url: expected redis://, rediss:// or unix://, with a percent-encoded password"
            ) from None
        self.broker: Queue = self._queue
        pool: Any = {"connection_pool": self._queue.connection_pool}
        storage = RedisStorage("async+redis://", implementation="redispy", **pool)
        # Whenever Desk's window begins, a moving one has let through no more than one window's worth since.
        self._limiter = MovingWindowRateLimiter(storage)
        self._task = self._register()
        self._queue.on_event(TaskiqEvents.WORKER_SHUTDOWN, TaskiqEvents.CLIENT_SHUTDOWN)(self._close)

    async def __aenter__(self) -> Self:
        """Start the broker, for a producer: `taskiq worker` does so itself."""
        await self.broker.startup()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Shut the broker down, and close its connections."""
        await self.broker.shutdown()

    async def enqueue(
        self, account: str, conversation_id: int, **arguments: Unpack[ConvertedFields]
    ) -> AsyncTaskiqTask[int | None]:
        """Leave a conversation to the fleet. A second job for it does no harm.

        Args:
            account: The account's name, as `open_desk` knows it.
            conversation_id: The conversation's id.
            **arguments: What `convert` takes, but for `email` and `verify_first`. They wait as JSON.

        Returns:
            Taskiq's handle. Where the broker has a result backend, its result is the ticket's id, or None for a job
            that was parked.

        Raises:
            RequestError: `convert` does not take an argument, or it has no JSON form.
            taskiq.SendTaskError: Redis failed, as `__cause__` says, and may hold the job or not; enqueue it again.
        """
        if not isinstance(cast("object", account), str) or not is_id(conversation_id):
            raise RequestError("account, conversation_id: expected a str and an int")
        if unknown := arguments.keys() - ConvertedFields.__annotations__.keys():
            raise RequestError(unknown_names("argument", unknown, ConvertedFields.__annotations__))
        try:
            text = json.dumps(arguments, default=methodcaller("to_dict"), ensure_ascii=False, allow_nan=False)
            (account + text).encode()
            fields = json.loads(text)
            # Taskiq's own limits, such as the depth.
            self._queue.formatter.dumps(TaskiqMessage(task_id="", task_name=TASK, labels={}, args=[fields], kwargs={}))
        except (AttributeError, TypeError, ValueError, RecursionError):
            raise RequestError("account, arguments: expected what has a form in JSON, no deeper than 200") from None
        _as_convert_takes(fields)  # so that the worker can
        return await self._task.kiq(account, conversation_id, fields)

    async def parked(self) -> list[Parked]:
        """Return the jobs that were given up, oldest first."""
        return await self._queue.parked()

    async def run_again(self, parked_id: str) -> None:
        """Put a parked job back into the queue; where there is none of this id, do nothing."""
        await self._queue.run_again(parked_id)

    async def discard(self, parked_id: str) -> None:
        """Delete a parked job and what it holds; where there is none of this id, do nothing."""
        await self._queue.discard(parked_id)

    def _register(self) -> AsyncTaskiqDecoratedTask[..., Any]:
        # A function, because Taskiq renames what it registers, which a method refuses.
        async def convert(
            account: str, conversation_id: int, arguments: dict[str, Any], context: Annotated[Context, TaskiqDepends()]
        ) -> int | None:
            return await self._run(account, conversation_id, arguments, context.message)

        return self._queue.register_task(convert, task_name=TASK)

    async def _run(
        self, account: str, conversation_id: int, arguments: dict[str, Any], message: TaskiqMessage
    ) -> int | None:
        """Carry out one delivery; NoResultError leaves the job in the stream."""
        about, attempts, ticket_id, told = f"conversation {conversation_id} of {account}", None, None, None
        try:
            desk, place = self._enter(account)
            async with place.wait(self._deadline):
                hold = await self._take(account, conversation_id)
                attempts = await self._queue.count_attempt(message)
                if not attempts:  # another worker has ended it
                    await _release(hold)
                    raise NoResultError
                if attempts > self._max_attempts:
                    raise OutcomeUnknownError("no worker lived to tell what became of it")
                ticket_id = await _convert(desk, conversation_id, arguments, hold)
            if not place.is_hooked:
                logger.error("open_desk does not give the client of %s its event hooks: no rate is kept", account)
        except NoResultError:
            if attempts is None:
                logger.info("%s has to wait, and comes again", about)
            raise
        except Exception as error:  # whatever it is: the job must not be lost
            told = _tell(error)
            if not _is_final(error) and (attempts or 0) < self._max_attempts:
                logger.warning("%s comes again: %s", about, told)
                raise NoResultError from None
            logger.error("%s is parked: %s", about, told)
        try:
            await self._queue.end(message, told)
        except RedisError as error:
            logger.warning("%s comes again: its end could not be noted (%s)", about, type(error).__name__)
            raise NoResultError from None
        return ticket_id

    def _enter(self, name: str) -> tuple[AsyncDesk, Account]:
        if name not in self._desks:
            account = Account(name, self._limiter, self._rate)
            try:
                # A hook, and no transport: that would take the place of the client's own connections.
                desk = self._open_desk(name, {"request": [account.before_request]})
                desk = desk.with_options(deadline=self._deadline)
            except Exception as error:
                raise ConfigurationError(f"open_desk failed: {_tell(error)}") from error
            self._desks[name] = desk, account
        return self._desks[name]

    async def _take(self, account: str, conversation_id: int) -> Lock:
        """Take the lease on a conversation, whatever the queue."""
        key = f"teamwork-desk:lease:{account}:{conversation_id}"
        hold = self._queue.redis.lock(key, timeout=self._lease, thread_local=False)
        if not await hold.acquire(blocking=False):
            raise NoResultError
        return hold

    async def _close(self, *_: object) -> None:
        while self._desks:
            await self._desks.popitem()[1][0].aclose()


async def _convert(desk: AsyncDesk, conversation_id: int, arguments: dict[str, Any], hold: Lock) -> int | None:
    """Convert, and give the lease back unless a request may still be at it: then it runs out."""
    lease.set(hold)
    arguments = _as_convert_takes(arguments)
    try:
        conversation = await desk.conversations.convert(conversation_id, **arguments, verify_first=True)
    except DeskError as error:
        if not error.maybe_applied:
            await _release(hold)
        raise
    await _release(hold)
    return conversation.ticket_id


async def _release(hold: Lock) -> None:
    # Where this fails, the lease runs out.
    with suppress(RedisError):
        await hold.release()


def _as_convert_takes(arguments: dict[str, Any]) -> dict[str, Any]:
    return {name: from_json(name, value) for name, value in arguments.items()}


def _is_final(error: Exception) -> bool:
    """Whether another attempt cannot end otherwise; TypeError is an argument that `convert` does not have."""
    if isinstance(error, ResponseDecodeError):  # of a look, such as a gateway's page with status 200, it may
        return error.maybe_applied
    return isinstance(error, (DeskError, TypeError)) and not isinstance(error, _MAY_PASS)


def _tell(error: Exception) -> str:
    """Tell an error; of those that are not this package's, the kind alone, for their text may quote anything."""
    return f"{type(error).__name__}: {error}" if isinstance(error, DeskError) else type(error).__name__
