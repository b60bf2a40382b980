"""The queue: a Redis stream in which a job stays until its outcome is known."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncGenerator, Mapping
from typing import Any, Final, cast

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

UNKNOWN_KEY: Final = "teamwork-desk:unknown"
"""A hash with a mark for each conversation that may have been converted, although no delivery has reported a ticket.

A delivery sets its mark before it runs, so that the mark stays if its worker dies. The mark is removed when the outcome
is known. It belongs to the conversation, like the lease: all jobs and queues share it.
"""

# These are scripts, because Redis runs a script without interruption. A worker that slept may end a job late, and two
# operators may handle the same parked job at the same time: only the one that deletes an entry may move it elsewhere.
# A late worker must not remove the mark of a later delivery, so it removes a mark only if it is its own.
_COUNT_ATTEMPT = """
if #redis.call('xrange', KEYS[1], ARGV[1], ARGV[1]) == 0 then return {0, '', ''} end
local earlier = redis.call('hget', KEYS[3], ARGV[2]) or ''
local kind = ARGV[3]
if string.sub(earlier, 1, 9) == 'scheduled' then kind = 'scheduled' end
local mark = kind .. ' ' .. ARGV[4]
redis.call('hset', KEYS[3], ARGV[2], mark)
return {redis.call('hincrby', KEYS[2], ARGV[1], 1), mark, earlier}
"""
_REPORT_ATTEMPT = """
if ARGV[4] == 'known' then
    if redis.call('hget', KEYS[3], ARGV[2]) == ARGV[3] then redis.call('hdel', KEYS[3], ARGV[2]) end
elseif #redis.call('xrange', KEYS[1], ARGV[1], ARGV[1]) == 1 then
    redis.call('hsetnx', KEYS[3], ARGV[2], ARGV[3])
end
if ARGV[5] == 'forget' and redis.call('hincrby', KEYS[2], ARGV[1], -1) <= 0 then
    redis.call('hdel', KEYS[2], ARGV[1])
end
"""
_END_JOB = """
redis.call('xack', KEYS[1], ARGV[1], ARGV[2])
redis.call('hdel', KEYS[2], ARGV[2])
local mark = redis.call('hget', KEYS[4], ARGV[3])
if ARGV[5] == 'done' or (ARGV[5] == 'known' and mark == ARGV[4]) then
    redis.call('hdel', KEYS[4], ARGV[3])
    mark = false
end
if redis.call('xdel', KEYS[1], ARGV[2]) == 0 or ARGV[5] == 'done' then return false end
if ARGV[5] == 'unknown' and not mark then
    mark = ARGV[4]
    redis.call('hset', KEYS[4], ARGV[3], mark)
end
if mark then
    redis.call('xadd', KEYS[3], '*', 'data', ARGV[6], 'error', ARGV[7], 'mark', mark, 'subject', ARGV[3])
    return 'unknown'
