"""Jobs files: they are read job by job, and each job knows the line on which it begins.

A file whose shape is not that of jobs is refused as a whole, because a part of it could pass for a job.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from itertools import chain
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
from ._forms import NUMBER
from ._json_jobs import json_jobs
from ._text import GZIP, WORKBOOK, FileError, is_header, lines_of, open_lines

ID = "conversation_id"
_STDIN = ("-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0")
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


def is_stdin(path: Path) -> bool:
    """Return whether a path means standard input."""
    return str(path) in _STDIN


def can_be_read_again(path: Path) -> bool:
    """Return whether a jobs file can be read a second time. Standard input and other pipes cannot."""
    return not is_stdin(path) and path.is_file()


def name_of(path: Path) -> str:
    """Return the name of a jobs file in messages."""
    return "stdin" if is_stdin(path) else path.name if path.is_file() else str(path)


def read_jobs(
    path: Path, note: Callable[[str], None] = lambda _: None, warn: Callable[[str], None] | None = None
) -> Iterator[Line]:
    """Read a jobs file job by job. The end of its name says whether it is JSON or CSV; of a pipe, the content does.

    Args:
        path: The file; `-` is standard input.
        note: Called with what the user may want to know about the file.
        warn: Called with what the user should look at; the default is `note`.

    Raises:
        CommandError: The whole file is invalid. If only one line is invalid, it becomes a `Line` with a problem.
        OSError: The file cannot be opened.
    """
    match path.suffix.lower():
        case ".csv" | ".tsv":
            return _read(path, note, warn or note, is_csv=True)
        case ".jsonl" | ".ndjson" | ".json":
            return _read(path, note, warn or note, is_csv=False)
        case "" if not can_be_read_again(path):
            return _read(path, note, warn or note, is_csv=None)
        case _:
            seems = f"; {_OTHER_NAMES[other]}" if (other := path.suffix.lower()) in _OTHER_NAMES else ""
            raise CommandError(f"{path}: expected a file name that ends in .jsonl, .json, .csv or .tsv{seems}")


def _read(
    path: Path, note: Callable[[str], None], warn: Callable[[str], None], *, is_csv: bool | None
) -> Iterator[Line]:
    source, folder = ("stdin" if is_stdin(path) else str(path)), _folder(path)
    hint = ""
    try:
        with _open(path) as opened:
            lines = _with_warning_about_end(opened, lambda text: warn(f"{source}: {text}"))
            if is_csv is None:
                is_csv, hint, lines = find_format(lines)
            if is_csv:
                rows = csv_jobs(
                    lines,
                    columns=COLUMNS,
                    only_in_json=ONLY_IN_JSON,
                    key=ID,
                    note=lambda text: note(f"{source}: {text}"),
                )
                for number, read in rows:
                    yield _line(folder, number, read, from_cell)
            else:
                for number, read in json_jobs(lines):
                    yield _line(folder, number, read, from_json)
    except FileError as error:
        raise CommandError(f"{source}:{error.line}: {error.reason}{hint}") from None


@contextmanager
def _open(path: Path) -> Generator[Iterator[str]]:
    if not is_stdin(path):
        with open_lines(path) as lines:
            yield lines
        return
    if sys.stdin is None:
        raise CommandError("stdin: it is closed, so there are no jobs")
    with suppress(OSError, ValueError):
        # Otherwise, the first pause of the pipe's writer would pass for the end of the jobs.
        os.set_blocking(sys.stdin.fileno(), True)
    # A pipe cannot be read from its start again, which finding the encoding needs.
    yield lines_of(io.BytesIO(sys.stdin.buffer.read()))


def _folder(path: Path) -> Path:
    """Return the folder to which attachments are relative. A pipe of a shell, such as /dev/fd/63, has no useful one."""
    return Path() if is_stdin(path) or path.parts[1:2] in (("dev",), ("proc",)) else path.parent


def find_format(lines: Iterator[str]) -> tuple[bool, str, Iterator[str]]:
    """Return whether lines are CSV, a hint for messages if that is not certain, and the lines."""
    begin: list[str] = []
    for line in lines:
        begin.append(line)
        if line.strip():
            break
    first = begin[-1].strip() if begin else ""
    is_csv = not first.startswith(("{", "["))
    is_certain = not is_csv or not first or is_header(first, ID) or first.lower().startswith("sep=")
    hint = "" if is_certain else ". The jobs are read as CSV, because they begin neither with { nor with ["
    return is_csv, hint, chain(begin, lines)


def _with_warning_about_end(lines: Iterator[str], warn: Callable[[str], None]) -> Iterator[str]:
    """Yield lines, and call a function at the end if the last line may be cut. An array that is cut is an error."""
    last = "\n"
    for last in lines:
        yield last
    if not last.endswith(("\n", "\r", "]")):
        warn("the last line has no line end; if the file is cut, jobs or the end of this line are missing")


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
        seems = "; write it without quotes" if isinstance(value, str) and NUMBER.fullmatch(value) else ""
        raise ValueError(f"{ID}: expected a positive whole number of at most 64 bits{seems}")
    return value
