"""The queue: a Redis stream in which a job stays until its outcome is known."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping
from typing import Any, Final

from attrs import field, frozen
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from taskiq import TaskiqMessage
from taskiq_redis import RedisStreamBroker

RECONNECT_PAUSE: Final = 1.0
"""How many seconds to wait before the next try after the connection to Redis broke."""

_ENTRY_LABEL = "stream_entry"
"""The label of a Taskiq message that holds the id of its entry in the stream."""

# These are scripts, because Redis runs a script without interruption. A worker that slept may end a job late, and two
# operators may handle the same parked job at the same time: only the one that deletes an entry may move it elsewhere.
_COUNT_ATTEMPT = """
if #redis.call('xrange', KEYS[1], ARGV[1], ARGV[1]) == 0 then return 0 end
return redis.call('hincrby', KEYS[2], ARGV[1], 1)
"""
_FORGET_ATTEMPT = """
if redis.call('hincrby', KEYS[1], ARGV[1], -1) <= 0 then redis.call('hdel', KEYS[1], ARGV[1]) end
"""
_END_JOB = """
redis.call('xack', KEYS[1], ARGV[1], ARGV[2])
redis.call('hdel', KEYS[2], ARGV[2])
if redis.call('xdel', KEYS[1], ARGV[2]) == 1 and ARGV[3] then
    redis.call('xadd', KEYS[3], '*', 'data', ARGV[3], 'error', ARGV[4])
end
"""
# The script uses pcall, because XRANGE fails if its argument is not an id. It compares the ids, because XRANGE also
# accepts "-", "+" and incomplete ids, and would find other entries with them.
_REMOVE_PARKED = """
local entry = redis.pcall('xrange', KEYS[1], ARGV[1], ARGV[1])[1]
if entry and entry[1] == ARGV[1] then
    redis.call('xdel', KEYS[1], ARGV[1])
    if KEYS[2] then redis.call('xadd', KEYS[2], '*', 'data', entry[2][2]) end
