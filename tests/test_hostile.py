"""Whatever bytes a server sends, a call returns a result or raises our own error, in bounded memory."""

from __future__ import annotations

import gc
import gzip
import itertools
import json
import pickle
import socket
import ssl
import sys
import tracemalloc
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, partial, reduce
from typing import Any

import httpx
import pytest
from raw_server import RawServer, Received, http, hung_up, read_head, read_request, send_all
from virtual_time import in_time_that_leaps, leaping

from teamwork_desk import (
    AsyncDesk,
    ConfigurationError,
    DeadlineExceeded,
    DeskError,
    OutcomeUnknownError,
    PermissionDeniedError,
    RateLimitedError,
    RequestError,
    ResponseDecodeError,
    RetryPolicy,
    ServerError,
    StatusError,
    TransportError,
    _wire,
)
from teamwork_desk._problems import MOST_REASONS
from teamwork_desk._session import MOST_DRIFT
from teamwork_desk._wire import MAX_CHUNKS, MAX_RESPONSE_BYTES, MAX_VALUES
from teamwork_desk_api import types
from teamwork_desk_api.types import DecodeError

MOST_MEMORY = 100_000_000
GIGABYTE = 1 << 30
POLICY = RetryPolicy(max_attempts=2, backoff_base=0, settle=(0,))
# The tests use plain HTTP, and loading the CA certificates would take longer than a test.
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

Response = bytes | Callable[[socket.socket], Iterable[bytes]]


class HostileDesk(RawServer):
    """Sends the given response to a convert request, and a given or a correct response to a lookup.

    Args:
        response: The response to a convert request: bytes, or a function of the connection that returns pieces.
        ticket_id: The ticket that the correct response to a lookup shows.
        listing: The response to a lookup, instead of the correct one.
    """

    def __init__(
        self, response: Response = b"", *, ticket_id: int | None = None, listing: Response | None = None
    ) -> None:
        super().__init__(self._exchange)
        self.received: list[Received] = []
        self.sent = 0
        self.hang_ups = 0
        page = {"conversations": [{"id": 42, "ticket_id": ticket_id}]}
        self._responses = {
            "POST": response,
            "GET": http(200, json.dumps(page).encode()) if listing is None else listing,
        }

    @property
    def converts(self) -> int:
        return sum(request.head.startswith("POST ") for request in self.received)

    @property
    def lookups(self) -> int:
        return len(self.received) - self.converts

    def _exchange(self, connection: socket.socket) -> None:
        request = read_request(connection)
        self.received.append(request)
        response = self._responses[request.head.partition(" ")[0]]
        sent, hung_up_early = send_all(connection, [response] if isinstance(response, bytes) else response(connection))
        self.sent += sent
        self.hang_ups += hung_up_early


def client(server: RawServer, *, deadline: float = 20.0, token: Any = "t") -> AsyncDesk:
    return AsyncDesk(
        server.url, token=token, deadline=deadline, retry=POLICY, verify=NO_TLS, trust_env=False, verify_first=False
    )


