"""`teamwork-desk convert-many`: convert the jobs of a file."""

from __future__ import annotations

import math
import os
import shlex
import sys
import traceback
from collections import Counter
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import attrs
import httpx
import typer

from teamwork_desk import AsyncDesk, DeskError

from ._dry_run import convert_in_memory
from ._errors import CommandError
from ._failures import explain
from ._gate import Gate
from ._interrupts import Interrupts, interrupts
from ._jobs import Line, read_jobs
from ._ledger import Ledger
from ._names import kinds_named, lines_with_ids, list_kinds
from ._place import LedgerLostError
from ._run import Kind, Report, Result, Run
from ._settle import way_on
from ._shell import (
    DONE,
    FAILED,
    INTERRUPTED,
    INVALID,
    UNKNOWN,
    URL,
    Url,
    VerifyFirst,
    ask_for_token,
    exit_on_error,
    print_json,
    run,
    ticket_url,
)
from ._show import Display, shortened

SETTLE = 30.0
"""Seconds, as long as the client waits for a response: by then, a request of an earlier run has probably ended."""


def convert_many(
    jobs: Annotated[
        Path,
        typer.Argument(
            exists=True,
            dir_okay=False,
            help="The jobs file: .jsonl, .json, .csv or .tsv, in UTF-8.",
            show_default=False,
        ),
    ],
    *,
    ledger: Annotated[
        Path,
        typer.Option(
            dir_okay=False,
            help="The file that records the state of each conversation. It is created if it does not exist.",
            show_default=False,
        ),
    ],
    url: Url = None,
    concurrency: Annotated[int, typer.Option(min=1, metavar="<int>", help="How many jobs run at the same time.")] = 8,
    results: Annotated[
        str | None, typer.Option(help="The file for the result of each job, as JSONL; - is standard output.")
    ] = None,
    settle: Annotated[
        float,
        typer.Option(
            min=0,
            metavar="<float>",
            help="Seconds to wait before retrying what an earlier run left open: its requests may still be running.",
        ),
    ] = SETTLE,
    verify_first: VerifyFirst = True,
    max_failures: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="<int>",
            help="Stop after so many failures in a row that every job may share, such as no connection.",
        ),
    ] = 10,
    only: Annotated[
        Literal["failed"] | None,
        typer.Option(help="Try only the jobs that are failed in the ledger, and skip all others."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Send nothing, change no ledger, and show what would be converted.")
    ] = False,
) -> None:
    """Convert a file of conversations, each only once, even if the command is run several times.

    Each line of a JSONL file is an object with conversation_id and the arguments of convert; an array of objects works,
    too. A CSV file has these names in its header; separate several values in a cell with ; and leave cells empty to
    omit them. An inbox, a status, a priority, a type, a source, an agent and tags may also be given by name: each kind
    is listed once, before the run. attach lists files by their paths, relative to the jobs file; they are uploaded if
    the conversation has no ticket.

    The ledger records each conversion before and after. You can kill a run at any moment and start it again: it skips
    what is done, retries what failed, and always looks up first what was left open or unknown. The ledger holds no
    personal data, and only one run at a time can use it. After Ctrl-C or SIGTERM, nothing more is sent, and the
    conversions that were sent come to their end; a second one of either stops at once and leaves them open. If
    conversations are open or unknown at the end, the command names them and its exit status is 3. If Desk rejects the
    token, or if several jobs in a row fail for a reason that they share, the command stops by itself.

    Example: `teamwork-desk convert-many jobs.jsonl --ledger run.sqlite --results results.jsonl`
    """
    _check_paths(jobs, ledger, results)
    if not math.isfinite(settle):
        raise typer.BadParameter("expected a number of seconds", param_hint="--settle")
    with exit_on_error():
        total, kinds, lines = _read(jobs)
    token = None if dry_run else ask_for_token()

    async def work() -> int:
        if dry_run:
            with Ledger.in_memory(ledger) as copy, _reporting(jobs, total, results, None) as (report, display):
                if names := sorted(kinds - {"tags"}):
                    display.note(f"a dry run does not look up names of {', '.join(names)}")
                await convert_in_memory(copy, lines_with_ids(lines, None), report, only_failed=only is not None)
            return _status_of_all(display.counts)
        gate = Gate()
        async with AsyncDesk(url, token=token, event_hooks={"request": [gate.before_request]}) as desk:
            listed = await list_kinds(desk, kinds)
            with (
                Ledger(ledger, _origin(os.environ[URL] if url is None else url)) as opened,
                _reporting(jobs, total, results, desk) as (report, display),
            ):

                def give_up(error: DeskError, in_a_row: int) -> None:
                    display.hidden = type(error).__name__
                    display.note(explain(error, in_a_row))

                backlog = Run(
                    desk.conversations.convert,
                    opened,
                    report,
                    settle=settle,
                    verify_first=verify_first,
                    desk=desk,
                    only_failed=only is not None,
                    max_failures=max_failures,
                    give_up=give_up,
                )
                gate.leave = backlog.leave
                status, is_lost, came = DONE, False, Interrupts()
                if settle and only is None and (left := opened.unsettled()):
                    display.note(
                        f"left open or unknown by an earlier run: {shortened(left)}. Waiting {settle:g} s before "
                        "retrying them, because their requests may still be running."
                    )

                def stop() -> None:
                    backlog.stop()
                    display.note(_interrupted(len(backlog.leaving)))

                try:
                    with interrupts(stop, came):
                        await backlog.convert_all(lines_with_ids(lines, listed), concurrency=concurrency)
                except (CommandError, OSError) as error:
                    display.note(str(error))
                    status, is_lost = INVALID, isinstance(error, LedgerLostError)
                except Exception:
                    # This is a bug, but the command must still list the open conversations.
                    traceback.print_exc()
                    status = FAILED
                finally:
                    if left := opened.unsettled():
                        display.note(f"{ledger}: open or unknown, may have been converted: {shortened(left)}")
                        if not is_lost:
                            display.note(way_on(ledger))
        if came.number or display.hidden:
            display.note(f"To go on, run the same command again: {shlex.join(['teamwork-desk', *sys.argv[1:]])}")
        if came.number:
            return INTERRUPTED
        # UNKNOWN means that the same command will look the conversations up, but its ledger would not know them.
        return UNKNOWN if left and not is_lost else status or _status_of_all(display.counts)

    run(work())


