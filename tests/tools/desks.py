"""What the tests of mocks and tracers share: a client in each configuration, and a Desk that must not be reached."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext
from typing import Any

import anyio
import httpx
import pytest
from httpx_aiohttp import AiohttpTransport
from raw_server import RawServer, Received, read_request

from teamwork_desk import AsyncDesk, RetryPolicy

TICKET = 777
UPLOADS = "https://uploads.example.net/form"
ONCE = RetryPolicy(max_attempts=1, settle=())


async def do_nothing(message: object) -> None:
    """Do nothing: an event hook."""


OPTIONS: dict[str, Callable[[str], dict[str, Any]]] = {
    "default": lambda url: {},
    "event hooks": lambda url: {"event_hooks": {"request": [do_nothing], "response": [do_nothing]}},
    "HTTP/2": lambda url: {"http2": True},
    "limits": lambda url: {"limits": httpx.Limits(max_connections=1, max_keepalive_connections=0)},
    "own transport": lambda url: {"transport": httpx.AsyncHTTPTransport()},
    "mounts": lambda url: {"mounts": {"all://": httpx.AsyncHTTPTransport()}},
    "proxy": lambda url: {"proxy": url},
    "aiohttp": lambda url: {"transport": AiohttpTransport()},
}
each_configuration = pytest.mark.parametrize("configuration", OPTIONS)
each_of_httpx = pytest.mark.parametrize("configuration", [name for name in OPTIONS if name != "aiohttp"])
"""The configurations that use httpx's own connections: some tools see no others, also of bare httpx."""
each_order = pytest.mark.parametrize("is_made_first", [True, False], ids=["client first", "tool first"])


class RecordingDesk(RawServer):
    """Converts every conversation into ticket 1, and keeps the requests."""

    def __init__(self) -> None:
        super().__init__(self._exchange)
        self.received: list[Received] = []

    def _exchange(self, connection: Any) -> None:
        while True:
            request = read_request(connection)
            self.received.append(request)
            status, body = response_to(*request.line.split()[:2], ticket_id=1, uploads=f"{self.url}/form")
            content = json.dumps(body).encode()
            connection.sendall(b"HTTP/1.1 %d OK\r\nContent-Length: %d\r\n" % (status, len(content)))
            connection.sendall(b"Content-Type: application/json\r\n\r\n" + content)

    def values_of(self, name: str) -> list[str]:
        """Return the values of a header, of all requests in their order."""
        found = [re.search(rf"(?im)^{re.escape(name)}: *(.*?)\r$", request.head) for request in self.received]
        return [match[1] for match in found if match]


def response_to(
    method: str, url: str, *, ticket_id: int = TICKET, uploads: str = UPLOADS
) -> tuple[int, dict[str, Any]]:
    """Return the status and the body of the response to a request: what a mock returns here."""
    conversation = {"id": 42, "ticket_id": ticket_id}
    if "/convert.json" in url:
        return 200, conversation
    if "/files/ref.json" in url:
        return 200, {"file": {"id": 5}, "params": {"key": "k"}, "url": uploads}
    if "/files/" in url:
        return 200, {"file": {"id": 5}}
    if url.endswith("/form"):
        return 201, {}
    return 200, {"conversations": [conversation]}


ROUTES = [
    ("POST", "/desk/api/v2/conversations/42/convert.json"),
    ("GET", "/desk/api/v2/conversations.json"),
    ("POST", "/desk/api/v2/files/ref.json"),
    ("POST", UPLOADS),
    ("PATCH", "/desk/api/v2/files/5.json"),
]
"""The requests of `use`: what mocks must respond to."""


def handle(request: httpx.Request) -> httpx.Response:
    """Respond to a request of httpx, as a mock."""
    status, body = response_to(request.method, str(request.url))
    return httpx.Response(status, json=body)


async def use(desk: AsyncDesk) -> int | None:
    """Convert, list and upload; return the ticket's id."""
    ticket_id = (await desk.conversations.convert(42, subject="Refund", verify_first=False)).ticket_id
    assert [found.ticket_id async for found in desk.conversations.list()] == [ticket_id]
    await desk.files.upload(b"content", filename="a.txt")
    return ticket_id


@asynccontextmanager
async def intercepted(
    configuration: str, tool: AbstractContextManager[object] | None = None, *, is_made_first: bool = True
) -> AsyncGenerator[AsyncDesk]:
    """Yield a client below a tool, and fail if anything reaches the server.

    Args:
        configuration: The client's configuration.
        tool: What intercepts the requests; None if it does so already.
        is_made_first: Whether the client is made before the tool begins.
    """
    tool = tool or nullcontext()
    with RecordingDesk() as server:
        desk = (
            AsyncDesk(server.url, token="t", retry=ONCE, **OPTIONS[configuration](server.url))
            if is_made_first
            else None
        )
        with tool:
            desk = desk or AsyncDesk(server.url, token="t", retry=ONCE, **OPTIONS[configuration](server.url))
            yield desk
            await desk.aclose()
        assert not server.connections


class Tracing:
    """Makes requests to a server, with clients that were made before a tracer patched httpx, and with new ones."""

    def __init__(self, server: RecordingDesk) -> None:
        self.server = server
        self.made = {name: self._make(name) for name in OPTIONS}

    def _make(self, configuration: str) -> AsyncDesk:
        options: dict[str, Any] = {"token": "t", "trust_env": False, **OPTIONS[configuration](self.server.url)}
        return AsyncDesk(self.server.url, retry=ONCE, **options)

    async def send_five_requests(self, configuration: str, *, is_made_first: bool) -> None:
        """Use a client. Afterwards, the server has only these requests."""
        self.server.received.clear()
        desk = self.made[configuration] if is_made_first else self._make(configuration)
        assert await use(desk) == 1
        if not is_made_first:
            await desk.aclose()
        assert len(self.server.received) == 5

    async def send_bare_request(self, configuration: str) -> None:
        """Send a request with httpx and the same options, in order to compare. Afterwards, the server has only this."""
        self.server.received.clear()
        async with httpx.AsyncClient(trust_env=False, **OPTIONS[configuration](self.server.url)) as client:
            await client.post(f"{self.server.url}/desk/api/v2/conversations/42/convert.json", json={})


def skip_aiohttp_on_trio(configuration: str, backend: str) -> None:
    if configuration == "aiohttp" and backend == "trio":
        pytest.skip("aiohttp runs on asyncio only")


@contextmanager
def tracing() -> Generator[Tracing]:
    """Serve, and make a client in each configuration."""
    with RecordingDesk() as server:
        clients = Tracing(server)
        yield clients
        for desk in clients.made.values():
            anyio.run(desk.aclose)
