"""The content of an upload: bytes, or a file that is read in pieces."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial
from threading import Lock
from typing import TypeVar, cast

import anyio.to_thread

from ._checks import LARGEST_FILE, open_file
from ._errors import RequestError

T = TypeVar("T")


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
        problem = await _in_thread(self._stat) if self._content is None else None
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
            if self._content is None and not await _in_thread(reader.open):
                raise RequestError("path_or_bytes: the file cannot be read any more")
            yield reader
        finally:
            reader.close()


def _path_of(path: object) -> str:
    found = os.fspath(cast("str | os.PathLike[str]", path)) if isinstance(path, (str, os.PathLike)) else None
    if not isinstance(cast("object", found), str):
        raise RequestError("path_or_bytes: expected a path as str or os.PathLike[str], or bytes")
    return cast("str", found)


async def _in_thread(function: Callable[[], T]) -> T:
    """Run a function in a thread, which is abandoned when the call ends: a file of a broken mount can hang forever."""
    return await anyio.to_thread.run_sync(function, abandon_on_cancel=True)


class Reader:
    """Reads the content for one attempt.

    Args:
        content: The content; None if it is in a file.
        path: The path of the file.
    """

    def __init__(self, content: bytes | None, path: str) -> None:
        self._path = path
        self._is_file = content is None
        self._file: io.BufferedIOBase | None = None if content is None else io.BytesIO(content)
        self._lock = Lock()
        self._is_busy = self._is_closed = False

    def open(self) -> bool:
        """Open the file; return False if that fails."""
        return self._work(self._open) is not None

    def _open(self) -> bool:
        self._file = open_file(self._path)
        return True

    async def read(self, size: int) -> bytes | None:
        """Return the next bytes, at most so many; None if they cannot be read."""
        return await _in_thread(partial(self.read_now, size)) if self._is_file else self.read_now(size)

    def read_now(self, size: int) -> bytes | None:
        """Do the same, and block the event loop meanwhile."""
        return self._work(partial(cast("io.BufferedIOBase", self._file).read, size))

    def _work(self, function: Callable[[], T]) -> T | None:
        """Return the result of a function that uses the file; None if it fails."""
        with self._lock:
            if self._is_closed:
                return None
            self._is_busy = True
        try:
            return function()
        except OSError:
            return None
        finally:
            with self._lock:
                self._is_busy = False
                if self._is_closed:
                    self._close()

    def close(self) -> None:
        """Close the file, also if the call was cancelled. If a thread still uses the file, that thread closes it."""
        with self._lock:
            self._is_closed = True
            if not self._is_busy:
                self._close()

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
