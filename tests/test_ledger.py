"""The ledger: its contents survive a kill, and no other file is used as a ledger."""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import typing
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import anyio
import pytest
from fault_server import FaultServer

from teamwork_desk import (
    AuthenticationError,
    ConvertedConversation,
    DeadlineExceeded,
    DeskError,
    NotFoundError,
    OutcomeUnknownError,
    PermissionDeniedError,
    _backlog,
)
from teamwork_desk.cli._errors import CommandError
from teamwork_desk.cli._jobs import Line
from teamwork_desk.cli._ledger import Ledger
from teamwork_desk.cli._place import LedgerLostError
from teamwork_desk.cli._records import Entry, State
from teamwork_desk.cli._result import Result
from teamwork_desk.cli._run import Run
from teamwork_desk.testing import VirtualTimeLoop

ORIGIN = "https://acme.teamwork.com"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "directory").mkdir()
    return tmp_path / "directory" / "run.sqlite"


def rows(path: Path) -> list[dict[str, Any]]:
    connection = sqlite3.connect(path)
    connection.row_factory = sqlite3.Row
    try:
        return [dict(row) for row in connection.execute("SELECT * FROM conversation ORDER BY id")]
    finally:
        connection.close()


def test_a_conversation_is_open_until_its_outcome_is_known(path: Path) -> None:
    with Ledger(path, ORIGIN) as ledger:
        assert ledger.entry(7) is None
        ledger.begin(7)
        assert ledger.entry(7) == Entry(state="open", ticket_id=None, attempts=1)
        ledger.end(7, "done", ticket_id=1007)
        assert ledger.entry(7) == Entry(state="done", ticket_id=1007, attempts=1)


def test_a_retry_clears_the_error_of_the_last_attempt(path: Path) -> None:
    with Ledger(path, ORIGIN) as ledger:
        ledger.begin(7)
        ledger.end(7, "failed", error="NotFoundError")
        ledger.begin(7)
        assert ledger.entry(7) == Entry(state="open", ticket_id=None, attempts=2)
    (row,) = rows(path)
    assert (row["error"], row["closed_at"]) == (None, None)


@pytest.mark.parametrize(
    ("state", "may_be_converted"), [("open", True), ("unknown", True), ("failed", False), ("done", False)]
)
def test_an_open_or_unknown_conversation_may_have_been_converted(state: State, may_be_converted: bool) -> None:
    assert Entry(state=state, ticket_id=None, attempts=1).may_be_converted is may_be_converted


def test_the_ledger_holds_no_personal_data(path: Path) -> None:
    with Ledger(path, ORIGIN) as ledger:
        ledger.begin(7)
        ledger.end(7, "unknown", error="OutcomeUnknownError")
    (row,) = rows(path)
    times = [row.pop("opened_at"), row.pop("closed_at")]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", time) for time in times)
    assert row == {"id": 7, "state": "unknown", "ticket_id": None, "error": "OutcomeUnknownError", "attempts": 1}
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def connection_of(ledger: Ledger) -> sqlite3.Connection:
    connection: sqlite3.Connection = vars(ledger)["_connection"]
    return connection


