"""Attachments on the command line: they are uploaded only for a conversation without a ticket, and kept for later."""

from __future__ import annotations

import io
import json
import os
import pty
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from rich.console import Console
from typer.testing import CliRunner, Result

from teamwork_desk import AsyncDesk, RequestError
from teamwork_desk._checks import LARGEST_FILE
from teamwork_desk._conversations import Conversations
from teamwork_desk.cli import _app, _attach
from teamwork_desk.cli._jobs import read_jobs
from teamwork_desk.cli._ledger import Ledger
from teamwork_desk.testing import FakeDesk

Command = Callable[..., Result]
ORIGIN = "https://acme.teamwork.com"


@pytest.fixture(scope="module")
def portal() -> Iterator[BlockingPortal]:
    with start_blocking_portal("asyncio") as portal:
        yield portal


@pytest.fixture
def fake(portal: BlockingPortal, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDesk]:
    """A fake Desk behind a socket. The environment has its URL and its token."""
    fake = FakeDesk(rate_limit=10_000)
    with portal.wrap_async_context_manager(fake.serve()) as url:
        monkeypatch.setenv("TEAMWORK_DESK_URL", url)
        monkeypatch.setenv("TEAMWORK_DESK_TOKEN", "any")
        yield fake


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run a command in a directory with two files."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    for name in ("a", "b"):
        (tmp_path / f"{name}.txt").write_text(f"content of {name}")

    def run(*arguments: str) -> Result:
        result = CliRunner().invoke(_app.app, arguments)
        assert result.exception is None or isinstance(result.exception, SystemExit)
        assert "Traceback" not in result.output
        return result

    return run


def forms(fake: FakeDesk) -> int:
    """How many forms the upload host has received."""
    return sum(request.path == "/uploads" for request in fake.requests)


# One conversation


def test_convert_attaches_files(command: Command, fake: FakeDesk) -> None:
    result = command("convert", "42", "--attach", "a.txt", "--attach", "b.txt", "--file", "9")
    assert (result.exit_code, result.stderr) == (0, "")
    assert json.loads(result.stdout)["created"] is True
    fake.assert_converted_once(42, files=[9, *fake.files])
    assert [file.content for file in fake.files.values()] == [b"content of a", b"content of b"]


def test_nothing_is_uploaded_for_a_conversation_with_a_ticket(command: Command, fake: FakeDesk) -> None:
    fake.add_conversation(42, ticket_id=7)
    result = command("convert", "42", "--attach", "a.txt")
    assert (result.exit_code, json.loads(result.stdout)["created"], json.loads(result.stdout)["ticket_id"]) == (
        0,
        False,
        7,
    )
    assert forms(fake) == 0
    assert command("convert", "42", "--attach", "a.txt", "--no-verify-first").exit_code == 0
    assert forms(fake) == 1


def test_the_same_file_is_uploaded_once_for_a_conversation(command: Command, fake: FakeDesk) -> None:
    assert command("convert", "42", "--attach", "a.txt", "--attach", "a.txt").exit_code == 0
    assert forms(fake) == 1


def test_a_conversion_that_fails_prints_the_ids_of_the_uploaded_files(command: Command, fake: FakeDesk) -> None:
    result = command("convert", "42", "--attach", "a.txt", "--attach", "b.txt", "--customer", "jo at example")
    first, second = fake.files
    assert result.exit_code == 1
    assert f"uploaded: use --file {first} --file {second} instead of --attach" in result.stderr
    assert command("convert", "42", "--file", str(first), "--file", str(second)).exit_code == 0
    fake.assert_converted_once(42, files=[first, second])


def test_an_upload_that_fails_ends_the_command(command: Command, fake: FakeDesk) -> None:
    fake.fail(status=403, path="/uploads")
    result = command("convert", "42", "--attach", "a.txt")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "StatusError: upload, step 2 of 3" in result.stderr
    assert "uploaded" not in result.stderr
    assert fake.tickets == []


@pytest.mark.parametrize(("name", "size"), [("nothing.txt", None), ("large.bin", LARGEST_FILE + 1)])
def test_a_file_that_cannot_be_attached_sends_nothing(
    name: str, size: int | None, command: Command, fake: FakeDesk
) -> None:
    if size:
        with Path(name).open("wb") as file:
            file.truncate(size)
    result = command("convert", "42", "--attach", name)
    assert result.exit_code == 2
    assert "--attach" in result.stderr
    assert fake.requests == []


