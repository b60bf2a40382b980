"""`teamwork-desk ids`, and the names in jobs files and options of `convert`."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from rich.console import Console
from typer.testing import CliRunner, Result

from teamwork_desk import EntityRef, Inbox, Tag, TicketStatus, TicketType, User
from teamwork_desk._arguments import NAMED
from teamwork_desk._values import kind_of
from teamwork_desk.backlog import ConvertedFields
from teamwork_desk.cli import _app, _ids
from teamwork_desk.cli._jobs import read_jobs
from teamwork_desk.cli._names import kinds_named, lines_with_ids
from teamwork_desk.testing import FakeDesk

Command = Callable[..., Result]


@pytest.fixture(scope="module")
def portal() -> Iterator[BlockingPortal]:
    with start_blocking_portal("asyncio") as portal:
        yield portal


@pytest.fixture
def fake(portal: BlockingPortal, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDesk]:
    """A fake Desk behind a socket. The environment has its URL and a token."""
    fake = FakeDesk(rate_limit=10_000)
    with portal.wrap_async_context_manager(fake.serve()) as url:
        monkeypatch.setenv("TEAMWORK_DESK_URL", url)
        monkeypatch.setenv("TEAMWORK_DESK_TOKEN", "any")
        yield fake


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run a command in an empty directory. It must not show a traceback."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FORCE_COLOR", raising=False)

    def run(*arguments: str) -> Result:
        result = CliRunner().invoke(_app.app, arguments)
        assert result.exception is None or isinstance(result.exception, SystemExit)
        assert "Traceback" not in result.output
        return result

    return run


def cells(result: Result) -> list[list[str]]:
    """Return the cells of a table."""
    lines = [line for line in result.stdout.splitlines() if line.startswith(("│", "┃"))]
    return [[cell.strip() for cell in re.split("[│┃]", line)[1:-1]] for line in lines]


def jobs_file(*jobs: dict[str, Any]) -> str:
    Path("jobs.jsonl").write_text("".join(json.dumps(job) + "\n" for job in jobs), "utf-8")
    return "jobs.jsonl"


def convert_many(command: Command, *jobs: dict[str, Any], options: tuple[str, ...] = ()) -> Result:
    return command("convert-many", jobs_file(*jobs), "--ledger", "run.sqlite", "--settle", "0", *options)


def listings(fake: FakeDesk) -> Counter[str]:
    """Return how often each listing except that of the conversations was requested."""
    names = [request.path.rpartition("/")[2].removesuffix(".json") for request in fake.requests]
    return Counter(name for name in names if name not in ("conversations", "convert"))


# The command ids


def test_ids_prints_a_table(command: Command, fake: FakeDesk) -> None:
    fake.inboxes.append(Inbox(id=9, name="[red]\x1b[2J", state="deleted"))
    result = command("ids", "inboxes")
    assert result.exit_code == 0
    assert cells(result) == [
        ["id", "name", "email", "state"],
        ["7", "Support", "support@acme.com", "active"],
        ["8", "Billing", "billing@acme.com", "active"],
        ["9", "[red]\\x1b[2J", "", "deleted"],
    ]
    assert "\x1b" not in result.stdout
    assert result.stderr == ""


def test_ids_prints_the_object_with_a_name(command: Command, fake: FakeDesk) -> None:
    assert cells(command("ids", "users", "ann@acme.com"))[1:] == [
        ["2", "Ann", "Lee", "ann@acme.com", "agent", "active"]
    ]


@pytest.mark.parametrize(
    "kind", ["inboxes", "statuses", "priorities", "types", "sources", "tags", "users", "customers", "custom-fields"]
)
def test_ids_prints_jsonl(command: Command, fake: FakeDesk, kind: str) -> None:
    objects: list[Any] = getattr(fake, kind.replace("-", "_"))
    result = command("ids", kind, "--json")
    assert [json.loads(line) for line in result.stdout.splitlines()] == [each.to_dict() for each in objects]


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        ("inbox", "inboxes"),
        ("Inboxes", "inboxes"),
        ("status", "statuses"),
        ("priority", "priorities"),
        ("custom_fields", "custom_fields"),
        ("custom field", "custom_fields"),
        ("custom-field", "custom_fields"),
    ],
)
def test_ids_accepts_the_singular_and_the_underscore(command: Command, fake: FakeDesk, written: str, kind: str) -> None:
    objects: list[Any] = getattr(fake, kind)
    result = command("ids", written, "--json")
    assert [json.loads(line)["id"] for line in result.stdout.splitlines()] == [each.id for each in objects]


@pytest.mark.parametrize(
    ("written", "meant"),
    [("agents", "users"), ("agent", "users"), ("inboxs", "inboxes"), ("costumers", "customers"), ("x", None)],
)
def test_ids_suggests_a_kind_that_is_similar(
    command: Command, fake: FakeDesk, monkeypatch: pytest.MonkeyPatch, written: str, meant: str | None
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    result = command("ids", written)
    assert (result.exit_code, fake.requests) == (2, [])
    assert "expected one of inboxes, statuses, " in result.stderr
    assert (f"; did you mean {meant}?" in result.stderr) == (meant is not None)
    assert ("did you mean" in result.stderr) == (meant is not None)


def test_ids_leaves_out_what_the_contract_does_not_describe(command: Command, fake: FakeDesk) -> None:
    fake.inboxes = [Inbox(id=9, name="Sales", additional_properties={"smtpPassword": "hush-hush"})]
    for options in ((), ("--json",)):
        result = command("ids", "inboxes", "sales", *options)
        assert "9" in result.stdout
        assert "hush" not in result.output


def test_a_cell_shows_references_and_booleans(command: Command, fake: FakeDesk) -> None:
    fake.types = [
        TicketType(id=1, name="Question", inboxes=[EntityRef(id=7), EntityRef(id=8)]),
        TicketType(id=2, name="Problem"),
    ]
    assert cells(command("ids", "types")) == [
        ["id", "name", "inboxes"],
        ["1", "Question", "7, 8"],
        ["2", "Problem", ""],
    ]
    fake.statuses[0] = TicketStatus(id=1, name="Active", is_custom=True)
    assert [row[3] for row in cells(command("ids", "statuses"))] == ["is_custom", "yes", "no", "no", "no", "no"]


def test_a_table_in_a_file_is_not_cut(command: Command, fake: FakeDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    fake.tags = [Tag(id=1, name="x" * 300)]
    assert cells(command("ids", "tags"))[1] == ["1", "x" * 300]


def test_a_table_on_a_terminal_has_its_width(command: Command, fake: FakeDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    def terminal(_: str) -> Console:
        return Console(force_terminal=True, color_system=None, width=40)

    monkeypatch.setattr(_ids, "console_on", terminal)
    fake.tags = [Tag(id=1, name="x" * 100)]
    lines = command("ids", "tags").stdout.splitlines()
    assert max(map(len, lines)) <= 40
    assert "".join(lines).count("x") == 100


def test_ids_says_that_there_are_no_objects(command: Command, fake: FakeDesk) -> None:
    fake.custom_fields.clear()
    result = command("ids", "custom-fields")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "there are no custom fields\n")


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (
            ("inboxes", "Sales"),
            1,
            "NotFoundError: name: no inbox has this name or email address; there are ",
        ),
        (("inboxes", " "), 2, "RequestError: name: expected a str that is not empty"),
        (("agents",), 2, "Invalid value for"),
        ((), 2, "Missing argument"),
    ],
)
def test_the_exit_status_of_ids(
    command: Command, fake: FakeDesk, arguments: tuple[str, ...], status: int, message: str
) -> None:
    result = command("ids", *arguments)
    assert (result.exit_code, result.stdout) == (status, "")
    assert message in result.stderr


# Names in the arguments of convert


def test_every_reference_with_a_listing_may_be_named() -> None:
    hints = get_type_hints(ConvertedFields)
    references = {name for name, hint in hints.items() if EntityRef in kind_of(hint).types}
    assert references - NAMED.keys() == {"files", "parent", "tickettemplate"}


def test_jobs_name_objects(command: Command, fake: FakeDesk) -> None:
    fake.tags.append(Tag(id=50, name="billing"))
    names = {
        "inbox": "support",
        "status": "solved",
        "priority": "High",
        "type": "Question",
        "source": "Chat",
        "agent": "ann@acme.com",
        "tags": ["Billing", "a new word", 7, {"id": 8}],
    }
    result = convert_many(
        command,
        {"conversation_id": 1, **names},
        {"conversation_id": 2, "inbox": "Billing", "agent": "Ann Lee", "status": 4},
        {"conversation_id": 3, **names},
    )
    assert result.exit_code == 0, result.output
    bodies = {ticket.conversation_id: ticket.body for ticket in fake.tickets}
    assert bodies[1] == bodies[3]
    assert bodies[1] == {
        "inbox": {"id": 7},
        "status": {"id": 3},
        "priority": {"id": 13},
        "type": {"id": 21},
        "source": {"id": 32},
        "agent": {"id": 2},
        "tags": [{"id": 50}, "a new word", {"id": 7}, {"id": 8}],
    }
    assert bodies[2] == {"inbox": {"id": 8}, "agent": {"id": 2}, "status": {"id": 4}}
    # Each kind is listed once, before anything is sent.
    assert set(listings(fake).values()) == {1}
    assert len(listings(fake)) == 7
    assert [request.path for request in fake.requests[:7]] == sorted(
        (request.path for request in fake.requests[:7]), key=lambda path: path.replace("ticket", "")
    )


def test_jobs_without_names_list_nothing(command: Command, fake: FakeDesk) -> None:
    assert convert_many(command, {"conversation_id": 1, "inbox": 7, "agent": {"id": 2}, "tags": [7]}).exit_code == 0
    assert listings(fake) == Counter()


def test_a_wrong_name_fails_its_line_only(command: Command, fake: FakeDesk) -> None:
    fake.tags = [Tag(id=1, name="vip"), Tag(id=2, name="VIP")]
    fake.users.append(User(id=3, first_name="Ann", last_name="Lee"))
    result = convert_many(
        command,
        {"conversation_id": 1, "inbox": "Sales"},
        {"conversation_id": 2, "inbox": ""},
        {"conversation_id": 3, "tags": ["Vip"]},
        {"conversation_id": 4, "agent": "Ann Lee"},
        {"conversation_id": 5, "inbox": "Support", "tags": ["vip"]},
        {"conversation_id": 6, "parent": "Support"},
        {"conversation_id": 7, "tags": "vip"},
        {"inbox": "Support"},
    )
    assert result.exit_code == 1
    problems = dict(re.findall(r"conversation (\d): failed: RequestError: (.*)", result.stderr))
    several = "several users have this name or email address"
    assert problems == {
        "1": "inbox: no inbox has this name or email address; there are Support (7), Billing (8)",
        "2": "inbox: expected a str that is not empty",
        "3": "tags: several tags have this name: vip (1), VIP (2); use an id",
        "4": f"agent: {several}: 2, 3; use an id",
        "6": "parent: expected an EntityRef or an int, got str",
        "7": 'tags: expected a list, such as ["vip"]',
    }
    assert "jobs.jsonl:8: job: failed: RequestError: conversation_id is missing" in result.stderr
    assert [(ticket.conversation_id, ticket.body) for ticket in fake.tickets] == [
        (5, {"inbox": {"id": 7}, "tags": [{"id": 1}]})
    ]


def test_a_listing_that_fails_ends_the_run_before_anything_is_sent(command: Command, fake: FakeDesk) -> None:
    fake.inject("forbidden", method="GET")
    result = convert_many(command, {"conversation_id": 1, "inbox": "Support"})
    assert (result.exit_code, fake.tickets, Path("run.sqlite").exists()) == (1, [], False)
    assert result.stderr.startswith("PermissionDeniedError: ")


def test_tags_stay_words_if_their_listing_is_forbidden(command: Command, fake: FakeDesk) -> None:
    fake.inject("forbidden", method="GET")
    assert convert_many(command, {"conversation_id": 1, "tags": ["vip"]}).exit_code == 0
    assert fake.tickets[0].body == {"tags": ["vip"]}


def test_a_run_with_names_is_continued_with_its_ledger(command: Command, fake: FakeDesk) -> None:
    jobs = [{"conversation_id": number, "inbox": "Support"} for number in (1, 2)]
    assert convert_many(command, jobs[0]).exit_code == 0
    result = convert_many(command, *jobs)
    assert (result.exit_code, len(fake.tickets)) == (0, 2)
    assert "conversation 1: converted by an earlier run" in result.stderr


def test_a_csv_file_names_objects(command: Command, fake: FakeDesk) -> None:
    Path("jobs.csv").write_text("conversation_id,inbox,status,tags\n1,Support,3,vip;new\n2,8,,\n", "utf-8")
    assert command("convert-many", "jobs.csv", "--ledger", "run.sqlite").exit_code == 0
    assert {ticket.conversation_id: ticket.body for ticket in fake.tickets} == {
        1: {"inbox": {"id": 7}, "status": {"id": 3}, "tags": [{"id": 42}, "new"]},
        2: {"inbox": {"id": 8}},
    }


def test_a_dry_run_prints_that_it_looks_up_no_names(command: Command, fake: FakeDesk) -> None:
    result = convert_many(
        command,
        {"conversation_id": 1, "inbox": "Support", "status": "x", "tags": ["vip"]},
        {"conversation_id": 2, "inbox": " "},
        options=("--dry-run",),
    )
    assert (result.exit_code, fake.requests) == (1, [])
    assert "a dry run does not look up names of inboxes, statuses\n" in result.stdout
    assert "conversation 1: would be converted" in result.stdout
    assert "conversation 2: would be refused: RequestError: inbox: expected a str" in result.stdout
    without_names = convert_many(command, {"conversation_id": 1, "tags": ["vip"]}, options=("--dry-run",))
    assert "does not look up" not in without_names.stdout


def test_a_jobs_file_that_names_another_kind_after_the_lookup_has_an_invalid_line(command: Command) -> None:
    lines = read_jobs(Path(jobs_file({"conversation_id": 1, "inbox": "Support"})))
    (line,) = lines_with_ids(lines, {})
    assert line.problem == "inbox: no inbox has this name or email address; there are no inboxes"


@pytest.mark.parametrize(
    ("arguments", "kinds"),
    [
        ({"inbox": 7, "subject": "Support", "customer": "jo@example.com", "tags": [7], "files": []}, set[str]()),
        ({"inbox": "Support", "tags": [7, "vip"], "status": None}, {"inboxes", "tags"}),
    ],
)
def test_only_names_are_looked_up(arguments: dict[str, Any], kinds: set[str]) -> None:
    assert kinds_named(arguments) == kinds


def test_options_of_convert_name_objects(command: Command, fake: FakeDesk) -> None:
    options = ("--inbox", "Support", "--status", "4", "--agent", "ann@acme.com", "--tag", "vip", "--tag", "new")
    assert command("convert", "42", *options).exit_code == 0
    assert fake.tickets[0].body == {
        "inbox": {"id": 7},
        "status": {"id": 4},
        "agent": {"id": 2},
        "tags": [{"id": 42}, "new"],
    }
    assert listings(fake) == {"inboxes": 1, "users": 1, "tags": 1}
    result = command("convert", "43", "--inbox", "Sales")
    assert (result.exit_code, len(fake.tickets)) == (1, 1)
    assert result.stderr == (
        "NotFoundError: inbox: no inbox has this name or email address; there are Support (7), Billing (8)\n"
    )