KILLED = """
import os, signal, sys
from pathlib import Path
from teamwork_desk.cli._ledger import Ledger
ledger = Ledger(Path(sys.argv[1]), "https://acme.teamwork.com")
for number in range(1, 4):
    ledger.begin(number)
ledger.end(1, "done", ticket_id=1001)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_after_a_kill_the_ledger_is_complete_and_unlocked(path: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert killed.returncode == -9
    with Ledger(path, ORIGIN) as ledger:
        states = [entry.state for number in range(1, 5) if (entry := ledger.entry(number))]
    assert states == ["done", "open", "open"]


def test_a_commit_reaches_the_disk(path: Path) -> None:
    with Ledger(path, ORIGIN) as ledger:
        pragmas = {
            name: connection_of(ledger).execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "fullfsync")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "fullfsync": 1}


def test_the_ledger_of_a_killed_run_is_complete_without_its_wal_file(path: Path) -> None:
    subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert path.with_name(f"{path.name}-wal").exists()
    moved = path.rename(path.with_name("moved.sqlite"))
    with Ledger(moved, ORIGIN) as ledger:
        assert ledger.entry(1) == Entry(state="done", ticket_id=1001, attempts=1)
        assert ledger.unsettled() == [2, 3]


# One run at a time


def test_a_second_run_is_rejected_until_the_first_has_ended(path: Path) -> None:
    with Ledger(path, ORIGIN) as ledger:
        ledger.begin(7)
        with pytest.raises(CommandError, match=r"run\.sqlite: another run is using it"):
            Ledger(path, ORIGIN)
        ledger.end(7, "done")
    with Ledger(path, ORIGIN) as ledger:
        assert ledger.entry(7) is not None


def test_a_second_run_is_rejected_even_before_the_first_conversation(path: Path) -> None:
    with Ledger(path, ORIGIN):
        pass
    with Ledger(path, ORIGIN), pytest.raises(CommandError, match="another run"):
        Ledger(path, None)


def test_another_process_is_rejected(path: Path) -> None:
    with Ledger(path, ORIGIN):
        second = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False, capture_output=True, text=True)
    assert "another run is using it" in second.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no lock that does not belong to a file")
def test_a_second_run_is_rejected_even_if_the_ledger_was_removed(path: Path) -> None:
    link = path.with_name("link.sqlite")
    link.symlink_to(path)
    with Ledger(path, ORIGIN):
        for file in path.parent.glob("run.sqlite*"):
            file.unlink()
        for name in (path, link):
            with pytest.raises(CommandError, match=r"\.sqlite: another run is using it"):
                Ledger(name, ORIGIN)
        assert not path.exists()
        with Ledger(path.with_name("other.sqlite"), ORIGIN):
            pass
    with Ledger(path, ORIGIN):
        pass


def test_a_ledger_needs_no_lock_on_its_name(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object) -> None:
        raise PermissionError

    for name, value in (("teamwork_desk.cli._place.socket.socket", forbidden), ("sys.platform", "darwin")):
        with monkeypatch.context() as patch:
            patch.setattr(name, value)
            with Ledger(path, ORIGIN) as ledger:
                ledger.begin(7)


# A ledger that is removed or moved while a run uses it


def remove(path: Path) -> None:
    for file in path.parent.glob("run.sqlite*"):
        file.unlink()


def move(path: Path) -> None:
    path.rename(path.with_name("kept"))


def replace(path: Path) -> None:
    copy = path.with_name("copy")
    copy.write_bytes(path.read_bytes())
    copy.replace(path)


def move_the_directory(path: Path) -> None:
    path.parent.rename(path.parent.with_name("moved"))


def link_elsewhere(path: Path) -> None:
    move(path)
    path.with_name("other.sqlite").touch()
    path.symlink_to(path.with_name("other.sqlite"))


LOSSES: list[Callable[[Path], None]] = [remove, move, replace, move_the_directory, link_elsewhere]


@pytest.mark.parametrize("lose", LOSSES)
def test_nothing_begins_if_the_ledger_is_no_longer_at_its_path(path: Path, lose: Callable[[Path], None]) -> None:
    with Ledger(path, ORIGIN) as ledger:
        ledger.begin(7)
        lose(path)
        with pytest.raises(
            LedgerLostError, match=r"run\.sqlite: the ledger of this run was moved, removed or replaced"
        ):
            ledger.begin(8)
        ledger.end(7, "done", ticket_id=1007)
        assert (ledger.entry(7), ledger.entry(8)) == (Entry(state="done", ticket_id=1007, attempts=1), None)


def test_nothing_begins_if_a_link_to_the_ledger_leads_elsewhere(path: Path) -> None:
    link = path.with_name("link.sqlite")
    link.symlink_to(path)
    with Ledger(link, ORIGIN) as ledger:
        ledger.begin(7)
        link.unlink()
        link.symlink_to(path.with_name("other.sqlite"))
        with pytest.raises(LedgerLostError):
            ledger.begin(8)
        assert path.with_name("run.sqlite-wal").exists()


def test_nothing_begins_if_the_wal_file_was_removed_and_the_ledger_stays_complete(path: Path) -> None:
    with Ledger(path, ORIGIN) as ledger:
        ledger.begin(7)
        path.with_name("run.sqlite-wal").unlink()
        with pytest.raises(LedgerLostError, match=r"run\.sqlite-wal: this part of the ledger was moved, removed"):
            ledger.begin(8)
        ledger.end(7, "done", ticket_id=1007)
    with Ledger(path, ORIGIN) as ledger:
        assert ledger.entry(7) == Entry(state="done", ticket_id=1007, attempts=1)


def test_a_ledger_that_replaces_another_keeps_its_own_entries(path: Path) -> None:
    """SQLite would read the -wal file of the lost ledger as a part of the new one."""
    new = path.with_name("new.sqlite")
    with Ledger(path, ORIGIN) as ledger:
        ledger.begin(7)
        move(path)
        with Ledger(new, ORIGIN) as other:
            other.begin(9)
        new.rename(path)
        with pytest.raises(LedgerLostError):
            ledger.begin(8)
        ledger.end(7, "done", ticket_id=1007)
    with Ledger(path.with_name("kept"), ORIGIN) as kept, Ledger(path, ORIGIN) as replacement:
        assert kept.entry(7) == Entry(state="done", ticket_id=1007, attempts=1)
        assert replacement.entry(9) == Entry(state="open", ticket_id=None, attempts=1)


def test_a_file_system_without_file_numbers_compares_only_the_existence(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.stat

    def without_numbers(path: Path, **options: Any) -> os.stat_result:
        mode, _inode, _device, *others = real(path, **options)
        return os.stat_result((mode, 0, 0, *others))

    monkeypatch.setattr(Path, "stat", without_numbers)
    with Ledger(path, ORIGIN) as ledger:
        ledger.begin(7)
        remove(path)
        with pytest.raises(LedgerLostError):
            ledger.begin(8)


# Files that this run cannot use as its ledger


def test_a_ledger_is_for_one_installation(path: Path) -> None:
    with Ledger(path, ORIGIN):
        pass
    with pytest.raises(CommandError, match=r"this ledger belongs to https://acme\.teamwork\.com, not to https://other"):
        Ledger(path, "https://other.teamwork.com")
    with Ledger(path, ORIGIN):
        pass


def a_file(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def a_database(script: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        connection = sqlite3.connect(path)
        connection.executescript(script)
        connection.close()

    return make


def a_newer_ledger(path: Path) -> None:
    with Ledger(path, ORIGIN) as ledger:
        connection_of(ledger).execute("PRAGMA user_version = 2")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (a_file(b'{"conversation_id": 42}\n' * 100), "not a ledger"),
        (a_file(b"x"), "not a ledger"),
        (a_file(b"SQLite format 3\0" + b"x" * 5000), "cannot be used: file is not a database"),
        (a_database("CREATE TABLE customers (name TEXT)"), "not a ledger"),
        (a_database("PRAGMA application_id = 7"), "not a ledger"),
        (a_newer_ledger, "format 2, but this version reads format 1"),
        (Path.mkdir, "cannot be used: unable to open"),
    ],
)
def test_a_file_that_is_not_a_ledger_is_rejected_and_stays_unchanged(
    path: Path, make: Callable[[Path], object], reason: str
) -> None:
    make(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(CommandError, match=reason):
        Ledger(path, ORIGIN)
    if path.is_file():
        with pytest.raises(CommandError, match=reason):
            Ledger.in_memory(path)
    assert (path.read_bytes() if path.is_file() else None) == before


def test_an_empty_file_becomes_a_ledger(path: Path) -> None:
    path.touch()
    with Ledger(path, ORIGIN) as ledger:
        ledger.begin(7)


def test_a_name_with_a_meaning_for_sqlite_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Ledger(Path(":memory:"), ORIGIN):
        pass
    assert (tmp_path / ":memory:").is_file()


def test_a_failed_write_raises_an_error_that_names_the_file(path: Path) -> None:
    with Ledger(path, ORIGIN) as ledger:
        connection_of(ledger).execute("PRAGMA query_only = ON")
        with pytest.raises(CommandError, match=r"run\.sqlite: cannot be used: attempt to write"):
            ledger.begin(7)


# A copy in memory


def test_a_copy_has_the_same_contents_and_does_not_change_the_file(path: Path) -> None:
    with Ledger(path, ORIGIN) as ledger:
        ledger.begin(7)
    before = path.read_bytes()
    with Ledger.in_memory(path) as copy:
        assert copy.entry(7) == Entry(state="open", ticket_id=None, attempts=1)
        copy.end(7, "done")
        copy.begin(8)
    assert path.read_bytes() == before


@pytest.mark.parametrize("exists", [False, True])
def test_a_copy_of_a_missing_or_empty_file_is_empty_and_creates_nothing(path: Path, exists: bool) -> None:
    if exists:
        path.touch()
    with Ledger.in_memory(path) as copy:
        assert copy.entry(7) is None
        copy.begin(7)
    assert [(file.name, file.stat().st_size) for file in path.parent.iterdir()] == [(path.name, 0)] * exists


def test_a_copy_does_not_need_the_right_to_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a #1?.sqlite"
    with Ledger(path, ORIGIN) as ledger:
        ledger.begin(7)
    opened: list[str] = []
    connect: Callable[..., sqlite3.Connection] = sqlite3.connect

    def spy(name: Any, **options: Any) -> sqlite3.Connection:
        opened.append(str(name))
        return connect(name, **options)

    monkeypatch.setattr(sqlite3, "connect", spy)
    with Ledger.in_memory(path) as copy:
        assert copy.unsettled() == [7]
    assert opened == [":memory:", f"{path.as_uri()}?immutable=1"]
    assert list(tmp_path.iterdir()) == [path]


def test_a_copy_has_what_a_killed_run_wrote(path: Path) -> None:
    subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    with Ledger.in_memory(path) as copy:
        assert copy.unsettled() == [2, 3]


def test_a_ledger_that_a_run_is_using_cannot_be_copied(path: Path) -> None:
    with Ledger(path, ORIGIN), pytest.raises(CommandError, match="another run is using it"):
        Ledger.in_memory(path)


# A run


class Desk:
    """Converts a conversation, or raises the error that a test has set for it, once."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.sent: list[int] = []
        self.errors: dict[int, DeskError] = {}
        self.leave: Callable[[int], None] = lambda _: None

    async def convert(self, conversation_id: int, **arguments: Any) -> ConvertedConversation:
        self.calls.append({"conversation_id": conversation_id, **arguments})
        error = self.errors.pop(conversation_id, None)
        if error is None or error.attempts or error.maybe_applied:
            self.leave(conversation_id)
            self.sent.append(conversation_id)
        if error is not None:
            raise error
        return ConvertedConversation(id=conversation_id, ticket_id=conversation_id + 1000, created=True)

    def fail(self, conversation_id: int, error: DeskError, *, maybe_applied: bool = False, attempts: int = 0) -> None:
        error.maybe_applied, error.attempts = maybe_applied, attempts
        self.errors[conversation_id] = error


