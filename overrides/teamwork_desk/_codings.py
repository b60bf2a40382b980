"""The content codings of a response (RFC 9110, 8.4), which are decoded within bounds.

httpx's own decoding has no bound, and a few KB of gzip can hold gigabytes.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from contextlib import suppress

import httpx

from teamwork_desk_api.types import DecodeError

MOST_CODINGS = 5
"""The most codings of a response. Each of them may yield a body of the largest size, and so blocks the event loop."""
MOST_MEMBERS = 100
"""The most members of a gzip body: zlib copies the rest of the body after each of them."""

_GZIP = frozenset({"gzip", "x-gzip"})  # RFC 9110, 8.4.1.3: a recipient should consider them to be the same.
_BY_HTTPX = frozenset({"br", "deflate", "gzip", "zstd"})
_NAME = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]{1,16}")
"""A name that may be in a message. A longer value may be anything, such as a token that the server echoes."""


def codings_of(headers: httpx.Headers) -> list[str]:
    """Return the names of a response's content codings, in the order in which the server applied them.

    Args:
        headers: The response's headers. Several fields `Content-Encoding` mean the same as a single field with a list.
    """
    names = [name.strip().lower() for name in headers.get_list("content-encoding", split_commas=True)]
    return [name for name in names if name not in ("", "identity")]


def left_by_httpx(codings: Sequence[str]) -> list[str]:
    """Return the codings that httpx does not decode: it has decoded a response that a transport has in memory."""
    return [name for name in codings if name not in _BY_HTTPX]


def decoded(content: bytes, codings: Sequence[str], limit: int) -> bytes:
    """Return the content without its codings.

    Args:
        content: The content. If it is empty, a server may still name a coding, as for the response without it.
        codings: The codings, in the order in which the server applied them.
        limit: The most bytes after each coding.

    Raises:
        DecodeError: A coding is unknown, the content does not have it, or it is larger than the limit.
    """
    for name in codings:
        if name not in _GZIP and name != "deflate":
            shown = f"the content coding {name}" if _NAME.fullmatch(name) else "a content coding"
            raise DecodeError(f"it has {shown}, which was not requested and cannot be decoded")
    if len(codings) > MOST_CODINGS:
        raise DecodeError(f"it has more than {MOST_CODINGS} content codings")
    for name in reversed(codings):
        if not content:
            break
        content = _inflate(content, limit) if name == "deflate" else _gunzip(content, limit)
    return content


def _gunzip(content: bytes, limit: int) -> bytes:
    decompressed = bytearray()
    # A gzip body may have several members, and its content is that of all of them (RFC 1952, 2.2).
    for _ in range(MOST_MEMBERS):
        try:
            member, content = _decompress(content, 16 + zlib.MAX_WBITS, limit - len(decompressed))
        except zlib.error:
            raise DecodeError("it is not valid gzip") from None
        decompressed += member
        if not content.startswith(b"\x1f\x8b"):  # What follows the last member is ignored, as gzip and httpx do.
            return bytes(decompressed)
    raise DecodeError(f"its gzip has more than {MOST_MEMBERS} members")


def _inflate(content: bytes, limit: int) -> bytes:
    # The coding is the zlib format, but some servers send deflate without its header (RFC 9110, 8.4.1.2).
    for wbits in (zlib.MAX_WBITS, -zlib.MAX_WBITS):
        with suppress(zlib.error):
            return _decompress(content, wbits, limit)[0]
    raise DecodeError("it is not valid deflate")


def _decompress(content: bytes, wbits: int, limit: int) -> tuple[bytes, bytes]:
    """Return the decompressed content, and what follows the compressed content."""
    decompressor = zlib.decompressobj(wbits=wbits)
    # A limit of 0 would mean that there is no limit. The byte more shows whether the content is larger than the limit.
    decompressed = decompressor.decompress(content, limit + 1)
    if len(decompressed) > limit:
        raise DecodeError("it is too large after decompression")
    if not decompressor.eof:
        raise DecodeError("its compressed content is cut off")
    return decompressed, decompressor.unused_data
