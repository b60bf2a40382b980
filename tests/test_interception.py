"""Every request goes through `httpx.AsyncClient`, so that patches of the class see it. More tests: tests/tools."""

from __future__ import annotations

import json
import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import httpx
import pytest
from httpx_aiohttp import AiohttpTransport
from raw_server import RawServer, http, read_request

from teamwork_desk import AsyncDesk, DeskError, NotSentError, OutcomeUnknownError, RetryPolicy, StatusError
from teamwork_desk.testing import FakeDesk

ONCE = RetryPolicy(max_attempts=1, settle=())
OPTIONS: dict[str, Callable[[], dict[str, Any]]] = {
    "default": dict,
    "event hooks": lambda: {"event_hooks": {"request": []}},
    "own transport": lambda: {"transport": httpx.AsyncHTTPTransport()},
    "aiohttp": lambda: {"transport": AiohttpTransport()},
    "mounts": lambda: {"mounts": {"all://": httpx.AsyncHTTPTransport()}},
    "proxy": lambda: {"proxy": "http://127.0.0.1:9"},
}
each_configuration = pytest.mark.parametrize("configuration", OPTIONS)


@pytest.fixture(params=["client first", "patch first"])
def is_made_first(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "client first")


class Sent:
    """The requests that reached Desk."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def serve(self, connection: socket.socket) -> None:
        request = read_request(connection)
        self.lines.append(request.line)
        connection.sendall(http(200, json.dumps({"id": 1, "ticket_id": 1}).encode()))


@pytest.fixture
def server() -> Iterator[RawServer]:
    with RawServer(Sent().serve) as server:
        yield server


async def respond(client: object, request: httpx.Request, **_: object) -> httpx.Response:
    return httpx.Response(200, json={"id": 1, "ticket_id": 777})


class Replacement:
    """A class in the place of `httpx.AsyncClient`, as a test may write it."""

    def __init__(self, **options: object) -> None:
        self.options = options

    send = respond


async def convert(desk: AsyncDesk) -> int | None:
    return (await desk.conversations.convert(1, verify_first=False)).ticket_id


@each_configuration
@pytest.mark.parametrize("target", ["httpx.AsyncClient.send", "httpx.AsyncClient"])
async def test_what_replaces_the_class_or_its_method_gets_the_request(
    configuration: str, target: str, is_made_first: bool, server: RawServer
) -> None:
    def make() -> AsyncDesk:
        return AsyncDesk(server.url, token="t", retry=ONCE, **OPTIONS[configuration]())

    desk = make() if is_made_first else None
    with mock.patch(target, respond if target.endswith("send") else Replacement):
        desk = desk or make()
        assert await convert(desk) == 777
    await desk.aclose()
    assert not server.connections


@pytest.mark.parametrize("configuration", ["default", "own transport", "mounts"])
async def test_a_client_works_before_and_after_a_replacement(configuration: str, server: RawServer) -> None:
    async with AsyncDesk(server.url, token="t", trust_env=False, **OPTIONS[configuration]()) as desk:
        for ticket_id in (1, 777, 1, 777, 1):
            with mock.patch("httpx.AsyncClient", httpx.AsyncClient if ticket_id == 1 else Replacement):
                assert await convert(desk) == ticket_id
    assert server.connections == 3


class ReadsFirst:
    """An `httpx.AsyncClient` that reads a request synchronously before it sends it, as some recorders do."""

    def __init__(self) -> None:
        self.read: list[bytes] = []

    def patch(self) -> Any:
        send: Callable[..., Awaitable[httpx.Response]] = getattr(httpx.AsyncClient, "_send_single_request")  # noqa: B009 - pyright allows no private name

        async def read_and_send(client: httpx.AsyncClient, request: httpx.Request) -> httpx.Response:
            self.read.append(request.read())
            return await send(client, request)

        return mock.patch("httpx.AsyncClient._send_single_request", read_and_send)


async def test_a_request_can_be_read_before_it_is_sent(tmp_path: Path) -> None:
    fake, recorder, file = FakeDesk(), ReadsFirst(), tmp_path / "a.txt"
    file.write_bytes(b"x" * 600_000)
    async with AsyncDesk("https://acme.teamwork.com", token="t", transport=fake.transport) as desk:
        with recorder.patch():
            await desk.conversations.convert(1, subject="Refund", verify_first=False)
            await desk.files.upload(file)
            await desk.files.upload(b"y" * 5, filename="b.txt")
    assert b'"subject":"Refund"' in recorder.read[0]
    assert [file.content for file in fake.files.values()] == [b"x" * 600_000, b"y" * 5]


async def test_a_request_that_was_read_and_failed_may_have_been_sent() -> None:
    async def fail(client: httpx.AsyncClient, request: httpx.Request) -> httpx.Response:
        request.read()
        raise httpx.ConnectError("refused")

    looks = RetryPolicy(max_attempts=1, on_unknown="raise")
    async with AsyncDesk("https://acme.teamwork.com", token="t", retry=looks) as desk:
        with mock.patch("httpx.AsyncClient._send_single_request", fail), pytest.raises(OutcomeUnknownError):
            await convert(desk)


@pytest.mark.parametrize("location", ["http://[", "mailto:jo", "https://a b/", "/fine", "https://elsewhere.example/"])
@pytest.mark.parametrize("configuration", ["default", "own transport"])
async def test_a_redirect_is_a_response_whatever_its_location(location: str, configuration: str) -> None:
    """httpx raises an error for an invalid location, although it is not to follow the redirect."""

    def redirect(connection: socket.socket) -> None:
        lines.append(read_request(connection).line)
        connection.sendall(http(302, b"moved", f"Location: {location}"))

    lines: list[str] = []
    with RawServer(redirect) as server:
        async with AsyncDesk(server.url, token="t", retry=ONCE, trust_env=False, **OPTIONS[configuration]()) as desk:
            with pytest.raises(StatusError) as caught:
                await desk.conversations.get(1)
            with pytest.raises(DeskError) as unknown:
                await convert(desk)
    assert (caught.value.status_code, caught.value.headers["location"]) == (302, location)
    # A redirect does not say what became of the request, and the lookup is redirected, too.
    assert unknown.value.maybe_applied
    assert [line.split()[0] for line in lines] == ["GET", "POST", "GET"]


async def test_a_class_that_follows_redirects_by_default_does_not_make_the_client_follow_them() -> None:
    class Following(httpx.AsyncClient):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options, follow_redirects=True, auth=("user", "password"))

    def redirect(connection: socket.socket) -> None:
        heads.append(read_request(connection).head)
        connection.sendall(http(307, b"", "Location: /desk/api/v2/again.json"))

    heads: list[str] = []
    with RawServer(redirect) as server, mock.patch("httpx.AsyncClient", Following):
        async with AsyncDesk(server.url, token="s3cret", retry=ONCE, trust_env=False) as desk:
            with pytest.raises(StatusError):
                await desk.conversations.get(1)
    [head] = heads
    assert "Authorization: Bearer s3cret\r\n" in head


@pytest.mark.parametrize(("reads", "error"), [(True, OutcomeUnknownError), (False, NotSentError)])
async def test_a_mock_that_returns_no_response_of_httpx_leads_to_an_error_of_ours(
    reads: bool, error: type[DeskError], server: RawServer
) -> None:
    async def send(_: httpx.AsyncClient, request: httpx.Request, **__: object) -> mock.MagicMock:
        if reads and request.method == "POST":
            await request.aread()
        return mock.MagicMock(status_code=200)

    async with AsyncDesk(server.url, token="t", retry=ONCE) as desk:
        with mock.patch("httpx.AsyncClient.send", send), pytest.raises(error, match=r"expected an httpx\.Response"):
            await convert(desk)
    assert not server.connections
