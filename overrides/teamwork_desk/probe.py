"""Compare what Desk really sends with the contract: `python -m teamwork_desk.probe`.

It reads one page of conversations from the installation in `TEAMWORK_DESK_URL`, with the token in
`TEAMWORK_DESK_TOKEN`, and changes nothing. For each difference it reports the path and the JSON types, but never a
value, because a value may be personal data.
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
"""How often each difference was found. A difference is a path, the expected JSON type and the actual one."""

PAGE_SIZE = 100
"""How many conversations to compare. Desk does not send more of them on one page."""


async def probe(desk: AsyncDesk) -> tuple[int, Drift]:
    """Compare one page of conversations with the contract.

    Args:
        desk: The client of the installation. The probe only reads.

    Returns:
        How many conversations were compared, and the differences. For a field that the contract does not know, the
        expected type is "nothing".

    Raises:
        DeskError: The request for the page failed, or its response cannot be read.
    """
    drift: Drift = Counter()

    def record(path: str, expected: str, got: str) -> None:
        drift[path, expected, got] += 1

    def decode(payload: Any, _: Hook) -> ConversationPage:
        return request.decode(payload, record)

    request = list_conversations(page=1, page_size=PAGE_SIZE)
    # Decoding reports every value of an unexpected type to its hook, so let it report to this probe.
    page = await desk.send(attrs.evolve(request, decode=decode))
    # It does not report unknown fields: they are not an error. The models keep them.
    _record_unknown(page, None, record)
    return len(page.conversations or ()), drift


def _record_unknown(model: Any, at: At, hook: Hook) -> None:
    """Report the unknown fields of a model and of the models in it.

    Args:
        model: The model.
        at: Where the model is in the response.
        hook: Called with each unknown field.
    """
    for key, value in model.additional_properties.items():
        unforeseen(value, at, key, hook, "nothing")
    model_class = model.__class__
    names: dict[str, str] = {field.name: field.name for field in attrs.fields(model_class)}
    del names["additional_properties"]
    # A report needs the JSON key of each attribute. To get the keys, encode a model in which the value of each
    # attribute is the attribute's own name.
    for key, name in model_class(**names).to_dict().items():
        value = getattr(model, name)
        is_list = type(value) is list
        for part in value if is_list else [value]:
            if hasattr(part, "additional_properties"):
                _record_unknown(part, ((at, key), "[]") if is_list else (at, key), hook)


async def probe_and_print(url: str | None = None, *, token: str | None = None, as_json: bool = False) -> int:
    """Probe an installation, and print the differences.

    Args:
        url: The installation's origin. The default is the environment variable `TEAMWORK_DESK_URL`.
        token: The token. The default is the environment variable `TEAMWORK_DESK_TOKEN`.
        as_json: Whether to print JSON instead of a table.

    Returns:
        The exit status: 0 if there is no difference, 1 if there is a difference, 2 if the request failed.
    """
    try:
        async with AsyncDesk(url, token=token) as desk:
            compared, drift = await probe(desk)
    except DeskError as error:
        request = f", request id {error.request_id}" if error.request_id else ""
        print(printable(f"{type(error).__name__}: {error}{request}"), file=sys.stderr)  # noqa: T201
        return 2
    print((_json if as_json else _table)(compared, drift), flush=True)  # noqa: T201
    return 1 if drift else 0


def main() -> int:
    """Probe the installation that the environment variables name, and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m teamwork_desk.probe",
        description=__doc__,
        epilog="Example: python -m teamwork_desk.probe --json",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return asyncio.run(probe_and_print(as_json=parser.parse_args().json))


def _json(compared: int, drift: Drift) -> str:
    keys = ("path", "expected", "got", "count")
    rows = [dict(zip(keys, (*difference, count), strict=True)) for difference, count in sorted(drift.items())]
    return json.dumps({"conversations": compared, "drift": rows})


def _table(compared: int, drift: Drift) -> str:
    # A path holds keys that the server sent, so it must not be able to control the terminal.
    found = [(printable(path), expected, got, str(count)) for (path, expected, got), count in sorted(drift.items())]
    rows = [("path", "expected", "got", "count"), *found]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows] if found else []
    return "\n".join([*lines, f"conversations compared: {compared}; kinds of drift: {len(drift)}"])


if __name__ == "__main__":
    sys.exit(main())
