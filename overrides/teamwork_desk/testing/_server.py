"""The fake Desk behind a real socket: Starlette's requests and answers on uvicorn's HTTP protocol."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

import anyio
import httpx
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from ._answers import Answer, Silence

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from ._answers import Handler

# On, for 0 seconds: closing the socket resets the connection.
_LINGER = struct.pack("ii", 1, 0)


class _Connection(H11Protocol):
    """A connection that the application finds in its scope's state."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast("asyncio.Transport", transport))
        self.app_state["transport"] = transport


@asynccontextmanager
async def serve(handle: Handler, host: str, port: int) -> AsyncGenerator[str, None]:
    """Listen on a host and port; yield the URL."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            body = await request.body()
        except ClientDisconnect:
            return
        query = scope["query_string"].decode("latin-1")
        answer = handle(request.method, scope["path"], query, httpx.Headers(scope["headers"]), body)
        if isinstance(answer, Answer) and not answer.cut_off:
            await Response(answer.body, answer.status, dict(answer.headers))(scope, receive, send)
            return
        transport: asyncio.Transport = scope["state"]["transport"]
        if isinstance(answer, Answer):
            await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers.raw})
            half = answer.body[: len(answer.body) // 2]
            await send({"type": "http.response.body", "body": half, "more_body": True})
            # Not reset: the half must arrive.
            transport.close()
        elif answer is not Silence.TIMEOUT:
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
            transport.abort()
        # Returns once the connection is gone; uvicorn would take an earlier end for an error.
        await receive()

    # No uvicorn.Server: it takes over the signals and needs 0.2 s to stop.
    config = Config(app, http=_Connection, ws="none", lifespan="off", log_config=None, proxy_headers=False)
    config.load()
    state = ServerState()

    def connect() -> asyncio.Protocol:
        return _Connection(config=config, server_state=state, app_state={})

    server = await asyncio.get_running_loop().create_server(connect, host, port)
    try:
        bound: tuple[str, int] = server.sockets[0].getsockname()
        yield f"http://[{bound[0]}]:{bound[1]}" if ":" in bound[0] else f"http://{bound[0]}:{bound[1]}"
    finally:
        with anyio.CancelScope(shield=True):
            # asyncio leaks a connection that it is accepting when close() comes: a tick of the timer lets it come in,
            # and a turn of the loop lets it reach `state`.
            await asyncio.sleep(0.001)
            server.close()
            await asyncio.sleep(0)
            while state.connections or state.tasks:
                for connection in cast("set[H11Protocol]", state.connections):
                    connection.transport.abort()
                await asyncio.sleep(0)
            await server.wait_closed()
