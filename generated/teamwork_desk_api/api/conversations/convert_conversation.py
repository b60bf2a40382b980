"""Converts a conversation to a ticket."""

from typing import Any

from ...models.conversation import Conversation
from ...models.convert_conversation import ConvertConversation
from ...types import Hook, Request
from ...types import decode_answer as _decode_answer
from ...types import encode as _encode
from ...types import path_segment as _path_segment
from ...types import target as _target


def convert_conversation(id: int, *, body: ConvertConversation) -> Request[Conversation]:
    """Converts a conversation to a ticket.

    This mails real customers (`notifyCustomer`, `cc`, `bcc`) and cannot be undone. There is no idempotency key: a
    second request may create a second ticket.

    Args:
        id: The conversation's id.
        body: The ticket that a conversation becomes.

    Returns:
        The request, ready to be sent.
    """
    return Request(
        operation="convert_conversation",
        method="POST",
        target=_target(f"/desk/api/v2/conversations/{_path_segment(id)}/convert.json", {}),
        body=_encode(body),
        decode=_decode,
    )


def _decode(payload: Any, hook: Hook) -> Conversation:
    return _decode_answer(
        Conversation.from_dict,
        payload,
        hook,
        envelope="conversation",
        declared=(
            "id",
            "ticket_id",
            "state",
            "contact",
            "contactId",
            "messages",
            "users",
            "token",
            "socket_id",
            "createdAt",
            "createdBy",
            "updatedAt",
            "updatedBy",
            "deletedAt",
            "deletedBy",
            "filter_args",
        ),
        required=("id",),
    )
