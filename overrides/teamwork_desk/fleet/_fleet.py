"""Fleet: what a producer and an operator use, and the options of the workers."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Any, Self, Unpack, cast

import limits
from limits.aio.storage import RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter
from taskiq import AsyncTaskiqDecoratedTask, Context, TaskiqDepends, TaskiqEvents, TaskiqMessage

from .. import AsyncDesk, ConfigurationError, RequestError
from .._arguments import check_id, to_json
from .._checks import is_count, is_seconds, unknown_names
from ..backlog import ConvertedFields
from ._jobs import EnqueuedJob
from ._queue import Queue
from ._records import Parked
from ._worker import EventHooks, Worker, decode_arguments

TASK = "teamwork_desk.fleet:convert"


class Fleet:
    """Workers that convert conversations of many accounts, and the queue that they share.

    `taskiq worker your_module:broker` runs workers, where the module has `broker = fleet.broker`. `enqueue` adds jobs;
    use the fleet as `async with fleet:` around it, which closes the connections to Redis at the end. At any time a job
    is done, parked, or in the stream. A job that may succeed later is delivered again `2 * deadline + settle` seconds
    after its last delivery.

    Args:
        redis_url: The URL of a single Redis or Valkey, 6.2 or newer, such as `redis://localhost:6379`; `rediss://`
            and `unix://` are supported, Sentinel and cluster mode are not. Redis must persist its data: a job or lease
            that Redis forgets is lost.
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
            (limit,) = limits.parse_many(rate)
        except ValueError:
            raise ConfigurationError('rate: expected a single limit, such as "120/minute"') from None
        if limit.amount < 1:
            raise ConfigurationError("rate: expected at least 1 request")
        # The minimum is 0.001, because Redis counts time in whole milliseconds.
        if not is_seconds(deadline) or not is_seconds(settle) or deadline < 0.001:
            raise ConfigurationError("deadline, settle: expected finite numbers of seconds, at least 0.001 and 0")
        if not is_count(max_attempts):
            raise ConfigurationError("max_attempts: expected an int of at least 1")
        # A job waits for its turn for one deadline at most, and runs for another one. After that time no worker that is
        # still alive can be working on it.
        self.broker: Queue = Queue(redis_url, queue, redeliver_after=deadline + deadline + settle)
        pool: Any = {"connection_pool": self.broker.connection_pool}
        storage = RedisStorage("async+redis://", implementation="redispy", **pool)
        self._worker = Worker(
            queue=self.broker,
            open_desk=open_desk,
            # We do not know when Desk's rate window begins. A moving window keeps the rate wherever it begins.
            limiter=MovingWindowRateLimiter(storage),
            rate=limit,
            deadline=deadline,
            settle=settle,
            max_attempts=max_attempts,
        )
        self._task = self._register()
        self.broker.on_event(TaskiqEvents.WORKER_SHUTDOWN, TaskiqEvents.CLIENT_SHUTDOWN)(self._worker.close)

    async def __aenter__(self) -> Self:
        """Start the broker. Only a producer needs this: `taskiq worker` starts it itself.

        Raises:
            ConfigurationError: The fleet can never work with this Redis, for example because Redis rejects the
                password or runs in cluster mode.
        """
        await self.broker.startup()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Shut the broker down, and close its connections to Redis."""
        await self.broker.shutdown()

    async def enqueue(self, account: str, conversation_id: int, **arguments: Unpack[ConvertedFields]) -> EnqueuedJob:
        """Add a job that converts a conversation. A second job for the same conversation does no harm.

        Args:
            account: The account's name, as `open_desk` takes it.
            conversation_id: The conversation's id.
            **arguments: The arguments of `convert`, except `email` and `verify_first`. They are stored in Redis as
                JSON until the job ends.

        Returns:
            The job's handle. It knows how the job ended if the broker has a result backend of Taskiq.

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
            self.broker.formatter.dumps(TaskiqMessage(task_id="", task_name=TASK, labels={}, args=[fields], kwargs={}))
        except (TypeError, ValueError, RecursionError):
            raise RequestError(
                "account, arguments: expected values that JSON can encode, at most 200 levels deep"
            ) from None
        # The worker decodes the arguments in the same way. Check here that it can, so that the caller gets the error.
        decode_arguments(fields)
        task = await self._task.kiq(account, conversation_id, fields)
        return EnqueuedJob(id=task.task_id, account=account, conversation_id=conversation_id, task=task)

    async def parked(self) -> list[Parked]:
        """Return the jobs that the fleet gave up, oldest first."""
        return await self.broker.records.parked()

    async def run_again(self, parked_id: str) -> None:
        """Move a parked job back into the queue, with a new count of attempts.

        If its outcome is unknown, the fleet still knows that: the job looks the conversation up first. With
        `scheduled_email`, it only looks the conversation up.

        Args:
            parked_id: The job's `Parked.id`. If there is no such job, for example because somebody else has run it
                again, nothing happens.
        """
        await self.broker.records.run_again(parked_id)

    async def discard(self, parked_id: str) -> None:
        """Delete a parked job with its arguments, and forget that its outcome is unknown.

        Args:
            parked_id: The job's `Parked.id`. If there is no such job, nothing happens.
        """
        await self.broker.records.discard(parked_id)

    def _register(self) -> AsyncTaskiqDecoratedTask[..., Any]:
        # This is a function and not a method, because Taskiq sets the name of what it registers, and the name of a
        # method cannot be set.
        async def convert(
            account: str, conversation_id: int, arguments: dict[str, Any], context: Annotated[Context, TaskiqDepends()]
        ) -> int | None:
            return await self._worker.run(account, conversation_id, arguments, context.message)

        return self.broker.register_task(convert, task_name=TASK)
