"""A server that sends the same bytes for every request, except for the conversation's id, as fast as asyncio can."""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from email.utils import formatdate

_CONVERSATION = re.compile(rb"conversations/([0-9]{8})/convert")
_LENGTH = re.compile(rb"(?i)content-length: *(\d+)")


class FixedResponse(asyncio.Protocol):
    """Sends the same bytes for each request on a connection, with the id of the request's conversation."""

    def __init__(self, response: bytes) -> None:
        self._response = response
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Send a response for each request that has arrived completely."""
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(self._buffer, 0, end)
            size = end + 4 + (int(length[1]) if length else 0)
            if b"chunked" in self._buffer[:end]:
                if not self._buffer.endswith(b"0\r\n\r\n"):
                    return
                size = len(self._buffer)
            if len(self._buffer) < size:
                return
            conversation = _CONVERSATION.search(self._buffer, 0, end)
            self._buffer = self._buffer[size:]
            if self._transport:
                response = self._response
                self._transport.write(response.replace(b"10000000", conversation[1]) if conversation else response)


async def serve(body: bytes) -> None:
    """Serve on a free loopback port, and print the port."""
    head = (
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        f"Date: {formatdate(usegmt=True)}\r\nX-Rate-Limit-Limit: 100000000\r\nX-Rate-Limit-Remaining: 99999999\r\n"
        f"X-Rate-Limit-Reset: {int(time.time()) + 60}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    response = head.encode() + body
    server = await asyncio.get_running_loop().create_server(
        lambda: FixedResponse(response), "127.0.0.1", 0, backlog=4096
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(json.dumps(json.load(sys.stdin)).encode()))
