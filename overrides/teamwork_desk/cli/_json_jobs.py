"""Jobs as JSON: an object on each line, or an array of objects."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Any, TypeAlias, cast

from teamwork_desk._checks import name_only

from ._text import FileError, has_invalid_bytes, is_header

Job: TypeAlias = tuple[int, Callable[[], dict[str, Any]]]
"""The line on which a job begins, and a function that returns its fields, or raises a ValueError with the problem."""

_SPACE = re.compile(r"[ \t\n\r]*")
# This decoder only finds the end of an object. It keeps numbers as text, because int() rejects thousands of digits.
_DECODER = json.JSONDecoder(parse_int=str)
_ID = "conversation_id"
_SHAPES = "write each object on one line without commas in between, or all in one array: [ ... ]"
_NOT_BEFORE_A_JOB = {
    ",": "a comma begins this line, as within an array",
    "[": "an array begins on this line, after other text",
    "]": "this line ends an array that does not begin at the start of the file",
    "}": "this line ends an object that does not begin on it",
}
_NOT_AFTER_A_JOB = {
    ",": "a comma follows the object, as in an array",
    "{": "another object follows on this line",
    "[": "an array follows the object on this line",
    "]": "a ] follows the object, but the file does not begin with [",
}
"""Why a file is refused, by the character that begins a line, or that follows its object."""


def json_jobs(lines: Iterable[str]) -> Iterator[Job]:
    """Yield the jobs of a file.

    Raises:
        FileError: The file has another shape, or is cut.
    """
    numbered = enumerate(lines, 1)
    for number, line in numbered:
        text = line.strip()
        if not text:
            continue
        if text.startswith("["):
            rest = "\n".join(each.rstrip("\r\n") for _, each in chain([(number, line)], numbered))
            yield from _array(number, rest)
            return
        if text[0] != "{" and is_header(text, _ID):
            raise FileError(number, "this seems to be the header of a CSV file; give the file a name that ends in .csv")
        yield number, partial(_parse_line, number, line)
        break
    for number, line in numbered:
        if line.strip():
            yield number, partial(_parse_line, number, line)


def _parse_line(number: int, line: str) -> dict[str, Any]:
    if reason := _NOT_BEFORE_A_JOB.get(line.lstrip()[:1]):
        raise FileError(number, f"{reason}; {_SHAPES}")
    try:
        job = _parse(line)
    except json.JSONDecodeError as error:
        _reject_other_shapes(number, line.rstrip(), error)
        # The line is only one of many, so the others can be read.
        raise ValueError(f"invalid JSON: {error.msg}, at character {error.pos + 1}") from None
    if _ID not in job and any(map(_is_array_of_jobs, job.values())):
        raise FileError(
            number, "this object is not a job, but contains an array of jobs; write only the array: [ ... ]"
        )
    return job


def _is_array_of_jobs(value: Any) -> bool:
    return isinstance(value, list) and any(
        isinstance(each, dict) and _ID in each for each in cast("Sequence[Any]", value)
    )


def _reject_other_shapes(number: int, line: str, error: json.JSONDecodeError) -> None:
    """Reject a file whose objects span lines or share a line: some of its lines could pass for jobs."""
    if not line.lstrip().startswith("{"):
        return
    if error.msg == "Extra data":
        if reason := _NOT_AFTER_A_JOB.get(line[error.pos]):
            raise FileError(number, f"{reason}; {_SHAPES}")
    elif not line.endswith("}") or error.pos >= len(line):
        raise FileError(
            number,
            "the object does not end on this line. If the file is cut, write it again; if its objects span lines, write"
            " each on one line, or all in one array: [ ... ]",
        )


def _parse(text: str) -> dict[str, Any]:
    if has_invalid_bytes(text):
        raise ValueError("invalid UTF-8")
    try:
        job = _JOBS.decode(text)
    except RecursionError:
        raise ValueError("invalid JSON: it is nested too deeply") from None
    if not isinstance(job, dict):
        raise ValueError("expected a JSON object")  # noqa: TRY004 - every problem of a line is a ValueError
    return cast("dict[str, Any]", job)


def _whole_number(digits: str) -> int:
    try:
        return int(digits)
    except ValueError:
        # Python's own message is about a setting of the interpreter.
        raise ValueError("a number has too many digits") from None


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        (name, _), *_ = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"{name_only(name)}: duplicate key")
    return fields


# json.loads would make a decoder for each line.
_JOBS = json.JSONDecoder(object_pairs_hook=_without_duplicates, parse_int=_whole_number)


def _array(first: int, text: str) -> Iterator[Job]:
    """Yield the jobs of an array.

    Args:
        first: The number of the line on which the array begins.
        text: The array, and what follows it.
    """
    place = _Place(first, text)
    end = place.skip(text.index("[") + 1)
    if text[end : end + 1] == "]":
        place.expect_end(end + 1)
        return
    while True:
        start = end
        number = place.line_of(start)
        try:
            _, end = _DECODER.raw_decode(text, start)
        except json.JSONDecodeError as error:
            raise FileError(
                place.line_of(error.pos),
                f"invalid JSON: {error.msg}, at character {error.colno}; the file begins with [, so it is one array",
            ) from None
        except RecursionError:
            raise FileError(number, "invalid JSON: it is nested too deeply") from None
        yield number, partial(_parse, text[start:end])
        end = place.skip(end)
        if text[end : end + 1] == "]":
            place.expect_end(end + 1)
            return
        if text[end : end + 1] != ",":
            what = "a comma or ] is missing after this object" if end < len(text) else "the array has no ] at its end"
            raise FileError(place.line_of(end), f"invalid JSON: {what}. The file seems to be cut or changed by hand")
        end = place.skip(end + 1)


class _Place:
    """Finds the line of a character, for characters in ascending order."""

    def __init__(self, first: int, text: str) -> None:
        self._text = text
        self._line = first
        self._position = 0

    def line_of(self, position: int) -> int:
        """Return the line of a character. Line ends at the end of the text do not count."""
        self._line += self._text.count("\n", self._position, position)
        self._position = position
        return self._line

    def skip(self, position: int) -> int:
        """Return the position after white space."""
        found = _SPACE.match(self._text, position)
        return found.end() if found else position

    def expect_end(self, position: int) -> None:
        """Reject text after the array."""
        end = self.skip(position)
        if end < len(self._text):
            raise FileError(self.line_of(end), "text follows the ] at the end of the array; put all jobs in one array")
