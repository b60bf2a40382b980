"""The command as a shell, a pipe, cron and a service manager use it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import typer
from anyio.from_thread import BlockingPortal, start_blocking_portal
from typer.testing import CliRunner, Result

from teamwork_desk import cli
from teamwork_desk.cli import _app
from teamwork_desk.cli._interrupts import sigterm_as_ctrl_c
from teamwork_desk.cli._shell import Url
from teamwork_desk.testing import FakeDesk, RecordedRequest

MANY = ["convert-many", "jobs.jsonl", "--ledger", "run.sqlite"]
STDIN = ["convert-many", "-", "--ledger", "run.sqlite"]
SIGNALS = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
Command = Callable[..., Result]


@pytest.fixture(autouse=True)
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C interrupt the processes of these tests: a shell ignores it for background jobs."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def portal() -> Iterator[BlockingPortal]:
    with start_blocking_portal("asyncio") as portal:
        yield portal


@pytest.fixture
def fake(portal: BlockingPortal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeDesk]:
    """A fake Desk behind a socket. The environment has its URL and its token, and the directory is empty."""
    monkeypatch.chdir(tmp_path)
    fake = FakeDesk(rate_limit=10_000)
    with portal.wrap_async_context_manager(fake.serve()) as url:
        monkeypatch.setenv("TEAMWORK_DESK_URL", url)
        monkeypatch.setenv("TEAMWORK_DESK_TOKEN", "any")
        yield fake


@pytest.fixture
def command(fake: FakeDesk, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("FORCE_COLOR", raising=False)

    def run(*arguments: str, input: str | None = None) -> Result:
        result = CliRunner().invoke(_app.app, arguments, input=input)
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result

    return run


@contextmanager
def running(*arguments: str) -> Generator[subprocess.Popen[str]]:
    """Run a command in a process of its own."""
    command = [sys.executable, "-m", "teamwork_desk.cli", *arguments]
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(command, text=True, **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


def in_a_process(*arguments: str, input: str) -> tuple[int, str, str]:
    with running(*arguments) as process:
        out, errors = process.communicate(input)
    return process.returncode, out, errors


def jobs_for(*conversations: int) -> None:
    Path("jobs.jsonl").write_text("".join(f'{{"conversation_id": {each}}}\n' for each in conversations))


def converted(fake: FakeDesk) -> list[int]:
    return sorted(ticket.conversation_id for ticket in fake.tickets)


def test_a_jobs_file_that_does_not_exist_is_refused(command: Command) -> None:
    result = command("convert-many", "nothing.jsonl", "--ledger", "run.sqlite")
    assert result.exit_code == 2
    assert "file 'nothing.jsonl' does not exist" in result.stderr
    assert not Path("run.sqlite").exists()


def test_messages_name_the_options_of_the_command(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "it has no ticket, convert it with --no-verify-first\n" in command("convert", "404").stderr
    jobs_for(404)
    assert "it has no ticket, convert it with --no-verify-first\n" in command(*MANY).stderr
    monkeypatch.delenv("TEAMWORK_DESK_URL")
    assert command("convert", "1").stderr == "ConfigurationError: url: pass --url, or set TEAMWORK_DESK_URL\n"


# --limit


def test_a_limit_bounds_the_jobs_that_a_run_tries_and_the_next_run_goes_on(command: Command, fake: FakeDesk) -> None:
    jobs_for(1, 2, 3, 4, 5)
    result = command(*MANY, "--limit", "2")
    assert (result.exit_code, converted(fake)) == (0, [1, 2])
    assert re.search(r"not started +│ +3 │ nothing was sent for them", result.stderr)
    assert "\n--limit 2: 3 jobs were not tried. To go on, run the same command again: " in result.stderr
    assert command(*MANY, "--limit", "2").exit_code == 0
    assert converted(fake) == [1, 2, 3, 4]
    result = command(*MANY, "--limit", "2")
    assert converted(fake) == [1, 2, 3, 4, 5]
    assert "not started" not in result.stderr
    assert "--limit" not in result.stderr


def test_with_a_limit_the_jobs_that_failed_before_come_last(command: Command, fake: FakeDesk) -> None:
    jobs_for(404, 1, 2)
    for states in (["failed"], ["done"], ["skipped", "done"], ["skipped", "skipped", "failed"]):
        result = command(*MANY, "--limit", "1", "--json")
        assert [json.loads(line)["state"] for line in result.stdout.splitlines()] == states
    assert converted(fake) == [1, 2]


def test_a_dry_run_shows_what_a_run_with_a_limit_would_convert(command: Command, fake: FakeDesk) -> None:
    jobs_for(1, 2, 3)
    result = command(*MANY, "--limit", "2", "--dry-run")
    assert result.stdout.count(": would be converted") == 2
    assert re.search(r"not started +│ +1 ", result.stdout)


# --quiet


def test_a_quiet_run_prints_nothing_if_all_is_well(command: Command, fake: FakeDesk) -> None:
    Path("jobs.csv").write_text("conversation_id;subject\n1;Hi\n2;Hi\n")
    many = ["convert-many", "jobs.csv", "--ledger", "run.sqlite", "--quiet"]
    for options in (["--dry-run"], ["--limit", "1"], [], []):
        result = command(*many, *options)
        assert (result.exit_code, result.output) == (0, "")
    assert converted(fake) == [1, 2]


def test_a_quiet_run_prints_what_failed_and_a_summary(command: Command, fake: FakeDesk) -> None:
    jobs_for(1, 404)
    result = command(*MANY, "--quiet")
    assert result.exit_code == 1
    assert "conversation 1" not in result.stderr
    assert "jobs.jsonl:2: conversation 404: failed: NotFoundError: " in result.stderr
    assert re.search(r"created +│ +1 ", result.stderr)


def test_a_quiet_run_names_what_needs_a_look(command: Command, fake: FakeDesk) -> None:
    Path("jobs.jsonl").write_text('{"conversation_id": 1}')
    result = command(*MANY, "--quiet")
    assert result.exit_code == 0
    assert result.output.startswith("jobs.jsonl: the last line has no line end; if the file is cut")
    assert len(result.output.splitlines()) == 1
    fake.lose_answer("after", method="POST")
    fake.fail(status=403, method="GET")
    jobs_for(2)
    result = command(*MANY, "--quiet", "--no-verify-first")
    assert result.exit_code == 3
    assert "run.sqlite: open or unknown, may have been converted: 2\n" in result.stderr


# Jobs from standard input


@pytest.mark.parametrize(
    ("name", "jobs"),
    [
        ("-", 'conversation_id;attach\n1;a.txt\n2;""\n'),
        ("/dev/stdin", '\n[{"conversation_id": 1, "attach": ["a.txt"]},\n{"conversation_id": 2}]\n'),
        ("-", '{"conversation_id": 1, "attach": ["a.txt"]}\n{"conversation_id": 2}\n'),
    ],
    ids=["csv", "json", "jsonl"],
)
def test_jobs_come_from_standard_input(fake: FakeDesk, name: str, jobs: str) -> None:
    Path("a.txt").write_text("content")
    status, _, errors = in_a_process("convert-many", name, "--ledger", "run.sqlite", input=jobs)
    assert (status, converted(fake)) == (0, [1, 2])
    assert len(fake.files) == 1
    assert re.search(r"^stdin:[23]: conversation 2: converted", errors, re.MULTILINE)


def test_a_pipe_without_the_end_of_a_name_is_read_by_its_content(fake: FakeDesk) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"conversation_id\n1\n")
    os.close(writer)
    many = [sys.executable, "-m", "teamwork_desk.cli", "convert-many", f"/dev/fd/{reader}", "--ledger", "run.sqlite"]
    process = subprocess.run(many, pass_fds=[reader], check=False, capture_output=True, text=True)
    os.close(reader)
    assert (process.returncode, converted(fake)) == (0, [1])
    assert f"/dev/fd/{reader}:2: conversation 1: converted" in process.stderr


@pytest.mark.parametrize(
    ("jobs", "message"),
    [
        ("", "stdin:1: the file is empty\n"),
        ("7;Hi\n", "this line seems to be a job, so that the header is missing. A file begins with a header such as"),
        ("hello\n", "The jobs are read as CSV, because they begin neither with { nor with [\n"),
        ('[{"conversation_id": 1}', "stdin:1: invalid JSON: the array has no ] at its end"),
        ('conversation_id,message\n1,"never closed\n', "stdin:2: this row has a quote that is never closed"),
    ],
)
def test_standard_input_that_has_no_jobs_is_rejected(command: Command, fake: FakeDesk, jobs: str, message: str) -> None:
    result = command(*STDIN, input=jobs)
    assert (result.exit_code, fake.requests) == (2, [])
    assert message in result.stderr


def test_closed_standard_input_has_a_message(
    command: Command, fake: FakeDesk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    monkeypatch.setattr(sys, "argv", ["teamwork-desk", *STDIN])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert (stopped.value.code, capsys.readouterr().err) == (2, "stdin: it is closed, so there are no jobs\n")


def test_the_token_is_not_read_from_the_jobs(command: Command, fake: FakeDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEAMWORK_DESK_TOKEN")
    result = command(*STDIN, input='{"conversation_id": 1}\n')
    message = "Set TEAMWORK_DESK_TOKEN: standard input has the jobs, so the command cannot ask for the token.\n"
    assert (result.exit_code, result.output, fake.requests) == (2, message, [])
    assert command(*STDIN, "--dry-run", input='{"conversation_id": 1}\n').exit_code == 0


def test_going_on_needs_the_same_jobs_on_standard_input(command: Command, fake: FakeDesk) -> None:
    result = command(*STDIN, "--limit", "1", input='{"conversation_id": 1}\n{"conversation_id": 2}\n')
    assert "To go on, run the same command again with the same jobs on standard input: " in result.stderr


# --url and --json


def test_the_url_may_stand_before_the_command(
    command: Command, fake: FakeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = os.environ["TEAMWORK_DESK_URL"]
    monkeypatch.setenv("TEAMWORK_DESK_URL", "http://127.0.0.1:1")
    jobs_for(43)
    for arguments in (["convert", "42"], MANY, ["get", "42"], ["list"], ["probe"]):
        assert command("--url", url, *arguments).exit_code == 0
    assert command("--url", "http://127.0.0.1:2", "get", "42", "--url", url).exit_code == 0
    assert converted(fake) == [42, 43]


def test_the_url_before_the_command_reaches_nested_commands_that_take_one() -> None:
    def settle(url: Url = None) -> None:
        typer.echo(f"settle {url}")

    def forget() -> None:
        typer.echo("forget")

    group = typer.Typer()
    group.command()(settle)
    group.command()(forget)
    app = typer.Typer()
    app.callback()(_app.common)
    app.add_typer(group, name="ledger")
    for arguments, output in (
        (["--url", "a", "ledger", "settle"], "settle a\n"),
        (["--url", "a", "ledger", "settle", "--url", "b"], "settle b\n"),
        (["ledger", "settle"], "settle None\n"),
        (["--url", "a", "ledger", "forget"], "forget\n"),
    ):
        assert CliRunner().invoke(app, arguments).output == output


@pytest.mark.parametrize("arguments", [["get", "42"], ["list"], ["convert", "42"], [*MANY, "--results", "-"]])
def test_json_is_accepted_where_json_is_printed(command: Command, fake: FakeDesk, arguments: list[str]) -> None:
    jobs_for(42)
    result = command(*arguments, "--json")
    assert result.exit_code == 0
    assert all(json.loads(line) for line in result.stdout.splitlines())


def test_the_json_of_convert_many_is_its_results(command: Command, fake: FakeDesk) -> None:
    jobs_for(1)
    result = command(*MANY, "--json")
    (line,) = result.stdout.splitlines()
    page = f"{os.environ['TEAMWORK_DESK_URL']}/desk/tickets/{fake.tickets[0].id}"
    assert (json.loads(line)["state"], json.loads(line)["ticket_url"]) == ("done", page)
    result = command(*MANY, "--json", "--results", "results.jsonl")
    assert (result.exit_code, Path("results.jsonl").exists()) == (2, False)


# Interrupts


class RequestsWithAnAction(list[RecordedRequest]):
    """The requests to a fake Desk. The first that has a method and a part of a path calls a function."""

    def __init__(self, method: str, path: str, action: Callable[[], object]) -> None:
        super().__init__()
        self.method, self.path, self.action = method, path, action

    def append(self, request: RecordedRequest) -> None:
        super().append(request)
        if request.method == self.method and self.path in request.path:
            action, self.action = self.action, lambda: None
            action()


def interrupted(fake: FakeDesk, number: signal.Signals, method: str, path: str, *arguments: str) -> str:
    """Interrupt a command when Desk has a request that gets no response; return its messages."""
    fake.inject("timeout after the work", method=method, path=path)
    with running(*arguments) as process:
        fake.requests = RequestsWithAnAction(method, path, lambda: process.send_signal(number))
        out, errors = process.communicate()
    assert (process.returncode, out) == (130, "")
    return errors


@SIGNALS
def test_an_interrupted_conversion_that_was_sent_may_have_been_converted(
    fake: FakeDesk, number: signal.Signals
) -> None:
    errors = interrupted(fake, number, "POST", "/convert.json", "convert", "42")
    assert errors.endswith(
        "\ninterrupted: conversation 42 may have been converted. To find out, wait half a minute, and run: "
        "teamwork-desk get 42, or run the same command again, which looks first\n"
    )
    assert converted(fake) == [42]


def test_the_way_to_find_out_has_the_url_and_does_not_promise_a_look(fake: FakeDesk) -> None:
    url = os.environ.pop("TEAMWORK_DESK_URL")
    arguments = ["--url", url, "convert", "42", "--no-verify-first"]
    errors = interrupted(fake, signal.SIGINT, "POST", "/convert.json", *arguments)
    assert errors.endswith(f", and run: teamwork-desk get 42 --url {url}\n")


@SIGNALS
def test_an_interrupt_before_the_conversion_leaves_says_that_nothing_was_sent(
    fake: FakeDesk, number: signal.Signals
) -> None:
    errors = interrupted(fake, number, "GET", "/conversations", "convert", "42")
    assert errors.endswith("interrupted: nothing was sent\n")
    assert converted(fake) == []


def test_an_interrupt_after_an_upload_names_the_files_and_says_what_was_not_sent(fake: FakeDesk) -> None:
    for name in ("a.txt", "b.txt"):
        Path(name).write_text(name)
    arguments = ["convert", "42", "--attach", "a.txt", "--attach", "b.txt"]
    errors = interrupted(fake, signal.SIGINT, "PATCH", "/files/502.json", *arguments)
    assert errors.endswith(
        "uploaded: use --file 501 instead of --attach to attach the same files again\n"
        "interrupted: the conversion was not sent\n"
    )


@SIGNALS
def test_an_interrupt_while_names_are_listed_says_that_nothing_was_sent(fake: FakeDesk, number: signal.Signals) -> None:
    Path("jobs.jsonl").write_text('{"conversation_id": 1, "inbox": "Support"}\n')
    assert interrupted(fake, number, "GET", "inboxes", *MANY) == "interrupted: nothing was sent\n"
    assert not Path("run.sqlite").exists()


@SIGNALS
def test_an_interrupt_while_jobs_are_read_says_that_nothing_was_sent(fake: FakeDesk, number: signal.Signals) -> None:
    os.mkfifo("jobs.jsonl")
    with running(*MANY) as process:
        with Path("jobs.jsonl").open("w"):  # It can be opened when the command has opened it for reading.
            process.send_signal(number)
            process.wait()
        _, errors = process.communicate()
    assert (process.returncode, errors) == (130, "interrupted: nothing was sent\n")


def test_an_interrupt_while_the_command_is_loaded_has_a_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Interrupting:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "teamwork_desk.cli._app":
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "teamwork_desk.cli._app")
    monkeypatch.delattr(cli, "_app")
    monkeypatch.setattr(sys, "meta_path", [Interrupting(), *sys.meta_path])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert (stopped.value.code, capsys.readouterr().err) == (130, "interrupted: nothing was sent\n")


def test_sigterm_interrupts_even_if_ctrl_c_is_ignored() -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with pytest.raises(KeyboardInterrupt), sigterm_as_ctrl_c():
            signal.raise_signal(signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, before)


def test_the_message_of_a_quiet_run_about_an_interrupt_is_printed(fake: FakeDesk) -> None:
    jobs_for(1, 2)
    fake.lose_answer("after", method="POST", path="/1/")
    with running(*MANY, "--quiet", "--concurrency", "1") as process:
        fake.requests = RequestsWithAnAction("POST", "/1/", lambda: process.send_signal(signal.SIGTERM))
        out, errors = process.communicate()
    assert (process.returncode, out, converted(fake)) == (130, "", [1])
    assert "interrupted: 1 conversion that was sent comes to its end" in errors
    assert "To go on, run the same command again: teamwork-desk convert-many jobs.jsonl" in errors
