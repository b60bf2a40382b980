"""The queue: a Redis stream where a job stays until its end is known."""

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

PAUSE: Final = 1.0
"""Seconds until Redis is tried again after its connection broke."""
_ENTRY = "stream_entry"
"""The label that tells a message's place in the stream."""

# Scripts, because a worker that slept comes late, and two operators come together: who takes an entry out, moves it.
_COUNT = """
if #redis.call('xrange', KEYS[1], ARGV[1], ARGV[1]) == 0 then return 0 end
return redis.call('hincrby', KEYS[2], ARGV[1], 1)
"""
_END = """
redis.call('xack', KEYS[1], ARGV[1], ARGV[2])
redis.call('hdel', KEYS[2], ARGV[2])
if redis.call('xdel', KEYS[1], ARGV[2]) == 1 and ARGV[3] then
    redis.call('xadd', KEYS[3], '*', 'data', ARGV[3], 'error', ARGV[4])
end
"""
# What is no id raises, and is no entry's.
_TAKE = """
local entry = redis.pcall('xrange', KEYS[1], ARGV[1], ARGV[1])[1]
if entry and entry[1] == ARGV[1] then
    redis.call('xdel', KEYS[1], ARGV[1])
    if KEYS[2] then redis.call('xadd', KEYS[2], '*', 'data', entry[2][2]) end
end
"""

logger = logging.getLogger("teamwork_desk.fleet")


@frozen(kw_only=True)
class Parked:
    """A job that was given up, kept to be run again.

    Attributes:
        id: Names it in `Fleet.run_again` and `Fleet.discard`.
        account: The account's name.
        conversation_id: The conversation.
        arguments: What `convert` was given. Not in the repr: it names customers.
        error: Why it was given up, without personal data.
    """

    id: str
    account: str
    conversation_id: int
    arguments: dict[str, Any] = field(repr=False)
    error: str


class Queue(RedisStreamBroker):
    """Taskiq's broker over Redis Streams, except that only `end` takes a job out.

    Taskiq is handed plain bytes, and so acknowledges nothing: neither what failed nor what it cannot read.

    Args:
        redis_url: The Redis.
        name: The stream's name; those of the other keys begin with it.
        redeliver_after: Seconds until a job that was delivered and did not end is delivered again.
    """

    def __init__(self, redis_url: str, name: str, redeliver_after: float) -> None:
        # From the first job on: "$" would skip what was enqueued before the first worker came.
        options: dict[str, Any] = {"queue_name": name, "consumer_group_name": name, "consumer_id": "0"}
        # Longer than a read blocks; redis-py before 8 waits for ever on a connection that fell silent.
        super().__init__(redis_url, **options, socket_timeout=5)
        self.redis: Redis = Redis(connection_pool=self.connection_pool)
        self._redeliver_after = int(redeliver_after * 1000)
        self._parked_key = f"{name}:parked"
        self._attempts_key = f"{name}:attempts"
        self._count: Any = self.redis.register_script(_COUNT)
        self._end: Any = self.redis.register_script(_END)
        self._take: Any = self.redis.register_script(_TAKE)

    async def listen(self) -> AsyncGenerator[bytes, None]:  # type: ignore[override]
        """Yield jobs one by one, so that none waits in a worker while its time runs: first those left behind.

        Taskiq's own method looks for those only when new jobs come.
        """
        while not _is_cancelled():
            try:
                entries = await self._left_behind() or await self._new()
            except (RedisConnectionError, RedisTimeoutError) as error:
                logger.warning("Redis cannot be reached (%s); trying again in %s s", type(error).__name__, PAUSE)
                await asyncio.sleep(PAUSE)
                continue
            for entry, fields in entries:
                delivery = self._read(entry.decode(), fields)
                if delivery is None:
                    logger.error("entry %s names no task of this worker: it stays in the stream", entry.decode())
                    continue
                yield delivery

    async def _left_behind(self) -> Any:
        """Claim a job whose worker died or let go of it; claiming ends its idleness, so only one worker gets it."""
        group, consumer, idle = self.consumer_group_name, self.consumer_name, self._redeliver_after
        pending: Any = await self.redis.xpending_range(self.queue_name, group, "-", "+", 1, idle=idle)
        entries = [entry["message_id"] for entry in pending]
        return entries and await self.redis.xclaim(self.queue_name, group, consumer, idle, entries)

    async def _new(self) -> Any:
        streams: Any = await self.redis.xreadgroup(
            self.consumer_group_name, self.consumer_name, {self.queue_name: ">"}, count=1, block=self.block
        )
        return [entry for _, entries in streams for entry in entries]

    def _read(self, entry: str, fields: Mapping[bytes, bytes]) -> bytes | None:
        try:
            message = self.formatter.loads(fields[b"data"])
            message.labels[_ENTRY] = entry
            return self.formatter.dumps(message).message if self.find_task(message.task_name) else None
        except (KeyError, ValueError, RecursionError):
            return None

    async def count_attempt(self, message: TaskiqMessage) -> int:
        """Return how often the job was attempted, this time included; 0 where it has left the stream.

        A worker that dies has counted.
        """
        return int(await self._count(keys=[self.queue_name, self._attempts_key], args=[message.labels[_ENTRY]]))

    async def end(self, message: TaskiqMessage, error: str | None = None) -> None:
        """Take a job out of the stream; with an error, park it, unless another worker took it out."""
        parked = [] if error is None else [self.formatter.dumps(message).message, error]
        keys = [self.queue_name, self._attempts_key, self._parked_key]
        await self._end(keys=keys, args=[self.consumer_group_name, message.labels[_ENTRY], *parked])

    async def parked(self) -> list[Parked]:
        """Return the parked jobs, oldest first."""
        entries: Any = await self.redis.xrange(self._parked_key)
        return [self._parked(entry.decode(), fields) for entry, fields in entries]

    def _parked(self, entry: str, fields: Mapping[bytes, bytes]) -> Parked:
        account, conversation_id, arguments = self.formatter.loads(fields[b"data"]).args
        return Parked(
            id=entry,
            account=account,
            conversation_id=conversation_id,
            arguments=arguments,
            error=fields[b"error"].decode(),
        )

    async def run_again(self, parked_id: str) -> None:
        """Put a parked job back into the stream."""
        await self._take(keys=[self._parked_key, self.queue_name], args=[parked_id])

    async def discard(self, parked_id: str) -> None:
        """Delete a parked job."""
        await self._take(keys=[self._parked_key], args=[parked_id])


def _is_cancelled() -> bool:
    """Whether the task was cancelled: redis-py now and then swallows it, and a worker would never stop."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
