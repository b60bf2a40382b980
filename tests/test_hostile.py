"""Whatever bytes a server sends, a call ends in a result or an error of the package, in bounded memory."""

from __future__ import annotations

import gzip
import itertools
import json
import socket
import ssl
import tracemalloc
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, partial
from typing import Any

import pytest
from raw_server import RawServer, Received, http, hung_up, read_head, read_request, send_all

from teamwork_desk import (
    AsyncDesk,
    ConfigurationError,
    DeadlineExceeded,
    DeskError,
    OutcomeUnknownError,
    RequestError,
    ResponseDecodeError,
    RetryPolicy,
    ServerError,
    StatusError,
    TransportError,
)
from teamwork_desk._wire import MAX_RESPONSE_BYTES

GIGABYTE = 1 << 30
POLICY = RetryPolicy(max_attempts=2, backoff_base=0, settle=(0,))
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # reading the CA certificates takes longer than a test

Answer = bytes | Callable[[socket.socket], Iterable[bytes]]


class HostileDesk(RawServer):
    """Answers a convert with what it is given, and the listing properly or with what it is given."""

    def __init__(self, answer: Answer = b"", *, ticket_id: int | None = None, listing: Answer | None = None) -> None:
        super().__init__(self._exchange)
        self.received: list[Received] = []
        self.sent = 0
        self.hang_ups = 0
        page = {"conversations": [{"id": 42, "ticket_id": ticket_id}]}
        self._answers = {"POST": answer, "GET": http(200, json.dumps(page).encode()) if listing is None else listing}

    @property
    def converts(self) -> int:
        return sum(request.head.startswith("POST ") for request in self.received)

    @property
    def looks(self) -> int:
        return len(self.received) - self.converts

    def _exchange(self, connection: socket.socket) -> None:
        request = read_request(connection)
        self.received.append(request)
        answer = self._answers[request.head.partition(" ")[0]]
        sent, hung_up_early = send_all(connection, [answer] if isinstance(answer, bytes) else answer(connection))
        self.sent += sent
        self.hang_ups += hung_up_early


def client(server: RawServer, *, deadline: float = 20.0, token: Any = "t") -> AsyncDesk:
    return AsyncDesk(server.url, token=token, deadline=deadline, retry=POLICY, verify=NO_TLS, trust_env=False)


def chunked(*chunks: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n" + b"".join(chunks)


def nested(opening: bytes, closing: bytes, depth: int) -> bytes:
    return opening * depth + b"1" + closing * depth


CONVERTED = b'{"id": 42, "ticket_id": 7}'

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
    "chunks of one byte": chunked(*(b"1\r\n%c\r\n" % byte for byte in CONVERTED), b"0\r\n\r\n"),
    "interim answers": b"HTTP/1.1 100 Continue\r\n\r\n" * 100 + http(200, CONVERTED),
    "gzip": http(200, gzip.compress(CONVERTED), "Content-Encoding: gzip"),
}
"""Odd, and still the answer."""

UNREADABLE: dict[str, bytes] = {
    "204": b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
    "204 with a body": http(204, CONVERTED),
    "299 and empty": http(299),
    "empty": http(200),
    "HTML": http(200, b"<!doctype html><title>Sign in</title>", "Content-Type: text/html"),
    "no object": http(200, b"[42]"),
    "no id": http(200, b'{"ticket_id": 7}'),
    "another conversation's": http(200, b'{"id": 43, "ticket_id": 8}'),
    "an id of 5,000 digits": http(200, b'{"id": ' + b"9" * 5000 + b"}"),
    "5,000 digits elsewhere": http(200, b'{"id": 42, "ticket_id": 7, "new": ' + b"9" * 5000 + b"}"),
    "an id that is NaN": http(200, b'{"id": NaN, "ticket_id": 7}'),
    "an id that is true": http(200, b'{"id": true, "ticket_id": 7}'),
    "arrays 100,000 deep": http(200, nested(b"[", b"]", 100_000)),
    "objects 100,000 deep": http(200, nested(b'{"id":', b"}", 100_000)),
    "100,000 arrays never closed": http(200, b"[" * 100_000),
    "no UTF-8": http(200, b'{"id": 42, "ticket_id": 7, "state": "\xff\xfe"}'),
    "NUL bytes": http(200, bytes(1000)),
    "two documents": http(200, CONVERTED + CONVERTED),
    "a body longer than its Content-Length": http(200, CONVERTED).replace(b"Length: 26", b"Length: 13"),
    "a body shorter than its Content-Length": http(200, CONVERTED).replace(b"Length: 26", b"Length: 52"),
    "a chunk header that is no number": chunked(b"zz\r\n", CONVERTED, b"\r\n0\r\n\r\n"),
    "a negative chunk": chunked(b"-1a\r\n", CONVERTED, b"\r\n0\r\n\r\n"),
    "a chunk header of 1 MB": chunked(b"1a;" + b"x" * (1 << 20) + b"\r\n", CONVERTED, b"\r\n0\r\n\r\n"),
    "a truncated chunk": chunked(b"1a\r\n", CONVERTED[:13]),
    "no last chunk": chunked(b"1a\r\n", CONVERTED, b"\r\n"),
    "100,000 trailers": chunked(b"1a\r\n", CONVERTED, b"\r\n0\r\n", b"X: y\r\n" * 100_000, b"\r\n"),
    "an unknown encoding": http(200, gzip.compress(CONVERTED), "Content-Encoding: rot13"),
    "an encoding not asked for": http(200, zlib.compress(CONVERTED), "Content-Encoding: deflate"),
    "no gzip": http(200, CONVERTED, "Content-Encoding: gzip"),
    "truncated gzip": http(200, gzip.compress(CONVERTED)[:-9], "Content-Encoding: gzip"),
    "gzip with a wrong checksum": http(200, gzip.compress(CONVERTED)[:-8] + bytes(8), "Content-Encoding: gzip"),
}
"""A 2xx: the conversation was converted, and the answer does not say to what."""

