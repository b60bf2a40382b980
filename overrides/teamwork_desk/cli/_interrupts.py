"""Ctrl-C and SIGTERM. During a run, the first lets what was sent come to its end, and the second stops at once."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType


class Interrupts:
    """The interrupts of a run.

    Attributes:
        number: How many interrupts came.
    """

    def __init__(self) -> None:
        self.number = 0


@contextmanager
def interrupts(stop: Callable[[], None], came: Interrupts) -> Generator[None]:
    """Call a function at the first Ctrl-C or SIGTERM, and cancel the block at the second. A third ends the process.

    Args:
        stop: Called by the event loop after the first one.
        came: Counts them. If the block was cancelled, the code after it runs as usual.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None, "the run has a task"  # noqa: S101
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    has_ended = False

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def cancel() -> None:
        # The block may have ended since the interrupt came, and then the code after it must run as usual.
        if not has_ended:
            task.cancel()

    def interrupted(*_: object) -> None:
        came.number += 1
        if came.number > 1:
            restore()
        loop.call_soon_threadsafe(stop if came.number == 1 else cancel)

    for number, handler in before.items():
        # A shell starts background jobs with Ctrl-C ignored, and it must stay ignored.
        if handler != signal.SIG_IGN:
            signal.signal(number, interrupted)
    try:
        yield
    except asyncio.CancelledError:
        if came.number < 2:
            raise
        task.uncancel()
    finally:
        has_ended = True
        restore()


@contextmanager
def sigterm_as_ctrl_c() -> Generator[None]:
    """Let SIGTERM do what Ctrl-C does: it raises KeyboardInterrupt, or cancels the task that asyncio runs."""
    before = signal.getsignal(signal.SIGTERM)

    def terminated(number: int, frame: FrameType | None) -> None:
        handler = signal.getsignal(signal.SIGINT)
        # A shell starts background jobs with Ctrl-C ignored, and SIGTERM must end them nevertheless.
        (handler if callable(handler) else signal.default_int_handler)(number, frame)

    # Python allows only the main thread to set a handler.
    if before != signal.SIG_DFL or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGTERM, terminated)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
