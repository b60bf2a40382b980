"""Parts of the command that whole commands reach only in another process, or never with the arguments of today."""

from __future__ import annotations

import atexit
import io
import json
import os
import signal
import sys
from collections.abc import Callable
from functools import partial

import pytest
from typer.testing import CliRunner

from teamwork_desk import AsyncDesk, cli
from teamwork_desk._values import Kind
from teamwork_desk.cli import _app, _options
from teamwork_desk.cli._console import console_on
from teamwork_desk.cli._convert_many import say_if_nothing_was_sent
from teamwork_desk.cli._gate import Gate
from teamwork_desk.cli._jobs import find_format
from teamwork_desk.cli._json_jobs import json_jobs
from teamwork_desk.cli._show import Display
from teamwork_desk.testing import FakeDesk
from teamwork_desk_api.models import EntityRef


async def _is_interrupted(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


@pytest.fixture
def _fake(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeDesk()
    monkeypatch.setenv("TEAMWORK_DESK_URL", "https://acme.teamwork.com")
    monkeypatch.setenv("TEAMWORK_DESK_TOKEN", "any")
    monkeypatch.setattr(_app, "AsyncDesk", partial(AsyncDesk, transport=fake.transport))


@pytest.mark.usefixtures("_fake")
@pytest.mark.parametrize(
    ("part", "arguments", "message"),
    [
        ("convert_with_files", [], "interrupted: nothing was sent\n"),
        ("convert_with_files", ["--attach", __file__], "interrupted: the conversion was not sent\n"),
        (
            "print_json",
            [],
            "interrupted: conversation 42 may have been converted. To find out, wait half a minute, and run: "
            "teamwork-desk get 42, or run the same command again, which looks first\n",
        ),
        (
            "print_json",
            ["--no-verify-first"],
            "interrupted: conversation 42 may have been converted. To find out, wait half a minute, and run: "
            "teamwork-desk get 42\n",
        ),
    ],
)
def test_an_interrupted_conversion_says_what_may_have_happened(
    part: str, arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(_app, part, interrupt if part == "print_json" else _is_interrupted)
    result = CliRunner().invoke(_app.app, ["convert", "42", *arguments])
    assert (result.exit_code, result.stdout, result.stderr) == (130, "", message)


@pytest.mark.parametrize("has_passed", [False, True])
def test_an_early_interrupt_says_that_nothing_was_sent(has_passed: bool, capsys: pytest.CaptureFixture[str]) -> None:
    gate = Gate(lambda _: None)
    gate.has_passed = has_passed
    say_if_nothing_was_sent(gate)
    assert capsys.readouterr().err == ("" if has_passed else "interrupted: nothing was sent\n")


@pytest.mark.parametrize(
    ("name", "kind", "text"),
    [
        ("editor", Kind(frozenset({str}), choices=("html", "markdown")), "The editor: html or markdown. It is new."),
        ("inbox", Kind(frozenset({EntityRef, int})), "The editor, by id or name. It is new."),
        ("editor", Kind(frozenset({EntityRef, int}), is_list=True), "The editor, by id; may be repeated. It is new."),
    ],
)
def test_the_help_of_a_new_argument_derives_from_its_type(
    name: str, kind: Kind, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_options, "_TEXTS", {})
    assert _options.help_of(name, "The editor. It is new.", kind) == text


@pytest.mark.parametrize(
    ("lines", "is_csv", "has_hint"),
    [
        ([], True, False),
        (["\n", "  \n"], True, False),
        (["\n", '{"conversation_id": 1}\n'], False, False),
        (["conversation_id,subject\n"], True, False),
        (["1,Refund\n"], True, True),
    ],
)
def test_the_format_of_a_pipe_is_found_in_its_first_line(lines: list[str], is_csv: bool, has_hint: bool) -> None:
    found, hint, rest = find_format(iter(lines))
    assert (found, bool(hint), list(rest)) == (is_csv, has_hint, lines)


def test_a_file_of_blank_lines_has_no_job() -> None:
    assert list(json_jobs(["\n", "  \n"])) == []


def test_a_variable_that_turns_colours_off_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "0")
    monkeypatch.setattr(sys, "argv", ["teamwork-desk", "--version"])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 0
    assert os.environ["FORCE_COLOR"] == "0"


def test_an_interrupt_at_exit_does_not_change_the_exit_status(monkeypatch: pytest.MonkeyPatch) -> None:
    at_exit: list[Callable[[], None]] = []
    ignored: dict[int, object] = {}
    monkeypatch.setattr(atexit, "register", at_exit.append)
    monkeypatch.setattr(signal, "signal", ignored.__setitem__)
    monkeypatch.setattr(sys, "argv", ["teamwork-desk", "--version"])
    with pytest.raises(SystemExit):
        cli.main()
    ignored.clear()
    at_exit[-1]()
    assert ignored == {signal.SIGINT: signal.SIG_IGN, signal.SIGTERM: signal.SIG_IGN}


@pytest.mark.parametrize(("columns", "width"), [(60, 60), (0, 70)])
def test_columns_count_only_if_the_terminal_has_no_size(
    columns: int, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "70")
    monkeypatch.setattr(sys, "stdout", Terminal())
    size = os.terminal_size((columns, 24))

    def get_terminal_size(_: int) -> os.terminal_size:
        return size

    monkeypatch.setattr(os, "get_terminal_size", get_terminal_size)
    assert console_on("stdout").width == width


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        return 1


async def test_a_progress_bar_has_notes_above_and_does_not_break_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("COLUMNS", raising=False)
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(sys, "stdout", terminal)
    async with AsyncDesk("https://acme.teamwork.com", token="any", transport=FakeDesk().transport) as desk:
        with Display("jobs.csv", 1, desk, "stderr") as display:
            display.note("a \x1b[31mnote")
            display.print_json({"message": "word " * 100}, None)
    shown = terminal.getvalue()
    assert "a \\x1b[31mnote\n" in shown
    assert "0/1" in shown
    assert json.dumps({"message": "word " * 100}) in shown
