"""What the JSON of a conversation says about its ticket: pure functions, and the types of what callers get."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeAlias, TypeVar, cast

from attrs import evolve, frozen

from teamwork_desk_api.models import Conversation
from teamwork_desk_api.types import DecodeError, Hook, Request

from ._checks import is_id, is_list
from ._errors import DeskError
from ._values import with_evaluated_hints
from ._wire import decoded_by

T = TypeVar("T")

_DIGITS = re.compile("[0-9]{1,19}", re.ASCII)


class NoTicketError(DecodeError):
    """The response can be read, but it names no ticket."""


@with_evaluated_hints
@frozen(kw_only=True, slots=False)
class ConvertedConversation(Conversation):
    """A conversation that has a ticket.

    Attributes:
        created: Whether this call made the ticket. If it is False, the conversation had its ticket before, and the call
            sent nothing that converts. With `verify_first=False`, the call does not know what was there before: a
            ticket that it finds after a lost response counts as made by this call.
    """

    created: bool = True


@frozen(kw_only=True)
class Converted:
    """The outcome of a job whose conversation has a ticket.

    Attributes:
        conversation_id: The job's conversation.
        conversation: The conversation; `ticket_id` is its ticket.
        error: None.
    """

    conversation_id: int
    conversation: ConvertedConversation
    error: None = None

    @property
    def created(self) -> bool:
        """Whether this job made the ticket; False if the conversation had its ticket before."""
        return self.conversation.created


@frozen(kw_only=True)
class Failed:
    """The outcome of a job that failed.

    Attributes:
        conversation_id: The job's conversation; None if the job names none.
        error: Why it failed. If its `maybe_applied` is True, the conversation may have been converted.
        conversation: None.
        created: None, because it is not known here whether there is a ticket.
    """

    conversation_id: int | None
    error: DeskError
    conversation: None = None
    created: None = None


Outcome: TypeAlias = Converted | Failed
"""The outcome of one job: `outcome.error is None`, `isinstance` or `match` tells which of the two it is."""


def converted(conversation: Conversation, *, created: bool) -> ConvertedConversation:
    """Return a conversation that has a ticket, and whether the call made it."""
    return ConvertedConversation(**vars(conversation), created=created)


def read_ticket_id(value: object) -> int | None:
    """Return the id of a ticket; None if there is no ticket, which Desk writes as null or 0.

    Raises:
        DecodeError: The value does not say whether there is a ticket: it is neither a positive integer nor its digits.
    """
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        value = int(value)
    if value is None or (type(value) is int and value == 0):
        return None
    if type(value) is not int or not is_id(value):
        raise DecodeError("its ticket_id is not a positive integer of at most 64 bits")
    return value


def with_ticket(request: Request[Conversation]) -> Request[Conversation]:
    """Return the same request, whose response must name a ticket."""

    def decode(payload: Any, hook: Hook) -> Conversation:
        conversation = request.decode(payload, hook)
        # The decoder has read the response, so it is an object, with or without an envelope.
        if is_id(conversation.ticket_id):
            return conversation
        ticket_id = read_ticket_id(_conversation_in(payload).get("ticket_id"))
        if ticket_id is None:
            raise NoTicketError("its response names no ticket")
        return evolve(conversation, ticket_id=ticket_id)

    return decoded_by(request, decode)


def with_ticket_ids(request: Request[T]) -> Request[T]:
    """Return the same listing, which also reads ticket ids that come as strings of digits."""

    def decode(payload: Any, hook: Hook) -> T:
        listed: Any = cast("dict[str, Any]", payload).get("conversations") if type(payload) is dict else None
        for entry in listed if is_list(listed) else ():
            ticket_id: Any = cast("dict[str, Any]", entry).get("ticket_id") if type(entry) is dict else None
            if type(ticket_id) is str and _DIGITS.fullmatch(ticket_id):
                entry["ticket_id"] = int(ticket_id)
        return request.decode(payload, hook)

    return decoded_by(request, decode)


def _conversation_in(payload: dict[str, Any]) -> Mapping[str, Any]:
    inner: Any = payload.get("conversation")
    return cast("dict[str, Any]", inner) if type(inner) is dict else payload
