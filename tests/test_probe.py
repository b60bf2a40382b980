"""The probe reports every difference between Desk and the contract, by path and type, and never a value."""

from __future__ import annotations

import json
import re
import runpy
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal

from teamwork_desk import AsyncDesk, ResponseDecodeError
from teamwork_desk.probe import Drift, probe
from teamwork_desk.testing import FakeDesk
from teamwork_desk.testing._limiter import LimiterName


def desk_with(*changes: dict[str, Any]) -> FakeDesk:
    """Return a fake Desk whose conversations follow the contract, except for the changes."""
    fake = FakeDesk(token="right", conversations=())
    for change in changes:
        fake.add_conversation(**change)
    return fake


async def drift_of(fake: FakeDesk) -> tuple[int, Drift]:
    """Probe a fake Desk in memory."""
    async with AsyncDesk("https://acme.teamwork.com", token="right", transport=fake.transport) as desk:
        return await probe(desk)


@pytest.mark.parametrize(
    ("change", "drift"),
    [
        ({}, []),
        (
            {"contact": None, "ticket_id": 7, "filter_args": {"Aggregate": None}},
            [".filter_args.Aggregate nothing null"],
        ),
        ({"ticket_id": "7"}, [".ticket_id integer string"]),
        ({"createdAt": "yesterday"}, [".createdAt date-time string"]),
        ({"state": "a new one"}, []),
        ({"deletedAt": "0001-01-01T00:00:00Z"}, []),
        ({"hush": "hush"}, [".hush nothing string"]),
        (
            {"contact": {"id": 1, "isMain": 0, "hush": {"hush": 1}}},
            [".contact.hush nothing object", ".contact.isMain boolean integer"],
        ),
        (
            {"users": [{"id": 1, "hush": [1]}, {"id": 2.5}]},
            [".users[].hush nothing array", ".users[].id integer number"],
        ),
        ({"messages": [None, 3]}, [".messages[] a value null", ".messages[] object integer"]),
        ({"createdBy": {"meta": {"any": "thing"}, "type": 0}}, []),
        (
            {"filter_args": {"aggregate": {"Distinct": 1, "distinct": True}, "orderBy": 3}},
            [
                ".filter_args.aggregate.Distinct boolean integer",
                ".filter_args.aggregate.distinct nothing boolean",
                ".filter_args.orderBy string integer",
            ],
        ),
    ],
)
async def test_drift_is_reported_by_path_and_type(change: dict[str, Any], drift: list[str]) -> None:
    compared, found = await drift_of(desk_with(change))
    assert compared == 1
    assert sorted(" ".join(difference) for difference in found) == [f"conversations[]{line}" for line in drift]


async def test_drift_is_counted() -> None:
    fake = desk_with({"ticket_id": "7"}, {}, {"ticket_id": "8"}, {"ticket_id": True}, {"users": [{"a": 1}, {"a": 2}]})
    assert await drift_of(fake) == (
        5,
        {
            ("conversations[].ticket_id", "integer", "string"): 2,
            ("conversations[].ticket_id", "integer", "boolean"): 1,
            ("conversations[].users[].a", "nothing", "integer"): 2,
        },
    )


async def test_drift_around_the_conversations_is_reported_too() -> None:
    fake = FakeDesk()
    fake.fail(status=200, body={"conversations": None, "pagination": {"pages": "1", "hush": None}, "extra": []})
    assert await drift_of(fake) == (
        0,
        {
            ("extra", "nothing", "array"): 1,
            ("pagination.hush", "nothing", "null"): 1,
            ("pagination.pages", "integer", "string"): 1,
        },
    )


async def test_the_probe_reads_one_page_and_changes_nothing() -> None:
    fake = FakeDesk(conversations=range(1, 201))
    compared, _ = await drift_of(fake)
    assert compared == 100
    assert [request.method for request in fake.requests] == ["GET"]
    assert not fake.tickets


async def test_a_response_that_is_not_an_object_cannot_be_compared() -> None:
    fake = FakeDesk()
    fake.fail(status=200, body="[]")
    with pytest.raises(ResponseDecodeError):
        await drift_of(fake)


# The command line

