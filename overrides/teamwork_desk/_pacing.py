"""The gate that keeps concurrent callers within the account's rate window."""

from __future__ import annotations

import math
import random

import anyio
import httpx

from ._errors import DeadlineExceeded
from ._headers import RateLimit

FIRST_REQUESTS = 10
"""The most requests in flight until the first response reports the rate window."""
JITTER = 1.0
"""Seconds. After a reset, the first caller waits up to this much longer, so that processes do not all start at once."""


class Pacer:
    """Lets a request start only if the rate window has room for it.

    The `remaining` of the last response may or may not count the requests in flight, so the pacer counts them itself:
    at most `remaining` requests are in flight.
    """

    def __init__(self) -> None:
        self.rate_limit: RateLimit | None = None
        self._remaining = 0
        self._resets_at = -math.inf
        self._held_until = -math.inf
        self._windowless = False
        self._in_flight = 0
        self._waiting = 0
        self._turnstile = anyio.Lock()
        self._response_came = anyio.Event()

    async def enter(self, deadline: float) -> float:
        """Wait for room in the rate window, first come, first served, and take a place.

        Args:
            deadline: When the call must end, by the event loop's clock.

        Returns:
            The seconds waited.

        Raises:
            DeadlineExceeded: The window does not reset before the deadline.
        """
        waited = 0.0
        if self._waiting or self._pause(anyio.current_time()) != 0:
            self._check_fits(deadline)
            began = anyio.current_time()
            self._waiting += 1
            try:
                async with self._turnstile:
                    await self._wait_for_room(deadline)
            finally:
                self._waiting -= 1
            waited = anyio.current_time() - began
        self._in_flight += 1
        return waited

    def leave(self, headers: httpx.Headers | None) -> None:
        """Give the place back, and read the rate window from the response's headers.

        Args:
            headers: The headers; None if no response came.
        """
        self._in_flight -= 1
        if headers is not None:
            self._observe(headers)
        if self._waiting:
            self._response_came.set()
            self._response_came = anyio.Event()

    def hold(self, seconds: float) -> None:
        """Let no request start for this many seconds, because Desk asked for it."""
        self._held_until = max(self._held_until, anyio.current_time() + seconds)

    def _pause(self, now: float) -> float | None:
        """Return the seconds until there may be room: 0 if there is room now, None if only a response can make room."""
        if now < self._held_until:
            return self._held_until - now
        if now < self._resets_at:
            return 0.0 if self._in_flight < self._remaining else self._resets_at - now
        return 0.0 if self._windowless or self._in_flight < FIRST_REQUESTS else None

    def _opens_at(self) -> float:
        return max(self._held_until, self._resets_at if self._remaining <= 0 else -math.inf)

    def _check_fits(self, deadline: float) -> None:
        if self._opens_at() > deadline:
            raise DeadlineExceeded("the rate window is used up, and it resets only after the deadline")

    async def _wait_for_room(self, deadline: float) -> None:
        # Read the clock once per loop: if a hold expired between two reads, the loop would wait for a response that
        # never comes.
        while (pause := self._pause(anyio.current_time())) != 0:
            self._check_fits(deadline)
            with anyio.move_on_after(None if pause is None else pause + random.random() * JITTER):
                await self._response_came.wait()

    def _observe(self, headers: httpx.Headers) -> None:
        new, known, now = RateLimit.from_headers(headers), self.rate_limit, anyio.current_time()
        if new and known and now < self._resets_at and new.reset_at <= known.reset_at:
            # The same window, or a late response from an older one.
            if new.reset_at == known.reset_at and new.remaining < self._remaining:
                self._remaining, self.rate_limit = new.remaining, new
            return
        seconds = new.resets_in(headers) if new else None
        # If a window was reported before, a gateway's response that reports no window does not lift the limit.
        self._windowless = seconds is None and known is None
        if new and seconds:
            self._remaining, self._resets_at, self.rate_limit = new.remaining, now + seconds, new
