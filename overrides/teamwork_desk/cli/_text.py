"""The text of a jobs file: its encoding is found, and every kind of line end is accepted."""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from teamwork_desk._checks import printable

SURROGATES = ("\udc80", "\udcff")
"""The first and the last character that stands for a byte that is not UTF-8."""
_UTF_16 = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_UTF_32 = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
_ENCODING = "save it as UTF-8 (in Excel: CSV UTF-8)"


GZIP = "this seems to be a gzip file; decompress it first"
WORKBOOK = "this seems to be an Excel workbook; in Excel, save it as CSV UTF-8"
_ZIP = f"{WORKBOOK}. If it is another zip file, unpack it first"
_OTHER_FILES = {b"\x1f\x8b": GZIP, b"PK\x03\x04": _ZIP, b"PK\x05\x06": _ZIP, b"\xd0\xcf\x11\xe0": WORKBOOK}
"""What to do with files that are not text, by their first bytes."""


class FileError(Exception):
    """A jobs file is refused as a whole.

    Args:
        line: The line at which the reason was found.
        reason: The reason, and what to do. It shows no data of the file.
    """

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(line, reason)
        self.line = line
        self.reason = printable(reason)


@contextmanager
def open_lines(path: Path) -> Generator[Iterator[str]]:
    """Open a file as lines of text, with their line ends.

    Raises:
        FileError: The file is empty, or is not text, or its encoding is not supported.
        OSError: The file cannot be opened.
    """
    with path.open("rb") as file:
        # A pipe cannot be read from its start again.
        yield lines_of(file if file.seekable() else io.BytesIO(file.read()))


def lines_of(file: BinaryIO) -> Iterator[str]:
    """Yield the lines of a file. A byte that is not UTF-8 becomes a surrogate, so that its line can be named.

    Args:
        file: The file, at its start. It is closed at the end.

    Raises:
        FileError: The file is empty, or is not text, or its encoding is not supported.
    """
    start = file.read(4)
    file.seek(0)
    for signature, reason in _OTHER_FILES.items():
        if start.startswith(signature):
            raise FileError(1, reason)
    encoding = _UTF_16.get(start[:2], "utf-8-sig")
    if start in _UTF_32 or (b"\0" in start and encoding != "utf-16"):
        raise FileError(1, f"this seems to be UTF-32, or UTF-16 without a byte order mark; {_ENCODING}")
    errors = "strict" if encoding == "utf-16" else "surrogateescape"
    # newline="" keeps the line ends within the quoted cells of CSV as they are.
    number, is_empty = 0, True
    with io.TextIOWrapper(file, encoding, errors, newline="") as text:
        try:
            for line in text:
                number += 1
                is_empty = is_empty and not line.strip()
                yield line
        except UnicodeDecodeError:
            raise FileError(number + 1, f"invalid UTF-16 after this line, or the file is cut; {_ENCODING}") from None
    if is_empty:
        raise FileError(1, "the file is empty")


def has_invalid_bytes(text: str) -> bool:
    """Return whether text has bytes that are not UTF-8."""
    return not text.isascii() and any(SURROGATES[0] <= letter <= SURROGATES[1] for letter in text)


def is_header(line: str, name: str) -> bool:
    """Return whether a line seems to be a header of CSV with a name.

    Args:
        line: The line.
        name: The name.
    """
    return name in re.split(r"[,;\t|]", re.sub(r'[" \r\n]', "", line))
