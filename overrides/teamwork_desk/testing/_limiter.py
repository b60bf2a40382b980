"""How the fake Desk limits requests: the real Desk's way is not known, so there are several."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import deque
from typing import Literal, TypeAlias

LimiterName: TypeAlias = Literal["sliding log", "window", "seconds left", "silent"]


class Limiter(ABC):
    """Counts requests.

    Args:
        limit: Requests per period.
        period: Seconds.
    """

    def __init__(self, limit: int, period: float) -> None:
        self.limit = limit
        self.period = period

    @abstractmethod
    def accepts(self, now: float) -> bool:
        """Count a request, and return whether it is accepted."""

    @abstractmethod
    def is_used_up(self, now: float) -> bool:
        """Return whether the next request will be refused."""

    @abstractmethod
    def use_up(self, now: float) -> None:
        """Let the next requests be refused."""

    @abstractmethod
    def headers(self, now: float) -> dict[str, str]:
        """Return the headers that report the limit."""


class SlidingLog(Limiter):
    """Teamwork's own limiter: it counts the requests of the last period, also those that it refuses.

    Its `Reset` is the length of the period, always. Source: `ratelimit/ratelimiter.go` in Teamwork/middleware.
    """

    def __init__(self, limit: int, period: float) -> None:
        super().__init__(limit, period)
        self._log: deque[float] = deque()

    def _count(self, now: float) -> int:
        while self._log and self._log[0] <= now - self.period:
            self._log.popleft()
        return len(self._log)

    def accepts(self, now: float) -> bool:
        """Count a request, and return whether it is accepted."""
        self._log.append(now)
        return self._count(now) <= self.limit

    def is_used_up(self, now: float) -> bool:
        """Return whether the next request will be refused."""
        return self._count(now) >= self.limit

    def use_up(self, now: float) -> None:
        """Let the next requests be refused."""
        self._log.extend([now] * (self.limit - self._count(now)))

    def headers(self, now: float) -> dict[str, str]:
        """Return the headers that report the limit; `Remaining` may be negative."""
        return {
            "X-Rate-Limit-Limit": str(self.limit),
            "X-Rate-Limit-Remaining": str(self.limit - self._count(now)),
            "X-Rate-Limit-Reset": str(math.ceil(self.period)),
        }


class Window(Limiter):
    """A window that opens with the first request, and whose `Reset` is an epoch, as Desk's documentation calls it."""

    def __init__(self, limit: int, period: float) -> None:
        super().__init__(limit, period)
        self._end = -math.inf
        self._used = 0

    def accepts(self, now: float) -> bool:
        """Count a request, and return whether it is accepted."""
        self._open(now)
        if self._used >= self.limit:
            return False
        self._used += 1
        return True

    def _open(self, now: float) -> None:
        if now >= self._end:
            self._end, self._used = now + self.period, 0

    def is_used_up(self, now: float) -> bool:
        """Return whether the next request will be refused."""
        return now < self._end and self._used >= self.limit

    def use_up(self, now: float) -> None:
        """Let the next requests be refused."""
        self._open(now)
        self._used = self.limit

    def headers(self, now: float) -> dict[str, str]:
        """Return the headers that report the window."""
        is_open = now < self._end
        return {
            "X-Rate-Limit-Limit": str(self.limit),
            "X-Rate-Limit-Remaining": str(self.limit - (self._used if is_open else 0)),
            "X-Rate-Limit-Reset": self._reset(now, self._end if is_open else now + self.period),
        }

    def _reset(self, now: float, end: float) -> str:  # noqa: ARG002 - another window needs it
        return str(math.ceil(end))


class SecondsLeft(Window):
    """A window whose `Reset` is the number of seconds until it ends."""

    def _reset(self, now: float, end: float) -> str:
        return str(math.ceil(end - now))


class Silent(Window):
    """A window that no header reports."""

    def headers(self, now: float) -> dict[str, str]:  # noqa: ARG002 - there is nothing to report
        """Return no headers."""
        return {}


LIMITERS: dict[LimiterName, type[Limiter]] = {
    "sliding log": SlidingLog,
    "window": Window,
    "seconds left": SecondsLeft,
    "silent": Silent,
}
