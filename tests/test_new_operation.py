"""An operation that is new in the contract works before anyone writes code for it.

The contract gets three operations more and is generated anew, into a folder that stands before the installed package.
This file, run against it, is a caller: it finds the new modules, and the client as it is.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
import yaml

import teamwork_desk_api
from teamwork_desk import (
    AsyncDesk,
    EntityRef,
    NotFoundError,
    OutcomeUnknownError,
    RateLimitedError,
    ResponseDecodeError,
    RetryPolicy,
    ValidationError,
)

ROOT = Path(__file__).resolve().parents[1]

PATHS = """
/desk/api/v2/tickets/{id}.json:
  get:
    operationId: getTicket
    tags: [tickets]
    summary: Gets a ticket
    security: [{ bearer: [] }]
    parameters:
      - { name: id, in: path, required: true, schema: { type: integer } }
      - { name: includes, in: query, explode: false, schema: { type: array, items: { type: string } } }
    responses:
      "200": { description: It., content: { application/json: { schema: { $ref: "#/components/schemas/Ticket" } } } }
  patch:
    operationId: changeTicket
    tags: [tickets]
    summary: Changes a ticket
    security: [{ bearer: [] }]
    parameters:
      - { name: id, in: path, required: true, schema: { type: integer } }
    requestBody:
      required: true
      content: { application/json: { schema: { $ref: "#/components/schemas/ChangeTicket" } } }
    responses:
      "200": { description: It., content: { application/json: { schema: { $ref: "#/components/schemas/Ticket" } } } }
  delete:
    operationId: deleteTicket
    tags: [tickets]
    summary: Deletes a ticket
    security: [{ bearer: [] }]
    parameters:
      - { name: id, in: path, required: true, schema: { type: integer } }
    responses:
      "204": { description: It is deleted. }
"""
SCHEMAS = """
Ticket:
  type: object
  description: A ticket.
  x-envelope: ticket
  required: [id]
  properties:
    id: { type: [integer, "null"] }
    openedAt: { type: [string, "null"], format: date-time }
    agent: { anyOf: [{ $ref: "#/components/schemas/EntityRef" }, { type: "null" }] }
ChangeTicket:
  type: object
  description: What becomes other.
  properties:
    subject: { type: string }
"""


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package that the contract with two operations more yields."""
    folder = tmp_path_factory.mktemp("fresh")
    contract = yaml.safe_load((ROOT / "openapi" / "desk.yaml").read_text("utf-8"))
    contract["paths"].update(yaml.safe_load(PATHS))
    contract["components"]["schemas"].update(yaml.safe_load(SCHEMAS))
    (folder / "desk.yaml").write_text(yaml.safe_dump(contract), "utf-8")
    command: list[str | Path] = [sys.executable, ROOT / "openapi" / "generate.py", "--contract", folder / "desk.yaml"]
    subprocess.run([*command, "--package", folder / "teamwork_desk_api"], check=True, capture_output=True)
    return folder


