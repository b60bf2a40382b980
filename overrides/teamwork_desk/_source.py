"""The content of an upload: bytes, or a file that is read in pieces."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import BinaryIO, cast

import anyio.to_thread

from ._checks import LARGEST_FILE
from ._errors import RequestError


class Source:
    """What is uploaded. It has no repr, because the name of a file is personal data.

    Args:
        path_or_bytes: The path of a file, or its content.

    Attributes:
        size: The number of bytes. A file must keep it until the end of the upload.

    Raises:
        RequestError: The value is neither a path nor bytes.
    """

    def __init__(self, path_or_bytes: object) -> None:
        self._content = path_or_bytes if isinstance(path_or_bytes, bytes) else None
        self._path = "" if isinstance(path_or_bytes, bytes) else _path_of(path_or_bytes)
        self.size = len(self._content or b"")

    @property
    def name(self) -> str | None:
        """The name of the file; None for bytes."""
        return None if self._content is not None else os.path.basename(self._path)  # noqa: PTH119 - "a/" has no name

    async def measure(self) -> None:
        """Find out the size.

        Raises:
            RequestError: The file cannot be read, or is too large.
        """
        problem = await anyio.to_thread.run_sync(self._stat) if self._content is None else None
        if problem:
            raise RequestError(f"path_or_bytes: {problem}")
        if self.size > LARGEST_FILE:
            limit = f"{LARGEST_FILE} bytes (20 MB)"
            raise RequestError(f"path_or_bytes: Desk accepts files of at most {limit}, and this has {self.size} bytes")

    def _stat(self) -> str | None:
        """Set the size; return the reason if that is impossible."""
        try:
            found = os.stat(self._path)  # noqa: PTH116 - any path of the caller
        except (OSError, ValueError) as error:
            return f"the file cannot be read ({type(error).__name__})"
        self.size = found.st_size
        return None if stat.S_ISREG(found.st_mode) else "expected a regular file"

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[Reader]:
        """Open the content for one attempt.

        Raises:
            RequestError: The file cannot be opened.
        """
        reader = Reader(self._content, self._path)
        try:
            if self._content is None and not await anyio.to_thread.run_sync(reader.open):
                raise RequestError("path_or_bytes: the file cannot be read any more")
            yield reader
        finally:
            reader.close()


def _path_of(path: object) -> str:
    found = os.fspath(cast("str | os.PathLike[str]", path)) if isinstance(path, (str, os.PathLike)) else None
    if not isinstance(cast("object", found), str):
        raise RequestError("path_or_bytes: expected a path as str or os.PathLike[str], or bytes")
    return cast("str", found)


class Reader:
    """Reads the content for one attempt.

    Args:
        content: The content; None if it is in a file.
        path: The path of the file.
    """

    def __init__(self, content: bytes | None, path: str) -> None:
        self._path = path
        self._is_file = content is None
        self._file: BinaryIO | None = None if content is None else io.BytesIO(content)

    def open(self) -> bool:
        """Open the file; return False if that fails."""
        try:
            self._file = open(self._path, "rb")  # noqa: PTH123, SIM115 - `close` closes it
        except OSError:
            return False
        return True

    async def read(self, size: int) -> bytes | None:
        """Return the next bytes, at most so many; None if they cannot be read."""
        return await anyio.to_thread.run_sync(self.read_now, size) if self._is_file else self.read_now(size)

    def read_now(self, size: int) -> bytes | None:
        """Do the same, and block the event loop meanwhile."""
        try:
            return self._file.read(size) if self._file else None
        except OSError:
            return None

    def close(self) -> None:
        """Close the file, also if the call was cancelled."""
        if self._file is not None:
            self._file.close()