def test_a_terminal_shows_the_progress_of_an_upload(command: Command, fake: FakeDesk, tmp_path: Path) -> None:
    (tmp_path / "large.bin").write_bytes(bytes(3_000_000))
    master, slave = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "NO_PROXY": "127.0.0.1"}
    arguments = [sys.executable, "-m", "teamwork_desk.cli", "convert", "42", "--attach", "large.bin"]
    with subprocess.Popen(arguments, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=slave) as process:
        os.close(slave)
        shown = b""
        # Linux raises an error at the end of the terminal.
        try:
            while piece := os.read(master, 65536):
                shown += piece
        except OSError:
            pass
        out, _ = process.communicate()
    os.close(master)
    assert process.returncode == 0
    assert json.loads(out)["created"] is True
    assert b"upload" in shown
    assert b"3.0" in shown


# The jobs of a file


@pytest.fixture
def jobs(tmp_path: Path) -> Callable[..., None]:
    def write(*lines: dict[str, Any]) -> None:
        (tmp_path / "jobs.jsonl").write_text("\n".join(json.dumps(line) for line in lines))

    return write


def convert_many(command: Command, *more: str) -> tuple[Result, list[dict[str, Any]]]:
    result = command("convert-many", "jobs.jsonl", "--ledger", "run.sqlite", "--results", "results.jsonl", *more)
    return result, [json.loads(line) for line in Path("results.jsonl").read_text().splitlines()]


def test_jobs_attach_files_relative_to_the_jobs_file(command: Command, fake: FakeDesk, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "c.txt").write_text("content of c")
    (folder / "jobs.jsonl").write_text('{"conversation_id": 42, "attach": ["c.txt", "../a.txt"], "files": [9]}\n')
    (folder / "jobs.csv").write_text("conversation_id,attach\n43,c.txt;../b.txt\n44,\n")
    for name in ("jobs.jsonl", "jobs.csv"):
        assert command("convert-many", f"folder/{name}", "--ledger", "run.sqlite").exit_code == 0
    first, second, third, fourth = fake.files
    fake.assert_converted_once(42, files=[9, first, second])
    fake.assert_converted_once(43, files=[third, fourth])
    fake.assert_converted_once(44, files=None)
    assert fake.files[fourth].content == b"content of b"


@pytest.mark.parametrize(
    ("attach", "problem"),
    [
        (["nothing.txt"], "file 1 does not exist"),
        (["a.txt", "a\0b"], "file 2 cannot be read (ValueError)"),
        (["large.bin"], "file 1 is larger than 20971520 bytes (20 MB)"),
        (["."], "file 1 is not a regular file"),
        (["a\\b.txt"], "file 1 has a name that is not valid text, or has a backslash"),
        ("a.txt", "expected a list of paths"),
        ([7], "expected a list of paths"),
        ([""], "expected a list of paths"),
    ],
)
def test_a_file_that_cannot_be_attached_is_a_wrong_line(
    attach: Any, problem: str, command: Command, fake: FakeDesk, jobs: Callable[..., None]
) -> None:
    with Path("large.bin").open("wb") as file:
        file.truncate(LARGEST_FILE + 1)
    Path("a\\b.txt").touch()
    jobs({"conversation_id": 42, "attach": attach}, {"conversation_id": 43})
    for more in (["--dry-run"], []):
        result, results = convert_many(command, *more)
        assert result.exit_code == 1
        (wrong,) = (each for each in results if each["state"] == "failed")
        assert (wrong["line"], wrong["message"]) == (1, f"attach: {problem}")
    assert forms(fake) == 0
    fake.assert_not_converted(42)
    fake.assert_converted_once(43)


def test_a_dry_run_uploads_nothing(command: Command, fake: FakeDesk, jobs: Callable[..., None]) -> None:
    jobs({"conversation_id": 42, "attach": ["a.txt"]})
    result, results = convert_many(command, "--dry-run")
    assert (result.exit_code, results[0]["state"]) == (0, "planned")
    assert (fake.requests, Path("run.sqlite").exists()) == ([], False)


def test_nothing_is_uploaded_for_a_job_that_is_done(
    command: Command, fake: FakeDesk, jobs: Callable[..., None]
) -> None:
    fake.add_conversation(43, ticket_id=7)
    jobs({"conversation_id": 42, "attach": ["a.txt"]}, {"conversation_id": 43, "attach": ["a.txt"]})
    _, results = convert_many(command)
    assert {each["conversation_id"]: each["created"] for each in results} == {42: True, 43: False}
    assert forms(fake) == 1
    _, results = convert_many(command)
    assert [each["state"] for each in results] == ["skipped", "skipped"]
    assert forms(fake) == 1
    assert uploads("run.sqlite") == []


