"""The cells of a CSV file: how each argument of `convert` is written in a cell."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, get_type_hints

from teamwork_desk._arguments import NAMED
from teamwork_desk.backlog import Job

from ._attach import ATTACH
from ._forms import NUMBER, Form, form_of, id_or_text


def _number(cell: str) -> int:
    if not NUMBER.fullmatch(cell.strip()):
        raise ValueError(f"expected a positive whole number of at most 64 bits{_seems(cell.strip())}")
    return int(cell)


def _seems(cell: str) -> str:
    """Return what a cell seems to be that is not a number, and what to do, as the end of a message."""
    if re.fullmatch(r"#[0-9]+", cell):
        return "; write it without #"
    if re.fullmatch(r"[0-9]+([.,' ][0-9]+)*(E\+[0-9]+)?", cell, re.IGNORECASE) and not cell.isdecimal():
        return "; a spreadsheet seems to have formatted it: format the column as whole numbers without separators"
    if re.match(r"https?://", cell):
        return "; it seems to be an address: write only the number of the conversation"
    return ""


def _boolean(cell: str) -> bool:
    try:
        return {"true": True, "false": False}[cell.strip().lower()]
    except KeyError:
        raise ValueError("expected true or false") from None


def _texts(cell: str) -> list[str]:
    return [text.strip() for text in cell.split(";") if text.strip()]


def _numbers(cell: str) -> list[int]:
    return [_number(text) for text in _texts(cell)]


_READERS: dict[Form, Callable[[str], Any]] = {
    "text": str,
    "texts": _texts,
    "number": _number,
    "numbers": _numbers,
    "id or text": id_or_text,
    "boolean": _boolean,
}
_FORMS: dict[str, Form | None] = {
    name: form_of(hint, is_named=name in NAMED) for name, hint in get_type_hints(Job).items()
}
COLUMNS = {name: _READERS[form] for name, form in _FORMS.items() if form is not None} | {ATTACH: _texts}
ONLY_IN_JSON = {name for name, form in _FORMS.items() if form is None}


def from_cell(name: str, cell: str) -> Any:
    """Return the value in a cell.

    Args:
        name: The name of its column.
        cell: Its text.

    Raises:
        ValueError: The text does not express a value of this argument.
    """
    try:
        return COLUMNS[name](cell)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
