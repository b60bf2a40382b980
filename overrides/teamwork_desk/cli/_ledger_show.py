"""What `teamwork-desk ledger` prints: tables on a terminal, and a line for each conversation elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import attrs
import typer
from rich import box
from rich.table import Table
from rich.text import Text

from teamwork_desk._checks import printable

from ._console import console_on, is_a_terminal
from ._records import Record, State, seconds_since
from ._shell import print_json
from ._show import SHOWN

TicketUrl: TypeAlias = Callable[[int | None], str | None]
MEANINGS: dict[State, str] = {
    "done": "converted; a run skips them",
    "failed": "not converted; a run retries",
    "open": "a run ended without an outcome",
    "unknown": "the outcome is not known",
}
_STYLES: dict[State, str] = {"done": "green", "failed": "red", "open": "yellow", "unknown": "yellow"}


def print_ledger(
    path: Path, origin: str | None, records: Sequence[Record], state: State | None, url: TicketUrl
) -> None:
    """Print how many conversations there are in each state, and list those of which a user may want to know more.

    Args:
        path: The ledger.
        origin: The installation that it belongs to.
        records: All its records.
        state: The only state whose conversations are listed. None lists all that are not done.
        url: Returns the address of a ticket's page.
    """
    counts: Counter[State] = Counter(record.state for record in records)
    listed: dict[State, list[Record]] = {
        each: [record for record in records if record.state == each]
        for each in MEANINGS
        if each == state or (state is None and each != "done")
    }
    if is_a_terminal("stdout"):
        _print_tables(path, origin, counts, listed, url, is_short=state is None)
        return
    typer.echo(printable(f"{path}: {origin or 'no installation'}"))
    for each in MEANINGS:
        typer.echo(f"{each}: {counts[each]}")
    for found in listed.values():
        for record in found:
            typer.echo(describe(record, url(record.ticket_id)))


def print_ledger_as_json(origin: str | None, records: Sequence[Record], state: State | None, url: TicketUrl) -> None:
    """Print the counts of all states and the conversations, as one object.

    Args:
        origin: The installation that the ledger belongs to.
        records: All its records.
        state: The only state whose conversations are listed. None lists all.
        url: Returns the address of a ticket's page.
    """
    counts = Counter(record.state for record in records)
    conversations = [to_dict(record, url(record.ticket_id)) for record in records if state in (None, record.state)]
    print_json({"origin": origin, "counts": {each: counts[each] for each in MEANINGS}, "conversations": conversations})


def to_dict(record: Record, ticket_url: str | None) -> dict[str, Any]:
    """Return a record as a JSON object.

    Args:
        record: The record.
        ticket_url: The address of its ticket's page.
    """
    values = attrs.asdict(record)
    first = {name: values.pop(name) for name in ("conversation_id", "state", "ticket_id")}
    return {**first, "ticket_url": ticket_url, **values}


def describe(record: Record, ticket_url: str | None) -> str:
    """Return a record as a sentence.

    Args:
        record: The record.
        ticket_url: The address of its ticket's page.
    """
    parts = [f"{record.state} since {record.since}"]
    if record.ticket_id:
        parts += [f"ticket {record.ticket_id}", *([ticket_url] if ticket_url else [])]
    if reason := _reason(record):
        parts.append(reason)
    parts.append("1 attempt" if record.attempts == 1 else f"{record.attempts} attempts")
    return printable(f"conversation {record.conversation_id}: {', '.join(parts)}")


def _reason(record: Record) -> str:
    return record.error or ("no ticket found" if record.state == "failed" else "")


def _print_tables(
    path: Path,
    origin: str | None,
    counts: Counter[State],
    listed: dict[State, list[Record]],
    url: TicketUrl,
    *,
    is_short: bool,
) -> None:
    console = console_on("stdout")
    totals = Table(title=printable(f"{path}: {origin or 'no installation'}"), title_justify="left")
    totals.add_column("state")
    totals.add_column("conversations", justify="right")
    totals.add_column("meaning")
    for each, meaning in MEANINGS.items():
        totals.add_row(Text(each, _STYLES[each] if counts[each] else "dim"), str(counts[each]), meaning)
    console.print(totals)
    for each, found in listed.items():
        if found:
            shown = found[:SHOWN] if is_short else found
            console.print(_table(each, shown, url))
            if more := len(found) - len(shown):
                console.print(f"... and {more} more; --state {each} lists all, and so does --json", soft_wrap=True)


def _table(state: State, records: Sequence[Record], url: TicketUrl) -> Table:
    table = Table(title=Text(state, _STYLES[state]), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("id", justify="right")
    if state == "done":
        # The address of a ticket's page needs the room, so that it can be copied.
        table.add_column("ticket", overflow="fold")
        for record in records:
            table.add_row(str(record.conversation_id), printable(url(record.ticket_id) or ""))
        return table
    for column in ("changed", "error"):
        table.add_column(column)
    table.add_column("attempts", justify="right")
    for record in records:
        table.add_row(str(record.conversation_id), ago(record.since), _reason(record), str(record.attempts))
    return table


def ago(since: str, now: datetime | None = None) -> str:
    """Return how long ago a time is, such as `3 h ago`.

    Args:
        since: The time in ISO 8601.
        now: The current time. The default is the clock's.
    """
    seconds = seconds_since(since, now or datetime.now(UTC))
    if seconds is None or seconds < 0:  # a clock that was set back makes the time lie in the future
        return str(since)
    for unit, length in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"
