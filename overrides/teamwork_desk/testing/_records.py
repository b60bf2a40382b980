"""The tickets and requests that FakeDesk records, so that a test can look at them."""

from __future__ import annotations

from typing import Any

import httpx
from attrs import field, frozen


@frozen
class Ticket:
    """A ticket that was made from a conversation.

    Attributes:
        id: The ticket's id.
        conversation_id: The id of the conversation.
        body: The body of the convert request, decoded from JSON. The repr does not show it, because it may hold
            personal data.
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
        query: The parameters of the query.
        headers: The headers. The repr does not show them, because they hold the token.
        json: The body, decoded from JSON; None if the body is not JSON. The repr does not show it, because it may hold
            personal data.
        status: The status of the response; None if the response was lost.
    """

    method: str
    path: str
    query: dict[str, str]
    headers: httpx.Headers = field(repr=False)
    json: Any = field(repr=False)
    status: int | None
