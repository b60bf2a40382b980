"""Lists users."""

from typing import Any

from ...models.user_page import UserPage
from ...types import Hook, Request
from ...types import decode_answer as _decode_answer
from ...types import target as _target


def list_users(
    *,
    filter: str | None = None,
    order_by: str | None = None,
    order_mode: str | None = None,
    page: int | None = None,
    page_size: int | None = None,
) -> Request[UserPage]:
    """Lists users.

    Returns one page of users, with pagination. Fields of `filter`: `email id inboxes.id name`.

    Args:
        filter: JSON such as `{"name":{"$eq":"Support"}}`. Operators: `$eq $ne $lt $lte $gt $gte $in $nin
            $contains $and $or`.
        order_by: The field to sort by.
        order_mode: `asc` or `desc`.
        page: The page number, from 1.
        page_size: Objects per page; Desk silently clamps it to 100.

    Returns:
        The request, ready to be sent.
    """
    return Request(
        operation="list_users",
        method="GET",
        target=_target(
            "/desk/api/v2/users.json",
            {"filter": filter, "orderBy": order_by, "orderMode": order_mode, "page": page, "pageSize": page_size},
        ),
        decode=_decode,
    )


def _decode(payload: Any, hook: Hook) -> UserPage:
    return _decode_answer(UserPage.from_dict, payload, hook, envelope="", required=())
