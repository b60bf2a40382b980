"""The parts that all commands share: the options for the installation, the token, the output and the exit status."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import sys
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager, nullcontext
from typing import Annotated, Any, TextIO, TypeAlias

import typer

from teamwork_desk import AsyncDesk, ConfigurationError, DeskError, RequestError
from teamwork_desk._checks import is_id, printable

from ._errors import CommandError, message_of
from ._interrupts import sigterm_as_ctrl_c

URL, TOKEN = "TEAMWORK_DESK_URL", "TEAMWORK_DESK_TOKEN"
DONE, FAILED, INVALID, UNKNOWN, INTERRUPTED = 0, 1, 2, 3, 130

Url: TypeAlias = Annotated[str | None, typer.Option("--url", help=f"The installation's URL; the default is {URL}.")]
AlwaysJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON, as the command does anyway.")]
VerifyFirst: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--verify-first/--no-verify-first",
        help="Look a conversation up first, and do nothing if it has a ticket. Jobs that run together share a lookup.",
    ),
]


def ask_for_token(*, is_stdin_used: bool = False) -> str | None:
    """Ask for the token on the terminal, unless the environment has it: the client reads the environment itself.

    Args:
        is_stdin_used: Whether standard input has the jobs.
    """
    if TOKEN in os.environ:
        return None
    if is_stdin_used:
        typer.echo(f"Set {TOKEN}: standard input has the jobs, so the command cannot ask for the token.", err=True)
        raise typer.Exit(INVALID)
    if sys.stdin is None or not sys.stdin.isatty():
        typer.echo(f"Set {TOKEN}: without a terminal, the command cannot ask for the token.", err=True)
        raise typer.Exit(INVALID)
    try:
        token: str = typer.prompt("Token", hide_input=True, err=True)
    except typer.Abort:
        raise typer.Exit(INTERRUPTED) from None
    return token


def run(work: Coroutine[Any, Any, int | None], interrupted: Callable[[], None] | None = None) -> None:
    """Run a command, and end the process with its exit status.

    Args:
        work: The command.
        interrupted: Called if Ctrl-C or SIGTERM ended it. None leaves SIGTERM as it is.
    """
    with exit_on_error(interrupted):
        raise typer.Exit(asyncio.run(work) or DONE)


@contextmanager
def exit_on_error(interrupted: Callable[[], None] | None = None) -> Generator[None]:
    """Turn expected errors into a message and an exit status.

    Args:
        interrupted: Called if Ctrl-C or SIGTERM ended the block. None leaves SIGTERM as it is.
    """
    try:
        with sigterm_as_ctrl_c() if interrupted else nullcontext():
            yield
    except (KeyboardInterrupt, BaseExceptionGroup) as error:
        # A second Ctrl-C that comes within a task group, such as while anyio connects, leaves it in an exception group.
        if isinstance(error, BaseExceptionGroup) and error.split((KeyboardInterrupt, asyncio.CancelledError))[1]:
            raise
        if interrupted:
            interrupted()
        status = INTERRUPTED
    except (DeskError, CommandError, ImportError, OSError, OverflowError) as error:
        if isinstance(error, BrokenPipeError):
            # Typer ends silently if the reader of standard output has gone away.
            raise
        print_error(error)
        status = _status_of(error)
    else:
        return
    raise typer.Exit(status)


def print_error(error: Exception) -> None:
    """Print an expected error as a line on standard error."""
    kind = f"{type(error).__name__}: " if isinstance(error, DeskError) else ""
    request = f", request id {error.request_id}" if isinstance(error, DeskError) and error.request_id else ""
    typer.echo(printable(f"{kind}{message_of(error)}{request}"), err=True)


def _status_of(error: Exception) -> int:
    if not isinstance(error, DeskError) or isinstance(error, (ConfigurationError, RequestError)):
        return INVALID
    return UNKNOWN if error.maybe_applied else FAILED


def ticket_url(desk: AsyncDesk, ticket_id: int | None) -> str | None:
    """Return the address of a ticket's page; None if there is no ticket."""
    return desk.ticket_url(ticket_id) if is_id(ticket_id) else None


def print_json(value: Any, file: TextIO | None = None) -> None:
    """Print a value as one line of JSON, to standard output by default.

    Raises:
        OSError: It cannot be written.
    """
    if file is None and sys.stdout is None:
        # Python would print nothing, and nobody would learn of it.
        raise OSError(errno.EBADF, "standard output is closed")
    print(json.dumps(value), file=file or sys.stdout, flush=True)
