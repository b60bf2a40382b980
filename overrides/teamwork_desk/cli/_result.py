"""The result of each line of a jobs file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import attrs
from attrs import frozen

from ._jobs import Line
from ._records import Entry

JobState: TypeAlias = Literal["planned", "done", "skipped", "excluded", "failed", "unknown"]
Kind: TypeAlias = Literal["planned", "created", "already", "skipped", "excluded", "failed", "unknown"]


@frozen(kw_only=True)
class Result:
    """The result of a line of the jobs file.

    Attributes:
        line: The number of the line.
        conversation_id: The conversation, if the line has a valid id.
        state: `done`, or `planned` in a dry run; `skipped`, because an earlier run has converted it; `excluded`,
            because only the jobs that failed are tried; `failed`; or `unknown`.
        created: Whether this run made the ticket; False if the conversation had its ticket before; None if there is no
            ticket.
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

    @property
    def kind(self) -> Kind:
        """The state; of a conversation that is done, whether its ticket was `created` or is there `already`."""
        if self.state != "done":
            return self.state
        return "created" if self.created else "already"

    def to_dict(self) -> dict[str, Any]:
        """Return the result as a JSON object."""
        return attrs.asdict(self)


Report: TypeAlias = Callable[[Result], None]


def rejected(line: Line, problem: str, state: JobState = "failed") -> Result:
    """Return the result of a line that cannot be a job of this run."""
    return Result(
        line=line.number,
        conversation_id=line.conversation_id,
        state=state,
        error="RequestError",
        message=problem,
    )


def skipped(line: Line, entry: Entry) -> Result:
    """Return the result of a job that an earlier run has converted."""
    return Result(
        line=line.number,
        conversation_id=line.conversation_id,
        state="skipped",
        created=False,
        ticket_id=entry.ticket_id,
    )


def state_of(entry: Entry | None) -> JobState:
    """Return the state of a job that this run did not convert."""
    return "unknown" if entry is not None and entry.may_be_converted else "failed"
