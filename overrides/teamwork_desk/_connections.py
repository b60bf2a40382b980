"""The connections: a limited number of slots, each an httpx transport or client with one connection.

httpx's own pool scans all its connections at every request, so that a call costs three times as much at 64 callers. A
call that is cancelled while the pool is full can also leave a connection in it that is never used again
(encode/httpcore#1093). A slot with one connection has nothing to scan, and it is discarded if its call does not end
with a response.
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
"""Seconds in which a connection must close after a failed or cancelled call; then it is dropped."""


class HttpxOptions(TypedDict, total=False):
    """The options that are passed to httpx unchanged: https://www.python-httpx.org/api/#asyncclient."""

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
    """Sends requests, over one connection or over a transport's own pool."""

    send: Callable[[httpx.Request], Awaitable[httpx.Response]]
    aclose: Callable[[], Awaitable[None]]


def _transport_slot(transport: httpx.AsyncBaseTransport) -> Slot:
    # Use the transport directly, because a client around it would make a call take a tenth longer.
    def send(request: httpx.Request) -> Awaitable[httpx.Response]:
        # Look the method up at each call, because instrumentation may replace it later.
        return transport.handle_async_request(request)

    return Slot(send, transport.aclose)


def _client_slot(client: httpx.AsyncClient) -> Slot:
    return Slot(partial(client.send, stream=True), client.aclose)


class _NoCookies(CookieJar):
    """A jar that stays empty: Desk's API needs no cookies, and reading them takes a hundredth of a call."""

    def extract_cookies(self, response: object, request: object) -> None:
        """Ignore the response's cookies."""


def connect(transport: httpx.AsyncBaseTransport | None, options: HttpxOptions, owner: str) -> Connections:
    """Prepare the connections: a slot for each, or one shared slot if the transport has a pool of its own.

    Args:
        transport: The caller's own transport, if there is one.
        options: The options for httpx.
        owner: The repr that a warning about unclosed connections names.

    Raises:
        ConfigurationError: An option is unknown.
    """
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
    # Create the SSL context once: reading the CA certificates takes longer than a call.
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
        cap: The number of slots in use at once, each with one connection; None for one slot that all callers share,
            because its transport has a pool of its own.
        keep: The number of idle slots kept open.
        expiry: Seconds after which an idle slot is closed. This is checked when another slot becomes idle.
        owner: The repr that a warning about unclosed connections names.
    """

    def __init__(
        self, make_slot: Callable[[], Slot], *, cap: int | None, keep: int = 0, expiry: float = math.inf, owner: str
    ) -> None:
        self._make_slot = make_slot
        # Make the first slot now, so that httpx rejects invalid options here and not at the first call.
        first = make_slot()
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
            patience: Seconds to wait for a free slot; None waits without a limit.

        Raises:
            ConfigurationError: The client is closed.
            httpx.PoolTimeout: No slot became free in time.
        """
        if self._shared is not None:
            self._check_open()
            yield self._shared
            return
        await self._acquire(patience)
        try:
            self._check_open()
            # Last in, first out: this connection was used most recently, and the others may expire.
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
            raise httpx.PoolTimeout("all connections were busy until the timeout") from None

    async def aclose(self) -> None:
        """Close the idle connections. Those in use are closed when their call ends."""
        self._closed = True
        if self._shared is not None:
            await self._shared.aclose()
        while self._idle:
            await self._idle.pop()[0].aclose()


class Handshake:
    """Holds a TCP connection until its TLS handshake ends, because httpcore leaks it if the handshake is cancelled."""

    def __init__(self) -> None:
        self._stream: Any = None

    def extensions(self, origin: str) -> dict[str, Any]:
        """Return httpx's extensions for a request that needs this, because its connection uses TLS."""
        return {"trace": self.trace} if origin.startswith("https:") else {}

    async def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Record an event. httpx's `trace` extension calls this."""
        if event.endswith(".connect_tcp.complete"):
            self._stream = info["return_value"]
        elif event.endswith(".start_tls.complete"):
            self._stream = None

    async def abandon(self) -> None:
        """Close a TCP connection whose TLS handshake did not end."""
        if self._stream is not None:
            with anyio.move_on_after(_CLOSING, shield=True):
                await self._stream.aclose()


async def _discard(slot: Slot) -> None:
    with anyio.move_on_after(_CLOSING, shield=True):
        await slot.aclose()
