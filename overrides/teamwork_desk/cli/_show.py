"""The output of a run on standard error: a progress bar or a line for each job, and a table at the end."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task
from rich.table import Table
from rich.text import Text

from teamwork_desk import AsyncDesk, RateLimit
from teamwork_desk._checks import printable

from ._console import console_on, is_a_terminal
from ._run import JobState, Result

MEANINGS: dict[JobState, str] = {
    "done": "converted",
    "skipped": "converted by an earlier run",
    "failed": "not converted; correct the job or retry",
    "unknown": "may have been converted; the next run looks first",
}
DRY_RUN_MEANINGS: dict[JobState, str] = {
    "planned": "would be converted",
    "skipped": "converted by an earlier run",
    "failed": "would be rejected",
    "unknown": "may have been converted, and would be rejected",
}
WINDOW = 60
"""The length of a rate window in seconds, as documented."""
SHOWN = 20
"""The most ids that a message lists."""
_STYLES: dict[JobState, str] = {
    "planned": "green",
    "done": "green",
    "skipped": "dim",
    "failed": "red",
    "unknown": "yellow",
}


class Display:
    """Shows and counts the results of a run.

    Args:
        source: The jobs file's name.
        total: The number of jobs.
        desk: The client that converts; None in a dry run.
    """

    def __init__(self, source: str, total: int, desk: AsyncDesk | None) -> None:
        self.counts: Counter[JobState] = Counter()
        self._source = source
        self._console = console_on("stderr")
        self._meanings = DRY_RUN_MEANINGS if desk is None else MEANINGS
        # The progress bar counts the successful jobs, so that only failed jobs need a line.
        self._has_bar = self._console.is_interactive and desk is not None
        self._progress = Progress(
            BarColumn(bar_width=16),
            MofNCompleteColumn(),
            _Counts(self.counts),
            _Window(desk),
            _TimeLeft(desk),
            console=self._console,
            # On a terminal, rich prints the results above the bar. A file or a pipe must not pass through rich.
            redirect_stdout=is_a_terminal("stdout"),
            disable=not self._has_bar,
        )
        self._task = self._progress.add_task("", total=total)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._progress.stop()
        self._print_table()

    def note(self, text: str) -> None:
        """Print a message."""
        self._console.print(printable(text), soft_wrap=True)

    def report(self, result: Result) -> None:
        """Count a result, and print a line about it unless the progress bar suffices."""
        self.counts[result.state] += 1
        self._progress.advance(self._task)
        if not self._has_bar or result.error:
            self.note(f"{self._source}:{result.line}: {describe(result, self._meanings)}")

    def _print_table(self) -> None:
        table = Table(title=printable(self._source), title_justify="left", caption_justify="left")
        table.add_column("outcome")
        table.add_column("jobs", justify="right")
        table.add_column("meaning")
        for state, meaning in self._meanings.items():
            if self.counts[state]:
                table.add_row(Text(state, _STYLES[state]), str(self.counts[state]), meaning)
        table.add_section()
        table.add_row("total", str(self.counts.total()), "")
        self._console.print(table)


class _Counts(ProgressColumn):
    def __init__(self, counts: Counter[JobState]) -> None:
        super().__init__()
        self._counts = counts

    def render(self, task: Task) -> Text:  # noqa: ARG002 - rich's interface
        parts = [
            (f"{self._counts[state]} {state}", _STYLES[state])
            for state in MEANINGS
            if self._counts[state] or state == "done"
        ]
        return Text(", ").join(Text(*part) for part in parts)


class _Window(ProgressColumn):
    def __init__(self, desk: AsyncDesk | None) -> None:
        super().__init__()
        self._desk = desk

    def render(self, task: Task) -> Text:  # noqa: ARG002 - rich's interface
        return Text(window(self._desk.rate_limit if self._desk else None, datetime.now(UTC)), "cyan")


class _TimeLeft(ProgressColumn):
    def __init__(self, desk: AsyncDesk | None) -> None:
        super().__init__()
        self._desk = desk

    def render(self, task: Task) -> Text:
        if task.remaining is None or not task.completed:
            return Text("")
        at_this_speed = (task.elapsed or 0) / task.completed * task.remaining
        rate_limit = self._desk.rate_limit if self._desk else None
        seconds = max(at_this_speed, windows_left(int(task.remaining), rate_limit, datetime.now(UTC)))
        return Text(f"{timedelta(seconds=math.ceil(seconds))} left")


def windows_left(requests: int, rate_limit: RateLimit | None, now: datetime) -> float:
    """Return the least seconds that a number of requests takes because of the rate window.

    Args:
        requests: The number of requests that are left.
        rate_limit: The rate window, if it is known.
        now: The current time.
    """
    if rate_limit is None or requests <= rate_limit.remaining:
        return 0
    whole_windows = (requests - rate_limit.remaining - 1) // rate_limit.limit
    return max(0, (rate_limit.reset_at - now).total_seconds()) + whole_windows * WINDOW


def window(rate_limit: RateLimit | None, now: datetime) -> str:
    """Describe what is left of the rate window.

    Args:
        rate_limit: The rate window, if it is known.
        now: The current time.
    """
    if rate_limit is None:
        return "window ?"
    seconds = math.ceil((rate_limit.reset_at - now).total_seconds())
    left = f"window {rate_limit.remaining}/{rate_limit.limit}"
    return f"{left}, {seconds} s" if seconds > 0 else left


def describe(result: Result, meanings: dict[JobState, str] = MEANINGS) -> str:
    """Return a result as a sentence.

    Args:
        result: The result.
        meanings: The meaning of each state.
    """
    subject = "job" if result.conversation_id is None else f"conversation {result.conversation_id}"
    what = result.state if result.error else meanings[result.state]
    ticket = f", ticket {result.ticket_id}" if result.ticket_id else ""
    page = f", {result.ticket_url}" if result.ticket_url else ""
    request = f", request id {result.request_id}" if result.request_id else ""
    return f"{subject}: {what}{ticket}{page}" + (f": {result.error}: {result.message}{request}" if result.error else "")


def shortened(ids: Sequence[int]) -> str:
    """Return ids as text. After the first ids, only their number follows."""
    more = f" and {len(ids) - SHOWN} more" if len(ids) > SHOWN else ""
    return ", ".join(map(str, ids[:SHOWN])) + more