def chunked(*chunks: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n" + b"".join(chunks)


def nested(opening: bytes, closing: bytes, depth: int) -> bytes:
    return opening * depth + b"1" + closing * depth


CONVERTED = b'{"id": 42, "ticket_id": 7}'
GZIP = "Content-Encoding: gzip"

READABLE: dict[str, bytes] = {
    "a byte order mark": http(200, b"\xef\xbb\xbf" + CONVERTED),
    "UTF-16": http(200, CONVERTED.decode().encode("utf-16")),
    "duplicate keys": http(200, b'{"id": "x", "id": 42, "ticket_id": null, "ticket_id": 7}'),
    "NaN and Infinity": http(200, b'{"id": 42, "ticket_id": 7, "contactId": NaN, "new": [Infinity, -Infinity]}'),
    "an infinite float": http(200, b'{"id": 42, "ticket_id": 7, "contactId": 1e999999}'),
    "a lone surrogate": http(200, b'{"id": 42, "ticket_id": 7, "state": "\\ud800", "\\udfff": "\\ud800"}'),
    "a deep unknown field": http(200, b'{"id": 42, "ticket_id": 7, "new": ' + nested(b"[", b"]", 500) + b"}"),
    "wrong types": http(200, b'{"id": 42, "ticket_id": 7, "contact": [], "messages": {"a": 1}, "createdAt": 9}'),
    "8-bit headers": http(200, CONVERTED, "X-Binary: \xff\xfe", "X-Request-Id: \xe9"),
    "300 headers": http(200, CONVERTED, *(f"X-{number}: {number}" for number in range(300))),
    "Content-Length twice and equal": http(200, CONVERTED, f"Content-Length: {len(CONVERTED)}"),
    "Content-Length twice and equal, in a list": http(200, CONVERTED).replace(b"Length: 26", b"Length: 26, 26"),
    "chunks of one byte": chunked(*(b"1\r\n%c\r\n" % byte for byte in CONVERTED), b"0\r\n\r\n"),
    "interim responses": b"HTTP/1.1 100 Continue\r\n\r\n" * 100 + http(200, CONVERTED),
    "Content-Type twice": http(200, CONVERTED, "Content-Type: text/html", "Content-Type: application/json"),
    "Content-Encoding identity": http(200, CONVERTED, "Content-Encoding: identity"),
    "Content-Encoding without a value": http(200, CONVERTED, "Content-Encoding: "),
    "gzip": http(200, gzip.compress(CONVERTED), "Content-Encoding: gzip"),
    "gzip in other letters and spaces": http(200, gzip.compress(CONVERTED), "content-ENCODING: \t GZip "),
    "x-gzip": http(200, gzip.compress(CONVERTED), "Content-Encoding: x-gzip"),
    "gzip of two members": http(200, gzip.compress(CONVERTED[:9]) + gzip.compress(CONVERTED[9:]), GZIP),
    "gzip with bytes behind it": http(200, gzip.compress(CONVERTED) + bytes(9), GZIP),
    "gzip twice, in a list": http(200, gzip.compress(gzip.compress(CONVERTED)), "Content-Encoding: gzip,gzip"),
    "gzip twice, in two fields": http(200, gzip.compress(gzip.compress(CONVERTED)), GZIP, GZIP),
    "deflate": http(200, zlib.compress(CONVERTED), "Content-Encoding: deflate"),
    "deflate without zlib's header": http(200, zlib.compress(CONVERTED, wbits=-15), "Content-Encoding: Deflate"),
    "deflate, then gzip": http(200, gzip.compress(zlib.compress(CONVERTED)), "Content-Encoding: deflate, , gzip"),
    "gzip, then deflate, in two fields": http(
        200, zlib.compress(gzip.compress(CONVERTED)), GZIP, "Content-Encoding: identity", "Content-Encoding: deflate"
    ),
}
"""Unusual responses that still report the conversion."""

UNREADABLE: dict[str, bytes] = {
    "204": b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
    "204 with a body": http(204, CONVERTED),
    "299 and empty": http(299),
    "empty": http(200),
    "HTML": http(200, b"<!doctype html><title>Sign in</title>", "Content-Type: text/html"),
    "not an object": http(200, b"[42]"),
    "no id": http(200, b'{"ticket_id": 7}'),
    "a ticket_id that is text": http(200, b'{"id": 42, "ticket_id": "7th"}'),
    "a ticket_id that is negative": http(200, b'{"id": 42, "ticket_id": -7}'),
    "another conversation's": http(200, b'{"id": 43, "ticket_id": 8}'),
    "an id of 5,000 digits": http(200, b'{"id": ' + b"9" * 5000 + b"}"),
    "5,000 digits in another field": http(200, b'{"id": 42, "ticket_id": 7, "new": ' + b"9" * 5000 + b"}"),
    "an id that is NaN": http(200, b'{"id": NaN, "ticket_id": 7}'),
    "an id that is true": http(200, b'{"id": true, "ticket_id": 7}'),
    "arrays 100,000 deep": http(200, nested(b"[", b"]", 100_000)),
    "objects 100,000 deep": http(200, nested(b'{"id":', b"}", 100_000)),
    "100,000 arrays that are never closed": http(200, b"[" * 100_000),
    "not UTF-8": http(200, b'{"id": 42, "ticket_id": 7, "state": "\xff\xfe"}'),
    "NUL bytes": http(200, bytes(1000)),
    "two documents": http(200, CONVERTED + CONVERTED),
    "a body longer than its Content-Length": http(200, CONVERTED).replace(b"Length: 26", b"Length: 13"),
    "a body shorter than its Content-Length": http(200, CONVERTED).replace(b"Length: 26", b"Length: 52"),
    "a chunk header that is not a number": chunked(b"zz\r\n", CONVERTED, b"\r\n0\r\n\r\n"),
    "a negative chunk": chunked(b"-1a\r\n", CONVERTED, b"\r\n0\r\n\r\n"),
    "a chunk header of 1 MB": chunked(b"1a;" + b"x" * (1 << 20) + b"\r\n", CONVERTED, b"\r\n0\r\n\r\n"),
    "a truncated chunk": chunked(b"1a\r\n", CONVERTED[:13]),
    "no last chunk": chunked(b"1a\r\n", CONVERTED, b"\r\n"),
    "100,000 trailers": chunked(b"1a\r\n", CONVERTED, b"\r\n0\r\n", b"X: y\r\n" * 100_000, b"\r\n"),
    "an unknown coding": http(200, gzip.compress(CONVERTED), "Content-Encoding: rot13"),
    "an unknown coding below gzip": http(200, gzip.compress(CONVERTED), "Content-Encoding: rot13, gzip"),
    "a coding that was not requested": http(200, CONVERTED, "Content-Encoding: br"),
    "gzip six times": http(200, reduce(lambda body, _: gzip.compress(body), range(6), CONVERTED), *[GZIP] * 6),
    "gzip of 101 members": http(200, gzip.compress(b"") * 100 + gzip.compress(CONVERTED), GZIP),
    "empty gzip": http(200, b"", GZIP),
    "not gzip": http(200, CONVERTED, GZIP),
    "not deflate": http(200, CONVERTED, "Content-Encoding: deflate"),
    "truncated gzip": http(200, gzip.compress(CONVERTED)[:-9], GZIP),
    "a truncated second member": http(200, gzip.compress(CONVERTED) + gzip.compress(b" ")[:-9], GZIP),
    "truncated deflate": http(200, zlib.compress(CONVERTED)[:-5], "Content-Encoding: deflate"),
    "gzip with a wrong checksum": http(200, gzip.compress(CONVERTED)[:-8] + bytes(8), GZIP),
    "deflate with a wrong checksum": http(200, zlib.compress(CONVERTED)[:-4] + bytes(4), "Content-Encoding: deflate"),
}
"""Responses with a 2xx: the conversation was converted, but the response does not show its ticket."""

UNKNOWN_OUTCOME: dict[str, bytes] = {
    "nothing": b"",
    "HTTP/0.9": b"<html>It works!</html>",
    "not HTTP": b"\x16\x03\x01\x00\xff\x00\r\n\r\n",
    "HTTP/2": b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" + bytes(18),
    "half a status line": b"HTTP/1.1 20",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-Length: 26\r\n",
    "only interim responses": b"HTTP/1.1 100 Continue\r\n\r\n" * 10,
    "another protocol": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    "a status of two digits": http(20, CONVERTED),
    "a status of five digits": http(20000, CONVERTED),
    "a status of 000": http("000", CONVERTED),
    "10,000 headers": http(200, CONVERTED, *(f"X-{number}: {number}" for number in range(10_000))),
    "a header of 1 MB": http(200, CONVERTED, "X: " + "x" * (1 << 20)),
    "a status line of 1 MB": b"HTTP/1.1 200 " + b"x" * (1 << 20) + b"\r\n\r\n",
    "a header without a colon": http(200, CONVERTED, "nonsense"),
    "a header with NUL": http(200, CONVERTED, "X: \0"),
    "two Content-Lengths": http(200, CONVERTED, "Content-Length: 7"),
    "two Content-Lengths in a list": http(200, CONVERTED).replace(b"Length: 26", b"Length: 26, 7"),
    "a negative Content-Length": http(200, CONVERTED).replace(b"Length: 26", b"Length: -1"),
    "an unknown Transfer-Encoding": http(200, CONVERTED, "Transfer-Encoding: rot13"),
    "520": http(520, b"<html>Web server is returning an unknown error</html>"),
    "599": http(599, CONVERTED),
    "999": http(999, CONVERTED),
    "500 in an unknown coding": http(500, CONVERTED, "Content-Encoding: rot13"),
    "500 in broken gzip": http(500, b"\x1f\x8bnonsense", "Content-Encoding: gzip"),
    "502 that breaks off": http(502, CONVERTED).replace(b"Length: 26", b"Length: 52"),
}
"""Bytes that leave the outcome of the conversion unknown."""


def for_each(table: Mapping[str, Any]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("response", [pytest.param(response, id=name) for name, response in table.items()])


# Converting


@for_each(READABLE)
async def test_an_unusual_response_is_read(response: bytes) -> None:
    with HostileDesk(response) as server:
        async with client(server) as desk:
            conversation = await desk.conversations.convert(42)
    assert (conversation.id, conversation.ticket_id) == (42, 7)
    assert (server.converts, server.lookups) == (1, 0)


async def test_a_response_without_a_conversation_id_is_about_the_requested_conversation() -> None:
    with HostileDesk(http(200, b'{"id": 0, "ticket_id": 7}')) as server:
        async with client(server) as desk:
            assert (await desk.conversations.convert(42)).ticket_id == 7
    assert (server.converts, server.lookups) == (1, 0)


@for_each({**UNREADABLE, **UNKNOWN_OUTCOME})
async def test_a_lookup_finds_the_outcome_that_the_response_does_not_show(response: bytes) -> None:
    with HostileDesk(response, ticket_id=7) as server:
        async with client(server) as desk:
            conversation = await desk.conversations.convert(42)
    assert (conversation.id, conversation.ticket_id) == (42, 7)
    assert (server.converts, server.lookups) == (1, 1)


@for_each(UNREADABLE)
async def test_an_unreadable_success_is_never_retried_even_if_the_lookup_shows_no_ticket(response: bytes) -> None:
    with HostileDesk(response) as server:
        async with client(server) as desk:
            with pytest.raises(ResponseDecodeError) as caught:
                await desk.conversations.convert(42)
    assert (caught.value.maybe_applied, caught.value.attempts, caught.value.conversation_id) == (True, 1, 42)
    assert (server.converts, server.lookups) == (1, 2)


@for_each(UNKNOWN_OUTCOME)
async def test_a_call_with_an_unknown_outcome_fails_if_no_ticket_appears_and_no_attempt_is_left(
    response: bytes,
) -> None:
    with HostileDesk(response) as server:
        async with client(server) as desk:
            with pytest.raises((TransportError, StatusError)) as caught:
                await desk.conversations.convert(42)
    assert (caught.value.maybe_applied, caught.value.attempts, caught.value.conversation_id) == (False, 2, 42)
    assert (server.converts, server.lookups) == (2, 4)


UNHELPFUL_LISTINGS: dict[str, bytes] = {
    **READABLE,
    **UNREADABLE,
    **{name: response for name, response in UNKNOWN_OUTCOME.items() if name not in {"520", "599", "999"}},
    "no conversations": http(200, b'{"conversations": null}'),
    "conversations that are not a list": http(200, b'{"conversations": 42}'),
    "a conversation that is not an object": http(200, b'{"conversations": [42]}'),
    "a list of lists": http(200, b'{"conversations": [["id", 42]]}'),
    "an empty page": http(200, b'{"conversations": []}'),
    "other conversations too": http(
        200, b'{"conversations": [{"id": 42, "ticket_id": null}, {"id": 43, "ticket_id": null}]}'
    ),
    "more pages": http(
        200, b'{"conversations": [{"id": 42, "ticket_id": null}], "pagination": {"hasMorePages": true}}'
    ),
    "other conversations only": http(200, b'{"conversations": [{"id": 43, "ticket_id": null}]}'),
    "no ticket_id": http(200, b'{"conversations": [{"id": 42}]}'),
    "a ticket_id that is text": http(200, b'{"conversations": [{"id": 42, "ticket_id": "7th"}]}'),
    "a ticket_id that is negative": http(200, b'{"conversations": [{"id": 42, "ticket_id": -7}]}'),
    "a ticket_id that is false": http(200, b'{"conversations": [{"id": 42, "ticket_id": false}]}'),
    "a ticket_id that is a float": http(200, b'{"conversations": [{"id": 42, "ticket_id": 0.0}]}'),
    "an id that is a string": http(200, b'{"conversations": [{"id": "42", "ticket_id": null}]}'),
}


@for_each(UNHELPFUL_LISTINGS)
async def test_a_lookup_that_proves_nothing_never_leads_to_a_second_convert_request(response: bytes) -> None:
    with HostileDesk(b"", listing=response) as server:
        async with client(server) as desk:
            with pytest.raises(OutcomeUnknownError) as caught:
                await desk.conversations.convert(42)
    assert (caught.value.maybe_applied, caught.value.attempts, server.converts) == (True, 1, 1)


@pytest.mark.parametrize("ticket_ids", [("7",), (None, 7), (0, 7, None), (7, 7)], ids=str)
async def test_a_ticket_counts_however_the_lookup_shows_it(
    ticket_ids: tuple[int | str | None, ...],
) -> None:
    page = {"conversations": [{"id": 42, "ticket_id": ticket_id} for ticket_id in ticket_ids]}
    with HostileDesk(b"", listing=http(200, json.dumps(page).encode())) as server:
        async with client(server) as desk:
            conversation = await desk.conversations.convert(42)
    assert (conversation.ticket_id, server.converts) == (7, 1)


@for_each({**READABLE, **UNREADABLE, **UNKNOWN_OUTCOME})
async def test_a_read_raises_only_our_own_errors(response: bytes) -> None:
    with HostileDesk(listing=response) as server:
        async with client(server) as desk:
            with pytest.raises(DeskError) as caught:
                await desk.conversations.get(42)
    assert (caught.value.maybe_applied, caught.value.conversation_id) == (False, 42)


@pytest.mark.parametrize(
    ("coding", "shown"),
    [
        ("br", "the content coding br, which"),
        ("ZSTD", "the content coding zstd, which"),
        ("gzip, compress", "the content coding compress, which"),
        ("a value that is long enough to be a token", "a content coding, which"),
        (", ".join(["gzip"] * 6), "more than 5 content codings"),
    ],
)
async def test_an_error_names_the_coding_that_cannot_be_decoded(coding: str, shown: str) -> None:
    field = f"Content-Encoding: {coding}"
    with HostileDesk(http(200, CONVERTED, field), listing=http(403, b"{}", field)) as server:
        async with client(server) as desk:
            with pytest.raises(ResponseDecodeError, match=f"cannot be read: it has {shown}") as converted:
                await desk.conversations.convert(42)
            with pytest.raises(PermissionDeniedError, match=f"cannot be read: it has {shown}"):
                await desk.conversations.get(43)
    assert converted.value.maybe_applied
    assert "long enough" not in str(converted.value)


@pytest.mark.parametrize("coding", ["gzip", "X-GZip", "deflate"])
async def test_a_response_from_memory_is_decoded_like_any_other(coding: str) -> None:
    content = zlib.compress(CONVERTED) if coding == "deflate" else gzip.compress(CONVERTED)
    response = httpx.Response(200, headers={"Content-Encoding": coding}, content=content)
    async with AsyncDesk(
        "https://desk.example.com", token="t", transport=httpx.MockTransport(lambda _: response), verify_first=False
    ) as desk:
        assert (await desk.conversations.convert(42)).ticket_id == 7


NOON = "Sun, 01 Mar 2026 12:00:00 GMT"


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        (["Retry-After: 7", "Retry-After: 7"], 7),
        (["Retry-After: 7", "Retry-After: 30"], 30),
        (["Retry-After: 7, 7"], 7),
        ([f"Date: {NOON}", "Retry-After: Sun, 01 Mar 2026 12:00:07 GMT"], 7),
        ([f"Date: {NOON}", "Retry-After: Sunday, 01-Mar-26 12:00:07 GMT"], 7),
        ([f"Date: {NOON}", "Retry-After: Sun Mar  1 12:00:07 2026"], 7),
        (["Date: Sunday, 01-Mar-26 12:00:00 GMT", "Retry-After: Sun,  1 Mar 2026 12:00:07 gmt"], 7),
        (["Date: Sun Mar  1 12:00:00 2026", f"Date: {NOON}", "Retry-After: Sun, 01 Mar 2026 12:00:07 GMT"], 7),
        (
            [
                *("X-Rate-Limit-Limit: 120", "X-Rate-Limit-Remaining: 9", "X-Rate-Limit-Reset: 60"),
                *("X-Rate-Limit-Limit: 120", "x-rate-limit-remaining: 0", "X-Rate-Limit-Reset: 60, 7"),
            ],
            7,
        ),
    ],
    ids=str,
)
async def test_a_header_that_came_twice_and_every_form_of_a_date_are_read(fields: list[str], seconds: float) -> None:
    with HostileDesk(http(429, b"", *fields)) as server:
        async with client(server) as desk:
            with pytest.raises(RateLimitedError) as caught:
                await desk.with_options(retry=RetryPolicy(max_attempts=1)).conversations.convert(42)
    assert caught.value.retry_after == seconds