def lines(*conversations: int) -> list[Line]:
    return [
        Line(number=number, conversation_id=each, job={"conversation_id": each})
        for number, each in enumerate(conversations, 1)
    ]


def run(
    path: Path, desk: Desk, *jobs: Line, verify_first: bool = False
) -> dict[int, tuple[str, int | None, str | None]]:
    """Return the state, the ticket and the error that are reported for each line."""
    reports: list[Result] = []

    async def convert_all() -> None:
        running = Run(desk.convert, ledger, reports.append, settle=0, verify_first=verify_first)
        desk.leave = running.leave
        await running.convert_all(jobs, concurrency=8)

    with Ledger(path, ORIGIN) as ledger:
        asyncio.run(convert_all())
    assert len({result.line for result in reports}) == len(reports)
    return {result.line: (result.state, result.ticket_id, result.error) for result in reports}


def states(path: Path) -> dict[int, str]:
    return {row["id"]: row["state"] for row in rows(path)}


def test_a_second_run_skips_what_is_done_and_retries_what_failed(path: Path) -> None:
    desk = Desk()
    desk.fail(2, NotFoundError("no", status_code=404))
    first = run(path, desk, *lines(1, 2, 3))
    assert first == {1: ("done", 1001, None), 2: ("failed", None, "NotFoundError"), 3: ("done", 1003, None)}
    assert states(path) == {1: "done", 2: "failed", 3: "done"}
    desk.calls.clear()
    assert run(path, desk, *lines(1, 2, 3)) == {
        1: ("skipped", 1001, None),
        2: ("done", 1002, None),
        3: ("skipped", 1003, None),
    }
    assert [call["conversation_id"] for call in desk.calls] == [2]


