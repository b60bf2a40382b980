"""Request bodies, JSON in both directions, and response bodies that are read within bounds."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, Self, TypeVar, cast

import anyio.lowlevel
import httpx

from teamwork_desk_api.types import DecodeError, Hook, Request, encode

from ._codings import codings_of, decoded, left_by_httpx
from ._errors import RequestError

try:
    import orjson
except ImportError:  # orjson has no wheel for every platform
    orjson = None  # type: ignore[assignment]

T = TypeVar("T")

MAX_RESPONSE_BYTES = 4 * 1024 * 1024
"""The largest response body that is read, before and after decompression. A page of 100 objects has about 200 KB."""
MAX_VALUES = 40_000
"""The most JSON values in a response. A page of 100 chats with 100 messages each has about 35,000.

Each value takes up to 10 microseconds and 2,000 bytes, most of it in a model. So this limit also bounds the memory that
a response takes, and the time for which decoding blocks the event loop.
"""
_LONGEST_INTEGER = 4300
"""The most digits of an integer: Python's own limit, which an application may switch off."""
MAX_CHUNKS = 20_000
"""The most chunks of a response body: each takes 40 microseconds, however small it is."""
_CHUNKS_AT_A_TIME = 200
"""The chunks that are read before other tasks run. A single read of the connection may receive 10,000 tiny chunks."""
_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def now() -> float:
    """Return the time of the event loop's clock, plus the seconds for which the machine slept."""
    time_of_loop = anyio.current_time()
    uvloop = sys.modules.get("uvloop")
    if uvloop is not None and isinstance(anyio.lowlevel.current_token().native_token, uvloop.Loop):
        # Its clock stands still until its loop turns, even if the process is stopped meanwhile.
        time_of_loop = max(time_of_loop, time.monotonic())
    # Linux counts the sleep in CLOCK_BOOTTIME, and macOS in CLOCK_MONOTONIC. Windows has neither of them.
    clock: int | None = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC", None))
    return time_of_loop if clock is None else time_of_loop + time.clock_gettime(clock) - time.monotonic()


class Body(httpx.AsyncByteStream):
    """The body of one attempt. It records when the transport reads it: from then on, the request may have left.

    It can be read only once, so that no transport can send it again on its own. A further attempt needs a new body.

    Attributes:
        was_sent: Whether the request may have left this machine. It is set once and never reset.
    """

    def __init__(self, content: bytes, deadline: float = math.inf) -> None:
        self._content = content
        self._deadline = deadline
        self.was_sent = False

    def copy(self, deadline: float) -> Body:
        """Return a body with the same content that was not sent yet, for another attempt.

        Args:
            deadline: The body is not sent after this time of `now`, even if the event loop was blocked or the process
                was stopped until then.
        """
        return Body(self._content, deadline)

    @property
    def headers(self) -> list[tuple[str, str]]:
        """The headers that describe the body. Desk rejects a POST, PUT or DELETE without them, even if it is empty.

        Source: `contenttype/contentType.go` in Teamwork/middleware.
        """
        return [("Content-Type", "application/json"), ("Content-Length", str(len(self._content)))]

    def __iter__(self) -> Iterator[bytes]:
        """Read it synchronously, as some recorders do. They keep a copy that can be sent, so it counts as sent."""
        if now() > self._deadline:
            raise TimeoutError("the deadline passed before the request was sent")
        self.was_sent = True
        return iter((self._content,))

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if self.was_sent:
            raise StopAsyncIteration
        return next(iter(self))


def encode_json(body: Any) -> bytes:
    """Encode a request body as JSON. None becomes an empty body.

    Raises:
        RequestError: The body has no JSON form.
    """
    if body is None:
        return b""
    try:
        # `encode` also knows what orjson knows and json does not, such as an enum, so that the two agree.
        return _encode_with_orjson(body) or _JSON.encode(encode(body)).encode()
    except (TypeError, ValueError, RecursionError) as error:
        reason = type(error).__name__
    # Raise outside the handler: the original exception holds the text that it could not encode.
    raise RequestError(f"the arguments have no JSON form ({reason}): use plain values, finite numbers and valid text")


def _encode_with_orjson(body: Any) -> bytes | None:
    """Encode with orjson; return None if orjson is missing, or if its result may differ from json's."""
    if orjson is None:
        return None
    try:
        encoded = orjson.dumps(body, option=orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS)
    except TypeError:
        return None
    # orjson writes NaN and infinity as null, and json rejects them. So json encodes a body in which a null appears.
    return None if b"null" in encoded else encoded


