"""The command line, `teamwork-desk`; it needs the extra `cli`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command that the process was started with, to its exit status, which `teamwork-desk --help` tells."""
    try:
        from ._app import app  # noqa: PLC0415 - needs the extra
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("rich", "typer"):
            raise
        print('The command line needs more: pip install "teamwork-desk[cli]"', file=sys.stderr)  # noqa: T201
        sys.exit(2)
    app(prog_name="teamwork-desk")
