"""The connections: a cap of slots, each an httpx client of one connection.

httpx's own pool scans itself at every request, so that a call's cost triples at 64 callers, and a call cancelled while
the pool is full can leave a connection in it that nobody can use again (encode/httpcore#1093). A client of one
connection has nothing to scan, and is thrown away when its call does not end in an answer.
"""

from __future__ import annotations

import warnings
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx

from ._errors import ConfigurationError

_CLOSING = 1.0
"""Seconds to close a connection politely after a cancellation, before it is dropped."""


class Connections:
    """Lends out httpx clients.

    Args:
        make_client: Builds a client.
        cap: Clients lent out at once, each with one connection; None for one client that all share, where the
            transport does its own pooling.
        keep: Idle clients kept open.
        owner: The repr of what warns when it was never closed.
    """

    def __init__(self, make_client: Callable[[], httpx.AsyncClient], *, cap: int | None, keep: int, owner: str) -> None:
        self._make_client = make_client
        first = make_client()  # so that options httpx refuses are refused here, not at the first call
        self._shared = first if cap is None else None
        self._slots = anyio.Semaphore(cap or 0, fast_acquire=True)
        self._idle: list[httpx.AsyncClient] = [] if cap is None else [first]
        self._keep = keep
        self._owner = owner
        self._closed = False

    def __del__(self) -> None:
        if not getattr(self, "_closed", True):
            warnings.warn(f"unclosed {self._owner}", ResourceWarning, source=self, stacklevel=2)

    @asynccontextmanager
    async def borrow(self, patience: float | None) -> AsyncGenerator[httpx.AsyncClient]:
        """Lend a client for one call.

        Args:
            patience: Seconds to wait for a free one.

        Raises:
            ConfigurationError: Everything is closed.
            httpx.PoolTimeout: None became free in time.
        """
        if self._closed:
            raise ConfigurationError("this AsyncDesk is closed")
        if self._shared is not None:
            yield self._shared
            return
        await self._acquire(patience)
        try:
            # Last in, first out: the warmest connection, and the others may expire.
            client = self._idle.pop() if self._idle else self._make_client()
            try:
                yield client
            except BaseException:
                await _discard(client)
                raise
            if self._closed or len(self._idle) >= self._keep:
                await _discard(client)
            else:
                self._idle.append(client)
        finally:
            self._slots.release()

    async def _acquire(self, patience: float | None) -> None:
        try:
            self._slots.acquire_nowait()
        except anyio.WouldBlock:
            with anyio.move_on_after(patience):
                await self._slots.acquire()
                return
            raise httpx.PoolTimeout("every connection is busy, and none became free in time") from None

    async def aclose(self) -> None:
        """Close every connection; those lent out close when their call ends."""
        self._closed = True
        clients = [self._shared] if self._shared is not None else self._idle
        self._idle = []
        for client in clients:
            await client.aclose()


class Handshake:
    """Notes a TCP connection until its TLS handshake is done: httpcore forgets one that is cancelled in between."""

    def __init__(self) -> None:
        self._stream: Any = None

    async def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Take note of an event; httpx's `trace` extension calls this."""
        if event.endswith(".connect_tcp.complete"):
            self._stream = info["return_value"]
        elif event.endswith(".start_tls.complete"):
            self._stream = None

    async def abandon(self) -> None:
        """Close what never became a connection."""
        if self._stream is not None:
            with anyio.move_on_after(_CLOSING, shield=True):
                await self._stream.aclose()


async def _discard(client: httpx.AsyncClient) -> None:
    with anyio.move_on_after(_CLOSING, shield=True):
        await client.aclose()
