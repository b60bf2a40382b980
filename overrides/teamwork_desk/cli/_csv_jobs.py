"""Jobs as CSV: a header with the names of arguments, and a row for each job."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial
from itertools import islice
from typing import TypeAlias

from teamwork_desk._checks import unknown_names

from ._text import FileError, has_invalid_bytes, is_header

Row: TypeAlias = tuple[int, Callable[[], dict[str, str]]]
"""The line on which a row begins, and a function that returns its cells, or raises a ValueError with the problem."""

DELIMITERS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a vertical bar"}
MOST_TITLES = 20
"""The most lines after the first in which the header is looked for, to name its line in a message."""
LONGEST_CELL = 2**31 - 1
"""The longest cell that Python's module csv can be told to accept on every system; its default is 131,072."""


def csv_jobs(
    lines: Iterable[str],
    *,
    columns: Collection[str],
    only_in_json: Collection[str],
    key: str,
    note: Callable[[str], None],
) -> Iterator[Row]:
    """Yield the rows of a file, except rows whose cells are all empty. Empty cells are left out.

    Args:
        lines: The lines of the file.
        columns: The names that the header may have.
        only_in_json: The names of arguments that a cell cannot express.
        key: The name that the header must have.
        note: Called with a sentence about the delimiter if it is not a comma.

    Raises:
        FileError: The file has another shape, or is cut.
    """
    csv.field_size_limit(LONGEST_CELL)
    first, given, read = _first_line(checked := _valid(lines))
    delimiter = given or _delimiter_of(first, columns)
    # Strict, because a quote that is never closed would make the rest of the file one customer's message.
    # Spaces before a cell are its text, unless the header has them, too: a quote after a space would not be a quote.
    has_spaces = f"{delimiter} " in first or first.startswith(" ")
    rows = csv.reader(_again(first, checked), delimiter=delimiter, strict=True, skipinitialspace=has_spaces)
    number = read
    try:
        header = _without_empty_end([name.strip() for name in next(rows)])
        if key not in header:
            _reject_titles(number, checked, key)
        _check_header(number, header, columns, only_in_json, key)
        if delimiter != ",":
            note(f"the columns are separated by {DELIMITERS.get(delimiter, repr(delimiter))}")
        number = read + rows.line_num
        for row in rows:
            if any(cell.strip() for cell in row):
                yield number, partial(_cells, header, row)
            number = read + rows.line_num
    except csv.Error as error:
        raise FileError(number, _explained(error)) from None


def _valid(lines: Iterable[str]) -> Iterator[str]:
    for number, line in enumerate(lines, 1):
        if has_invalid_bytes(line):
            raise FileError(
                number, "invalid UTF-8: the file seems to have another encoding; save it as UTF-8 (in Excel: CSV UTF-8)"
            )
        yield line


def _first_line(lines: Iterator[str]) -> tuple[str, str | None, int]:
    """Return the first line that has a cell, the delimiter if `sep=;` before it names one, and the line's number."""
    given = None
    for number, line in enumerate(lines, 1):
        text = line.strip("\r\n")
        if text.lower().startswith("sep=") and len(text) == len("sep=;"):
            given = text[-1]
        elif text.strip(" ,;\t|"):
            return line, given, number
    raise FileError(1, "the file has no header")


def _again(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def _delimiter_of(header: str, columns: Collection[str]) -> str:
    """Return the delimiter that splits a header into the most names of columns; a comma if none of them does."""
    return max(DELIMITERS, key=lambda each: sum(name.strip() in columns for name in _split(header, each)))


def _split(line: str, delimiter: str) -> list[str]:
    return next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), list[str]())


def _without_empty_end(cells: list[str]) -> list[str]:
    while cells and not cells[-1].strip():
        cells = cells[:-1]
    return cells


def _reject_titles(number: int, rest: Iterable[str], key: str) -> None:
    """Reject a file whose header is on a later line."""
    for header, line in enumerate(islice(rest, MOST_TITLES), number + 1):
        if is_header(line, key):
            raise FileError(
                number,
                f"this line is not the header, which seems to be line {header}; delete the lines above the header",
            )


def _check_header(
    number: int, header: list[str], columns: Collection[str], only_in_json: Collection[str], key: str
) -> None:
    if header and header[0][:1] in ("{", "["):
        raise FileError(number, "this seems to be JSON and not CSV; give the file a name that ends in .jsonl")
    for place, name in enumerate(header, 1):
        if name in only_in_json:
            raise FileError(number, f"column {place}: {name} cannot be given in CSV; use JSONL")
        if not name.isidentifier():
            # The name is not shown, because it may be a customer's data: perhaps the header is missing.
            # The delimiter is found in the header, so that without a header a cell may be a whole row.
            cells = [part.strip() for cell in header for part in re.split(r"[,;\t|]", cell)]
            has_values = any(each.isdecimal() or "@" in each for each in cells)
            seems = "; this line seems to be a job, so that the header is missing" if has_values else ""
            raise FileError(
                number,
                f"column {place} does not name an argument{seems}. A file begins with a header such as {key},subject",
            )
        if name not in columns:
            hint = "" if key in header else f"; the ids of the conversations belong in the column {key}"
            raise FileError(number, f"column {place}: {unknown_names('argument', [name], columns)}{hint}")
        if header.count(name) > 1:
            raise FileError(number, f"column {place}: {name} is there twice")
    if key not in header:
        raise FileError(number, f"the header has no column {key}")


def _cells(header: list[str], row: list[str]) -> dict[str, str]:
    extra = _without_empty_end(row[len(header) :])
    if extra:
        raise ValueError(
            f"cell {len(header) + 1} has no column, because the header has {len(header)}; put a cell that contains the"
            " delimiter in quotes"
        )
    if len(row) < len(header):
        raise ValueError(f"the row ends before column {len(row) + 1} ({header[len(row)]}); it has {len(row)} cells")
    return {name: cell for name, cell in zip(header, row, strict=False) if cell}


def _explained(error: csv.Error) -> str:
    text = str(error)
    if "unexpected end" in text:
        return "this row has a quote that is never closed, or the file is cut within the row"
    return 'text follows the closing quote of a cell; write a quote within a cell as ""' if "after" in text else text
