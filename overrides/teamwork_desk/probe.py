"""What Desk really sends, held against the contract: `python -m teamwork_desk.probe`.

It reads one page of conversations of the installation in `TEAMWORK_DESK_URL`, with the token in `TEAMWORK_DESK_TOKEN`,
and changes nothing. It tells the paths and the JSON types of what the contract does not foresee, never a value.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections import Counter
from typing import Any, TypeAlias

import attrs

from teamwork_desk_api.api.conversations.list_conversations import list_conversations
from teamwork_desk_api.models import ConversationPage
from teamwork_desk_api.types import At, Hook, unforeseen

from . import AsyncDesk, DeskError
from ._checks import printable

Drift: TypeAlias = Counter[tuple[str, str, str]]
"""How often a path held something else than the contract says: (path, expected, got)."""
PAGE_SIZE = 100


async def probe(desk: AsyncDesk) -> tuple[int, Drift]:
    """Compare one page of conversations with the contract.

    Args:
        desk: The installation; it is only read.

    Returns:
        How many conversations were compared, and the drift; of what the contract does not know it expects "nothing".

    Raises:
        DeskError: The page cannot be had, or not be read at all.
    """
    drift: Drift = Counter()

    def record(path: str, expected: str, got: str) -> None:
        drift[path, expected, got] += 1

    def decode(payload: Any, _: Hook) -> ConversationPage:
        return request.decode(payload, record)

    request = list_conversations(page=1, page_size=PAGE_SIZE)
    page = await desk.send(attrs.evolve(request, decode=decode))
    _record_unknown(page, None, record)
    return len(page.conversations or ()), drift


def _record_unknown(model: Any, at: At, hook: Hook) -> None:
    for key, value in model.additional_properties.items():
        unforeseen(value, at, key, hook, "nothing")
    names: dict[str, str] = {field.name: field.name for field in attrs.fields(model.__class__)}
    del names["additional_properties"]
    # Written as JSON, a model whose values are its attributes' names tells which key each attribute has.
    for key, name in model.__class__(**names).to_dict().items():
        value = getattr(model, name)
        is_list = value.__class__ is list
        for part in value if is_list else [value]:
            if hasattr(part, "additional_properties"):
                _record_unknown(part, ((at, key), "[]") if is_list else (at, key), hook)


async def probe_and_print(url: str | None = None, *, token: str | None = None, as_json: bool = False) -> int:
    """Probe an installation, and print what came.

    Args:
        url: The installation's origin, else `TEAMWORK_DESK_URL`.
        token: The token, else `TEAMWORK_DESK_TOKEN`.
        as_json: Whether to print JSON instead of a table.

    Returns:
        The exit status: 0 where there is no drift, 1 where there is, 2 where the page cannot be had.
    """
    try:
        async with AsyncDesk(url, token=token) as desk:
            compared, drift = await probe(desk)
    except DeskError as error:
        print(f"{type(error).__name__}: {printable(str(error))}", file=sys.stderr)  # noqa: T201
        return 2
    print((_json if as_json else _table)(compared, drift), flush=True)  # noqa: T201
    return 1 if drift else 0


def main() -> int:
    """Probe the installation that the environment names; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m teamwork_desk.probe",
        description=__doc__,
        epilog="Example: python -m teamwork_desk.probe --json",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return asyncio.run(probe_and_print(as_json=parser.parse_args().json))


def _json(compared: int, drift: Drift) -> str:
    keys = ("path", "expected", "got", "count")
    rows = [dict(zip(keys, (*where, count), strict=True)) for where, count in sorted(drift.items())]
    return json.dumps({"conversations": compared, "drift": rows})


def _table(compared: int, drift: Drift) -> str:
    found = [(printable(path), expected, got, str(count)) for (path, expected, got), count in sorted(drift.items())]
    rows = [("path", "contract", "came", "times"), *found]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows] if found else []
    return "\n".join([*lines, f"conversations compared: {compared}; kinds of drift: {len(drift)}"])


if __name__ == "__main__":
    sys.exit(main())
