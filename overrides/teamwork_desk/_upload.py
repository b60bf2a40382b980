"""The form that uploads a file to another host than Desk: its target, its body, and how it is sent once."""

from __future__ import annotations

import re
import secrets
import sys
from collections.abc import Iterator
from typing import Any, Self, cast

import httpx
from attrs import field, frozen

from teamwork_desk_api.models import File, FileReference
from teamwork_desk_api.types import DecodeError

from ._checks import is_id, printable
from ._connections import Handshake
from ._errors import (
    ConfigurationError,
    DeskError,
    NotSentError,
    RequestError,
    ServerError,
    StatusError,
    TransportError,
    drop_frames,
)
from ._origin import is_loopback
from ._outcome import LONGEST_REQUEST_ID, Exchange, reason_of
from ._redaction import HiddenURL, scrub
from ._scope import Scope
from ._slots import discard
from ._source import Reader, Source

SUCCESS = (200, 201, 204)
CHUNK = 256 * 1024
"""The bytes of a file that are in memory at once."""
_SURROGATE = re.compile("[\ud800-\udfff]")
SHORTEST_SECRET = 8
"""A shorter value of a form may be a part of any word."""


@frozen
class Target:
    """Where the bytes of a file go. Everything except the host is signed, so the repr hides it.

    Attributes:
        file_id: The file's id at Desk.
        url: The URL of the other host.
        params: The fields of the form.
    """

    file_id: int
    url: HiddenURL = field(repr=False)
    params: dict[str, str | int] = field(repr=False)

    @property
    def host(self) -> str:
        """The host and the port, for messages."""
        return self.url.netloc.decode("ascii")

    def is_quoted_in(self, text: str) -> bool:
        """Return whether a text quotes the URL or a value of the form."""
        secret = [self.url.raw_path.decode("ascii"), *map(str, self.params.values())]
        return any(value in text for value in secret if len(value) >= SHORTEST_SECRET)


def target_of(reference: FileReference, params: Any, *, is_plain: bool) -> Target:
    """Return the target that Desk's reference names.

    Args:
        reference: The reference.
        params: The fields as they were received. Decoding leaves out values of an unexpected type.
        is_plain: Whether Desk itself is reached with plain http, which only works on this machine.

    Raises:
        DecodeError: The reference cannot be used. The message does not quote it.
    """
    # Decoding has rejected a reference without one of the three.
    file, fields, address = cast(
        "tuple[File, dict[str, str | int], str]", (reference.file, reference.params, reference.url)
    )
    if not is_id(file.id):
        raise DecodeError("file.id: expected a positive int of at most 64 bits")
    # A surrogate stands for no character, and has no form in UTF-8.
    if len(fields) < len(params) or any(_SURROGATE.search(f"{name}{value}") for name, value in fields.items()):
        raise DecodeError("params: expected valid texts and ints")
    url = None
    try:
        url = HiddenURL(address)
        port = url.port
    except (httpx.InvalidURL, ValueError):
        port = 0
    if url is None or not url.host or (port is not None and not 0 < port < 65536):
        raise DecodeError("url: expected a valid URL")
    if url.userinfo:
        raise DecodeError("url: expected a URL without a user")
    if url.scheme != "https" and not (is_plain and url.scheme == "http" and is_loopback(url.host)):
        raise DecodeError("url: expected https, because plain http would send the file unencrypted")
    return Target(file.id, url, fields)


class Form(httpx.AsyncByteStream):
    """The body of one attempt: the fields of the form, and then the file in pieces.

    Attributes:
        was_sent: Whether a part of it may have left this machine.
        problem: Why it could not be read to the end; empty if there was no problem.
    """

    def __init__(self, head: bytes, reader: Reader, size: int, tail: bytes) -> None:
        self._parts = [head, tail]
        self._reader = reader
        self._left = size
        self.was_sent = False
        self.problem = ""

    def __iter__(self) -> Iterator[bytes]:
        """Read it synchronously, as some recorders do. They keep a copy that can be sent, so it counts as sent."""
        while (size := self._size_of_next()) is not None:
            yield self._next(self._reader.read_now(size))

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        size = self._size_of_next()
        if size is None:
            raise StopAsyncIteration
        return self._next(await self._reader.read(size))

    def _size_of_next(self) -> int | None:
        """Return how many bytes of the file to read for the next part; None at the end."""
        if not self._parts:
            return None
        # Ask for a byte more than is left, in order to see whether the file has grown.
        return min(CHUNK, self._left + 1) if self.was_sent else 0

    def _next(self, piece: bytes | None) -> bytes:
        if not self.was_sent:
            self.was_sent = True
            return self._parts.pop(0)
        if piece is None or len(piece) > self._left or (self._left and not piece):
            self.problem = "the file has changed its size, or cannot be read any more"
            raise OSError(self.problem)
        self._left -= len(piece)
        return piece or self._parts.pop()