async def test_a_400_keeps_its_body_whatever_the_errors_in_it_look_like() -> None:
    bodies = [nested(b"[", b"]", 10_000), b'{"errors": []}', b"\xff", b'{"errors": {"\\ud800": ["\\udfff", 1, null]}}']
    for body in bodies:
        with HostileDesk(http(400, body)) as server:
            async with client(server) as desk:
                with pytest.raises(StatusError) as caught:
                    await desk.conversations.convert(42)
        assert (caught.value.status_code, caught.value.body, caught.value.maybe_applied) == (400, body, False)


# In bounded memory


def endless_body(head: str, piece: bytes) -> Callable[[socket.socket], Iterable[bytes]]:
    return lambda _: itertools.chain([head.encode()], itertools.repeat(piece, GIGABYTE // len(piece)))


BODIES_OF_A_GIGABYTE = {
    "with a Content-Length": endless_body(f"HTTP/1.1 200 OK\r\nContent-Length: {GIGABYTE}\r\n\r\n", b" " * 65536),
    "in chunks": endless_body(chunked().decode(), b"10000\r\n" + b" " * 65536 + b"\r\n"),
    "until the connection closes": endless_body("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", b" " * 65536),
}


@for_each(BODIES_OF_A_GIGABYTE)
async def test_the_client_hangs_up_on_a_body_over_the_limit(response: Response) -> None:
    with HostileDesk(response) as server:
        async with client(server) as desk:
            with pytest.raises(ResponseDecodeError, match=f"larger than {MAX_RESPONSE_BYTES} bytes") as caught:
                await desk.conversations.convert(42)
    assert (caught.value.maybe_applied, server.converts) == (True, 1)
    assert server.hang_ups == 1
    assert server.sent < GIGABYTE / 8


async def test_the_client_hangs_up_on_an_error_response_over_the_limit() -> None:
    response = endless_body(f"HTTP/1.1 500 Oops\r\nContent-Length: {GIGABYTE}\r\n\r\n", b" " * 65536)
    with HostileDesk(response) as server:
        async with client(server) as desk:
            with pytest.raises(ServerError) as caught:
                await desk.conversations.convert(42)
    assert (caught.value.status_code, caught.value.maybe_applied) == (500, False)
    assert server.hang_ups == server.converts == 2
    assert server.sent < GIGABYTE / 8


async def test_the_client_hangs_up_on_a_listing_over_the_limit() -> None:
    with HostileDesk(listing=BODIES_OF_A_GIGABYTE["in chunks"]) as server:
        async with client(server) as desk:
            with pytest.raises(TransportError, match=f"larger than {MAX_RESPONSE_BYTES} bytes"):
                await desk.conversations.get(42)
    assert server.hang_ups == server.lookups == 2


async def test_the_client_hangs_up_on_endless_headers() -> None:
    def headers(_: socket.socket) -> Iterator[bytes]:
        return itertools.chain([b"HTTP/1.1 200 OK\r\n"], itertools.repeat(b"X: y\r\n" * 10_000, 20_000))

    with HostileDesk(headers) as server:
        async with client(server) as desk:
            with pytest.raises(TransportError) as caught:
                await desk.conversations.convert(42)
    assert (caught.value.maybe_applied, server.hang_ups) == (False, 2)


@cache
def gzip_of_a_gigabyte() -> bytes:
    """Compress a gigabyte of zeros without holding it: after a full flush, equal input gives equal output."""
    compressor = zlib.compressobj(wbits=16 + zlib.MAX_WBITS)
    zeros = bytes(1 << 20)
    blocks = [compressor.compress(zeros) + compressor.flush(zlib.Z_FULL_FLUSH) for _ in range(2)]
    return blocks[0] + blocks[1] * (GIGABYTE // len(zeros) - 1) + compressor.flush()


def test_the_decompression_bomb_is_gzip_and_exceeds_the_limit() -> None:
    decompressor = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    assert len(decompressor.decompress(gzip_of_a_gigabyte(), 2 * MAX_RESPONSE_BYTES)) == 2 * MAX_RESPONSE_BYTES


@pytest.mark.parametrize(
    "headers", [("gzip",), ("gzip, gzip",), ("gzip", "gzip"), ("deflate, gzip",), ("x-gzip",)], ids=str
)
async def test_a_decompression_bomb_is_not_decompressed_beyond_the_limit(headers: tuple[str, ...]) -> None:
    bomb = gzip_of_a_gigabyte()
    if headers not in {("gzip",), ("x-gzip",)}:
        bomb = gzip.compress(bomb)
    response = http(200, bomb, *(f"Content-Encoding: {header}" for header in headers))
    with HostileDesk(response) as server:
        async with client(server) as desk:
            tracemalloc.start()
            try:
                with pytest.raises(ResponseDecodeError) as caught:
                    await desk.conversations.convert(42)
                peak = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
    assert (caught.value.maybe_applied, server.converts) == (True, 1)
    assert peak < 4 * MAX_RESPONSE_BYTES


# A large or costly body: each is refused, or read in bounded memory


def listing(*items: bytes) -> bytes:
    return b'{"conversations":[' + b",".join(items) + b"]}"


def gzipped(body: bytes, status: int = 200) -> bytes:
    return http(status, gzip.compress(body), "Content-Encoding: gzip")


def in_chunks(body: bytes, size: int) -> bytes:
    pieces = (body[start : start + size] for start in range(0, len(body), size))
    return chunked(*(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces), b"0\r\n\r\n")


ENTRY = b'{"id":42,"ticket_id":null,"state":"'
TEXT = MAX_RESPONSE_BYTES - 100
TOO_COSTLY: dict[str, Callable[[], bytes]] = {
    "5 million conversations in 16 KB of gzip": lambda: gzipped(listing(*[b"{}"] * 5_000_000)),
    "a million conversations in gzip": lambda: gzipped(listing(*[b"{}"] * 1_000_000)),
    "a million conversations": lambda: http(200, listing(*[b"{}"] * 1_000_000)),
    "a million numbers": lambda: http(200, b"[" + b"1," * 1_000_000 + b"1]"),
    "300,000 keys": lambda: http(200, b'{"x":{' + b",".join(b'"%d":1' % key for key in range(300_000)) + b"}}"),
    "values between texts": lambda: http(200, b'["","' + b'","' * 1_000_000 + b'"]'),
    "values after an escaped quote": lambda: http(200, b'["\\"",' + b"{}," * 1_000_000 + b"1]"),
    "values after an escaped backslash": lambda: http(200, b'["\\\\",' + b"{}," * 1_000_000 + b'"\\\\"]'),
    "values in UTF-16": lambda: http(200, listing(*[b"{}"] * 600_000).decode().encode("utf-16")),
    "values behind a quote in UTF-16": lambda: http(
        200, ('["\u2230",' + "{}," * 600_000 + '"\u2230"]').encode("utf-16")
    ),
    "2 million levels": lambda: http(200, nested(b"[", b"]", 2_000_000)),
    "5 MB of white space": lambda: http(200, b" " * 5_000_000),
    "5 MB of digits": lambda: http(200, b"9" * 5_000_000),
    "4 MB of digits": lambda: http(200, b"9" * 4_000_000),
    "chunks of one byte": lambda: in_chunks(b" " * (MAX_CHUNKS + 1), 1),
}
"""The client refuses to read these, although they are smaller than what a server could send before the deadline."""

LARGE: dict[str, Callable[[], bytes]] = {
    "a text of 4 MB with commas": lambda: http(200, listing(ENTRY + b"," * TEXT + b'"}')),
    "a text of 4 MB with escaped quotes and brackets": lambda: http(
        200, listing(ENTRY + b'\\"[' * (TEXT // 3) + b'\\\\"}')
    ),
    "a text of 4 MB that needs 4 bytes for each character": lambda: http(
        200, listing(ENTRY + b"x" * TEXT + "\U0001f600".encode() + b'"}')
    ),
    "a text of 4 MB that only json can read": lambda: http(
        200, listing(ENTRY + b"x" * TEXT + "\U0001f600".encode() + b'\\ud800"}')
    ),
    "a page with as many values as are allowed": lambda: http(
        200, listing(ENTRY + b'"}', *[b"{}"] * (MAX_VALUES // 2 - 5))
    ),
    "a page that is wrong everywhere": lambda: http(
        200, listing(ENTRY + b'"}', *[b'{"createdAt":"2024-12-19T25:00:00Z"}'] * (MAX_VALUES // 2 - 5))
    ),
    "a text in UTF-16": lambda: http(200, listing(ENTRY + b"x" * 1_000_000 + b'"}').decode().encode("utf-16")),
    "chunks of 8 bytes": lambda: in_chunks(listing(ENTRY + b'"}').ljust(100_000), 8),
}
"""The client reads these."""


async def peak_memory_of_a_read(response: bytes) -> tuple[float, DeskError | None]:
    """Return the peak of the memory that reading a response took, without the response itself, and the error."""
    error: DeskError | None = None
    with HostileDesk(listing=response) as server:
        # Recording the memory makes it slow, and the time is not what this measures.
        async with client(server, deadline=600) as desk:
            tracemalloc.start()
            try:
                conversation = await desk.conversations.get(42)
                assert conversation.id == 42
            except DeskError as failed:
                error = failed
            finally:
                peak = tracemalloc.get_traced_memory()[1]
                tracemalloc.stop()
    return peak, error


on_asyncio = pytest.mark.parametrize("anyio_backend", ["asyncio"])
"""The memory does not depend on the event loop."""


def without_orjson(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_wire, "orjson", None)


@on_asyncio
@pytest.mark.parametrize("library", ["orjson", "json"])
@pytest.mark.parametrize("response", TOO_COSTLY.values(), ids=TOO_COSTLY)
async def test_a_response_that_would_take_much_memory_or_time_is_refused(
    response: Callable[[], bytes], library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if library == "json":
        without_orjson(monkeypatch)
    peak, error = await peak_memory_of_a_read(response())
    assert isinstance(error, (ResponseDecodeError, TransportError))
    assert peak < MOST_MEMORY


@on_asyncio
@pytest.mark.parametrize("library", ["orjson", "json"])
@pytest.mark.parametrize("response", LARGE.values(), ids=LARGE)
async def test_a_large_response_is_read_in_bounded_memory(
    response: Callable[[], bytes], library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if library == "json":
        without_orjson(monkeypatch)
    peak, error = await peak_memory_of_a_read(response())
    assert error is None
    assert peak < MOST_MEMORY


def test_a_number_is_refused_by_its_length_even_if_the_application_has_no_limit() -> None:
    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        with pytest.raises(DecodeError):
            _wire.decode_json(b"9" * 4301)
    finally:
        sys.set_int_max_str_digits(limit)


async def test_a_body_from_memory_has_the_same_limit() -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=b" " * (MAX_RESPONSE_BYTES + 1)))
    async with AsyncDesk("http://localhost", token="t", transport=transport, retry=POLICY) as desk:
        with pytest.raises(TransportError, match=f"larger than {MAX_RESPONSE_BYTES} bytes"):
            await desk.conversations.get(42)


LARGE_ERRORS: dict[str, bytes] = {
    "many fields": b'{"errors":{' + b",".join(b'"f%d":["a"]' % field for field in range(9_000)) + b"}}",
    "many objects": b'{"errors":[' + b",".join([b'{"detail":"a","source":"x"}'] * 6_000) + b"]}",
    "many reasons": b'{"errors":{"f":[' + b",".join([b'"reason"'] * 15_000) + b"]}}",
    "a long reason": b'{"errors":{"f":["' + b"x" * 4_000_000 + b'"]}}',
    "a long field": b'{"errors":{"' + b"x" * 4_000_000 + b'":["a"]}}',
    "a long detail": b'{"errors":[{"detail":"' + b"a@b " * 1_000_000 + b'","title":"' + b"x" * 9000 + b'"}]}',
    "a long page": b"<p>" * 1_000_000,
}


@for_each(LARGE_ERRORS)
async def test_an_error_keeps_a_bounded_part_of_a_large_response(response: bytes) -> None:
    head = [f"X-{number}: {number}" for number in range(500)] + ["X-Long: " + "x" * 9000]
    with HostileDesk(http(400, response, *head)) as server:
        async with client(server) as desk:
            tracemalloc.start()
            try:
                with pytest.raises(StatusError) as caught:
                    await desk.conversations.convert(42)
                error = caught.value
                gc.collect()
                kept = tracemalloc.get_traced_memory()[0]
            finally:
                tracemalloc.stop()
    assert error.body == response[:65536]
    assert sum(map(len, error.errors.values())) <= MOST_REASONS
    assert len(error.headers) <= 200
    assert len(pickle.dumps(error)) < 500_000
    # The error's traceback must not keep the whole response either.
    assert kept < 2_000_000


async def test_drift_is_logged_up_to_a_limit(caplog: pytest.LogCaptureFixture) -> None:
    async with AsyncDesk("http://localhost", token="t") as desk:
        report: Callable[..., None] = vars(desk)["_session"].report_drift
        for number in range(3 * MOST_DRIFT):
            report("get_thing", f"field{number}", "string", "integer")
    records = [record for record in caplog.records if record.name == "teamwork_desk.drift"]
    assert len(records) == MOST_DRIFT + 1
    assert "no more" in records[-1].getMessage()


@pytest.mark.parametrize("levels", [1, 29, 30, 5_000])
def test_a_report_of_drift_has_a_bounded_path(levels: int) -> None:
    at: types.At = None
    for _ in range(levels):
        at = (at, "child")
    paths = list[str]()
    types.decode_int("x", at, "key" * 1_000, lambda path, expected, got: paths.append(path))
    types.decode_int("x", at, "key", lambda path, expected, got: paths.append(path))
    assert len(paths[0]) == 500
    assert paths[1] == "child." * min(levels, 29) + "key"


# Within the deadline


def hanging(head: bytes = b"") -> Callable[[socket.socket], Iterator[bytes]]:
    def pieces(connection: socket.socket) -> Iterator[bytes]:
        yield head
        hung_up(connection, within=20)

    return pieces


def dripping(head: bytes) -> Callable[[socket.socket], Iterator[bytes]]:
    def pieces(connection: socket.socket) -> Iterator[bytes]:
        yield head
        while not hung_up(connection, within=0.005):
            yield b"x"

    return pieces


ENDLESS: dict[str, Response] = {
    "silence": hanging(),
    "silence after the head": hanging(http(200, CONVERTED).removesuffix(CONVERTED)),
    "a head byte by byte": dripping(b"HTTP/1.1 200 OK\r\nX: "),
    "a body byte by byte": dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"),
    "an error byte by byte": dripping(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 1000000\r\n\r\n"),
    "interim responses": lambda _: itertools.repeat(b"HTTP/1.1 100 Continue\r\n\r\n"),
}


@in_time_that_leaps
@for_each(ENDLESS)
async def test_the_deadline_ends_an_endless_response_and_the_outcome_is_unknown(response: Response) -> None:
    with HostileDesk(response) as server:
        async with client(server) as desk, leaping(20, when=lambda: server.converts):
            with pytest.raises(OutcomeUnknownError) as caught:
                await desk.conversations.convert(42)
    assert (caught.value.maybe_applied, caught.value.attempts, server.converts) == (True, 1, 1)


TWO_ENDLESS = {name: ENDLESS[name] for name in ("silence", "a body byte by byte")}


@in_time_that_leaps
@for_each(TWO_ENDLESS)
async def test_the_deadline_ends_an_endless_lookup_and_the_outcome_is_unknown(response: Response) -> None:
    with HostileDesk(http(500), listing=response) as server:
        async with client(server) as desk, leaping(20, when=lambda: server.lookups):
            with pytest.raises(OutcomeUnknownError) as caught:
                await desk.conversations.convert(42)
    assert (caught.value.maybe_applied, caught.value.attempts, server.converts) == (True, 1, 1)


@in_time_that_leaps
@for_each(TWO_ENDLESS)
async def test_the_deadline_ends_an_endless_read(response: Response) -> None:
    with HostileDesk(listing=response) as server:
        async with client(server) as desk, leaping(20, when=lambda: server.lookups):
            with pytest.raises(DeadlineExceeded) as caught:
                await desk.conversations.get(42)
    assert not caught.value.maybe_applied


# Responses that do not match the request

LONG_MESSAGE = "x" * (8 << 20)


async def test_a_response_that_arrives_before_the_request_was_read_is_read() -> None:
    def respond_first(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(http(200, CONVERTED))
        while connection.recv(65536):
            pass

    with RawServer(respond_first) as server:
        async with client(server) as desk:
            conversation = await desk.conversations.convert(42, message=LONG_MESSAGE)
    assert conversation.ticket_id == 7


async def test_a_surplus_response_on_a_connection_is_not_used_for_the_next_request() -> None:
    def respond_twice(connection: socket.socket) -> None:
        if read_request(connection).line.startswith("GET "):
            connection.sendall(http(200, b'{"conversations": [{"id": 42, "ticket_id": 7}]}'))
            return
        connection.sendall(2 * http(200, b'{"id": 41, "ticket_id": 6}').replace(b"Connection: close\r\n", b""))
        read_request(connection)

    with RawServer(respond_twice) as server:
        async with client(server) as desk:
            first = await desk.conversations.convert(41)
            second = await desk.conversations.convert(42)
    assert [(conversation.id, conversation.ticket_id) for conversation in (first, second)] == [(41, 6), (42, 7)]


async def test_the_outcome_is_looked_up_if_the_server_hangs_up_on_the_request_body() -> None:
    lookups: list[str] = []

    def hang_up(connection: socket.socket) -> None:
        head = read_head(connection)
        if head.startswith("GET "):
            lookups.append(head)
            connection.sendall(http(200, b'{"conversations": [{"id": 42, "ticket_id": 7}]}'))

    with RawServer(hang_up) as server:
        async with client(server) as desk:
            conversation = await desk.conversations.convert(42, message=LONG_MESSAGE)
    assert (conversation.ticket_id, len(lookups)) == (7, 1)


# Redirects and cookies


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_never_followed(status: int) -> None:
    with RawServer(lambda connection: None) as elsewhere:
        response = http(status, b"", f"Location: {elsewhere.url}/desk/api/v2/conversations.json")
        with HostileDesk(response, listing=response) as server:
            async with client(server) as desk:
                with pytest.raises(StatusError) as read:
                    await desk.conversations.get(42)
                # A redirect may be the response to a request that was carried out, and the lookup fails here.
                with pytest.raises(OutcomeUnknownError, match=f" {status}: ") as converted:
                    await desk.conversations.convert(42)
    assert (read.value.status_code, read.value.attempts, read.value.maybe_applied) == (status, 1, False)
    assert (converted.value.attempts, converted.value.maybe_applied) == (1, True)
    assert (server.converts, elsewhere.connections) == (1, 0)


async def test_a_cookie_is_never_sent_back() -> None:
    with HostileDesk(http(200, CONVERTED, "Set-Cookie: a=b; Path=/", "Set-Cookie: c=d")) as server:
        # Use the address, because no client returns a cookie to a host name without a dot.
        async with AsyncDesk(
            server.url.replace("localhost", "127.0.0.1"), token="t", trust_env=False, verify_first=False
        ) as desk:
            await desk.conversations.convert(42)
            await desk.conversations.get(42)
    assert len(server.received) == 2
    assert not any("cookie" in request.head.lower() for request in server.received)


# Hostile arguments

INJECTION = "x\r\nX-Injected: yes\r\n\r\nPOST /desk/api/v2/conversations/43/convert.json HTTP/1.1\r\n\r\n"


async def test_line_breaks_in_arguments_are_sent_as_json() -> None:
    with HostileDesk(http(200, CONVERTED)) as server:
        async with client(server) as desk:
            await desk.conversations.convert(
                42, subject=INJECTION, message=INJECTION, customer=INJECTION, tags=[INJECTION], send_from=INJECTION
            )
    (request,) = server.received
    assert "injected" not in request.head.lower()
    assert json.loads(request.body) == {
        "subject": INJECTION,
        "message": INJECTION,
        "customer": {"email": INJECTION},
        "tags": [INJECTION],
        "sendFrom": INJECTION,
    }


async def test_line_breaks_in_a_query_are_sent_percent_encoded() -> None:
    with HostileDesk() as server:
        async with client(server) as desk:
            page = desk.conversations.list(
                filter={INJECTION: {"$eq": INJECTION}}, order_by=INJECTION, order_mode=INJECTION
            )
            assert [conversation.id async for conversation in page] == [42]
    (request,) = server.received
    assert "X-Injected" in request.line
    assert "\r\nX-Injected" not in request.head


async def test_an_order_that_is_not_valid_text_is_rejected() -> None:
    with HostileDesk() as server:
        async with client(server) as desk:
            with pytest.raises(RequestError):
                await anext(aiter(desk.conversations.list(order_by="\ud800")))
    assert server.connections == 0


@pytest.mark.parametrize("token", ["", "a b", "a\r\nX-Injected: yes", "a\nb", "a\0", "\xe9", "a\x7f"], ids=repr)
async def test_a_token_that_could_inject_a_header_is_rejected(token: str) -> None:
    with HostileDesk() as server:
        with pytest.raises(ConfigurationError):
            client(server, token=token)
        async with client(server, token=lambda: token) as desk:
            with pytest.raises(ConfigurationError) as caught:
                await desk.conversations.convert(42)
    assert (caught.value.maybe_applied, server.connections) == (False, 0)


INVALID_IDS: list[Any] = [True, False, 0, -1, 1.0, "1", b"1", None, [1], 10**30, 10**5000]


@pytest.mark.parametrize("conversation_id", INVALID_IDS, ids=lambda value: "huge" if value == 10**5000 else repr(value))
async def test_an_invalid_conversation_id_is_rejected_before_anything_is_sent(conversation_id: Any) -> None:
    with HostileDesk() as server:
        async with client(server) as desk:
            for call in (
                desk.conversations.convert,
                partial(desk.conversations.convert, verify_first=True),
                desk.conversations.get,
            ):
                with pytest.raises(RequestError, match="conversation_id") as caught:
                    await call(conversation_id)
                assert (caught.value.maybe_applied, caught.value.attempts) == (False, 0)
    assert server.connections == 0
