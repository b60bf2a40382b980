"""One exchange with Desk: what goes out, what comes back within bounds, and the error it means."""

from __future__ import annotations

import json
import time
import zlib
from contextlib import suppress
from typing import Any, Self, cast

import httpx
from attrs import field, frozen

from teamwork_desk_api.models import Validator
from teamwork_desk_api.types import DecodeError, Request

from ._errors import (
    DeskError,
    NotSentError,
    RateLimitedError,
    RequestError,
    ResponseDecodeError,
    StatusError,
    TransportError,
    ValidationError,
    causes,
    status_error_class,
)
from ._pacing import RateLimit
from ._retry import Effect, effect_of_failure, effect_of_status, retry_after

try:
    import orjson
except ImportError:  # a platform without a wheel
    orjson = None  # type: ignore[assignment]

MAX_ANSWER_BYTES = 16 * 1024 * 1024
"""A page of 100 conversations has about 200 KB."""
_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)


class Body(httpx.AsyncByteStream):
    """A request's body that notes when the transport reads it: from then on the request may have left.

    An attempt can read it once, so no transport can send it again on its own.
    """

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.was_read = False

    @property
    def headers(self) -> list[tuple[str, str]]:
        """What tells the server of it."""
        if not self._content:
            return []
        return [("Content-Type", "application/json"), ("Content-Length", str(len(self._content)))]

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if self.was_read:
            raise StopAsyncIteration
        self.was_read = True
        return self._content


@frozen(kw_only=True)
class Exchange:
    """What came of one attempt: an answer, a failure, or an answer whose body failed."""

    sent: bool
    status_code: int | None = None
    headers: httpx.Headers = field(factory=httpx.Headers)
    content: bytes = field(default=b"", repr=False)
    failure: Exception | None = None

    @property
    def effect(self) -> Effect:
        """What the attempt may have done."""
        if self.status_code is not None:
            return effect_of_status(
                self.status_code, has_retry_after=self.status_code == 503 and self.retry_after is not None
            )
        return effect_of_failure(self.failure, sent=self.sent)

    @property
    def retry_after(self) -> float | None:
        """Seconds, if the answer says so."""
        return retry_after(self.headers, time.time())

    @property
    def pause_asked_for(self) -> float | None:
        """Seconds to wait: what the answer says, or the rest of the rate window it refuses for."""
        if self.retry_after is None and self.status_code == 429:
            limit = RateLimit.from_headers(self.headers)
            return limit.resets_in(self.headers) if limit else None
        return self.retry_after


def is_safe(request: Request[Any]) -> bool:
    """Whether a request changes nothing (RFC 9110, 9.2.1), and may always be sent again."""
    return request.method in ("GET", "HEAD", "OPTIONS")


def name_of(request: Request[Any]) -> str:
    """Name a request in a message, without its query."""
    return f"{request.method} {request.target.partition('?')[0]}"


def encode_json(body: Any) -> bytes:
    """Encode what goes out as JSON; None is nothing.

    Raises:
        RequestError: It has no JSON form.
    """
    if body is None:
        return b""
    try:
        return _fast_json(body) or _JSON.encode(body).encode()
    except (TypeError, ValueError, RecursionError) as error:
        reason = type(error).__name__
    # Outside the handler: the original holds the text it could not encode.
    raise RequestError(f"the arguments have no JSON form ({reason}): use plain values, finite numbers and valid text")


def _fast_json(body: Any) -> bytes | None:
    """Encode with orjson, if that is here and does what json would do."""
    if orjson is None:
        return None
    try:
        encoded = orjson.dumps(body, option=orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS)
    except TypeError:
        return None
    # It writes null for what is no finite number, which json refuses.
    return None if b"null" in encoded else encoded


