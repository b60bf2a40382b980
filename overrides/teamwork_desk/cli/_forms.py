"""How text expresses the arguments of `convert`: in a cell of a CSV file, or in an option of the command."""

from __future__ import annotations

import re
from typing import Any, Literal, TypeAlias

from teamwork_desk._values import kind_of

Form: TypeAlias = Literal["text", "texts", "number", "numbers", "id or text", "boolean"]

NUMBER = re.compile(r"[0-9]{1,19}")


def form_of(hint: Any, *, is_named: bool = False) -> Form | None:
    """Return the form in text of an argument; None if only JSON can express it.

    Args:
        hint: Its type hint.
        is_named: Whether it may have a name instead of an id.
    """
    kind = kind_of(hint)
    if str in kind.types:
        if kind.is_list:
            return "texts"
        return "id or text" if int in kind.types else "text"
    if int in kind.types:
        if is_named and not kind.is_list:
            return "id or text"
        return "numbers" if kind.is_list else "number"
    return "boolean" if bool in kind.types and not kind.is_list else None


def id_or_text(text: str) -> int | str:
    """Return a number as an id, and any other text as it is."""
    text = text.strip()
    return int(text) if NUMBER.fullmatch(text) else text
