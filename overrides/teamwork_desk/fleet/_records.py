"""What Redis records about jobs besides the stream: the attempts, what they may have done, and the parked jobs."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, Final, cast

from attrs import field, frozen
from redis.asyncio import Redis
from taskiq import TaskiqMessage
from taskiq.abc.broker import AsyncBroker

ENTRY_LABEL: Final = "stream_entry"
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
local found = #redis.call('xrange', KEYS[1], ARGV[1], ARGV[1])
if ARGV[4] == 'known' then
    if redis.call('hget', KEYS[3], ARGV[2]) == ARGV[3] then redis.call('hdel', KEYS[3], ARGV[2]) end
elseif found == 1 then
    redis.call('hsetnx', KEYS[3], ARGV[2], ARGV[3])
end
if ARGV[5] == 'forget' and redis.call('hincrby', KEYS[2], ARGV[1], -1) <= 0 then
    redis.call('hdel', KEYS[2], ARGV[1])
end
return found
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


class Records:
    """The records of a queue. All methods raise the errors of redis-py.

    Args:
        redis: The connections.
        name: The name of the stream, and of its consumer group.
        broker: The broker, whose formatter reads and writes the messages of Taskiq.

    Attributes:
        keys: The names of the queue's keys, with the types of their values.
    """

    def __init__(self, redis: Redis, name: str, broker: AsyncBroker) -> None:
        self._name = name
        self._parked_key = f"{name}:parked"
        self._attempts_key = f"{name}:attempts"
        self.keys = {name: "stream", self._parked_key: "stream", self._attempts_key: "hash", UNKNOWN_KEY: "hash"}
        self._redis = redis
        self._broker = broker
        self._count_attempt: Any = redis.register_script(_COUNT_ATTEMPT)
        self._report_attempt: Any = redis.register_script(_REPORT_ATTEMPT)
        self._end_job: Any = redis.register_script(_END_JOB)
        self._remove_parked: Any = redis.register_script(_REMOVE_PARKED)

    async def count_attempt(self, message: TaskiqMessage) -> Attempt:
        """Count an attempt at a job before it runs, so that an attempt counts even if it kills its worker."""
        keys = [self._name, self._attempts_key, UNKNOWN_KEY]
        _account, _conversation_id, arguments = message.args
        kind = "plain" if arguments.get("scheduled_email") is None else "scheduled"
        arguments = [message.labels[ENTRY_LABEL], _subject(message), kind, uuid.uuid4().hex]
        number, mark, earlier = await self._count_attempt(keys=keys, args=arguments)
        return Attempt(number=int(number), mark=mark.decode(), earlier=earlier.decode())

    async def report_attempt(self, message: TaskiqMessage, attempt: Attempt, *, is_unknown: bool, counts: bool) -> bool:
        """Record how an attempt ended whose job stays in the stream.

        Args:
            message: The job.
            attempt: The attempt.
            is_unknown: Whether this attempt or an earlier one may have converted the conversation.
            counts: Whether the attempt counts. It does not if it says nothing about the job.

        Returns:
            Whether the job is still in the stream.
        """
        keys = [self._name, self._attempts_key, UNKNOWN_KEY]
        ending = ["unknown" if is_unknown else "known", "count" if counts else "forget"]
        arguments = [message.labels[ENTRY_LABEL], _subject(message), attempt.mark, *ending]
        return bool(await self._report_attempt(keys=keys, args=arguments))

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
            The text of `Parked.error`; None if the job is not in the stream any more.
        """
        mark = attempt.mark if attempt else ""
        outcome = await self._end(message, mark, "unknown" if is_unknown else "known", error)
        return None if outcome is None else _parked_error(error, is_unknown=outcome == b"unknown")

    async def _end(self, message: TaskiqMessage, mark: str, outcome: str, error: str) -> bytes | None:
        keys = [self._name, self._attempts_key, self._parked_key, UNKNOWN_KEY]
        arguments = [self._name, message.labels[ENTRY_LABEL], _subject(message), mark, outcome]
        data = self._broker.formatter.dumps(message).message
        return cast("bytes | None", await self._end_job(keys=keys, args=[*arguments, data, error]))

    async def parked(self) -> list[Parked]:
        """Return the parked jobs, oldest first."""
        entries: Any = await self._redis.xrange(self._parked_key)
        return [self._decode_parked(entry.decode(), fields) for entry, fields in entries]

    def _decode_parked(self, entry: str, fields: Mapping[bytes, bytes]) -> Parked:
        account, conversation_id, arguments = self._broker.formatter.loads(fields[b"data"]).args
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
        keys = [self._parked_key, self._name, UNKNOWN_KEY]
        await self._remove_parked(keys=keys, args=[parked_id, "run again"])

    async def discard(self, parked_id: str) -> None:
        """Delete a parked job, and forget that its outcome is unknown. If there is no such job, do nothing."""
        keys = [self._parked_key, self._name, UNKNOWN_KEY]
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