NO_ANSWER: dict[str, bytes] = {
    "nothing": b"",
    "HTTP/0.9": b"<html>It works!</html>",
    "no HTTP": b"\x16\x03\x01\x00\xff\x00\r\n\r\n",
    "HTTP/2": b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" + bytes(18),
    "half a status line": b"HTTP/1.1 20",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-Length: 26\r\n",
    "only interim answers": b"HTTP/1.1 100 Continue\r\n\r\n" * 10,
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
    "a negative Content-Length": http(200, CONVERTED).replace(b"Length: 26", b"Length: -1"),
    "an unknown Transfer-Encoding": http(200, CONVERTED, "Transfer-Encoding: rot13"),
    "520": http(520, b"<html>Web server is returning an unknown error</html>"),
    "599": http(599, CONVERTED),
    "999": http(999, CONVERTED),
    "500 in broken gzip": http(500, b"\x1f\x8bnonsense", "Content-Encoding: gzip"),
    "502 that breaks off": http(502, CONVERTED).replace(b"Length: 26", b"Length: 52"),
}
"""Nothing that says what became of the conversion."""


def each(table: Mapping[str, Any]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("answer", [pytest.param(answer, id=name) for name, answer in table.items()])


# Converting


@each(READABLE)
async def test_an_odd_answer_is_read(answer: bytes) -> None:
    with HostileDesk(answer) as server:
        async with client(server) as desk:
            conversation = await desk.conversations.convert(42)
    assert (conversation.id, conversation.ticket_id) == (42, 7)
    assert (server.converts, server.looks) == (1, 0)


async def test_an_answer_that_names_no_conversation_is_about_the_one_that_was_asked_for() -> None:
    with HostileDesk(http(200, b'{"id": 0, "ticket_id": 7}')) as server:
        async with client(server) as desk:
            assert (await desk.conversations.convert(42)).ticket_id == 7
    assert (server.converts, server.looks) == (1, 0)


@each({**UNREADABLE, **NO_ANSWER})
async def test_an_outcome_that_no_answer_tells_is_found_in_the_listing(answer: bytes) -> None:
    with HostileDesk(answer, ticket_id=7) as server:
        async with client(server) as desk:
            conversation = await desk.conversations.convert(42)
    assert (conversation.id, conversation.ticket_id) == (42, 7)
    assert (server.converts, server.looks) == (1, 1)


@each(UNREADABLE)
async def test_an_unreadable_success_is_never_sent_again_even_if_the_listing_shows_no_ticket(answer: bytes) -> None:
    with HostileDesk(answer) as server:
        async with client(server) as desk:
            with pytest.raises(ResponseDecodeError) as caught:
                await desk.conversations.convert(42)
    assert (caught.value.maybe_applied, caught.value.attempts, caught.value.conversation_id) == (True, 1, 42)
    assert (server.converts, server.looks) == (1, 2)


@each(NO_ANSWER)
async def test_no_answer_is_an_error_once_the_listing_shows_no_ticket_and_the_attempts_are_used_up(
    answer: bytes,
) -> None:
    with HostileDesk(answer) as server:
        async with client(server) as desk:
            with pytest.raises((TransportError, StatusError)) as caught:
                await desk.conversations.convert(42)
    assert (caught.value.maybe_applied, caught.value.attempts, caught.value.conversation_id) == (False, 2, 42)
    assert (server.converts, server.looks) == (2, 4)


UNHELPFUL_LISTINGS: dict[str, bytes] = {
    **READABLE,
    **UNREADABLE,
    **{name: answer for name, answer in NO_ANSWER.items() if name not in {"520", "599", "999"}},
    "no conversations": http(200, b'{"conversations": null}'),
    "conversations that are no list": http(200, b'{"conversations": 42}'),
    "a conversation that is no object": http(200, b'{"conversations": [42]}'),
    "a list of lists": http(200, b'{"conversations": [["id", 42]]}'),
    "others only": http(200, b'{"conversations": [{"id": 43, "ticket_id": null}]}'),
    "no ticket_id": http(200, b'{"conversations": [{"id": 42}]}'),
    "a ticket_id that is a string": http(200, b'{"conversations": [{"id": 42, "ticket_id": "7"}]}'),
    "a ticket_id that is false": http(200, b'{"conversations": [{"id": 42, "ticket_id": false}]}'),
    "a ticket_id that is a float": http(200, b'{"conversations": [{"id": 42, "ticket_id": 0.0}]}'),
    "an id that is a string": http(200, b'{"conversations": [{"id": "42", "ticket_id": null}]}'),
}


@each(UNHELPFUL_LISTINGS)
async def test_a_listing_that_does_not_help_never_leads_to_a_second_convert(answer: bytes) -> None:
    with HostileDesk(b"", listing=answer) as server:
        async with client(server) as desk:
            with pytest.raises(OutcomeUnknownError) as caught:
                await desk.conversations.convert(42)
    assert (caught.value.maybe_applied, caught.value.attempts, server.converts) == (True, 1, 1)


@pytest.mark.parametrize("ticket_ids", [(None, 7), (0, 7, None), (7, 7)], ids=str)
async def test_a_ticket_counts_where_a_conversation_is_listed_more_than_once(
    ticket_ids: tuple[int | None, ...],
) -> None:
    page = {"conversations": [{"id": 42, "ticket_id": ticket_id} for ticket_id in ticket_ids]}
    with HostileDesk(b"", listing=http(200, json.dumps(page).encode())) as server:
        async with client(server) as desk:
            conversation = await desk.conversations.convert(42)
    assert (conversation.ticket_id, server.converts) == (7, 1)


@each({**READABLE, **UNREADABLE, **NO_ANSWER})
async def test_a_read_never_fails_with_anything_but_an_error_of_ours(answer: bytes) -> None:
    with HostileDesk(listing=answer) as server:
        async with client(server) as desk:
            with pytest.raises(DeskError) as caught:
                await desk.conversations.get(42)
    assert (caught.value.maybe_applied, caught.value.conversation_id) == (False, 42)


async def test_errors_of_a_400_are_kept_as_far_as_they_can_be_read() -> None:
    bodies = [nested(b"[", b"]", 100_000), b'{"errors": []}', b"\xff", b'{"errors": {"\\ud800": ["\\udfff", 1, null]}}']
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
    "until it closes": endless_body("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", b" " * 65536),
}


