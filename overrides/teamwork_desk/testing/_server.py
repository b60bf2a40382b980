"""FakeDesk as an HTTP server, with Starlette's requests and responses and uvicorn's HTTP protocol."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import cast

import anyio
import httpx
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from ._responses import FakeResponse, Handler, NoResponse

# The socket option SO_LINGER, switched on with 0 seconds. With it, closing a socket resets the connection.
_LINGER = struct.pack("ii", 1, 0)
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - listening on all addresses is the caller's choice
"""The loopback address for each address that stands for all addresses, to which not every machine can connect."""


class _Connection(H11Protocol):
    """A connection whose transport the application can reach, so that it can break the connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast("asyncio.Transport", transport))
        self.app_state["transport"] = transport


@asynccontextmanager
async def serve(handle: Handler, host: str, port: int) -> AsyncGenerator[str, None]:
    """Serve a handler over HTTP.

    Args:
        handle: The handler.
        host: The address to listen on.
        port: The port to listen on; 0 chooses a free port.

    Yields:
        The URL of the server. If it listens on all addresses, the URL has the loopback address.
    """

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            body = await request.body()
        except ClientDisconnect:
            # The request did not arrive as a whole, so there is nothing to handle.
            return
        query = scope["query_string"].decode("latin-1")
        response = handle(request.method, scope["path"], query, httpx.Headers(scope["headers"]), body)
        if isinstance(response, FakeResponse) and not response.cut_off:
            await Response(response.body, response.status, dict(response.headers))(scope, receive, send)
            return
        transport: asyncio.Transport = scope["state"]["transport"]
        if isinstance(response, FakeResponse):
            await send({"type": "http.response.start", "status": response.status, "headers": response.headers.raw})
            half = response.body[: len(response.body) // 2]
            await send({"type": "http.response.body", "body": half, "more_body": True})
            # Close the connection normally. A reset could discard the half of the body that must arrive.
            transport.close()
        elif response is not NoResponse.TIMEOUT:
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
            transport.abort()
        # Wait until the connection has ended. If the application returned earlier, uvicorn would see an incomplete
        # response and treat it as an error.
        await receive()

    # This does not use uvicorn.Server, because that replaces the signal handlers and takes 0.2 s to stop.
    config = Config(app, http=_Connection, ws="none", lifespan="off", log_config=None, proxy_headers=False)
    config.load()
    state = ServerState()

    def connect() -> asyncio.Protocol:
        return _Connection(config=config, server_state=state, app_state={})

    server = await asyncio.get_running_loop().create_server(connect, host, port)
    try:
        bound: tuple[str, int] = server.sockets[0].getsockname()
        address = _LOOPBACK.get(bound[0], bound[0])
        yield f"http://[{address}]:{bound[1]}" if ":" in address else f"http://{address}:{bound[1]}"
    finally:
        with anyio.CancelScope(shield=True):
            # asyncio leaks a connection that it is accepting while close() is called. So let the event loop wait for a
            # timer first, which accepts it, and run once more after close(), which adds it to `state`.
            await asyncio.sleep(0.001)
            server.close()
            await asyncio.sleep(0)
            while state.connections or state.tasks:
                for connection in cast("set[H11Protocol]", state.connections):
                    connection.transport.abort()
                await asyncio.sleep(0)
            await server.wait_closed()
