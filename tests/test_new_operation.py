"""A new operation in the contract works without any new handwritten code.

Three operations are added to a copy of the contract. Its package is generated into a folder that comes before the
installed package on the path. Then this file runs as a script: a caller who uses the new modules with the same client.
"""

from __future__ import annotations

import json
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

pytestmark = pytest.mark.project

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
      "200": { description: OK., content: { application/json: { schema: { $ref: "#/components/schemas/Ticket" } } } }
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
      "200": { description: OK., content: { application/json: { schema: { $ref: "#/components/schemas/Ticket" } } } }
  delete:
    operationId: deleteTicket
    tags: [tickets]
    summary: Deletes a ticket
    security: [{ bearer: [] }]
    parameters:
      - { name: id, in: path, required: true, schema: { type: integer } }
    responses:
      "204": { description: The ticket was deleted. }
"""
SCHEMAS = """
Ticket:
  type: object
  description: A ticket.
  x-envelope: ticket
  required: [id]
  properties:
    id: { type: integer }
    openedAt: { type: [string, "null"], format: date-time }
    agent: { anyOf: [{ $ref: "#/components/schemas/EntityRef" }, { type: "null" }] }
ChangeTicket:
  type: object
  description: The new values.
  properties:
    subject: { type: string }
"""


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package of the contract with three more operations."""
    folder = tmp_path_factory.mktemp("fresh")
    contract = yaml.safe_load((ROOT / "openapi" / "desk.yaml").read_text("utf-8"))
    contract["paths"].update(yaml.safe_load(PATHS))
    contract["components"]["schemas"].update(yaml.safe_load(SCHEMAS))
    (folder / "desk.yaml").write_text(json.dumps(contract, default=str), "utf-8")
    command: list[str | Path] = [sys.executable, ROOT / "openapi" / "generate.py", "--contract", folder / "desk.yaml"]
    subprocess.run([*command, "--package", folder / "teamwork_desk_api"], check=True, capture_output=True)
    return folder


@pytest.mark.parametrize(
    "scenario",
    [
        "read",
        "change",
        "delete",
    ],
)
def test_a_new_operation_can_be_called_without_new_handwritten_code(scenario: str, fresh: Path) -> None:
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
    """Calls a Desk with prepared responses."""

    def __init__(self) -> None:
        self.seen: list[httpx.Request] = []
        self._responses: list[httpx.Response | Exception] = []
        self._tokens = iter(["stale", "fresh"])
        self.desk = AsyncDesk(
            "https://acme.teamwork.com",
            token=lambda: next(self._tokens),
            retry=RetryPolicy(max_attempts=2, backoff_base=0.001),
            transport=httpx.MockTransport(self._respond),
        )

    async def _respond(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        self.seen.append(request)
        response = self._responses.pop(0)
        if isinstance(response, Exception):
            raise response
        return response

    async def call(self, request: Any, *responses: httpx.Response | Exception) -> Any:
        """Return the result or the error of a call, and assert that it used every response."""
        self.seen.clear()
        self._responses[:] = responses
        try:
            return await self.desk.send(request)
        except Exception as error:
            return error
        finally:
            assert self._responses == []


@asynccontextmanager
async def calling() -> AsyncGenerator[Caller]:
    caller = Caller()
    async with caller.desk:
        yield caller


async def read() -> None:
    get_ticket = operation("get_ticket")
    async with calling() as caller:
        # A rejected token is renewed, the query has its parameter, and the envelope is removed.
        ok = httpx.Response(200, json={"ticket": TICKET}, headers=WINDOW)
        ticket = await caller.call(get_ticket(7, includes=["users", "all"]), httpx.Response(401), ok)
        assert (ticket.id, ticket.opened_at.year, ticket.agent) == (7, 2024, EntityRef(id=2, type="users"))
        assert [request.headers["authorization"] for request in caller.seen] == ["Bearer stale", "Bearer fresh"]
        assert str(caller.seen[1].url).endswith("/desk/api/v2/tickets/7.json?includes=users%2Call")
        # Pacing knows the rate window.
        assert caller.desk.rate_limit is not None
        assert caller.desk.rate_limit.limit == 120
        # A failed read is retried.
        ok = httpx.Response(200, json=TICKET)
        assert (await caller.call(get_ticket(7), LOST, ok)).id == 7
        assert (await caller.call(get_ticket(7), httpx.Response(500), ok)).id == 7
        # Errors have the types of the error tree.
        assert isinstance(await caller.call(get_ticket(7), httpx.Response(404)), NotFoundError)
        assert isinstance(await caller.call(get_ticket(7), httpx.Response(200, json={})), ResponseDecodeError)


async def change() -> None:
    body = import_module("teamwork_desk_api.models").ChangeTicket(subject="Refund")
    request = operation("change_ticket")(7, body=body)
    async with calling() as caller:
        ok = httpx.Response(200, json=TICKET)
        assert (await caller.call(request, ok)).id == 7
        assert [(sent.method, sent.content) for sent in caller.seen] == [("PATCH", b'{"subject":"Refund"}')]
        # A rejected request is sent again. A request that may have been carried out is not.
        assert (await caller.call(request, BUSY, ok)).id == 7
        error = await caller.call(request, BUSY, BUSY)
        assert (type(error), error.maybe_applied, error.attempts) == (RateLimitedError, False, 2)
        error = await caller.call(request, LOST)
        assert (type(error), error.maybe_applied, error.attempts) == (OutcomeUnknownError, True, 1)
        error = await caller.call(request, httpx.Response(400, json={"errors": {"subject": ["must be set"]}}))
        assert (type(error), error.errors) == (ValidationError, {"subject": ["must be set"]})


async def delete() -> None:
    async with calling() as caller:
        request = operation("delete_ticket")(7)
        assert await caller.call(request, httpx.Response(204)) is None
        # Desk rejects a DELETE without the content type of JSON, although it has no body.
        (sent,) = caller.seen
        assert (sent.content, sent.headers["content-type"], sent.headers["content-length"]) == (
            b"",
            "application/json",
            "0",
        )
        # A DELETE is idempotent, so it is sent again after its response was lost.
        assert await caller.call(request, LOST, httpx.Response(204)) is None
        error = await caller.call(request, LOST, LOST)
        assert (type(error), error.maybe_applied, error.attempts) == (OutcomeUnknownError, True, 2)


SCENARIOS: dict[str, Callable[[], Awaitable[None]]] = {
    scenario.__name__: scenario for scenario in (read, change, delete)
}

if __name__ == "__main__":
    print(teamwork_desk_api.__file__)
    anyio.run(SCENARIOS[sys.argv[1]])
