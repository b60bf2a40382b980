"""Time for tests: the event loop's, which may be virtual."""

from __future__ import annotations

import asyncio
import math
import selectors
import time

import anyio


class LoopClock:
    """Tells the epoch seconds, and moves with the event loop's own clock, so that it is virtual where that is."""

    def __init__(self) -> None:
        self._now: float | None = None
        self._loop_time = 0.0

    def __call__(self) -> float:
        """Return the seconds since the epoch; outside of an event loop, those of the last call in one."""
        try:
            loop_time = anyio.current_time()
        except RuntimeError:  # no event loop runs
            return time.time() if self._now is None else self._now
        if self._now is None:
            self._now = time.time()
        else:
            # Another loop's clock may start anywhere, and time never runs backwards.
            self._now += max(0.0, loop_time - self._loop_time)
        self._loop_time = loop_time
        return self._now


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An asyncio event loop in which waiting takes no time.

    Its clock starts at 0 and stands still while anything is ready to run. When everything waits, it jumps to the next
    timer. So a test with a rate window of 60 seconds ends at once, and the same way each time.

    It is for tests whose input and output is in memory, as `FakeDesk.transport` is. What a socket or a thread does
    takes no time by this clock, so a timeout beside it strikes at once. Trio has a clock of its own for this:
    `trio.testing.MockClock(autojump_threshold=0)`.
    """

    def __init__(self) -> None:
        self._jumps = _JumpingSelector()
        super().__init__(self._jumps)

    def time(self) -> float:
        """Return the virtual seconds since the loop was made."""
        now = self._jumps.now
        # asyncio runs what is due before now and a nanosecond, which after half a year of floats is now: move on.
        if now + 1e-9 == now:
            self._jumps.now = math.nextafter(now, math.inf)
        return now

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ARG002, ASYNC109 - asyncio's
        """Wait for the threads without a timeout: they do not live by this clock."""
        await super().shutdown_default_executor()


class _JumpingSelector(selectors.DefaultSelector):
    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Look who is ready; where the loop would wait for its next timer, move the clock there instead."""
        events = super().select(timeout and 0)
        if not events and timeout:
            self.now += timeout
        return events
