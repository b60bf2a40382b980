"""A run of `convert-many`: it connects the jobs, the ledger and the backlog's `convert_many`, without the terminal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from pathlib import Path
from typing import Any, Literal, TypeAlias

import anyio
import attrs
from attrs import frozen

from teamwork_desk import AsyncDesk, ConvertedConversation, DeskError, NotSentError
from teamwork_desk.backlog import Convert, Job, Outcome, convert_many
from teamwork_desk.testing import FakeDesk

from ._attach import attach, may_be_about_files
from ._errors import CommandError
from ._jobs import Line
from ._ledger import Entry, Ledger, State

JobState: TypeAlias = Literal["planned", "done", "skipped", "failed", "unknown"]


@frozen(kw_only=True)
class Result:
    """The result of a line of the jobs file.

    Attributes:
        line: The number of the line.
        conversation_id: The conversation, if the line has a valid id.
        state: `done`, or `planned` in a dry run; `skipped`, because an earlier run has converted it; `failed`; or
            `unknown`.
        created: Whether this run made the ticket; False if the conversation had its ticket before; None if the run
            did not convert it.
        ticket_id: The ticket, if it is known.
        ticket_url: The address of the ticket's page, if the installation is known, too.
        error: The name of the error's class.
        message: The error's message.
        request_id: The id of the last response, which Teamwork's support asks for.
    """

    line: int
    conversation_id: int | None
    state: JobState
    created: bool | None = None
    ticket_id: int | None = None
    ticket_url: str | None = None
    error: str | None = None
    message: str | None = None
    request_id: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the result as a JSON object."""
        return attrs.asdict(self)


Report: TypeAlias = Callable[[Result], None]


