"""A run of `convert-many`: it connects the jobs, the ledger and the backlog's `convert_many`, without the terminal."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from itertools import chain
from typing import Any

import anyio
from attrs import define, field

from teamwork_desk import AsyncDesk, ConvertedConversation, DeskError, NotSentError, OutcomeUnknownError
from teamwork_desk.backlog import Convert, Job, Outcome, convert_many

from ._errors import CommandError, message_of
from ._failures import Failures, got_no_turn
from ._gate import RefusedError
from ._jobs import Line
from ._ledger import Ledger
from ._records import State
from ._result import Report, Result, rejected, skipped, state_of
from ._uploads import Uploads


class NotStartedError(NotSentError):
    """The run was stopped before the conversion of this job left: the ledger says of it what it said before."""


@define(eq=False)
class _Running:
    """A job that runs now.

    Attributes:
        scope: Cancels the job.
        has_files: Whether its files, if it has any, are uploaded.
        has_left: Whether a request that converts its conversation has left.
        is_scheduled: Whether its request schedules an email.
        is_only_looked_up: Whether an earlier request may have scheduled an email, so that none may be sent again.
    """

    scope: anyio.CancelScope = field(factory=anyio.CancelScope)
    has_files: bool = False
    has_left: bool = False
    is_scheduled: bool = False
    is_only_looked_up: bool = False


class Run:
    """Converts the jobs of a file, except those that are done according to the ledger.

    Args:
        convert: Converts one conversation. `leave` is called right before a request of it leaves.
        ledger: The ledger, which was opened before now.
        report: Called with the result of each line.
        settle: How many seconds must pass from now until a conversation that an earlier run left open or unknown is
            retried. That run has ended, because this run has opened the ledger, but its last request may still be
            running at the server. The time in the ledger is not used, because somebody may have set the clock.
        verify_first: Whether to look a conversation up first if its job does not say so. A conversation that is open or
            unknown is always looked up first, and so is a conversation for which an earlier run has sent a request.
        desk: The client that uploads the attachments of the jobs; None uploads nothing.
        only_failed: Whether only the jobs are tried that are `failed` in the ledger.
        max_failures: After how many failures in a row that may have a shared reason the run stops. The default is no
            limit.
        give_up: Called with the last failure and the number of failures in a row when the run stops by itself.
        limit: How many jobs are tried, first those that have not failed before. The default is no limit.
    """

    def __init__(
        self,
        convert: Convert,
        ledger: Ledger,
        report: Report,
        *,
        settle: float,
        verify_first: bool,
        desk: AsyncDesk | None = None,
        only_failed: bool = False,
        max_failures: float = math.inf,
        give_up: Callable[[DeskError, int], None] = lambda _error, _in_a_row: None,
        limit: float = math.inf,
    ) -> None:
        self._failures = Failures(max_failures)
        self._give_up = give_up
        self._convert = convert
        self._ledger = ledger
        self._report = report
        self._settled_at = anyio.current_time() + settle
        self._verify_first = verify_first
        self._limit = limit
        self._only_failed = only_failed
        self._uploads = Uploads(desk, ledger)
        self._lines: dict[int, int] = {}
        self._running: dict[int, _Running] = {}
        # The jobs that have left or ended, and whose result is not reported yet.
        self._awaited: set[int] = set()
        self._is_stopping = False
        self._scope = anyio.CancelScope()
        self._failure: CommandError | None = None

    @property
    def leaving(self) -> list[int]:
        """The conversations whose request has left, and whose outcome is not known yet."""
        return [conversation_id for conversation_id, job in self._running.items() if job.has_left]

    @property
    def left_open(self) -> int:
        """How many jobs have sent their conversion, and have no result."""
        return len(self._awaited)

    def stop(self) -> None:
        """Stop every job whose conversion has not left, and start no more. The others come to their end."""
        self._is_stopping = True
        for job in self._running.values():
            if not job.has_left:
                job.scope.cancel()
        self._end_if_nothing_runs()

    def _end_if_nothing_runs(self) -> None:
        # A job that got no turn may be in a long pause. Its result is not needed, because it has changed nothing.
        if self._is_stopping and not self._awaited:
            self._scope.cancel()

    def leave(self, conversation_id: int) -> None:
        """Record that the request for a conversation leaves now.

        Raises:
            RefusedError: The request must not leave.
        """
        if self._is_stopping:
            raise RefusedError("the run was stopped")
        job = self._running[conversation_id]
        if job.is_only_looked_up:
            raise RefusedError("an earlier run may have scheduled an email")
        try:
            self._ledger.begin(conversation_id, is_scheduled=job.is_scheduled)
        except CommandError as error:
            self._fail(error)
            raise RefusedError("the ledger cannot be written") from None
        job.has_left = True
        self._awaited.add(conversation_id)

    def _fail(self, error: CommandError) -> None:
        """Stop because the ledger cannot be used. The first reason is raised at the end."""
        self._failure = self._failure or error
        self.stop()

    async def convert_all(self, lines: Iterable[Line], *, concurrency: int) -> None:
        """Convert every job and report every result. A failed job does not stop the others.

        A job that was stopped before its conversion left has no result.

        Args:
            lines: The jobs.
            concurrency: How many jobs run at the same time.

        Raises:
            CommandError: The ledger or the jobs file cannot be used. The running jobs have ended by then.
            LedgerLostError: The ledger is no longer at its path.
        """
        with self._scope:
            async with aclosing(convert_many(self._recorded, self._jobs(lines), concurrency=concurrency)) as outcomes:
                async for outcome in outcomes:
                    if not isinstance(outcome.error, NotStartedError):
                        self._report(self._result_of(outcome))
                        self._judge(outcome.error)
                    self._awaited -= {outcome.conversation_id}
                    self._end_if_nothing_runs()
        if self._failure is not None:
            raise self._failure
        # The last jobs may have ended after the ledger was removed, and the next run would not know them.
        self._ledger.check_place()

    def _judge(self, error: DeskError | None) -> None:
        """Stop if the other jobs would fail for the same reason as the last ones."""
        if self._failures.add(error) and error is not None and not self._is_stopping:
            self._give_up(error, self._failures.in_a_row)
            self.stop()

    async def _jobs(self, lines: Iterable[Line]) -> AsyncGenerator[Job, None]:
        left, later = self._limit, dict[int, Line]()
        for line in chain(lines, later.values()):
            # Let other tasks run: a run may skip thousands of lines while responses arrive.
            await asyncio.sleep(0)
            if self._is_stopping:
                return
            conversation_id = line.conversation_id
            if conversation_id is None:
                self._report(rejected(line, line.problem))
                continue
            first = self._lines.setdefault(conversation_id, line.number)
            entry = self._ledger.entry(conversation_id)
            if first != line.number:
                self._report(rejected(line, f"line {first} has the same conversation"))
            elif line.job is None:
                self._report(rejected(line, line.problem, state_of(entry)))
            elif entry is not None and entry.state == "done":
                self._report(skipped(line, entry))
            elif self._only_failed and (entry is None or entry.state != "failed"):
                self._report(Result(line=line.number, conversation_id=conversation_id, state="excluded"))
            elif entry is not None and entry.state == "failed" and left < math.inf and conversation_id not in later:
                # It comes last: otherwise, jobs that always fail would be the only ones that are ever tried.
                later[conversation_id] = line
            elif left:
                left -= 1
                self._uploads.add(conversation_id, line.attach)
                yield line.job

    async def _recorded(self, conversation_id: int, **arguments: Any) -> ConvertedConversation:
        """Convert one conversation, and record its outcome in the ledger.

        Raises:
            NotStartedError: The run was stopped before the conversion left.
            DeskError: The conversion failed.
        """
        if not self._is_stopping:
            job = self._running[conversation_id] = _Running()
            try:
                with job.scope:
                    return await self._settled_and_recorded(job, conversation_id, arguments)
            except CommandError as error:
                self._fail(error)
            finally:
                del self._running[conversation_id]
        raise NotStartedError("the run was stopped before this job started")

    async def _settled_and_recorded(
        self, job: _Running, conversation_id: int, arguments: dict[str, Any]
    ) -> ConvertedConversation:
        self._ledger.check_place()
        before = self._ledger.entry(conversation_id)
        may_be_converted = before is not None and before.may_be_converted
        job.is_scheduled = arguments.get("scheduled_email") is not None
        # A ledger of an older version has no mark, but then the job shows it.
        job.is_only_looked_up = before is not None and may_be_converted and (before.is_scheduled or job.is_scheduled)
        if may_be_converted:
            await anyio.sleep_until(self._settled_at)
        if may_be_converted or (before is not None and before.attempts):
            # Nothing is sent again only because of a response: a gateway may have refused what Desk has carried out.
            arguments["verify_first"] = True
        elif arguments.get("verify_first") is None:
            arguments["verify_first"] = self._verify_first
        try:
            conversation = None
            if not job.is_only_looked_up:
                conversation = await self._uploads.attach(conversation_id, arguments)
                job.has_files = True
            conversation = conversation or await self._convert(conversation_id, **arguments)
        except DeskError as error:
            if (
                isinstance(error, RefusedError)
                and not job.has_left
                and (self._is_stopping or not job.is_only_looked_up)
            ):
                raise NotStartedError(str(error)) from None
            final = self._final(error, job)
            self._record_failure(job, conversation_id, final, may_be_converted=may_be_converted)
            # A job that got no turn has no result yet, because it is tried again.
            (self._awaited.discard if got_no_turn(final) else self._awaited.add)(conversation_id)
            if final is not error:
                raise final from error
            raise
        self._awaited.add(conversation_id)
        self._ledger.end(conversation_id, "done", ticket_id=conversation.ticket_id)
        self._uploads.forget(conversation_id)
        return conversation

    def _final(self, error: DeskError, job: _Running) -> DeskError:
        """Return the error of a job that has ended. It is another one if the run has stopped the job."""
        if job.is_only_looked_up and isinstance(error, RefusedError):
            unknown = OutcomeUnknownError(
                "an earlier run may have scheduled an email; the ticket appears only after it was sent, "
                "so nothing is sent again"
            )
            unknown.maybe_applied, unknown.request_id = True, error.request_id
            return unknown
        if not self._is_stopping or not (isinstance(error, RefusedError) or got_no_turn(error)):
            return error
        stopped = NotSentError("the run was stopped before the request was sent again")
        stopped.attempts, stopped.maybe_applied, stopped.request_id = (
            error.attempts,
            error.maybe_applied,
            error.request_id,
        )
        return stopped

    def _record_failure(self, job: _Running, conversation_id: int, error: DeskError, *, may_be_converted: bool) -> None:
        """Record a failure in the ledger.

        Args:
            job: The job.
            conversation_id: Its conversation.
            error: Why it failed.
            may_be_converted: Whether an earlier run may have converted it.
        """
        if job.has_files:
            self._uploads.forget_if_rejected(conversation_id, error)
        # Without an attempt to convert, the lookup itself failed, and the earlier outcome stays unknown. With an
        # attempt, the lookup has shown that the conversation was not converted before.
        still_unknown = may_be_converted and not (job.has_files and error.attempts)
        state: State = "unknown" if error.maybe_applied or still_unknown else "failed"
        self._ledger.end(conversation_id, state, error=type(error).__name__)

    def _result_of(self, outcome: Outcome) -> Result:
        conversation_id, error = outcome.conversation_id, outcome.error
        assert conversation_id is not None, "a line without an id does not become a job"  # noqa: S101
        line, entry = self._lines[conversation_id], self._ledger.entry(conversation_id)
        if error is None:
            ticket_id = entry.ticket_id if entry else None
            return Result(
                line=line,
                conversation_id=conversation_id,
                state="done",
                created=outcome.created,
                ticket_id=ticket_id,
            )
        return Result(
            line=line,
            conversation_id=conversation_id,
            state=state_of(entry),
            error=type(error).__name__,
            message=f"{message_of(error)}{self._uploads.describe(conversation_id)}",
            request_id=error.request_id,
        )