def _interrupted(leaving: int) -> str:
    """Return the message after the first interrupt.

    Args:
        leaving: How many conversions were sent and have no outcome yet.
    """
    if not leaving:
        return "interrupted: nothing more is sent"
    sent = (
        "1 conversion that was sent comes to its end"
        if leaving == 1
        else (f"{leaving} conversions that were sent come to their end")
    )
    return f"interrupted: {sent}, and nothing more is sent; press Ctrl-C again to stop at once and leave them open"


def _check_paths(jobs: Path, ledger: Path, results: str | None) -> None:
    paths = [jobs, ledger, *([] if results in (None, "-") else [Path(results)])]
    if len({path.resolve() for path in paths}) < len(paths):
        raise typer.BadParameter(
            "the jobs, the ledger and the results must be different files, or one would overwrite another"
        )


def _read(jobs: Path) -> tuple[int, set[str], Iterable[Line]]:
    """Return the number of the jobs, the kinds of objects that they name, and the jobs.

    The file is read once before anything is sent, so that an invalid file is rejected as a whole. A pipe is held in
    memory: it can be read only once, and waiting for its writer would block the event loop.
    """
    note = partial(typer.echo, err=True)
    lines = read_jobs(jobs, note) if jobs.is_file() else list(read_jobs(jobs, note))
    total, kinds = 0, set[str]()
    for line in lines:
        total += 1
        kinds |= kinds_named(line.job or {})
    return total, kinds, read_jobs(jobs) if jobs.is_file() else lines


@contextmanager
def _reporting(
    jobs: Path, total: int, results: str | None, desk: AsyncDesk | None
) -> Generator[tuple[Report, Display]]:
    """Show the results, and write them to a file if one is given. If that fails, the run continues without it."""
    file = None if results in (None, "-") else Path(results).open("w", encoding="utf-8")  # noqa: SIM115 - closing the file may fail
    try:
        # The report of a dry run is what the command produces, so it goes to standard output unless the results do.
        stream = "stdout" if desk is None and results != "-" else "stderr"
        with Display(jobs.name, total, desk, stream) as display:
            is_written = results is not None

            def report(result: Result) -> None:
                nonlocal is_written
                if desk is not None:
                    result = attrs.evolve(result, ticket_url=ticket_url(desk, result.ticket_id))
                display.report(result)
                if is_written:
                    try:
                        print_json(result.to_dict(), file)
                    except OSError as error:
                        is_written = False
                        display.note(
                            f"--results {results}: {error.strerror}; the run continues without writing results"
                        )

            yield report, display
    finally:
        if file is not None:
            # Closing tries again to write what could not be written, and that failure was already reported.
            with suppress(OSError):
                file.close()


def _origin(url: str) -> str:
    parsed = httpx.URL(url)
    return f"{parsed.scheme}://{parsed.netloc.decode()}"


def _status_of_all(counts: Counter[Kind]) -> int:
    return UNKNOWN if counts["unknown"] else FAILED if counts["failed"] else DONE
