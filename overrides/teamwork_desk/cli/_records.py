"""What a ledger says about a conversation."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, TypeAlias

from attrs import field, frozen

State: TypeAlias = Literal["open", "done", "failed", "unknown"]


@frozen(kw_only=True)
class Entry:
    """The record of a conversation in the ledger.

    Attributes:
        state: `open` from the moment when its request leaves until its outcome is known; `done`; `failed`, which the
            next run retries; or `unknown`.
        ticket_id: The ticket, if the state is `done`.
        attempts: How many requests have left to convert it.
        is_scheduled: Whether a request that may have converted it scheduled an email. The ticket appears only after the
            email was sent, so a listing without a ticket proves nothing, and no request may be sent again.
    """

    state: State
    ticket_id: int | None
    attempts: int
    is_scheduled: bool = field(default=False, converter=bool)

    @property
    def may_be_converted(self) -> bool:
        """Whether it may have been converted, so that it must be looked up first."""
        return self.state in ("open", "unknown")


@frozen(kw_only=True)
class Record(Entry):
    """The whole record of a conversation.

    Attributes:
        conversation_id: The conversation.
        error: The name of the error's class, if it failed or its outcome is unknown.
        opened_at: When its last request left, in ISO 8601.
        closed_at: When its outcome was recorded, in ISO 8601; None while it is open.
    """

    conversation_id: int
    error: str | None
    opened_at: str
    closed_at: str | None

    @property
    def since(self) -> str:
        """When its last request left, if that is still to be looked up; otherwise when its outcome was recorded."""
        return self.opened_at if self.may_be_converted or self.closed_at is None else self.closed_at


def seconds_since(time: str, now: datetime) -> float | None:
    """Return the seconds since a time of a ledger; None if it is not valid, because another program has changed it.

    Args:
        time: The time in ISO 8601, with its offset from UTC.
        now: The current time.
    """
    try:
        return (now - datetime.fromisoformat(time)).total_seconds()
    except (TypeError, ValueError):
        return None
