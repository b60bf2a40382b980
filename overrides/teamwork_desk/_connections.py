"""The connections: a limited number of slots, each an httpx client with one connection.

httpx's own pool scans all its connections at every request, so that a call costs three times as much at 64 callers. A
call that is cancelled while the pool is full can also leave a connection in it that is never used again
(encode/httpcore#1093). A slot with one connection has nothing to scan, and it is discarded if its call does not end
with a response.
"""

from __future__ import annotations

import math
import ssl
import sys
import warnings
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, TypedDict, cast, get_type_hints
from urllib.request import getproxies

import anyio
import httpx

from ._environment import check_environment
from ._errors import ConfigurationError
from ._loops import CallInProgress, Change, ServedLoop
from ._slots import CLOSING, Pool, Slot, discard, keep_redirect
from ._transports import CallersTransports
from ._values import is_sequence, type_problem_of

DEFAULT_LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=100)


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


def connect(
    transport: httpx.AsyncBaseTransport | None, options: HttpxOptions, owner: str, loop: ServedLoop
) -> Connections:
    """Prepare the connections: a slot for each, or one shared slot if the transport has a pool of its own.

    Args:
        transport: The caller's own transport, if there is one.
        options: The options for httpx.
        owner: The repr that a warning about unclosed connections names.
        loop: The event loop that the client serves.

    Raises:
        ConfigurationError: An option is unknown, or an environment variable is invalid.
    """
    if unknown := options.keys() - HttpxOptions.__annotations__.keys():
        raise ConfigurationError(f"unknown options: {', '.join(sorted(unknown))}")
    _check_types({"transport": transport, **options})
    check_environment(options, transport)
    callers = CallersTransports(transport, options.get("mounts") or {})
    limits, trust_env = options.get("limits", DEFAULT_LIMITS), options.get("trust_env", True)
    hooks = options.get("event_hooks") or {}
    for_client: dict[str, Any] = {
        **options,
        **callers.options,
        "limits": limits,
        "event_hooks": {**hooks, "response": [*hooks.get("response", ()), keep_redirect]},
        # httpx would search the environment again for each slot, and a search takes longer than all the rest.
        "trust_env": trust_env and any(map(getproxies().get, ("http", "https", "all"))),
    }
    if transport is None or options.get("proxy"):
        # Create the SSL context once: reading the CA certificates takes longer than a call.
        context = httpx.create_ssl_context(options.get("verify", True), options.get("cert"), trust_env)
        for_client |= {"verify": context, "cert": None}
    if transport is not None or options.get("http2") or options.get("mounts"):
        return Connections(for_client, cap=None, owner=owner, loop=loop, callers=callers)
    cap = sys.maxsize if limits.max_connections is None else limits.max_connections
    keep = cap if limits.max_keepalive_connections is None else limits.max_keepalive_connections
    expiry = math.inf if limits.keepalive_expiry is None else limits.keepalive_expiry
    for_client["limits"] = httpx.Limits(
        max_connections=1, max_keepalive_connections=1, keepalive_expiry=limits.keepalive_expiry
    )
    return Connections(for_client, cap=cap, keep=keep, expiry=expiry, owner=owner, loop=loop, callers=callers)


class _Options(HttpxOptions, total=False):
    transport: httpx.AsyncBaseTransport | None


def _check_types(options: Mapping[str, Any]) -> None:
    """Reject options of another type than their type hints allow, because httpx would fail at the first call.

    Raises:
        ConfigurationError: An option has another type.
    """
    hints = get_type_hints(_Options)
    for name, value in options.items():
        if problem := type_problem_of(name, value, hints[name]):
            raise ConfigurationError(problem)
    for pattern, transport in cast("Mapping[object, object]", options.get("mounts") or {}).items():
        if not isinstance(pattern, str) or "://" not in pattern:
            raise ConfigurationError('mounts: expected patterns of URLs as keys, such as "https://"')
        if problem := type_problem_of("mounts", transport, hints["transport"]):
            raise ConfigurationError(problem)
    hooks = cast("Mapping[str, object]", options.get("event_hooks") or {})
    for name, functions in hooks.items():
        if not is_sequence(functions):
            raise ConfigurationError(
                f"event_hooks: expected lists of functions, got {type(functions).__name__} for {name}"
            )


