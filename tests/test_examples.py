"""The examples do what they show: each runs as a user runs it, against a fake Desk over real sockets."""

from __future__ import annotations

import asyncio
import importlib
import os
import re
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, TypeAlias
from unittest.mock import ANY

import httpx
import pytest
from attrs import frozen
from code_blocks import ROOT

from teamwork_desk import AsyncDesk
from teamwork_desk.testing import FakeDesk

Json: TypeAlias = dict[str, Any]

EXAMPLES = ROOT / "examples"
SCRIPT = str(EXAMPLES / "script.py")
WORKER = str(EXAMPLES / "worker.py")
TOKEN = "s3cret"


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """The fake Desk's server and the examples are asyncio's."""
    return "asyncio"


@asynccontextmanager
async def running(url: str, *arguments: str) -> AsyncGenerator[Process]:
    """Run Python with the environment pointing at a Desk; it must not warn."""
    environment = {**os.environ, "TEAMWORK_DESK_URL": url, "TEAMWORK_DESK_TOKEN": TOKEN}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", *arguments), env=environment, cwd=ROOT, stdout=PIPE, stderr=PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def told(process: Process, pattern: str) -> str:
    """Wait for what the process is to tell on stderr, and return all that it told until then."""
    assert process.stderr is not None
    words = ""
    async for line in process.stderr:
        words += line.decode()
        if re.search(pattern, words):
            return words
    pytest.fail(f"no {pattern!r} in:\n{words}")


async def ended(process: Process) -> tuple[int | None, str, str]:
    """Return the exit code, and what came on stdout and stderr since it was last read."""
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def stopped(process: Process) -> tuple[int | None, str]:
    """Stop it as an operator does, and return the exit code and the last words."""
    process.terminate()
    code, _, err = await ended(process)
    return code, err


def needs_fastapi() -> None:
    """Skip where FastAPI cannot be imported."""
    pytest.importorskip(
        "fastapi", exc_type=ImportError, reason="FastAPI needs a newer Starlette than the oldest allowed"
    )


@pytest.fixture(scope="module")
async def served() -> AsyncGenerator[tuple[FakeDesk, httpx.AsyncClient]]:
    """The service under uvicorn, the Desk it works with, and a caller; at last it is stopped."""
    needs_fastapi()
    fake = FakeDesk(token=TOKEN)
    command = ("-m", "uvicorn", "--app-dir", str(EXAMPLES), "service:app", "--port", "0")
    async with fake.serve() as url, running(url, *command) as process:
        address = (await told(process, r"running on http://\S+")).rpartition("running on ")[2].split()[0]
        async with httpx.AsyncClient(base_url=address, timeout=60, trust_env=False) as client:
            yield fake, client
        code, words = await stopped(process)
        assert "Application shutdown complete." in words
        assert code in (0, -signal.SIGTERM)  # uvicorn ends as the signal would have ended it
        for never in ("Traceback", "jo@example.com", TOKEN):
            assert never not in words


async def test_the_service_makes_a_ticket_once(served: tuple[FakeDesk, httpx.AsyncClient]) -> None:
    fake, client = served
    asked_for = {"subject": "Refund", "customer_email": "jo@example.com", "message": "Hello", "tags": ["billing"]}
    answers = [await client.post("/conversations/8/ticket", json=asked_for) for _ in range(2)]
    (ticket,) = (ticket for ticket in fake.tickets if ticket.conversation_id == 8)
    assert [(answer.status_code, answer.json()) for answer in answers] == [(200, {"ticket_id": ticket.id})] * 2
    assert ticket.body == {
        "subject": "Refund",
        "customer": {"email": "jo@example.com"},
        "message": "Hello",
        "tags": ["billing"],
    }


@frozen
class Case:
    """What Desk does, and what the service's caller is told of it."""

    status: int
    content: Json
    faults: tuple[Json, ...] = ()
    conversation_id: int = 7
    customer: str = "jo@example.com"
    retry_after: str | None = None


NOTHING_DONE: Json = {"detail": ANY, "errors": {}, "maybe_applied": False, "hint": None}
PERHAPS_DONE: Json = {**NOTHING_DONE, "maybe_applied": True, "hint": ANY}
OUR_FAULT: Json = {**NOTHING_DONE, "detail": "this service failed"}
FORBIDDEN: Json = {"status": 403, "method": "GET"}


