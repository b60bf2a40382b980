"""What a handler gives back to whoever carries it to the client."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import TypeAlias

import httpx
from attrs import frozen


@frozen
class Answer:
    """What goes back to the client.

    Attributes:
        status: The status.
        headers: The headers.
        body: The whole body.
        cut_off: Whether the connection breaks after half of the body.
    """

    status: int
    headers: httpx.Headers
    body: bytes
    cut_off: bool = False


class Silence(enum.Enum):
    """Why nothing goes back."""

    REFUSED = "the connection is refused"
    RESET = "the connection breaks"
    TIMEOUT = "the client loses patience"


Handler: TypeAlias = Callable[[str, str, str, httpx.Headers, bytes], Answer | Silence]
"""Takes method, path, query, headers and body."""
