"""The gate that keeps concurrent callers within the account's rate limit, whatever the way in which Desk counts."""

from __future__ import annotations

import heapq
import math
import time
from bisect import bisect_left, insort
from copy import copy
from itertools import count

import anyio
import httpx
from attrs import define, field

from ._errors import DeadlineExceeded
from ._headers import RateLimit, RateReport, retry_after

FIRST_REQUESTS = 10
"""Requests in flight at most, until the first response shows how Desk limits them."""
DOCUMENTED_LIMIT = 120
"""Requests per period, as documented. It holds until a response reports a limit, or until requests are refused."""
PERIOD = 60.0
"""Seconds that a request counts where no response says how long. The limit is documented per minute."""
SMALLEST_SHARE = 0.15
"""The part of the free places that a client takes at once, until the responses show that nobody else uses them."""
CAUTION = 0.7
"""After a 429, a client takes this part of its share at once, because all clients of the account start together."""
STEP = 0.1
"""Beside others, a client takes this much more after a period without a 429, so that none keeps a small share."""
ALONE = 0.9
"""If this part of the counted requests is a client's own, nobody else uses the account."""
LONGEST_CLOSURE = 120.0
"""Seconds for which a 429 stops all calls of a client at most: a mistaken `Retry-After` must not stop it for years."""
RESOLUTION = 1.0
"""Seconds. The headers report whole seconds, so a reset that was rounded down is this much later than reported."""
SHORTEST_ROUNDING = 0.001
"""Seconds. The same moment may differ by this much on two clocks."""
LONGEST_MARGIN = 5.0
"""Seconds. A request starts only if this much, or twice the usual response time, is left before its deadline."""

NO_ROOM = "the rate limit leaves no room for this request before its deadline"


@define(order=True)
class _Waiter:
    """A request that waits for its turn: the oldest call comes first."""

    call: int
    wake: anyio.Event = field(factory=anyio.Event, order=False)