def decode_json(content: bytes) -> Any:
    """Decode a response body. An empty body becomes None.

    Raises:
        DecodeError: The body is not JSON, or it holds too many values.
    """
    if len(content) > MAX_VALUES and _most_values(content) > MAX_VALUES and _count_values(content) > MAX_VALUES:
        raise DecodeError(f"it holds more than {MAX_VALUES} values")
    if orjson is not None:
        with suppress(ValueError):  # json accepts more than orjson, such as UTF-16, and decides below
            return orjson.loads(content)
    try:
        return json.loads(content, parse_int=_parse_int) if content else None
    except RecursionError:
        reason = "its JSON is nested too deeply"
    except ValueError:
        reason = "it is not JSON, so that this URL does not look like a Teamwork Desk"
    # Raise outside the handler: the original exception holds the whole response.
    raise DecodeError(reason)


def _most_values(json_text: bytes) -> int:
    """Return the number of JSON values or more: every value follows a comma or a bracket, except the first."""
    return json_text.count(b",") + json_text.count(b"[") + json_text.count(b"{")


def _count_values(content: bytes) -> int:
    """Count JSON values without the commas and brackets in strings, because a message may hold many of them."""
    if b"\0" in content:
        return _most_values(content)  # Valid UTF-8 has no NUL here, and in UTF-16 the strings are not found like this.
    # A value has at most two strings, which are its key and itself, so that four quotes are enough for each.
    most = 4 * MAX_VALUES
    parts = content.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"', most)
    return MAX_VALUES + 1 if len(parts) > most else _most_values(b"".join(parts[::2]))


def _parse_int(digits: str) -> int:
    if len(digits) > _LONGEST_INTEGER:
        raise ValueError  # The time would be quadratic.
    return int(digits)


def name_of(request: Request[Any]) -> str:
    """Name a request in a message, without its query."""
    return f"{request.method} {request.target.partition('?')[0]}"


def build(
    origin: str,
    request: Request[Any],
    headers: Sequence[tuple[str, str]],
    token: str,
    *,
    body: Body | None,
    extensions: dict[str, Any],
) -> httpx.Request:
    """Build httpx's request from the request of an operation.

    Args:
        origin: The installation's origin.
        request: The request.
        headers: The headers of every request.
        token: The bearer token.
        body: Its body. A request without a body must have no stream: the aiohttp transport would send it in chunks.
        extensions: What httpx passes to the transport.

    Raises:
        RequestError: The URL is too long.
    """
    try:
        url = httpx.URL(origin + request.target)
    except httpx.InvalidURL:
        url = None
    if url is None:
        # Raise outside the handler, because the original may quote the filter. httpx accepts 65,536 characters.
        raise RequestError(f"{name_of(request)}: the URL is too long; use a smaller filter")
    all_headers = [*headers, *([] if body is None else body.headers), ("Authorization", f"Bearer {token}")]
    return httpx.Request(request.method, url, headers=all_headers, stream=body, extensions=extensions)


def decoded_by(request: Request[Any], decode: Callable[[Any, Hook], T]) -> Request[T]:
    """Return the same request with another decoder for its response."""
    # attrs.evolve would do the same, but it takes a fiftieth of the time that the SDK adds to httpx.
    return Request(
        operation=request.operation, method=request.method, target=request.target, body=request.body, decode=decode
    )


async def read(response: httpx.Response) -> bytes:
    """Read a response body within bounds.

    Raises:
        DecodeError: The body is too large, or its content coding cannot be decoded.
    """
    codings = codings_of(response.headers)
    if response.is_stream_consumed:  # a transport that responds from memory, such as httpx.MockTransport
        if len(response.content) > MAX_RESPONSE_BYTES:
            raise DecodeError(f"it is larger than {MAX_RESPONSE_BYTES} bytes")
        return decoded(response.content, left_by_httpx(codings), MAX_RESPONSE_BYTES)
    content = bytearray()
    chunks, excess = 0, ""
    stream = cast("httpx.AsyncByteStream", response.stream)
    try:
        async for chunk in stream:
            if excess:
                break
            content += chunk
            chunks += 1
            if len(content) > MAX_RESPONSE_BYTES:
                excess = f"it is larger than {MAX_RESPONSE_BYTES} bytes"
            elif chunks > MAX_CHUNKS:
                excess = f"it comes in more than {MAX_CHUNKS} chunks"
            elif chunks % _CHUNKS_AT_A_TIME == 0:
                await anyio.lowlevel.checkpoint()
            if excess:
                # Close first and read once more: the next read fails, so that httpx's generators end in order.
                await stream.aclose()
    except httpx.TransportError:
        if not excess:
            raise
    finally:
        await stream.aclose()
    if excess:
        raise DecodeError(excess)
    return decoded(bytes(content), codings, MAX_RESPONSE_BYTES)
