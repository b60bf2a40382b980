"""A run: the jobs, the ledger and `convert_many`, and nothing of the terminal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from typing import Any, Literal, TypeAlias

import anyio
import attrs
from attrs import frozen

from teamwork_desk import AsyncDesk, Conversation, DeskError, NotSentError
from teamwork_desk.backlog import Convert, Job, Outcome, convert_many
from teamwork_desk.testing import FakeDesk

from ._jobs import Line
from ._ledger import Entry, Ledger, State

Fate: TypeAlias = Literal["planned", "done", "skipped", "failed", "unknown"]


@frozen(kw_only=True)
class Result:
    """What became of a line.

    Attributes:
        line: The line in the jobs file.
        conversation_id: The conversation, where the line names one.
        state: `planned` in a rehearsal, else `done`; `skipped`, as an earlier run has done it; `failed`; or `unknown`.
        ticket_id: The ticket, where it is known.
        error: The error's class.
        message: What the error says.
    """

    line: int
    conversation_id: int | None
    state: Fate
    ticket_id: int | None = None
    error: str | None = None
    message: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        return attrs.asdict(self)


Report: TypeAlias = Callable[[Result], None]


class Run:
    """Converts what a jobs file asks for and the ledger does not know as done.

    Args:
        convert: Converts one conversation.
        ledger: The ledger, held since before now.
        report: Is told what became of each line.
        settle: Seconds from now before a conversation is looked at that a former run left open or unknown. That run has
            ended, for the ledger is ours, but its last request may still be under way at the server. How long ago it
            was opened says nothing: it may have waited for the rate window.
        verify_first: Whether to look first where the job does not say it. What is open or unknown is always looked at.
    """

    def __init__(self, convert: Convert, ledger: Ledger, report: Report, *, settle: float, verify_first: bool) -> None:
        self._convert = convert
        self._ledger = ledger
        self._report = report
        self._settled_at = anyio.current_time() + settle
        self._verify_first = verify_first
        self._lines: dict[int, int] = {}
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Begin no further conversion, not even of a job that waits for its turn."""
        self._stopping.set()

    @property
    def is_stopping(self) -> bool:
        """Whether it was told to stop."""
        return self._stopping.is_set()

    async def convert_all(self, lines: Iterable[Line], *, concurrency: int) -> None:
        """Convert each, report each, and let nothing stop it but the end of the lines.

        Args:
            lines: The jobs.
            concurrency: How many are under way at once.

        Raises:
            CommandError: The ledger or the jobs file fails.
        """
        async with aclosing(convert_many(self._recorded, self._jobs(lines), concurrency=concurrency)) as outcomes:
            async for outcome in outcomes:
                self._report(self._result_of(outcome))

    async def _jobs(self, lines: Iterable[Line]) -> AsyncGenerator[Job, None]:
        for line in lines:
            # Thousands of lines may be skipped, while others wait for their answers.
            await asyncio.sleep(0)
            if self.is_stopping:
                return
            conversation_id = line.conversation_id
            if conversation_id is None:
                self._report(_refused(line, line.problem))
                continue
            first = self._lines.setdefault(conversation_id, line.number)
            entry = self._ledger.entry(conversation_id)
            if first != line.number:
                self._report(_refused(line, f"line {first} has the same conversation"))
            elif line.job is None:
                self._report(_refused(line, line.problem, _state_of(entry)))
            elif entry is not None and entry.state == "done":
                self._report(
                    Result(
                        line=line.number, conversation_id=conversation_id, state="skipped", ticket_id=entry.ticket_id
                    )
                )
            else:
                yield line.job

    async def _recorded(self, conversation_id: int, **arguments: Any) -> Conversation:
        """Convert with a note in the ledger before and after."""
        before = self._ledger.entry(conversation_id)
        may_be_converted = before is not None and before.may_be_converted
        if may_be_converted:
            with anyio.CancelScope(deadline=self._settled_at):
                await self._stopping.wait()
            arguments["verify_first"] = True
        elif arguments.get("verify_first") is None:
            arguments["verify_first"] = self._verify_first
        if self.is_stopping:
            raise NotSentError("the run was interrupted before its turn")
        self._ledger.begin(conversation_id)
        try:
            conversation = await self._convert(conversation_id, **arguments)
        except DeskError as error:
            # What was unknown before stays so where the look failed. Where a request followed, it showed no ticket.
            still_unknown = may_be_converted and not error.attempts
            state: State = "unknown" if error.maybe_applied or still_unknown else "failed"
            self._ledger.end(conversation_id, state, error=type(error).__name__)
            raise
        self._ledger.end(conversation_id, "done", ticket_id=conversation.ticket_id)
        return conversation

    def _result_of(self, outcome: Outcome) -> Result:
        conversation_id, error = outcome.conversation_id, outcome.error
        assert conversation_id is not None, "a line without one is no job"  # noqa: S101
        line, entry = self._lines[conversation_id], self._ledger.entry(conversation_id)
        if error is None:
            ticket_id = entry.ticket_id if entry else None
            return Result(line=line, conversation_id=conversation_id, state="done", ticket_id=ticket_id)
        return Result(
            line=line,
            conversation_id=conversation_id,
            state=_state_of(entry),
            error=type(error).__name__,
            message=str(error),
        )


def _refused(line: Line, problem: str, state: Fate = "failed") -> Result:
    return Result(
        line=line.number,
        conversation_id=line.conversation_id,
        state=state,
        error="RequestError",
        message=problem,
    )


def _state_of(entry: Entry | None) -> Fate:
    """Return the state of what was not converted now."""
    return "unknown" if entry is not None and entry.may_be_converted else "failed"


async def rehearse(ledger: Ledger, lines: Iterable[Line], report: Report) -> None:
    """Do all that a run does, against a Desk in memory that says what it refuses.

    Args:
        ledger: A copy in memory.
        lines: The jobs.
        report: Is told of each line; what would be converted is `planned`.
    """

    async def convert(conversation_id: int, **arguments: Any) -> Conversation:
        # One for each: a fake Desk keeps what it gets.
        fake = FakeDesk(conversations=[conversation_id])
        async with AsyncDesk("https://rehearsal.invalid", token="any", transport=fake.transport) as desk:  # noqa: S106 - the fake takes any
            converted = await desk.conversations.convert(conversation_id, **arguments)
        return attrs.evolve(converted, ticket_id=None)

    def report_as_planned(result: Result) -> None:
        report(attrs.evolve(result, state="planned") if result.state == "done" else result)

    run = Run(convert, ledger, report_as_planned, settle=0, verify_first=False)
    await run.convert_all(lines, concurrency=1)
