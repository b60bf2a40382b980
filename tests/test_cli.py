"""The command line: its output, its exit statuses and its messages."""

from __future__ import annotations

import errno
import inspect
import io
import json
import os
import pty
import re
import runpy
import signal
import socket
import sqlite3
import subprocess
import sys
import termios
import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import anyio
import httpx
import pytest
import typer
from anyio.from_thread import BlockingPortal, start_blocking_portal
from raw_server import RawServer, http, read_request
from typer.testing import CliRunner, Result

from teamwork_desk import (
    AuthenticationError,
    CustomerRef,
    CustomField,
    CustomFieldMeta,
    DeskError,
    EntityRef,
    NotFoundError,
    NotSentError,
    OutcomeUnknownError,
    PermissionDeniedError,
    RateLimit,
    RequestError,
    ResponseDecodeError,
    ServerError,
    __version__,
    cli,
)
from teamwork_desk._conversations import Conversations
from teamwork_desk.backlog import ConvertedFields, Job
from teamwork_desk.cli import _app, _shell, _show
from teamwork_desk.cli._cells import COLUMNS, ONLY_IN_JSON
from teamwork_desk.cli._errors import CommandError
from teamwork_desk.cli._failures import Failures
from teamwork_desk.cli._forms import form_of
from teamwork_desk.cli._jobs import read_jobs
from teamwork_desk.cli._ledger import Ledger
from teamwork_desk.cli._options import with_options_of_convert
from teamwork_desk.cli._result import Result as Outcome
from teamwork_desk.testing import FakeDesk, RecordedRequest

SECRET = "hush-hush"
Command = Callable[..., Result]


@pytest.fixture(autouse=True)
def _interruptible() -> Iterator[None]:
    """Let both signals interrupt: a shell ignores Ctrl-C for background jobs, and SIGTERM would end the tests."""
    before = {each: signal.signal(each, signal.default_int_handler) for each in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def portal() -> Iterator[BlockingPortal]:
    with start_blocking_portal("asyncio") as portal:
        yield portal


@pytest.fixture
def fake(portal: BlockingPortal, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDesk]:
    """A fake Desk behind a socket. The environment has its URL and its token."""
    fake = FakeDesk(token=SECRET, rate_limit=10_000)
    with portal.wrap_async_context_manager(fake.serve()) as url:
        monkeypatch.setenv("TEAMWORK_DESK_URL", url)
        monkeypatch.setenv("TEAMWORK_DESK_TOKEN", SECRET)
        # Without a buffer, no flush can fail at exit, which some tests need.
        monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
        yield fake


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run a command in an empty directory. It must not show a traceback or a secret."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("FORCE_COLOR", raising=False)

    def run(*arguments: str) -> Result:
        result = CliRunner().invoke(_app.app, arguments)
        assert result.exception is None or isinstance(result.exception, SystemExit)
        assert "Traceback" not in result.output
        assert SECRET not in result.output
        return result

    return run


def data(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def write(name: str, content: str | bytes) -> str:
    Path(name).write_bytes(content.encode() if isinstance(content, str) else content)
    return name


# One conversation


def test_convert_prints_the_ticket(command: Command, fake: FakeDesk) -> None:
    result = command("convert", "42", "--subject", "Refund", "--customer", "jo@example.com", "--tag", "a", "--tag", "b")
    page = f"{os.environ['TEAMWORK_DESK_URL']}/desk/tickets/{fake.tickets[0].id}"
    assert result.exit_code == 0
    assert data(result) == [
        {"conversation_id": 42, "ticket_id": fake.tickets[0].id, "ticket_url": page, "created": True}
    ]
    assert data(command("convert", "42")) == [data(result)[0] | {"created": False}]
    assert len(fake.tickets) == 1
    assert data(command("get", "42"))[0]["ticket_url"] == page
    assert data(command("get", "43"))[0]["ticket_url"] is None
    assert fake.tickets[0].body == {"subject": "Refund", "customer": {"email": "jo@example.com"}, "tags": ["a", "b"]}
    assert result.stderr == ""


def test_every_option_reaches_desk(command: Command, fake: FakeDesk) -> None:
    numbers = ["agent", "inbox", "parent", "priority", "source", "status", "tickettemplate", "type"]
    arguments = [text for number, name in enumerate(numbers, 1) for text in (f"--{name}", str(number))]
    arguments += ["--from-thread-id", "9", "--from-ticket-id", "10", "--file", "11", "--file", "12"]
    arguments += ["--bcc", "b@example.com", "--cc", "c@example.com", "--customer", "13", "--edit-method", "html"]
    arguments += ["--message", "Hello", "--no-notify-customer", "--send-from", "d@example.com"]
    assert command("convert", "42", *arguments).exit_code == 0
    assert fake.tickets[0].body == {
        **{name: {"id": number} for number, name in enumerate(numbers, 1)},
        "fromThreadId": 9,
        "fromTicketId": 10,
        "files": [{"id": 11}, {"id": 12}],
        "bcc": ["b@example.com"],
        "cc": ["c@example.com"],
        "customer": {"id": 13},
        "editMethod": "html",
        "message": "Hello",
        "notifyCustomer": False,
        "sendFrom": "d@example.com",
    }


def flags_of(name: str) -> set[str]:
    group: Any = typer.main.get_command(_app.app)
    return {flag for option in group.commands[name].params for flag in option.opts + option.secondary_opts}


def test_convert_has_an_option_for_each_argument_that_text_can_express() -> None:
    fields = {name.replace("_", "-") for name in ConvertedFields.__annotations__.keys() - ONLY_IN_JSON}
    singular = {"tags": "tag", "files": "file"}
    flags = {f"--{singular.get(name, name)}" for name in fields}
    own = {
        "conversation_id",
        "--url",
        "--verify-first",
        "--no-verify-first",
        "--no-notify-customer",
        "--attach",
        "--json",
    }
    assert flags_of("convert") == flags | own


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("--agent", "The agent who gets the ticket, by id, name or email address."),
        ("--customer", "The customer, by id or by email address."),
        ("--edit-method", "How agents write in this ticket by default: html or markdown."),
        ("--file", "The attachments, by the ids of uploaded files; may be repeated."),
        ("--subject", "The ticket's subject."),
        ("--status", "The ticket's status, by id, name or code."),
        ("--tag", "A word, or the id or name of a tag; may be repeated."),
    ],
)
def test_the_help_of_an_option_says_how_to_give_it(command: Command, option: str, text: str) -> None:
    (line,) = (line for line in command("convert", "--help").output.splitlines() if line.startswith(f"│ {option} "))
    assert text in line


