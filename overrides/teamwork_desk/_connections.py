"""The connections: a cap of slots, each an httpx transport or client of one connection.

httpx's own pool scans itself at every request, so that a call's cost triples at 64 callers, and a call cancelled while
the pool is full can leave a connection in it that nobody can use again (encode/httpcore#1093). A slot of one
connection has nothing to scan, and is thrown away when its call does not end in an answer.
"""

from __future__ import annotations

import math
import sys
import warnings
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from http.cookiejar import CookieJar
from typing import TYPE_CHECKING, Any, TypedDict
from urllib.request import getproxies

import anyio
import httpx
from attrs import frozen

from ._errors import ConfigurationError

if TYPE_CHECKING:
    import ssl

DEFAULT_LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=100)

_CLOSING = 1.0
"""Seconds to close a connection politely after a cancellation, before it is dropped."""


class HttpxOptions(TypedDict, total=False):
    """What goes to httpx unchanged: https://www.python-httpx.org/api/#asyncclient."""

    proxy: httpx.URL | str | httpx.Proxy | None
    verify: ssl.SSLContext | str | bool
    cert: str | tuple[str, str] | tuple[str, str, str] | None
    http1: bool
    http2: bool
    limits: httpx.Limits
    mounts: Mapping[str, httpx.AsyncBaseTransport | None] | None
    trust_env: bool
    event_hooks: Mapping[str, list[Callable[..., Any]]] | None


@frozen
class Slot:
    """What carries a request."""

    send: Callable[[httpx.Request], Awaitable[httpx.Response]]
    aclose: Callable[[], Awaitable[None]]


def _transport_slot(transport: httpx.AsyncBaseTransport) -> Slot:
    # Without the client around it, which costs a tenth of a call and serves its own options only.
    def send(request: httpx.Request) -> Awaitable[httpx.Response]:
        # Looked up each time: what instruments httpx replaces it, perhaps later.
        return transport.handle_async_request(request)

    return Slot(send, transport.aclose)


def _client_slot(client: httpx.AsyncClient) -> Slot:
    return Slot(partial(client.send, stream=True), client.aclose)


class _NoCookies(CookieJar):
    """Keeps none: Desk's API needs none, and reading them costs a hundredth of a call."""

    def extract_cookies(self, response: object, request: object) -> None:
        """Leave the answer's cookies where they are."""


def connect(transport: httpx.AsyncBaseTransport | None, options: HttpxOptions, owner: str) -> Connections:
    """Prepare the connections: one slot each, or one slot for all where the transport pools by itself."""
    if unknown := options.keys() - HttpxOptions.__annotations__.keys():
        raise ConfigurationError(f"unknown options: {', '.join(sorted(unknown))}")
    needs_client = any(options.get(name) for name in ("event_hooks", "mounts", "proxy"))
    if transport is not None and not needs_client:
        return Connections(lambda: _transport_slot(transport), cap=None, owner=owner)
    for_client: dict[str, Any] = {"limits": DEFAULT_LIMITS, **options, "cookies": _NoCookies()}
    if transport is not None or options.get("http2") or options.get("mounts"):
        make = partial(httpx.AsyncClient, transport=transport, **for_client)
        return Connections(lambda: _client_slot(make()), cap=None, owner=owner)
    limits, trust_env = for_client["limits"], options.get("trust_env", True)
    cap = sys.maxsize if limits.max_connections is None else limits.max_connections
    keep = cap if limits.max_keepalive_connections is None else limits.max_keepalive_connections
    expiry = math.inf if limits.keepalive_expiry is None else limits.keepalive_expiry
    one = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=limits.keepalive_expiry)
    # Made once: reading the CA certificates takes longer than a call.
    verify = httpx.create_ssl_context(options.get("verify", True), options.get("cert"), trust_env)
    if needs_client or (trust_env and any(map(getproxies().get, ("http", "https", "all")))):
        make = partial(httpx.AsyncClient, **{**for_client, "limits": one, "verify": verify, "cert": None})
        return Connections(lambda: _client_slot(make()), cap=cap, keep=keep, expiry=expiry, owner=owner)
    make_transport = partial(httpx.AsyncHTTPTransport, verify, http1=options.get("http1", True), limits=one)
    return Connections(lambda: _transport_slot(make_transport()), cap=cap, keep=keep, expiry=expiry, owner=owner)


class Connections:
    """Lends out slots.

    Args:
        make_slot: Builds a slot.
        cap: Slots lent out at once, each with one connection; None for one that all share, where the transport does
            its own pooling.
        keep: Idle slots kept open.
        expiry: Seconds after which an idle slot is closed, when another one comes back.
        owner: The repr of what warns when it was never closed.
    """

    def __init__(
        self, make_slot: Callable[[], Slot], *, cap: int | None, keep: int = 0, expiry: float = math.inf, owner: str
    ) -> None:
        self._make_slot = make_slot
        first = make_slot()  # so that options httpx refuses are refused here, not at the first call
        self._shared = first if cap is None else None
        self._slots = anyio.Semaphore(cap or 0, fast_acquire=True)
        self._idle: deque[tuple[Slot, float]] = deque([] if cap is None else [(first, math.inf)])
        self._keep = keep
        self._expiry = expiry
        self._owner = owner
        self._closed = False

    def __del__(self) -> None:
        if not getattr(self, "_closed", True):
            warnings.warn(f"unclosed {self._owner}", ResourceWarning, source=self, stacklevel=2)

    @asynccontextmanager
    async def borrow(self, patience: float | None) -> AsyncGenerator[Slot]:
        """Lend a slot for one request.

        Args:
            patience: Seconds to wait for a free one.

        Raises:
            ConfigurationError: Everything is closed.
            httpx.PoolTimeout: None became free in time.
        """
        if self._shared is not None:
            self._check_open()
            yield self._shared
            return
        await self._acquire(patience)
        try:
            self._check_open()
            # Last in, first out: the warmest connection, and the others may expire.
            slot = self._idle.pop()[0] if self._idle else self._make_slot()
            try:
                yield slot
            except BaseException:
                await _discard(slot)
                raise
            if self._closed or len(self._idle) >= self._keep:
                await _discard(slot)
            else:
                await self._keep_idle(slot)
        finally:
            self._slots.release()

    async def _keep_idle(self, slot: Slot) -> None:
        now = anyio.current_time()
        self._idle.append((slot, now + self._expiry))
        while self._idle and self._idle[0][1] < now:
            await _discard(self._idle.popleft()[0])

    def _check_open(self) -> None:
        if self._closed:
            raise ConfigurationError("this AsyncDesk is closed")

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
        if self._shared is not None:
            await self._shared.aclose()
        while self._idle:
            await self._idle.pop()[0].aclose()


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


async def _discard(slot: Slot) -> None:
    with anyio.move_on_after(_CLOSING, shield=True):
        await slot.aclose()
