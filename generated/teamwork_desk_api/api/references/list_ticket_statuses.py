"""Lists ticket statuses."""

from typing import Any

from ...models.ticket_status_page import TicketStatusPage
from ...types import Hook, Request
from ...types import decode_answer as _decode_answer
from ...types import target as _target


def list_ticket_statuses(
    *,
    filter: str | None = None,
    order_by: str | None = None,
    order_mode: str | None = None,
    page: int | None = None,
    page_size: int | None = None,
) -> Request[TicketStatusPage]:
    """Lists ticket statuses.

    Returns one page of ticket statuses, with pagination. Fields of `filter`: `code id name`.

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
        operation="list_ticket_statuses",
        method="GET",
        target=_target(
            "/desk/api/v2/ticketstatuses.json",
            {"filter": filter, "orderBy": order_by, "orderMode": order_mode, "page": page, "pageSize": page_size},
        ),
        decode=_decode,
    )


def _decode(payload: Any, hook: Hook) -> TicketStatusPage:
    return _decode_answer(TicketStatusPage.from_dict, payload, hook, envelope="", required=())