@each(BODIES_OF_A_GIGABYTE)
async def test_the_client_hangs_up_on_a_body_over_the_limit(answer: Answer) -> None:
    with HostileDesk(answer) as server:
        async with client(server) as desk:
            with pytest.raises(ResponseDecodeError, match=f"larger than {MAX_RESPONSE_BYTES} bytes") as caught:
                await desk.conversations.convert(42)
    assert (caught.value.maybe_applied, server.converts) == (True, 1)
    assert server.hang_ups == 1
    assert server.sent < 2 * MAX_RESPONSE_BYTES


async def test_the_client_hangs_up_on_an_error_over_the_limit() -> None:
    answer = endless_body(f"HTTP/1.1 500 Oops\r\nContent-Length: {GIGABYTE}\r\n\r\n", b" " * 65536)
    with HostileDesk(answer) as server:
        async with client(server) as desk:
            with pytest.raises(ServerError) as caught:
                await desk.conversations.convert(42)
    assert (caught.value.status_code, caught.value.maybe_applied) == (500, False)
    assert server.hang_ups == server.converts == 2
    assert server.sent < 4 * MAX_RESPONSE_BYTES


async def test_the_client_hangs_up_on_a_listing_over_the_limit() -> None:
    with HostileDesk(listing=BODIES_OF_A_GIGABYTE["in chunks"]) as server:
        async with client(server) as desk:
            with pytest.raises(TransportError, match=f"larger than {MAX_RESPONSE_BYTES} bytes"):
                await desk.conversations.get(42)
    assert server.hang_ups == server.looks == 2


