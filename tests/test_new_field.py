"""A new field of `convert` costs one handwritten file: everything else derives from the contract and the signature.

A copy of the repository gets two new fields in its contract, is generated again, and gets the fields' lines in
`_conversations.py`. This file then runs as a program, with the packages of the copy, and uses the new fields.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
import yaml
from typer.testing import CliRunner

import teamwork_desk
from teamwork_desk import AsyncDesk, EntityRef, RequestError, ValidationError
from teamwork_desk.cli._app import app
from teamwork_desk.cli._jobs import read_jobs
from teamwork_desk.fleet import Fleet
from teamwork_desk.testing import FakeDesk
from teamwork_desk_api.api.conversations.convert_conversation import convert_conversation
from teamwork_desk_api.models import ConvertConversation

pytestmark = pytest.mark.project

ROOT = Path(__file__).resolve().parents[1]
CONTRACT = Path("openapi/desk.yaml")
HANDWRITTEN = Path("overrides/teamwork_desk/_conversations.py")

PROPERTIES = """
escalateTo:
  allOf: [{ $ref: "#/components/schemas/EntityRef" }]
  description: The team that the ticket is escalated to.
internalNote:
  type: string
  x-secret: true
  description: A note that customers do not see.
"""


def add_line(source: str, before: str, line: str) -> str:
    """Add a line before the only line that matches a pattern, with the same indentation."""
    changed, count = re.subn(rf"^( +){before}", rf"\1{line}\n\g<0>", source, flags=re.MULTILINE)
    assert count == 1, before
    return changed


def add_to_contract(contract: Path) -> None:
    source = yaml.safe_load(contract.read_text("utf-8"))
    source["components"]["schemas"]["ConvertConversation"]["properties"].update(yaml.safe_load(PROPERTIES))
    contract.write_text(json.dumps(source, default=str), "utf-8")


def add_to_conversations(module: Path) -> None:
    """Add each field in alphabetical order: its type, its argument, its description, and its place in the request."""
    source = module.read_text("utf-8")
    for field, hint, before, description in [
        ("escalate_to", "EntityRef | int", "files", "The team that the ticket is escalated to."),
        ("internal_note", "str", "message", "A note that customers do not see."),
    ]:
        source = add_line(source, rf"{before}: [^=]* \| None$", f"{field}: {hint} | None")
        source = add_line(source, rf"{before}: .* = None,$", f"{field}: {hint} | None = None,")
        source = add_line(source, rf"{before}: The ", f"{field}: {description}")
        source = add_line(source, rf"{before}=", f"{field}={field},")
    module.write_text(source, "utf-8")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository with two new fields."""
    folder = tmp_path_factory.mktemp("copy")
    shutil.copy(ROOT / "pyproject.toml", folder)
    for name in ("generated", "openapi", "overrides", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
    add_to_contract(folder / CONTRACT)
    subprocess.run([sys.executable, folder / "openapi" / "generate.py"], check=True, capture_output=True)
    add_to_conversations(folder / HANDWRITTEN)
    return folder


def run(copy: Path, *arguments: str | Path) -> str:
    """Run Python with the packages of the copy, and return its output."""
    path = os.pathsep.join(str(copy / folder) for folder in ("generated", "overrides"))
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "TEAMWORK_DESK_TOKEN": "any"}
    command = [sys.executable, "-W", "error", *arguments]
    result = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_the_new_fields_work_everywhere(copy: Path) -> None:
    assert run(copy, __file__).splitlines()[-1] == str(copy / "overrides" / "teamwork_desk" / "__init__.py")


def test_the_tests_of_the_signature_try_the_new_fields(copy: Path) -> None:
    # The scenarios run on asyncio only, because the event loop does not matter here and trio doubles the time.
    output = run(copy, "-m", "pytest", "tests/test_signature.py", "-v", "-p", "no:cacheprovider", "-k", "not trio")
    for argument in ("escalate_to", "internal_note"):
        assert f"_is_sent_alone_under_its_name_in_the_contract[asyncio-{argument}-" in output


def test_only_the_contract_and_one_handwritten_file_differ(copy: Path) -> None:
    changed = {
        file.relative_to(copy)
        for file in copy.rglob("*")
        if file.is_file() and file.read_bytes() != (ROOT / file.relative_to(copy)).read_bytes()
    }
    assert {file for file in changed if file.parts[0] != "generated"} == {CONTRACT, HANDWRITTEN}
    assert changed > {CONTRACT, HANDWRITTEN}


# The program, which uses the new fields

