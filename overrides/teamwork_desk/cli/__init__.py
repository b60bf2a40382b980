"""The command line, `teamwork-desk`; it needs the extra `cli`."""

from __future__ import annotations

import io
import sys
from contextlib import suppress
from typing import Any, TextIO, cast


class _StandardError:
    """Standard error that may be closed, or on a full disk: what a run is doing goes on without it."""

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


def main() -> None:
    """Run the command that the process was started with, to its exit status, which `teamwork-desk --help` tells."""
    try:
        from ._app import app  # noqa: PLC0415 - needs the extra
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("rich", "typer"):
            raise
        print('The command line needs more: pip install "teamwork-desk[cli]"', file=sys.stderr)  # noqa: T201
        sys.exit(2)
    if sys.stderr is not None:
        sys.stderr = cast("TextIO", _StandardError(sys.stderr))
    try:
        app(prog_name="teamwork-desk")
    finally:
        _forget_what_cannot_be_written()


def _forget_what_cannot_be_written() -> None:
    """Keep the exit status: Python would try again to write it, and fail with a status of its own."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        sys.stdout = io.StringIO()