def uploads(path: str) -> list[tuple[int, int]]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute("SELECT conversation_id, file_id FROM upload ORDER BY file_id").fetchall()
    finally:
        connection.close()


def test_the_next_run_attaches_the_files_of_a_job_that_failed(
    command: Command, fake: FakeDesk, jobs: Callable[..., None]
) -> None:
    job = {"conversation_id": 42, "attach": ["a.txt", "b.txt"]}
    jobs({**job, "customer": "jo at example"})
    result, results = convert_many(command)
    first, second = fake.files
    ending = f"; uploaded for the next run with this ledger: file {first}, {second}"
    assert (result.exit_code, results[0]["state"], results[0]["message"].endswith(ending)) == (1, "failed", True)
    assert uploads("run.sqlite") == [(42, first), (42, second)]
    Path("b.txt").write_text("another b")
    jobs(job)
    assert convert_many(command)[0].exit_code == 0
    *_, third = fake.files
    fake.assert_converted_once(42, files=[first, third])
    assert fake.files[third].content == b"another b"
    assert uploads("run.sqlite") == []


def test_an_upload_is_kept_if_the_next_one_fails(command: Command, fake: FakeDesk, jobs: Callable[..., None]) -> None:
    jobs({"conversation_id": 42, "attach": ["a.txt", "b.txt"]})
    fake.fail(status=403, path="/files/502.json")
    result, results = convert_many(command)
    assert (result.exit_code, results[0]["error"]) == (1, "PermissionDeniedError")
    assert results[0]["message"].endswith("; uploaded for the next run with this ledger: file 501")
    assert convert_many(command)[0].exit_code == 0
    fake.assert_converted_once(42, files=[501, 503])


WRONG: list[dict[str, Any]] = [
    {"files": 7},
    {"cc": "jo@example.com"},
    {"customer": {}},
    {"subject": 7},
    {"subject": "\ud800"},
    {"customfields": {"7": {}}, "notify_customer": "yes"},
    {"verify_first": "no"},
]


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_a_job_with_an_invalid_argument_sends_and_uploads_nothing(
    command: Command, fake: FakeDesk, jobs: Callable[..., None], wrong: dict[str, Any]
) -> None:
    jobs({"conversation_id": 42, "attach": ["a.txt"], **wrong}, {"conversation_id": 43, "attach": ["a.txt"]})
    result, results = convert_many(command)
    states = {each["line"]: (each["state"], each["error"]) for each in results}
    assert (result.exit_code, states) == (1, {1: ("failed", "RequestError"), 2: ("done", None)})
    assert forms(fake) == 1
    assert '{"id":{"$eq":42}}' not in [request.query.get("filter") for request in fake.requests]


def test_convert_with_an_invalid_argument_sends_and_uploads_nothing(command: Command, fake: FakeDesk) -> None:
    result = command("convert", "42", "--attach", "a.txt", "--subject", "\ud800")
    assert (result.exit_code, fake.requests) == (2, [])
    assert result.stderr.startswith("RequestError: ")


@pytest.mark.parametrize(
    ("status", "errors", "uploads"),
    [
        (400, {"files[0].id": ["must exist"]}, 2),
        (400, {"attachments": ["must exist"], "subject": ["is too long"]}, 2),
        (400, {}, 2),
        (400, {"subject": ["is too long"]}, 1),
        (403, {}, 2),
        (404, {}, 2),
        (409, {}, 2),
        (422, {}, 2),
        (422, {"subject": ["is too long"]}, 1),
        (401, {}, 1),
    ],
)
def test_files_that_desk_may_have_rejected_are_uploaded_again(
    command: Command, fake: FakeDesk, status: int, errors: dict[str, list[str]], uploads: int
) -> None:
    Path("jobs.jsonl").write_text('{"conversation_id": 42, "attach": ["a.txt"]}')
    fake.fail(status=status, path="/convert.json", body={"errors": errors})
    result, results = convert_many(command)
    assert (result.exit_code, results[0]["state"]) == (1, "failed")
    (file,) = fake.files
    kept = "uploaded for the next run with this ledger" if uploads == 1 else "uploaded, but the next run uploads again"
    assert results[0]["message"].endswith(f"; {kept}: file {file}")
    assert convert_many(command)[0].exit_code == 0
    assert forms(fake) == uploads
    fake.assert_converted_once(42, files=[max(fake.files)])


def test_a_message_names_only_the_files_that_the_job_attaches_now(
    command: Command, fake: FakeDesk, jobs: Callable[..., None]
) -> None:
    jobs({"conversation_id": 42, "attach": ["a.txt", "b.txt"], "customer": "jo at example"})
    convert_many(command)
    Path("b.txt").write_text("another b")
    _, results = convert_many(command)
    first, stale, new = fake.files
    assert results[0]["message"].endswith(f"; uploaded for the next run with this ledger: file {first}, {new}")
    assert str(stale) not in results[0]["message"]