end
"""

logger = logging.getLogger("teamwork_desk.fleet")


@frozen(kw_only=True)
class Parked:
    """A job that the fleet gave up, and keeps until a person runs it again or discards it.

    Attributes:
        id: The id that `Fleet.run_again` and `Fleet.discard` take.
        account: The account's name.
        conversation_id: The conversation's id.
        arguments: The arguments of `convert`. The repr does not show them, because they may be personal data.
        error: Why the fleet gave the job up. It holds no personal data.
    """

    id: str
    account: str
    conversation_id: int
    arguments: dict[str, Any] = field(repr=False)
    error: str


class Queue(RedisStreamBroker):
    """Taskiq's broker on Redis Streams, changed so that only `end` removes a job.

    Taskiq acknowledges an `AckableMessage` and then forgets it. `listen` yields plain bytes instead, so that Taskiq
    never removes a job that failed or that it cannot read.

    Args:
        redis_url: The URL of Redis or Valkey.
        name: The name of the stream. The names of the queue's other keys begin with it.
        redeliver_after: How many seconds after a delivery a job is delivered again if it has not ended. A job must
            not run that long, or two workers run it at the same time.
    """

    def __init__(self, redis_url: str, name: str, redeliver_after: float) -> None:
        # "0" starts at the first job of the stream. Taskiq's default, "$", would skip the jobs that were enqueued
        # before the first worker started.
        options: dict[str, Any] = {"queue_name": name, "consumer_group_name": name, "consumer_id": "0"}
        # The timeout must be longer than a read blocks. It is set because redis-py before 8 has none, and would wait
        # forever on a connection that is dead but not closed.
        super().__init__(redis_url, **options, socket_timeout=5)
        self.redis: Redis = Redis(connection_pool=self.connection_pool)
        self._redeliver_after = int(redeliver_after * 1000)
        self._parked_key = f"{name}:parked"
        self._attempts_key = f"{name}:attempts"
        self._count_attempt: Any = self.redis.register_script(_COUNT_ATTEMPT)
        self._forget_attempt: Any = self.redis.register_script(_FORGET_ATTEMPT)
        self._end_job: Any = self.redis.register_script(_END_JOB)
        self._remove_parked: Any = self.redis.register_script(_REMOVE_PARKED)

    async def listen(self) -> AsyncGenerator[bytes, None]:  # type: ignore[override]
        """Yield the jobs one by one, and abandoned jobs before new ones.

        A worker reads only one job at a time, so that no job waits in a worker while its time runs out. Taskiq's own
        method looks for abandoned jobs only when new jobs arrive.
        """
        while not _is_cancelled():
            try:
                entries = await self._claim_abandoned() or await self._read_new()
            except (RedisConnectionError, RedisTimeoutError) as error:
                # Log the class only, because the text may quote the URL with its password.
                name = type(error).__name__
                logger.warning("Redis cannot be reached (%s); retrying in %s s", name, RECONNECT_PAUSE)
                await asyncio.sleep(RECONNECT_PAUSE)
                continue
            for entry, fields in entries:
                delivery = self._decode_entry(entry.decode(), fields)
                if delivery is None:
                    logger.error(
                        "entry %s cannot be read, or its task is unknown to this worker: it stays in the stream",
                        entry.decode(),
                    )
                    continue
                yield delivery

    async def _claim_abandoned(self) -> Any:
        """Claim a job that was delivered long ago and has not ended, because its worker died or deferred it.

        Claiming a job makes it count as delivered just now, so that only one worker gets it.
        """
        group, consumer, idle = self.consumer_group_name, self.consumer_name, self._redeliver_after
        pending: Any = await self.redis.xpending_range(self.queue_name, group, "-", "+", 1, idle=idle)
        entries = [entry["message_id"] for entry in pending]
        return entries and await self.redis.xclaim(self.queue_name, group, consumer, idle, entries)

    async def _read_new(self) -> Any:
        streams: Any = await self.redis.xreadgroup(
            self.consumer_group_name, self.consumer_name, {self.queue_name: ">"}, count=1, block=self.block
        )
        return [entry for _, entries in streams for entry in entries]

    def _decode_entry(self, entry: str, fields: Mapping[bytes, bytes]) -> bytes | None:
        """Return a message with the id of its entry added, or None if this worker cannot run it."""
        try:
            message = self.formatter.loads(fields[b"data"])
            message.labels[_ENTRY_LABEL] = entry
            return self.formatter.dumps(message).message if self.find_task(message.task_name) else None
        except (KeyError, ValueError, RecursionError):
            return None

    async def count_attempt(self, message: TaskiqMessage) -> int:
        """Count an attempt at a job before it runs, so that an attempt counts even if it kills its worker.

        Returns:
            How many attempts there were, including this one. It is 0 if the job is not in the stream any more.
        """
        keys = [self.queue_name, self._attempts_key]
        return int(await self._count_attempt(keys=keys, args=[message.labels[_ENTRY_LABEL]]))

    async def forget_attempt(self, message: TaskiqMessage) -> None:
        """Take back one count of `count_attempt`: the attempt says nothing about the job."""
        await self._forget_attempt(keys=[self._attempts_key], args=[message.labels[_ENTRY_LABEL]])

    async def end(self, message: TaskiqMessage, error: str | None = None) -> None:
        """Remove a job from the stream.

        Args:
            message: The job.
            error: Why the job is given up; it is then parked, unless another worker has removed it already. None if
                the job is done.
        """
        parked = [] if error is None else [self.formatter.dumps(message).message, error]
        keys = [self.queue_name, self._attempts_key, self._parked_key]
        await self._end_job(keys=keys, args=[self.consumer_group_name, message.labels[_ENTRY_LABEL], *parked])

    async def parked(self) -> list[Parked]:
        """Return the parked jobs, oldest first."""
        entries: Any = await self.redis.xrange(self._parked_key)
        return [self._decode_parked(entry.decode(), fields) for entry, fields in entries]

    def _decode_parked(self, entry: str, fields: Mapping[bytes, bytes]) -> Parked:
        account, conversation_id, arguments = self.formatter.loads(fields[b"data"]).args
        return Parked(
            id=entry,
            account=account,
            conversation_id=conversation_id,
            arguments=arguments,
            error=fields[b"error"].decode(),
        )

    async def run_again(self, parked_id: str) -> None:
        """Move a parked job back into the stream. If there is no such job, do nothing."""
        await self._remove_parked(keys=[self._parked_key, self.queue_name], args=[parked_id])

    async def discard(self, parked_id: str) -> None:
        """Delete a parked job. If there is no such job, do nothing."""
        await self._remove_parked(keys=[self._parked_key], args=[parked_id])


def _is_cancelled() -> bool:
    """Return whether the task was cancelled.

    Sometimes redis-py swallows a cancellation. Without this check, the worker would then never stop.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
