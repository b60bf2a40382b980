"""The command line, `teamwork-desk`. It needs the extra `cli`."""

from __future__ import annotations

import atexit
import io
import os
import signal
import sys
from contextlib import suppress
from typing import Any, TextIO, cast


class _StandardError:
    """Standard error, without its errors: a run must go on if its messages cannot be written."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


_FORCING = ("FORCE_COLOR", "GITHUB_ACTIONS", "PY_COLORS", "TTY_COMPATIBLE", "TTY_INTERACTIVE")
"""Variables that make typer, rich and Python send control sequences to a file, unless they are 0."""


def main() -> None:
    """Run the command line of this process. `teamwork-desk --help` describes the exit status."""
    for name in _FORCING:
        if os.environ.get(name) != "0":
            os.environ.pop(name, None)
    try:
        from ._app import app  # noqa: PLC0415 - it needs the extra
    except KeyboardInterrupt:
        print("interrupted: nothing was sent", file=sys.stderr)  # noqa: T201
        sys.exit(130)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("rich", "typer"):
            raise
        print('The command line needs the extra cli: pip install "teamwork-desk[cli]"', file=sys.stderr)  # noqa: T201
        sys.exit(2)
    atexit.register(_ignore_interrupts)
    if sys.stderr is not None:
        sys.stderr = cast("TextIO", _StandardError(sys.stderr))
    try:
        app(prog_name="teamwork-desk")
    finally:
        _discard_unwritable_output()


def _ignore_interrupts() -> None:
    """Let the process end with the exit status of the command: all is done, and the last message was printed."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _discard_unwritable_output() -> None:
    """Discard output that cannot be written: Python would fail to flush it at exit, and change the exit status."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        sys.stdout = io.StringIO()