class Pacer:
    """Lets a request start only if Desk will accept it.

    The pacer keeps its own log: a request holds one of `limit` places until the reset that its own response reported,
    because then the server stops to count it. This is so if the reset is an epoch, the seconds until a window ends, or
    the length of a sliding log. The requests that the server has counted beyond this log are those of other clients.
    """

    def __init__(self) -> None:
        self.rate_limit: RateLimit | None = None
        self._limit = DOCUMENTED_LIMIT
        self._is_reported = False
        self._has_response = False
        self._in_flight = 0
        # When each place becomes free, and whether its request was accepted.
        self._places: list[tuple[float, bool]] = []
        self._accepted = 0
        self._longest_reset = 0.0
        self._shortest_reset = math.inf
        self._rounding = SHORTEST_ROUNDING
        # How many requests may try to exceed a limit that is only guessed.
        self._excess = 1
        self._others = 0
        self._others_until = -math.inf
        self._share = SMALLEST_SHARE
        self._closed_until = -math.inf
        self._judged_at = -math.inf
        self._response_time = 0.0
        self._waiters: list[_Waiter] = []  # sorted
        self._calls = count()

    def moved(self, seconds: float) -> Pacer:
        """Return a copy with the same log for another event loop, whose clock is later by these seconds."""
        other = copy(self)
        other._waiters, other._in_flight = [], 0
        other._places = [(until + seconds, is_accepted) for until, is_accepted in self._places]
        other._others_until += seconds
        other._closed_until += seconds
        other._judged_at += seconds
        for _ in range(self._in_flight):  # the server may count requests that were abandoned
            other._hold(anyio.current_time() + (self._longest_reset or PERIOD), is_accepted=True)
        return other

    def number_call(self) -> int:
        """Return the number of a new call: the older a call is, the smaller is its number."""
        return next(self._calls)

    async def enter(
        self, call: int, deadline: float, *, longest_margin: float = LONGEST_MARGIN, places: int = 1
    ) -> float:
        """Wait until a request may start, the oldest call first.

        Args:
            call: The number of the call.
            deadline: When the call must end, by the event loop's clock.
            longest_margin: The most seconds that must be left for the request, however slow Desk usually is.
            places: How many places the request holds until it ends. A lookup before a conversion holds the place of the
                conversion, too: otherwise the lookups of many calls would use the window up, and no call could convert.

        Returns:
            The seconds waited.

        Raises:
            DeadlineExceeded: There will be no place before the deadline.
        """
        now = anyio.current_time()
        if now + self._margin(longest_margin) > deadline:
            raise DeadlineExceeded("too little time is left for this request before its deadline", retry_after=0.0)
        if not self._waiters and self._has_room(now, places):
            self._in_flight += places
            return 0.0
        waiter = _Waiter(call)
        insort(self._waiters, waiter)
        try:
            await self._wait_for_turn(waiter, deadline, longest_margin, places)
        finally:
            self._waiters.remove(waiter)
            self._wake_first()
        self._in_flight += places
        return anyio.current_time() - now

    def _margin(self, longest: float) -> float:
        """Return the seconds that a request needs: if it starts later, its outcome may be unknown at the deadline."""
        return min(2 * self._response_time, LONGEST_MARGIN, longest)

    def expect_turn(self, call: int, deadline: float, longest_margin: float) -> None:
        """Raise `DeadlineExceeded` if a call cannot have its turn in time. The arguments are those of `enter`."""
        now = anyio.current_time()
        turn = self._turn_of(_Waiter(call), now)
        if turn + self._margin(longest_margin) > deadline:
            raise DeadlineExceeded(NO_ROOM, retry_after=turn - now)

    def hurry(self, call: int, older: int) -> int:
        """Let a call have its turn as early as an older call that waits for its result; return its new number."""
        if older < call:
            index = bisect_left(self._waiters, _Waiter(call))
            if index < len(self._waiters) and self._waiters[index].call == call:
                waiter = self._waiters.pop(index)
                waiter.call = older
                insort(self._waiters, waiter)
                self._wake_first()
        return min(call, older)

    async def _wait_for_turn(self, waiter: _Waiter, deadline: float, longest_margin: float, places: int) -> None:
        while True:
            # Read the clock once: if a place became free between two reads, nobody would wake this waiter.
            now = anyio.current_time()
            is_first = self._waiters[0] is waiter
            turn = self._turn_of(waiter, now)
            if turn + self._margin(longest_margin) > deadline:
                raise DeadlineExceeded(NO_ROOM, retry_after=turn - now)
            if is_first and self._has_room(now, places):
                return
            waiter.wake = anyio.Event()
            with anyio.move_on_after(self._opens_in(now) if is_first else None):
                await waiter.wake.wait()

    def leave(self, response: httpx.Response | None, *, started: float | None, places: int = 1) -> None:
        """Record how a request ended: its place stays taken for as long as the server counts the request.

        Args:
            response: The response; None if none came.
            started: When the request was sent, by the event loop's clock; None if it was not sent.
            places: How many places the request held until now.
        """
        self._in_flight -= places
        if started is not None:
            now = anyio.current_time()
            if response is None:
                self._hold(now + (self._longest_reset or PERIOD), is_accepted=True)
            else:
                # The slowest response counts, and is forgotten slowly.
                self._response_time = max(now - started, 0.9 * self._response_time)
                self._learn(response, now)
        self._wake_first()

    def _learn(self, response: httpx.Response, now: float) -> None:
        report = RateReport.from_headers(response.headers, time.time())
        is_accepted = response.status_code != 429
        was_open, reported = now >= self._closed_until, self._is_reported and self._limit
        is_excess = self._free(now) <= 0
        self._has_response = True
        if report is None:
            self._hold(now + PERIOD, is_accepted=is_accepted)
            if not self._is_reported:
                self._guess_limit(is_accepted=is_accepted, is_excess=is_excess)
        else:
            seconds = PERIOD if report.seconds is None else report.seconds + self._rounding
            self._is_reported = True
            self._limit = report.limit
            self.rate_limit = report.rate_limit
            self._longest_reset = max(seconds, self._longest_reset)
            self._shortest_reset = min(seconds, self._shortest_reset)
            self._hold(now + seconds, is_accepted=is_accepted)
            self._count_others(report, now, now + seconds)
        if not is_accepted:
            self._close(now, retry_after(response.headers, time.time()))
        if (was_open and not is_accepted) or (self._is_reported and self._limit != reported):
            # Let every waiter find out whether it can still have its turn before its deadline.
            for waiter in self._waiters:
                waiter.wake.set()

    def _hold(self, until: float, *, is_accepted: bool) -> None:
        heapq.heappush(self._places, (until, is_accepted))
        self._accepted += is_accepted

    def _count_others(self, report: RateReport, now: float, until: float) -> None:
        """Take what the server has counted beyond this log for the requests of other clients."""
        ours = len(self._places)
        # A request in flight may be counted already, so this is the smallest number.
        self._others = min(max(0, report.used - ours - self._in_flight), report.limit)
        self._others_until = until
        if now - self._judged_at > self._longest_reset and report.limit / 2 <= report.used >= ours:
            # Without a refusal for a period: take what is surely not used by others, or a step more beside others.
            own = ours / report.used
            self._share = max(self._share, own) if own > ALONE else min(1.0, self._share + STEP)
            self._judged_at = self._judged_at if own > ALONE else now

    def _guess_limit(self, *, is_accepted: bool, is_excess: bool) -> None:
        """Guess that the server accepts as many requests in each period as in the last one."""
        if is_accepted:
            self._share = min(1.0, self._share + 1 / self._limit)
            self._limit = max(self._limit, self._accepted)
            self._excess += is_excess
        else:
            self._limit = max(1, self._accepted)
            self._excess = 1

    def _close(self, now: float, pause: float | None) -> None:
        """Let nothing start until there can be room: a request that is refused may be counted, too."""
        if self._is_reported:
            # A reset that is always the same is the length of a sliding log, which is exact.
            if self._longest_reset - self._shortest_reset > RESOLUTION:
                self._rounding = RESOLUTION
            self._judged_at = now
            self._share = max(SMALLEST_SHARE, min(self._share, CAUTION * self._accepted / self._limit))
        if pause is None:
            # The refused request has a place, too. Its reset may have been rounded down to 0.
            pause = max(RESOLUTION, self._places[0][0] - now)
        self._closed_until = max(self._closed_until, now + min(pause, LONGEST_CLOSURE))

    def _free(self, now: float) -> int:
        """Return how many places are free, including those of the requests in flight."""
        while self._places and self._places[0][0] <= now:
            self._accepted -= heapq.heappop(self._places)[1]
        if self._others_until <= now:
            self._others = 0
        return self._limit - len(self._places) - self._others

    def _has_room(self, now: float, places: int) -> bool:
        if now < self._closed_until:
            return False
        if not self._has_response:
            return self._in_flight < FIRST_REQUESTS
        free: float = self._free(now)
        places = min(places, self._limit)
        if self._share < 1:
            free = min(free, max(places, free * self._share))
        # Nobody knows whether a guessed limit is too small, so a few requests at a time try to exceed it.
        return self._in_flight + places <= free or (not self._is_reported and self._in_flight < self._excess)

    def _opens_in(self, now: float) -> float | None:
        """Return the seconds until there may be room; None if only a response can make room."""
        if now < self._closed_until:
            return self._closed_until - now
        times = [until for until, _ in self._places[:1]] + [self._others_until] * bool(self._others)
        return max(0.0, min(times) - now) if times else None

    def _turn_of(self, waiter: _Waiter, now: float) -> float:
        """Return the earliest time at which a waiter can have its turn."""
        opens_at = max(now, self._closed_until)
        free = self._free(now)
        if not self._is_reported:
            return opens_at  # A guessed limit does not prove that there is no room.
        before = bisect_left(self._waiters, waiter) - max(0, free - self._in_flight)
        if before < 0:
            return opens_at
        times = sorted([until for until, _ in self._places] + [self._others_until] * self._others)
        periods, place = divmod(before, self._limit)
        # A place that a request in flight holds becomes free at an unknown time, so count it as free now.
        return max(opens_at, (times[place] if place < len(times) else now) + periods * self._longest_reset)

    def _wake_first(self) -> None:
        if self._waiters:
            self._waiters[0].wake.set()
