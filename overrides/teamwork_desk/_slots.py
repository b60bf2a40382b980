"""The slots of one event loop: each is an httpx transport or client, and they are closed when the loop ends."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

import anyio
import httpx
from attrs import frozen

CLOSING = 1.0
"""Seconds in which a connection must close after a failed or cancelled call; then it is dropped."""


@frozen
class Slot:
    """Sends requests, over one connection or over a transport's own pool."""

    send: Callable[[httpx.Request], Awaitable[httpx.Response]]
    aclose: Callable[[], Awaitable[None]]


def transport_slot(transport: httpx.AsyncBaseTransport) -> Slot:
    """Return a slot that uses a transport."""

    # Use the transport directly, because a client around it would make a call take a tenth longer.
    def send(request: httpx.Request) -> Awaitable[httpx.Response]:
        # Look the method up at each call, because instrumentation may replace it later.
        return transport.handle_async_request(request)

    return Slot(send, transport.aclose)


def client_slot(client: httpx.AsyncClient) -> Slot:
    """Return a slot that uses a client, because an option needs what only a client has."""
    return Slot(partial(client.send, stream=True), client.aclose)


async def discard(slot: Slot) -> None:
    """Close a slot, also if the call that used it was cancelled. What its transport raises then is ignored."""
    with anyio.move_on_after(CLOSING, shield=True), suppress(Exception):
        await slot.aclose()


class Pool:
    """The slots of one event loop. When the loop ends, the idle slots are closed.

    asyncio and Trio close every suspended async generator when a loop ends, and at that time the loop can still close
    connections. So the pool has such a generator.

    Args:
        cap: The number of slots in use at once; None if all callers share one slot.
        idle: The idle slots, or the shared slot.
        take_sessions: Takes the sessions from the caller's transports, which are closed, too.

    Attributes:
        has_connections: Whether there may be connections.
        process: The process to which they belong.
    """

    def __init__(
        self, cap: int | None, idle: deque[tuple[Slot, float]], take_sessions: Callable[[], list[Any]]
    ) -> None:
        self.free: anyio.Semaphore = anyio.Semaphore(cap or 0, fast_acquire=True)
        self.idle = idle
        self.has_connections = False
        self.process = 0
        self._take_sessions = take_sessions
        self._guard: AsyncGenerator[None] | None = None

    async def begin(self, *, ends_with_loop: bool) -> None:
        """Expect connections from now on.

        Args:
            ends_with_loop: Whether the idle slots are closed when the loop ends that runs now.
        """
        self.has_connections, self.process = True, os.getpid()
        if ends_with_loop:
            self._guard = self._wait_for_end()
            await anext(self._guard)

    async def _wait_for_end(self) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            # If they are closed already, a later loop may use the caller's transport now.
            if self.has_connections:
                with anyio.move_on_after(CLOSING, shield=True):
                    await self._close_idle()

    async def aclose(self) -> None:
        """Close the idle slots, and ignore what their transports raise."""
        await self._close_idle()
        guard, self._guard = self._guard, None
        if guard is not None:
            await guard.aclose()

    async def _close_idle(self) -> None:
        # Closing a connection would also end it for the parent process, which still uses it.
        if self.has_connections and self.process != os.getpid():
            return
        sessions = self._take_sessions()
        for slot in [slot for slot, _ in self.idle]:
            with suppress(Exception):
                await slot.aclose()
        for session in sessions:
            with suppress(Exception):
                await session.close()
        self.idle.clear()
        self.has_connections = False