def no_ticket(conversation_id: int) -> Json:
    return {"status": 200, "method": "GET", "body": {"conversations": [{"id": conversation_id, "ticket_id": None}]}}


def answer(status: int, **fault: Any) -> Json:
    return {"status": status, "method": "POST", **fault}


UNREADABLE = answer(200, body="<html>")

CASES = {
    "fields": Case(
        422, {**NOTHING_DONE, "errors": {"customer.email": ["must be a valid email address"]}}, customer="jo at example"
    ),
    "an impossible id": Case(422, NOTHING_DONE, conversation_id=-1),
    "an unknown id": Case(404, NOTHING_DONE, conversation_id=999),
    "a conflict": Case(409, NOTHING_DONE, (answer(409),)),
    "unconvertible": Case(422, NOTHING_DONE, (answer(422),)),
    "the rate limit": Case(503, NOTHING_DONE, (answer(429, headers={"Retry-After": "29.5"}),), retry_after="30"),
    "the token": Case(500, OUR_FAULT, (answer(401),)),
    "the token's rights": Case(500, OUR_FAULT, (FORBIDDEN,)),
    "a broken Desk": Case(502, NOTHING_DONE, (answer(501),)),
    # Conversations of their own: what is left unsettled is looked at longer by the next call.
    "a silent Desk": Case(504, PERHAPS_DONE, (no_ticket(5), answer(504), FORBIDDEN), conversation_id=5),
    "an unreadable answer": Case(502, PERHAPS_DONE, (no_ticket(6), UNREADABLE, FORBIDDEN), conversation_id=6),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
async def test_the_service_says_what_is_known(case: Case, served: tuple[FakeDesk, httpx.AsyncClient]) -> None:
    fake, client = served
    for fault in case.faults:
        fake.fail(**fault)
    seen = await client.post(
        f"/conversations/{case.conversation_id}/ticket", json={"subject": "Refund", "customer_email": case.customer}
    )
    assert (seen.status_code, seen.json()) == (case.status, case.content)
    assert seen.headers.get("Retry-After") == case.retry_after
    assert case.conversation_id not in {ticket.conversation_id for ticket in fake.tickets}


async def test_a_test_of_the_service_gives_it_another_client(
    fake_desk: FakeDesk, desk: AsyncDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs_fastapi()
    monkeypatch.setattr(sys, "path", [str(EXAMPLES), *sys.path])
    service: Any = importlib.import_module("service")
    monkeypatch.setitem(service.app.dependency_overrides, service.get_desk, lambda: desk)
    transport = httpx.ASGITransport(service.app)
    async with httpx.AsyncClient(base_url="http://service", transport=transport) as client:
        asked_for = {"subject": "Refund", "customer_email": "jo@example.com"}
        answer = await client.post("/conversations/42/ticket", json=asked_for)
    ticket = fake_desk.assert_converted_once(42, subject="Refund", customer="jo@example.com")
    assert answer.json() == {"ticket_id": ticket.id}


async def test_the_worker_acknowledges_what_is_known() -> None:
    fake = FakeDesk(token=TOKEN)
    fake.lose_answer("after", method="POST")
    async with fake.serve() as url, running(url, WORKER, "1", "999") as worker:
        words = await told(worker, "(?s)acknowledged.*acknowledged")
        code, last_words = await stopped(worker)
    assert re.search("999: acknowledged: for a person to look at: .* no conversation 999", words)
    assert f"1: acknowledged: ticket {fake.tickets[0].id}" in words
    assert (code, last_words) == (0, "INFO:worker:stopped\n")
    assert [ticket.conversation_id for ticket in fake.tickets] == [1]


async def test_the_worker_does_not_give_back_what_is_converted() -> None:
    fake = FakeDesk(token=TOKEN)
    for fault in (no_ticket(7), UNREADABLE, FORBIDDEN):
        fake.fail(**fault)
    async with fake.serve() as url, running(url, WORKER, "7") as worker:
        await told(worker, "7: acknowledged: for a person to look at: .* its answer is unreadable")


async def test_the_worker_gives_back_what_is_unknown() -> None:
    fake = FakeDesk(token=TOKEN)
    fake.fail(**no_ticket(7))
    fake.lose_answer("after", method="POST")
    fake.fail(**FORBIDDEN)
    async with fake.serve() as url:
        async with running(url, WORKER, "7") as worker:
            await told(worker, "7: given back: it is unknown whether conversation 7 was converted")
            assert await stopped(worker) == (0, "INFO:worker:stopped\n")
        (ticket,) = fake.tickets
        async with running(url, WORKER, "7") as another:
            await told(another, f"7: acknowledged: ticket {ticket.id}")
            assert await stopped(another) == (0, "INFO:worker:stopped\n")
    assert fake.tickets == [ticket]


async def test_what_the_worker_gave_back_comes_again() -> None:
    fake = FakeDesk(token=TOKEN)
    fake.fail(**FORBIDDEN)
    soon = f"import asyncio, sys; sys.path.append({str(EXAMPLES)!r}); import worker; "
    soon += (
        "worker.LATER = 0; worker.logger.setLevel('INFO'); worker.logging.basicConfig(); asyncio.run(worker.main(7))"
    )
    async with fake.serve() as url, running(url, "-c", soon) as worker:
        await told(worker, "(?s)7: given back: .*7: acknowledged: ticket")
        assert await stopped(worker) == (0, "INFO:worker:stopped\n")
    assert [ticket.conversation_id for ticket in fake.tickets] == [7]


async def test_the_worker_finishes_what_it_has_in_hand() -> None:
    workers: list[Process] = []

    def clock() -> float:
        """Desk looks at it when a request comes in: the first request stops the worker."""
        while workers:
            workers.pop().terminate()
        return time.time()

    fake = FakeDesk(token=TOKEN, clock=clock)
    async with fake.serve() as url, running(url, WORKER, *map(str, range(1, 21))) as worker:
        workers.append(worker)
        code, _, words = await ended(worker)
    assert (code, words.splitlines()[-1]) == (0, "INFO:worker:stopped")
    assert words.count("acknowledged: ticket") == 8
    assert sorted(ticket.conversation_id for ticket in fake.tickets) == [1, 2, 3, 4, 5, 6, 7, 8]


async def test_the_script_converts_what_matches() -> None:
    fake = FakeDesk(token=TOKEN, conversations=(), rate_limit=1000)
    for number in range(1, 103):
        domain = "acme.example" if number in (1, 2, 50, 102) else "elsewhere.example"
        contact = {"id": number, "type": "email", "value": f"jo@{domain}"}
        fake.add_conversation(number, contact=contact, state="deleted" if number == 50 else "active")
    fake.add_conversation(103, contact=None)
    fake.fail(**answer(409))
    async with fake.serve() as url:
        async with running(url, SCRIPT, "Acme.example") as first:
            code, out, err = await ended(first)
        assert [ticket.conversation_id for ticket in fake.tickets] == [2, 102]
        assert out.splitlines() == [f"conversation {t.conversation_id}: ticket {t.id}" for t in fake.tickets]
        assert (code, err.splitlines()[-1]) == (1, "1 of 3 are left: look at them, and run this again")
        assert "conversation 1: " in err
        async with running(url, SCRIPT, "acme.example") as second:
            code, out, err = await ended(second)
        assert (code, out, err) == (0, f"conversation 1: ticket {fake.tickets[-1].id}\n", "")
    assert [ticket.conversation_id for ticket in fake.tickets] == [2, 102, 1]
    assert all(ticket.body["notifyCustomer"] is False for ticket in fake.tickets)


async def test_the_script_leaves_what_someone_else_converted_since() -> None:
    def clock() -> float:
        """Desk looks at it when a request comes in: after the listing, someone else is faster."""
        if fake.requests:
            conversation["ticket_id"] = 99
        return time.time()

    fake = FakeDesk(token=TOKEN, conversations=(), clock=clock)
    conversation = fake.add_conversation(1)
    async with fake.serve() as url, running(url, SCRIPT, "example.com") as script:
        assert await ended(script) == (0, "conversation 1: ticket 99\n", "")
    assert not fake.tickets


@pytest.mark.parametrize(
    ("arguments", "words"), [((), "Convert the open conversations"), (("acme.example",), "AuthenticationError: ")]
)
async def test_the_script_says_what_it_needs(arguments: tuple[str, ...], words: str) -> None:
    fake = FakeDesk(token="another")
    async with fake.serve() as url, running(url, SCRIPT, *arguments) as script:
        code, out, err = await ended(script)
    assert (code, out, len(err.splitlines())) == (1, "", 1)
    assert err.startswith(words)
    assert not fake.tickets