end
redis.call('xadd', KEYS[3], '*', 'data', ARGV[6], 'error', ARGV[7])
return 'known'
"""
# The script uses pcall, because XRANGE fails if its argument is not an id. It compares the ids, because XRANGE also
# accepts "-", "+" and incomplete ids, and would find other entries with them.
_REMOVE_PARKED = """
local entry = redis.pcall('xrange', KEYS[1], ARGV[1], ARGV[1])[1]
if entry and entry[1] == ARGV[1] then
    local _, data, _, _, _, mark, _, subject = unpack(entry[2])
    redis.call('xdel', KEYS[1], ARGV[1])
    if ARGV[2] == 'run again' then
        redis.call('xadd', KEYS[2], '*', 'data', data)
    elseif mark and redis.call('hget', KEYS[3], subject) == mark then
        redis.call('hdel', KEYS[3], subject)
    end
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
        error: Why the fleet gave the job up. It holds no personal data. It begins with the name of the error's class;
            that is `OutcomeUnknownError` if it is unknown whether the conversation was converted, whatever the last
            error was.
        maybe_applied: Whether an attempt may have converted the conversation. If it is True, make sure that there is no
            ticket before you discard the job.
    """

    id: str
    account: str
    conversation_id: int
    arguments: dict[str, Any] = field(repr=False)
    error: str
    maybe_applied: bool = False


@frozen(kw_only=True)
class Attempt:
    """A delivery that counts, and what Redis knew about its conversation when it began.

    Attributes:
        number: How many attempts at the job there were, including this one. It is 0 if the job is not in the stream any
            more.
        mark: The mark that this attempt has set on the conversation.
        earlier: The mark of an earlier attempt whose outcome is unknown; empty if there is none.
    """

    number: int
    mark: str
    earlier: str

    @property
    def is_scheduled(self) -> bool:
        """Whether this attempt or an earlier one has a scheduled email: its ticket may appear at any time."""
        return self.mark.startswith("scheduled")

    @property
    def must_not_send(self) -> bool:
        """Whether an earlier attempt may have scheduled an email: then a lookup cannot show that it did nothing."""
        return self.earlier.startswith("scheduled")


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
        self._report_attempt: Any = self.redis.register_script(_REPORT_ATTEMPT)
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

    async def count_attempt(self, message: TaskiqMessage) -> Attempt:
        """Count an attempt at a job before it runs, so that an attempt counts even if it kills its worker."""
        keys = [self.queue_name, self._attempts_key, UNKNOWN_KEY]
        _account, _conversation_id, arguments = message.args
        kind = "plain" if arguments.get("scheduled_email") is None else "scheduled"
        arguments = [message.labels[_ENTRY_LABEL], _subject(message), kind, uuid.uuid4().hex]
        number, mark, earlier = await self._count_attempt(keys=keys, args=arguments)
        return Attempt(number=int(number), mark=mark.decode(), earlier=earlier.decode())

    async def report_attempt(self, message: TaskiqMessage, attempt: Attempt, *, is_unknown: bool, counts: bool) -> None:
        """Record how an attempt ended whose job stays in the stream.

        Args:
            message: The job.
            attempt: The attempt.
            is_unknown: Whether this attempt or an earlier one may have converted the conversation.
            counts: Whether the attempt counts. It does not if it says nothing about the job.
        """
        keys = [self.queue_name, self._attempts_key, UNKNOWN_KEY]
        ending = ["unknown" if is_unknown else "known", "count" if counts else "forget"]
        arguments = [message.labels[_ENTRY_LABEL], _subject(message), attempt.mark, *ending]
        await self._report_attempt(keys=keys, args=arguments)

    async def finish(self, message: TaskiqMessage) -> None:
        """Remove a job that is done from the stream."""
        await self._end(message, "", "done", "")

    async def park(
        self, message: TaskiqMessage, attempt: Attempt | None, error: str, *, is_unknown: bool
    ) -> str | None:
        """Move a job from the stream to the parked jobs.

        Args:
            message: The job.
            attempt: The last attempt; None if the job failed before an attempt.
            error: Why the job is given up.
            is_unknown: Whether the attempt or an earlier one may have converted the conversation.

        Returns:
            The text of `Parked.error`; None if another worker has removed the job already.
        """
        mark = attempt.mark if attempt else ""
        outcome = await self._end(message, mark, "unknown" if is_unknown else "known", error)
        return None if outcome is None else _parked_error(error, is_unknown=outcome == b"unknown")

    async def _end(self, message: TaskiqMessage, mark: str, outcome: str, error: str) -> bytes | None:
        keys = [self.queue_name, self._attempts_key, self._parked_key, UNKNOWN_KEY]
        arguments = [self.consumer_group_name, message.labels[_ENTRY_LABEL], _subject(message), mark, outcome]
        data = self.formatter.dumps(message).message
        return cast("bytes | None", await self._end_job(keys=keys, args=[*arguments, data, error]))

    async def parked(self) -> list[Parked]:
        """Return the parked jobs, oldest first."""
        entries: Any = await self.redis.xrange(self._parked_key)
        return [self._decode_parked(entry.decode(), fields) for entry, fields in entries]

    def _decode_parked(self, entry: str, fields: Mapping[bytes, bytes]) -> Parked:
        account, conversation_id, arguments = self.formatter.loads(fields[b"data"]).args
        error = _parked_error(fields[b"error"].decode(), is_unknown=b"mark" in fields)
        return Parked(
            id=entry,
            account=account,
            conversation_id=conversation_id,
            arguments=arguments,
            error=error,
            maybe_applied=error.startswith(_SAY_UNKNOWN),
        )

    async def run_again(self, parked_id: str) -> None:
        """Move a parked job back into the stream. If there is no such job, do nothing."""
        keys = [self._parked_key, self.queue_name, UNKNOWN_KEY]
        await self._remove_parked(keys=keys, args=[parked_id, "run again"])

    async def discard(self, parked_id: str) -> None:
        """Delete a parked job, and forget that its outcome is unknown. If there is no such job, do nothing."""
        keys = [self._parked_key, self.queue_name, UNKNOWN_KEY]
        await self._remove_parked(keys=keys, args=[parked_id, "discard"])


_SAY_UNKNOWN = ("OutcomeUnknownError", "ResponseDecodeError")
"""The errors of a conversion that say by themselves that the conversation may have been converted."""


def _parked_error(error: str, *, is_unknown: bool) -> str:
    """Return the error of a parked job. It says that the outcome is unknown, whatever the last error was."""
    if not is_unknown or error.startswith(_SAY_UNKNOWN):
        return error
    return f"OutcomeUnknownError: an attempt may have converted the conversation; the last error was {error}"


def _subject(message: TaskiqMessage) -> str:
    """Name the conversation of a job in the hash of marks."""
    account, conversation_id, _arguments = message.args
    return f"{account}:{conversation_id}"


def _is_cancelled() -> bool:
    """Return whether the task was cancelled.

    Sometimes redis-py swallows a cancellation. Without this check, the worker would then never stop.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