def _request(target: Target, reader: Reader, size: int, part: tuple[str, bytes, str]) -> httpx.Request:
    """Build the request: httpx encodes a form with an empty file, and the content is sent between its two parts."""
    boundary = secrets.token_hex(16)
    kind = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    encoded = httpx.Request("POST", "", data=target.params, files={"file": part}, headers=kind).read()
    tail = f"\r\n--{boundary}--\r\n".encode()
    form = Form(encoded.removesuffix(tail), reader, size, tail)
    headers = {"Host": target.host, **kind, "Content-Length": str(len(encoded) + size)}
    request = httpx.Request("POST", target.url, headers=headers, stream=form)
    request.url = target.url  # httpx has made a plain copy, which its log would show
    return request


async def send_form(call: Scope, target: Target, source: Source, *, filename: str, mime_type: str) -> Exchange:
    """Send the form once, without the token, and return the result. The body of the response is not read.

    Args:
        call: The call.
        target: Where the form goes.
        source: The content.
        filename: The file's name.
        mime_type: Its media type.

    Raises:
        ConfigurationError: The client is closed, or serves another event loop.
        RequestError: The file has changed, or cannot be read any more.
    """
    timeout, handshake = call.options.timeout, Handshake()
    handled = sys.exception()
    connections = call.session.connections
    async with source.open() as reader:
        request = _request(target, reader, source.size, (filename, b"", mime_type))
        form = cast("Form", request.stream)
        request.extensions = {"timeout": timeout.as_dict(), **handshake.extensions(target.url.shown)}
        try:
            # The connection belongs to a slot of its own, and counts as one of this client's connections.
            async with connections.borrow(timeout.pool, call):
                call.attempts += 1
                slot = connections.new_slot()
                try:
                    response = await slot.send(request)
                finally:
                    await discard(slot)
            kept = {name: value for name, value in response.headers.items() if not target.is_quoted_in(value)}
            return Exchange(sent=True, status_code=response.status_code, headers=httpx.Headers(kept))
        except ConfigurationError:
            raise
        except Exception as failure:  # a transport or an event hook may raise anything
            bare = httpx.Request("POST", target.url.shown)
            exchange = Exchange(sent=form.was_sent, failure=scrub(failure, bare, handled))
        except BaseException as interruption:
            drop_frames(interruption, handled)
            raise
        finally:
            await handshake.abandon()
    if form.problem:
        raise RequestError(f"path_or_bytes: {form.problem}")
    return exchange


def error_of_form(target: Target, exchange: Exchange) -> DeskError | None:
    """Return the error for the result of a form; None if it was accepted.

    The error keeps nothing of the response but its status, its id and `Retry-After`: a storage host quotes the form.
    """
    status, failure = exchange.status_code, exchange.failure
    if status in SUCCESS:
        return None
    if status is None:
        reason = reason_of(failure)
        if target.is_quoted_in(reason):
            reason = type(failure).__name__
        error = (
            TransportError(f"the form was sent, but no response came: {reason}")
            if exchange.sent
            else NotSentError(f"the form was not sent: {reason}")
        )
        error.__cause__ = failure
        return error
    kind = ServerError if 500 <= status < 600 else StatusError
    request_id = exchange.headers.get("x-amz-request-id") or exchange.headers.get("x-request-id")
    return kind(
        f"the host responded to the form with {status}",
        status_code=status,
        headers={"Retry-After": exchange.headers["retry-after"]} if "retry-after" in exchange.headers else None,
        request_id=request_id and printable(request_id)[:LONGEST_REQUEST_ID],
        from_desk=False,
    )