def test_ctrl_c_after_an_upload_prints_the_ids(
    command: Command, fake: FakeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def interrupted(*_: Any, **arguments: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        await anyio.sleep_forever()

    monkeypatch.setattr(Conversations, "convert", interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        result = command("convert", "42", "--attach", "a.txt", "--attach", "b.txt")
    finally:
        signal.signal(signal.SIGINT, before)
    first, second = fake.files
    assert (result.exit_code, result.stdout) == (130, "")
    assert f"uploaded: use --file {first} --file {second} instead of --attach" in result.stderr


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_file_that_was_removed_after_the_check_is_an_error_of_its_job(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="attach: file 1 cannot be read any more"):
        await _attach.attach(
            Any,  # type: ignore[arg-type]
            42,
            [tmp_path / "gone.txt"],
            {"verify_first": False},
            known={},
            keep=dict[str, int]().__setitem__,
        )


# The ledger


def test_a_ledger_of_an_earlier_version_is_used(tmp_path: Path, command: Command, fake: FakeDesk) -> None:
    path = tmp_path / "run.sqlite"
    with Ledger(path, None) as ledger:
        ledger.begin(41)
        ledger.end(41, "done", ticket_id=7)
    connection = sqlite3.connect(path)
    connection.execute("DROP TABLE upload")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    Path("jobs.jsonl").write_text('{"conversation_id": 41}\n{"conversation_id": 42, "attach": ["a.txt"]}\n')
    assert {each["state"] for each in convert_many(command, "--dry-run")[1]} == {"skipped", "planned"}
    assert path.read_bytes() == before
    assert {each["state"] for each in convert_many(command)[1]} == {"skipped", "done"}
    fake.assert_converted_once(42, files=list(fake.files))


def test_the_ledger_holds_no_name_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "jo.txt").write_text("content")
    (tmp_path / "jobs.jsonl").write_text('{"conversation_id": 42, "attach": ["jo.txt"]}')
    (line,) = read_jobs(tmp_path / "jobs.jsonl")
    assert [path.name for path in line.attach] == ["jo.txt"]
    path = tmp_path / "run.sqlite"
    with Ledger(path, ORIGIN) as ledger:
        fingerprint = _attach.fingerprint_of(line.attach[0])
        assert fingerprint
        ledger.keep_upload(42, fingerprint, 9)
        assert (ledger.uploads(42), ledger.uploads(43)) == ({fingerprint: 9}, {})
    assert b"jo.txt" not in path.read_bytes()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no pipes among its files")
def test_a_path_that_becomes_a_pipe_has_no_fingerprint(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.txt")
    assert _attach.fingerprint_of(tmp_path / "a.txt") is None


async def test_the_bar_counts_the_bytes_of_the_form_only(fake_desk: FakeDesk) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, force_interactive=True, width=80)
    with _attach.upload_progress(console, is_used=True) as hooks:
        options: dict[str, Any] = {"transport": fake_desk.transport, "event_hooks": {"request": hooks}}
        async with AsyncDesk(ORIGIN, token="t", **options) as desk:
            await desk.files.upload(bytes(1_234_567), filename="a.bin")
    assert isinstance(console.file, io.StringIO)
    assert "1.2/1.2 MB" in console.file.getvalue()
    assert "bytes" not in console.file.getvalue()  # the small requests to Desk have no bar
    assert fake_desk.files[501].content == bytes(1_234_567)


@pytest.mark.parametrize("is_used", [True, False])
def test_there_is_no_bar_without_a_terminal_or_without_files(is_used: bool) -> None:
    console = Console(file=io.StringIO(), force_terminal=not is_used)
    with _attach.upload_progress(console, is_used=is_used) as hooks:
        assert hooks == []


def test_a_listing_with_an_invalid_ticket_does_not_make_a_job_with_attachments_done(
    command: Command, fake: FakeDesk
) -> None:
    fake.add_conversation(42, ticket_id=-1)
    Path("jobs.jsonl").write_text('{"conversation_id": 42, "attach": ["a.txt"]}\n')
    result = command("convert-many", "jobs.jsonl", "--ledger", "run.sqlite", "--json")
    assert (result.exit_code, json.loads(result.stdout)["state"]) == (1, "failed")
    assert "its ticket_id is not a positive integer" in result.stderr
    assert (forms(fake), len(fake.tickets)) == (0, 0)
