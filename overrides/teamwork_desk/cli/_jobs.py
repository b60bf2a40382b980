"""Jobs files: they are read job by job, and each job knows the line on which it begins."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, cast, get_type_hints

from attrs import frozen

from teamwork_desk._arguments import NAMED, from_json
from teamwork_desk._checks import is_id, name_only
from teamwork_desk.backlog import Job

from ._attach import ATTACH, check_files
from ._errors import CommandError
from ._forms import NUMBER, Form, form_of, id_or_text

_BOM = b"\xef\xbb\xbf"
ID = "conversation_id"


@frozen(kw_only=True)
class Line:
    """A job, or the reason why a line is not a job.

    Attributes:
        number: The line on which the job begins; the first line is 1.
        conversation_id: The conversation, if the line has a valid id.
        job: The job; None if the line is not a job.
        problem: Why the line is not a job.
        attach: The files that are uploaded for the job.
    """

    number: int
    conversation_id: int | None = None
    job: Job | None = None
    problem: str = ""
    attach: tuple[Path, ...] = ()


def read_jobs(path: Path) -> Iterator[Line]:
    """Read a jobs file job by job. The end of its name says whether it is JSONL or CSV.

    Raises:
        CommandError: The whole file is invalid. If only one line is invalid, it becomes a `Line` with a problem.
        OSError: The file cannot be opened.
    """
    match path.suffix.lower():
        case ".csv":
            return _read_csv(path)
        case ".jsonl" | ".ndjson":
            return _read_jsonl(path)
        case _:
            raise CommandError(f"{path}: expected a file name that ends in .jsonl or .csv")


def _line(folder: Path, number: int, read: Callable[[], dict[str, Any]], convert: Callable[[str, Any], Any]) -> Line:
    """Return the job whose fields one function reads, and whose values the other converts.

    Args:
        folder: The folder of the jobs file, to which the paths of attachments are relative.
        number: The number of the line.
        read: Reads the fields.
        convert: Converts the value of a field.
    """
    conversation_id: int | None = None
    try:
        fields = read()
        # The id comes first, so that a problem with another field is reported with its conversation.
        conversation_id = _id(convert(ID, fields[ID]) if ID in fields else None)
        job = {name: convert(name, value) for name, value in fields.items()}
        files = check_files(folder, job.pop(ATTACH, None))
    except ValueError as error:
        return Line(number=number, conversation_id=conversation_id, problem=str(error))
    return Line(number=number, conversation_id=conversation_id, job=cast("Job", job), attach=files)


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
                yield _line(path.parent, number, partial(_parse_json, content), from_json)


def _parse_json(line: bytes) -> dict[str, Any]:
    try:
        job = json.loads(line.decode(), object_pairs_hook=_without_duplicates)
    except json.JSONDecodeError as error:
        raise ValueError(f"invalid JSON: {error.msg}, at character {error.pos + 1}") from None
    except (UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"invalid JSON or UTF-8 ({type(error).__name__})") from None
    if not isinstance(job, dict):
        raise ValueError("expected a JSON object")  # noqa: TRY004 - every problem of a line is a ValueError
    return cast("dict[str, Any]", job)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        (name, _), *_ = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"{name_only(name)}: duplicate key")
    return fields


# CSV


def _number(cell: str) -> int:
    if not NUMBER.fullmatch(cell.strip()):
        raise ValueError("expected a whole number")
    return int(cell)


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


def _read_csv(path: Path) -> Iterator[Line]:
    with path.open("rb") as file:
        # Strict, because a quote that is never closed would make the rest of the file one customer's message.
        rows = csv.reader(_decode(path, file), strict=True)
        number = 1
        try:
            header = [name.strip() for name in next(rows, list[str]())]
            _check_header(path, header)
            number = rows.line_num + 1
            for row in rows:
                if any(cell.strip() for cell in row):
                    yield _line(path.parent, number, partial(_cells, header, row), _from_cell)
                number = rows.line_num + 1
        except csv.Error as error:
            raise CommandError(f"{path}:{number}: {error}") from None


def _decode(path: Path, lines: Iterable[bytes]) -> Iterator[str]:
    for number, line in enumerate(lines, 1):
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError:
            raise CommandError(f"{path}:{number}: invalid UTF-8") from None


def _check_header(path: Path, header: list[str]) -> None:
    for number, name in enumerate(header, 1):
        if name in ONLY_IN_JSON:
            raise CommandError(f"{path}:1: {name} cannot be given in CSV; use JSONL")
        if not name.isidentifier():
            # The name is not shown, because it may be a customer's data: perhaps the header is missing.
            raise CommandError(
                f"{path}:1: column {number} does not name an argument; the first line must be a header, with commas"
            )
        if name not in COLUMNS:
            raise CommandError(f"{path}:1: unknown column {name}: convert has no such argument")
        if header.count(name) > 1:
            raise CommandError(f"{path}:1: duplicate column {name}")
    if ID not in header:
        raise CommandError(f"{path}:1: the header has no column {ID}")


def _cells(header: list[str], row: list[str]) -> dict[str, str]:
    if len(row) != len(header):
        raise ValueError(f"expected {len(header)} cells, as in the header, got {len(row)}")
    return {name: cell for name, cell in zip(header, row, strict=True) if cell}


def _from_cell(name: str, cell: str) -> Any:
    try:
        return COLUMNS[name](cell)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