@pytest.mark.parametrize(("attempts", "looks_first"), [(0, False), (1, True)])
def test_a_job_whose_request_was_refused_is_looked_up_first(path: Path, attempts: int, looks_first: bool) -> None:
    """A gateway may refuse a request that Desk has carried out, and the next run has another client."""
    desk = Desk()
    desk.fail(1, AuthenticationError("no", status_code=401), attempts=attempts)
    assert run(path, desk, *lines(1)) == {1: ("failed", None, "AuthenticationError")}
    desk.calls.clear()
    assert run(path, desk, *lines(1), verify_first=False) == {1: ("done", 1001, None)}
    assert [call["verify_first"] for call in desk.calls] == [looks_first]


@pytest.mark.parametrize("default", [False, True])
def test_a_job_can_decide_whether_to_look_first(path: Path, default: bool) -> None:
    desk = Desk()
    said: list[Any] = [None, False, True]
    jobs: list[Any] = [{"conversation_id": number, "verify_first": said[number - 1]} for number in range(1, 4)]
    numbered = [Line(number=number, conversation_id=number, job=job) for number, job in enumerate(jobs, 1)]
    fourth = Line(number=4, conversation_id=4, job={"conversation_id": 4})
    run(path, desk, *numbered, fourth, verify_first=default)
    assert {call["conversation_id"]: call["verify_first"] for call in desk.calls} == {
        1: default,
        2: False,
        3: True,
        4: default,
    }


