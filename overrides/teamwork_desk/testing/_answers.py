"""What a handler gives back to whoever carries it to the client, and JSON in and out."""

from __future__ import annotations

import enum
import json
from collections.abc import Callable, Iterable
from typing import Any, NoReturn, TypeAlias

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


def json_answer(status: int, payload: Any, **headers: str) -> Answer:
    """Answer with JSON."""
    return Answer(status, httpx.Headers(headers), json.dumps(payload).encode())


def refused(status: int, key: str, message: str, **headers: str) -> Answer:
    """Refuse a request for one reason."""
    return json_answer(status, {"errors": {key: [message]}}, **headers)


def invalid(problems: Iterable[tuple[str, str]]) -> Answer:
    """Answer with a Validator."""
    errors: dict[str, list[str]] = {}
    for key, message in problems:
        errors.setdefault(key, []).append(message)
    return json_answer(400, {"errors": errors})


def decode(body: bytes) -> Any:
    """Decode strict JSON; every fault is a ValueError."""
    try:
        return json.loads(body.decode(), parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
