"""The place of a ledger: a lock on its name, and the check that its files are still there.

SQLite locks the file and not the path. If somebody moves or removes the ledger of a run, another run can create a new
ledger at the same path, and would convert conversations that the first run is converting.
"""

from __future__ import annotations

import errno
import hashlib
import os
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

from ._errors import CommandError

IN_USE: Final = "another run is using it; wait until that run has ended"


class LedgerLostError(CommandError):
    """The ledger that a run has opened is no longer at its path."""


def lock_name(path: Path) -> socket.socket | None:
    """Lock the name of a file in its directory, whether the file exists or not.

    The lock is a socket in the abstract namespace of Linux. It is not a file, so nobody can remove it, and it ends with
    the process. Processes in another network namespace, such as another container, do not see it.

    Args:
        path: The file. A symbolic link means the file that it leads to.

    Returns:
        The lock, which lasts until it is closed; None if this system has no such lock.

    Raises:
        CommandError: Another run has locked the name.
    """
    if sys.platform != "linux":
        return None
    lock = None
    try:
        # The directory's number and not its path: two containers may have different directories with the same path.
        target = path.resolve()
        directory = target.parent.stat()
        name = f"{directory.st_dev} {directory.st_ino} ".encode() + os.fsencode(target.name)
        lock = socket.socket(socket.AF_UNIX)
        lock.bind(f"\0teamwork-desk:{hashlib.sha256(name).hexdigest()}")
    except OSError as error:
        if lock is not None:
            lock.close()
        if error.errno == errno.EADDRINUSE:
            raise CommandError(f"{path}: {IN_USE}") from None
        # The directory does not exist, which SQLite reports, or a sandbox forbids the socket.
        return None
    return lock


def is_same_file(one: Path, other: Path) -> bool:
    """Return whether two paths lead to one file, whether it exists or not. One file may have several names."""
    with suppress(OSError):
        return one.samefile(other)
    return one.resolve() == other.resolve()


class Place:
    """The files of an open ledger, as they are now.

    Args:
        path: The ledger's path, as it was given.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        # The absolute path also shows that a directory above the file was moved. It keeps symbolic links, because a
        # link may be replaced, too.
        self._file, self._target = path.absolute(), path.resolve()
        self._wal = self._target.with_name(f"{self._target.name}-wal")
        self._identities = _identity(self._file), _identity(self._wal)

    def check(self) -> None:
        """Check that the files are still at their paths. This costs two calls of `stat`, a few microseconds.

        Raises:
            LedgerLostError: A file was moved, removed or replaced.
        """
        file, wal = self._identities
        if file is None or _identity(self._file) != file:
            self._remove_stale_wal()
            raise LedgerLostError(
                f"{self._path}: the ledger of this run was moved, removed or replaced, so the run starts no more"
                " conversions. Move the ledger back before you run the command again. If it is lost, the next run must"
                " look up every conversation first, as it does by default"
            )
        if _identity(self._wal) != wal:
            # SQLite goes on writing to the removed file, and a crash would then damage the ledger.
            raise LedgerLostError(
                f"{self._path}-wal: this part of the ledger was moved, removed or replaced, so the run starts no more"
                " conversions. Run the command again with the same ledger"
            )

    def _remove_stale_wal(self) -> None:
        """Remove the -wal file if the file that it belongs to is gone.

        SQLite would read it as a part of the file that is at this path now. Nothing is lost: SQLite copies each commit
        into the ledger itself, and does not look for the -wal file where the ledger is now.
        """
        file, wal = self._identities
        if _identity(self._target) != file and _identity(self._wal) == wal:
            with suppress(OSError):
                self._wal.unlink()


def _identity(path: Path) -> tuple[int, int] | None:
    """Return what distinguishes a file from every other file; None if it cannot be found.

    Some file systems do not number their files. Then only the existence of the file is compared.
    """
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