def test_the_next_run_looks_an_unknown_conversation_up_first(path: Path) -> None:
    desk = Desk()
    desk.fail(1, OutcomeUnknownError("?"), maybe_applied=True)
    assert run(path, desk, *lines(1)) == {1: ("unknown", None, "OutcomeUnknownError")}
    assert states(path) == {1: "unknown"}
    assert run(path, desk, *lines(1)) == {1: ("done", 1001, None)}
    assert [call["verify_first"] for call in desk.calls] == [False, True]


@pytest.mark.parametrize("state", ["open", "unknown"])
def test_an_unknown_outcome_stays_unknown_if_the_lookup_fails(path: Path, state: State) -> None:
    with Ledger(path, ORIGIN) as ledger:
        ledger.begin(1)
        if state == "unknown":
            ledger.end(1, "unknown")
    desk = Desk()
    desk.fail(1, PermissionDeniedError("not allowed to look up", status_code=403))
    assert run(path, desk, *lines(1)) == {1: ("unknown", None, "PermissionDeniedError")}
    assert states(path) == {1: "unknown"}
    run(path, desk, *lines(1))
    assert [call.get("verify_first") for call in desk.calls] == [True, True]


def test_an_unknown_outcome_becomes_failed_if_the_lookup_shows_no_ticket_and_desk_rejects_the_job(path: Path) -> None:
    with Ledger(path, ORIGIN) as ledger:
        ledger.begin(1)
    desk = Desk()
    desk.fail(1, PermissionDeniedError("not allowed to convert", status_code=403), attempts=1)
    assert run(path, desk, *lines(1)) == {1: ("failed", None, "PermissionDeniedError")}
    assert states(path) == {1: "failed"}


@pytest.mark.parametrize("job", [None, {"conversation_id": 1, "subjct": "x"}])
def test_an_unknown_outcome_stays_unknown_if_its_line_is_invalid_now(path: Path, job: Any) -> None:
    with Ledger(path, ORIGIN) as ledger:
        ledger.begin(1)
    assert run(path, Desk(), Line(number=1, conversation_id=1, job=job)) == {1: ("unknown", None, "RequestError")}
    assert states(path) == {1: "open"}


def test_open_and_unknown_conversations_are_unsettled(path: Path) -> None:
    with Ledger(path, ORIGIN) as ledger:
        for number, state in enumerate((None, "done", "failed", "unknown"), 1):
            ledger.begin(number)
            if state:
                ledger.end(number, typing.cast("State", state))
        assert ledger.unsettled() == [1, 4]


def test_an_invalid_job_gets_no_entry(path: Path) -> None:
    bad: Any = {"conversation_id": 1, "subjct": "x"}
    assert run(path, Desk(), Line(number=1, conversation_id=1, job=bad)) == {1: ("failed", None, "RequestError")}
    assert states(path) == {}


def test_a_conversation_is_converted_once_even_if_two_lines_name_it(path: Path) -> None:
    desk = Desk()
    for once in ("done", "skipped"):
        assert run(path, desk, *lines(7, 8, 7)) == {
            1: (once, 1007, None),
            2: (once, 1008, None),
            3: ("failed", None, "RequestError"),
        }
    assert [call["conversation_id"] for call in desk.calls] == [7, 8]


