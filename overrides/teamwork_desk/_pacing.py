"""The gate that keeps concurrent callers within the account's rate window."""

from __future__ import annotations

import math
import random
import time
from datetime import UTC, datetime

import anyio
import httpx
from attrs import frozen

from ._errors import DeadlineExceeded
from ._retry import http_date

_NAMES = (b"limit", b"remaining", b"reset")
UNTOLD = 10
"""Requests in flight at most until an answer tells the window."""
LONGEST_WINDOW = 120.0
"""Seconds; a window is documented to last 60, so a reset further away is nonsense and ignored."""
JITTER = 1.0
"""Seconds; the first caller after a reset waits up to this much longer, so that processes do not come all at once."""


@frozen(kw_only=True)
class RateLimit:
    """The account's rate window, as the last answer told it.

    Attributes:
        limit: Requests per window.
        remaining: Requests left in it.
        reset_at: When the next window begins, by Desk's clock.
    """

    limit: int
    remaining: int
    reset_at: datetime

    @classmethod
    def from_headers(cls, headers: httpx.Headers) -> RateLimit | None:
        """Read the `X-Rate-Limit-*` headers; None where they are missing or make no sense."""
        # One pass: httpx.Headers reads all of them again at every look-up.
        values = {name.lower(): value for name, value in headers.raw}
        try:
            limit, remaining, reset = (int(values[b"x-rate-limit-" + name]) for name in _NAMES)
            reset_at = datetime.fromtimestamp(reset, UTC)
        except (KeyError, ValueError, OverflowError, OSError):
            return None
        return None if limit < 1 or remaining < 0 else cls(limit=limit, remaining=remaining, reset_at=reset_at)

    def resets_in(self, headers: httpx.Headers) -> float | None:
        """Return the seconds to the reset, by the answer's own `Date`; None where they make no sense."""
        date = http_date(headers.get("date"))
        seconds = self.reset_at.timestamp() - (time.time() if date is None else date)
        return seconds if 0 < seconds <= LONGEST_WINDOW else None


class Pacer:
    """Lets a request start only where the window can take it.

    A request in flight may or may not be counted in the `remaining` that the last answer told, so it counts here too:
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
        self._answered = anyio.Event()

    async def enter(self, deadline: float) -> float:
        """Wait for a place, first come, first served, and take it.

        Args:
            deadline: when the call must end, by the event loop's clock.

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
        """Give the place back, and learn from the answer if there was one."""
        self._in_flight -= 1
        if headers is not None:
            self._observe(headers)
        if self._waiting:
            self._answered.set()
            self._answered = anyio.Event()

    def hold(self, seconds: float) -> None:
        """Let nobody start for a while: Desk asked for it."""
        self._held_until = max(self._held_until, anyio.current_time() + seconds)

    def _pause(self, now: float) -> float | None:
        """Return the seconds until there may be room: 0 where there is, None where only an answer makes some."""
        if now < self._held_until:
            return self._held_until - now
        if now < self._resets_at:
            return 0.0 if self._in_flight < self._remaining else self._resets_at - now
        return 0.0 if self._windowless or self._in_flight < UNTOLD else None

    def _opens_at(self) -> float:
        return max(self._held_until, self._resets_at if self._remaining <= 0 else -math.inf)

    def _check_fits(self, deadline: float) -> None:
        if self._opens_at() > deadline:
            raise DeadlineExceeded("Desk's rate window is used up, and opens again only after the deadline")

    async def _wait_for_room(self, deadline: float) -> None:
        # The clock is read once a round: a hold that ended between two readings would wait for an answer to nobody.
        while (pause := self._pause(anyio.current_time())) != 0:
            self._check_fits(deadline)
            with anyio.move_on_after(None if pause is None else pause + random.random() * JITTER):
                await self._answered.wait()

    def _observe(self, headers: httpx.Headers) -> None:
        told, known, now = RateLimit.from_headers(headers), self.rate_limit, anyio.current_time()
        if told and known and now < self._resets_at and told.reset_at <= known.reset_at:
            # Of the window that is known, or overtaken by an answer of it.
            if told.reset_at == known.reset_at and told.remaining < self._remaining:
                self._remaining, self.rate_limit = told.remaining, told
            return
        seconds = told.resets_in(headers) if told else None
        # A gateway's answer without a window does not open the gate of one that was told.
        self._windowless = seconds is None and known is None
        if told and seconds:
            self._remaining, self._resets_at, self.rate_limit = told.remaining, now + seconds, told
