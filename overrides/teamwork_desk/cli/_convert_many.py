"""`teamwork-desk convert-many`: from a file of jobs to their outcomes."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import traceback
from collections import Counter
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

import httpx
import typer

from teamwork_desk import AsyncDesk

from ._errors import CommandError
from ._jobs import Line, read_jobs
from ._ledger import Ledger
from ._run import Fate, Report, Result, Run, rehearse
from ._shell import (
    DONE,
    FAILED,
    INTERRUPTED,
    REFUSED,
    UNKNOWN,
    URL,
    Url,
    VerifyFirst,
    ask_for_token,
    explained,
    print_json,
    run,
)
from ._show import Display, some

SETTLE = 30.0
"""Seconds; as long the client itself waits for an answer."""


def convert_many(
    jobs: Annotated[
        Path,
        typer.Argument(exists=True, dir_okay=False, help="The jobs: .jsonl or .csv, in UTF-8.", show_default=False),
    ],
    *,
    ledger: Annotated[
        Path,
        typer.Option(
            dir_okay=False, help="Where the run keeps its books; made where there is none.", show_default=False
        ),
    ],
    url: Url = None,
    concurrency: Annotated[int, typer.Option(min=1, metavar="<int>", help="How many are under way at once.")] = 8,
    results: Annotated[
        str | None, typer.Option(help="Where to write what became of each job, as JSONL; - is standard output.")
    ] = None,
    settle: Annotated[
        float,
        typer.Option(
            min=0,
            metavar="<float>",
            help="Seconds to wait before looking at what a former run left open: it may be under way.",
        ),
    ] = SETTLE,
    verify_first: VerifyFirst = True,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Send nothing, write no ledger, and tell what would be converted.")
    ] = False,
) -> None:
    """Convert a file of conversations, each once, however often it is started.

    A line of JSONL is an object with conversation_id and the arguments of convert; a CSV file has these as its header,
    with ; between several tags, cc, bcc or files, and what is empty is left out.

    The ledger notes each conversion before and after. Killed at any moment and started again, it converts the rest:
    what is done is skipped, what failed is tried again, and what was left open or unknown is looked at first, always.
    It holds no personal data. One run at a time may hold it. Ctrl-C or SIGTERM lets those under way end; a second one
    leaves them open. Any that is open or unknown at the end is named, and the exit status is 3.

    Example: `teamwork-desk convert-many jobs.jsonl --ledger run.sqlite --results results.jsonl`
    """
    _check_paths(jobs, ledger, results)
    if not math.isfinite(settle):
        raise typer.BadParameter("expected a number of seconds", param_hint="--settle")
    with explained():
        total, lines = _read(jobs)
    token = None if dry_run else ask_for_token()

    async def work() -> int:
        if dry_run:
            with Ledger.in_memory(ledger) as books, _reporting(jobs, total, results, None) as (report, display):
                await rehearse(books, lines, report)
            return _status_of_all(display.counts)
        async with AsyncDesk(url, token=token) as desk:
            with (
                Ledger(ledger, _origin(os.environ[URL] if url is None else url)) as books,
                _reporting(jobs, total, results, desk, requests=1 + verify_first) as (report, display),
            ):
                backlog = Run(desk.conversations.convert, books, report, settle=settle, verify_first=verify_first)
                status = DONE
                if settle and (left := books.unsettled()):
                    display.note(
                        f"left open or unknown by an earlier run: {some(left)}; their jobs wait {settle:g} s, for a "
                        "request may still be under way"
                    )

                def stop() -> None:
                    backlog.stop()
                    display.note("interrupted: what is under way comes to its end; Ctrl-C again leaves it open")

                try:
                    with _first_interrupt(stop):
                        await backlog.convert_all(lines, concurrency=concurrency)
                except (CommandError, OSError) as error:
                    display.note(str(error))
                    status = REFUSED
                except Exception:
                    # A bug: what it left open is told all the same.
                    traceback.print_exc()
                    status = FAILED
                finally:
                    if left := books.unsettled():
                        display.note(f"{ledger}: open or unknown, so perhaps converted: {some(left)}")
        if backlog.is_stopping:
            return INTERRUPTED
        return UNKNOWN if left else status or _status_of_all(display.counts)

    run(work())


def _check_paths(jobs: Path, ledger: Path, results: str | None) -> None:
    paths = [jobs, ledger, *([] if results in (None, "-") else [Path(results)])]
    if len({path.resolve() for path in paths}) < len(paths):
        raise typer.BadParameter(
            "the jobs, the ledger and the results must be different files: one would overwrite the other"
        )


def _read(jobs: Path) -> tuple[int, Iterable[Line]]:
    """Read the jobs once before anything is sent: a file that is broken as a whole is refused as a whole.

    What is no file can be read only once, and whoever writes it would stop the event loop: it is held in memory.
    """
    if jobs.is_file():
        return sum(1 for _ in read_jobs(jobs)), read_jobs(jobs)
    lines = list(read_jobs(jobs))
    return len(lines), lines


@contextmanager
def _reporting(
    jobs: Path, total: int, results: str | None, desk: AsyncDesk | None, *, requests: int = 1
) -> Generator[tuple[Report, Display]]:
    """Show the results, and write them where they are wanted: a run goes on where that cannot be done."""
    file = None if results in (None, "-") else Path(results).open("w", encoding="utf-8")  # noqa: SIM115 - closing it may fail
    try:
        with Display(jobs.name, total, desk, requests=requests) as display:
            is_written = results is not None

            def report(result: Result) -> None:
                nonlocal is_written
                display.report(result)
                if is_written:
                    try:
                        print_json(result.to_dict(), file)
                    except OSError as error:
                        is_written = False
                        display.note(
                            f"--results {results}: {error.strerror}; the run goes on, and writes no more there"
                        )

            yield report, display
    finally:
        if file is not None:
            # What could not be written cannot be written now either.
            with suppress(OSError):
                file.close()


def _origin(url: str) -> str:
    parsed = httpx.URL(url)
    return f"{parsed.scheme}://{parsed.netloc.decode()}"


def _status_of_all(counts: Counter[Fate]) -> int:
    return UNKNOWN if counts["unknown"] else FAILED if counts["failed"] else DONE


@contextmanager
def _first_interrupt(stop: Callable[[], None]) -> Generator[None]:
    """Let the first Ctrl-C or SIGTERM call a function; the second is as ever."""
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def interrupted(*_: object) -> None:
        restore()
        loop.call_soon_threadsafe(stop)

    for number, handler in before.items():
        # A shell wishes that its background jobs ignore Ctrl-C.
        if handler != signal.SIG_IGN:
            signal.signal(number, interrupted)
    try:
        yield
    finally:
        restore()
