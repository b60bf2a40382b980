"""The transports of a caller: which of them can be used on another event loop after they were closed."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

import httpx


class Borrowed(httpx.AsyncBaseTransport):
    """A caller's transport that stays open if the client that uses it is closed."""

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
        transports: The transports; None for a mount that has no transport.
    """

    def __init__(self, transports: Iterable[httpx.AsyncBaseTransport | None]) -> None:
        own = [transport for transport in transports if transport is not None]
        kind = getattr(sys.modules.get("httpx_aiohttp"), "AiohttpTransport", ())
        aiohttp: list[Any] = [transport for transport in own if isinstance(transport, kind)]
        httpx_own = [transport for transport in own if isinstance(transport, httpx.AsyncHTTPTransport)]
        self._sessions = [(each, each.client) for each in aiohttp if each.client is None or callable(each.client)]
        self.can_be_reopened: bool = len(self._sessions) + len(httpx_own) == len(own)
        self.survive_a_fork: bool = not httpx_own

    def take_sessions(self) -> list[Any]:
        """Let the transports of httpx-aiohttp make new sessions; return the sessions that they had."""
        sessions = [each.client for each, initial in self._sessions if each.client is not initial]
        for each, initial in self._sessions:
            each.client = initial
        return sessions