def decode_json(content: bytes) -> Any:
    """Decode a body; an empty one is None.

    Raises:
        DecodeError: It is no JSON.
    """
    if orjson is not None:
        with suppress(ValueError):  # json takes more, such as UTF-16, and has the last word
            return orjson.loads(content)
    try:
        return json.loads(content) if content else None
    except RecursionError:
        reason = "it is nested too deeply"
    except ValueError:
        reason = "it is no JSON"
    # Outside the handler: the original holds the whole answer.
    raise DecodeError(reason)


async def read(answer: httpx.Response) -> bytes:
    """Read a body within bounds: httpx's own decoding has none, and a few KB of gzip may hold gigabytes."""
    if answer.is_stream_consumed:
        return answer.content  # a transport that answers from memory, such as httpx.MockTransport
    content = bytearray()
    is_too_large = False
    stream = cast("httpx.AsyncByteStream", answer.stream)
    try:
        async for chunk in stream:
            if is_too_large:
                break
            content += chunk
            if len(content) > MAX_ANSWER_BYTES:
                is_too_large = True
                # The next read fails, so that httpx's generators end in order.
                await stream.aclose()
    except httpx.TransportError:
        if not is_too_large:
            raise
    finally:
        await stream.aclose()
    if is_too_large:
        raise DecodeError(f"it is larger than {MAX_ANSWER_BYTES} bytes")
    return _decompress(bytes(content), answer.headers.get("content-encoding", "identity").strip().lower())


def _decompress(content: bytes, encoding: str) -> bytes:
    if encoding == "identity":
        return content
    if encoding != "gzip":
        raise DecodeError("it has a content encoding that was not asked for")
    decompressor = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        decompressed = decompressor.decompress(content, MAX_ANSWER_BYTES)
    except zlib.error:
        raise DecodeError("it is no gzip") from None
    if not decompressor.eof:
        raise DecodeError(f"it is cut off, or larger than {MAX_ANSWER_BYTES} bytes")
    return decompressed


def error_of(request: Request[Any], exchange: Exchange) -> DeskError | None:
    """Return the error for an exchange; None for a success whose body was received."""
    failure, status = exchange.failure, exchange.status_code
    is_success = exchange.effect is Effect.APPLIED
    if is_success and failure is None:
        return None
    name, reason = name_of(request), _reason(failure)
    error: DeskError
    if status is None and not exchange.sent:
        error = NotSentError(f"{name} was not sent: {reason}")
    elif status is None:
        error = TransportError(f"{name} was sent, and no answer came: {reason}")
    elif not is_success:
        error = _status_error(name, status, exchange)
    elif is_safe(request):
        error = TransportError(f"{name} was answered, and the answer did not come whole: {reason}")
    else:
        error = ResponseDecodeError(f"{name} succeeded, and the answer did not come whole: {reason}")
    error.__cause__ = failure
    return error


def _status_error(name: str, status: int, exchange: Exchange) -> StatusError:
    kind = status_error_class(status)
    message = f"{name} was answered with {status}: {kind.meaning}"
    details: dict[str, Any] = {"status_code": status, "headers": exchange.headers, "body": exchange.content}
    if kind is ValidationError:
        details["errors"] = _field_errors(exchange.content)
    elif kind is RateLimitedError:
        pause = exchange.pause_asked_for
        details |= {"retry_after": pause, "rate_limit": RateLimit.from_headers(exchange.headers)}
        if pause is not None:
            message += f"; Desk takes requests again in {pause:.0f} s"
    return kind(message, **details)


def _reason(failure: BaseException | None) -> str:
    """Name a failure, and what the first of its causes says that has something to say."""
    name = type(failure).__name__
    if not isinstance(failure, (httpx.RequestError, DecodeError)):
        return name  # an event hook's own: its text is not ours to show
    for one in causes(failure):
        if isinstance(one, (httpx.RequestError, DecodeError, OSError)) and str(one):
            return f"{name}: {one}"
    return name


def _field_errors(content: bytes) -> dict[str, list[str]]:
    try:
        return Validator.from_dict(decode_json(content)).errors or {}
    except (DecodeError, TypeError):
        return {}
