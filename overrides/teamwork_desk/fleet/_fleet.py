"""Fleet: it takes jobs from the queue and converts their conversations, each by one worker at a time."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Annotated, Any, Self, TypeAlias, TypeVar, Unpack, cast

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
    DeskError,
    OutcomeUnknownError,
    RequestError,
)
from .._arguments import check_id, from_json, to_json
from .._checks import is_count, is_id, is_seconds, unknown_names
from ..backlog import ConvertedFields
from ._account import Account, lease
from ._failures import describe, got_no_turn, is_about_job, is_final, leaves_unknown
from ._queue import Attempt, Parked, Queue, logger

T = TypeVar("T")

EventHooks: TypeAlias = Mapping[str, list[Callable[..., Any]]]
"""Functions that httpx calls for each request: pass them to `AsyncDesk(event_hooks=...)`."""

TASK = "teamwork_desk.fleet:convert"


class Fleet:
    """Workers that convert conversations of many accounts, and the queue that they share.

    `taskiq worker your_module:broker` runs workers, where the module has `broker = fleet.broker`. `enqueue` adds jobs;
    use the fleet as `async with fleet:` around it, which closes the connections to Redis at the end. At any time a job
    is done, parked, or in the stream. A job that may succeed later is delivered again `2 * deadline + settle` seconds
    after its last delivery.

    Args:
        redis_url: The URL of Redis or Valkey, 6.2 or newer, such as `redis://localhost:6379`. It must persist its
            data: a job or lease that Redis forgets is lost.
        open_desk: A function that takes an account's name and event hooks, and returns the account's client with these
            hooks: they keep the account's rate. Each worker calls it once per account, when the account's first job
            arrives, and closes the client when it shuts down. The tokens come from this function; no token goes
            through the queue. Use one name per account in all queues of a Redis.
        rate: How many requests all workers together may send per account, such as `"120/minute"`. Use the account's
            rate limit at Desk, and the same value in every fleet that serves the account.
        deadline: Seconds for one call. It replaces the client's own deadline. A job also waits at most this long for
            its turn before the call.
        settle: Seconds for which no worker touches a conversation after a call whose outcome is unknown. Choose more
            than Desk may need to finish a request after the connection is lost; after that time, a ticket that is not
            in the listing yet would be made a second time.
        max_attempts: How many calls are made for a job at most, before it is parked.
        queue: The name of the stream. The names of the keys that count attempts and park jobs begin with it. A queue of
            its own, with workers of its own, keeps the long backlog of one account from delaying the others.

    Attributes:
        broker: The Taskiq broker that `taskiq worker` runs.

    Raises:
        ConfigurationError: The URL, the rate, the deadline, the settling time or the number of attempts is invalid.
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
            raise ConfigurationError('rate: expected a single limit, such as "120/minute"') from None
        if self._rate.amount < 1:
            raise ConfigurationError("rate: expected at least 1 request")
        # The minimum is 0.001, because Redis counts time in whole milliseconds.
        if not is_seconds(deadline) or not is_seconds(settle) or deadline < 0.001:
            raise ConfigurationError("deadline, settle: expected finite numbers of seconds, at least 0.001 and 0")
        if not is_count(max_attempts):
            raise ConfigurationError("max_attempts: expected an int of at least 1")
        self._open_desk = open_desk
        self._deadline = deadline
        self._lease = deadline + settle
        self._max_attempts = max_attempts
        self._desks: dict[str, tuple[AsyncDesk, Account]] = {}
        try:
            # A job waits for its turn for one deadline at most, and runs for another one. After that time no worker
            # that is still alive can be working on it.
            self._queue = Queue(redis_url, queue, redeliver_after=deadline + self._lease)
        except ValueError:
            # The error's own text is dropped, because it may quote a password that is not percent-encoded.
            raise ConfigurationError(
                "redis_url: expected redis://, rediss:// or unix://, with a percent-encoded password"
            ) from None
        self.broker: Queue = self._queue
        pool: Any = {"connection_pool": self._queue.connection_pool}
        storage = RedisStorage("async+redis://", implementation="redispy", **pool)
        # We do not know when Desk's rate window begins. A moving window keeps the rate wherever Desk's window begins.
        self._limiter = MovingWindowRateLimiter(storage)
        self._task = self._register()
        self._queue.on_event(TaskiqEvents.WORKER_SHUTDOWN, TaskiqEvents.CLIENT_SHUTDOWN)(self._close)

    async def __aenter__(self) -> Self:
        """Start the broker. Only a producer needs this: `taskiq worker` starts it itself."""
        await self.broker.startup()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Shut the broker down, and close its connections to Redis."""
        await self.broker.shutdown()

    async def enqueue(
        self, account: str, conversation_id: int, **arguments: Unpack[ConvertedFields]
    ) -> AsyncTaskiqTask[int | None]:
        """Add a job that converts a conversation. A second job for the same conversation does no harm.

        Args:
            account: The account's name, as `open_desk` takes it.
            conversation_id: The conversation's id.
            **arguments: The arguments of `convert`, except `email` and `verify_first`. They are stored in Redis as
                JSON until the job ends.

        Returns:
            Taskiq's handle of the job. If the broker has a result backend, the result is the ticket's id, or None if
            the job was parked.

        Raises:
            RequestError: `convert` does not have an argument, or its value cannot be encoded as JSON. Nothing was
                added.
            taskiq.SendTaskError: Redis failed, and it is unknown whether it has the job: add the job again. The
                attribute `__cause__` holds the error of Redis.
        """
        if not isinstance(cast("object", account), str):
            raise RequestError(f"account: expected a str, got {type(account).__name__}")
        account, conversation_id = str.__str__(account), check_id(conversation_id)
        if unknown := arguments.keys() - ConvertedFields.__annotations__.keys():
            raise RequestError(unknown_names("argument", unknown, ConvertedFields.__annotations__))
        plain = to_json(arguments, ConvertedFields)
        try:
            text = json.dumps(plain, ensure_ascii=False, allow_nan=False)
            # This raises an error for a str that UTF-8 cannot encode: Redis could not store it.
            (account + text).encode()
            fields = json.loads(text)
            # Taskiq has limits of its own, such as the depth. Check them here, because `kiq` would report an error of
            # the encoder as if Redis had failed.
            self._queue.formatter.dumps(TaskiqMessage(task_id="", task_name=TASK, labels={}, args=[fields], kwargs={}))
        except (TypeError, ValueError, RecursionError):
            raise RequestError(
                "account, arguments: expected values that JSON can encode, at most 200 levels deep"
            ) from None
        # The worker decodes the arguments in the same way. Check here that it can, so that the caller gets the error.
        _decode_arguments(fields)
        return await self._task.kiq(account, conversation_id, fields)

    async def parked(self) -> list[Parked]:
        """Return the jobs that the fleet gave up, oldest first."""
        return await self._queue.parked()

    async def run_again(self, parked_id: str) -> None:
        """Move a parked job back into the queue, with a new count of attempts.

        If its outcome is unknown, the fleet still knows that: the job looks the conversation up first. With
        `scheduled_email`, it only looks the conversation up.

        Args:
            parked_id: The job's `Parked.id`. If there is no such job, for example because somebody else has run it
                again, nothing happens.
        """
        await self._queue.run_again(parked_id)

    async def discard(self, parked_id: str) -> None:
        """Delete a parked job with its arguments, and forget that its outcome is unknown.

        Args:
            parked_id: The job's `Parked.id`. If there is no such job, nothing happens.
        """
        await self._queue.discard(parked_id)

    def _register(self) -> AsyncTaskiqDecoratedTask[..., Any]:
        # This is a function and not a method, because Taskiq sets the name of what it registers, and the name of a
        # method cannot be set.
        async def convert(
            account: str, conversation_id: int, arguments: dict[str, Any], context: Annotated[Context, TaskiqDepends()]
        ) -> int | None:
            return await self._run(account, conversation_id, arguments, context.message)

        return self._queue.register_task(convert, task_name=TASK)

    async def _run(
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
            async with account.turn(self._deadline):
                lock = await self._acquire_lease(account_name, conversation_id)
                attempt = await self._queue.count_attempt(message)
                if not attempt.number:
                    # Another worker has ended the job since it was delivered here.
                    await _release(lock)
                    raise NoResultError
                if attempt.number > self._max_attempts:
                    # The last attempt that is allowed parks the job if it fails. So its worker died before that.
                    raise OutcomeUnknownError("attempts exhausted: every worker died before it reported an outcome")
                ticket_id = await _convert(desk, conversation_id, arguments, lock, attempt)
            if not account.hook_was_called:
                logger.error(
                    "open_desk did not pass the event hooks to the client of %s: its rate is not kept", account_name
                )
        except NoResultError:
            # Only a job that got no turn or no lease is logged. A job that another worker has ended is not deferred.
            if attempt is None:
                logger.info("%s has to wait, and will be retried", job)
            raise
        except Exception as error:  # catch every error, because the job must not be lost
            await self._failed(job, message, attempt, error)
            return None
        await self._ended(job, self._queue.finish(message))
        return ticket_id

    async def _failed(self, job: str, message: TaskiqMessage, attempt: Attempt | None, error: Exception) -> None:
        """Park a job whose delivery failed.

        Raises:
            NoResultError: A retry may help, and the job stays in the stream.
        """
        text = describe(error)
        is_unknown = attempt is not None and leaves_unknown(error, attempt)
        counts = is_about_job(error)
        if counts and (is_final(error, attempt) or (attempt is not None and attempt.number >= self._max_attempts)):
            parked = await self._ended(job, self._queue.park(message, attempt, text, is_unknown=is_unknown))
            if parked is not None:
                logger.error("%s is parked: %s", job, parked)
            return
        if attempt is not None:
            # If Redis fails, the attempt stays counted, and its outcome stays unknown. The job is delivered again all
            # the same.
            with suppress(RedisError):
                await self._queue.report_attempt(message, attempt, is_unknown=is_unknown, counts=counts)
        if counts:
            logger.warning("%s will be retried: %s", job, text)
        else:
            log = logger.warning if got_no_turn(error) else logger.error
            log("%s has to wait, and will be retried: %s", job, text)
        raise NoResultError from None

    async def _ended(self, job: str, recorded: Awaitable[T]) -> T:
        """Wait until Redis has recorded the end of a job.

        Raises:
            NoResultError: Redis failed, and the job stays in the stream.
        """
        try:
            return await recorded
        except RedisError as error:
            logger.warning("%s will be retried: Redis did not record its end (%s)", job, type(error).__name__)
            raise NoResultError from None

    def _open_account(self, name: str) -> tuple[AsyncDesk, Account]:
        """Return the client and the state of an account. The first call opens the client."""
        if name not in self._desks:
            account = Account(name, self._limiter, self._rate)
            try:
                # The rate is kept by an event hook and not by a transport, because a transport would replace the
                # client's own connections.
                desk = self._open_desk(name, {"request": [account.before_request]})
                desk = desk.with_options(deadline=self._deadline)
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
        lock = self._queue.redis.lock(key, timeout=self._lease, thread_local=False)
        if not await lock.acquire(blocking=False):
            raise NoResultError
        return lock

    async def _close(self, *_: object) -> None:
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
    arguments = _decode_arguments(arguments)
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


def _decode_arguments(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a job as `convert` takes them, with models for their objects."""
    return {name: from_json(name, value) for name, value in arguments.items()}
