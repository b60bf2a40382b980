"""What keeps the token out of errors: of failures of the transport, and of responses that quote it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress

import httpx

from teamwork_desk_api.types import DecodeError

from ._errors import RequestError, causes, drop_frames
from ._wire import decode_json, encode_json

SHORTEST_SECRET = 8
"""A shorter token is one of a test, and may be a part of any word."""
HIDDEN = b"[token]"

_RAW = re.compile(r"(bytearray\()?b['\"].*", re.DOTALL)
"""Bytes of a response, as h11 quotes them in its messages."""


class HiddenURL(httpx.URL):
    """The URL of another host, of which logs show only the host: the rest may be signed, or name a file."""

    @property
    def shown(self) -> str:
        """The part that may be shown."""
        return f"{self.scheme}://{self.netloc.decode('ascii')}"

    def __repr__(self) -> str:
        return f"HiddenURL({self.shown!r})"


def without(secrets: Iterable[str], response: httpx.Response, content: bytes) -> tuple[httpx.Headers, bytes]:
    """Return the headers and the content of a response without the secrets, which it may quote.

    Args:
        secrets: The token, and the values of the caller's headers.
        response: The response.
        content: Its decoded content.
    """
    headers = response.headers
    for plain in [secret.encode() for secret in secrets if len(secret) >= SHORTEST_SECRET]:
        if any(plain in value for _, value in headers.raw):
            headers = httpx.Headers([(name, value.replace(plain, HIDDEN)) for name, value in headers.raw])
        if response.status_code < 300:
            continue
        if b"\\" in content:
            # JSON may also write the secret with escapes, such as "\\/" for a slash.
            with suppress(DecodeError, RequestError):
                text = encode_json(decode_json(content))
                content = text if plain in text else content
        content = content.replace(plain, HIDDEN)
    return headers, content


def scrub(error: Exception, request: httpx.Request, handled: BaseException | None = None) -> Exception:
    """Remove the token and the body from an exception and its causes: from the request, the frames and quoted bytes.

    Args:
        error: The exception.
        request: The request that it is about.
        handled: The exception that the caller was handling, which stays as it is.

    Returns:
        The exception, or another one in its place.
    """
    bare = httpx.Request(request.method, request.url)
    drop_frames(error, handled)
    for exception in causes(error, handled):
        if isinstance(exception, httpx.HTTPError):
            exception.request = bare
        if isinstance(exception, httpx.HTTPStatusError):
            exception.response.request = bare
        exception.args = tuple(_RAW.sub("...", arg) if isinstance(arg, str) else arg for arg in exception.args)
        for link in ("__cause__", "__context__"):
            if _holds_request(getattr(exception, link)):
                setattr(exception, link, None)
    return httpx.RemoteProtocolError(type(error).__name__, request=bare) if _holds_request(error) else error


def _holds_request(error: BaseException | None) -> bool:
    """Return whether this is an error of aiohttp that keeps the headers of the request."""
    return hasattr(error, "request_info")