def test_the_help_needs_no_docstrings(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """`python -OO` removes the docstrings."""
    monkeypatch.setattr(Conversations.convert, "__doc__", None)

    def convert(**arguments: Any) -> None: ...

    options = inspect.signature(with_options_of_convert(convert)).parameters
    assert options["subject"].default.help == "."


@pytest.mark.parametrize(
    ("hint", "form"),
    [
        (int | None, "number"),
        (list[int], "numbers"),
        (str | None, "text"),
        (Literal["a", "b"] | str, "text"),
        (Sequence[str], "texts"),
        (EntityRef | int | str, "id or text"),
        (bool, "boolean"),
        (list[bool], None),
        (Mapping[str, Any] | None, None),
        (CustomField, None),
    ],
)
def test_the_type_of_an_argument_decides_how_text_expresses_it(hint: Any, form: str | None) -> None:
    assert form_of(hint) == form


def test_the_shell_completes_the_options(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_TEAMWORK_DESK_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "teamwork-desk convert --not")
    monkeypatch.setenv("COMP_CWORD", "2")
    result = CliRunner().invoke(_app.app, [], prog_name="teamwork-desk")
    assert result.stdout.split() == ["--notify-customer"]


@pytest.mark.parametrize(("option", "tickets"), [((), 1), (("--verify-first",), 1), (("--no-verify-first",), 2)])
def test_convert_looks_a_conversation_up_first_by_default(
    command: Command, fake: FakeDesk, option: tuple[str, ...], tickets: int
) -> None:
    for _ in range(2):
        assert data(command("convert", "42", *option))[0]["ticket_id"] == fake.tickets[-1].id
    assert len(fake.tickets) == tickets


class Full(io.StringIO):
    """A file on a full disk, or a closed pipe: flushing fails, but writing does not."""

    def flush(self) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


def converted_42(fake: FakeDesk) -> str:
    page = f"{os.environ['TEAMWORK_DESK_URL']}/desk/tickets/{fake.tickets[0].id}"
    return f"conversation 42: converted, ticket {fake.tickets[0].id}, {page}\n"


def test_a_conversion_that_cannot_be_printed_is_no_failure(
    fake: FakeDesk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["teamwork-desk", "convert", "42"])
    monkeypatch.setattr(sys, "stdout", Full())
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    sys.stdout.flush()
    assert stopped.value.code == 0
    assert capsys.readouterr().err == converted_42(fake)


@pytest.mark.parametrize("reader", ["a full disk", "a closed pipe"])
def test_a_closed_stdout_does_not_change_the_exit_status(fake: FakeDesk, reader: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "teamwork_desk.cli", "convert", "42"],
        stdout=os.open("/dev/full", os.O_WRONLY) if reader == "a full disk" else subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as converting:
        if converting.stdout is not None:
            converting.stdout.close()
        _, errors = converting.communicate()
    assert (converting.returncode, errors) == (0, converted_42(fake))


@pytest.mark.parametrize("arguments", [["get", "42"], ["list"], ["probe"]])
def test_output_that_cannot_be_written_has_a_message_and_status_2(fake: FakeDesk, arguments: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "teamwork_desk.cli", *arguments]
        reading = subprocess.run(command, check=False, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (reading.returncode, reading.stderr) == (2, "[Errno 28] No space left on device\n")


@pytest.mark.parametrize(
    ("arguments", "status", "error"),
    [
        (["404"], 1, "NotFoundError: "),
        (["0"], 2, "RequestError: conversation_id: "),
        (["42", "--customer", "jo at example.com"], 1, "ValidationError: "),
        (["42", "--url", "http://acme.teamwork.com"], 2, "ConfigurationError: url: "),
        (["x"], 2, "Usage: "),
        (["42", "--no-such-option"], 2, "Usage: "),
    ],
)
def test_a_failure_has_a_message_of_one_line_and_a_status(
    command: Command, fake: FakeDesk, arguments: list[str], status: int, error: str
) -> None:
    result = command("convert", *arguments)
    assert (result.exit_code, result.stdout) == (status, "")
    assert result.stderr.startswith(error)
    assert error == "Usage: " or result.stderr.count("\n") == 1


def test_an_unknown_outcome_has_status_3(command: Command, fake: FakeDesk) -> None:
    fake.lose_answer("after", method="POST")
    fake.fail(status=403, method="GET")
    result = command("convert", "42", "--no-verify-first")
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr.splitlines()[-1].startswith("OutcomeUnknownError: ")


def test_text_from_the_server_cannot_control_the_terminal(command: Command, fake: FakeDesk) -> None:
    fake.fail(status=400, body={"errors": {"x\x1b[2J": ["must be set"]}})
    result = command("convert", "42")
    assert result.exit_code == 1
    assert "x\\x1b[2J must be set" in result.stderr


@pytest.mark.parametrize(("name", "message"), [("convert", "interrupted: nothing was sent\n"), ("get", "")])
def test_an_interrupt_has_status_130(
    command: Command, fake: FakeDesk, monkeypatch: pytest.MonkeyPatch, name: str, message: str
) -> None:
    async def interrupted(*_: object, **__: object) -> None:
        signal.raise_signal(signal.SIGINT)
        await anyio.sleep_forever()

    monkeypatch.setattr(Conversations, name, interrupted)
    result = command(name, "42")
    assert (result.exit_code, result.output) == (130, message)


# The token


@pytest.mark.parametrize("stdin", [io.StringIO(), None])
def test_without_a_terminal_the_environment_must_have_the_token(
    fake: FakeDesk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], stdin: io.StringIO | None
) -> None:
    monkeypatch.delenv("TEAMWORK_DESK_TOKEN")
    monkeypatch.setattr(sys, "stdin", stdin)
    monkeypatch.setattr(sys, "argv", ["teamwork-desk", "get", "42"])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 2
    assert capsys.readouterr() == (
        "",
        "Set TEAMWORK_DESK_TOKEN: without a terminal, the command cannot ask for the token.\n",
    )


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_asks_for_the_token(
    fake: FakeDesk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("TEAMWORK_DESK_TOKEN")
    monkeypatch.setattr(sys, "stdin", Terminal())
    asked: list[Any] = []

    def prompt(text: str, **options: Any) -> str:
        asked.append((text, options))
        return SECRET

    monkeypatch.setattr(typer, "prompt", prompt)
    monkeypatch.setattr(sys, "argv", ["teamwork-desk", "get", "42"])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 0
    assert asked == [("Token", {"hide_input": True, "err": True})]
    assert json.loads(capsys.readouterr().out)["id"] == 42


def test_an_interrupt_while_asking_for_the_token_has_status_130(
    command: Command, fake: FakeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TEAMWORK_DESK_TOKEN")

    def prompt(*_: object, **__: object) -> str:
        raise typer.Abort

    monkeypatch.setattr(typer, "prompt", prompt)
    monkeypatch.setattr(_shell, "sys", SimpleNamespace(stdin=Terminal()))
    result = command("get", "42")
    assert (result.exit_code, result.output) == (130, "")


def test_no_command_takes_the_token_as_an_argument() -> None:
    for name in ("convert", "convert_many", "get", "list_", "probe", "fake"):
        assert "token" not in inspect.signature(getattr(_app, name)).parameters


# Reading


def test_get_and_list_omit_the_secrets_of_a_conversation(command: Command, fake: FakeDesk) -> None:
    fake.add_conversation(7, token=SECRET, socket_id=SECRET)
    result = command("get", "7")
    assert result.exit_code == 0
    assert data(result)[0]["contact"]["value"] == "customer7@example.com"
    assert not {"token", "socket_id"} & data(result)[0].keys()
    assert not {"token", "socket_id"} & data(command("list"))[0].keys()


def test_list_passes_on_the_filter_and_the_order(command: Command, fake: FakeDesk) -> None:
    wanted = json.dumps({"id": {"$lte": 3}})
    result = command("list", "--filter", wanted, "--order-by", "id", "--order-mode", "desc")
    assert (result.exit_code, [one["id"] for one in data(result)]) == (0, [3, 2, 1])
    assert len(data(command("list"))) == 100


@pytest.mark.parametrize(("filter", "status"), [("{", 2), ("[" * 100_000, 2), ('{"x": 1}', 1)])
def test_an_invalid_filter_has_a_status(command: Command, fake: FakeDesk, filter: str, status: int) -> None:
    assert command("list", "--filter", filter).exit_code == status


def test_list_ends_silently_when_its_reader_closes_the_pipe(fake: FakeDesk) -> None:
    line = "from teamwork_desk.cli import main; main()"
    listing = subprocess.Popen(
        [sys.executable, "-c", line, "list"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with listing:
        assert listing.stdout is not None
        assert listing.stderr is not None
        listing.stdout.close()
        assert listing.stderr.read() == ""
    assert listing.returncode == 1


def test_typer_handles_a_closed_pipe(command: Command, fake: FakeDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    async def closed(*_: object) -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr(Conversations, "get", closed)
    result = command("get", "42")
    assert (result.exit_code, result.output) == (1, "")


def test_probe_prints_the_differences(command: Command, fake: FakeDesk) -> None:
    result = command("probe")
    assert (result.exit_code, result.stdout) == (0, "conversations compared: 100; kinds of drift: 0\n")
    fake.add_conversation(42, inboxAlias=None)
    result = command("probe", "--json")
    assert result.exit_code == 1
    assert data(result)[0]["drift"] == [
        {"path": "conversations[].inboxAlias", "expected": "nothing", "got": "null", "count": 1}
    ]
    result = command("probe")
    assert result.exit_code == 1
    assert result.stdout.endswith("\nconversations compared: 100; kinds of drift: 1\n")


@pytest.mark.parametrize(("status", "exit_code"), [(200, 0), (403, 2)])
def test_the_status_of_probe_without_differences_and_without_a_page(
    command: Command, fake: FakeDesk, status: int, exit_code: int
) -> None:
    fake.fail(status=status, body={"conversations": []})
    assert command("probe").exit_code == exit_code


# Many conversations


def jobs_for(*conversations: int) -> str:
    return write("jobs.jsonl", "".join(f'{{"conversation_id": {each}}}\n' for each in conversations))


def test_a_second_run_skips_what_the_first_run_converted(command: Command, fake: FakeDesk) -> None:
    jobs = jobs_for(*range(1, 21))
    result = command("convert-many", jobs, "--ledger", "run.sqlite", "--results", "results.jsonl")
    assert result.exit_code == 0
    assert result.stdout == ""
    written = [json.loads(line) for line in Path("results.jsonl").read_text().splitlines()]
    assert {(one["conversation_id"], one["ticket_id"]) for one in written} == {
        (ticket.conversation_id, ticket.id) for ticket in fake.tickets
    }
    assert {one["state"] for one in written} == {"done"}
    pages = {one["conversation_id"]: one["ticket_url"] for one in written}
    assert pages[1].startswith(f"{os.environ['TEAMWORK_DESK_URL']}/desk/tickets/")
    assert re.search(rf"jobs.jsonl:1: conversation 1: converted, ticket \d+, {pages[1]}\n", result.stderr)
    again = command("convert-many", jobs, "--ledger", "run.sqlite", "--results", "-")
    assert (again.exit_code, len(fake.tickets)) == (0, 20)
    assert {(one["state"], one["created"]) for one in data(again)} == {("skipped", False)}
    assert [one["conversation_id"] for one in data(again)] == list(range(1, 21))


def test_line_numbers_do_not_become_emoji(command: Command, fake: FakeDesk) -> None:
    jobs = write("jobs.jsonl", "\n" * 99 + '{"conversation_id": 42}\n')
    result = command("convert-many", jobs, "--ledger", "run.sqlite")
    assert "jobs.jsonl:100: conversation 42: converted" in result.stderr


def test_each_failed_job_has_a_message_with_its_line(command: Command, fake: FakeDesk) -> None:
    jobs = write("jobs.jsonl", '{"conversation_id": 1}\n\nnothing\n{"conversation_id": 404}\n{"conversation_id": 1}\n')
    result = command("convert-many", jobs, "--ledger", "run.sqlite", "--results", "-")
    assert result.exit_code == 1
    assert {(one["line"], one["state"], one["error"]) for one in data(result)} == {
        (1, "done", None),
        (3, "failed", "RequestError"),
        (4, "failed", "NotFoundError"),
        (5, "failed", "RequestError"),
    }
    assert "jobs.jsonl:5: conversation 1: failed: RequestError: line 1 has the same conversation\n" in result.stderr
    assert "jobs.jsonl:3: job: failed: RequestError: invalid JSON: Expecting value, at character 1" in result.stderr


def test_an_unknown_outcome_decides_the_status_before_a_failure(command: Command, fake: FakeDesk) -> None:
    fake.lose_answer("after", method="POST")
    fake.fail(status=403, method="GET")
    arguments = ["convert-many", jobs_for(1, 404), "--ledger", "run.sqlite", "--settle", "0", "--concurrency", "1"]
    assert command(*arguments, "--no-verify-first").exit_code == 3
    assert command(*arguments).exit_code == 1, "the lookup finds the ticket, and conversation 404 fails again"
    assert len(fake.tickets) == 1


@pytest.mark.parametrize(
    ("options", "methods"),
    [([], ["GET", "POST"]), (["--verify-first"], ["GET", "POST"]), (["--no-verify-first"], ["POST"])],
)
def test_each_job_is_looked_up_first_unless_an_option_says_otherwise(
    command: Command, fake: FakeDesk, options: list[str], methods: list[str]
) -> None:
    jobs_for(1)
    assert command(*MANY, *options).exit_code == 0
    assert [request.method for request in fake.requests] == methods


# Conversations that are open or unknown at the end


def leave_open(*conversations: int) -> None:
    with Ledger(Path("run.sqlite"), os.environ["TEAMWORK_DESK_URL"]) as ledger:
        for each in conversations:
            ledger.begin(each)


MANY = ["convert-many", "jobs.jsonl", "--ledger", "run.sqlite"]


@pytest.mark.parametrize(
    ("content", "state"),
    [
        ("[]", None),
        ('{"conversation_id": 2}\n', None),
        ('{"conversation_id": 1, "inbox": {"nme": 1}}\n', "unknown"),
        ('{"conversation_id": x}\n', "failed"),
    ],
)
def test_an_open_conversation_is_named_whatever_its_line_says_now(
    command: Command, fake: FakeDesk, content: str, state: str | None
) -> None:
    leave_open(1)
    write("jobs.jsonl", content)
    result = command(*MANY, "--results", "-", "--settle", "0")
    assert result.exit_code == 3
    assert "run.sqlite: open or unknown, may have been converted: 1\n" in result.stderr
    assert [one["state"] for one in data(result) if one["line"] == 1 and one["error"]] == ([state] if state else [])


def test_of_many_open_conversations_only_the_first_are_named(command: Command, fake: FakeDesk) -> None:
    leave_open(*range(1, 31))
    write("jobs.jsonl", "[]")
    result = command(*MANY, "--settle", "0")
    assert f"may have been converted: {', '.join(map(str, range(1, 21)))} and 10 more\n" in result.stderr


@pytest.mark.parametrize(("fails_at", "status"), [("end", 3), ("begin", 2)])
def test_open_conversations_are_named_if_the_disk_is_full(
    command: Command, fake: FakeDesk, monkeypatch: pytest.MonkeyPatch, fails_at: str, status: int
) -> None:
    def full(*_: object, **__: object) -> None:
        raise CommandError("run.sqlite: cannot be used: database or disk is full")

    monkeypatch.setattr(Ledger, fails_at, full)
    jobs_for(1)
    result = command(*MANY)
    assert result.exit_code == status
    assert "run.sqlite: cannot be used: database or disk is full\n" in result.stderr
    assert ("may have been converted: 1\n" in result.stderr) is (status == 3)


def test_open_conversations_are_named_after_a_bug(
    command: Command, fake: FakeDesk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    convert = Conversations.convert

    async def convert_and_fail(*arguments: Any, **options: Any) -> None:
        await convert(*arguments, **options)
        raise LookupError("a bug")

    monkeypatch.setattr(Conversations, "convert", convert_and_fail)
    monkeypatch.setattr(sys, "argv", ["teamwork-desk", *MANY])
    jobs_for(1)
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 3
    errors = capsys.readouterr().err
    assert "LookupError: a bug\n" in errors
    assert "may have been converted: 1\n" in errors


def test_a_message_says_why_retries_wait(command: Command, fake: FakeDesk) -> None:
    leave_open(1)
    jobs_for(1)
    result = command(*MANY, "--settle", "0.01")
    assert result.exit_code == 0
    assert result.stderr.startswith(
        "left open or unknown by an earlier run: 1. "
        "Waiting 0.01 s before retrying them, because their requests may still be running.\n"
    )


# Output that cannot be written


def test_a_run_continues_if_its_results_cannot_be_written(
    command: Command, fake: FakeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs_for(1, 2, 3)
    result = command(*MANY, "--results", "/dev/full")
    assert (result.exit_code, len(fake.tickets)) == (0, 3)
    assert (
        result.stderr.count("--results /dev/full: No space left on device; the run continues without writing results\n")
        == 1
    )


def test_the_name_of_a_file_cannot_control_the_terminal(fake: FakeDesk, command: Command) -> None:
    write("e\x1b[31mx.jsonl", '{"conversation_id": 1}\n')
    result = command("convert-many", "e\x1b[31mx.jsonl", "--ledger", "run.sqlite")
    assert len(fake.tickets) == 1
    assert "\x1b" not in result.stderr
    assert [line.strip() for line in result.stderr.splitlines()].count("e\\x1b[31mx.jsonl") == 1  # the title


def test_a_run_continues_if_the_reader_of_its_results_closes_the_pipe(
    fake: FakeDesk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    jobs_for(1, 2, 3)
    with subprocess.Popen(
        [sys.executable, "-m", "teamwork_desk.cli", *MANY, "--results", "-"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout is not None
        running.stdout.close()
        _, errors = running.communicate()
    assert (running.returncode, len(fake.tickets)) == (0, 3)
    assert errors.count("--results -: Broken pipe; the run continues without writing results\n") == 1


def test_a_run_continues_if_standard_error_is_closed(
    fake: FakeDesk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["teamwork-desk", *MANY, "--results", "-"])
    monkeypatch.setattr(sys, "stderr", Full())
    jobs_for(1, 404, 3)
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert (stopped.value.code, len(fake.tickets)) == (1, 2)
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_a_command_works_without_standard_streams(fake: FakeDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["teamwork-desk", "convert", "404"])
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 1


@pytest.mark.parametrize("results", ["link.jsonl", "run.sqlite-wal"])
def test_the_results_do_not_overwrite_the_ledger_under_another_name(
    command: Command, fake: FakeDesk, results: str
) -> None:
    jobs = jobs_for(1)
    assert command("convert-many", jobs, "--ledger", "run.sqlite").exit_code == 0
    before = Path("run.sqlite").read_bytes()
    os.link("run.sqlite", "link.jsonl")
    result = command("convert-many", jobs, "--ledger", "run.sqlite", "--results", results)
    assert (result.exit_code, Path("run.sqlite").read_bytes()) == (2, before)
    assert "must be different files" in result.stderr


def test_a_ticket_is_named_even_if_standard_output_is_closed(
    fake: FakeDesk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["teamwork-desk", "convert", "42"])
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 0
    assert f"conversation 42: converted, ticket {fake.tickets[0].id}" in capsys.readouterr().err


def test_a_pause_in_a_pipe_that_does_not_block_is_not_the_end_of_the_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.write(writing, b'{"conversation_id": 1}\n')

    def go_on() -> None:
        os.write(writing, b'{"conversation_id": 2}\n')
        os.close(writing)

    writer = threading.Timer(0.2, go_on)
    with os.fdopen(reading) as pipe:
        monkeypatch.setattr(sys, "stdin", pipe)
        writer.start()
        ids = [line.conversation_id for line in read_jobs(Path("-"))]
        writer.join()
    assert ids == [1, 2]


def test_a_dry_run_makes_no_ledger_beside_the_rest_of_another(command: Command) -> None:
    jobs = jobs_for(1)
    Path("run.sqlite-wal").write_bytes(b"the rest of a ledger that was removed")
    assert command("convert-many", jobs, "--ledger", "run.sqlite", "--dry-run").exit_code == 0
    assert {path.name for path in Path().iterdir()} == {jobs, "run.sqlite-wal"}


def test_a_ledger_is_rejected_for_another_installation(
    command: Command, fake: FakeDesk, portal: BlockingPortal, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = jobs_for(1)
    assert command("convert-many", jobs, "--ledger", "run.sqlite").exit_code == 0
    with portal.wrap_async_context_manager(FakeDesk().serve()) as other:
        result = command("convert-many", jobs, "--ledger", "run.sqlite", "--url", other)
    assert (result.exit_code, result.stderr) == (
        2,
        f"run.sqlite: this ledger belongs to {os.environ['TEAMWORK_DESK_URL']}, not to {other}\n",
    )


def test_a_run_changes_nothing_if_another_run_is_using_the_ledger(command: Command, fake: FakeDesk) -> None:
    jobs = jobs_for(1)
    write("results.jsonl", "precious")
    with Ledger(Path("run.sqlite"), os.environ["TEAMWORK_DESK_URL"]):
        result = command("convert-many", jobs, "--ledger", "run.sqlite", "--results", "results.jsonl")
    assert (result.exit_code, result.stderr) == (
        2,
        "run.sqlite: another run is using it; wait until that run has ended\n",
    )
    assert Path("results.jsonl").read_text() == "precious"
    assert not fake.requests


# A ledger that is removed or moved while a run uses it


class RequestsWithAnAction(list[RecordedRequest]):
    """The requests to a fake Desk. The first conversion of one conversation calls a function."""

    def __init__(self, conversation_id: int, action: Callable[[], object]) -> None:
        super().__init__()
        self.path = f"/desk/api/v2/conversations/{conversation_id}/convert.json"
        self.action = action

    def append(self, request: RecordedRequest) -> None:
        super().append(request)
        if request.path == self.path:
            action, self.action = self.action, lambda: None
            action()


def remove_ledger() -> None:
    # The ledger first: without its -wal file alone, the run would have another message.
    for file in sorted(Path().glob("run.sqlite*")):
        file.unlink()


def move_ledger() -> None:
    Path("run.sqlite").rename("kept")


def replace_ledger() -> None:
    Path("copy").write_bytes(Path("run.sqlite").read_bytes())
    Path("copy").replace("run.sqlite")


WITHOUT_THE_LOCK = """
from teamwork_desk.cli import _ledger, main
_ledger.lock_name = lambda path: None
main()
"""


@pytest.mark.parametrize(
    ("lose", "has_lock"),
    [(remove_ledger, True), (move_ledger, True), (replace_ledger, True), (remove_ledger, False)],
)
def test_no_conversation_is_converted_twice_if_the_ledger_is_lost_and_the_command_is_run_again(
    fake: FakeDesk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lose: Callable[[], None], has_lock: bool
) -> None:
    """Where the lock on the name is missing, only the jobs that run at that moment can overlap."""
    monkeypatch.chdir(tmp_path)
    jobs = jobs_for(*range(1, 61))
    program = ["-m", "teamwork_desk.cli"] if has_lock else ["-c", WITHOUT_THE_LOCK]
    arguments = [sys.executable, *program, "convert-many", jobs, "--ledger", "run.sqlite", "--settle", "0"]

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True)

    again: list[subprocess.Popen[str]] = []

    def lose_and_start_again() -> None:
        lose()
        again.append(start())

    fake.requests = RequestsWithAnAction(20, lose_and_start_again)
    first = start()
    (_, message), status = first.communicate(), first.returncode
    assert status == 2
    assert "run.sqlite: the ledger of this run was moved, removed or replaced" in message
    (second,) = again
    (_, message), status = second.communicate(), second.returncode
    if has_lock and status:
        assert (status, message) == (
            2,
            f"{Path('run.sqlite')}: another run is using it; wait until that run has ended\n",
        )
    third = start()
    third.communicate()
    assert third.returncode == 0
    times = Counter(ticket.conversation_id for ticket in fake.tickets)
    assert set(times) == set(range(1, 61))
    assert len(fake.tickets) - 60 <= (0 if has_lock else 8)


def test_a_lost_ledger_has_status_2_and_unknown_conversations_are_named(command: Command, fake: FakeDesk) -> None:
    fake.requests = RequestsWithAnAction(1, remove_ledger)
    fake.fail(status=504, method="POST")
    result = command("convert-many", jobs_for(*range(1, 50)), "--ledger", "run.sqlite", "--concurrency", "1")
    assert result.exit_code == 2
    assert "run.sqlite: the ledger of this run was moved, removed or replaced" in result.stderr
    assert "run.sqlite: open or unknown, may have been converted: 1\n" in result.stderr
    assert "ledger settle" not in result.stderr
    assert fake.tickets == []


def test_an_interrupt_decides_the_status_before_a_lost_ledger(
    command: Command, fake: FakeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    convert = Conversations.convert

    async def interrupted(self: Conversations, conversation_id: int, **arguments: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        remove_ledger()
        return await convert(self, conversation_id, **arguments)

    monkeypatch.setattr(Conversations, "convert", interrupted)
    result = command("convert-many", jobs_for(1, 2), "--ledger", "run.sqlite", "--concurrency", "1")
    assert result.exit_code == 130
    assert "run.sqlite: the ledger of this run was moved, removed or replaced" in result.stderr


@pytest.mark.parametrize(
    ("ledger", "results"),
    [
        ("run.sqlite", "jobs.jsonl"),
        ("run.sqlite", "./jobs.jsonl"),
        ("run.sqlite", "run.sqlite"),
        ("jobs.jsonl", "results.jsonl"),
        ("jobs.jsonl", "-"),
    ],
)
def test_the_three_files_must_be_different(command: Command, fake: FakeDesk, ledger: str, results: str) -> None:
    jobs = write("jobs.jsonl", "")
    result = command("convert-many", jobs, "--ledger", ledger, "--results", results)
    assert result.exit_code == 2
    assert "overwrite" in result.stderr
    assert [(file.name, file.stat().st_size) for file in Path().iterdir()] == [(jobs, 0)]


@pytest.mark.parametrize(
    "arguments",
    [
        ["jobs.jsonl"],
        ["nothing.jsonl", "--ledger", "run.sqlite"],
        ["jobs.jsonl", "--ledger", "no/such/directory/run.sqlite"],
        ["jobs.jsonl", "--ledger", "jobs.jsonl"],
        ["jobs.jsonl", "--ledger", "run.sqlite", "--concurrency", "0"],
        ["jobs.jsonl", "--ledger", "run.sqlite", "--settle", "-1"],
        ["jobs.jsonl", "--ledger", "run.sqlite", "--settle", "nan"],
        ["jobs.jsonl", "--ledger", "run.sqlite", "--settle", "inf"],
        ["jobs.jsonl", "--ledger", "run.sqlite", "--results", "no/such/directory/results.jsonl"],
        ["jobs.txt", "--ledger", "run.sqlite"],
    ],
)
def test_invalid_input_has_status_2_and_sends_nothing(command: Command, fake: FakeDesk, arguments: list[str]) -> None:
    before = Path(jobs_for(1)).read_bytes()
    write("jobs.txt", "42")
    result = command("convert-many", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr
    assert not fake.requests
    assert Path("jobs.jsonl").read_bytes() == before


def test_nothing_is_sent_if_the_end_of_the_jobs_file_is_invalid(command: Command, fake: FakeDesk) -> None:
    jobs = write("jobs.csv", 'conversation_id,message\n1,Hello\n2,"never closed\n3,Hello\n')
    result = command("convert-many", jobs, "--ledger", "run.sqlite")
    assert result.exit_code == 2
    assert result.stderr.startswith("jobs.csv:3: ")
    assert not fake.requests


def test_jobs_from_a_pipe_are_read_completely_before_anything_is_sent(command: Command, fake: FakeDesk) -> None:
    os.mkfifo("jobs.jsonl")
    writer = subprocess.Popen(["sh", "-c", "echo '{\"conversation_id\": 1}' > jobs.jsonl"])
    status, shown = on_a_terminal("convert-many", "jobs.jsonl", "--ledger", "run.sqlite")
    assert (writer.wait(), status, len(fake.tickets)) == (0, 0, 1)
    assert "1/1" in shown


# A run that stops by itself


def long_run(*options: str) -> tuple[int, str]:
    """Run with 300 jobs in a process of its own; return its status and its messages."""
    jobs_for(*range(1, 301))
    with running(*MANY, *options) as process:
        _, errors = process.communicate()
    assert len(errors.splitlines()) <= 24, errors
    assert errors.endswith(f"To go on, run the same command again: teamwork-desk {' '.join([*MANY, *options])}\n")
    return process.returncode, errors


def test_a_rejected_token_stops_the_run_at_once(
    fake: FakeDesk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TEAMWORK_DESK_TOKEN", "wrong")
    status, errors = long_run("--concurrency", "40")
    assert status == 1
    assert errors.count("conversation ") == 1
    assert "stopped: Desk rejected the token, so that every other job would fail, too\n" in errors
    assert re.search(r"failed +│ +[0-9]+ │", errors)
    assert re.search(r"not started +│ +2[0-9]+ │ nothing was sent for them", errors)
    assert len(fake.requests) < 10


@pytest.mark.parametrize("options", [[], ["--max-failures", "3"]])
def test_a_dead_server_stops_the_run_after_some_failures(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, options: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with closing(socket.socket()) as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("TEAMWORK_DESK_URL", f"http://127.0.0.1:{unused.getsockname()[1]}")
        monkeypatch.setenv("TEAMWORK_DESK_TOKEN", SECRET)
        status, errors = long_run(*options)
    most = int(options[1]) if options else 10
    assert status == 1
    assert errors.count("NotSentError") == most
    assert f"stopped after {most} failures in a row, because the other jobs would probably fail" in errors


FORBIDDEN = PermissionDeniedError("no", status_code=403)
NOT_DESK = NotFoundError("no", status_code=404, from_desk=False)
LONE = NotFoundError("no", status_code=404)


@pytest.mark.parametrize(
    ("errors", "stops"),
    [
        ([FORBIDDEN, NOT_DESK, NotSentError("no")], True),
        ([OutcomeUnknownError("?"), ServerError("no", status_code=503), ResponseDecodeError("no")], True),
        ([FORBIDDEN, FORBIDDEN, None, FORBIDDEN], False),
        ([FORBIDDEN, FORBIDDEN, LONE, FORBIDDEN], False),
        ([FORBIDDEN, FORBIDDEN, RequestError("no"), FORBIDDEN], False),
        ([LONE, LONE, LONE], False),
        ([None, AuthenticationError("no", status_code=401)], True),
    ],
)
def test_failures_in_a_row_that_every_job_may_share_stop_a_run(errors: list[DeskError | None], stops: bool) -> None:
    failures = Failures(3)
    assert [failures.add(error) for error in errors][-1] is stops


# Created or already


def test_every_result_says_whether_the_run_made_the_ticket(command: Command, fake: FakeDesk) -> None:
    fake.add_conversation(2, ticket_id=777)
    jobs_for(1, 2)
    result = command(*MANY, "--results", "-")
    page = f"{os.environ['TEAMWORK_DESK_URL']}/desk/tickets/777"
    assert {(one["conversation_id"], one["created"]) for one in data(result)} == {(1, True), (2, False)}
    assert f"jobs.jsonl:2: conversation 2: already had ticket 777, {page}\n" in result.stderr
    assert "jobs.jsonl:1: conversation 1: converted, ticket " in result.stderr
    assert re.search(r"created +│ +1 │ converted +│", result.stderr)
    assert re.search(r"already +│ +1 │ had a ticket already +│", result.stderr)


# Ctrl-C


SIGNALS = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])


@contextmanager
def running(*arguments: str) -> Generator[subprocess.Popen[str]]:
    """Run a command in a process of its own, for which Ctrl-C is not ignored."""
    command = [sys.executable, "-m", "teamwork_desk.cli", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def states_in_ledger() -> dict[int, str]:
    with closing(sqlite3.connect("run.sqlite")) as connection:
        return dict(connection.execute("SELECT id, state FROM conversation"))


@SIGNALS
def test_an_interrupt_stops_at_once_what_waits_for_the_rate_window(
    portal: BlockingPortal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: signal.Signals
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TEAMWORK_DESK_TOKEN", SECRET)
    fake = FakeDesk(rate_limit=6, window=60)
    jobs_for(*range(1, 31))
    with portal.wrap_async_context_manager(fake.serve()) as url:
        monkeypatch.setenv("TEAMWORK_DESK_URL", url)
        with running(*MANY, "--results", "-") as process:
            assert process.stdout is not None
            while len(fake.requests) < 6:  # Then the window is used up.
                assert json.loads(process.stdout.readline())["state"] == "done"
            process.send_signal(number)
            _, errors = process.communicate()
        assert process.returncode == 130
        assert "interrupted: " in errors
        assert "open or unknown" not in errors
        assert states_in_ledger() == {ticket.conversation_id: "done" for ticket in fake.tickets}
        assert 0 < len(fake.tickets) < 6


@SIGNALS
def test_an_interrupt_lets_a_conversion_that_was_sent_come_to_its_end(
    fake: FakeDesk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: signal.Signals
) -> None:
    """Its response is lost, so that the run has to look up what it did."""
    monkeypatch.chdir(tmp_path)
    jobs_for(*range(1, 20))
    fake.requests = RequestsWithAnAction(3, lambda: process.send_signal(number))
    fake.lose_answer("after", method="POST", path="/3/")
    with running(*MANY, "--concurrency", "1", "--results", "-") as process:
        out, errors = process.communicate()
    assert process.returncode == 130
    assert [json.loads(line)["state"] for line in out.splitlines()] == ["done"] * 3
    assert "1 conversion that was sent comes to its end, and nothing more is sent" in errors
    assert states_in_ledger() == dict.fromkeys([1, 2, 3], "done")
    assert len(fake.tickets) == 3


@SIGNALS
def test_the_second_interrupt_stops_at_once_and_names_what_it_leaves_open(
    fake: FakeDesk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: signal.Signals
) -> None:
    monkeypatch.chdir(tmp_path)
    jobs_for(*range(1, 20))
    fake.requests = RequestsWithAnAction(2, lambda: process.send_signal(signal.SIGINT))
    fake.inject("timeout after the work", method="POST", path="/2/")
    with running(*MANY, "--concurrency", "1") as process:
        assert process.stderr is not None
        while "interrupted: " not in process.stderr.readline():
            pass
        process.send_signal(number)
        _, errors = process.communicate()
    assert process.returncode == 130
    assert "run.sqlite: open or unknown, may have been converted: 2\n" in errors
    assert re.search(r"open +│ +1 │ may have been converted; the next run looks first +│\n", errors)
    assert re.search(r"not started +│ +17 │ nothing was sent for them +│\n", errors)
    assert re.search(r"total +│ +19 │", errors)
    assert states_in_ledger() == {1: "done", 2: "open"}
    assert command_again() == 0
    assert len(fake.tickets) == 19


def command_again() -> int:
    return subprocess.run(
        [sys.executable, "-m", "teamwork_desk.cli", *MANY, "--settle", "0"], check=False, stderr=subprocess.DEVNULL
    ).returncode


def test_the_handlers_of_the_signals_are_restored(command: Command, fake: FakeDesk) -> None:
    handlers = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    jobs_for(1)
    assert command(*MANY).exit_code == 0
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == handlers


def test_an_ignored_interrupt_stays_ignored(command: Command, fake: FakeDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert command("convert-many", jobs_for(1), "--ledger", "run.sqlite").exit_code == 0
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


# A dry run


def test_a_dry_run_sends_nothing_and_writes_no_ledger(
    command: Command, fake: FakeDesk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("TEAMWORK_DESK_TOKEN")
    monkeypatch.delenv("TEAMWORK_DESK_URL")
    jobs = write(
        "jobs.jsonl",
        '{"conversation_id": 1, "subject": "Refund", "customer": "jo@example.com"}\n'
        '{"conversation_id": 2, "subject": 7}\n'
        '{"conversation_id": 3000, "customer": "jo at example.com"}\n'
        '{"conversation_id": 4, "subjct": "x"}\n'
        '{"conversation_id": 5, "verify_first": true}\n',
    )
    result = command("convert-many", jobs, "--ledger", "run.sqlite", "--dry-run", "--results", "-")
    assert result.exit_code == 1
    assert [(one["state"], one["error"], one["ticket_id"]) for one in data(result)] == [
        ("planned", None, None),
        ("failed", "RequestError", None),
        ("failed", "ValidationError", None),
        ("failed", "RequestError", None),
        ("planned", None, None),
    ]
    assert data(result)[2]["message"] == "Desk does not accept this: customer.email must be a valid email address"
    assert "planned" in result.stderr
    assert "jobs.jsonl:1: conversation 1: would be converted\n" in result.stderr
    assert "jobs.jsonl:3: conversation 3000: would be refused: ValidationError: Desk does not" in result.stderr
    assert not fake.requests
    assert [file.name for file in tmp_path.iterdir()] == ["jobs.jsonl"]


def test_the_report_of_a_dry_run_goes_to_standard_output(command: Command, tmp_path: Path) -> None:
    jobs_for(1, 2)
    result = command(*MANY, "--dry-run")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("jobs.jsonl:1: conversation 1: would be converted\n")
    assert re.search(r"planned +│ +2 │ would be converted", result.stdout)


def test_a_dry_run_skips_what_the_ledger_has_as_done(command: Command, fake: FakeDesk) -> None:
    assert command("convert-many", jobs_for(1), "--ledger", "run.sqlite").exit_code == 0
    result = command("convert-many", jobs_for(1, 2), "--ledger", "run.sqlite", "--dry-run", "--results", "-")
    assert (result.exit_code, [one["state"] for one in data(result)]) == (0, ["skipped", "planned"])
    assert len(fake.tickets) == 1


# What Desk's support and an operator need


def test_an_error_is_printed_with_the_id_of_the_response(command: Command, fake: FakeDesk) -> None:
    fake.fail(status=403, method="GET", headers={"X-Request-Id": "4c87"})
    result = command("convert", "42")
    assert (result.exit_code, result.stderr.count(", request id 4c87\n")) == (1, 1)
    fake.fail(status=409, method="POST", headers={"X-Request-Id": "4c88"})
    many = command("convert-many", jobs_for(42), "--ledger", "run.sqlite", "--results", "-")
    assert data(many)[0]["request_id"] == "4c88"
    assert ", request id 4c88\n" in many.stderr


@pytest.mark.parametrize("options", [[], ["--no-verify-first"]])
@pytest.mark.parametrize("status", [404, 200])
def test_a_web_server_that_is_not_desk_leaves_no_final_state_in_the_ledger(
    command: Command, monkeypatch: pytest.MonkeyPatch, status: int, options: list[str]
) -> None:
    def serve(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(http(status, b"<html><h1>Whatever</h1></html>", "Content-Type: text/html"))

    monkeypatch.setenv("TEAMWORK_DESK_TOKEN", SECRET)
    with RawServer(serve) as server:
        monkeypatch.setenv("TEAMWORK_DESK_URL", server.url)
        result = command("convert-many", jobs_for(1, 2), "--ledger", "run.sqlite", "--results", "-", *options)
    # A 2xx to a conversion that was not looked up first may mean that it was converted.
    expected = "unknown" if status == 200 and options else "failed"
    assert [one["state"] for one in data(result)] == [expected, expected]
    if status == 404:
        assert "does not look like a Teamwork Desk" in data(result)[0]["message"]
    # The next run retries both.
    with Ledger(Path("run.sqlite"), server.url) as ledger:
        entries = [ledger.entry(number) for number in (1, 2)]
    assert [entry and entry.state for entry in entries] == [expected, expected]


# On a terminal

CONTROL = r"\x1b\[[0-9;?]*[A-Za-z]"


def on_a_terminal(*arguments: str, stdout: int | None = None, width: int = 0, **environment: str) -> tuple[int, str]:
    """Run a command with a terminal as its standard error, and as its standard output unless another is given."""
    ours, theirs = pty.openpty()
    if width:
        termios.tcsetwinsize(theirs, (24, width))
    shown = b""
    with subprocess.Popen(
        [sys.executable, "-m", "teamwork_desk.cli", *arguments],
        stdout=theirs if stdout is None else stdout,
        stderr=theirs,
        env={**os.environ, "COLUMNS": "200", "TERM": "xterm", **environment},
    ) as running:
        os.close(theirs)
        with suppress(OSError):  # Linux reports the end of a terminal as an error.
            while chunk := os.read(ours, 10_000):
                shown += chunk
    os.close(ours)
    return running.returncode, shown.decode()


@pytest.fixture
def _two_jobs(fake: FakeDesk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    jobs_for(1, 404)


two_jobs = pytest.mark.usefixtures("_two_jobs")


@two_jobs
def test_a_terminal_shows_a_progress_bar_and_the_failed_jobs() -> None:
    status, shown = on_a_terminal(*MANY)
    assert status == 1
    shown = re.sub(CONTROL, "", shown)
    for part in (
        "2/2",
        "1 created, 1 failed; ",
        " of 10000 requests used",
        " a minute, 0:00:00 left",
        "conversation 404: f",
    ):
        assert part in shown
    assert "conversation 1: converted" not in shown


@two_jobs
@pytest.mark.parametrize("width", [50, 60, 100])
def test_totals_speed_window_and_time_left_fit_on_a_terminal(width: int) -> None:
    _, shown = on_a_terminal(*MANY, width=width)
    lines = re.sub(CONTROL, "", shown).replace("\r", "\n").splitlines()
    (bar, *_), (counts, *_) = ([line for line in lines if part in line] for part in ("2/2", "1 created, 1 failed"))
    assert re.search(r"2/2 +[0-9]+ a minute, [0-9:]+ left", bar)
    window = [line for line in lines if re.search(r"[0-9]+ of 10000 requests used, [0-9]+ s left$", line)]
    assert (counts in window) is (width > 50)
    assert max(map(len, [bar, counts, *window])) <= width


@two_jobs
def test_a_terminal_that_cannot_redraw_shows_a_line_for_each_job() -> None:
    _, shown = on_a_terminal(*MANY, TERM="dumb")
    assert "conversation 1: converted" in shown
    assert "2/2" not in shown


FORCED: dict[str, str] = {
    "FORCE_COLOR": "1",
    "PY_COLORS": "1",
    "GITHUB_ACTIONS": "true",
    "CI": "true",
    "TTY_COMPATIBLE": "1",
    "TTY_INTERACTIVE": "1",
    "COLUMNS": "30",
    "TERM": "xterm-256color",
}
"""What makes other programs send control sequences to a file."""
WIDE: dict[str, Any] = {**FORCED, "COLUMNS": "200"}
DUMB: dict[str, Any] = {**WIDE, "TERM": "dumb"}


def in_files(*arguments: str, **environment: str) -> tuple[str, str]:
    """Run a command with files as its standard output and standard error, and return their content."""
    with Path("out.txt").open("w") as out, Path("err.txt").open("w") as err:
        command = [sys.executable, "-m", "teamwork_desk.cli", *arguments]
        subprocess.run(command, stdout=out, stderr=err, env={**os.environ, **environment}, check=False)
    return Path("out.txt").read_text(), Path("err.txt").read_text()


@two_jobs
@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        ([*MANY, "--results", "-"], "jobs.jsonl:1: conversation 1: converted, ticket "),
        (["ids", "inboxes"], "support@acme.com"),
        (["convert", "1", "--attach", "jobs.jsonl"], '"created": true'),
        (["convert", "1", "--inbox", "nothing"], "no inbox has this name or email address"),
        (["--help"], "convert-many"),
        (["convert"], "Missing argument"),
    ],
    ids=["convert-many", "ids", "convert", "an error", "help", "a usage error"],
)
def test_a_file_receives_plain_lines_whatever_the_environment_forces(arguments: list[str], shown: str) -> None:
    out, err = in_files(*arguments, **FORCED)
    assert shown in out + err
    assert "\x1b" not in out + err
    assert "\r" not in out + err
    assert "2/2" not in out + err  # the progress bar


@two_jobs
def test_standard_output_in_a_file_is_plain_beside_a_terminal() -> None:
    with Path("out.txt").open("w") as out:
        _, shown = on_a_terminal(*MANY, "--results", "-", stdout=out.fileno(), **WIDE)
    assert "2/2" in shown
    assert "\x1b" not in Path("out.txt").read_text()


@two_jobs
def test_no_color_is_obeyed_on_a_terminal() -> None:
    _, shown = on_a_terminal(*MANY, NO_COLOR="1")
    assert "2/2" in shown
    assert not re.findall(r"\x1b\[[0-9;]*3[0-9][;m]", shown)
    _, coloured = on_a_terminal("convert-many", "jobs.jsonl", "--ledger", "another.sqlite")
    assert re.findall(r"\x1b\[[0-9;]*3[0-9][;m]", coloured)


@two_jobs
def test_a_terminal_without_control_sequences_gets_none_whatever_the_environment_forces() -> None:
    _, shown = on_a_terminal(*MANY, **DUMB)
    assert "conversation 1: converted" in shown
    assert "\x1b" not in shown


@two_jobs
def test_the_width_of_a_terminal_has_precedence_over_columns() -> None:
    _, shown = on_a_terminal("ids", "inboxes", width=50, COLUMNS="20")
    assert [line for line in shown.splitlines() if "support@acme.com" in line]


@two_jobs
def test_results_on_a_terminal_are_printed_above_the_progress_bar() -> None:
    _, shown = on_a_terminal(*MANY, "--results", "-", width=60)
    lines = [line for line in re.sub(CONTROL, "", shown).splitlines() if '{"line": ' in line]
    assert len(lines) == 2
    # A line is longer than the terminal is wide, and is not broken in two.
    assert {json.loads(line[line.index("{") :])["conversation_id"] for line in lines} == {1, 404}
    assert not [line for line in lines if "done" in line.partition("{")[0]]


@two_jobs
@pytest.mark.parametrize("reader", ["a full disk", "a file"])
def test_results_for_a_file_do_not_pass_through_the_progress_bar(reader: str) -> None:
    with Path("/dev/full" if reader == "a full disk" else "results.jsonl").open("w") as results:
        status, shown = on_a_terminal(*MANY, "--results", "-", stdout=results.fileno())
    assert status == 1
    assert "2/2" in shown
    assert "Exception" not in shown
    if reader == "a file":
        assert len(Path("results.jsonl").read_text().splitlines()) == 2


def test_the_time_left_includes_the_rate_window(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    desk: Any = SimpleNamespace(rate_limit=RateLimit(limit=100, remaining=0, reset_at=NOW))
    with _show.Display("jobs.jsonl", 151, desk) as display:
        display.report(Outcome(line=1, conversation_id=1, state="done"))
    assert "0:01:00 left" in capsys.readouterr().err


def test_the_time_left_ends_at_the_limit(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    desk: Any = SimpleNamespace(rate_limit=RateLimit(limit=100, remaining=0, reset_at=NOW))
    with _show.Display("jobs.jsonl", 1001, desk, limit=151) as display:
        display.report(Outcome(line=1, conversation_id=1, state="done"))
    assert "0:01:00 left" in capsys.readouterr().err


NOW = datetime(2025, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("rate_limit", "shown"),
    [
        (None, "rate limit not known yet"),
        (
            RateLimit(limit=120, remaining=22, reset_at=NOW + timedelta(seconds=21.2)),
            "98 of 120 requests used, 22 s left",
        ),
        (RateLimit(limit=120, remaining=7, reset_at=NOW), "113 of 120 requests used"),
    ],
)
def test_the_description_of_the_rate_window(rate_limit: RateLimit | None, shown: str) -> None:
    assert _show.window(rate_limit, NOW) == shown


@pytest.mark.parametrize(
    ("jobs", "rate_limit", "seconds"),
    [
        (1000, None, 0),
        (20, RateLimit(limit=120, remaining=20, reset_at=NOW + timedelta(seconds=30)), 0),
        (21, RateLimit(limit=120, remaining=20, reset_at=NOW + timedelta(seconds=30)), 30),
        (140, RateLimit(limit=120, remaining=20, reset_at=NOW + timedelta(seconds=30)), 30),
        (141, RateLimit(limit=120, remaining=20, reset_at=NOW + timedelta(seconds=30)), 90),
        (141, RateLimit(limit=120, remaining=20, reset_at=NOW - timedelta(seconds=30)), 60),
    ],
)
def test_the_seconds_that_the_rate_window_costs(jobs: int, rate_limit: RateLimit | None, seconds: float) -> None:
    assert _show.windows_left(jobs, rate_limit, NOW) == seconds


# A fake Desk


def test_fake_runs_until_it_is_interrupted(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[int] = []
    readers: list[threading.Thread] = []

    def read_and_interrupt(url: str) -> None:
        response = httpx.get(f"{url}/desk/api/v2/conversations.json", headers={"Authorization": "Bearer any"})
        found.extend(one["id"] for one in response.json()["conversations"])
        os.kill(os.getpid(), signal.SIGINT)

    def echo(line: str) -> None:
        if url := re.search(r"TEAMWORK_DESK_URL=(\S+) TEAMWORK_DESK_TOKEN=any", line):
            readers.append(threading.Thread(target=read_and_interrupt, args=(url[1],)))
            readers[0].start()

    monkeypatch.setattr(typer, "echo", echo)
    result = command("fake", "--port", "0", "--conversations", "3", "--old-installation")
    readers[0].join()
    assert (result.exit_code, found) == (130, [1, 2, 3])


def test_fake_names_the_extra_it_needs(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "teamwork_desk.testing._server", raising=False)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    result = command("fake", "--port", "0")
    assert (result.exit_code, result.stderr) == (
        2,
        'FakeDesk.serve() needs an extra: pip install "teamwork-desk[testing]"\n',
    )


def test_fake_reports_a_port_that_is_in_use(command: Command, fake: FakeDesk) -> None:
    port = os.environ["TEAMWORK_DESK_URL"].rpartition(":")[2]
    result = command("fake", "--port", port)
    assert result.exit_code == 2
    assert "address already in use" in result.stderr


# The program


def test_the_help_describes_the_exit_statuses(command: Command) -> None:
    shown = command("--help").output
    assert "Example: teamwork-desk " in shown
    assert "or a line of the jobs file is invalid" in shown
    assert "or a whole file is invalid" in shown
    for status in ("0", "1", "2", "3", "130"):
        assert f" {status} if " in shown
    assert "--install-completion" in shown


def test_the_help_of_the_fake_desk_module_has_an_example() -> None:
    command = [sys.executable, "-m", "teamwork_desk.testing", "--help"]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "Example: python -m teamwork_desk.testing --port 8080" in shown


def test_version_prints_the_version(command: Command) -> None:
    result = command("--version")
    assert (result.exit_code, result.output) == (0, f"teamwork-desk {__version__}\n")


@pytest.mark.parametrize("name", ["convert", "convert-many", "get", "list", "probe", "fake"])
def test_the_help_of_each_command_has_an_example(command: Command, name: str) -> None:
    shown = command(name, "--help").output
    assert f"Example: teamwork-desk {name}" in shown


@pytest.mark.parametrize("name", ["convert", "convert-many", "get", "list", "probe", "fake"])
def test_no_help_is_cut_off_at_80_columns(command: Command, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert "…" not in command(name, "--help").output


def test_the_command_runs_as_a_module(
    fake: FakeDesk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["teamwork-desk", "get", "42"])
    with pytest.raises(SystemExit) as stopped:
        runpy.run_path(str(Path(cli.__file__).with_name("__main__.py")), run_name="__main__")
    assert stopped.value.code == 0
    assert json.loads(capsys.readouterr().out)["id"] == 42


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_the_command_names_the_extra_it_needs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], missing: str
) -> None:
    for name in [name for name in sys.modules if name.startswith("teamwork_desk.cli.")]:
        monkeypatch.delitem(sys.modules, name)
        # The second import also sets the package's attribute, so that is restored, too.
        monkeypatch.delattr(cli, name.removeprefix("teamwork_desk.cli."), raising=False)
    for name in [name for name in sys.modules if name.partition(".")[0] == missing]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 2
    assert capsys.readouterr() == ("", 'The command line needs the extra cli: pip install "teamwork-desk[cli]"\n')


def test_another_missing_module_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "teamwork_desk.cli._app", raising=False)
    monkeypatch.setitem(sys.modules, "teamwork_desk.cli._convert_many", None)
    with pytest.raises(ModuleNotFoundError):
        cli.main()


# Jobs files


def read(name: str, content: str | bytes) -> list[Any]:
    """Return the job or the problem of each line in a file."""
    return [(line.number, line.job or line.problem) for line in read_jobs(Path(write(name, content)))]


@pytest.fixture
def _in_a_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


in_a_directory = pytest.mark.usefixtures("_in_a_directory")


@in_a_directory
@pytest.mark.parametrize(
    ("line", "job"),
    [
        ('{"conversation_id": 1}', {"conversation_id": 1}),
        ('\ufeff{"conversation_id": 1, "subject": "Grüße"}\r', {"conversation_id": 1, "subject": "Grüße"}),
        (
            '{"conversation_id": 1, "inbox": {"id": 7}, "agent": 8, "tags": ["a", {"id": 9}, 10]}',
            {"conversation_id": 1, "inbox": EntityRef(id=7), "agent": 8, "tags": ["a", EntityRef(id=9), 10]},
        ),
        (
            '{"conversation_id": 1, "customer": {"email": "a@b.c"}, "customfields": {"272": 1613}}',
            {"conversation_id": 1, "customer": CustomerRef(email="a@b.c"), "customfields": {272: 1613}},
        ),
        (
            '{"conversation_id": 1, "customfields": [{"id": 1, "meta": {"value": {"a": 2}}}]}',
            {"conversation_id": 1, "customfields": [CustomField(id=1, meta=CustomFieldMeta(value={"a": 2}))]},
        ),
        (
            '{"conversation_id": 1, "customfields": {"tier": 1613}}',
            "customfields: expected the ids of custom fields as keys, got tier",
        ),
        (
            '{"conversation_id": 1, "scheduled_email": {"at": "noon"}}',
            {"conversation_id": 1, "scheduled_email": {"at": "noon"}},
        ),
        ('{"conversation_id": 1, "email": null, "nothing": 1}', {"conversation_id": 1, "email": None, "nothing": 1}),
        ('{"conversation_id": 1, "nothing": {"a": 1}}', {"conversation_id": 1, "nothing": {"a": 1}}),
        ("nothing", "invalid JSON: Expecting value, at character 1"),
        ('{"conversation_id": ' + "[" * 100_000 + "}", "invalid JSON: it is nested too deeply"),
        (b'{"conversation_id": "\xff"}', "invalid UTF-8"),
        ("7", "expected a JSON object"),
        ('{"conversation_id": 1, "cc": ["a"], "cc": ["b"]}', "cc: duplicate key"),
        ('{"conversation_id": 1, "customer": {"a@b.c": 1, "a@b.c": 2}}', "...: duplicate key"),
        ("{}", "conversation_id is missing"),
        (
            '{"conversation_id": "1"}',
            "conversation_id: expected a positive whole number of at most 64 bits; write it without quotes",
        ),
        ('{"conversation_id": 0}', "conversation_id: expected a positive whole number of at most 64 bits"),
        (
            '{"conversation_id": 9223372036854775808}',
            "conversation_id: expected a positive whole number of at most 64 bits",
        ),
        (
            '{"conversation_id": 1, "inbox": {"name": "x", "jo@example.com": 1}}',
            "inbox: unknown EntityRef fields: ..., name",
        ),
        (
            '{"conversation_id": 1, "inbox": {"additional_properties": 1}}',
            "inbox: unknown EntityRef field: additional_properties",
        ),
    ],
)
def test_the_jobs_of_jsonl_lines(line: str | bytes, job: object) -> None:
    content = line.encode() if isinstance(line, str) else line
    assert read("jobs.jsonl", content) == [(1, job)]
    assert read("jobs.ndjson", b'\n{"conversation_id": 9}\n' + content.removeprefix(b"\xef\xbb\xbf") + b"\n") == [
        (2, {"conversation_id": 9}),
        (3, job),
    ]


@in_a_directory
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("jobs.jsonl", '{"inbox": {"nme": 1}, "conversation_id": 7}'),
        ("jobs.csv", "parent,conversation_id\nx,7\n"),
    ],
)
def test_a_line_that_is_not_a_job_keeps_its_conversation(name: str, content: str) -> None:
    (line,) = read_jobs(Path(write(name, content)))
    assert (line.job, line.conversation_id) == (None, 7)


@pytest.mark.parametrize("depth", [100, 300, 600, 900, 5000])
@pytest.mark.parametrize("name", ["tags", "customfields", "scheduled_email"])
def test_deeply_nested_json_does_not_end_the_run(command: Command, fake: FakeDesk, name: str, depth: int) -> None:
    value = {"customfields": '{"1": %s}', "scheduled_email": '{"a": %s}'}.get(name, "%s")
    write("jobs.jsonl", f'{{"conversation_id": 1, "{name}": {value % ("[" * depth + "]" * depth)}}}\n')
    for options in (["--dry-run"], []):
        assert command(*MANY, *options).exit_code in (0, 1)


def test_each_argument_has_a_column_or_is_only_in_json() -> None:
    assert set(COLUMNS) | ONLY_IN_JSON == {*Job.__annotations__, "attach"}


@in_a_directory
@pytest.mark.parametrize(
    ("column", "cell", "value"),
    [
        *((name, " 7 ", 7) for name in ("agent", "from_thread_id", "from_ticket_id", "inbox", "parent")),
        *((name, "7", 7) for name in ("priority", "source", "status", "tickettemplate", "type")),
        *((name, "a; b;", ["a", "b"]) for name in ("bcc", "cc", "tags")),
        *((name, "7", "7") for name in ("edit_method", "email", "message", "send_from", "subject")),
        ("files", "7; 8", [7, 8]),
        ("customer", " 7", 7),
        ("customer", "jo@example.com ", "jo@example.com"),
        ("notify_customer", "TRUE", True),
        ("verify_first", "false", False),
        ("message", '"two\nlines, and ""quotes"""', 'two\nlines, and "quotes"'),
    ],
)
def test_the_values_of_cells(column: str, cell: str, value: object) -> None:
    assert read("jobs.csv", f"\ufeffconversation_id, {column}\r\n1,{cell}\r\n , \r\n2,\r\n") == [
        (2, {"conversation_id": 1, column: value}),
        (4 + cell.count("\n"), {"conversation_id": 2}),
    ]


FORMATTED = (
    "expected a positive whole number of at most 64 bits; a spreadsheet seems to have formatted it: format the column "
    "as whole numbers without separators"
)


@in_a_directory
@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("99999999999999999999,", "conversation_id: expected a positive whole number of at most 64 bits"),
        ("x,", "conversation_id: expected a positive whole number of at most 64 bits"),
        ("#42,", "conversation_id: expected a positive whole number of at most 64 bits; write it without #"),
        *((f"{number},", f"conversation_id: {FORMATTED}") for number in ("1.234", '"1,234"', "1E+05", "42.0")),
        (
            "https://acme.teamwork.com/desk/tickets/42,",
            "conversation_id: expected a positive whole number of at most 64 bits; it seems to be an address: write "
            "only the number of the conversation",
        ),
        (",true", "conversation_id is missing"),
        ("1,maybe", "notify_customer: expected true or false"),
        ("1", "the row ends before column 2 (notify_customer); it has 1 cells"),
        (
            "1,true,x",
            "cell 3 has no column, because the header has 2; put a cell that contains the delimiter in quotes",
        ),
    ],
)
def test_a_row_that_is_not_a_job(row: str, problem: str) -> None:
    assert read("jobs.CSV", f"conversation_id,notify_customer\n{row}\n2,true\n") == [
        (2, problem),
        (3, {"conversation_id": 2, "notify_customer": True}),
    ]


@in_a_directory
@pytest.mark.parametrize("name", ["jobs.jsonl", "jobs.csv"])
def test_a_file_is_read_line_by_line(name: str) -> None:
    line = '{"conversation_id": 1}\n' if name.endswith("l") else "1\n"
    lines = read_jobs(Path(write(name, "conversation_id\n" * name.endswith("csv") + line * 100_000)))
    assert next(lines).conversation_id == 1
    assert inspect.isgenerator(lines)
    lines.close()
