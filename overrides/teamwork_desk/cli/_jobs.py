"""Jobs files: one job after the other, each with the line it begins on."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias, cast

import attrs
from attrs import frozen

from teamwork_desk import CustomerRef, CustomField, EntityRef
from teamwork_desk.backlog import Job

from ._errors import CommandError

_BOM = b"\xef\xbb\xbf"
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


def _line(number: int, parse: Callable[[], dict[str, Any]]) -> Line:
    try:
        job = parse()
    except ValueError as error:
        return Line(number=number, problem=str(error))
    conversation_id: Any = job.get("conversation_id")
    if conversation_id.__class__ is not int or not 1 <= conversation_id < 2**63:
        return Line(number=number, problem="conversation_id: expected a positive whole number of at most 64 bits")
    return Line(number=number, conversation_id=conversation_id, job=cast("Job", job))


# JSONL


def _read_jsonl(path: Path) -> Iterator[Line]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            content = line.removeprefix(_BOM) if number == 1 else line
            if content.strip():
                yield _line(number, partial(_parse_json, content))


def _parse_json(line: bytes) -> dict[str, Any]:
    try:
        job = json.loads(line.decode())
    except json.JSONDecodeError as error:
        raise ValueError(f"it is no JSON: {error.msg}, at character {error.pos + 1}") from None
    except (UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"it is no JSON in UTF-8 ({type(error).__name__})") from None
    if not isinstance(job, dict):
        raise ValueError("expected a JSON object")  # noqa: TRY004 - a line that cannot be read is a ValueError
    return {key: _from_json(key, value) for key, value in cast("dict[str, Any]", job).items()}


_MODELS: dict[str, type[CustomerRef | CustomField]] = {"customer": CustomerRef, "customfields": CustomField}
_AS_THEY_ARE = {"scheduled_email"}


def _from_json(key: str, value: Any) -> Any:
    """Make a reference of every object; what is wrong otherwise, convert says."""
    if value.__class__ is list:
        return [_from_json(key, each) for each in value]
    if value.__class__ is not dict or key in _AS_THEY_ARE:
        return value
    model, fields = _MODELS.get(key, EntityRef), cast("dict[str, Any]", value)
    if not fields.keys() <= {field.name for field in attrs.fields(model)} - {"additional_properties"}:
        raise ValueError(f"{key}: it has a key that a {model.__name__} has not")
    return model(**fields)


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
                if row:
                    yield _line(number, partial(_parse_row, header, row))
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
    for name in header:
        if name in ONLY_IN_JSON:
            raise CommandError(f"{path}:1: {name} has no form in CSV; use JSONL")
        if name not in COLUMNS:
            # What is no name may be data: the header may be missing.
            shown = name if name.isidentifier() else "..."
            raise CommandError(f"{path}:1: the column {shown} is none of convert's arguments")
        if header.count(name) > 1:
            raise CommandError(f"{path}:1: there are two columns {name}")
    if "conversation_id" not in header:
        raise CommandError(f"{path}:1: the header has no column conversation_id")


def _parse_row(header: list[str], row: list[str]) -> dict[str, Any]:
    if len(row) != len(header):
        raise ValueError(f"it has {len(row)} cells, and the header {len(header)}")
    job: dict[str, Any] = {}
    for name, cell in zip(header, row, strict=True):
        if cell:
            try:
                job[name] = COLUMNS[name](cell)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
    return job
