"""`teamwork-desk ids`: print the ids of inboxes, statuses and the other objects that a ticket refers to."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Sequence
from difflib import get_close_matches
from typing import Annotated, Any

import attrs
import typer
from rich.table import Table
from rich.text import Text

from teamwork_desk import AsyncDesk, Resource
from teamwork_desk._arguments import NAMED
from teamwork_desk._checks import is_list, printable
from teamwork_desk._references import KINDS

from ._console import console_on
from ._shell import Url, ask_for_token, print_json, run

_KINDS = tuple(attribute.replace("_", "-") for attribute in KINDS)


def _kind(text: str) -> str:
    """Return a kind as the client's attribute. The singular is accepted, too, and an underscore or a space."""
    wanted = re.sub("[-_ ]+", "_", text.strip().lower())
    for kind in KINDS.values():
        if wanted in (kind.attribute, kind.noun.replace(" ", "_")):
            return kind.attribute
    similar = [NAMED[wanted.removesuffix("s")].replace("_", "-")] if wanted.removesuffix("s") in NAMED else []
    similar += get_close_matches(wanted.replace("_", "-"), _KINDS, n=1)
    hint = f"; did you mean {similar[0]}?" if similar else ""
    raise typer.BadParameter(f"expected one of {', '.join(_KINDS)}{hint}")


def ids(
    kind: Annotated[
        str,
        typer.Argument(
            help=f"The kind of the objects: {', '.join(_KINDS)}.", metavar="KIND", parser=_kind, show_default=False
        ),
    ],
    name: Annotated[
        str | None,
        typer.Argument(help="Only the object with this name, email address, code or label.", show_default=False),
    ] = None,
    *,
    url: Url = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSONL instead of a table.")] = False,
) -> None:
    """Print the ids of all inboxes, statuses and so on, or of the object with a name.

    Example: `teamwork-desk ids inboxes Support`
    """
    token = ask_for_token()

    async def work() -> None:
        async with AsyncDesk(url, token=token) as desk:
            found: list[Any] = []
            async for each in _objects(getattr(desk, kind), name):
                # What the contract does not describe is left out: it may hold a mailbox's settings.
                shown = attrs.evolve(each, additional_properties={})
                if as_json:
                    print_json(shown.to_dict())
                found.append(shown)
        if not found:
            typer.echo(f"there are no {KINDS[kind].plural}", err=True)
        elif not as_json:
            _print_table(found)

    run(work())


async def _objects(resource: Resource[Any], name: str | None) -> AsyncGenerator[Any]:
    if name is not None:
        yield await resource.find(name)
        return
    async for each in resource.list():
        yield each


def _print_table(objects: Sequence[Any]) -> None:
    console = console_on("stdout")
    model: Any = objects[0].__class__
    names: list[str] = [field.name for field in attrs.fields(model)]
    names.remove("additional_properties")
    columns = [name for name in names if any(getattr(each, name) is not None for each in objects)]
    table = Table()
    for column in columns:
        table.add_column(column, justify="right" if column == "id" else "left", overflow="fold")
    for each in objects:
        table.add_row(*(Text(_cell(getattr(each, column))) for column in columns))
    console.print(table)


def _cell(value: Any) -> str:
    if is_list(value):
        # The only lists are references, such as the inboxes of a type.
        return ", ".join(_cell(part.id) for part in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else printable(str(value))
