"""The slots of one event loop: each is an httpx client, and they are closed when the loop ends."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any, cast

import anyio
import httpx

from ._transports import CallersTransports

CLOSING = 1.0
"""Seconds in which a connection must close after a failed or cancelled call; then it is dropped."""


class Slot:
    """Sends requests through an `httpx.AsyncClient`, over a connection of its own or over a transport's pool.

    Tracing, recorders and mocks patch a method of `httpx.AsyncClient`, or replace the class. So every request goes
    through a client, and its class and its methods are looked up when they are used.

    Args:
        options: The options of the client.

    Attributes:
        kind: What `httpx.AsyncClient` was when the client was made.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        self.kind = httpx.AsyncClient
        self._client = self.kind(**options)
        with suppress(AttributeError):  # a replacement of the class may have no cookies
            # Desk's API needs no cookies, and reading them would take a thirtieth of a call.
            setattr(self._client.cookies, "extract_cookies", _ignore)  # noqa: B010 - mypy allows no new method

    async def send(self, request: httpx.Request) -> httpx.Response:
        """Send a request, and return the response with an unread body. A redirect is a response like any other."""
        try:
            response = cast("object", await self._client.send(request, stream=True, auth=None, follow_redirects=False))
        except (httpx.InvalidURL, httpx.RemoteProtocolError):
            redirect: httpx.Response | None = request.extensions.get(_REDIRECT)
            if redirect is None:
                raise
            return redirect
        if not isinstance(response, httpx.Response):
            raise httpx.RemoteProtocolError(f"expected an httpx.Response of a mock, got {type(response).__name__}")
        return response

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()


_REDIRECT = "teamwork_desk.redirect"


async def keep_redirect(response: httpx.Response) -> None:
    """Keep a redirect, as an event hook: httpx raises an error if its URL is invalid, although it is not followed."""
    if response.has_redirect_location:
        response.request.extensions[_REDIRECT] = response


def _ignore(response: httpx.Response) -> None:
    """Ignore the cookies of a response."""


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
        callers: The caller's transports, which are closed, too.

    Attributes:
        has_connections: Whether there may be connections.
        process: The process to which they belong.
    """

    def __init__(self, cap: int | None, idle: deque[tuple[Slot, float]], callers: CallersTransports) -> None:
        self.free: anyio.Semaphore = anyio.Semaphore(cap or 0, fast_acquire=True)
        self.idle = idle
        self.has_connections = False
        self.process = 0
        self._callers = callers
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
        if self.idle:
            for slot in [slot for slot, _ in self.idle]:
                with suppress(Exception):
                    await slot.aclose()
            await self._callers.aclose()
        self.idle.clear()
        self.has_connections = False
