"""`teamwork-desk ledger`: what it shows, settles and forgets, and `convert-many --only failed`."""

from __future__ import annotations

import json
import os
import pty
import re
import sqlite3
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from typer.testing import CliRunner, Result

from teamwork_desk.cli import _app
from teamwork_desk.cli._convert_many import SETTLE
from teamwork_desk.cli._ledger import Ledger
from teamwork_desk.cli._ledger_show import ago
from teamwork_desk.cli._records import State
from teamwork_desk.testing import FakeDesk, RecordedRequest

ORIGIN = "https://acme.teamwork.com"
Command = Callable[..., Result]
LEDGER = Path("run.sqlite")
OLD = datetime.now(UTC) - timedelta(seconds=SETTLE + 5)
IN_USE = "run.sqlite: another run is using it; wait until that run has ended\n"


@pytest.fixture(scope="module")
def portal() -> Iterator[BlockingPortal]:
    with start_blocking_portal("asyncio") as portal:
        yield portal


@pytest.fixture
def fake(portal: BlockingPortal, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDesk]:
    """A fake Desk behind a socket, with some tickets. The environment has its URL and a token."""
    fake = FakeDesk(rate_limit=10_000, conversations=range(1, 201))
    with portal.wrap_async_context_manager(fake.serve()) as url:
        monkeypatch.setenv("TEAMWORK_DESK_URL", url)
        monkeypatch.setenv("TEAMWORK_DESK_TOKEN", "any")
        yield fake