NEW: dict[str, Any] = {"escalate_to": 7, "internal_note": "Call Jo"}
OTHER: dict[str, Any] = {**NEW, "internal_note": "Call Mo"}
SENT = {"escalateTo": {"id": 7}, "internalNote": "Call Jo"}


def a_desk(fake: FakeDesk) -> AsyncDesk:
    return AsyncDesk("https://acme.teamwork.com", token="any", transport=fake.transport)


async def convert_sends_the_new_fields() -> None:
    fake = FakeDesk()
    async with a_desk(fake) as desk:
        await desk.conversations.convert(42, **NEW)
    assert fake.tickets[0].body == SENT
    fake.assert_converted_once(42, **NEW)
    with pytest.raises(AssertionError, match="internal_note: expected 'Call Mo', got 'Call Jo'"):
        fake.assert_converted_once(42, **OTHER)


async def convert_rejects_wrong_types() -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"escalate_to": "7"}, "escalate_to: expected an EntityRef or an int, got str"),
        ({"internal_note": 7}, "internal_note: expected a str, got int"),
    ]
    async with a_desk(FakeDesk()) as desk:
        for wrong, message in cases:
            with pytest.raises(RequestError, match=message):
                await desk.conversations.convert(42, **wrong)


async def a_backlog_job_has_the_new_fields() -> None:
    fake = FakeDesk()
    jobs: list[Any] = [{"conversation_id": 42, **NEW}]
    async with a_desk(fake) as desk:
        (outcome,) = [outcome async for outcome in desk.conversations.convert_many(jobs)]
    assert outcome.error is None
    assert fake.tickets[0].body == SENT


async def a_fleet_job_has_the_new_fields() -> None:
    def open_desk(account: str, event_hooks: Any) -> AsyncDesk:
        raise AssertionError("enqueuing a job opens no client")

    fleet = Fleet("redis://localhost", open_desk)
    sent: list[Any] = []

    async def kick(message: Any) -> None:
        sent.append(message)

    vars(fleet.broker)["kick"] = kick
    await fleet.enqueue("acme", 42, **NEW)
    assert len(sent) == 1
    unknown: dict[str, Any] = {"nothing": 1}
    with pytest.raises(RequestError):
        await fleet.enqueue("acme", 42, **unknown)


def jobs_of(name: str, content: str) -> Any:
    path = Path(name)
    path.write_text(content, "utf-8")
    (line,) = read_jobs(path)
    path.unlink()
    return line.job


async def a_csv_file_has_columns_for_the_new_fields() -> None:
    job = jobs_of("jobs.csv", "conversation_id,escalate_to,internal_note\n42,7,Call Jo\n")
    assert job == {"conversation_id": 42, **NEW}


async def a_jsonl_file_has_the_new_fields() -> None:
    line = {"conversation_id": 42, "escalate_to": {"id": 7}, "internal_note": "Call Jo"}
    assert jobs_of("jobs.jsonl", json.dumps(line)) == {**line, "escalate_to": EntityRef(id=7)}


async def the_command_has_options_for_the_new_fields() -> None:

    shown = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["convert", "--help"]).output
    assert "The team that the ticket is escalated to, by id." in shown
    assert "A note that customers do not see." in shown
    fake = FakeDesk()
    async with fake.serve() as url:
        arguments = ["convert", "42", "--url", url, "--escalate-to", "7", "--internal-note", "Call Jo"]
        result = await anyio.to_thread.run_sync(CliRunner().invoke, app, arguments)
    assert result.exit_code == 0, result.output
    assert fake.tickets[0].body == SENT


async def the_fake_desk_rejects_wrong_types() -> None:
    """Send what `convert` would not send."""

    wrong: dict[str, Any] = {"escalateTo": {"id": "7"}, "internalNote": 7}
    async with a_desk(FakeDesk()) as desk:
        with pytest.raises(ValidationError) as rejected:
            await desk.send(convert_conversation(42, body=ConvertConversation(additional_properties=wrong)))
    assert rejected.value.errors == {
        "escalateTo.id": ["must be a whole number"],
        "internalNote": ["must be a string"],
    }


SCENARIOS: list[Callable[[], Awaitable[None]]] = [
    convert_sends_the_new_fields,
    convert_rejects_wrong_types,
    a_backlog_job_has_the_new_fields,
    a_fleet_job_has_the_new_fields,
    a_csv_file_has_columns_for_the_new_fields,
    a_jsonl_file_has_the_new_fields,
    the_command_has_options_for_the_new_fields,
    the_fake_desk_rejects_wrong_types,
]

if __name__ == "__main__":
    for scenario in SCENARIOS:
        anyio.run(scenario)
    print(teamwork_desk.__file__)
