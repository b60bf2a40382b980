"""Time for tests: a clock that follows the event loop, and an event loop with virtual time."""

from __future__ import annotations

import asyncio
import math
import selectors
import time

import anyio


class LoopClock:
    """A clock that starts at the real time and then moves with the clock of the event loop.

    If the event loop has virtual time, this clock has virtual time, too.
    """

    def __init__(self) -> None:
        self._now: float | None = None
        self._loop_time = 0.0

    def __call__(self) -> float:
        """Return the seconds since the epoch. Outside of an event loop, the clock stands still."""
        try:
            loop_time = anyio.current_time()
        except RuntimeError:  # no event loop runs
            return time.time() if self._now is None else self._now
        if self._now is None:
            self._now = time.time()
        else:
            # The clock of another event loop may start at a lower value, and time must not run backwards.
            self._now += max(0.0, loop_time - self._loop_time)
        self._loop_time = loop_time
        return self._now


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An asyncio event loop in which waiting takes no real time.

    Its clock starts at 0, and stands still while a task can run. When all tasks wait, the clock jumps to the next
    timer. So a test that waits for a rate window of 60 seconds ends at once, and with the same result each time.

    Use it only for tests whose input and output are in memory, like `FakeDesk.transport`. The clock does not wait for
    a socket or a thread, so a timeout around one expires at once. Trio has a clock of its own for this purpose:
    `trio.testing.MockClock(autojump_threshold=0)`.
    """

    def __init__(self) -> None:
        self._jumps = _JumpingSelector()
        super().__init__(self._jumps)

    def time(self) -> float:
        """Return how many virtual seconds have passed since the loop was created."""
        now = self._jumps.now
        # asyncio runs a timer if its time is before now plus a nanosecond. After half a year, adding a nanosecond does
        # not change the float any more, and a timer for now would never run. So move the clock to the next float.
        if now + 1e-9 == now:
            self._jumps.now = math.nextafter(now, math.inf)
        return now

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ARG002, ASYNC109 - asyncio's
        """Wait for the threads without a timeout, because the timeout would expire at once in virtual time."""
        await super().shutdown_default_executor()


class _JumpingSelector(selectors.DefaultSelector):
    """A selector that moves the virtual clock instead of waiting.

    Attributes:
        now: The virtual time in seconds.
    """

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return the events that are ready. If there are none, move the clock to the next timer.

        Args:
            timeout: The seconds until the next timer. With None there is no timer, and the selector really waits.
        """
        # A timeout becomes 0, which does not wait. None stays None, which waits for a socket or a thread.
        events = super().select(timeout and 0)
        if not events and timeout:
            self.now += timeout
        return events
