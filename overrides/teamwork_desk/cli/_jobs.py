"""Jobs files: they are read job by job, and each job knows the line on which it begins.

A file whose shape is not that of jobs is refused as a whole, because a part of it could pass for a job.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

from attrs import frozen

from teamwork_desk._arguments import from_json
from teamwork_desk._checks import is_id
from teamwork_desk.backlog import Job

from ._attach import ATTACH, check_files
from ._cells import COLUMNS, ONLY_IN_JSON, from_cell
from ._csv_jobs import csv_jobs
from ._errors import CommandError
from ._json_jobs import json_jobs
from ._text import GZIP, WORKBOOK, FileError, open_lines

ID = "conversation_id"
_OTHER_NAMES = {".xlsx": WORKBOOK, ".xls": WORKBOOK, ".gz": GZIP}


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


def read_jobs(path: Path, note: Callable[[str], None] = lambda _: None) -> Iterator[Line]:
    """Read a jobs file job by job. The end of its name says whether it is JSON or CSV.

    Args:
        path: The file.
        note: Called with what the user should know about the file.

    Raises:
        CommandError: The whole file is invalid. If only one line is invalid, it becomes a `Line` with a problem.
        OSError: The file cannot be opened.
    """
    match path.suffix.lower():
        case ".csv" | ".tsv":
            return _read(path, note, is_csv=True)
        case ".jsonl" | ".ndjson" | ".json":
            return _read(path, note, is_csv=False)
        case _:
            seems = f"; {_OTHER_NAMES[other]}" if (other := path.suffix.lower()) in _OTHER_NAMES else ""
            raise CommandError(f"{path}: expected a file name that ends in .jsonl, .json, .csv or .tsv{seems}")


def _read(path: Path, note: Callable[[str], None], *, is_csv: bool) -> Iterator[Line]:
    def note_about_file(text: str) -> None:
        note(f"{path}: {text}")

    try:
        with open_lines(path) as opened:
            lines = _with_note_about_end(opened, note_about_file)
            if is_csv:
                rows = csv_jobs(lines, columns=COLUMNS, only_in_json=ONLY_IN_JSON, key=ID, note=note_about_file)
                for number, read in rows:
                    yield _line(path.parent, number, read, from_cell)
            else:
                for number, read in json_jobs(lines):
                    yield _line(path.parent, number, read, from_json)
    except FileError as error:
        raise CommandError(f"{path}:{error.line}: {error.reason}") from None


def _with_note_about_end(lines: Iterator[str], note: Callable[[str], None]) -> Iterator[str]:
    """Yield lines, and call a function at the end if the last line may be cut. An array that is cut is an error."""
    last = "\n"
    for last in lines:
        yield last
    if not last.endswith(("\n", "\r", "]")):
        note("the last line has no line end; if the file is cut, jobs or the end of this line are missing")


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
        if ID not in fields:
            raise ValueError(f"{ID} is missing")
        conversation_id = _id(convert(ID, fields[ID]))
        job = {name: convert(name, value) for name, value in fields.items()}
        files = check_files(folder, job.pop(ATTACH, None))
    except ValueError as error:
        return Line(number=number, conversation_id=conversation_id, problem=str(error))
    return Line(number=number, conversation_id=conversation_id, job=cast("Job", job), attach=files)


def _id(value: object) -> int:
    if not is_id(value):
        raise ValueError(f"{ID}: expected a positive whole number of at most 64 bits")
    return value
