"""Clocks for tests in which a deadline passes, on both backends.

In real time, a busy machine may need longer than a short deadline allows, so that the request is not even sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Final

import anyio
import pytest
import trio
from trio.testing import MockClock

from teamwork_desk.testing import VirtualTimeLoop


class LeapingLoop(asyncio.SelectorEventLoop):
    """An event loop in real time whose clock a test can set forward.

    Attributes:
        ahead: How many seconds its clock is ahead of real time.
    """

    ahead = 0.0

    def time(self) -> float:
        return super().time() + self.ahead


ON_ASYNCIO: Final = pytest.param(("asyncio", {"loop_factory": VirtualTimeLoop}), id="asyncio")
ON_TRIO: Final = pytest.param(("trio", {"clock": MockClock(autojump_threshold=0)}), id="trio")

in_virtual_time = pytest.mark.parametrize("anyio_backend", [ON_ASYNCIO, ON_TRIO])
"""The test waits only for timers: not for a socket, and not for a thread."""

in_time_that_leaps = pytest.mark.parametrize(
    "anyio_backend",
    [
        pytest.param(("asyncio", {"loop_factory": LeapingLoop}), id="asyncio"),
        pytest.param(("trio", {"clock": MockClock(rate=1.0)}), id="trio"),
    ],
)
"""The time is real, so that the test can use sockets. The test can set the clock forward with `leap`."""


def leap(seconds: float) -> None:
    """Let this many seconds pass at once."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        clock = trio.lowlevel.current_clock()
        assert isinstance(clock, MockClock)
        clock.jump(seconds)
    else:
        assert isinstance(loop, LeapingLoop)
        loop.ahead += seconds


@asynccontextmanager
async def leaping(seconds: float, when: Callable[[], object], *, all_wait: bool = False) -> AsyncGenerator[None]:
    """Let this many seconds pass at once, as soon as a condition holds.

    Args:
        seconds: How many seconds pass.
        when: Returns whether the condition holds.
        all_wait: Whether all other tasks must wait, too. A timeout begins when a task waits, but a deadline earlier.
    """

    async def leap_in_time() -> None:
        while not when():
            await anyio.sleep(0.001)
        if all_wait:
            await anyio.wait_all_tasks_blocked()
        leap(seconds)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(leap_in_time)
        yield
        tasks.cancel_scope.cancel()
