"""Jobs files: one job after the other, each with the line it begins on."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias, cast

from attrs import frozen

from teamwork_desk._arguments import from_json
from teamwork_desk._checks import is_id, name_only
from teamwork_desk.backlog import Job

from ._errors import CommandError

_BOM = b"\xef\xbb\xbf"
ID = "conversation_id"
_NUMBER = re.compile(r"[0-9]{1,19}")


@frozen(kw_only=True)
class Line:
    """A job, or what is wrong with it.

    Attributes:
        number: The line it begins on, from 1.
        conversation_id: The conversation, where it names one.
        job: The job; None where it is none.
        problem: Why it is none.
    """

    number: int
    conversation_id: int | None = None
    job: Job | None = None
    problem: str = ""


def read_jobs(path: Path) -> Iterator[Line]:
    """Read a jobs file line by line: JSONL, or CSV where its name ends so.

    Raises:
        CommandError: The file cannot be read as a whole; a line that cannot be read is a `Line` with a problem.
        OSError: It cannot be opened.
    """
    match path.suffix.lower():
        case ".csv":
            return _read_csv(path)
        case ".jsonl" | ".ndjson":
            return _read_jsonl(path)
        case _:
            raise CommandError(f"{path}: expected a name that ends in .jsonl or .csv")


def _line(number: int, read: Callable[[], dict[str, Any]], convert: Callable[[str, Any], Any]) -> Line:
    """Return what a function reads, with each of its values converted, as a job."""
    conversation_id: int | None = None
    try:
        fields = read()
        # First, so that whatever else is wrong has its conversation.
        conversation_id = _id(convert(ID, fields[ID]) if ID in fields else None)
        job = {name: convert(name, value) for name, value in fields.items()}
    except ValueError as error:
        return Line(number=number, conversation_id=conversation_id, problem=str(error))
    return Line(number=number, conversation_id=conversation_id, job=cast("Job", job))


def _id(value: object) -> int:
    if not is_id(value):
        raise ValueError(f"{ID}: expected a positive whole number of at most 64 bits")
    return value


# JSONL


def _read_jsonl(path: Path) -> Iterator[Line]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            content = line.removeprefix(_BOM) if number == 1 else line
            if content.strip():
                yield _line(number, partial(_parse_json, content), from_json)


def _parse_json(line: bytes) -> dict[str, Any]:
    try:
        job = json.loads(line.decode(), object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        raise ValueError(f"it is no JSON: {error.msg}, at character {error.pos + 1}") from None
    except (UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"it is no JSON in UTF-8 ({type(error).__name__})") from None
    if not isinstance(job, dict):
        raise ValueError("expected a JSON object")  # noqa: TRY004 - a line that cannot be read is a ValueError
    return cast("dict[str, Any]", job)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        (name, _), *_ = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"{name_only(name)}: this key comes twice")
    return fields


# CSV

Cell: TypeAlias = Callable[[str], Any]


def _number(cell: str) -> int:
    if not _NUMBER.fullmatch(cell.strip()):
        raise ValueError("expected a whole number")
    return int(cell)


def _truth(cell: str) -> bool:
    try:
        return {"true": True, "false": False}[cell.strip().lower()]
    except KeyError:
        raise ValueError("expected true or false") from None


def _customer(cell: str) -> int | str:
    return int(cell) if _NUMBER.fullmatch(cell.strip()) else cell.strip()


def _words(cell: str) -> list[str]:
    return [word.strip() for word in cell.split(";") if word.strip()]


def _numbers(cell: str) -> list[int]:
    return [_number(word) for word in _words(cell)]


def _column(name: str) -> Cell:
    match name:
        case "bcc" | "cc" | "tags":
            return _words
        case "customer":
            return _customer
        case "edit_method" | "email" | "message" | "send_from" | "subject":
            return str
        case "files":
            return _numbers
        case "notify_customer" | "verify_first":
            return _truth
        case _:
            return _number


ONLY_IN_JSON = {"customfields", "scheduled_email"}
COLUMNS: dict[str, Cell] = {name: _column(name) for name in Job.__annotations__ if name not in ONLY_IN_JSON}


def _read_csv(path: Path) -> Iterator[Line]:
    with path.open("rb") as file:
        # Strict: a quote that is never closed would make the rest of the file one customer's message.
        rows = csv.reader(_decode(path, file), strict=True)
        number = 1
        try:
            header = [name.strip() for name in next(rows, list[str]())]
            _check_header(path, header)
            number = rows.line_num + 1
            for row in rows:
                if any(cell.strip() for cell in row):
                    yield _line(number, partial(_cells, header, row), _from_cell)
                number = rows.line_num + 1
        except csv.Error as error:
            raise CommandError(f"{path}:{number}: {error}") from None


def _decode(path: Path, lines: Iterable[bytes]) -> Iterator[str]:
    for number, line in enumerate(lines, 1):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError:
            raise CommandError(f"{path}:{number}: it is not UTF-8") from None


def _check_header(path: Path, header: list[str]) -> None:
    for number, name in enumerate(header, 1):
        if name in ONLY_IN_JSON:
            raise CommandError(f"{path}:1: {name} has no form in CSV; use JSONL")
        if not name.isidentifier():
            # It may be data: the header may be missing.
            raise CommandError(
                f"{path}:1: column {number} is no argument's name; the first line names them, separated by commas"
            )
        if name not in COLUMNS:
            raise CommandError(f"{path}:1: the column {name} is none of convert's arguments")
        if header.count(name) > 1:
            raise CommandError(f"{path}:1: there are two columns {name}")
    if ID not in header:
        raise CommandError(f"{path}:1: the header has no column {ID}")


def _cells(header: list[str], row: list[str]) -> dict[str, str]:
    if len(row) != len(header):
        raise ValueError(f"it has {len(row)} cells, and the header {len(header)}")
    return {name: cell for name, cell in zip(header, row, strict=True) if cell}


def _from_cell(name: str, cell: str) -> Any:
    try:
        return COLUMNS[name](cell)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
