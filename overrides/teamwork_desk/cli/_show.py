"""The output of a run on standard error: a progress bar or a line for each job, and a table at the end."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self, TextIO

from rich.console import RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task
from rich.table import Table
from rich.text import Text

from teamwork_desk import AsyncDesk, RateLimit
from teamwork_desk._checks import printable

from ._console import console_on, is_a_terminal
from ._result import Kind, Result
from ._shell import print_json

MEANINGS: dict[Kind, str] = {
    "created": "converted",
    "already": "had a ticket already",
    "skipped": "converted by an earlier run",
    "excluded": "not failed in the ledger, so not tried",
    "failed": "not converted; correct the job or retry",
    "unknown": "may have been converted; the next run looks first",
}
DRY_RUN_MEANINGS: dict[Kind, str] = {
    "planned": "would be converted",
    "skipped": "converted by an earlier run",
    "excluded": "not failed in the ledger, so not tried",
    "failed": "would be refused",
    "unknown": "may have been converted, and would be refused",
}
WINDOW = 60
"""The length of a rate window in seconds, as documented."""
SHOWN = 20
"""The most ids that a message lists."""
_STYLES: dict[Kind, str] = {
    "planned": "green",
    "created": "green",
    "already": "green",
    "skipped": "dim",
    "excluded": "dim",
    "failed": "red",
    "unknown": "yellow",
}


class Display:
    """Shows and counts the results of a run.

    Args:
        source: The jobs file's name.
        total: The number of jobs.
        desk: The client that converts; None in a dry run.
        stream: `stdout` or `stderr`.
        limit: How many jobs are tried at most.
        is_quiet: Whether to show only what failed, and what somebody must look at.

    Attributes:
        counts: How many results of each kind there are.
        hidden: The class of the errors that are only counted, because enough of them were shown.
        left_open: How many jobs have sent their conversion, and have no result, because the run was stopped at once.
    """

    def __init__(
        self,
        source: str,
        total: int,
        desk: AsyncDesk | None,
        stream: str = "stderr",
        *,
        limit: float = math.inf,
        is_quiet: bool = False,
    ) -> None:
        self.counts: Counter[Kind] = Counter()
        self.hidden: str | None = None
        self.left_open = 0
        self._source = source
        self._console = console_on(stream)
        self._meanings = DRY_RUN_MEANINGS if desk is None else MEANINGS
        # The progress bar counts the successful jobs, so that only failed jobs need a line.
        self._has_bar = self._console.is_interactive and desk is not None and not is_quiet
        # While the bar is shown, standard output may be an object of rich that knows nothing of terminals.
        self._has_terminal_output = is_a_terminal("stdout")
        self._is_quiet = is_quiet
        self._total = total
        self._progress = _Progress(
            BarColumn(bar_width=16),
            MofNCompleteColumn(),
            _Speed(desk, self.counts, limit),
            below=lambda: _below(self.counts, desk, self._console.width),
            console=self._console,
            # On a terminal, rich prints the results above the bar. A file or a pipe must not pass through rich.
            redirect_stdout=self._has_terminal_output,
            disable=not self._has_bar,
        )
        self._task = self._progress.add_task("", total=total)

    def __enter__(self) -> Self:
        if self._has_bar:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._has_bar:  # rich 13 ends even a bar that is not shown with an empty line
            self._progress.stop()
        if not self._is_quiet or self.counts["failed"] or self.counts["unknown"]:
            self._print_table()

    @property
    def not_started(self) -> int:
        """How many jobs have no result, and nothing was sent for them."""
        return max(0, self._total - self.counts.total() - self.left_open)

    def remark(self, text: str) -> None:
        """Print a message that asks for nothing: it is left out if the display is quiet."""
        if not self._is_quiet:
            self.note(text)

    def note(self, text: str) -> None:
        """Print a message."""
        if self._has_bar:
            self._console.print(printable(text), soft_wrap=True)
        else:  # Without a bar, rich would only take time.
            print(printable(text), file=self._console.file)

    def print_json(self, value: Any, file: TextIO | None) -> None:
        """Print a value as one line of JSON.

        Args:
            value: The value.
            file: The file; None is standard output.
        """
        if file is None and self._has_bar and self._has_terminal_output:
            # rich would break the line at the terminal's width, and a copy of it would not be JSON.
            self._console.print(json.dumps(value), soft_wrap=True)
        else:
            print_json(value, file)

    def report(self, result: Result) -> None:
        """Count a result, and print a line about it unless the progress bar suffices."""
        self.counts[result.kind] += 1
        self._progress.advance(self._task)
        is_shown = result.error != self.hidden if result.error else not (self._has_bar or self._is_quiet)
        if is_shown:
            self.note(f"{self._source}:{result.line}: {describe(result, self._meanings)}")

    def _print_table(self) -> None:
        table = Table(title=printable(self._source), title_justify="left", caption_justify="left")
        table.add_column("outcome")
        table.add_column("jobs", justify="right")
        table.add_column("meaning")
        for kind, meaning in self._meanings.items():
            if self.counts[kind]:
                table.add_row(Text(kind, _STYLES[kind]), str(self.counts[kind]), meaning)
        if self.left_open:
            table.add_row(Text("open", _STYLES["unknown"]), str(self.left_open), MEANINGS["unknown"])
        if self.not_started:
            table.add_row("not started", str(self.not_started), "nothing was sent for them")
        table.add_section()
        table.add_row("total", str(self.counts.total() + self.left_open + self.not_started), "")
        self._console.print(table)


class _Progress(Progress):
    """A progress bar with a text below it.

    Args:
        *columns: The columns of the bar.
        below: Returns the text.
        **options: The options of `Progress`.
    """

    def __init__(self, *columns: ProgressColumn, below: Callable[[], Text], **options: Any) -> None:
        self._below = below
        super().__init__(*columns, **options)

    def get_renderables(self) -> Iterator[RenderableType]:
        yield from super().get_renderables()
        yield self._below()


def _below(counts: Counter[Kind], desk: AsyncDesk | None, width: int) -> Text:
    """Return the counts and the rate window: on one line if there is room."""
    parts = [(f"{counts[kind]} {kind}", _STYLES[kind]) for kind in MEANINGS if counts[kind] or kind == "created"]
    text = Text(", ").join(Text(*part) for part in parts)
    shown = window(desk.rate_limit if desk else None, datetime.now(UTC))
    return text.append("; " if len(text) + len(shown) + 2 <= width else "\n").append(shown, "cyan")


class _Speed(ProgressColumn):
    """The speed of the conversions, and the time that is left."""

    def __init__(self, desk: AsyncDesk | None, counts: Counter[Kind], limit: float = math.inf) -> None:
        super().__init__()
        self._limit = limit
        self._desk = desk
        self._counts = counts

    def render(self, task: Task) -> Text:
        # Jobs that are not tried take no time, so that they say nothing about the speed.
        completed = task.completed - self._counts["skipped"] - self._counts["excluded"]
        elapsed = task.elapsed or 0
        if task.remaining is None or not completed or not elapsed:
            return Text("")
        rate_limit = self._desk.rate_limit if self._desk else None
        remaining = min(task.remaining, max(0, self._limit - completed))
        at_this_speed = elapsed / completed * remaining
        seconds = max(at_this_speed, windows_left(int(remaining), rate_limit, datetime.now(UTC)))
        return Text(f"{60 * completed / elapsed:.0f} a minute, {timedelta(seconds=math.ceil(seconds))} left")


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
        return "rate limit not known yet"
    seconds = math.ceil((rate_limit.reset_at - now).total_seconds())
    used = f"{rate_limit.limit - rate_limit.remaining} of {rate_limit.limit} requests used"
    return f"{used}, {seconds} s left" if seconds > 0 else used


def describe(result: Result, meanings: dict[Kind, str] = MEANINGS) -> str:
    """Return a result as a sentence.

    Args:
        result: The result.
        meanings: The meaning of each kind of result.
    """
    subject = "job" if result.conversation_id is None else f"conversation {result.conversation_id}"
    page = f", {result.ticket_url}" if result.ticket_url else ""
    if result.error:
        what = result.kind if meanings is MEANINGS else meanings[result.kind]
        request = f", request id {result.request_id}" if result.request_id else ""
        return f"{subject}: {what}{page}: {result.error}: {result.message}{request}"
    if result.kind == "already":
        return f"{subject}: already had ticket {result.ticket_id}{page}"
    ticket = f", ticket {result.ticket_id}" if result.ticket_id else ""
    return f"{subject}: {meanings[result.kind]}{ticket}{page}"


def shortened(ids: Sequence[int]) -> str:
    """Return ids as text. After the first ids, only their number follows."""
    more = f" and {len(ids) - SHOWN} more" if len(ids) > SHOWN else ""
    return ", ".join(map(str, ids[:SHOWN])) + more
