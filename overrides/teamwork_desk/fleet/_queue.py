"""The queue: a Redis stream in which a job stays until its outcome is known."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError
from taskiq import BrokerMessage
from taskiq.abc.broker import AsyncBroker
from taskiq_redis import RedisStreamBroker

from .. import ConfigurationError
from ._records import ENTRY_LABEL, Records
from ._redis import Trouble, explain, logger
from ._setup import SOCKET_TIMEOUT, check_server, check_url


class Queue(RedisStreamBroker):
    """Taskiq's broker on Redis Streams, changed so that only `Records` removes a job, and that a failover does no harm.

    Taskiq acknowledges an `AckableMessage` and then forgets it. `listen` yields plain bytes instead, so that Taskiq
    never removes a job that failed or that it cannot read.

    Args:
        redis_url: The URL of Redis or Valkey.
        name: The name of the stream. The names of the queue's other keys begin with it.
        redeliver_after: How many seconds after a delivery a job is delivered again if it has not ended. A job must
            not run that long, or two workers run it at the same time.

    Attributes:
        redis: The connections, which all parts of the fleet share.
        records: What Redis records about jobs besides the stream.

    Raises:
        ConfigurationError: The URL is invalid or not supported.
    """

    def __init__(self, redis_url: str, name: str, redeliver_after: float) -> None:
        # "0" starts at the first job of the stream. Taskiq's default, "$", would skip the jobs that were enqueued
        # before the first worker started.
        options: dict[str, Any] = {"queue_name": name, "consumer_group_name": name, "consumer_id": "0"}
        # redis-py before 8 has no timeout, and would wait forever on a connection that is dead but not closed.
        super().__init__(check_url(redis_url), **options, socket_timeout=SOCKET_TIMEOUT)
        settings = self.connection_pool.connection_kwargs
        if redis_url.startswith("rediss://") and settings.get("ssl_cert_reqs") != "none":
            # redis-py before 6 does not compare the name in the certificate by default.
            settings.setdefault("ssl_check_hostname", True)
        self.redis: Redis = Redis(connection_pool=self.connection_pool)
        self.records = Records(self.redis, name, self)
        self._redeliver_after = int(redeliver_after * 1000)
        self._trouble = Trouble()
        self._failure: Exception | None = None
        self._is_prepared = self._has_consumer = False

    async def startup(self) -> None:
        """Start the broker, and check that the queue can work with this Redis.

        If Redis only fails for a while, the broker starts all the same: a worker tries again until Redis works.

        Raises:
            ConfigurationError: The queue can never work with this Redis, such as with a wrong password.
        """
        # Taskiq's own method would also create the consumer group, and ignore every error reply. A producer must not
        # create it: then no worker would notice that Redis has lost it.
        await AsyncBroker.startup(self)
        try:
            await check_server(self.redis, self.records.keys)
        except (RedisError, ConfigurationError) as error:
            fault = explain(error)
            if not fault.passes:
                await self.connection_pool.disconnect()
                raise ConfigurationError(fault.words) from None
            logger.warning("%s; this is tried again when Redis is needed", fault.words)

    async def listen(self) -> AsyncGenerator[bytes, None]:  # type: ignore[override]
        """Yield the jobs one by one, and abandoned jobs before new ones.

        A worker reads only one job at a time, so that no job waits in a worker while its time runs out. Taskiq's own
        method looks for abandoned jobs only when new jobs arrive.

        No error of Redis ends this, because Taskiq would then stop the worker, and the calls of its running jobs.
        """
        while not _is_cancelled():
            try:
                entries = await self._receive()
            except (RedisError, ConfigurationError) as error:
                self._is_prepared, self._failure = False, None
                await self._close_idle()
                await self._trouble.wait(error)
                continue
            self._trouble.end()
            for entry, fields in entries:
                delivery = self._decode_entry(entry.decode(), fields)
                if delivery is None:
                    logger.error(
                        "entry %s cannot be read, or its task is unknown to this worker: it stays in the stream",
                        entry.decode(),
                    )
                    continue
                yield delivery

    async def kick(self, message: BrokerMessage) -> None:
        """Add a job to the stream."""
        try:
            await super().kick(message)
        except RedisError:
            await self._close_idle()
            raise

    async def suspect(self, error: RedisError) -> None:
        """Let the worker wait before it receives the next job, because Redis failed while a job ran.

        Otherwise the worker would receive job after job, each of which fails and comes again minutes later.
        """
        self._failure = error
        await self._close_idle()

    async def _close_idle(self) -> None:
        """Close the connections that nobody uses, so that the next command looks up the address of Redis again.

        After a failover, an old connection may lead to the former primary, which would reject every write for ever.
        """
        # The pool's own `disconnect` waits between its choice of the connections and their end. Another task could
        # take one of them meanwhile, and its command would fail. With `nowait`, nothing here waits.
        pool: Any = self.connection_pool
        for connection in tuple(pool._available_connections):
            await connection.disconnect(nowait=True)

    async def _receive(self) -> Any:
        if self._failure is not None:
            raise self._failure
        if not self._is_prepared:
            await self._prepare()
        return await self._claim_abandoned() or await self._read_new()

    async def _prepare(self) -> None:
        """Check Redis, and create what the queue needs. This happens at the start and after each failure.

        After a failover, Redis may have another configuration, or may have lost the stream with the jobs.
        """
        await check_server(self.redis, self.records.keys)
        try:
            await self.redis.xgroup_create(
                self.queue_name, self.consumer_group_name, id=self.consumer_id, mkstream=self.mkstream
            )
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):  # the group exists
                raise
        is_new = await self.redis.xgroup_createconsumer(self.queue_name, self.consumer_group_name, self.consumer_name)
        if is_new and self._has_consumer:
            logger.error(
                "Redis has lost the queue %s: jobs, parked jobs, leases and counts of the rate that were in it may be "
                "gone; enqueue the jobs again, which does no harm to those that are done",
                self.queue_name,
            )
        self._is_prepared = self._has_consumer = True

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
            message.labels[ENTRY_LABEL] = entry
            return self.formatter.dumps(message).message if self.find_task(message.task_name) else None
        except (KeyError, ValueError, RecursionError):
            return None


def _is_cancelled() -> bool:
    """Return whether the task was cancelled.

    Sometimes redis-py swallows a cancellation. Without this check, the worker would then never stop.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
