"""Lists conversations."""

from typing import Any

from ...models.conversation_page import ConversationPage
from ...types import Hook, Request
from ...types import decode_answer as _decode_answer
from ...types import target as _target


def list_conversations(
    *,
    filter: str | None = None,
    order_by: str | None = None,
    order_mode: str | None = None,
    page: int | None = None,
    page_size: int | None = None,
    includes: list[str] | None = None,
    fields: list[str] | None = None,
) -> Request[ConversationPage]:
    """Lists conversations.

    Returns one page of conversations, with pagination.

    Args:
        filter: JSON such as `{"id":{"$eq":42}}`. Operators: `$eq $ne $lt $lte $gt $gte $in $nin $contains
            $and $or`. Fields: `contactId createdAt deletedAt id state ticket_id token updatedAt`.
        order_by: The field to sort by; the same fields as in `filter`.
        order_mode: `asc` or `desc`.
        page: The page number, from 1.
        page_size: Conversations per page; Desk silently clamps it to 100.
        includes: Related objects to include in the response: `contacts conversationmessages customers users
            all`.
        fields: The only fields to return; all fields if omitted.

    Returns:
        The request, ready to be sent.
    """
    return Request(
        operation="list_conversations",
        method="GET",
        target=_target(
            "/desk/api/v2/conversations.json",
            {
                "filter": filter,
                "orderBy": order_by,
                "orderMode": order_mode,
                "page": page,
                "pageSize": page_size,
                "includes": includes,
                "fields": fields,
            },
        ),
        decode=_decode,
    )


def _decode(payload: Any, hook: Hook) -> ConversationPage:
    return _decode_answer(ConversationPage.from_dict, payload, hook, envelope="", required=())
