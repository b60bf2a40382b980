"""Creates a ticket."""

from typing import Any

from ...models.order import Order
from ...models.ticket import Ticket
from ...types import Hook, Request
from ...types import decode_answer as _decode_answer
from ...types import encode as _encode
from ...types import target as _target


def create_ticket(*, body: Order | None = None) -> Request[Ticket | None]:
    """Creates a ticket.

    Args:
        body: The request body.

    Returns:
        The request, ready to be sent.
    """
    return Request(
        operation="create_ticket", method="POST", target=_target("/api/shelves", {}), body=_encode(body), decode=_decode
    )


def _decode(payload: Any, hook: Hook) -> Ticket | None:
    return (
        None
        if payload is None
        else _decode_answer(
            Ticket.from_dict, payload, hook, envelope="ticket", declared=("id", "included", "words"), required=()
        )
    )
