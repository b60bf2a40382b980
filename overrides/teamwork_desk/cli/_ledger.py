"""The ledger: what became of each conversation, on disk before and after each conversion.

It holds ids, states, error classes and times, and nothing of a customer. One run at a time holds it: SQLite's exclusive
lock lasts until the connection is closed, and the operating system frees that of a killed process. Write-ahead
logging makes a commit durable with one fsync; a rollback journal may undo the last commit where the power fails, and
that may be the note that a request was about to leave.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, TypeAlias, cast

from attrs import frozen

from ._errors import CommandError

State: TypeAlias = Literal["open", "done", "failed", "unknown"]

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
_NOW = "strftime('%Y-%m-%dT%H:%M:%fZ')"


@frozen(kw_only=True)
class Entry:
    """What is known of a conversation.

    Attributes:
        state: `open` from before its request leaves until its outcome is known; `done`; `failed`, which a next run
            tries again; or `unknown`.
        ticket_id: The ticket, where it is done.
        attempts: How often a run has opened it.
    """

    state: State
    ticket_id: int | None
    attempts: int

    @property
    def may_be_converted(self) -> bool:
        """Whether it must be looked at before it is converted."""
        return self.state in ("open", "unknown")


class Ledger:
    """Holds a ledger, and refuses every other run, until it is closed.

    Args:
        path: The file; it is made where there is none.
        origin: The installation it is for, such as `https://acme.teamwork.com`; None where that does not matter.

    Raises:
        CommandError: Another run holds it, or it is no ledger, or not one for this installation.
    """

    def __init__(self, path: Path, origin: str | None) -> None:
        self._path = path
        # SQLite takes every small file for an empty database, and would write over it.
        self._refuse_other_files()
        with self._explained():
            # Resolved, for SQLite gives names such as ":memory:" a meaning of their own.
            self._connection = sqlite3.connect(path.resolve(), isolation_level=None, timeout=0)
        try:
            with self._explained():
                self._take(origin)
        except CommandError:
            self._connection.close()
            raise

    def _refuse_other_files(self) -> None:
        if self._path.is_file() and _read_start(self._path) not in (b"", _MAGIC):
            raise CommandError(f"{self._path}: it is no ledger of teamwork-desk")

    def _take(self, origin: str | None) -> None:
        self._connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        # Read before anything is written: a file of something else stays as it is.
        is_new = self._is_new()
        # Checkpointed at once: moved without what SQLite keeps beside it, the file still knows what was sent.
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "fullfsync = ON", "wal_autocheckpoint = 1"):
            self._connection.execute(f"PRAGMA {pragma}")
        if is_new:
            self._connection.executescript(_SCHEMA)
        # A write, so that the lock is there before the first conversation.
        self._connection.execute("BEGIN EXCLUSIVE")
        (known,) = self._connection.execute("SELECT max(origin) FROM installation").fetchone()
        if origin is not None and known is None:
            self._connection.execute("INSERT INTO installation VALUES (?)", (origin,))
        self._connection.execute("COMMIT")
        if origin is not None and known not in (None, origin):
            raise CommandError(f"{self._path}: it is the ledger of {known}, not of {origin}")

    def _is_new(self) -> bool:
        """Return whether nothing is in it yet; refuse what is no ledger of this format."""
        application, version, tables = (
            self._number(query)
            for query in ("PRAGMA application_id", "PRAGMA user_version", "SELECT count(*) FROM sqlite_master")
        )
        if (application, version, tables) != (0, 0, 0) and application != APPLICATION_ID:
            raise CommandError(f"{self._path}: it is no ledger of teamwork-desk")
        if tables and version != FORMAT:
            raise CommandError(
                f"{self._path}: it is a ledger of format {version}, and this version reads format {FORMAT}"
            )
        return not tables

    def _number(self, query: str) -> int:
        return cast("int", self._connection.execute(query).fetchone()[0])

    @contextmanager
    def _explained(self) -> Generator[None]:
        try:
            yield
        except sqlite3.Error as error:
            is_held = error.sqlite_errorcode == sqlite3.SQLITE_BUSY
            reason = "another run holds it; wait until it has ended" if is_held else f"it cannot be used: {error}"
            raise CommandError(f"{self._path}: {reason}") from None

    @classmethod
    def in_memory(cls, path: Path) -> Ledger:
        """Return a copy that no write leaves, of nothing where there is no file."""
        copy = cls.__new__(cls)
        copy._path = path
        copy._connection = sqlite3.connect(":memory:", isolation_level=None)
        try:
            copy._copy_file()
        except CommandError:
            copy._connection.close()
            raise
        return copy

    def _copy_file(self) -> None:
        real = self._path.resolve()
        if real.with_name(f"{real.name}-wal").exists():
            # A run holds it, or was killed, and SQLite has to put it in order.
            with Ledger(self._path, None) as ledger:
                ledger._connection.backup(self._connection)
        elif self._path.is_file():
            self._refuse_other_files()
            # Immutable: neither the file nor its directory need be writable.
            with (
                self._explained(),
                closing(sqlite3.connect(f"{real.as_uri()}?immutable=1", uri=True)) as file,
            ):
                file.backup(self._connection)
        with self._explained():
            if self._is_new():
                self._connection.executescript(_SCHEMA)

    def entry(self, conversation_id: int) -> Entry | None:
        """Return what is known of a conversation; None where it was never opened."""
        with self._explained():
            row = self._connection.execute(
                "SELECT state, ticket_id, attempts FROM conversation WHERE id = ?", (conversation_id,)
            ).fetchone()
        return None if row is None else Entry(state=row[0], ticket_id=row[1], attempts=row[2])

    def unsettled(self) -> list[int]:
        """Return the conversations that are open or unknown."""
        with self._explained():
            rows = self._connection.execute(
                "SELECT id FROM conversation WHERE state IN ('open', 'unknown') ORDER BY id"
            ).fetchall()
        return [row[0] for row in rows]

    def begin(self, conversation_id: int) -> None:
        """Note that a request is about to leave."""
        with self._explained():
            self._connection.execute(
                f"INSERT INTO conversation (id, state, attempts, opened_at) VALUES (?, 'open', 1, {_NOW})"  # noqa: S608
                " ON CONFLICT (id) DO UPDATE SET state = 'open', error = NULL, closed_at = NULL,"
                " attempts = attempts + 1, opened_at = excluded.opened_at",
                (conversation_id,),
            )

    def end(
        self, conversation_id: int, state: State, *, ticket_id: int | None = None, error: str | None = None
    ) -> None:
        """Note what became of it.

        Args:
            conversation_id: The conversation.
            state: The state it is in now.
            ticket_id: Its ticket.
            error: The error's class.
        """
        with self._explained():
            self._connection.execute(
                f"UPDATE conversation SET state = ?, ticket_id = ?, error = ?, closed_at = {_NOW} WHERE id = ?",  # noqa: S608
                (state, ticket_id, error, conversation_id),
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._connection.close()


def _read_start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(len(_MAGIC))
