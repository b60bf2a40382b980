"""The transports of a caller: which of them can be used on another event loop after they were closed."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import httpx


class Borrowed(httpx.AsyncBaseTransport):
    """A caller's transport that stays open if a client that uses it is closed."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request over the caller's transport."""
        return await self._transport.handle_async_request(request)


class CallersTransports:
    """The transports that a caller has passed.

    httpx's transport opens new connections after it was closed. That of httpx-aiohttp keeps its closed session, but it
    makes a new session if its attribute `client` has the value from its constructor. About other transports nothing is
    known, so they are closed only with the client.

    Args:
        transport: The transport; None if there is none.
        mounts: The transports for patterns of URLs; None for a pattern without a transport.

    Attributes:
        options: The transports as options of an `httpx.AsyncClient`, which may be closed without them.
    """

    def __init__(
        self, transport: httpx.AsyncBaseTransport | None, mounts: Mapping[str, httpx.AsyncBaseTransport | None]
    ) -> None:
        self._own = [each for each in (transport, *mounts.values()) if each is not None]
        self.options: dict[str, Any] = {
            "transport": None if transport is None else Borrowed(transport),
            "mounts": {pattern: each and Borrowed(each) for pattern, each in mounts.items()},
        }
        kind = getattr(sys.modules.get("httpx_aiohttp"), "AiohttpTransport", ())
        aiohttp: list[Any] = [each for each in self._own if isinstance(each, kind)]
        httpx_own = [each for each in self._own if isinstance(each, httpx.AsyncHTTPTransport)]
        self._sessions = [(each, each.client) for each in aiohttp if each.client is None or callable(each.client)]
        self.can_be_reopened: bool = len(self._sessions) + len(httpx_own) == len(self._own)
        self.survive_a_fork: bool = not httpx_own

    def take_sessions(self) -> list[Any]:
        """Let the transports of httpx-aiohttp make new sessions; return the sessions that they had."""
        sessions = [each.client for each, initial in self._sessions if each.client is not initial]
        for each, initial in self._sessions:
            each.client = initial
        return sessions

    async def aclose(self) -> None:
        """Close the transports, and ignore what they raise."""
        # Take the sessions first: while they close, other calls may begin with new sessions.
        sessions = self.take_sessions()
        for close in [*(each.aclose for each in self._own), *(session.close for session in sessions)]:
            with suppress(Exception):
                await close()