def test_an_open_conversation_is_retried_only_after_the_settle_time(path: Path) -> None:
    """The old process has ended, because its lock is free, but its last request may have been sent just before."""
    desk = Desk()
    times: list[float] = []

    async def convert(conversation_id: int, **arguments: Any) -> ConvertedConversation:
        times.append(anyio.current_time())
        return await desk.convert(conversation_id, **arguments)

    async def convert_all() -> float:
        running = Run(convert, ledger, lambda _: None, settle=30, verify_first=False)
        desk.leave = running.leave
        taken = anyio.current_time()
        await running.convert_all(lines(1, 2), concurrency=8)
        return taken

    with Ledger(path, ORIGIN) as ledger, asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        ledger.begin(1)
        taken = runner.run(convert_all())
    assert [(call["conversation_id"], call["verify_first"]) for call in desk.calls] == [(2, False), (1, True)]
    assert times[0] < taken + 30 <= times[1], "other conversations do not wait"


def test_a_conversation_that_had_its_ticket_is_done_without_an_attempt(path: Path) -> None:
    async def convert(conversation_id: int, **_: Any) -> ConvertedConversation:
        return ConvertedConversation(id=conversation_id, ticket_id=1001, created=False)

    async def convert_all() -> None:
        await Run(convert, ledger, lambda _: None, settle=0, verify_first=True).convert_all(lines(1), concurrency=1)

    with Ledger(path, ORIGIN) as ledger:
        asyncio.run(convert_all())
        assert ledger.entry(1) == Entry(state="done", ticket_id=1001, attempts=0)


# A run that is stopped


def stopped_run(
    path: Path, convert: Callable[..., Any], conversations: int, *, concurrency: int, settle: float = 0
) -> tuple[dict[int | None, tuple[str, str | None]], float]:
    """Run with a function that takes the run, too; return what was reported, and the seconds that it took."""
    reports: list[Result] = []
    running: Run

    async def with_the_run(conversation_id: int, **arguments: Any) -> ConvertedConversation:
        converted: ConvertedConversation = await convert(running, conversation_id, **arguments)
        return converted

    async def convert_all() -> float:
        nonlocal running
        began = anyio.current_time()
        running = Run(
            with_the_run,
            ledger,
            reports.append,
            settle=settle,
            verify_first=False,
        )
        await running.convert_all(lines(*range(1, conversations + 1)), concurrency=concurrency)
        return anyio.current_time() - began

    with Ledger(path, ORIGIN) as ledger, asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        seconds = runner.run(convert_all())
    return {result.conversation_id: (result.state, result.error) for result in reports}, seconds


def test_a_stopped_run_does_not_try_again_what_had_no_turn(path: Path) -> None:
    tried: list[int] = []

    async def convert(running: Run, conversation_id: int, **_: Any) -> ConvertedConversation:
        tried.append(conversation_id)
        if conversation_id == 1:
            running.leave(1)
            await anyio.sleep(9)
            return ConvertedConversation(id=1, ticket_id=1001, created=True)
        asyncio.get_running_loop().call_soon(running.stop)
        raise DeadlineExceeded("no turn", retry_after=2)

    reported, seconds = stopped_run(path, convert, 2, concurrency=2)
    assert (tried, reported) == ([1, 2], {1: ("done", None)})
    assert seconds == pytest.approx(9)


def test_a_stopped_run_ends_what_has_left_and_drops_what_waits(path: Path) -> None:
    with Ledger(path, ORIGIN) as ledger:
        ledger.begin(4)
        ledger.end(4, "unknown")

    async def convert(running: Run, conversation_id: int, **_: Any) -> ConvertedConversation:
        if conversation_id > 2:  # it waits for the rate window
            await anyio.sleep(1000)
        running.leave(conversation_id)
        await anyio.sleep(1)
        if conversation_id == 1:
            running.stop()
        await anyio.sleep(5)  # a response that was lost, and its lookups
        return ConvertedConversation(id=conversation_id, ticket_id=conversation_id + 1000, created=True)

    reported, seconds = stopped_run(path, convert, 10, concurrency=4)
    assert reported == {1: ("done", None), 2: ("done", None)}
    assert seconds < 10
    assert states(path) == {1: "done", 2: "done", 4: "unknown"}