async def test_the_client_hangs_up_on_headers_without_end() -> None:
    def headers(_: socket.socket) -> Iterator[bytes]:
        return itertools.chain([b"HTTP/1.1 200 OK\r\n"], itertools.repeat(b"X: y\r\n" * 10_000, 20_000))

    with HostileDesk(headers) as server:
        async with client(server) as desk:
            with pytest.raises(TransportError) as caught:
                await desk.conversations.convert(42)
    assert (caught.value.maybe_applied, server.hang_ups) == (False, 2)


@cache
def gzip_of_a_gigabyte() -> bytes:
    """Compress a gigabyte of zeros without having it: after a full flush, equal input is equal output."""
    compressor = zlib.compressobj(wbits=16 + zlib.MAX_WBITS)
    zeros = bytes(1 << 20)
    blocks = [compressor.compress(zeros) + compressor.flush(zlib.Z_FULL_FLUSH) for _ in range(2)]
    return blocks[0] + blocks[1] * (GIGABYTE // len(zeros) - 1) + compressor.flush()


def test_the_bomb_is_gzip_beyond_the_limit() -> None:
    decompressor = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    assert len(decompressor.decompress(gzip_of_a_gigabyte(), 2 * MAX_RESPONSE_BYTES)) == 2 * MAX_RESPONSE_BYTES


@pytest.mark.parametrize("headers", [("gzip",), ("gzip, gzip",), ("gzip", "gzip"), ("deflate, gzip",)], ids=str)
async def test_a_decompression_bomb_does_not_go_off(headers: tuple[str, ...]) -> None:
    bomb = gzip_of_a_gigabyte()
    if headers != ("gzip",):
        bomb = gzip.compress(bomb)
    answer = http(200, bomb, *(f"Content-Encoding: {header}" for header in headers))
    with HostileDesk(answer) as server:
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


ENDLESS: dict[str, Answer] = {
    "silence": hanging(),
    "silence after the head": hanging(http(200, CONVERTED).removesuffix(CONVERTED)),
    "a head byte by byte": dripping(b"HTTP/1.1 200 OK\r\nX: "),
    "a body byte by byte": dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"),
    "an error byte by byte": dripping(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 1000000\r\n\r\n"),
    "interim answers": lambda _: itertools.repeat(b"HTTP/1.1 100 Continue\r\n\r\n"),
}


@each(ENDLESS)
async def test_an_answer_without_end_ends_at_the_deadline_with_the_outcome_unknown(answer: Answer) -> None:
    with HostileDesk(answer) as server:
        async with client(server, deadline=1) as desk:
            with pytest.raises(OutcomeUnknownError) as caught:
                await desk.conversations.convert(42)
    assert (caught.value.maybe_applied, caught.value.attempts, server.converts) == (True, 1, 1)


ENDLESS_IN_SHORT = {name: ENDLESS[name] for name in ("silence", "a body byte by byte")}


@each(ENDLESS_IN_SHORT)
async def test_a_look_without_end_ends_at_the_deadline_with_the_outcome_unknown(answer: Answer) -> None:
    with HostileDesk(http(500), listing=answer) as server:
        async with client(server, deadline=1) as desk:
            with pytest.raises(OutcomeUnknownError) as caught:
                await desk.conversations.convert(42)
    assert (caught.value.maybe_applied, caught.value.attempts, server.converts) == (True, 1, 1)


@each(ENDLESS_IN_SHORT)
async def test_a_read_without_end_ends_at_the_deadline(answer: Answer) -> None:
    with HostileDesk(listing=answer) as server:
        async with client(server, deadline=1) as desk:
            with pytest.raises(DeadlineExceeded) as caught:
                await desk.conversations.get(42)
    assert not caught.value.maybe_applied


# An answer before the request was read whole

LONG = "x" * (8 << 20)


async def test_an_answer_that_comes_before_the_request_was_read_is_read() -> None:
    def answer_first(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(http(200, CONVERTED))
        while connection.recv(65536):
            pass

    with RawServer(answer_first) as server:
        async with client(server) as desk:
            conversation = await desk.conversations.convert(42, message=LONG)
    assert conversation.ticket_id == 7


async def test_an_answer_that_another_call_left_on_the_connection_is_not_taken_for_this_ones() -> None:
    def answer_twice(connection: socket.socket) -> None:
        if read_request(connection).line.startswith("GET "):
            connection.sendall(http(200, b'{"conversations": [{"id": 42, "ticket_id": 7}]}'))
            return
        connection.sendall(2 * http(200, b'{"id": 41, "ticket_id": 6}').replace(b"Connection: close\r\n", b""))
        read_request(connection)

    with RawServer(answer_twice) as server:
        async with client(server) as desk:
            first = await desk.conversations.convert(41)
            second = await desk.conversations.convert(42)
    assert [(one.id, one.ticket_id) for one in (first, second)] == [(41, 6), (42, 7)]


async def test_a_door_slammed_on_the_request_is_an_outcome_that_is_looked_up() -> None:
    looks: list[str] = []

    def slam(connection: socket.socket) -> None:
        head = read_head(connection)
        if head.startswith("GET "):
            looks.append(head)
            connection.sendall(http(200, b'{"conversations": [{"id": 42, "ticket_id": 7}]}'))

    with RawServer(slam) as server:
        async with client(server) as desk:
            conversation = await desk.conversations.convert(42, message=LONG)
    assert (conversation.ticket_id, len(looks)) == (7, 1)


# What must stay here


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_never_followed(status: int) -> None:
    with RawServer(lambda connection: None) as elsewhere:
        answer = http(status, b"", f"Location: {elsewhere.url}/desk/api/v2/conversations.json")
        with HostileDesk(answer, listing=answer) as server:
            async with client(server) as desk:
                for call in (desk.conversations.convert, desk.conversations.get):
                    with pytest.raises(StatusError) as caught:
                        await call(42)
                    assert (caught.value.status_code, caught.value.attempts) == (status, 1)
                    assert not caught.value.maybe_applied
    assert (server.connections, elsewhere.connections) == (2, 0)


async def test_a_cookie_is_never_sent_back() -> None:
    with HostileDesk(http(200, CONVERTED, "Set-Cookie: a=b; Path=/", "Set-Cookie: c=d")) as server:
        # By address: a cookie of a host without a dot would not be sent back anyhow.
        async with AsyncDesk(server.url.replace("localhost", "127.0.0.1"), token="t", trust_env=False) as desk:
            await desk.conversations.convert(42)
            await desk.conversations.get(42)
    assert len(server.received) == 2
    assert not any("cookie" in request.head.lower() for request in server.received)


# What the caller gives

INJECTION = "x\r\nX-Injected: yes\r\n\r\nPOST /desk/api/v2/conversations/43/convert.json HTTP/1.1\r\n\r\n"


async def test_line_breaks_in_arguments_go_out_as_json() -> None:
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


async def test_line_breaks_in_a_query_go_out_percent_encoded() -> None:
    with HostileDesk() as server:
        async with client(server) as desk:
            page = desk.conversations.list(
                filter={INJECTION: {"$eq": INJECTION}}, order_by=INJECTION, order_mode=INJECTION
            )
            assert [conversation.id async for conversation in page] == [42]
    (request,) = server.received
    assert "X-Injected" in request.line
    assert "\r\nX-Injected" not in request.head


async def test_an_order_that_is_no_text_is_refused() -> None:
    with HostileDesk() as server:
        async with client(server) as desk:
            with pytest.raises(RequestError):
                await anext(aiter(desk.conversations.list(order_by="\ud800")))
    assert server.connections == 0


@pytest.mark.parametrize("token", ["", "a b", "a\r\nX-Injected: yes", "a\nb", "a\0", "\xe9", "a\x7f"], ids=repr)
async def test_a_token_that_could_inject_a_header_is_refused(token: str) -> None:
    with HostileDesk() as server:
        with pytest.raises(ConfigurationError):
            client(server, token=token)
        async with client(server, token=lambda: token) as desk:
            with pytest.raises(ConfigurationError) as caught:
                await desk.conversations.convert(42)
    assert (caught.value.maybe_applied, server.connections) == (False, 0)


NO_IDS: list[Any] = [True, False, 0, -1, 1.0, "1", b"1", None, [1], 10**30, 10**5000]


@pytest.mark.parametrize("conversation_id", NO_IDS, ids=lambda value: "huge" if value == 10**5000 else repr(value))
async def test_what_is_no_conversation_id_is_refused_before_anything_is_sent(conversation_id: Any) -> None:
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
