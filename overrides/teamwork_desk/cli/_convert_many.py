"""`teamwork-desk convert-many`: convert the jobs of a file."""

from __future__ import annotations

import math
import os
import shlex
import sys
import traceback
from collections import Counter
from collections.abc import Iterable
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Annotated, Literal

import httpx
import typer

from teamwork_desk import AsyncDesk, DeskError

from ._dry_run import convert_in_memory
from ._errors import CommandError
from ._failures import explain
from ._gate import Gate
from ._interrupts import Interrupts, interrupts
from ._jobs import Line, can_be_read_again, is_stdin, read_jobs
from ._ledger import Ledger
from ._names import kinds_named, lines_with_ids, list_kinds
from ._place import LedgerLostError, is_same_file
from ._reporting import Reports, reporting
from ._result import Kind
from ._run import Run
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
    run,
)
from ._show import shortened

SETTLE = 30.0
"""Seconds, as long as the client waits for a response: by then, a request of an earlier run has probably ended."""


def convert_many(
    jobs: Annotated[
        Path,
        typer.Argument(
            dir_okay=False,
            help="The jobs file: .jsonl, .json, .csv or .tsv, in UTF-8; - is standard input.",
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
    concurrency: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="<int>",
            help="How many jobs run at the same time. More are faster, because jobs that run together share lookups.",
        ),
    ] = 8,
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
    limit: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="<int>",
            help="Try at most so many jobs in this run; those that failed before come last. Jobs that are done in the"
            " ledger do not count.",
        ),
    ] = None,
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
    as_json: Annotated[bool, typer.Option("--json", help="The same as --results -.")] = False,
    quiet: Annotated[
        bool,
        typer.Option("--quiet", help="Print nothing unless a job fails, or something needs a look, as cron expects."),
    ] = False,
) -> None:
    """Convert a file of conversations, each only once, even if the command is run several times.

    Each line of a JSONL file is an object with conversation_id and the arguments of convert; an array of objects works,
    too. A CSV file has these names in its header; separate several values in a cell with ; and leave cells empty to
    omit them. An inbox, a status, a priority, a type, a source, an agent and tags may also be given by name: each kind
    is listed once, before the run. attach lists files by their paths, relative to the jobs file; they are uploaded if
    the conversation has no ticket. If the jobs come from standard input, their content says whether they are JSON or
    CSV, and attach is relative to the current directory.

    The ledger records each conversion before and after. You can kill a run at any moment and start it again: it skips
    what is done, retries what failed, and always looks up first what was left open or unknown. The ledger holds no
    personal data, and only one run at a time can use it. After Ctrl-C or SIGTERM, nothing more is sent, and the
    conversions that were sent come to their end; a second one of either stops at once and leaves them open. If
    conversations are open or unknown at the end, the command names them and its exit status is 3. If Desk rejects the
    token, or if several jobs in a row fail for a reason that they share, the command stops by itself.

    Example: `teamwork-desk convert-many jobs.jsonl --ledger run.sqlite --results results.jsonl`
    """
    results = _with_json(results) if as_json else results
    _check_paths(jobs, ledger, results)
    _check_settle(settle)
    gate, most = Gate(), math.inf if limit is None else limit
    interrupted = partial(say_if_nothing_was_sent, gate)
    # The jobs may need a long time until they end, and without a token the command cannot do anything with them.
    token = ask_for_token(is_stdin_used=True) if is_stdin(jobs) and not dry_run else None
    with exit_on_error(interrupted):
        total, kinds, lines = _read(jobs, is_quiet=quiet)
    token = token if dry_run or is_stdin(jobs) else ask_for_token()
    reporting_to = partial(reporting, jobs, total, results, limit=most, is_quiet=quiet)

    async def work() -> int:
        if dry_run:
            return await _plan(ledger, lines, kinds, reporting_to(None), most, only_failed=only is not None)
        async with AsyncDesk(url, token=token, event_hooks={"request": [gate.before_request]}) as desk:
            listed = await list_kinds(desk, kinds)
            with (
                Ledger(ledger, _origin(os.environ[URL] if url is None else url)) as opened,
                reporting_to(desk) as (report, display),
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
                    limit=most,
                )
                gate.leave = backlog.leave
                status, is_lost, came = DONE, False, Interrupts()
                if settle and only is None and (left := opened.unsettled()):
                    display.remark(
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
                    display.left_open = backlog.left_open
                    if left := opened.unsettled():
                        display.note(f"{ledger}: open or unknown, may have been converted: {shortened(left)}")
                        if not is_lost:
                            display.note(way_on(ledger))
        if came.number or display.hidden:
            display.note(_to_go_on(jobs))
        elif limit is not None and display.not_started:
            display.remark(f"--limit {limit}: {_not_tried(display.not_started)}. {_to_go_on(jobs)}")
        if came.number:
            return INTERRUPTED
        # UNKNOWN means that the same command will look the conversations up, but its ledger would not know them.
        return UNKNOWN if left and not is_lost else status or _status_of_all(display.counts)

    run(work(), interrupted)


async def _plan(
    ledger: Path, lines: Iterable[Line], kinds: set[str], reports: Reports, limit: float, *, only_failed: bool
) -> int:
    """Do a dry run; return the exit status."""
    with Ledger.in_memory(ledger) as copy, reports as (report, display):
        if names := sorted(kinds - {"tags"}):
            display.remark(f"a dry run does not look up names of {', '.join(names)}")
        await convert_in_memory(copy, lines_with_ids(lines, None), report, limit=limit, only_failed=only_failed)
    return _status_of_all(display.counts)


def say_if_nothing_was_sent(gate: Gate) -> None:
    # Otherwise, the run has said at its end what is open.
    if not gate.has_passed:
        typer.echo("interrupted: nothing was sent", err=True)


def _interrupted(leaving: int) -> str:
    """Return the message after the first interrupt.

    Args:
        leaving: How many conversions were sent and have no outcome yet.
    """
    if not leaving:
        return "interrupted: nothing more is sent"
    sent, them = (
        ("1 conversion that was sent comes to its end", "it")
        if leaving == 1
        else (f"{leaving} conversions that were sent come to their end", "them")
    )
    return f"interrupted: {sent}, and nothing more is sent; press Ctrl-C again to stop at once and leave {them} open"


def _not_tried(jobs: int) -> str:
    return "1 job was not tried" if jobs == 1 else f"{jobs} jobs were not tried"


def _to_go_on(jobs: Path) -> str:
    with_jobs = "" if can_be_read_again(jobs) else " with the same jobs"
    with_jobs += " on standard input" * is_stdin(jobs)
    return f"To go on, run the same command again{with_jobs}: {shlex.join(['teamwork-desk', *sys.argv[1:]])}"


def _with_json(results: str | None) -> str:
    if results not in (None, "-"):
        raise typer.BadParameter("--json prints the results to standard output, so that --results cannot be a file")
    return "-"


def _check_settle(settle: float) -> None:
    if not math.isfinite(settle):
        raise typer.BadParameter("expected a number of seconds", param_hint="--settle")


def _check_paths(jobs: Path, ledger: Path, results: str | None) -> None:
    # Typer 0.29 refuses - as a file that must exist.
    if not is_stdin(jobs) and not jobs.exists():
        raise typer.BadParameter(f"file '{jobs}' does not exist.", param_hint="'jobs'")
    source = Path("/dev/stdin") if is_stdin(jobs) else jobs
    paths = [source, ledger, *([] if results in (None, "-") else [Path(results)])]
    of_ledger = {ledger.resolve().with_name(f"{ledger.resolve().name}-{part}") for part in ("wal", "shm", "journal")}
    is_same = any(is_same_file(one, other) for one, other in combinations(paths, 2))
    if is_same or any(path.resolve() in of_ledger for path in paths):
        raise typer.BadParameter(
            "the jobs, the ledger and the results must be different files, or one would overwrite another"
        )


def _read(jobs: Path, *, is_quiet: bool) -> tuple[int, set[str], Iterable[Line]]:
    """Return the number of the jobs, the kinds of objects that they name, and the jobs.

    The file is read once before anything is sent, so that an invalid file is rejected as a whole. A pipe is held in
    memory: it can be read only once, and waiting for its writer would block the event loop.
    """
    warn = partial(typer.echo, err=True)
    lines: Iterable[Line] = read_jobs(jobs, (lambda _: None) if is_quiet else warn, warn)
    if not can_be_read_again(jobs):
        lines = list(lines)
    total, kinds = 0, set[str]()
    for line in lines:
        total += 1
        kinds |= kinds_named(line.job or {})
    return total, kinds, read_jobs(jobs) if can_be_read_again(jobs) else lines


def _origin(url: str) -> str:
    parsed = httpx.URL(url)
    return f"{parsed.scheme}://{parsed.netloc.decode()}"


def _status_of_all(counts: Counter[Kind]) -> int:
    return UNKNOWN if counts["unknown"] else FAILED if counts["failed"] else DONE
