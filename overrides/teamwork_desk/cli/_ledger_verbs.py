"""`teamwork-desk ledger`: show what is in a ledger, settle what is open or unknown, forget conversations."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import attrs
import typer
from typer.core import TyperGroup

from teamwork_desk import AsyncDesk, DeskError
from teamwork_desk._checks import printable, ticket_page

from ._convert_many import SETTLE
from ._errors import CommandError
from ._ledger import Ledger
from ._ledger_show import describe, print_ledger, print_ledger_as_json
from ._records import Record, State
from ._settle import Settled, settle, way_on
from ._shell import (
    DONE,
    FAILED,
    INTERRUPTED,
    UNKNOWN,
    Url,
    ask_for_token,
    exit_on_error,
    print_error,
    print_json,
    run,
)

File: TypeAlias = Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The ledger.", show_default=False)]


class _ShowByDefault(TyperGroup):
    """A group whose verb may be left out: `ledger run.sqlite` is `ledger show run.sqlite`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = ["show", *args]
        return super().parse_args(ctx, args)


ledger = typer.Typer(name="ledger", cls=_ShowByDefault, no_args_is_help=True)


@ledger.callback()
def _ledger() -> None:
    """Show, settle or correct the ledger of convert-many.

    `teamwork-desk ledger run.sqlite` is the same as `teamwork-desk ledger show run.sqlite`. If a file is called show,
    settle or forget, write ./ before its name.

    Example: `teamwork-desk ledger run.sqlite`
    """


@ledger.command()
def show(
    file: File,
    *,
    state: Annotated[State | None, typer.Option(help="List all conversations in this state, and no others.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print all conversations as JSON instead of a table.")
    ] = False,
) -> None:
    """Show how many conversations there are in each state, and which of them are not done.

    It needs no token, and changes nothing.

    Example: `teamwork-desk ledger run.sqlite --state failed`
    """
    with exit_on_error():
        with Ledger.in_memory(file) as copy:
            origin, records = copy.origin, copy.records()

        def url(ticket_id: int | None) -> str | None:
            return ticket_page(origin, ticket_id) if origin and ticket_id else None

        if as_json:
            print_ledger_as_json(origin, records, state, url)
        else:
            print_ledger(file, origin, records, state, url)
            if any(record.may_be_converted for record in records):
                typer.echo(printable(f"Some are open or unknown. {way_on(file)}"), err=True)


@ledger.command("settle")
def settle_(
    file: File,
    *,
    url: Url = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a line of JSON for each conversation.")] = False,
) -> None:
    """Look up the conversations that are open or unknown, and convert nothing.

    A conversation that has a ticket becomes done. A conversation that Desk lists without a ticket becomes failed, so
    that the next run retries it, unless its request left within the last 30 seconds and may still be running. All
    others stay as they are. The exit status is 3 if a conversation is still open or unknown.

    Example: `teamwork-desk ledger settle run.sqlite`
    """
    token = ask_for_token()

    async def work() -> int:
        counts: Counter[str] = Counter()
        async with AsyncDesk(url, token=token) as desk:
            # The client knows its origin, wherever the URL came from.
            origin = desk.ticket_url(1).removesuffix("/desk/tickets/1")
            with Ledger(file, origin) as opened:
                try:
                    async for settled in settle(opened, desk, SETTLE):
                        counts[settled.state] += 1
                        _print_settled(file, settled, as_json=as_json)
                except DeskError as error:
                    print_error(error)
                opened.check_place()
                left = len(opened.unsettled())
        summary = f"{file}: {counts['done']} done, {counts['failed']} failed, {left} still open or unknown"
        typer.echo(printable(summary if counts or left else f"{file}: nothing is open or unknown"), err=as_json)
        return UNKNOWN if left else DONE

    run(work())


def _print_settled(file: Path, settled: Settled, *, as_json: bool) -> None:
    if as_json:
        print_json(attrs.asdict(settled))
        return
    if settled.state == "done":
        what = f"done, ticket {settled.ticket_id}, {settled.ticket_url}"
    else:
        what = f"{'still ' * (settled.state == settled.was)}{settled.state}: {settled.message}"
    if not settled.is_listed and not settled.may_be_running:
        command = ["teamwork-desk", "ledger", "forget", str(file), str(settled.conversation_id)]
        what += f"; to make the ledger forget it: {shlex.join(command)}"
    typer.echo(printable(f"conversation {settled.conversation_id}: {what}"))


@ledger.command()
def forget(
    file: File,
    conversation_ids: Annotated[
        list[int],
        typer.Argument(metavar="ID...", help="The conversations: open, unknown or failed.", show_default=False),
    ],
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Make the ledger forget conversations that no listing of Desk shows any more.

    The next run of a jobs file with such a conversation converts it as if no run had tried before. So the command asks
    first; without a terminal, it needs --yes. Files that were uploaded for the conversation stay at Desk, and their
    ids are printed. A conversation that is done cannot be forgotten.

    Example: `teamwork-desk ledger forget run.sqlite 42`
    """
    with exit_on_error(), Ledger(file, None) as opened:
        known = {record.conversation_id: record for record in opened.records()}
        wanted = dict.fromkeys(conversation_ids)
        for each in wanted:
            if each not in known:
                raise CommandError(f"{file}: the ledger does not know conversation {each}")
            if known[each].state == "done":
                raise CommandError(
                    f"{file}: conversation {each} has ticket {known[each].ticket_id}, and is not forgotten"
                )
        if not yes:
            _ask([known[each] for each in wanted])
        files = {each: ", ".join(map(str, opened.uploads(each).values())) for each in wanted}
        opened.forget(wanted)
    for each, ids in files.items():
        typer.echo(
            f"conversation {each}: forgotten" + (f"; uploaded for it, and still at Desk: file {ids}" if ids else "")
        )


def _ask(records: Sequence[Record]) -> None:
    """Ask whether to forget conversations, and end the command unless the user agrees.

    Raises:
        CommandError: There is no terminal.
    """
    if sys.stdin is None or not sys.stdin.isatty():
        raise CommandError("without a terminal, the command cannot ask whether to forget; use --yes")
    for record in records:
        typer.echo(describe(record, None), err=True)
    typer.echo(
        "The next run of a jobs file with these conversations converts them as if no run had tried before. "
        "If Desk has converted one of them, and the next run does not find its ticket, the customer gets a second one.",
        err=True,
    )
    try:
        agrees = typer.confirm("Forget them?" if len(records) > 1 else "Forget it?", err=True)
    except typer.Abort:
        raise typer.Exit(INTERRUPTED) from None
    if not agrees:
        typer.echo("nothing was changed", err=True)
        raise typer.Exit(FAILED)
