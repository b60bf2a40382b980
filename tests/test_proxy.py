"""Proxies from the environment or from an option: they are used, and a proxy of HTTPS never sees the token."""

from __future__ import annotations

import selectors
import socket
import ssl
from collections.abc import Generator
from contextlib import contextmanager

import httpx
import pytest
import trustme
from raw_server import RawServer, Received, client_tls, http, read_head, read_request, server_tls

from teamwork_desk import AsyncDesk, NotSentError, RetryPolicy

TOKEN = "very-secret-token"
POLICY = RetryPolicy(max_attempts=2, backoff_base=0, settle=())
CONVERTED = http(200, b'{"id": 42, "ticket_id": 7}')


class Desk(RawServer):
    """Responds to every request with a converted conversation."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(self._exchange, tls=tls)
        self.received: list[Received] = []

    def _exchange(self, connection: socket.socket) -> None:
        self.received.append(read_request(connection))
        connection.sendall(CONVERTED)


class Proxy(RawServer):
    """Opens a tunnel for CONNECT, responds to every other request itself, and keeps every byte that it sees.

    Args:
        response: If it is not empty, the proxy sends it for every request and opens no tunnel.
    """

    def __init__(self, response: bytes = b"") -> None:
        super().__init__(self._exchange)
        self.seen = bytearray()
        self._response = response

    def _exchange(self, connection: socket.socket) -> None:
        head = read_head(connection)
        self.seen += head.encode("latin-1")
        method, target, _ = head.split(" ", 2)
        if self._response:
            connection.sendall(self._response)
        elif method == "CONNECT":
            host, _, port = target.rpartition(":")
            with socket.create_connection((host, int(port))) as upstream:
                connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                self._relay(connection, upstream)
        else:
            connection.sendall(CONVERTED)

    def _relay(self, client: socket.socket, server: socket.socket) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(client, selectors.EVENT_READ, server)
            selector.register(server, selectors.EVENT_READ, client)
            while True:
                for key, _ in selector.select():
                    source = client if key.data is server else server
                    received = source.recv(65536)
                    if not received:
                        return
                    self.seen += received
                    key.data.sendall(received)


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(autouse=True)
def no_proxy_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@contextmanager
def secure_desk_and_proxy(ca: trustme.CA) -> Generator[tuple[Desk, Proxy]]:
    with Desk(server_tls(ca)) as server, Proxy() as proxy:
        yield server, proxy


async def test_the_variable_https_proxy_is_used_and_the_proxy_sees_neither_token_nor_path(
    ca: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    with secure_desk_and_proxy(ca) as (server, proxy):
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        async with AsyncDesk(server.url, token=TOKEN, verify=client_tls(ca), verify_first=False) as desk:
            conversation = await desk.conversations.convert(42, subject="very private")
    assert conversation.ticket_id == 7
    assert server.received[0].line == "POST /desk/api/v2/conversations/42/convert.json HTTP/1.1"
    assert f"Bearer {TOKEN}" in server.received[0].head
    assert proxy.seen.startswith(b"CONNECT localhost:%d HTTP/1.1\r\n" % server.port)
    assert len(proxy.seen) > 1000, "the encrypted bytes of the tunnel are included"
    for secret in (TOKEN.encode(), b"Bearer", b"conversations", b"very private"):
        assert secret not in proxy.seen


@pytest.mark.parametrize("kind", [str, httpx.URL, httpx.Proxy])
async def test_the_option_proxy_is_used_and_the_proxy_does_not_see_the_token(
    ca: trustme.CA, kind: type[str] | type[httpx.URL] | type[httpx.Proxy]
) -> None:
    with secure_desk_and_proxy(ca) as (server, proxy):
        async with AsyncDesk(
            server.url, token=TOKEN, verify=client_tls(ca), proxy=kind(proxy.url), verify_first=False
        ) as desk:
            conversation = await desk.conversations.convert(42)
    assert (conversation.ticket_id, proxy.connections) == (7, 1)
    assert TOKEN.encode() not in proxy.seen


async def test_the_option_mounts_is_used(ca: trustme.CA) -> None:
    with secure_desk_and_proxy(ca) as (server, proxy):
        mounts = {"https://": httpx.AsyncHTTPTransport(proxy=proxy.url, verify=client_tls(ca))}
        async with AsyncDesk(server.url, token=TOKEN, mounts=mounts, verify_first=False) as desk:
            conversation = await desk.conversations.convert(42)
    assert (conversation.ticket_id, proxy.connections) == (7, 1)
    assert TOKEN.encode() not in proxy.seen


@pytest.mark.parametrize("no_proxy", ["localhost", "*", "example.com, localhost"])
async def test_a_host_in_the_variable_no_proxy_is_reached_directly(
    ca: trustme.CA, monkeypatch: pytest.MonkeyPatch, no_proxy: str
) -> None:
    with secure_desk_and_proxy(ca) as (server, proxy):
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", no_proxy)
        async with AsyncDesk(server.url, token=TOKEN, verify=client_tls(ca), verify_first=False) as desk:
            conversation = await desk.conversations.convert(42)
    assert (conversation.ticket_id, proxy.connections) == (7, 0)


async def test_the_environment_is_ignored_without_trust_env(ca: trustme.CA, monkeypatch: pytest.MonkeyPatch) -> None:
    with secure_desk_and_proxy(ca) as (server, proxy):
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        async with AsyncDesk(
            server.url, token=TOKEN, verify=client_tls(ca), trust_env=False, verify_first=False
        ) as desk:
            conversation = await desk.conversations.convert(42)
    assert (conversation.ticket_id, proxy.connections) == (7, 0)


async def test_the_variable_http_proxy_is_used_for_plain_http_to_a_loopback_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Desk() as server, Proxy() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        async with AsyncDesk(server.url, token=TOKEN, verify_first=False) as desk:
            conversation = await desk.conversations.convert(42)
    assert (conversation.ticket_id, server.connections) == (7, 0)
    assert proxy.seen.startswith(f"POST {server.url}/desk/api/v2/conversations/42/convert.json HTTP/1.1\r\n".encode())


async def test_the_servers_certificate_is_verified_through_the_tunnel(ca: trustme.CA) -> None:
    with secure_desk_and_proxy(ca) as (server, proxy):
        context = client_tls(trustme.CA())
        async with AsyncDesk(
            server.url, token=TOKEN, verify=context, proxy=proxy.url, retry=POLICY, verify_first=False
        ) as desk:
            with pytest.raises(NotSentError, match="certificate verify failed") as caught:
                await desk.conversations.convert(42)
    assert (caught.value.attempts, caught.value.maybe_applied) == (1, False)
    assert (proxy.connections, server.received) == (1, [])


@pytest.mark.parametrize("status", [403, 407, 502])
async def test_nothing_is_sent_if_the_proxy_refuses_to_connect(ca: trustme.CA, status: int) -> None:
    with Desk(server_tls(ca)) as server, Proxy(http(status)) as proxy:
        url = proxy.url.replace("://", "://worker:proxy-password@")
        async with AsyncDesk(
            server.url, token=TOKEN, verify=client_tls(ca), proxy=url, retry=POLICY, verify_first=False
        ) as desk:
            with pytest.raises(NotSentError, match=str(status)) as caught:
                await desk.conversations.convert(42)
    assert (caught.value.attempts, caught.value.maybe_applied) == (2, False)
    assert "proxy-password" not in f"{caught.value!r} {caught.value.__cause__!r}"
    assert (proxy.connections, server.connections) == (2, 0)
    assert TOKEN.encode() not in proxy.seen


async def test_nothing_is_sent_if_the_proxy_closes_the_connection(ca: trustme.CA) -> None:
    with Desk(server_tls(ca)) as server, RawServer(lambda connection: None) as proxy:
        async with AsyncDesk(
            server.url, token=TOKEN, verify=client_tls(ca), proxy=proxy.url, retry=POLICY, verify_first=False
        ) as desk:
            with pytest.raises(NotSentError) as caught:
                await desk.conversations.convert(42)
    assert (caught.value.attempts, caught.value.maybe_applied, server.connections) == (2, False, 0)
