"""What the commands share: the installation, the token, standard output and the exit status."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Coroutine, Generator
from contextlib import contextmanager
from typing import Annotated, Any, TextIO, TypeAlias

import typer

from teamwork_desk import ConfigurationError, DeskError, RequestError
from teamwork_desk._checks import printable

from ._errors import CommandError

URL, TOKEN = "TEAMWORK_DESK_URL", "TEAMWORK_DESK_TOKEN"
DONE, FAILED, REFUSED, UNKNOWN, INTERRUPTED = 0, 1, 2, 3, 130

Url: TypeAlias = Annotated[str | None, typer.Option("--url", help=f"The installation's URL, else {URL}.")]
VerifyFirst: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--verify-first/--no-verify-first",
        help="Look first, and do nothing where there is a ticket already: one request more.",
    ),
]


def ask_for_token() -> str | None:
    """Return the token that a terminal gives; the client reads the environment itself."""
    if TOKEN in os.environ:
        return None
    if sys.stdin is None or not sys.stdin.isatty():
        typer.echo(f"Set {TOKEN}: there is no terminal to ask for the token.", err=True)
        raise typer.Exit(REFUSED)
    try:
        token: str = typer.prompt("Token", hide_input=True, err=True)
    except typer.Abort:
        raise typer.Exit(INTERRUPTED) from None
    return token


def run(work: Coroutine[Any, Any, int | None]) -> None:
    """Run a command to its exit status."""
    with explained():
        raise typer.Exit(asyncio.run(work) or DONE)


@contextmanager
def explained() -> Generator[None]:
    """Make an exit status of what is expected to go wrong, and a line."""
    try:
        yield
    except KeyboardInterrupt:
        status = INTERRUPTED
    except (DeskError, CommandError, ImportError, OSError, OverflowError) as error:
        if isinstance(error, BrokenPipeError):
            raise  # typer ends without a word
        kind = f"{type(error).__name__}: " if isinstance(error, DeskError) else ""
        typer.echo(printable(f"{kind}{error}"), err=True)
        status = _status_of(error)
    else:
        return
    raise typer.Exit(status)


def _status_of(error: Exception) -> int:
    if not isinstance(error, DeskError) or isinstance(error, (ConfigurationError, RequestError)):
        return REFUSED
    return UNKNOWN if error.maybe_applied else FAILED


def print_json(value: Any, file: TextIO | None = None) -> None:
    print(json.dumps(value), file=file or sys.stdout, flush=True)
