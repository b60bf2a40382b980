"""What a fake Desk keeps for the test to look at."""

from __future__ import annotations

from typing import Any

import httpx
from attrs import field, frozen


@frozen
class Ticket:
    """A ticket that a conversation was converted to.

    Attributes:
        id: The ticket's id.
        conversation_id: The conversation it was made from.
        body: The request's body, as decoded from JSON. Not in the repr: it names customers.
    """

    id: int
    conversation_id: int
    body: dict[str, Any] = field(repr=False)


@frozen
class RecordedRequest:
    """A request that arrived.

    Attributes:
        method: The HTTP method.
        path: The path, percent-decoded.
        query: The query's parameters.
        headers: The headers. Not in the repr: they hold the token.
        json: The body as decoded from JSON; None where it is no JSON. Not in the repr: it names customers.
        status: The status answered; None where the answer was lost.
    """

    method: str
    path: str
    query: dict[str, str]
    headers: httpx.Headers = field(repr=False)
    json: Any = field(repr=False)
    status: int | None
