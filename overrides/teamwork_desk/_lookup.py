"""The lookup of a conversation in Desk's listing, which shows whether the conversation has a ticket."""

from __future__ import annotations

from functools import partial
from typing import Any

from teamwork_desk_api.api.conversations.list_conversations import list_conversations
from teamwork_desk_api.models import Conversation
from teamwork_desk_api.types import DecodeError, Hook, Request

from ._call import Call
from ._errors import NotFoundError
from ._wire import decoded_by


async def find_converted(call: Call, conversation_id: int) -> Conversation | None:
    """Return the conversation if it has a ticket; None if the listing proves that it has none.

    Args:
        call: The call that sends the request.
        conversation_id: The conversation.

    Raises:
        NotFoundError: The listing does not show the conversation.
        ResponseDecodeError: The listing does not say whether the conversation has a ticket.
        DeskError: The listing is not available.
    """
    found = await call.send(_strict_listing(conversation_id))
    if found is None:
        raise not_listed(conversation_id)
    return found if found.ticket_id else None


def filter_by_id(conversation_id: int) -> str:
    """Return the listing's filter for one conversation."""
    return f'{{"id":{{"$eq":{conversation_id}}}}}'


def not_listed(conversation_id: int) -> NotFoundError:
    """Return the error for a conversation that the listing does not show."""
    return NotFoundError(f"the listing does not show conversation {conversation_id}", status_code=404)


def _strict_listing(conversation_id: int) -> Request[Conversation | None]:
    listing = list_conversations(filter=filter_by_id(conversation_id))
    return decoded_by(listing, partial(_decode_strictly, conversation_id))


def _decode_strictly(conversation_id: int, payload: Any, hook: Hook) -> Conversation | None:
    """Decode the conversation in a listing. Be strict about its ticket: a wrong None would lead to a second ticket."""
    try:
        listed: list[dict[str, Any]] = payload["conversations"] or []
        matches = (entry for entry in listed if entry["id"] == conversation_id)
        # If the listing shows the conversation twice, an entry with a ticket counts.
        source = max(matches, key=lambda entry: bool(entry["ticket_id"]), default=None)
        ticket_id = source["ticket_id"] if source else None
    except (KeyError, TypeError):
        raise DecodeError("the listing does not say which ticket the conversation has") from None
    if ticket_id is not None and type(ticket_id) is not int:
        raise DecodeError("the conversation's ticket_id is not an integer")
    return None if source is None else Conversation.from_dict(source, (None, "conversations"), hook)