@pytest.mark.parametrize(
    "scenario",
    [
        "what_reads",
        "what_changes_something",
        "what_answers_nothing",
    ],
)
def test_a_new_operation_is_called_without_a_new_line_of_code(scenario: str, fresh: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-W", "error", __file__, scenario],
        env={**os.environ, "PYTHONPATH": str(fresh)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout == f"{fresh / 'teamwork_desk_api' / '__init__.py'}\n"


# The caller

TICKET = {"id": 7, "openedAt": "2024-12-19T16:02:34Z", "agent": {"id": 2, "type": "users"}}
WINDOW = {
    "X-Rate-Limit-Limit": "120",
    "X-Rate-Limit-Remaining": "119",
    "X-Rate-Limit-Reset": str(int(time.time()) + 60),
}
BUSY = httpx.Response(429, headers={"Retry-After": "0"})
LOST = httpx.ReadError("lost")


def operation(name: str) -> Any:
    return getattr(import_module(f"teamwork_desk_api.api.tickets.{name}"), name)


class Caller:
    """Calls an installation that gives the answers it is told to."""

    def __init__(self) -> None:
        self.seen: list[httpx.Request] = []
        self._answers: list[httpx.Response | Exception] = []
        self._tokens = iter(["stale", "fresh"])
        self.desk = AsyncDesk(
            "https://acme.teamwork.com",
            token=lambda: next(self._tokens),
            retry=RetryPolicy(max_attempts=2, backoff_base=0.001),
            transport=httpx.MockTransport(self._answer),
        )

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        self.seen.append(request)
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def call(self, request: Any, *answers: httpx.Response | Exception) -> Any:
        """Return what comes of a call, be it an error; every answer must be fetched."""
        self.seen.clear()
        self._answers[:] = answers
        try:
            return await self.desk.send(request)
        except Exception as error:
            return error
        finally:
            assert self._answers == []


@asynccontextmanager
async def calling() -> AsyncGenerator[Caller]:
    caller = Caller()
    async with caller.desk:
        yield caller


async def what_reads() -> None:
    get_ticket = operation("get_ticket")
    async with calling() as caller:
        # A refused token is renewed, a parameter has its place, an envelope is opened.
        ok = httpx.Response(200, json={"ticket": TICKET}, headers=WINDOW)
        ticket = await caller.call(get_ticket(7, includes=["users", "all"]), httpx.Response(401), ok)
        assert (ticket.id, ticket.opened_at.year, ticket.agent) == (7, 2024, EntityRef(id=2, type="users"))
        assert [request.headers["authorization"] for request in caller.seen] == ["Bearer stale", "Bearer fresh"]
        assert str(caller.seen[1].url).endswith("/desk/api/v2/tickets/7.json?includes=users%2Call")
        # The pacing knows the window.
        assert caller.desk.rate_limit is not None
        assert caller.desk.rate_limit.limit == 120
        # Whatever failed is tried again.
        ok = httpx.Response(200, json=TICKET)
        assert (await caller.call(get_ticket(7), LOST, ok)).id == 7
        assert (await caller.call(get_ticket(7), httpx.Response(500), ok)).id == 7
        # Errors have their types.
        assert isinstance(await caller.call(get_ticket(7), httpx.Response(404)), NotFoundError)
        assert isinstance(await caller.call(get_ticket(7), httpx.Response(200, json={})), ResponseDecodeError)


async def what_changes_something() -> None:
    body = import_module("teamwork_desk_api.models").ChangeTicket(subject="Refund")
    change = operation("change_ticket")(7, body=body)
    async with calling() as caller:
        ok = httpx.Response(200, json=TICKET)
        assert (await caller.call(change, ok)).id == 7
        assert [(request.method, request.content) for request in caller.seen] == [("PATCH", b'{"subject":"Refund"}')]
        # What was refused is tried again, and what may have happened is not.
        assert (await caller.call(change, BUSY, ok)).id == 7
        error = await caller.call(change, BUSY, BUSY)
        assert (type(error), error.maybe_applied, error.attempts) == (RateLimitedError, False, 2)
        error = await caller.call(change, LOST)
        assert (type(error), error.maybe_applied, error.attempts) == (OutcomeUnknownError, True, 1)
        error = await caller.call(change, httpx.Response(400, json={"errors": {"subject": ["must be set"]}}))
        assert (type(error), error.errors) == (ValidationError, {"subject": ["must be set"]})


async def what_answers_nothing() -> None:
    async with calling() as caller:
        assert await caller.call(operation("delete_ticket")(7), httpx.Response(204)) is None


SCENARIOS: dict[str, Callable[[], Awaitable[None]]] = {
    scenario.__name__: scenario for scenario in (what_reads, what_changes_something, what_answers_nothing)
}

if __name__ == "__main__":
    print(teamwork_desk_api.__file__)
    anyio.run(SCENARIOS[sys.argv[1]])
