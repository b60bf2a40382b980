"""What is drawn on standard output and standard error: only a terminal gets colours and progress bars."""

from __future__ import annotations

import os
import sys
from typing import Final

from rich.console import Console

UNLIMITED: Final = 10_000
"""The width of a table in a file or a pipe, which has no lines that could wrap."""


def console_on(name: str) -> Console:
    """Return a console that draws what its stream can show, whatever the environment forces.

    rich would obey `FORCE_COLOR`, `TTY_COMPATIBLE` and `TTY_INTERACTIVE` for a file, too. `NO_COLOR` and `TERM=dumb`
    are obeyed, because they ask for less.

    Args:
        name: `stdout` or `stderr`.
    """
    is_terminal = is_a_terminal(name)
    is_dumb = os.environ.get("TERM", "").lower() in ("dumb", "unknown")
    return Console(
        stderr=name == "stderr",
        force_terminal=None if is_terminal else False,
        force_interactive=None if is_terminal and not is_dumb else False,
        width=_width(name) if is_terminal else UNLIMITED,
        emoji=False,
        highlight=False,
        markup=False,
    )


def is_a_terminal(name: str) -> bool:
    """Return whether a stream is a terminal.

    Args:
        name: `stdout` or `stderr`.
    """
    stream = getattr(sys, name)
    return stream is not None and bool(stream.isatty())


def _width(name: str) -> int | None:
    """Return the width of a terminal if `COLUMNS` says another; None lets rich ask the terminal again and again."""
    if "COLUMNS" not in os.environ:
        return None
    try:
        # A terminal without a size reports 0, and then COLUMNS is all that is known.
        return os.get_terminal_size(getattr(sys, name).fileno()).columns or None
    except (OSError, ValueError):
        return None