class Run:
    """Converts the jobs of a file, except those that are done according to the ledger.

    Args:
        convert: Converts one conversation.
        ledger: The ledger, which was opened before now.
        report: Called with the result of each line.
        settle: How many seconds must pass from now until a conversation that an earlier run left open or unknown is
            retried. That run has ended, because this run has opened the ledger, but its last request may still be
            running at the server. The time in the ledger does not show when that request was sent, because the request
            may have waited for the rate window.
        verify_first: Whether to look a conversation up first if its job does not say so. A conversation that is open or
            unknown is always looked up first.
        desk: The client that uploads the attachments of the jobs; None uploads nothing.
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
    ) -> None:
        self._convert = convert
        self._ledger = ledger
        self._report = report
        self._settled_at = anyio.current_time() + settle
        self._verify_first = verify_first
        self._desk = desk
        self._lines: dict[int, int] = {}
        self._files: dict[int, tuple[Path, ...]] = {}
        self._attached: dict[int, set[int]] = {}
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Start no more conversions. A job that is still waiting to start fails."""
        self._stopping.set()

    async def convert_all(self, lines: Iterable[Line], *, concurrency: int) -> None:
        """Convert every job and report every result. A failed job does not stop the others.

        Args:
            lines: The jobs.
            concurrency: How many jobs run at the same time.

        Raises:
            CommandError: The ledger or the jobs file cannot be used. The running jobs have ended by then.
            LedgerLostError: The ledger is no longer at its path.
        """
        async with aclosing(convert_many(self._recorded, self._jobs(lines), concurrency=concurrency)) as outcomes:
            async for outcome in outcomes:
                self._report(self._result_of(outcome))
        # The last jobs may have ended after the ledger was removed, and the next run would not know them.
        self._ledger.check_place()

    async def _jobs(self, lines: Iterable[Line]) -> AsyncGenerator[Job, None]:
        for line in lines:
            # Let other tasks run: a run may skip thousands of lines while responses arrive.
            await asyncio.sleep(0)
            if self._stopping.is_set():
                return
            conversation_id = line.conversation_id
            if conversation_id is None:
                self._report(_rejected(line, line.problem))
                continue
            first = self._lines.setdefault(conversation_id, line.number)
            entry = self._ledger.entry(conversation_id)
            if first != line.number:
                self._report(_rejected(line, f"line {first} has the same conversation"))
            elif line.job is None:
                self._report(_rejected(line, line.problem, _state_of(entry)))
            elif entry is not None and entry.state == "done":
                self._report(
                    Result(
                        line=line.number, conversation_id=conversation_id, state="skipped", ticket_id=entry.ticket_id
                    )
                )
            else:
                if line.attach:
                    self._files[conversation_id] = line.attach
                yield line.job

    async def _recorded(self, conversation_id: int, **arguments: Any) -> ConvertedConversation:
        """Convert one conversation, and record it in the ledger before and after."""
        before = self._ledger.entry(conversation_id)
        may_be_converted = before is not None and before.may_be_converted
        if may_be_converted:
            with anyio.CancelScope(deadline=self._settled_at):
                await self._stopping.wait()
            arguments["verify_first"] = True
        elif arguments.get("verify_first") is None:
            arguments["verify_first"] = self._verify_first
        if self._stopping.is_set():
            raise NotSentError("the run was stopped before this job started")
        # The ledger says nothing yet: an upload changes no conversation.
        conversation = await self._attach(conversation_id, arguments)
        try:
            self._ledger.begin(conversation_id)
        except CommandError:
            # The other jobs cannot start either, so they must not wait any longer.
            self.stop()
            raise
        try:
            conversation = conversation or await self._convert(conversation_id, **arguments)
        except DeskError as error:
            if conversation_id in self._attached and may_be_about_files(error):
                self._ledger.forget_uploads(conversation_id)
                del self._attached[conversation_id]
            # Without an attempt to convert, the lookup itself failed, and the earlier outcome stays unknown. With an
            # attempt, the lookup has shown that the conversation was not converted before.
            still_unknown = may_be_converted and not error.attempts
            state: State = "unknown" if error.maybe_applied or still_unknown else "failed"
            self._ledger.end(conversation_id, state, error=type(error).__name__)
            raise
        self._ledger.end(conversation_id, "done", ticket_id=conversation.ticket_id)
        if conversation_id in self._files:
            self._ledger.forget_uploads(conversation_id)
        return conversation

    async def _attach(self, conversation_id: int, arguments: dict[str, Any]) -> ConvertedConversation | None:
        """Upload the files of a job, unless its conversation has a ticket: then return the conversation."""
        files = self._files.get(conversation_id)
        if self._desk is None or not files:
            return None
        known = self._ledger.uploads(conversation_id)
        attached = self._attached[conversation_id] = set()

        def keep(fingerprint: str, file_id: int) -> None:
            if fingerprint not in known:
                self._ledger.keep_upload(conversation_id, fingerprint, file_id)
            attached.add(file_id)

        return await attach(self._desk, conversation_id, files, arguments, known=known, keep=keep)

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
            state=_state_of(entry),
            error=type(error).__name__,
            message=f"{error}{self._kept(conversation_id)}",
            request_id=error.request_id,
        )

    def _kept(self, conversation_id: int) -> str:
        """Return what the next run can use of a job that failed, as the end of a message."""
        ids = ", ".join(map(str, sorted(self._attached.get(conversation_id, ()))))
        return f"; uploaded for the next run with this ledger: file {ids}" if ids else ""


def _rejected(line: Line, problem: str, state: JobState = "failed") -> Result:
    return Result(
        line=line.number,
        conversation_id=line.conversation_id,
        state=state,
        error="RequestError",
        message=problem,
    )


def _state_of(entry: Entry | None) -> JobState:
    """Return the state of a job that this run did not convert."""
    return "unknown" if entry is not None and entry.may_be_converted else "failed"


async def convert_in_memory(ledger: Ledger, lines: Iterable[Line], report: Report) -> None:
    """Do everything that a run does, but with a fake Desk, which rejects what Desk would reject.

    Args:
        ledger: A copy of the ledger in memory.
        lines: The jobs.
        report: Called with the result of each line. A job that would be converted is `planned`.
    """

    async def convert(conversation_id: int, **arguments: Any) -> ConvertedConversation:
        # Each job has a fake Desk of its own, because a fake Desk keeps all requests in memory.
        fake = FakeDesk(conversations=[conversation_id])
        async with AsyncDesk("https://dry-run.invalid", token="any", transport=fake.transport) as desk:  # noqa: S106 - the fake Desk accepts any token
            converted = await desk.conversations.convert(conversation_id, **arguments)
        return attrs.evolve(converted, ticket_id=None)

    def report_as_planned(result: Result) -> None:
        report(attrs.evolve(result, state="planned", created=None) if result.state == "done" else result)

    run = Run(convert, ledger, report_as_planned, settle=0, verify_first=False)
    await run.convert_all(lines, concurrency=1)