Command = Callable[..., int]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Iterator[Command]:
    """Run the command against a fake Desk behind a socket, and return its exit status."""
    with start_blocking_portal("asyncio") as portal:

        def run(fake: FakeDesk, *arguments: str, token: str = "right") -> int:
            monkeypatch.setattr(sys, "argv", ["probe", *arguments])
            monkeypatch.delitem(sys.modules, "teamwork_desk.probe", raising=False)
            # pytest imports the package of a plugin with an import hook of its own, which runpy cannot use.
            finders = [finder for finder in sys.meta_path if not hasattr(finder, "mark_rewrite")]
            monkeypatch.setattr(sys, "meta_path", finders)
            with portal.wrap_async_context_manager(fake.serve()) as url:
                monkeypatch.setenv("TEAMWORK_DESK_URL", url)
                monkeypatch.setenv("TEAMWORK_DESK_TOKEN", token)
                with pytest.raises(SystemExit) as stopped:
                    runpy.run_module("teamwork_desk.probe", run_name="__main__")
            assert isinstance(stopped.value.code, int)
            return stopped.value.code

        yield run


def test_the_exit_status_is_0_without_drift(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(desk_with({}, {})) == 0
    assert capsys.readouterr() == ("conversations compared: 2; kinds of drift: 0\n", "")


def test_the_command_finds_nothing_in_a_fake_desk(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(FakeDesk()) == 0
    assert capsys.readouterr() == ("conversations compared: 100; kinds of drift: 0\n", "")


def test_drift_is_printed_as_a_table(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    fake = desk_with({"ticket_id": "hush", "new\x1b[2Jé": "hush"}, {"ticket_id": "hush", "state": "hush"})
    assert command(fake) == 1
    assert capsys.readouterr() == (
        "path                         expected  got     count\n"
        "conversations[].new\\x1b[2Jé  nothing   string  1\n"
        "conversations[].ticket_id    integer   string  2\n"
        "conversations compared: 2; kinds of drift: 2\n",
        "",
    )


def test_drift_is_printed_as_json_on_request(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(desk_with({"ticket_id": "hush"}), "--json") == 1
    output = capsys.readouterr()
    assert json.loads(output.out) == {
        "conversations": 1,
        "drift": [{"path": "conversations[].ticket_id", "expected": "integer", "got": "string", "count": 1}],
    }
    assert output.err == ""


def test_a_response_cannot_control_the_terminal(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    fake = desk_with()
    fake.fail(status=400, body={"errors": {"x\x1b[2J": ["must be set"]}})
    assert command(fake) == 2
    assert "x\\x1b[2J must be set" in capsys.readouterr().err


def test_the_help_shows_an_example(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(desk_with(), "--help") == 0
    assert "Example: python -m teamwork_desk.probe" in capsys.readouterr().out


def test_a_failure_is_printed_in_one_line(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(desk_with(), token="hush") == 2
    output = capsys.readouterr()
    assert output.out == ""
    message, _, request_id = output.err.rpartition(", request id ")
    assert message == (
        "AuthenticationError: GET /desk/api/v2/conversations.json was answered with 401: Desk rejected the token; "
        "expected a personal API key or an OAuth access token of this installation: failed to validate token"
    )
    assert re.fullmatch(r"[0-9a-f]{32}\n", request_id)


def test_a_failure_is_printed_with_the_id_of_the_response(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    fake = desk_with()
    fake.fail(status=403, headers={"X-Request-Id": "4c87"})
    assert command(fake) == 2
    assert capsys.readouterr().err.endswith("the token's user may not do this, request id 4c87\n")


@pytest.mark.parametrize("status", [404, 200])
def test_the_page_of_another_web_server_is_a_failure_and_not_a_difference(
    command: Command, capsys: pytest.CaptureFixture[str], status: int
) -> None:
    fake = desk_with()
    fake.fail(status=status, body="<html><h1>Whatever</h1></html>", headers={"Content-Type": "text/html"})
    assert command(fake) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert "this URL does not look like a Teamwork Desk" in output.err


@pytest.mark.parametrize("limiter", ["sliding log", "window", "seconds left", "silent"])
def test_the_probe_works_with_every_rate_limit(
    command: Command, capsys: pytest.CaptureFixture[str], limiter: LimiterName
) -> None:
    command(FakeDesk(conversations=[1], limiter=limiter))
    output = capsys.readouterr()
    assert "conversations compared: 1" in output.out
    assert output.err == ""
