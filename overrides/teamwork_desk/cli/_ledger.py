"""The ledger: a file with the state of each conversation, written before and after each conversion.

It holds ids, states, error classes, times and hashes of attached files, and no personal data. Only one run at a time
can use it: SQLite's exclusive lock lasts until the connection is closed, and the operating system releases the lock of
a killed process. The ledger uses write-ahead logging, which makes a commit durable with one fsync. A rollback journal
could lose the last commit in a power failure, and this commit may say that a request is about to be sent.

SQLite's lock belongs to the file, and a user can move or remove the file while a run uses it. So there is a second lock
on the name (on Linux), and `begin` first checks that the ledger is still at its path. The request leaves right after
`begin`, so only a request that is leaving at the moment when the file is removed can be unknown to another run.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Iterable
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self, cast

from ._errors import CommandError
from ._place import IN_USE, Place, lock_name
from ._records import Entry, Record, State

APPLICATION_ID = 0x54444C47  # "TDLG"
FORMAT = 1
_MAGIC = b"SQLite format 3\0"
_SCHEMA = f"""
BEGIN;
CREATE TABLE installation (origin TEXT NOT NULL);
CREATE TABLE conversation (
    id INTEGER PRIMARY KEY,
    state TEXT NOT NULL CHECK (state IN ('open', 'done', 'failed', 'unknown')),
    ticket_id INTEGER,
    error TEXT,
    attempts INTEGER NOT NULL,
    opened_at TEXT NOT NULL,
    closed_at TEXT
);
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {FORMAT};
COMMIT;
"""
# An older version of this package knows nothing of these tables, and ignores them. So the format is still the same.
_LATER_TABLES = (
    "CREATE TABLE IF NOT EXISTS upload (conversation_id INTEGER NOT NULL, fingerprint TEXT NOT NULL,"
    " file_id INTEGER NOT NULL, PRIMARY KEY (conversation_id, fingerprint))",
    "CREATE TABLE IF NOT EXISTS scheduled (conversation_id INTEGER PRIMARY KEY)",
)
_IS_SCHEDULED = "EXISTS (SELECT 1 FROM scheduled WHERE conversation_id = id)"
_NOW = "strftime('%Y-%m-%dT%H:%M:%fZ')"


class Ledger:
    """An open ledger. Until it is closed, no other run can open it.

    Args:
        path: The file. It is created if it does not exist.
        origin: The installation that the ledger belongs to, such as `https://acme.teamwork.com`. With None, it may
            belong to any installation.

    Raises:
        CommandError: Another run is using the ledger, the file is not a ledger, or it belongs to another installation.
    """

    def __init__(self, path: Path, origin: str | None) -> None:
        self._path = path
        # SQLite treats every small file as an empty database, and would overwrite it.
        self._reject_other_files()
        with ExitStack() as stack:
            if lock := lock_name(path):
                stack.enter_context(lock)
            with self._command_errors():
                # The path is absolute, because SQLite gives names such as ":memory:" a special meaning.
                self._connection = sqlite3.connect(path.resolve(), isolation_level=None, timeout=0)
                stack.callback(self._connection.close)
                self._lock(origin)
            self._place: Place | None = Place(path)
            self._open = stack.pop_all()

    def _reject_other_files(self) -> None:
        if self._path.is_file() and _read_start(self._path) not in (b"", _MAGIC):
            raise CommandError(f"{self._path}: not a ledger of teamwork-desk")

    def _lock(self, origin: str | None) -> None:
        self._connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        # Read the file before writing to it, so that the database of another program stays unchanged.
        is_new = self._is_new()
        # Checkpoint each commit into the file itself: the ledger must be complete if it is moved without its -wal file.
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "fullfsync = ON", "wal_autocheckpoint = 1"):
            self._connection.execute(f"PRAGMA {pragma}")
        if is_new:
            self._connection.executescript(_SCHEMA)
        # SQLite locks the file at the first write, and the lock must exist before the first conversion.
        self._connection.execute("BEGIN EXCLUSIVE")
        self._add_later_tables()
        known = self.origin
        if origin is not None and known is None:
            self._connection.execute("INSERT INTO installation VALUES (?)", (origin,))
        self._connection.execute("COMMIT")
        if origin is not None and known not in (None, origin):
            raise CommandError(f"{self._path}: this ledger belongs to {known}, not to {origin}")

    def _add_later_tables(self) -> None:
        for statement in _LATER_TABLES:
            self._connection.execute(statement)

    def _is_new(self) -> bool:
        """Return whether the database is empty. Reject a database that is not a ledger of this format."""
        application, version, tables = (
            self._number(query)
            for query in ("PRAGMA application_id", "PRAGMA user_version", "SELECT count(*) FROM sqlite_master")
        )
        if (application, version, tables) != (0, 0, 0) and application != APPLICATION_ID:
            raise CommandError(f"{self._path}: not a ledger of teamwork-desk")
        if tables and version != FORMAT:
            raise CommandError(f"{self._path}: the ledger has format {version}, but this version reads format {FORMAT}")
        return not tables

    def _number(self, query: str) -> int:
        return cast("int", self._connection.execute(query).fetchone()[0])

    @contextmanager
    def _command_errors(self) -> Generator[None]:
        """Turn SQLite's errors into a `CommandError` that names the file."""
        try:
            yield
        except sqlite3.Error as error:
            is_locked = error.sqlite_errorcode == sqlite3.SQLITE_BUSY
            reason = IN_USE if is_locked else f"cannot be used: {error}"
            raise CommandError(f"{self._path}: {reason}") from None

    @contextmanager
    def _transaction(self) -> Generator[None]:
        """Write everything of a block, or nothing."""
        with self._command_errors(), self._connection:
            self._connection.execute("BEGIN")
            yield

    @classmethod
    def in_memory(cls, path: Path) -> Ledger:
        """Return a copy in memory, so that writes do not reach the file. Without a file, the copy is empty."""
        copy = cls.__new__(cls)
        copy._path, copy._place = path, None
        copy._connection = sqlite3.connect(":memory:", isolation_level=None)
        with ExitStack() as stack:
            stack.callback(copy._connection.close)
            copy._copy_file()
            copy._open = stack.pop_all()
        return copy

    def _copy_file(self) -> None:
        real = self._path.resolve()
        if real.is_file() and real.with_name(f"{real.name}-wal").exists():
            # A run is using the ledger, or was killed, and then only SQLite can bring the -wal file into the copy.
            with Ledger(self._path, None) as ledger:
                ledger._connection.backup(self._connection)
        elif self._path.is_file():
            self._reject_other_files()
            # An immutable database can be read without the right to write to the file or its directory.
            with (
                self._command_errors(),
                closing(sqlite3.connect(f"{real.as_uri()}?immutable=1", uri=True)) as file,
            ):
                file.backup(self._connection)
        with self._command_errors():
            if self._is_new():
                self._connection.executescript(_SCHEMA)
            self._add_later_tables()

    def entry(self, conversation_id: int) -> Entry | None:
        """Return the record of a conversation; None if no run has tried to convert it."""
        with self._command_errors():
            row = self._connection.execute(
                f"SELECT state, ticket_id, attempts, {_IS_SCHEDULED} FROM conversation WHERE id = ?",  # noqa: S608
                (conversation_id,),
            ).fetchone()
        return None if row is None else Entry(state=row[0], ticket_id=row[1], attempts=row[2], is_scheduled=row[3])

    @property
    def origin(self) -> str | None:
        """The installation that the ledger belongs to; None if no run has used it."""
        with self._command_errors():
            (origin,) = self._connection.execute("SELECT max(origin) FROM installation").fetchone()
        return cast("str | None", origin)

    def records(self) -> list[Record]:
        """Return the records of all conversations, in the order of their ids."""
        with self._command_errors():
            cursor = self._connection.execute(
                "SELECT id AS conversation_id, state, ticket_id, error, attempts, opened_at, closed_at,"  # noqa: S608
                f" {_IS_SCHEDULED} AS is_scheduled FROM conversation ORDER BY id"
            )
            names = [column[0] for column in cursor.description]
            return [Record(**dict(zip(names, row, strict=True))) for row in cursor]

    def unsettled(self) -> list[int]:
        """Return the conversations that are open or unknown."""
        with self._command_errors():
            rows = self._connection.execute(
                "SELECT id FROM conversation WHERE state IN ('open', 'unknown') ORDER BY id"
            ).fetchall()
        return [row[0] for row in rows]

    def check_place(self) -> None:
        """Check that the ledger is still at its path.

        Raises:
            LedgerLostError: It was moved, removed or replaced.
        """
        if self._place is not None:
            self._place.check()

    def begin(self, conversation_id: int, *, is_scheduled: bool = False) -> None:
        """Record that the request for a conversation leaves now.

        Args:
            conversation_id: The conversation.
            is_scheduled: Whether the request schedules an email, so that the ticket may appear much later.

        Raises:
            CommandError: The ledger cannot be written, or is no longer at its path: nothing must be sent.
        """
        self.check_place()
        with self._transaction():
            if is_scheduled:
                self._connection.execute("INSERT OR IGNORE INTO scheduled VALUES (?)", (conversation_id,))
            self._connection.execute(
                f"INSERT INTO conversation (id, state, attempts, opened_at) VALUES (?, 'open', 1, {_NOW})"  # noqa: S608
                " ON CONFLICT (id) DO UPDATE SET state = 'open', error = NULL, closed_at = NULL,"
                " attempts = attempts + 1, opened_at = excluded.opened_at",
                (conversation_id,),
            )

    def end(
        self, conversation_id: int, state: State, *, ticket_id: int | None = None, error: str | None = None
    ) -> None:
        """Record the outcome of a conversation, whether a request has left for it or not.

        Args:
            conversation_id: The conversation.
            state: Its new state.
            ticket_id: Its ticket, if it has one.
            error: The name of the error's class, if it failed.
        """
        with self._transaction():
            if state in ("done", "failed"):
                self._connection.execute("DELETE FROM scheduled WHERE conversation_id = ?", (conversation_id,))
            self._connection.execute(
                "INSERT INTO conversation (id, state, ticket_id, error, attempts, opened_at, closed_at)"  # noqa: S608
                f" VALUES (?, ?, ?, ?, 0, {_NOW}, {_NOW})"
                " ON CONFLICT (id) DO UPDATE SET state = excluded.state, ticket_id = excluded.ticket_id,"
                " error = excluded.error, closed_at = excluded.closed_at",
                (conversation_id, state, ticket_id, error),
            )

    def uploads(self, conversation_id: int) -> dict[str, int]:
        """Return the ids of the files that were uploaded for a conversation, by their fingerprints."""
        with self._command_errors():
            rows = self._connection.execute(
                "SELECT fingerprint, file_id FROM upload WHERE conversation_id = ? ORDER BY file_id",
                (conversation_id,),
            ).fetchall()
        return dict(rows)

    def keep_upload(self, conversation_id: int, fingerprint: str, file_id: int) -> None:
        """Record that a file was uploaded for a conversation, which is not converted yet."""
        with self._command_errors():
            self._connection.execute(
                "INSERT OR REPLACE INTO upload VALUES (?, ?, ?)", (conversation_id, fingerprint, file_id)
            )

    def forget_uploads(self, conversation_id: int) -> None:
        """Forget the files of a conversation, because they are attached, or Desk does not accept them."""
        with self._command_errors():
            self._connection.execute("DELETE FROM upload WHERE conversation_id = ?", (conversation_id,))

    def forget(self, conversation_ids: Iterable[int]) -> None:
        """Remove all that is recorded about some conversations: either of all of them, or of none.

        Raises:
            CommandError: The ledger cannot be written, or is no longer at its path.
        """
        self.check_place()
        ids = [(conversation_id,) for conversation_id in conversation_ids]
        with self._transaction():
            self._connection.executemany("DELETE FROM conversation WHERE id = ?", ids)
            for table in ("upload", "scheduled"):
                self._connection.executemany(f"DELETE FROM {table} WHERE conversation_id = ?", ids)  # noqa: S608

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._open.close()


def _read_start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(len(_MAGIC))
