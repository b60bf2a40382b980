"""The responses of FakeDesk, and the reasons why a client gets no response. Also decodes JSON."""

from __future__ import annotations

import enum
import json
from collections.abc import Callable, Iterable
from typing import Any, NoReturn, TypeAlias

import httpx
from attrs import frozen


@frozen
class FakeResponse:
    """A response of FakeDesk, before a transport or a server sends it to the client.

    Attributes:
        status: The HTTP status.
        headers: The headers.
        body: The whole body.
        cut_off: Whether the connection breaks after half of the body.
    """

    status: int
    headers: httpx.Headers
    body: bytes
    cut_off: bool = False


class NoResponse(enum.Enum):
    """Why the client gets no response."""

    REFUSED = "the connection is refused"
    RESET = "the connection breaks"
    TIMEOUT = "the client's timeout passes"


Handler: TypeAlias = Callable[[str, str, str, httpx.Headers, bytes], FakeResponse | NoResponse]
"""Handles a request. It takes the method, the path, the query, the headers and the body."""


def json_response(status: int, payload: Any, **headers: str) -> FakeResponse:
    """Return a response with a JSON body."""
    return FakeResponse(status, httpx.Headers(headers), json.dumps(payload).encode())


def rejection(status: int, key: str, message: str, **headers: str) -> FakeResponse:
    """Return a response that rejects a request for one reason.

    Args:
        status: The HTTP status.
        key: The part of the request that is wrong.
        message: Why it is wrong.
        **headers: The headers.
    """
    return json_response(status, {"errors": {key: [message]}}, **headers)


def validation_error(problems: Iterable[tuple[str, str]]) -> FakeResponse:
    """Return a response with status 400 that has the form of Desk's Validator.

    Args:
        problems: Pairs of a field's path and the reason. A path may occur several times.
    """
    errors: dict[str, list[str]] = {}
    for path, message in problems:
        errors.setdefault(path, []).append(message)
    return json_response(400, {"errors": errors})


def decode_json(body: bytes) -> Any:
    """Decode strict JSON.

    Raises:
        ValueError: The body is not valid JSON in UTF-8, or is nested too deeply.
    """
    try:
        return json.loads(body.decode(), parse_constant=_reject_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _reject_constant(name: str) -> NoReturn:
    """Reject NaN and Infinity: Python's json accepts them, but they are not JSON."""
    raise ValueError(f"{name} is not JSON")
