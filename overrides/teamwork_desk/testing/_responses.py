"""The responses of FakeDesk, and the reasons why a client gets no response. Also decodes JSON."""

from __future__ import annotations

import enum
import json
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any, Literal, NoReturn, TypeAlias
from uuid import uuid4

import httpx
from attrs import frozen

ErrorShape: TypeAlias = Literal["map", "objects"]
"""How Desk lists the fields that it rejects: as a map of their paths, or as a list of objects."""


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


def text_response(status: int, text: str) -> FakeResponse:
    """Return a response in plain text."""
    return FakeResponse(status, httpx.Headers({"Content-Type": "text/plain; charset=utf-8"}), text.encode())


def rejection(status: int, detail: str, *, code: str | None = None, **headers: str) -> FakeResponse:
    """Return a response that rejects a request for one reason, which is not a field of its body.

    Args:
        status: The HTTP status.
        detail: Why the request is rejected.
        code: Desk's code of the error, if it is known.
        **headers: The headers.
    """
    codes = {} if code is None else {"code": code}
    return json_response(status, {"errors": [_error_object(status, detail, **codes)]}, **headers)


def _error_object(status: int, detail: str, **more: str) -> dict[str, str]:
    """Return an error as an object.

    Source: https://apidocs.teamwork.com/guides/spaces/error-codes
    """
    return {"id": uuid4().hex, "title": HTTPStatus(status).phrase, "detail": detail, **more}


def validation_error(problems: Iterable[tuple[str, str]], shape: ErrorShape) -> FakeResponse:
    """Return a response with status 400 that names the rejected fields.

    Args:
        problems: Pairs of a field's path and the reason. A path may occur several times.
        shape: Whether the response has the form of Desk's Validator, or is a list of objects.
    """
    if shape == "objects":
        return json_response(400, {"errors": [_error_object(400, message, source=path) for path, message in problems]})
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