def test_a_stopped_run_does_not_wait_for_a_job_that_got_no_turn(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_backlog, "PAUSE", 0)
    tries: list[int] = []

    async def convert(running: Run, conversation_id: int, **_: Any) -> ConvertedConversation:
        tries.append(conversation_id)
        if conversation_id == 1:
            await anyio.sleep(1)
            running.stop()
        raise DeadlineExceeded("the rate limit leaves no room", retry_after=100.0)

    reported, seconds = stopped_run(path, convert, 3, concurrency=2)
    assert (reported, tries) == ({}, [1, 2])
    assert seconds < 10


def test_a_stopped_run_sends_nothing_again(path: Path) -> None:
    async def convert(running: Run, conversation_id: int, **_: Any) -> ConvertedConversation:
        running.leave(conversation_id)
        running.stop()
        running.leave(conversation_id)
        raise AssertionError

    reported, _ = stopped_run(path, convert, 2, concurrency=1)
    assert reported == {1: ("failed", "NotSentError")}
    assert states(path) == {1: "failed"}


def test_a_stopped_run_does_not_wait_for_the_settling_time(path: Path) -> None:
    with Ledger(path, ORIGIN) as ledger:
        ledger.begin(1)

    async def convert(running: Run, conversation_id: int, **_: Any) -> ConvertedConversation:
        running.leave(conversation_id)
        running.stop()
        return ConvertedConversation(id=conversation_id, ticket_id=conversation_id + 1000, created=True)

    reported, seconds = stopped_run(path, convert, 3, concurrency=2, settle=30)
    assert reported == {2: ("done", None)}
    assert seconds < 30
    assert states(path) == {1: "open", 2: "done"}


async def test_a_cancelled_run_leaves_open_what_has_left(path: Path) -> None:
    called = asyncio.Event()

    async def convert(conversation_id: int, **_: Any) -> ConvertedConversation:
        if conversation_id == 1:
            whole_run.leave(conversation_id)
        else:
            called.set()
        await asyncio.Event().wait()
        raise AssertionError

    with Ledger(path, ORIGIN) as ledger:
        whole_run = Run(convert, ledger, lambda _: None, settle=0, verify_first=False)
        running = asyncio.create_task(whole_run.convert_all(lines(1, 2), concurrency=8))
        await called.wait()
        assert whole_run.leaving == [1]
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert states(path) == {1: "open"}


def test_nothing_is_sent_if_the_ledger_cannot_be_written(path: Path) -> None:
    desk = Desk()

    async def convert_all() -> None:
        connection_of(ledger).execute("PRAGMA query_only = ON")
        running = Run(desk.convert, ledger, lambda _: None, settle=0, verify_first=False)
        desk.leave = running.leave
        await running.convert_all(lines(1, 2), concurrency=1)

    with Ledger(path, ORIGIN) as ledger, pytest.raises(CommandError, match="cannot be used"):
        asyncio.run(convert_all())
    assert desk.sent == []


def test_a_run_whose_ledger_is_lost_begins_nothing_more_and_records_what_runs(path: Path) -> None:
    reports: list[Result] = []
    left: list[int] = []
    lost = asyncio.Event()
    running: Run

    async def convert(conversation_id: int, **_: Any) -> ConvertedConversation:
        running.leave(conversation_id)
        left.append(conversation_id)
        if conversation_id == 3:
            remove(path)
            lost.set()
        await lost.wait()
        return ConvertedConversation(id=conversation_id, ticket_id=conversation_id + 1000, created=True)

    async def convert_all() -> None:
        nonlocal running
        running = Run(convert, ledger, reports.append, settle=30, verify_first=True)
        began = anyio.current_time()
        with pytest.raises(LedgerLostError):
            await running.convert_all(lines(1, *range(2, 40)), concurrency=3)
        assert anyio.current_time() - began < 30, "the job that waits for the settling time must not wait"

    with Ledger(path, ORIGIN) as ledger, asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        ledger.begin(1)
        runner.run(convert_all())
        assert left == [2, 3]
        assert [entry.state for number in (2, 3) if (entry := ledger.entry(number))] == ["done", "done"]
        assert ledger.unsettled() == [1]
    assert {(result.conversation_id, result.state) for result in reports} == {(2, "done"), (3, "done")}


