"""`ledger settle`: it looks up what an earlier run left open or unknown, and records what a listing proves."""

from __future__ import annotations

import shlex
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path

import attrs
from attrs import frozen

from teamwork_desk import AsyncDesk, Conversation, DeskError, NotFoundError
from teamwork_desk._lookup import look_up

from ._ledger import Ledger
from ._records import Record, State, seconds_since
from ._shell import ticket_url


@frozen(kw_only=True)
class Settled:
    """What is known now about a conversation that was open or unknown.

    Attributes:
        conversation_id: The conversation.
        was: Its state before.
        state: Its state now.
        ticket_id: Its ticket, if it has one.
        ticket_url: The address of the ticket's page.
        message: The reason for its state.
        is_listed: False if no listing shows the conversation.
        may_be_running: Whether its last request left so recently that it may still be running.
    """

    conversation_id: int
    was: State
    state: State
    ticket_id: int | None = None
    ticket_url: str | None = None
    message: str
    is_listed: bool = True
    may_be_running: bool = False


def way_on(path: Path) -> str:
    """Return the sentence that names the command which settles a ledger.

    Args:
        path: The ledger.
    """
    return f"To look them up without converting: {shlex.join(['teamwork-desk', 'ledger', 'settle', str(path)])}"


async def settle(ledger: Ledger, desk: AsyncDesk, seconds: float) -> AsyncGenerator[Settled]:
    """Look up the conversations that are open or unknown, and record the outcome of those that a listing proves.

    Args:
        ledger: The ledger.
        desk: The client. It only reads.
        seconds: How old a request must be before the absence of a ticket proves that it has made none.

    Yields:
        Each of the conversations, after its outcome was recorded.

    Raises:
        DeskError: A listing is not available.
        CommandError: The ledger cannot be written.
    """
    # A request that is old enough now has ended before the first listing begins.
    began = datetime.now(UTC)
    records = {record.conversation_id: record for record in ledger.records() if record.may_be_converted}
    async with aclosing(look_up(desk.send, list(records))) as looked_up:
        async for conversation_id, found in looked_up:
            record = records[conversation_id]
            age = seconds_since(record.opened_at, began)
            settled = _settled(record, found, desk, may_be_running=None if age is None else age < seconds)
            if settled.state != settled.was:
                ledger.end(conversation_id, settled.state, ticket_id=settled.ticket_id)
            if settled.state == "done":
                # The files are attached, or the conversation got its ticket without them.
                ledger.forget_uploads(conversation_id)
            yield settled


def _settled(
    record: Record, found: Conversation | DeskError, desk: AsyncDesk, *, may_be_running: bool | None
) -> Settled:
    """Return what a listing proves about a conversation.

    Args:
        record: The record.
        found: The conversation, or why it was not found.
        desk: The client.
        may_be_running: Whether its last request may still be running; None if the ledger does not say when it left.
    """
    settled = Settled(conversation_id=record.conversation_id, was=record.state, state=record.state, message="")
    if isinstance(found, Conversation) and found.ticket_id:
        settled = attrs.evolve(settled, ticket_id=found.ticket_id, ticket_url=ticket_url(desk, found.ticket_id))
        return attrs.evolve(settled, state="done", message="it has a ticket")
    settled = attrs.evolve(
        settled, may_be_running=may_be_running or False, is_listed=not isinstance(found, NotFoundError)
    )
    reason = str(found) if isinstance(found, DeskError) else "it has no ticket"
    if may_be_running:
        # This is also the case if the clock was set back, and the request seems to leave in the future.
        return attrs.evolve(settled, message=f"{reason}, and its request may still be running")
    if isinstance(found, DeskError):
        return attrs.evolve(settled, message=reason)
    if may_be_running is None:
        invalid = "the ledger has no valid time of its request; the next run of its job looks it up"
        return attrs.evolve(settled, message=f"{reason}, but {invalid}")
    if record.is_scheduled:
        return attrs.evolve(
            settled, message=f"{reason}, but its request scheduled an email, and the ticket appears later"
        )
    return attrs.evolve(settled, state="failed", message=f"{reason}, so it was not converted")
