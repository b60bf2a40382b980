"""Which event loop a client serves: a single loop at a time, and in each process its own."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import anyio
from anyio.lowlevel import current_token
from attrs import frozen

from ._errors import ConfigurationError


@frozen(kw_only=True)
class Change:
    """The client serves another event loop from now on.

    Attributes:
        seconds: How much later the clock of the new loop is: a moment of the old clock moves by these seconds.
        in_child: Whether this process is a child, and its parent used the client before the fork.
    """

    seconds: float
    in_child: bool


@runtime_checkable
class CallInProgress(Protocol):
    """A call that has begun on the served loop, and has not ended."""

    def abandon(self) -> None:
        """Remember the outcome if it is unknown, because the call ends without a result."""


class ServedLoop:
    """Recognizes the event loop, and lets everything that is bound to a loop begin anew when the loop changes.

    What begins anew is replaced, and not emptied. So a call that was abandoned on the earlier loop can end there later,
    with the locks and the connections with which it began.

    Attributes:
        calls: The calls that have begun on this loop, and have not ended.
    """

    def __init__(self) -> None:
        self._loop: Any = None
        self._process = 0
        self._clock = 0.0
        self._locks: dict[int, threading.Lock] = {}
        self._begin_anew: list[Callable[[Change], None]] = []
        self.calls: set[CallInProgress] = set()

    def on_change(self, begin_anew: Callable[[Change], None]) -> None:
        """Have a function called when a call begins on another loop, the first one included."""
        self._begin_anew.append(begin_anew)

    def enter(self) -> None:
        """Serve the loop that runs in this thread.

        Raises:
            ConfigurationError: The client serves another loop, which is still running.
        """
        loop, process = current_token().native_token, os.getpid()
        if loop is self._loop and process == self._process:
            return
        # Each process has its own lock: after a fork, the lock of the parent may stay locked in the child.
        with self._locks.setdefault(process, threading.Lock()):
            self._change(loop, process)

    def begin(self, call: CallInProgress) -> None:
        """Serve the loop that runs now, and note a call that begins on it. The call removes itself when it ends.

        Raises:
            ConfigurationError: The client serves another loop, which is still running.
        """
        self.enter()
        self.calls.add(call)

    def _change(self, loop: Any, process: int) -> None:
        is_first, in_child = self._loop is None, self._loop is not None and process != self._process
        # First write, then look: a loop that starts to run at this moment notices the change, or is noticed here.
        served, self._loop = self._loop, loop
        if not is_first and not in_child and served is not loop and _is_running(served):
            self._loop = served
            raise ConfigurationError(
                "another event loop, which is still running, uses this client; create an AsyncDesk for each event loop"
            )
        now = anyio.current_time()
        change = Change(seconds=0.0 if is_first else now - self._time_of(served), in_child=in_child)
        self._process, self._clock = process, now - time.monotonic()
        for begin_anew in self._begin_anew:
            begin_anew(change)
        abandoned, self.calls = self.calls, set()
        for call in abandoned:
            call.abandon()

    def _time_of(self, loop: Any) -> float:
        """Return what the clock of the earlier loop shows now."""
        # A clock of virtual time is ahead of the time that has passed since the loop began, and uvloop's clock stops.
        shown: float = loop.time() if hasattr(loop, "time") else 0.0
        return max(shown, time.monotonic() + self._clock)


def _is_running(loop: Any) -> bool:
    if hasattr(loop, "is_running"):
        return bool(loop.is_running())
    # Trio's token has no such method, but after its run it accepts no function any more.
    try:
        loop.run_sync_soon(bool, idempotent=True)
    except RuntimeError:
        return False
    return True
