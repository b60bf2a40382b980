"""TLS: the server proves who it is before the client sends a request."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import pytest
import trustme
from raw_server import (
    PATIENCE,
    RawServer,
    Received,
    certify,
    client_tls,
    http,
    hung_up,
    read_request,
    server_tls,
    trust,
)
from virtual_time import in_time_that_leaps, leaping

from teamwork_desk import AsyncDesk, DeadlineExceeded, DeskError, NotSentError, RetryPolicy

POLICY = RetryPolicy(max_attempts=3, backoff_base=0, settle=())


class SecureDesk(RawServer):
    """Responds to every request over TLS with a converted conversation."""

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        super().__init__(self._exchange, tls=tls)
        self.url = f"https://localhost:{self.port}"
        self.received: list[Received] = []

    def _exchange(self, connection: socket.socket) -> None:
        self.received.append(read_request(connection))
        connection.sendall(http(200, b'{"id": 42, "ticket_id": 7}'))


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def mutual_tls(ca: trustme.CA) -> ssl.SSLContext:
    """Return a server's context that requires a client certificate."""
    context = trust(server_tls(ca), ca)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


async def test_a_certificate_of_an_unknown_ca_is_rejected_by_default_without_a_retry(ca: trustme.CA) -> None:
    with SecureDesk(server_tls(ca)) as server:
        async with AsyncDesk(server.url, token="t", retry=POLICY, verify_first=False) as desk:
            with pytest.raises(NotSentError, match="certificate verify failed") as caught:
                await desk.conversations.convert(42)
    assert (caught.value.attempts, caught.value.maybe_applied) == (1, False)
    assert (server.connections, server.received) == (1, [])


async def test_a_certificate_for_another_host_is_rejected_without_a_retry(ca: trustme.CA) -> None:
    with SecureDesk(server_tls(ca, "desk.example.com")) as server:
        async with AsyncDesk(server.url, token="t", retry=POLICY, verify=client_tls(ca), verify_first=False) as desk:
            with pytest.raises(NotSentError, match="Hostname mismatch") as caught:
                await desk.conversations.convert(42)
    assert (caught.value.attempts, caught.value.maybe_applied) == (1, False)
    assert (server.connections, server.received) == (1, [])


async def test_a_private_ca_can_be_trusted_with_the_option_verify(ca: trustme.CA) -> None:
    with SecureDesk(server_tls(ca)) as server:
        async with AsyncDesk(server.url, token="t", verify=client_tls(ca), verify_first=False) as desk:
            conversation = await desk.conversations.convert(42)
    assert conversation.ticket_id == 7
    assert len(server.received) == 1


async def test_a_private_ca_can_be_trusted_with_an_environment_variable(
    ca: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    with SecureDesk(server_tls(ca)) as server:
        async with AsyncDesk(server.url, token="t", verify_first=False) as desk:
            assert (await desk.conversations.convert(42)).ticket_id == 7
        async with AsyncDesk(server.url, token="t", retry=POLICY, trust_env=False, verify_first=False) as desk:
            with pytest.raises(NotSentError):
                await desk.conversations.convert(42)
    assert len(server.received) == 1


async def test_a_client_certificate_is_sent_to_a_server_that_requires_it(
    ca: trustme.CA, mutual_tls: ssl.SSLContext
) -> None:
    context = certify(client_tls(ca), ca, "worker@example.com")
    with SecureDesk(mutual_tls) as server:
        async with AsyncDesk(server.url, token="t", verify=context, verify_first=False) as desk:
            conversation = await desk.conversations.convert(42)
    assert conversation.ticket_id == 7


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_missing_client_certificate_raises_a_desk_error(
    ca: trustme.CA, mutual_tls: ssl.SSLContext, version: ssl.TLSVersion
) -> None:
    context = client_tls(ca)
    context.maximum_version = version
    with SecureDesk(mutual_tls) as server:
        async with AsyncDesk(server.url, token="t", retry=POLICY, verify=context, verify_first=False) as desk:
            # With TLS 1.3 the rejection may arrive after the request was sent, and then the outcome is unknown.
            with pytest.raises(DeskError):
                await desk.conversations.convert(42)
    assert server.received == []


async def test_a_server_that_speaks_plain_http_instead_of_tls_raises_a_not_sent_error(ca: trustme.CA) -> None:
    def respond_in_plain_http(connection: socket.socket) -> None:
        connection.recv(1)
        connection.sendall(http(400, b"speak HTTP"))

    with RawServer(respond_in_plain_http) as server:
        url = server.url.replace("http", "https")
        async with AsyncDesk(url, token="t", retry=POLICY, verify=client_tls(ca), verify_first=False) as desk:
            with pytest.raises(NotSentError, match="SSL") as caught:
                await desk.conversations.convert(42)
    assert (caught.value.attempts, caught.value.maybe_applied) == (3, False)


async def test_plain_http_to_a_server_that_speaks_tls_raises_a_desk_error(ca: trustme.CA) -> None:
    with SecureDesk(server_tls(ca)) as server:
        async with AsyncDesk(server.url.replace("https", "http"), token="t", retry=POLICY, verify_first=False) as desk:
            with pytest.raises(DeskError) as caught:
                await desk.conversations.convert(42)
    assert (caught.value.attempts, caught.value.maybe_applied) == (1, True)
    assert server.received == []


@in_time_that_leaps
async def test_a_handshake_that_never_finishes_ends_at_the_deadline_with_nothing_sent(ca: trustme.CA) -> None:
    hellos: list[bytes] = []

    def never_respond(connection: socket.socket) -> None:
        hellos.append(connection.recv(65536))
        assert hung_up(connection, within=PATIENCE)

    with RawServer(never_respond) as server:
        url = server.url.replace("http", "https")
        async with (
            AsyncDesk(url, token="t", retry=POLICY, verify=client_tls(ca), deadline=10, verify_first=False) as desk,
            leaping(10, when=lambda: hellos),
        ):
            with pytest.raises(DeadlineExceeded) as caught:
                await desk.conversations.convert(42)
    assert not caught.value.maybe_applied
    assert len(hellos) == 1