class Connections:
    """Lends out slots.

    Args:
        for_client: The options of each slot's client.
        cap: The number of slots in use at once, each with one connection; None for one slot that all callers share,
            because its transport has a pool of its own.
        keep: The number of idle slots kept open.
        expiry: Seconds after which an idle slot is closed. This is checked when another slot becomes idle.
        owner: The repr that a warning about unclosed connections names.
        loop: The event loop that the client serves.
        callers: The transports of the caller.
    """

    def __init__(
        self,
        for_client: dict[str, Any],
        *,
        cap: int | None,
        keep: int = 0,
        expiry: float = math.inf,
        owner: str,
        loop: ServedLoop,
        callers: CallersTransports,
    ) -> None:
        self._for_client = for_client
        self._cap = cap
        self._callers = callers
        # Make the first slot now, so that httpx rejects invalid options here and not at the first call.
        self._pool = Pool(cap, deque([(self.new_slot(), math.inf)]), callers)
        self._earlier: list[Pool] = []
        self._inherited: list[object] = []
        self._keep = keep
        self._expiry = expiry
        self._owner = owner
        self._closed = False
        self.loop = loop
        loop.on_change(self._begin_anew)

    def __del__(self) -> None:
        if not getattr(self, "_closed", True):
            warnings.warn(f"unclosed {self._owner}", ResourceWarning, source=self, stacklevel=2)

    @asynccontextmanager
    async def borrow(self, patience: float | None, call: CallInProgress) -> AsyncGenerator[Slot]:
        """Lend a slot for one request.

        Args:
            patience: Seconds to wait for a free slot; None waits without a limit.
            call: The call that sends the request.

        Raises:
            ConfigurationError: The client is closed, or serves another event loop.
            httpx.PoolTimeout: No slot became free in time.
        """
        # The loop of this call may have stopped for a while, and the client may serve another loop now.
        if call not in self.loop.calls:
            self.loop.begin(call)
        pool = self._pool
        while self._earlier:
            await self._earlier.pop().aclose()
        if not pool.has_connections:
            await pool.begin(ends_with_loop=self._callers.can_be_reopened)
        if self._cap is None:
            self._check_usable()
            shared = next((slot for slot, _ in pool.idle if slot.kind is httpx.AsyncClient), None)
            if shared is None:
                shared = self.new_slot()
                pool.idle.append((shared, math.inf))
            yield shared
            return
        await _acquire(pool.free, patience)
        try:
            self._check_usable()
            slot = await self._take(pool.idle)
            try:
                yield slot
            except BaseException:
                await discard(slot)
                raise
            if self._closed or pool is not self._pool or len(pool.idle) >= self._keep:
                await discard(slot)
            else:
                await self._keep_idle(pool.idle, slot)
        finally:
            pool.free.release()

    def new_slot(self) -> Slot:
        """Return a slot that has no connection yet."""
        return Slot(self._for_client)

    async def _take(self, idle: deque[tuple[Slot, float]]) -> Slot:
        while idle:
            # Last in, first out: this connection was used most recently, and the others may expire.
            slot, _ = idle.pop()
            if slot.kind is httpx.AsyncClient:
                return slot
            await discard(slot)
        return self.new_slot()

    async def _keep_idle(self, idle: deque[tuple[Slot, float]], slot: Slot) -> None:
        now = anyio.current_time()
        idle.append((slot, now + self._expiry))
        while idle and idle[0][1] < now:
            await discard(idle.popleft()[0])

    def _check_usable(self) -> None:
        if self._closed:
            raise ConfigurationError("this AsyncDesk is closed")
        if self._inherited and not self._callers.survive_a_fork:
            raise ConfigurationError(
                "the connections of this transport belong to the parent process; create an AsyncDesk in each process"
            )

    def _begin_anew(self, change: Change) -> None:
        """Have no connection on a new event loop. Those of the earlier loop are closed before the next request."""
        earlier = self._pool
        self._pool = Pool(self._cap, deque(), self._callers)
        if earlier.has_connections and self._callers.can_be_reopened:
            self._earlier.append(earlier)
        else:
            # Nothing is known about the caller's transport, or there is no connection yet.
            self._pool.idle, self._pool.process = earlier.idle, earlier.process
            self._pool.has_connections = earlier.has_connections
        if change.in_child:
            # The parent uses these connections. Keep them, because their destructors could disturb its event loop.
            self._inherited += [*self._earlier, *self._callers.take_sessions()]

    async def aclose(self) -> None:
        """Close the idle connections. Those in use are closed when their call ends.

        Raises:
            ConfigurationError: The client serves another event loop, which is still running.
        """
        with suppress(RuntimeError):  # without an event loop, only a transport in memory can be closed
            self.loop.enter()
        self._closed = True
        while self._earlier:
            await self._earlier.pop().aclose()
        await self._pool.aclose()


async def _acquire(slots: anyio.Semaphore, patience: float | None) -> None:
    try:
        slots.acquire_nowait()
    except anyio.WouldBlock:
        with anyio.move_on_after(patience):
            await slots.acquire()
            return
        raise httpx.PoolTimeout("all connections were busy until the timeout") from None


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
            with anyio.move_on_after(CLOSING, shield=True):
                await self._stream.aclose()
