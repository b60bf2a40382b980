"""A server that knows no protocol: a function handles each connection in its own thread."""

from __future__ import annotations

import re
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self

import trustme
from attrs import field, frozen

PATIENCE = 20.0
"""Seconds until an idle connection is given up, so that a test that fails does not hang."""


@frozen
class Received:
    """A request as the server received it."""

    head: str
    body: bytes = field(repr=False)

    @property
    def line(self) -> str:
        return self.head.partition("\r\n")[0]


class RawServer(socketserver.ThreadingTCPServer):
    """Listens on a loopback port inside a `with` block, whose end waits for the connections to end.

    Args:
        serve: Handles a connection, which is closed when it returns. A client that hangs up is not an error.
        tls: The context for TLS on every connection. `serve` is not called if the handshake fails.
    """

    request_queue_size = 64

    def __init__(self, serve: Callable[[socket.socket], None], *, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), socketserver.BaseRequestHandler)
        self.connections = 0
        self.errors: list[BaseException] = []  # the end of the `with` block raises the first
        self.port = int(self.socket.getsockname()[1])
        self.url = f"http{'s' if tls else ''}://localhost:{self.port}"
        self._serve = serve
        self._tls = tls
        self._thread = threading.Thread(target=self.serve_forever, args=(0.002,))

    def finish_request(self, request: Any, client_address: object) -> None:
        connection: socket.socket = request
        self.connections += 1
        connection.settimeout(PATIENCE)
        try:
            if self._tls is None:
                self._serve(connection)
            else:
                with self._tls.wrap_socket(connection, server_side=True) as secure:
                    self._serve(secure)
        except (ConnectionError, ssl.SSLError):
            pass
        except BaseException as error:
            self.errors.append(error)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()
        if self.errors and error is None:
            raise self.errors[0]


def read_head(connection: socket.socket) -> str:
    """Read the head of a request, but not its body.

    Raises:
        ConnectionError: The client hung up instead.
    """
    head = bytearray()
    while not head.endswith(b"\r\n\r\n"):
        byte = connection.recv(1)
        if not byte:
            raise ConnectionError
        head += byte
    return head.decode("latin-1")


def read_request(connection: socket.socket) -> Received:
    """Read a whole request.

    Raises:
        ConnectionError: The client hung up instead.
    """
    head = read_head(connection)
    length = re.search(r"(?i)\r\ncontent-length: *(\d+)", head)
    body = bytearray()
    while length and len(body) < int(length[1]):
        received = connection.recv(65536)
        if not received:
            raise ConnectionError
        body += received
    return Received(head, bytes(body))


def send_all(connection: socket.socket, pieces: Iterable[bytes]) -> tuple[int, bool]:
    """Send until the client hangs up; return how many bytes it took, and whether it hung up before the end."""
    sent = 0
    try:
        for piece in pieces:
            connection.sendall(piece)
            sent += len(piece)
    except ConnectionError:
        return sent, True
    return sent, False


def hung_up(connection: socket.socket, within: float) -> bool:
    """Return whether the client hangs up within this many seconds."""
    connection.settimeout(within)
    try:
        return connection.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


def http(status: int | str, body: bytes = b"", *headers: str) -> bytes:
    """Build a response that has a length and closes the connection."""
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", "Connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def trust(context: ssl.SSLContext, ca: trustme.CA) -> ssl.SSLContext:
    """Make a context trust a CA, and return the context."""
    context.load_verify_locations(cadata=ca.cert_pem.bytes().decode())
    return context


def certify(context: ssl.SSLContext, ca: trustme.CA, name: str) -> ssl.SSLContext:
    """Give a context a certificate that is signed by a CA, and return the context."""
    with ca.issue_cert(name).private_key_and_cert_chain_pem.tempfile() as path:
        context.load_cert_chain(path)
    return context


def server_tls(ca: trustme.CA, name: str = "localhost") -> ssl.SSLContext:
    """Build a context for a server whose certificate is signed by a CA."""
    return certify(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ca, name)


def client_tls(ca: trustme.CA) -> ssl.SSLContext:
    """Build a context for a client that trusts this CA only."""
    return trust(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ca)
