"""The rules for seconds, counts, ids, files, and text that may be shown. Every module uses these functions."""

from __future__ import annotations

import builtins
import io
import math
import os
import re
import stat
from collections.abc import Iterable, Sized
from difflib import get_close_matches
from typing import Any, SupportsIndex, TypeGuard

LARGEST_ID = 2**63 - 1
LARGEST_FILE = 20 * 1024 * 1024
"""The most bytes of an attachment. Source: https://support.teamwork.com/desk/live-chat/using-live-chat"""
_FILE_NAME = re.compile(r"[^/\\\x00-\x1f\x7f\ud800-\udfff]+")
"""Surrogates stand for bytes that are not UTF-8, and have no form in JSON."""
LONGEST_TEXT = 2000
"""The most characters of foreign text that are shown, so that a huge response does not fill a terminal or a log."""


def is_seconds(value: object) -> TypeGuard[float]:
    """Return whether a value is a finite number of seconds, 0 or more. A bool does not count as a number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < math.inf


def is_count(value: object) -> TypeGuard[int]:
    """Return whether a value is an int of at least 1. A bool does not count as an int."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def is_id(value: object) -> TypeGuard[int]:
    """Return whether a value can be an id of Desk: a positive int of at most 64 bits."""
    return is_count(value) and value <= LARGEST_ID


def not_an_id(argument: str, value: object) -> str:
    """Word the message about an argument that is not an id. It does not quote the value: it may be personal data."""
    is_int = isinstance(value, int) and not isinstance(value, bool)
    got = "" if is_int else f", got {type_name(value)}{how_to_pass_an_int(value)}"
    return f"{argument}: expected a positive int of at most 64 bits{got}"


def type_name(value: object) -> str:
    """Return the name of a value's type, with its module if a builtin type has the same name, as `numpy.bool` has."""
    kind = type(value)
    is_unambiguous = getattr(builtins, kind.__name__, kind) is kind
    return kind.__name__ if is_unambiguous else f"{kind.__module__}.{kind.__name__}"


def how_to_pass_an_int(value: object) -> str:
    """Return the advice for a whole number that is not an int, such as a `numpy.int64` or 7.0; otherwise nothing."""
    is_index = isinstance(value, SupportsIndex) and not isinstance(value, (int, Sized))
    return "; pass int(...)" if is_index or (isinstance(value, float) and value.is_integer()) else ""


def ticket_page(origin: str, ticket_id: int) -> str:
    """Return the address of a ticket's page at an installation."""
    return f"{origin}/desk/tickets/{ticket_id:d}"


def is_list(value: Any) -> TypeGuard[list[Any]]:
    """Return whether a value from JSON is an array."""
    return type(value) is list


def printable(text: str) -> str:
    """Return text that cannot control a terminal and is not too long: an error may quote what a server sent."""
    if text.isprintable() and len(text) <= LONGEST_TEXT:
        return text
    shown = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text[:LONGEST_TEXT])
    return shown + "..." * (len(text) > LONGEST_TEXT)


def name_only(name: object) -> str:
    """Return a name for a message. Text that is not an identifier may be misplaced data, so it is hidden.

    The operators of a filter, such as `$in`, are shown.
    """
    text = str(name)
    return text if text.removeprefix("$").isidentifier() else "..."


def unknown_names(what: str, unknown: Iterable[object], known: Iterable[str]) -> str:
    """Word the message about unknown names, such as `unknown argument: custmer (did you mean customer?)`.

    Args:
        what: The kind of the names, in the singular, such as `argument`.
        unknown: The unknown names.
        known: The names that would have been valid.
    """
    known = list(known)
    shown: list[str] = []
    for name in sorted(map(name_only, unknown)):
        similar = get_close_matches(name, known, n=1)
        shown.append(f"{name} (did you mean {similar[0]}?)" if similar else name)
    return f"unknown {what}{'s' * (len(shown) > 1)}: {', '.join(shown)}"


def is_file_name(value: object) -> TypeGuard[str]:
    """Return whether a value is the name of a file, without a directory, as text that has a form in JSON."""
    return isinstance(value, str) and _FILE_NAME.fullmatch(value) is not None


def open_file(path: str | os.PathLike[str]) -> io.BufferedReader:
    """Open a regular file for reading.

    Raises:
        OSError: It cannot be opened, or something else is at the path by now, such as a pipe.
    """
    file = open(path, "rb", opener=_open_without_waiting)  # noqa: SIM115 - the caller closes it
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError("expected a regular file")
    return file


def _open_without_waiting(path: str, flags: int) -> int:
    # Opening a pipe would wait until another process writes to it. Windows does not have this flag.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