@pytest.fixture(autouse=True)
def _in_a_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("FORCE_COLOR", "TEAMWORK_DESK_URL", "TEAMWORK_DESK_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def command(*arguments: str) -> Result:
    """Run a command without a terminal. It must not show a traceback."""
    result = CliRunner().invoke(_app.app, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.output
    return result


def write_ledger(entries: dict[int, State], origin: str = ORIGIN, left_at: datetime = OLD) -> None:
    """Write a ledger in which the request for each conversation has left at a time. The ticket of 1 is 1001."""
    with Ledger(LEDGER, origin) as ledger:
        for number, state in entries.items():
            ledger.begin(number)
            if state != "open":
                error = {"failed": "NotFoundError", "unknown": "OutcomeUnknownError"}.get(state)
                ledger.end(number, state, ticket_id=1000 + number if state == "done" else None, error=error)
    with closing(sqlite3.connect(LEDGER)) as connection:
        connection.execute("UPDATE conversation SET opened_at = ?", (in_ledger(left_at),))
        connection.commit()


def in_ledger(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def states() -> dict[int, State]:
    with Ledger.in_memory(LEDGER) as copy:
        return {record.conversation_id: record.state for record in copy.records()}


def uploads(conversation_id: int) -> list[int]:
    with Ledger.in_memory(LEDGER) as copy:
        return list(copy.uploads(conversation_id).values())


# Show


ALL: dict[int, State] = {1: "done", 2: "failed", 3: "open", 4: "unknown"}


def test_a_file_receives_the_counts_and_a_line_for_each_conversation_that_is_not_done() -> None:
    write_ledger(ALL)
    before = LEDGER.read_bytes()
    result = command("ledger", "run.sqlite")
    assert result.exit_code == 0
    time = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
    lines = re.sub(time, "TIME", result.stdout).splitlines()
    assert lines == [
        f"run.sqlite: {ORIGIN}",
        "done: 1",
        "failed: 1",
        "open: 1",
        "unknown: 1",
        "conversation 2: failed since TIME, NotFoundError, 1 attempt",
        "conversation 3: open since TIME, 1 attempt",
        "conversation 4: unknown since TIME, OutcomeUnknownError, 1 attempt",
    ]
    assert f"open since {in_ledger(OLD)}," in result.stdout
    assert result.stderr == (
        "Some are open or unknown. To look them up without converting: teamwork-desk ledger settle run.sqlite\n"
    )
    assert (LEDGER.read_bytes(), [*Path().iterdir()]) == (before, [LEDGER])


def test_the_conversations_of_one_state_have_the_addresses_of_their_tickets() -> None:
    write_ledger(ALL)
    *counts, line = command("ledger", "--state", "done", "run.sqlite").stdout.splitlines()
    assert len(counts) == 5
    assert re.fullmatch(rf"conversation 1: done since \S+, ticket 1001, {ORIGIN}/desk/tickets/1001, 1 attempt", line)


def test_json_has_all_conversations_or_those_of_one_state() -> None:
    write_ledger(ALL)
    shown = json.loads(command("ledger", "run.sqlite", "--json").stdout)
    assert shown.keys() == {"origin", "counts", "conversations"}
    assert (shown["origin"], shown["counts"]) == (ORIGIN, {"done": 1, "failed": 1, "open": 1, "unknown": 1})
    assert {each["conversation_id"]: each["state"] for each in shown["conversations"]} == ALL
    assert shown["conversations"][0] | {"opened_at": None, "closed_at": None} == {
        "conversation_id": 1,
        "state": "done",
        "ticket_id": 1001,
        "ticket_url": f"{ORIGIN}/desk/tickets/1001",
        "attempts": 1,
        "is_scheduled": False,
        "error": None,
        "opened_at": None,
        "closed_at": None,
    }
    (only,) = json.loads(command("ledger", "run.sqlite", "--json", "--state", "open").stdout)["conversations"]
    assert (only["conversation_id"], only["opened_at"], only["closed_at"]) == (3, in_ledger(OLD), None)


def test_the_verb_may_be_left_out_unless_the_file_has_the_name_of_a_verb() -> None:
    write_ledger(ALL)
    shown = command("ledger", "show", "run.sqlite").stdout
    assert command("ledger", "run.sqlite").stdout == shown
    LEDGER.rename("settle")
    assert command("ledger", "./settle").stdout == shown.replace("run.sqlite", "settle")
    assert "Missing argument" in command("ledger", "settle").stderr


def test_a_ledger_that_nobody_has_used_is_empty() -> None:
    LEDGER.touch()
    result = command("ledger", "run.sqlite")
    assert result.stdout == "run.sqlite: no installation\ndone: 0\nfailed: 0\nopen: 0\nunknown: 0\n"
    assert (result.stderr, LEDGER.stat().st_size) == ("", 0)


def test_a_file_without_the_right_to_write_can_be_shown() -> None:
    write_ledger(ALL)
    LEDGER.chmod(0o444)
    Path().chmod(0o555)
    try:
        assert "open: 1" in command("ledger", "run.sqlite").stdout
    finally:
        Path().chmod(0o755)


KILLED = """
import os, signal
from pathlib import Path
from teamwork_desk.cli._ledger import Ledger
Ledger(Path("run.sqlite"), "https://acme.teamwork.com").begin(7)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_run_wrote_is_shown() -> None:
    subprocess.run([sys.executable, "-c", KILLED], check=False)
    assert "conversation 7: open since " in command("ledger", "run.sqlite").stdout


@pytest.mark.parametrize("arguments", [["run.sqlite"], ["settle", "run.sqlite"], ["forget", "run.sqlite", "1"]])
def test_a_missing_file_has_status_2_and_is_not_created(arguments: list[str]) -> None:
    result = command("ledger", *arguments)
    assert result.exit_code == 2
    assert "ile 'run.sqlite' does not exist." in result.stderr  # Typer 0.29 writes "file"
    assert not [*Path().iterdir()]


@pytest.mark.parametrize("arguments", [["jobs.csv"], ["settle", "jobs.csv"], ["forget", "jobs.csv", "1", "--yes"]])
def test_another_file_is_rejected(fake: FakeDesk, arguments: list[str]) -> None:
    Path("jobs.csv").write_text("conversation_id\n1\n")
    result = command("ledger", *arguments)
    assert (result.exit_code, result.stderr) == (2, "jobs.csv: not a ledger of teamwork-desk\n")
    assert Path("jobs.csv").read_text() == "conversation_id\n1\n"


HOLDING = """
import sys
from pathlib import Path
from teamwork_desk.cli._ledger import Ledger
with Ledger(Path("run.sqlite"), None):
    print("open", flush=True)
    sys.stdin.read()
"""


@contextmanager
def another_run() -> Generator[None]:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "open\n"
        yield
        running.communicate()


def test_each_verb_says_that_another_run_is_using_the_ledger(fake: FakeDesk) -> None:
    write_ledger(ALL, os.environ["TEAMWORK_DESK_URL"])
    with another_run():
        for arguments in (["run.sqlite"], ["settle", "run.sqlite"], ["forget", "run.sqlite", "3", "--yes"]):
            result = command("ledger", *arguments)
            assert (result.exit_code, result.stdout, result.stderr) == (2, "", IN_USE)
    assert states() == ALL
    assert not fake.requests


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s ago"),
        (119, "119 s ago"),
        (120, "2 min ago"),
        (7_200, "2 h ago"),
        (90_000, "25 h ago"),
        (2e5, "2 days ago"),
    ],
)
def test_times_on_a_terminal(seconds: float, text: str) -> None:
    assert ago(in_ledger(OLD), OLD + timedelta(seconds=seconds, milliseconds=1)) == text


def test_a_time_in_the_future_is_shown_as_it_is() -> None:
    assert ago(in_ledger(OLD), OLD - timedelta(hours=1)) == in_ledger(OLD)


CONTROL = r"\x1b\[[0-9;?]*[A-Za-z]"


def on_a_terminal(*arguments: str, width: int = 100, types: bytes = b"") -> tuple[int, list[str]]:
    """Run a command on a terminal, and return its status and the lines that it shows.

    Args:
        *arguments: The arguments of the command.
        width: The width of the terminal.
        types: What the user types.
    """
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, width))
    os.write(ours, types)
    shown: list[bytes] = []

    def read() -> None:
        with suppress(OSError):  # Linux reports the end of a terminal as an error.
            while chunk := os.read(ours, 10_000):
                shown.append(chunk)

    reader = threading.Thread(target=read)
    reader.start()
    with (
        pytest.MonkeyPatch.context() as patch,
        os.fdopen(theirs, closefd=False) as typed,
        os.fdopen(theirs, "w") as screen,
    ):
        for name, stream in {"stdin": typed, "stdout": screen, "stderr": screen}.items():
            patch.setattr(sys, name, stream)
        patch.setenv("TERM", "xterm")
        patch.setenv("COLUMNS", "7")  # the width of the terminal counts
        with pytest.raises(SystemExit) as stopped:
            _app.app(arguments)
    reader.join()
    os.close(ours)
    lines = re.sub(CONTROL, "", b"".join(shown).decode()).splitlines()
    return int(stopped.value.code or 0), [line.rstrip() for line in lines]


@pytest.mark.parametrize("width", [60, 100])
def test_a_terminal_shows_tables_with_the_first_conversations_of_each_state(width: int) -> None:
    write_ledger({**dict.fromkeys(range(9700001, 9700026), "failed"), 9700030: "unknown"})
    status, lines = on_a_terminal("ledger", "run.sqlite", width=width)
    assert status == 0
    assert max(map(len, lines[:-1])) <= width
    rows = [match.groups() for line in lines if (match := re.fullmatch(r" *(\d+)   \d+ \w+ ago +(\w+) +1", line))]
    assert rows == [
        *((str(number), "NotFoundError") for number in range(9700001, 9700021)),
        ("9700030", "OutcomeUnknownError"),
    ]
    assert "... and 5 more; --state failed lists all, and so does --json" in lines
    assert any(re.match(r"│ failed +│ +25 │ not converted; a run retries +│$", line) for line in lines)
    assert lines[-1].endswith(": teamwork-desk ledger settle run.sqlite")


def test_a_terminal_shows_all_conversations_of_one_state() -> None:
    write_ledger({**dict.fromkeys(range(1, 26), "failed"), 30: "unknown", 9700031: "done"})
    _, lines = on_a_terminal("ledger", "run.sqlite", "--state", "failed")
    assert len([line for line in lines if "NotFoundError" in line]) == 25
    assert not any("more;" in line or "OutcomeUnknownError" in line for line in lines)
    _, lines = on_a_terminal("ledger", "run.sqlite", "--state", "done", width=60)
    assert f" 9700031   {ORIGIN}/desk/tickets/9701031" in lines


# Settle


def convert(*conversations: int) -> None:
    for each in conversations:
        assert command("convert", str(each)).exit_code == 0


def test_settle_records_what_a_listing_proves_and_converts_nothing(fake: FakeDesk) -> None:
    url = os.environ["TEAMWORK_DESK_URL"]
    convert(1, 2)
    write_ledger({1: "open", 2: "unknown", 3: "open", 4: "unknown", 5: "failed", 6: "done", 404: "open"}, url)
    with Ledger(LEDGER, url) as ledger:
        ledger.keep_upload(1, "fingerprint", 71)
        ledger.keep_upload(3, "fingerprint", 73)
    fake.requests.clear()
    result = command("ledger", "settle", "run.sqlite")
    ticket = {each.conversation_id: each.id for each in fake.tickets}
    assert result.exit_code == 3
    assert result.stdout.splitlines() == [
        f"conversation 1: done, ticket {ticket[1]}, {url}/desk/tickets/{ticket[1]}",
        f"conversation 2: done, ticket {ticket[2]}, {url}/desk/tickets/{ticket[2]}",
        "conversation 3: failed: it has no ticket, so it was not converted",
        "conversation 4: failed: it has no ticket, so it was not converted",
        "conversation 404: still open: the listing does not show conversation 404; to make the ledger forget it: "
        "teamwork-desk ledger forget run.sqlite 404",
        "run.sqlite: 2 done, 2 failed, 1 still open or unknown",
    ]
    assert states() == {1: "done", 2: "done", 3: "failed", 4: "failed", 5: "failed", 6: "done", 404: "open"}
    assert [request.method for request in fake.requests] == ["GET", "GET"]
    assert (uploads(1), uploads(3), len(fake.tickets)) == ([], [73], 2)
    assert "conversation 3: failed since " in (shown := command("ledger", "run.sqlite").stdout)
    assert "no ticket found, 1 attempt" in shown


@pytest.mark.parametrize("left_at", [datetime.now(UTC) + timedelta(hours=1), OLD + timedelta(seconds=3600)])
def test_settle_leaves_a_conversation_whose_request_may_still_be_running(fake: FakeDesk, left_at: datetime) -> None:
    """A time in the future is the time of a clock that was set back."""
    write_ledger({3: "open", 4: "unknown", 404: "open"}, os.environ["TEAMWORK_DESK_URL"], left_at)
    result = command("ledger", "settle", "run.sqlite")
    assert result.exit_code == 3
    assert result.stdout.splitlines() == [
        "conversation 3: still open: it has no ticket, and its request may still be running",
        "conversation 4: still unknown: it has no ticket, and its request may still be running",
        "conversation 404: still open: the listing does not show conversation 404, "
        "and its request may still be running",
        "run.sqlite: 0 done, 0 failed, 3 still open or unknown",
    ]
    assert states() == {3: "open", 4: "unknown", 404: "open"}


def test_a_ticket_counts_even_if_the_request_may_still_be_running(fake: FakeDesk) -> None:
    convert(3)
    write_ledger({3: "open"}, os.environ["TEAMWORK_DESK_URL"], datetime.now(UTC))
    assert command("ledger", "settle", "run.sqlite").exit_code == 0
    assert states() == {3: "done"}


@pytest.mark.parametrize("value", ["missing", "a word"])
def test_settle_concludes_nothing_from_a_listing_that_proves_nothing(fake: FakeDesk, value: str) -> None:
    entry = fake.add_conversation(3)
    if value == "missing":
        del entry["ticket_id"]
    else:
        entry["ticket_id"] = value
    write_ledger({3: "open", 4: "open"}, os.environ["TEAMWORK_DESK_URL"])
    result = command("ledger", "settle", "run.sqlite")
    assert result.exit_code == 3
    assert result.stdout.startswith("conversation 3: still open: ")
    assert "ledger forget" not in result.stdout
    assert states() == {3: "open", 4: "failed"}


@pytest.mark.parametrize("time", ["yesterday", "", "2026-03-02T09:30:00", b"\x00"])
def test_a_time_in_the_ledger_that_is_not_valid_is_reported(fake: FakeDesk, time: str | bytes) -> None:
    """Only another program can have written it. A ticket proves the outcome without a time, its absence does not."""
    convert(1)
    write_ledger({1: "open", 3: "unknown", 4: "open"}, os.environ["TEAMWORK_DESK_URL"])
    with closing(sqlite3.connect("run.sqlite")) as ledger, ledger:
        ledger.execute("UPDATE conversation SET opened_at = ? WHERE id < 4", (time,))
    status, shown = on_a_terminal("ledger", "run.sqlite")
    assert (status, "Traceback" in "".join(shown)) == (0, False)
    result = command("ledger", "settle", "run.sqlite")
    assert (result.exit_code, states()) == (3, {1: "done", 3: "unknown", 4: "failed"})
    assert (
        "conversation 3: still unknown: it has no ticket, but the ledger has no valid time of its request; "
        "the next run of its job looks it up" in result.stdout.splitlines()
    )


def test_settle_lists_100_conversations_at_once(fake: FakeDesk) -> None:
    write_ledger(dict.fromkeys(range(1, 151), "open"), os.environ["TEAMWORK_DESK_URL"])
    assert command("ledger", "settle", "run.sqlite").exit_code == 0
    assert len(fake.requests) == 2
    assert set(states().values()) == {"failed"}


def test_settle_asks_for_each_conversation_if_desk_refuses_a_listing_of_many(
    fake: FakeDesk, portal: BlockingPortal, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = FakeDesk(refuse_in=True)
    with portal.wrap_async_context_manager(other.serve()) as url:
        monkeypatch.setenv("TEAMWORK_DESK_URL", url)
        write_ledger({1: "open", 2: "open", 3: "unknown"}, url)
        assert command("ledger", "settle", "run.sqlite").exit_code == 0
    assert states() == dict.fromkeys([1, 2, 3], "failed")
    assert len(other.requests) == 4


def test_settle_ends_if_desk_does_not_list_conversations(fake: FakeDesk) -> None:
    write_ledger({1: "open", 2: "open"}, os.environ["TEAMWORK_DESK_URL"])
    fake.fail(status=401, times=9)
    result = command("ledger", "settle", "run.sqlite")
    assert result.exit_code == 3
    assert result.stderr.startswith("AuthenticationError: ")
    assert result.stdout == "run.sqlite: 0 done, 0 failed, 2 still open or unknown\n"
    assert states() == {1: "open", 2: "open"}


class ForbiddenFromTheSecondOn(list[RecordedRequest]):
    """The requests to a fake Desk, which rejects all but the first."""

    def __init__(self, fake: FakeDesk) -> None:
        super().__init__()
        self.fake = fake

    def append(self, request: RecordedRequest) -> None:
        super().append(request)
        self.fake.fail(status=403)


def test_settle_keeps_what_was_recorded_before_a_failure(fake: FakeDesk) -> None:
    write_ledger({1: "open", 404: "open"}, os.environ["TEAMWORK_DESK_URL"])

    fake.requests = ForbiddenFromTheSecondOn(fake)
    result = command("ledger", "settle", "run.sqlite")
    assert (result.exit_code, states()) == (3, {1: "failed", 404: "open"})
    assert result.stderr.startswith("PermissionDeniedError: ")


def test_settle_prints_json(fake: FakeDesk) -> None:
    convert(1)
    url = os.environ["TEAMWORK_DESK_URL"]
    write_ledger({1: "open", 404: "unknown"}, url)
    result = command("ledger", "settle", "run.sqlite", "--json")
    ticket = fake.tickets[0].id
    assert [json.loads(line) for line in result.stdout.splitlines()] == [
        {
            "conversation_id": 1,
            "was": "open",
            "state": "done",
            "ticket_id": ticket,
            "ticket_url": f"{url}/desk/tickets/{ticket}",
            "message": "it has a ticket",
            "is_listed": True,
            "may_be_running": False,
        },
        {
            "conversation_id": 404,
            "was": "unknown",
            "state": "unknown",
            "ticket_id": None,
            "ticket_url": None,
            "message": "the listing does not show conversation 404",
            "is_listed": False,
            "may_be_running": False,
        },
    ]
    assert (result.exit_code, result.stderr) == (3, "run.sqlite: 1 done, 0 failed, 1 still open or unknown\n")


def test_settle_says_if_nothing_is_open_or_unknown(fake: FakeDesk) -> None:
    write_ledger({1: "done", 2: "failed"}, os.environ["TEAMWORK_DESK_URL"])
    result = command("ledger", "settle", "run.sqlite")
    assert (result.exit_code, result.output) == (0, "run.sqlite: nothing is open or unknown\n")
    assert not fake.requests


def test_settle_does_not_ask_another_installation(fake: FakeDesk) -> None:
    write_ledger({1: "open"})
    result = command("ledger", "settle", "run.sqlite")
    url = os.environ["TEAMWORK_DESK_URL"]
    assert (result.exit_code, result.stderr) == (2, f"run.sqlite: this ledger belongs to {ORIGIN}, not to {url}\n")
    assert not fake.requests


def test_the_url_of_settle_may_be_an_option(fake: FakeDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    url = os.environ["TEAMWORK_DESK_URL"]
    monkeypatch.delenv("TEAMWORK_DESK_URL")
    write_ledger({1: "open"}, url)
    assert command("ledger", "settle", "run.sqlite").stderr.startswith("ConfigurationError: ")
    assert command("ledger", "settle", "run.sqlite", "--url", url).exit_code == 0


# Forget


def test_forget_removes_a_conversation_and_names_its_files_at_desk() -> None:
    write_ledger(ALL)
    with Ledger(LEDGER, None) as ledger:
        ledger.keep_upload(3, "first", 71)
        ledger.keep_upload(3, "second", 72)
        ledger.keep_upload(4, "first", 81)
    result = command("ledger", "forget", "run.sqlite", "3", "2", "3", "--yes")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "conversation 3: forgotten; uploaded for it, and still at Desk: file 71, 72",
        "conversation 2: forgotten",
    ]
    assert states() == {1: "done", 4: "unknown"}
    assert (uploads(3), uploads(4)) == ([], [81])


def test_the_next_run_converts_a_forgotten_conversation_without_waiting(fake: FakeDesk) -> None:
    write_ledger({3: "open"}, os.environ["TEAMWORK_DESK_URL"])
    assert command("ledger", "forget", "run.sqlite", "3", "--yes").exit_code == 0
    result = convert_many(3)
    assert "left open or unknown by an earlier run" not in result.stderr
    assert (result.exit_code, states()) == (0, {3: "done"})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["3"], "without a terminal, the command cannot ask whether to forget; use --yes\n"),
        (["3", "99", "--yes"], "run.sqlite: the ledger does not know conversation 99\n"),
        (["3", "1", "--yes"], "run.sqlite: conversation 1 has ticket 1001, and is not forgotten\n"),
    ],
)
def test_forget_refuses_and_changes_nothing(arguments: list[str], message: str) -> None:
    write_ledger(ALL)
    result = command("ledger", "forget", "run.sqlite", *arguments)
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", message)
    assert states() == ALL


@pytest.mark.parametrize(
    ("types", "status", "message", "left"),
    [
        (b"y\n", 0, "conversation 3: forgotten", {1: "done", 2: "failed", 4: "unknown"}),
        (b"\n", 1, "nothing was changed", ALL),
        (b"\x04", 130, "", ALL),  # Ctrl-D
    ],
)
def test_forget_asks_on_a_terminal(types: bytes, status: int, message: str, left: dict[int, State]) -> None:
    write_ledger(ALL)
    ended, lines = on_a_terminal("ledger", "forget", "run.sqlite", "3", types=types)
    shown = "\n".join(lines)
    assert (ended, states()) == (status, left)
    assert f"conversation 3: open since {in_ledger(OLD)}, 1 attempt" in shown
    assert "converts them as if no run had tried before" in shown
    assert "Forget it? [y/N]:" in shown
    assert lines[-1].endswith(message)


# convert-many --only failed, and the message that names `ledger settle`


def convert_many(*conversations: int, options: tuple[str, ...] = ()) -> Result:
    jobs = "".join(json.dumps({"conversation_id": each}) + "\n" for each in conversations)
    Path("jobs.jsonl").write_text(jobs)
    return command("convert-many", "jobs.jsonl", "--ledger", "run.sqlite", *options)


def test_only_failed_jobs_are_tried(fake: FakeDesk) -> None:
    write_ledger(ALL, os.environ["TEAMWORK_DESK_URL"])
    result = convert_many(1, 2, 3, 4, 5, options=("--only", "failed", "--results", "results.jsonl"))
    assert [ticket.conversation_id for ticket in fake.tickets] == [2]
    results = [json.loads(line) for line in Path("results.jsonl").read_text().splitlines()]
    assert {each["conversation_id"]: each["state"] for each in results} == {
        1: "skipped",
        2: "done",
        3: "excluded",
        4: "excluded",
        5: "excluded",
    }
    assert "jobs.jsonl:5: conversation 5: not failed in the ledger, so not tried\n" in result.stderr
    assert re.search(r"│ excluded │ +3 │ not failed in the ledger, so not tried +│", result.stderr)
    # Nothing that is open or unknown is tried, so there is nothing to wait for.
    assert "Waiting" not in result.stderr
    assert (result.exit_code, states()) == (3, {1: "done", 2: "done", 3: "open", 4: "unknown"})


def test_a_dry_run_of_failed_jobs_plans_nothing_else() -> None:
    write_ledger(ALL)
    result = convert_many(1, 2, 5, options=("--only", "failed", "--dry-run"))
    assert "conversation 2: would be converted" in result.stdout
    assert "conversation 5: not failed in the ledger, so not tried" in result.stdout
    assert result.exit_code == 0


def test_only_takes_no_other_state(fake: FakeDesk) -> None:
    assert convert_many(1, options=("--only", "open")).exit_code == 2


def test_a_run_that_leaves_something_open_names_the_command_that_settles_it(fake: FakeDesk) -> None:
    write_ledger({3: "open"}, os.environ["TEAMWORK_DESK_URL"])
    result = convert_many(5)
    assert result.stderr.count("To look them up without converting: teamwork-desk ledger settle run.sqlite\n") == 1
    assert command("ledger", "settle", "run.sqlite").exit_code == 0
    assert convert_many(3, 5).exit_code == 0


def test_a_job_that_may_have_scheduled_an_email_is_never_sent_again(fake: FakeDesk) -> None:
    Path("job.json").write_text('[{"conversation_id": 5, "scheduled_email": {"sendAt": "2030-01-01T09:00:00Z"}}]')
    run = ("convert-many", "job.json", "--ledger", "run.sqlite", "--settle", "0")
    fake.fail(status=504, method="POST")  # Desk may have accepted the request, and the ticket appears in 2030
    assert command(*run).exit_code == 3
    for _ in range(2):
        result = command(*run)
        assert "an earlier run may have scheduled an email" in result.stderr
        assert (result.exit_code, states()) == (3, {5: "unknown"})
    # A job without the email is a second conversion of the same conversation, and is not sent either.
    assert "OutcomeUnknownError" in convert_many(5, options=("--settle", "0")).stderr
    with closing(sqlite3.connect(LEDGER)) as connection:
        connection.execute("UPDATE conversation SET opened_at = ?", (in_ledger(OLD),))
        connection.commit()
    result = command("ledger", "settle", "run.sqlite")
    assert "its request scheduled an email, and the ticket appears later" in result.stdout
    assert (result.exit_code, states()) == (3, {5: "unknown"})
    assert [request.method for request in fake.requests].count("POST") == 1

    assert command("ledger", "forget", "run.sqlite", "5", "--yes").exit_code == 0
    assert command(*run).exit_code == 0
    assert [ticket.conversation_id for ticket in fake.tickets] == [5]


def test_a_ledger_of_an_older_version_does_not_send_a_scheduled_email_twice(fake: FakeDesk) -> None:
    write_ledger({5: "open"}, os.environ["TEAMWORK_DESK_URL"])
    with closing(sqlite3.connect(LEDGER)) as connection:
        connection.execute("DROP TABLE scheduled")
        connection.commit()
    Path("job.json").write_text('[{"conversation_id": 5, "scheduled_email": {"sendAt": "2030-01-01T09:00:00Z"}}]')
    result = command("convert-many", "job.json", "--ledger", "run.sqlite", "--settle", "0")
    assert (result.exit_code, states(), fake.tickets) == (3, {5: "unknown"}, [])


def test_a_scheduled_email_whose_conversion_failed_for_certain_is_sent_again(fake: FakeDesk) -> None:
    Path("job.json").write_text('[{"conversation_id": 5, "scheduled_email": {"sendAt": "2030-01-01T09:00:00Z"}}]')
    run = ("convert-many", "job.json", "--ledger", "run.sqlite", "--settle", "0")
    fake.fail(status=403, method="POST")
    assert (command(*run).exit_code, states()) == (1, {5: "failed"})
    assert (command(*run).exit_code, states()) == (0, {5: "done"})
    assert len(fake.tickets) == 1


# Help


@pytest.mark.parametrize("verb", [[], ["show"], ["settle"], ["forget"]])
def test_the_help_of_each_verb_has_an_example_and_fits(monkeypatch: pytest.MonkeyPatch, verb: list[str]) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = command("ledger", *verb, "--help").output
    assert f"Example: teamwork-desk {' '.join(['ledger', *verb]).removesuffix(' show')} " in shown
    assert "…" not in shown
