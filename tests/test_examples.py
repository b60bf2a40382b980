"""The examples work: each runs as a user runs it, against a fake Desk over real sockets."""

from __future__ import annotations

import asyncio
import importlib
import os
import re
import signal
import socket
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
from raw_server import RawServer, http, read_request

from teamwork_desk import AsyncDesk
from teamwork_desk.testing import FakeDesk

pytestmark = pytest.mark.project

Json: TypeAlias = dict[str, Any]

EXAMPLES = ROOT / "examples"
SCRIPT = str(EXAMPLES / "script.py")
WORKER = str(EXAMPLES / "worker.py")
TOKEN = "s3cret"


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """The server of the fake Desk and the examples need asyncio."""
    return "asyncio"


@asynccontextmanager
async def running(url: str, *arguments: str) -> AsyncGenerator[Process]:
    """Run Python with the environment variables of a Desk, and with warnings as errors."""
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


async def stderr_until(process: Process, pattern: str) -> str:
    """Wait until the process has written a pattern to stderr, and return all that it has written there."""
    assert process.stderr is not None
    text = ""
    async for line in process.stderr:
        text += line.decode()
        if re.search(pattern, text):
            return text
    pytest.fail(f"no {pattern!r} in:\n{text}")


async def wait_for_exit(process: Process) -> tuple[int | None, str, str]:
    """Return the exit code, and the rest of stdout and stderr."""
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def terminate(process: Process) -> tuple[int | None, str]:
    """Stop the process as an operator does, and return the exit code and the rest of stderr."""
    process.terminate()
    code, _, err = await wait_for_exit(process)
    return code, err


def needs_fastapi() -> None:
    """Skip the test if FastAPI cannot be imported."""
    pytest.importorskip(
        "fastapi", exc_type=ImportError, reason="FastAPI needs a newer Starlette than the oldest allowed"
    )


@pytest.fixture(scope="module")
async def service() -> AsyncGenerator[tuple[FakeDesk, httpx.AsyncClient]]:
    """The fake Desk of the service under uvicorn, and a client of the service. At the end the service is stopped."""
    needs_fastapi()
    fake = FakeDesk(token=TOKEN)
    command = ("-m", "uvicorn", "--app-dir", str(EXAMPLES), "service:app", "--port", "0")
    async with fake.serve() as url, running(url, *command) as process:
        address = (await stderr_until(process, r"running on http://\S+")).rpartition("running on ")[2].split()[0]
        async with httpx.AsyncClient(base_url=address, timeout=60, trust_env=False) as client:
            yield fake, client
        code, log = await terminate(process)
        assert "Application shutdown complete." in log
        assert code in (0, -signal.SIGTERM)  # Newer versions of uvicorn raise the signal again after their shutdown.
        for forbidden in ("Traceback", "jo@example.com", TOKEN):
            assert forbidden not in log


async def test_the_service_converts_a_conversation_once(service: tuple[FakeDesk, httpx.AsyncClient]) -> None:
    fake, client = service
    new_ticket = {"subject": "Refund", "customer_email": "jo@example.com", "message": "Hello", "tags": ["billing"]}
    responses = [await client.post("/conversations/8/ticket", json=new_ticket) for _ in range(2)]
    (ticket,) = (ticket for ticket in fake.tickets if ticket.conversation_id == 8)
    assert [(response.status_code, response.json()) for response in responses] == [(200, {"ticket_id": ticket.id})] * 2
    assert ticket.body == {
        "subject": "Refund",
        "customer": {"email": "jo@example.com"},
        "message": "Hello",
        "tags": ["billing"],
    }


@frozen
class Case:
    """The faults of Desk, and the response of the service."""

    status: int
    content: Json
    faults: tuple[Json, ...] = ()
    conversation_id: int = 7
    customer: str = "jo@example.com"


NOT_APPLIED: Json = {"detail": ANY, "errors": {}, "maybe_applied": False, "hint": None}
MAYBE_APPLIED: Json = {**NOT_APPLIED, "maybe_applied": True, "hint": ANY}
INTERNAL: Json = {**NOT_APPLIED, "detail": "this service failed"}
FORBIDDEN: Json = {"status": 403, "method": "GET"}


def no_ticket(conversation_id: int) -> Json:
    return {"status": 200, "method": "GET", "body": {"conversations": [{"id": conversation_id, "ticket_id": None}]}}


