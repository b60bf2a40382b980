"""Where the results of a run go: the display, and the file of `--results`."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TypeAlias

import attrs

from teamwork_desk import AsyncDesk

from ._jobs import name_of
from ._result import Report, Result
from ._shell import ticket_url
from ._show import Display

Reports: TypeAlias = AbstractContextManager[tuple[Report, Display]]


@contextmanager
def reporting(
    jobs: Path, total: int, results: str | None, desk: AsyncDesk | None, *, limit: float, is_quiet: bool
) -> Generator[tuple[Report, Display]]:
    """Show the results, and write them to a file if one is given. If that fails, the run continues without it."""
    file = None if results in (None, "-") else Path(results).open("w", encoding="utf-8")  # noqa: SIM115 - closing the file may fail
    try:
        # The report of a dry run is what the command produces, so it goes to standard output unless the results do.
        stream = "stdout" if desk is None and results != "-" else "stderr"
        with Display(name_of(jobs), total, desk, stream, limit=limit, is_quiet=is_quiet) as display:
            is_written = results is not None

            def report(result: Result) -> None:
                nonlocal is_written
                if desk is not None:
                    result = attrs.evolve(result, ticket_url=ticket_url(desk, result.ticket_id))
                display.report(result)
                if is_written:
                    try:
                        display.print_json(result.to_dict(), file)
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