def test_a_run_fails_if_its_ledger_is_lost_after_the_last_job_began(path: Path) -> None:
    async def convert(conversation_id: int, **_: Any) -> ConvertedConversation:
        remove(path)
        return ConvertedConversation(id=conversation_id, ticket_id=conversation_id + 1000, created=True)

    async def convert_all() -> None:
        await Run(convert, ledger, lambda _: None, settle=0, verify_first=True).convert_all(lines(1), concurrency=8)

    with Ledger(path, ORIGIN) as ledger, pytest.raises(LedgerLostError):
        asyncio.run(convert_all())


# A run that is killed

Moment = Literal["before", "late", "never", "after", "answered", "looked", "reported"]
MOMENTS: tuple[Moment, ...] = typing.get_args(Moment)
CONVERSATIONS = 250
KILLS = 21
SETTLE = 0.2


class KillingServer(FaultServer):
    """Kills its client at a random moment: before, after or instead of the work, or after the response."""

    def __init__(self, draw: random.Random) -> None:
        super().__init__()
        self.draw = draw
        self.client: subprocess.Popen[str] | None = None
        self.moment: Moment = "before"
        self.countdown = 0
        self.kills: Counter[Moment] = Counter()
        self.looks = 0

    def choose(self, client: subprocess.Popen[str], moment: Moment) -> None:
        self.moment, self.countdown, self.client = moment, self.draw.randrange(8), client

    def kill_at(self, *moments: Moment) -> Moment | None:
        if self.client is None or self.moment not in moments:
            return None
        self.countdown -= 1
        if self.countdown >= 0:
            return None
        self.client.kill()
        self.client = None
        self.kills[self.moment] += 1
        return self.moment

    def _work(self, conversation_id: int) -> None:
        moment = self.kill_at("before", "late", "never")
        if moment == "late":
            self._loop.call_later(SETTLE / 3, super()._work, conversation_id)
        elif moment != "never":
            super()._work(conversation_id)
        # The client must be killed even if it sends no lookup.
        self.kill_at("after", "looked")

    async def _send(self, exchange: Any, status: int, body: bytes, *headers: str) -> bool:
        if self.client is not None and self.moment == "looked":
            await asyncio.sleep(SETTLE / 2)  # Lookups come only after the settle time.
        stays = await super()._send(exchange, status, body, *headers)
        self.kill_at("answered")
        return stays

    async def _list(self, exchange: Any) -> bool:
        self.looks += 1
        if self.moment == "looked":
            self.countdown = 0
            self.kill_at("looked")
        return await super()._list(exchange)


@pytest.mark.campaign
def test_a_run_that_is_killed_repeatedly_converts_each_conversation_once(path: Path) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    draw = random.Random(seed)
    jobs = path.with_name("jobs.jsonl")
    jobs.write_text("".join(f'{{"conversation_id": {number}}}\n' for number in range(1, CONVERSATIONS + 1)))
    moments = list(MOMENTS) * (KILLS // len(MOMENTS)) + draw.choices(MOMENTS, k=KILLS % len(MOMENTS))
    draw.shuffle(moments)
    killed = 0
    with KillingServer(draw) as server:
        environment = {**os.environ, "TEAMWORK_DESK_URL": server.url, "TEAMWORK_DESK_TOKEN": "t"}
        command = [sys.executable, "-m", "teamwork_desk.cli", "convert-many", str(jobs), "--ledger", str(path)]
        command += ["--settle", str(SETTLE), "--concurrency", "4", "--results", "-"]
        status = None
        while moments or status != 0:
            moment = moments.pop() if moments else None
            with subprocess.Popen(
                command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            ) as process:
                if moment is not None:
                    server.choose(process, moment)
                assert process.stdout is not None
                for line in process.stdout:
                    if json.loads(line)["state"] == "done":
                        server.kill_at("reported")
                status = process.wait()
                server.client = None
            killed += status == -signal.SIGKILL
            assert status in (0, -signal.SIGKILL)
        tickets = {number: list(made) for number, made in server.tickets.items() if made}
    print(f"killed {killed} times: {dict(server.kills)}; looks: {server.looks}")
    assert killed >= 20
    assert server.looks
    assert {number: len(made) for number, made in tickets.items()} == dict.fromkeys(range(1, CONVERSATIONS + 1), 1), (
        seed
    )
    assert {row["id"]: (row["state"], [row["ticket_id"]]) for row in rows(path)} == {
        number: ("done", made) for number, made in tickets.items()
    }