def respond(status: int, **fault: Any) -> Json:
    return {"status": status, "method": "POST", **fault}


UNREADABLE = respond(200, body="<html>")

CASES = {
    "fields": Case(
        422, {**NOT_APPLIED, "errors": {"customer.email": ["must be a valid email address"]}}, customer="jo at example"
    ),
    "an impossible id": Case(422, NOT_APPLIED, conversation_id=-1),
    "an unknown id": Case(404, NOT_APPLIED, conversation_id=999),
    "a web server that is not Desk": Case(500, INTERNAL, (respond(404, body="<html>"),)),
    "a conflict": Case(409, NOT_APPLIED, (respond(409),)),
    "unconvertible": Case(422, NOT_APPLIED, (respond(422),)),
    "the token": Case(500, INTERNAL, (respond(401),)),
    "the token's rights": Case(500, INTERNAL, (FORBIDDEN,)),
    "a broken Desk": Case(502, NOT_APPLIED, (respond(501),)),
    # These cases have conversations of their own, because the client verifies the next call for a conversation with an
    # unknown outcome.
    "a silent Desk": Case(504, MAYBE_APPLIED, (no_ticket(5), respond(504), FORBIDDEN), conversation_id=5),
    "an unreadable response": Case(502, MAYBE_APPLIED, (no_ticket(6), UNREADABLE, FORBIDDEN), conversation_id=6),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
async def test_the_service_maps_each_error_to_a_response(
    case: Case, service: tuple[FakeDesk, httpx.AsyncClient]
) -> None:
    fake, client = service
    for fault in case.faults:
        fake.fail(**fault)
    response = await client.post(
        f"/conversations/{case.conversation_id}/ticket", json={"subject": "Refund", "customer_email": case.customer}
    )
    assert (response.status_code, response.json()) == (case.status, case.content)
    assert "Retry-After" not in response.headers
    assert case.conversation_id not in {ticket.conversation_id for ticket in fake.tickets}


@pytest.fixture
async def service_with_a_fake_desk(
    desk: AsyncDesk, monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[httpx.AsyncClient]:
    """A client of the service in this process. The service uses the client of a FakeDesk."""
    needs_fastapi()
    monkeypatch.setattr(sys, "path", [str(EXAMPLES), *sys.path])
    module: Any = importlib.import_module("service")
    monkeypatch.setitem(module.app.dependency_overrides, module.get_desk, lambda: desk)
    transport = httpx.ASGITransport(module.app)
    async with httpx.AsyncClient(base_url="http://service", transport=transport) as client:
        yield client


async def test_a_test_can_give_the_service_another_client(
    fake_desk: FakeDesk, service_with_a_fake_desk: httpx.AsyncClient
) -> None:
    new_ticket = {"subject": "Refund", "customer_email": "jo@example.com"}
    response = await service_with_a_fake_desk.post("/conversations/42/ticket", json=new_ticket)
    ticket = fake_desk.assert_converted_once(42, subject="Refund", customer="jo@example.com")
    assert response.json() == {"ticket_id": ticket.id}


async def test_the_service_attaches_the_file_that_it_receives(
    fake_desk: FakeDesk, service_with_a_fake_desk: httpx.AsyncClient
) -> None:
    path, query = "/conversations/42/ticket/with-file", {"filename": "invoice.pdf", "inbox": "Support"}
    too_large = await service_with_a_fake_desk.post(path, params=query, content=bytes(20 * 1024 * 1024 + 1))
    assert too_large.status_code == 413
    responses = [await service_with_a_fake_desk.post(path, params=query, content=b"%PDF") for _ in range(2)]
    (file,) = fake_desk.files.values()
    assert (file.filename, file.mime_type, file.content) == ("invoice.pdf", "application/pdf", b"%PDF")
    ticket = fake_desk.assert_converted_once(42, inbox=fake_desk.inboxes[0].id, files=[file.id])
    assert [response.json() for response in responses] == [{"ticket_id": ticket.id}] * 2
    unknown = await service_with_a_fake_desk.post(path, params={**query, "inbox": "Nowhere"}, content=b"%PDF")
    assert unknown.status_code == 404


async def test_the_service_says_when_desk_accepts_requests_again(
    fake_desk: FakeDesk, service_with_a_fake_desk: httpx.AsyncClient
) -> None:
    fake_desk.fail(**respond(429, headers={"Retry-After": "129.5"}))
    new_ticket = {"subject": "Refund", "customer_email": "jo@example.com"}
    response = await service_with_a_fake_desk.post("/conversations/42/ticket", json=new_ticket)
    assert (response.status_code, response.json()) == (503, NOT_APPLIED)
    assert response.headers["Retry-After"] == "130"
    fake_desk.assert_not_converted(42)


async def test_the_worker_acknowledges_a_job_whose_outcome_is_known() -> None:
    fake = FakeDesk(token=TOKEN)
    fake.lose_answer("after", method="POST")
    async with fake.serve() as url, running(url, WORKER, "1", "999") as worker:
        log = await stderr_until(worker, "(?s)acknowledged.*acknowledged")
        code, rest = await terminate(worker)
    assert re.search("999: acknowledged: a person must check it: .*999", log)
    assert f"1: acknowledged: ticket {fake.tickets[0].id}" in log
    assert (code, rest) == (0, "INFO:worker:stopped\n")
    assert [ticket.conversation_id for ticket in fake.tickets] == [1]


async def test_the_worker_does_not_return_a_job_that_is_converted() -> None:
    fake = FakeDesk(token=TOKEN)
    for fault in (no_ticket(7), UNREADABLE, FORBIDDEN):
        fake.fail(**fault)
    async with fake.serve() as url, running(url, WORKER, "7") as worker:
        await stderr_until(worker, "7: acknowledged: a person must check it: .* succeeded")


async def test_the_worker_returns_a_job_whose_outcome_is_unknown() -> None:
    fake = FakeDesk(token=TOKEN)
    fake.fail(**no_ticket(7))
    fake.lose_answer("after", method="POST")
    fake.fail(**FORBIDDEN)
    async with fake.serve() as url:
        async with running(url, WORKER, "7") as worker:
            await stderr_until(worker, "7: returned to the queue: .*conversation 7")
            assert await terminate(worker) == (0, "INFO:worker:stopped\n")
        (ticket,) = fake.tickets
        async with running(url, WORKER, "7") as another:
            await stderr_until(another, f"7: acknowledged: ticket {ticket.id}")
            assert await terminate(another) == (0, "INFO:worker:stopped\n")
    assert fake.tickets == [ticket]


OTHER_SERVERS: dict[str, tuple[int, bytes, str]] = {
    **{f"a page, {status}": (status, b"<html><h1>Whatever</h1></html>", "text/html") for status in (404, 200)},
    **{
        f"JSON, {status}": (status, b'{"errors": [{"code": "not_found", "detail": "Whatever"}]}', "application/json")
        for status in (400, 401, 403, 404, 409, 422, 200)
    },
}


@pytest.mark.parametrize("response", OTHER_SERVERS.values(), ids=OTHER_SERVERS.keys())
async def test_the_worker_returns_every_job_if_the_url_is_that_of_another_web_server(
    response: tuple[int, bytes, str],
) -> None:
    status, body, media_type = response

    def serve(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(http(status, body, f"Content-Type: {media_type}"))

    with RawServer(serve) as server:
        async with running(server.url, WORKER, "1", "2") as worker:
            log = await stderr_until(worker, "(?s)returned.*returned")
            code, rest = await terminate(worker)
    assert (code, rest) == (0, "INFO:worker:stopped\n")
    assert "acknowledged" not in log


async def test_the_worker_returns_every_job_if_desk_rejects_the_token_or_nothing_listens() -> None:
    fake = FakeDesk(token="another")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        async with fake.serve() as url:
            for wrong in (url, f"http://127.0.0.1:{unused.getsockname()[1]}"):
                async with running(wrong, WORKER, "1", "2") as worker:
                    log = await stderr_until(worker, "(?s)returned.*returned")
                    assert (await terminate(worker))[0] == 0
                assert "acknowledged" not in log


@pytest.mark.parametrize("status", [400, 404, 409, 422])
async def test_the_worker_acknowledges_a_job_that_desk_rejects(status: int) -> None:
    fake = FakeDesk(token=TOKEN)
    fake.fail(**respond(status, body={"errors": []}))
    async with fake.serve() as url, running(url, WORKER, "7") as worker:
        await stderr_until(worker, "7: acknowledged: a person must check it")
    assert fake.tickets == []


async def test_a_returned_job_is_delivered_again() -> None:
    fake = FakeDesk(token=TOKEN)
    fake.fail(**FORBIDDEN)
    program = f"""
import asyncio, sys
sys.path.append({str(EXAMPLES)!r})
import worker
worker.REDELIVERY_DELAY = 0
worker.logging.basicConfig(level="INFO")
asyncio.run(worker.main(7))
"""
    async with fake.serve() as url, running(url, "-c", program) as worker:
        await stderr_until(worker, "(?s)7: returned to the queue: .*7: acknowledged: ticket")
        assert await terminate(worker) == (0, "INFO:worker:stopped\n")
    assert [ticket.conversation_id for ticket in fake.tickets] == [7]


async def test_the_worker_finishes_its_running_jobs_after_sigterm() -> None:
    workers: list[Process] = []

    def clock() -> float:
        """Stop the worker. The fake Desk calls its clock for each request, so the first request does this."""
        while workers:
            workers.pop().terminate()
        return time.time()

    fake = FakeDesk(token=TOKEN, clock=clock)
    async with fake.serve() as url, running(url, WORKER, *map(str, range(1, 21))) as worker:
        workers.append(worker)
        code, _, log = await wait_for_exit(worker)
    assert (code, log.splitlines()[-1]) == (0, "INFO:worker:stopped")
    assert log.count("acknowledged: ticket") == 8
    assert sorted(ticket.conversation_id for ticket in fake.tickets) == [1, 2, 3, 4, 5, 6, 7, 8]


async def test_the_script_converts_the_conversations_of_the_domain() -> None:
    fake = FakeDesk(token=TOKEN, conversations=(), rate_limit=1000)
    for number in range(1, 103):
        domain = "acme.example" if number in (1, 2, 50, 102) else "elsewhere.example"
        contact = {"id": number, "type": "email", "value": f"jo@{domain}"}
        fake.add_conversation(number, contact=contact, state="deleted" if number == 50 else "closed")
    fake.add_conversation(103, contact=None, state="closed")
    contact = {"id": 104, "type": "email", "value": "jo@acme.example"}
    fake.add_conversation(104, contact=contact)  # still active
    fake.add_conversation(105, contact=contact, state="closed", updatedAt="2020-01-01T00:00:00Z")
    fake.fail(**respond(409))
    async with fake.serve() as url:
        async with running(url, SCRIPT, "Acme.example") as first:
            code, out, err = await wait_for_exit(first)
        assert [ticket.conversation_id for ticket in fake.tickets] == [2, 102]
        assert out.splitlines() == [f"conversation {t.conversation_id}: ticket {t.id}" for t in fake.tickets]
        assert (code, err.splitlines()[-1]) == (1, "1 of 3 were not converted: check them, and run this again")
        assert "conversation 1: " in err
        async with running(url, SCRIPT, "acme.example") as second:
            code, out, err = await wait_for_exit(second)
        assert (code, out, err) == (0, f"conversation 1: ticket {fake.tickets[-1].id}\n", "")
    assert [ticket.conversation_id for ticket in fake.tickets] == [2, 102, 1]
    assert all(ticket.body["notifyCustomer"] is False for ticket in fake.tickets)


async def test_the_script_does_not_convert_what_someone_else_has_converted_since_the_listing() -> None:
    def clock() -> float:
        """Convert the conversation as someone else, at the first request after the listing."""
        if fake.requests:
            conversation["ticket_id"] = 99
        return time.time()

    fake = FakeDesk(token=TOKEN, conversations=(), clock=clock)
    conversation = fake.add_conversation(1, state="closed")
    async with fake.serve() as url, running(url, SCRIPT, "example.com") as script:
        assert await wait_for_exit(script) == (0, "conversation 1: ticket 99\n", "")
    assert not fake.tickets


@pytest.mark.parametrize(
    ("arguments", "message"), [((), "Convert the closed chats"), (("acme.example",), "AuthenticationError: ")]
)
async def test_the_script_reports_a_missing_argument_or_token(arguments: tuple[str, ...], message: str) -> None:
    fake = FakeDesk(token="another")
    async with fake.serve() as url, running(url, SCRIPT, *arguments) as script:
        code, out, err = await wait_for_exit(script)
    assert (code, out, len(err.splitlines())) == (1, "", 1)
    assert err.startswith(message)
    assert not fake.tickets
