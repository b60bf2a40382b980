"""The fleet delivers a job at least once, converts its conversation once, and loses no job."""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
import os
import random
import signal
import socket
import subprocess
import sys
import traceback
import uuid
from bisect import bisect_right
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import anyio
import httpx
import pytest
from attrs import define, field
from fleet_harness import (
    DEADLINE,
    LEASE,
    QUEUE,
    SETTLE,
    Harness,
    HoldingTransport,
    next_delivery,
    run_delivery,
    until,
    work,
)
from fleet_worker import make_fleet
from raw_server import RawServer, http, read_request
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis_server import redis_server
from taskiq import InMemoryBroker, SendTaskError

from teamwork_desk import (
    AsyncDesk,
    ConfigurationError,
    CustomerRef,
    EntityRef,
    RequestError,
)
from teamwork_desk.fleet import EventHooks, Fleet, Parked
from teamwork_desk.fleet._account import CONCURRENCY, Account
from teamwork_desk.fleet._records import UNKNOWN_KEY
from teamwork_desk.testing import FakeDesk, Fault, RecordedRequest
from teamwork_desk_api.types import encode


@pytest.fixture
def anyio_backend() -> str:
    """Use asyncio only: Taskiq does not support trio."""
    return "asyncio"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with redis_server() as server:
        yield server.connection_url


@pytest.fixture
async def harness(server: str, anyio_backend: str) -> AsyncIterator[Harness]:
    any_redis: Any = Redis  # its types are incomplete
    async with any_redis.from_url(server) as redis, AsyncExitStack() as stack:
        await redis.flushall()
        yield Harness(server, redis, stack)


# A conversation is converted once, and its job leaves no data in Redis.


async def test_a_job_is_converted_and_deleted(harness: Harness) -> None:
    fleet = await harness.worker()
    await fleet.enqueue(
        "acme",
        42,
        subject="Refund",
        customer=CustomerRef(email="jo@example.com"),
        customfields={272: 1613, 1: ["a", {"b": None}]},
        inbox=EntityRef(id=3, type="inboxes"),
        scheduled_email={"sendAt": "2030-01-01T00:00:00Z", "to": [{"id": 1}]},
        tags=["billing", 7],
    )
    await work(fleet)
    (ticket,) = harness.fake.tickets
    assert ticket.conversation_id == 42
    assert ticket.body == {
        "subject": "Refund",
        "customer": {"email": "jo@example.com"},
        "customfields": [{"id": 272, "meta": {"value": 1613}}, {"id": 1, "meta": {"value": ["a", {"b": None}]}}],
        "inbox": {"id": 3, "type": "inboxes"},
        "scheduledEmail": {"sendAt": "2030-01-01T00:00:00Z", "to": [{"id": 1}]},
        "tags": ["billing", {"id": 7}],
    }
    assert await harness.jobs_in_stream() == 0
    assert await harness.redis.xpending_range(QUEUE, QUEUE, "-", "+", 1) == []
    # Only the limiter's key and the empty stream remain: the lease and the count of attempts are deleted.
    assert sorted(await harness.redis.keys()) == [b"LIMITS:LIMITER/teamwork-desk/acme/1000/1/hour", b"jobs"]


async def test_arguments_are_encoded_as_the_client_encodes_them(harness: Harness) -> None:
    fleet = await harness.worker()
    number = uuid.uuid4()
    when = datetime(2030, 1, 1, tzinfo=UTC)
    await fleet.enqueue("acme", 42, customfields={1: number, 2: when}, scheduled_email={"sendAt": when})
    await work(fleet)
    desk = harness.open_desk("acme", {})
    await desk.conversations.convert(43, customfields={1: number, 2: when}, scheduled_email={"sendAt": when})
    await desk.aclose()
    queued, direct = harness.fake.tickets
    assert queued.body == direct.body
    assert queued.body["scheduledEmail"] == {"sendAt": "2030-01-01T00:00:00+00:00"}


async def test_a_job_enqueued_before_the_first_worker_starts_is_not_skipped(harness: Harness) -> None:
    producer = Fleet(harness.url, harness.open_desk, queue=QUEUE)
    await producer.enqueue("acme", 42)
    await producer.broker.shutdown()
    await work(await harness.worker())
    assert len(harness.fake.tickets) == 1


async def test_a_producer_closes_its_connections(harness: Harness) -> None:
    async def connected() -> bool:
        return any(client["name"] == "producer" for client in await harness.redis.client_list())

    async def closed() -> bool:
        return not await connected()

    async with Fleet(f"{harness.url}?client_name=producer", harness.open_desk, queue=QUEUE) as producer:
        await producer.enqueue("acme", 42)
        assert await connected()
    await until(closed, 30)


async def test_a_duplicate_job_does_not_convert_again(harness: Harness) -> None:
    fleet = await harness.worker()
    for _ in range(3):
        await fleet.enqueue("acme", 42)
    await work(fleet, 3)
    assert len(harness.fake.tickets) == 1
    assert await harness.jobs_in_stream() == 0


async def test_no_argument_can_switch_off_the_first_lookup(harness: Harness) -> None:
    fleet = await harness.worker()
    harness.fake.add_conversation(42, ticket_id=7)
    await enqueue_unchecked(fleet, {"verify_first": False})
    await work(fleet)
    assert harness.fake.tickets == []


async def test_the_result_of_a_job_is_the_ticket_id(harness: Harness) -> None:
    fleet = await harness.worker()
    fleet.broker.with_result_backend(InMemoryBroker().result_backend)
    task = await fleet.enqueue("acme", 42)
    poison = await fleet.enqueue("acme", 404)
    await work(fleet, 2)
    assert (await task.status(), await poison.status()) == ("converted", "parked")
    assert await task.wait() == harness.fake.tickets[0].id
    assert await poison.wait(10) is None


async def test_a_producer_waits_until_its_job_has_ended(harness: Harness) -> None:
    fleet = await harness.worker()
    fleet.broker.with_result_backend(InMemoryBroker().result_backend)
    task = await fleet.enqueue("acme", 42)
    with pytest.raises(TimeoutError):
        await task.wait(0)
    waiting = asyncio.create_task(task.wait())
    await work(fleet)
    assert await waiting == harness.fake.tickets[0].id


async def test_a_job_cannot_be_followed_without_a_result_backend(harness: Harness) -> None:
    fleet = await harness.worker()
    task = await fleet.enqueue("acme", 42)
    for look in (task.status, task.wait):
        with pytest.raises(ConfigurationError, match=r"^fleet\.broker has no result backend"):
            await look()


async def test_a_worker_opens_one_client_per_account_and_closes_it_at_shutdown(harness: Harness) -> None:
    desks: list[AsyncDesk] = []

    def open_desk(account: str, event_hooks: EventHooks) -> AsyncDesk:
        desks.append(harness.open_desk(account, event_hooks))
        return desks[-1]

    fleet = Fleet(harness.url, open_desk, queue=QUEUE)
    await fleet.broker.startup()
    for number in (1, 2, 3):
        await fleet.enqueue("acme", number)
        await fleet.enqueue("umbra", number + 10)
    await work(fleet, 6)
    assert harness.opened == ["acme", "umbra"]
    await fleet.broker.shutdown()
    for desk in desks:
        with pytest.raises(ConfigurationError, match="closed"):
            await desk.conversations.get(1)


# Two workers have jobs for the same conversation.


async def test_an_account_in_two_queues_shares_one_lease_and_one_rate(harness: Harness) -> None:
    harness.transport = hold = HoldingTransport(harness.fake.transport, "POST")
    first, second = await harness.worker(), await harness.worker(queue="backlog")
    await first.enqueue("acme", 42)
    await second.enqueue("acme", 42)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run_delivery, first, await next_delivery(first))
        await hold.arrival()
        await work(second)
        hold.released.set()
    assert await harness.redis.xlen("backlog") == 1
    assert [request.method for request in harness.fake.requests] == ["GET", "POST"]
    assert len(await harness.redis.keys("LIMITS:*")) == 1


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_job_that_is_delivered_twice_at_the_same_time_is_converted_once(harness: Harness, method: str) -> None:
    harness.transport = hold = HoldingTransport(harness.fake.transport, method)
    slow, quick = await harness.worker(), await harness.worker()
    await slow.enqueue("acme", 42)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run_delivery, slow, await next_delivery(slow))
        await hold.arrival()
        await harness.age_deliveries()
        await work(quick)
        assert await harness.jobs_in_stream() == 1
        hold.released.set()
    assert await harness.jobs_in_stream() == 0
    assert len(harness.fake.tickets) == 1


async def test_two_jobs_for_one_conversation_do_not_run_at_the_same_time(harness: Harness) -> None:
    harness.transport = hold = HoldingTransport(harness.fake.transport, "GET")
    first, second = await harness.worker(), await harness.worker()
    await first.enqueue("acme", 42)
    await first.enqueue("acme", 42)
    await first.enqueue("umbra", 42)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run_delivery, first, await next_delivery(first))
        await hold.arrival()
        await work(second)
        assert await harness.jobs_in_stream() == 3
        hold.released.set()
        await work(second)  # a conversation of another account that has the same id
    assert await harness.jobs_in_stream() == 1
    await harness.age_deliveries()
    await work(second)
    assert await harness.jobs_in_stream() == 0
    assert len(harness.fake.tickets) == 1  # here both accounts use the same fake Desk


async def test_a_job_of_a_dead_worker_is_delivered_again_without_any_new_job(harness: Harness) -> None:
    dead, alive = await harness.worker(), await harness.worker()
    await dead.enqueue("acme", 42)
    await dead.enqueue("acme", 43)
    await next_delivery(dead)
    await harness.age_deliveries(2 * DEADLINE + SETTLE - 20)
    await work(alive)
    assert [ticket.conversation_id for ticket in harness.fake.tickets] == [
        43
    ]  # the delivery of 42 is not old enough yet
    await harness.age_deliveries()
    await work(alive)
    assert [ticket.conversation_id for ticket in harness.fake.tickets] == [43, 42]


async def test_an_abandoned_job_is_found_behind_a_running_job(harness: Harness) -> None:
    dead, alive = await harness.worker(), await harness.worker()
    await dead.enqueue("acme", 42)
    await dead.enqueue("acme", 43)
    running = json.loads(await next_delivery(dead))
    await next_delivery(dead)
    await harness.age_deliveries()
    await harness.redis.xclaim(QUEUE, QUEUE, "a live worker", 0, [running["labels"]["stream_entry"]])
    await work(alive)
    assert [ticket.conversation_id for ticket in harness.fake.tickets] == [43]


async def test_only_one_worker_gets_an_abandoned_job(harness: Harness) -> None:
    dead, *alive = [await harness.worker() for _ in range(5)]
    await dead.enqueue("acme", 42)
    await next_delivery(dead)
    await harness.age_deliveries()
    for number in (1, 2, 3):
        await dead.enqueue("acme", number)
    deliveries = await asyncio.gather(*map(next_delivery, alive))
    assert sorted(json.loads(delivery)["args"][1] for delivery in deliveries) == [1, 2, 3, 42]


async def test_a_worker_that_slept_longer_than_its_lease_sends_nothing(harness: Harness) -> None:
    harness.transport = hold = HoldingTransport(harness.fake.transport, "GET")
    slept = await harness.worker()
    await slept.enqueue("acme", 42)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run_delivery, slept, await next_delivery(slept))
        await hold.arrival()
        # While the worker is asleep, its lease expires and another worker takes the lease.
        await harness.redis.set(LEASE, "another worker")
        hold.released.set()
    assert harness.fake.tickets == []
    assert await harness.jobs_in_stream() == 1
    assert await harness.redis.get(LEASE) == b"another worker"


async def test_a_late_worker_does_not_convert_a_discarded_job(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "teamwork_desk.fleet")
    late, quick = await harness.worker(), await harness.worker()
    await late.enqueue("acme", 42)
    delivery = await next_delivery(late)
    await harness.age_deliveries()
    harness.fake.fail(status=401, method="POST")
    await work(quick)
    (job,) = await quick.parked()
    await quick.discard(job.id)
    caplog.clear()
    await run_delivery(late, delivery)
    assert harness.fake.tickets == []
    assert await harness.redis.exists(LEASE, f"{QUEUE}:attempts") == 0
    assert [record.message for record in caplog.records if record.name == "teamwork_desk.fleet"] == [
        "conversation 42 of acme is not in the queue any more: somebody has ended it, or Redis has lost it"
    ]


async def test_a_late_worker_does_not_park_a_job_that_another_worker_ended(harness: Harness) -> None:
    harness.transport = hold = HoldingTransport(harness.fake.transport, "GET")
    late, quick = await harness.worker(), await harness.worker()
    harness.fake.add_conversation(42, ticket_id=7)
    await late.enqueue("acme", 42)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run_delivery, late, await next_delivery(late))
        await hold.arrival()
        harness.transport = None
        await harness.age_deliveries()
        await harness.redis.delete(LEASE)
        await work(quick)
        assert await harness.jobs_in_stream() == 0
        harness.fake.fail(status=403, method="GET")
        hold.released.set()
    assert await late.parked() == []


async def test_a_lease_outlasts_a_request_that_is_sent_late(harness: Harness) -> None:
    harness.transport = hold = HoldingTransport(harness.fake.transport, "GET")
    fleet = await harness.worker()
    await fleet.enqueue("acme", 42)
    harness.fake.fail(status=504, method="POST")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run_delivery, fleet, await next_delivery(fleet))
        await hold.arrival()
        # The lookup has taken most of the lease's time.
        await harness.redis.expire(LEASE, 30)
        hold.released.set()
    assert await harness.redis.pttl(LEASE) > SETTLE * 1000


async def test_a_lease_that_expires_during_the_request_does_no_harm(harness: Harness) -> None:
    harness.transport = hold = HoldingTransport(harness.fake.transport, "POST")
    fleet = await harness.worker()
    await fleet.enqueue("acme", 42)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run_delivery, fleet, await next_delivery(fleet))
        await hold.arrival()
        await harness.redis.delete(LEASE)
        hold.released.set()
    assert len(harness.fake.tickets) == 1
    assert await harness.jobs_in_stream() == 0


# A job that may succeed later is retried.


@pytest.mark.parametrize("converted", [False, True])
async def test_a_conversation_with_an_unknown_outcome_is_not_touched_until_it_has_settled(
    harness: Harness, converted: bool
) -> None:
    fleet = await harness.worker()
    await fleet.enqueue("acme", 42)
    await fleet.enqueue("acme", 42)
    harness.fake.fail(status=504, method="POST")
    await work(fleet)
    assert await harness.redis.pttl(LEASE) > SETTLE * 1000
    requests = len(harness.fake.requests)
    await work(fleet)  # the duplicate must wait
    assert len(harness.fake.requests) == requests
    if converted:
        harness.fake.add_conversation(42, ticket_id=7)
    await harness.redis.delete(LEASE)
    await harness.age_deliveries()
    await work(fleet, 2)
    assert len(harness.fake.tickets) == (0 if converted else 1)
    assert await harness.jobs_in_stream() == 0


async def test_a_failure_with_a_known_outcome_releases_the_lease(harness: Harness) -> None:
    fleet = await harness.worker()
    await fleet.enqueue("acme", 42)
    harness.fake.fail(status=429, method="POST", headers={"Retry-After": "0"})
    await work(fleet)
    assert not await harness.redis.exists(LEASE)
    await harness.age_deliveries()
    await work(fleet)
    assert len(harness.fake.tickets) == 1


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_job_that_gets_no_turn_is_never_parked(
    harness: Harness, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    fleet = await harness.worker(max_attempts=1)
    await fleet.enqueue("acme", 42)
    for _ in range(3):
        harness.fake.fail(status=429, method=method, headers={"Retry-After": "0"})
        await work(fleet)
        await harness.age_deliveries()
    assert caplog.text.count("conversation 42 of acme has to wait, and will be retried: RateLimitedError") == 3
    assert await harness.redis.hlen(f"{QUEUE}:attempts") == 0
    assert not await harness.redis.exists(LEASE)
    await work(fleet)
    assert len(harness.fake.tickets) == 1
    assert await fleet.parked() == []


async def test_a_job_without_room_before_its_deadline_is_never_parked(harness: Harness) -> None:
    harness.fake = FakeDesk(rate_limit=2)
    fleet = await harness.worker(max_attempts=1, deadline=5)
    for number in (41, 42):
        await fleet.enqueue("acme", number)
    await work(fleet, 2)
    assert [ticket.conversation_id for ticket in harness.fake.tickets] == [41]
    assert await fleet.parked() == []
    assert await harness.jobs_in_stream() == 1
    assert await harness.redis.hlen(f"{QUEUE}:attempts") == 0


async def test_a_job_that_gets_no_turn_is_retried_even_if_redis_cannot_forget_the_attempt(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = await harness.worker()
    await fleet.enqueue("acme", 42)
    harness.fake.fail(status=429, method="POST", headers={"Retry-After": "0"})

    async def fail(*_: object) -> None:
        raise RedisConnectionError

    monkeypatch.setattr(fleet.broker.records, "report_attempt", fail)
    await work(fleet)
    assert await harness.redis.hvals(f"{QUEUE}:attempts") == [b"1"]
    assert await harness.jobs_in_stream() == 1


async def test_a_job_is_retried_if_redis_fails_before_its_attempt(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fleet = await harness.worker()
    await fleet.enqueue("acme", 42)

    async def fail(*_: object) -> None:
        raise RedisConnectionError

    monkeypatch.setattr(fleet.broker.records, "count_attempt", fail)
    await work(fleet)
    assert "conversation 42 of acme will be retried: Redis cannot be reached (ConnectionError)" in caplog.text
    assert await harness.jobs_in_stream() == 1
    assert harness.fake.requests == []


PAGE = b"<html><h1>Whatever</h1></html>"


@pytest.mark.parametrize("status", [404, 200])
async def test_a_web_server_that_is_not_desk_parks_no_job(
    harness: Harness, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    def respond(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(http(status, PAGE, "Content-Type: text/html"))

    with RawServer(respond) as server:
        harness.urls["acme"], harness.transport = server.url, httpx.AsyncHTTPTransport()
        fleet = await harness.worker(max_attempts=1)
        await fleet.enqueue("acme", 42)
        for _ in range(3):
            await work(fleet)
            await harness.age_deliveries()
    assert await fleet.parked() == []
    assert [record.levelname for record in caplog.records if "will be retried" in record.message] == ["ERROR"] * 3
    assert "conversation 42 of acme has to wait, and will be retried" in caplog.text
    # After the URL is corrected, the job is converted.
    harness.urls["acme"], harness.transport = "https://acme.teamwork.com", None
    await work(await harness.worker(max_attempts=1))
    assert [ticket.conversation_id for ticket in harness.fake.tickets] == [42]


async def test_a_gateway_that_does_not_know_the_path_of_the_conversion_parks_no_job(harness: Harness) -> None:
    fleet = await harness.worker(max_attempts=1)
    await fleet.enqueue("acme", 42)
    harness.fake.fail(status=404, body=PAGE.decode(), method="POST")
    await work(fleet)
    assert await fleet.parked() == []
    assert await harness.jobs_in_stream() == 1


async def test_a_job_whose_lookup_cannot_be_read_is_retried(harness: Harness) -> None:
    fleet = await harness.worker()
    await fleet.enqueue("acme", 42)
    harness.fake.fail(status=200, body="<p>We are back soon.</p>", method="GET")
    await work(fleet)
    assert await harness.jobs_in_stream() == 1
    await harness.age_deliveries()
    await work(fleet)
    assert len(harness.fake.tickets) == 1
    assert await harness.jobs_in_stream() == 0


async def test_a_job_whose_conversion_cannot_be_read_and_shows_no_ticket_is_parked(harness: Harness) -> None:
    fleet = await harness.worker()
    await fleet.enqueue("acme", 42)
    harness.fake.fail(status=200, body="<p>Thank you.</p>", method="POST")
    await work(fleet)
    assert [(job.error.partition(":")[0], job.maybe_applied) for job in await fleet.parked()] == [
        ("ResponseDecodeError", True)
    ]
    assert await harness.jobs_in_stream() == 0


async def test_a_job_that_fails_until_its_last_attempt_is_parked_and_can_be_run_again(harness: Harness) -> None:
    fleet = await harness.worker(max_attempts=2)
    await fleet.enqueue("acme", 42, subject="Refund")
    harness.fake.fail(status=500, times=2, method="POST")
    await work(fleet)
    assert await fleet.parked() == []
    await harness.age_deliveries()
    await work(fleet)
    (job,) = await fleet.parked()
    assert (job.account, job.conversation_id, job.arguments) == ("acme", 42, {"subject": "Refund"})
    assert job.error.startswith("ServerError: ")
    assert await harness.jobs_in_stream() == 0
    await fleet.run_again(job.id)
    await fleet.run_again(job.id)
    assert await fleet.parked() == []
    await work(fleet)
    assert [ticket.body for ticket in harness.fake.tickets] == [{"subject": "Refund"}]
    assert await harness.jobs_in_stream() == 0


async def test_a_job_that_several_people_run_again_is_enqueued_once(harness: Harness) -> None:
    fleet = await harness.worker()
    await fleet.enqueue("acme", 404)
    await work(fleet)
    (job,) = await fleet.parked()
    await asyncio.gather(*[fleet.run_again(job.id) for _ in range(5)])
    assert await harness.jobs_in_stream() == 1
    assert await fleet.parked() == []


@pytest.mark.parametrize("nonsense", ["nonsense", "", "-", "+", "0", "9" * 30, "1-0"])
async def test_an_invalid_parked_id_runs_and_discards_nothing(harness: Harness, nonsense: str) -> None:
    fleet = await harness.worker()
    await fleet.enqueue("acme", 404)
    await work(fleet)
    (job,) = await fleet.parked()
    # An id without its sequence number would also match the job if Redis alone compared it.
    for parked_id in (nonsense, job.id.partition("-")[0]):
        await fleet.run_again(parked_id)
        await fleet.discard(parked_id)
    assert await fleet.parked() == [job]
    assert await harness.jobs_in_stream() == 0


async def test_a_job_that_kills_its_workers_is_parked(harness: Harness) -> None:
    fleet = await harness.worker(max_attempts=2)
    await fleet.enqueue("acme", 42)
    harness.transport = hold = HoldingTransport(harness.fake.transport, "GET")
    for _ in range(2):
        # A cancelled task leaves its lease and its attempt behind, like a process that was killed.
        async with anyio.create_task_group() as killed:
            killed.start_soon(run_delivery, fleet, await next_delivery(fleet))
            await hold.arrival()
            killed.cancel_scope.cancel()
        hold.arrived.clear()
        assert await harness.redis.exists(LEASE)
        await harness.redis.delete(LEASE)
        await harness.age_deliveries()
    await work(fleet)
    (job,) = await fleet.parked()
    assert job.error == "OutcomeUnknownError: attempts exhausted: every worker died before it reported an outcome"
    assert job.maybe_applied
    assert harness.fake.tickets == []


class BuggyDesk(AsyncDesk):
    """A client with a bug: `convert` raises an error of another package."""

    def with_options(self, **options: Any) -> AsyncDesk:
        self.conversations.convert = self.fail  # type: ignore[method-assign]
        return self

    async def fail(self, *_: object, **__: object) -> Any:
        raise RuntimeError("jo@example.com")


def open_buggy_desk(account: str, event_hooks: EventHooks) -> AsyncDesk:
    return BuggyDesk("https://acme.teamwork.com", token="t")


async def test_an_unexpected_error_is_retried_until_the_job_is_parked(harness: Harness) -> None:
    fleet = Fleet(harness.url, open_buggy_desk, deadline=DEADLINE, settle=SETTLE, queue=QUEUE, max_attempts=2)
    await fleet.broker.startup()
    await fleet.enqueue("acme", 42)
    await work(fleet)
    assert await harness.jobs_in_stream() == 1
    assert await harness.redis.exists(LEASE)
    await harness.redis.delete(LEASE)
    await harness.age_deliveries()
    await work(fleet)
    assert [job.error for job in await fleet.parked()] == [
        "OutcomeUnknownError: an attempt may have converted the conversation; the last error was RuntimeError"
    ]
    await fleet.broker.shutdown()


# A conversation that may have been converted stays unknown until a lookup or a response tells.

LOOKUPS_THAT_TELL_NOTHING: dict[str, tuple[int | None, str]] = {
    "the listing does not show the conversation": (None, "NotFoundError: "),
    "the filter is rejected": (400, "ValidationError: "),
    "the lookup is forbidden": (403, "PermissionDeniedError: "),
    "the token was revoked": (401, "AuthenticationError: "),
}


async def leave_unknown(harness: Harness, fleet: Fleet, **arguments: Any) -> None:
    """Run a job whose outcome is unknown, and make it deliverable again. No client remembers it after that."""
    await fleet.enqueue("acme", 42, **arguments)
    harness.fake.fail(status=504, method="POST")
    await work(fleet)
    await harness.redis.delete(LEASE)
    await harness.age_deliveries()


@pytest.mark.parametrize(("status", "last"), LOOKUPS_THAT_TELL_NOTHING.values(), ids=LOOKUPS_THAT_TELL_NOTHING.keys())
async def test_an_unknown_outcome_is_parked_as_unknown_whatever_the_last_error_was(
    harness: Harness, caplog: pytest.LogCaptureFixture, status: int | None, last: str
) -> None:
    await leave_unknown(harness, await harness.worker())
    harness.fake = FakeDesk(conversations=[])
    if status is not None:
        harness.fake.fail(status=status, method="GET")
    fleet = await harness.worker()
    await work(fleet)
    (job,) = await fleet.parked()
    said = "OutcomeUnknownError: an attempt may have converted the conversation; the last error was " + last
    assert job.error.startswith(said)
    assert job.maybe_applied
    assert f"conversation 42 of acme is parked: {said}" in caplog.text


async def test_the_outcome_of_a_worker_that_died_is_unknown(harness: Harness) -> None:
    dead, alive = await harness.worker(), await harness.worker()
    harness.transport = hold = HoldingTransport(harness.fake.transport, "POST")
    await dead.enqueue("acme", 42)
    async with anyio.create_task_group() as killed:
        killed.start_soon(run_delivery, dead, await next_delivery(dead))
        await hold.arrival()
        killed.cancel_scope.cancel()
    await harness.redis.delete(LEASE)
    await harness.age_deliveries()
    harness.transport = None
    harness.fake = FakeDesk(conversations=[])
    await work(alive)
    (job,) = await alive.parked()
    assert job.error.startswith("OutcomeUnknownError: an attempt may have converted")
    assert "NotFoundError" in job.error


async def test_an_unknown_outcome_is_known_after_desk_rejected_the_request_that_followed_a_lookup(
    harness: Harness,
) -> None:
    await leave_unknown(harness, await harness.worker())
    fleet = await harness.worker()
    harness.fake.fail(status=403, method="POST")
    await work(fleet)
    (job,) = await fleet.parked()
    assert job.error.startswith("PermissionDeniedError: ")
    assert not job.maybe_applied
    assert not await harness.redis.exists(UNKNOWN_KEY)


async def test_an_unknown_outcome_stays_unknown_while_lookups_cannot_be_read(harness: Harness) -> None:
    await leave_unknown(harness, await harness.worker())
    for _ in range(2):
        harness.fake.fail(status=200, body="<p>We are back soon.</p>", method="GET")
        await work(await harness.worker())
        await harness.redis.delete(LEASE)
        await harness.age_deliveries()
    harness.fake = FakeDesk(conversations=[])
    fleet = await harness.worker()
    await work(fleet)
    assert [job.maybe_applied for job in await fleet.parked()] == [True]


async def test_an_unknown_outcome_is_parked_as_unknown_if_the_client_cannot_be_opened(harness: Harness) -> None:
    await leave_unknown(harness, await harness.worker())
    harness.urls.clear()
    fleet = await harness.worker()
    await work(fleet)
    (job,) = await fleet.parked()
    assert job.error.startswith("OutcomeUnknownError: an attempt may have converted the conversation; the last error")
    assert "ConfigurationError: open_desk failed: KeyError" in job.error


async def test_a_job_that_is_run_again_keeps_its_unknown_outcome_until_it_is_discarded(harness: Harness) -> None:
    await leave_unknown(harness, await harness.worker())
    harness.fake = FakeDesk(conversations=[])
    fleet = await harness.worker()
    for _ in range(2):
        await work(fleet)
        (job,) = await fleet.parked()
        assert job.maybe_applied
        await fleet.run_again(job.id)
    await work(fleet)
    (job,) = await fleet.parked()
    await fleet.discard(job.id)
    assert not await harness.redis.exists(UNKNOWN_KEY)


async def test_a_second_job_for_a_conversation_with_an_unknown_outcome_is_unknown_too(harness: Harness) -> None:
    await leave_unknown(harness, await harness.worker())
    harness.fake = FakeDesk(conversations=[])
    fleet = await harness.worker()
    await fleet.enqueue("acme", 42)
    await work(fleet, 2)
    first, second = await fleet.parked()
    assert (first.maybe_applied, second.maybe_applied) == (True, True)
    await fleet.discard(first.id)
    assert await harness.redis.exists(UNKNOWN_KEY), "the mark of the second job must stay"
    await fleet.discard(second.id)
    assert not await harness.redis.exists(UNKNOWN_KEY)


async def test_a_late_worker_does_not_hide_that_a_later_attempt_is_unknown(harness: Harness) -> None:
    harness.transport = hold = HoldingTransport(harness.fake.transport, "GET")
    late, quick = await harness.worker(), await harness.worker()
    await late.enqueue("acme", 42)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run_delivery, late, await next_delivery(late))
        await hold.arrival()
        harness.transport = None
        await harness.age_deliveries()
        await harness.redis.delete(LEASE)
        harness.fake.fail(status=504, method="POST")
        await work(quick)
        harness.fake.fail(status=403, method="GET")
        hold.released.set()
    (job,) = await late.parked()
    assert job.maybe_applied


async def test_a_late_worker_reports_an_unknown_outcome_after_a_later_attempt_was_rejected(harness: Harness) -> None:
    fleet = await harness.worker()
    await fleet.enqueue("acme", 42)
    message = fleet.broker.formatter.loads(await next_delivery(fleet))
    late, quick = [await fleet.broker.records.count_attempt(message) for _ in range(2)]
    assert (late.earlier, quick.earlier) == ("", late.mark)
    await fleet.broker.records.report_attempt(message, quick, is_unknown=False, counts=True)
    assert not await harness.redis.exists(UNKNOWN_KEY)
    await fleet.broker.records.report_attempt(message, late, is_unknown=True, counts=True)
    assert await harness.redis.hvals(UNKNOWN_KEY) == [late.mark.encode()]
    assert await fleet.broker.records.park(message, quick, "NotFoundError", is_unknown=False) is not None
    assert [job.maybe_applied for job in await fleet.parked()] == [True]
    # The job has ended, so that a later report must not leave anything behind.
    await harness.redis.delete(UNKNOWN_KEY)
    await fleet.broker.records.report_attempt(message, late, is_unknown=True, counts=True)
    assert not await harness.redis.exists(UNKNOWN_KEY)


async def test_a_late_worker_parks_an_unknown_outcome_after_its_mark_was_removed(harness: Harness) -> None:
    fleet = await harness.worker()
    await fleet.enqueue("acme", 42)
    message = fleet.broker.formatter.loads(await next_delivery(fleet))
    late = await fleet.broker.records.count_attempt(message)
    await harness.redis.delete(UNKNOWN_KEY)
    await fleet.broker.records.park(message, late, "NotFoundError", is_unknown=True)
    assert [job.maybe_applied for job in await fleet.parked()] == [True]
    assert await harness.redis.hvals(UNKNOWN_KEY) == [late.mark.encode()]


SCHEDULED: dict[str, Any] = {"scheduled_email": {"sendAt": "2030-01-01T00:00:00Z"}}


async def test_a_scheduled_email_with_an_unknown_outcome_is_parked_at_once(harness: Harness) -> None:
    fleet = await harness.worker()
    await leave_unknown(harness, fleet, **SCHEDULED)
    (job,) = await fleet.parked()
    assert job.error.startswith("OutcomeUnknownError: it is unknown whether conversation 42 was converted")
    assert job.maybe_applied
    assert await harness.jobs_in_stream() == 0


@pytest.mark.parametrize("again", [{}, SCHEDULED])
async def test_no_job_sends_again_what_may_have_scheduled_an_email(harness: Harness, again: dict[str, Any]) -> None:
    first = await harness.worker()
    await leave_unknown(harness, first, **SCHEDULED)
    (parked,) = await first.parked()
    await first.run_again(parked.id)
    await first.enqueue("acme", 42, **again)
    posts = count_posts(harness.fake)
    fleet = await harness.worker()
    await work(fleet, 2)
    jobs = await fleet.parked()
    assert [job.error for job in jobs] == [
        "OutcomeUnknownError: an earlier attempt may have scheduled an email, whose ticket appears later"
    ] * 2
    assert count_posts(harness.fake) == posts
    # After the ticket has appeared, a lookup shows it.
    harness.fake.add_conversation(42, ticket_id=7)
    await fleet.run_again(jobs[0].id)
    await work(fleet)
    assert await harness.jobs_in_stream() == 0
    assert not await harness.redis.exists(UNKNOWN_KEY)
    # A person has decided that there is no ticket.
    await fleet.discard(jobs[1].id)
    assert await fleet.parked() == []


async def test_a_scheduled_email_of_a_worker_that_died_is_only_looked_up(harness: Harness) -> None:
    dead, alive = await harness.worker(), await harness.worker()
    harness.transport = hold = HoldingTransport(harness.fake.transport, "GET")
    await dead.enqueue("acme", 42, **SCHEDULED)
    async with anyio.create_task_group() as killed:
        killed.start_soon(run_delivery, dead, await next_delivery(dead))
        await hold.arrival()
        killed.cancel_scope.cancel()
    await harness.redis.delete(LEASE)
    await harness.age_deliveries()
    harness.transport = None
    await work(alive)
    assert [job.maybe_applied for job in await alive.parked()] == [True]
    assert count_posts(harness.fake) == 0
    assert not await harness.redis.exists(LEASE)


def count_posts(fake: FakeDesk) -> int:
    return sum(request.method == "POST" for request in fake.requests)


# A job that cannot succeed is parked.

# `convert` rejects an id together with an address. The types are right, so that `enqueue` accepts the job.
BOTH = CustomerRef(id=7, email="jo@example.com")
POISON: dict[str, tuple[str, int, dict[str, Any], str]] = {
    "an unknown conversation": ("acme", 404, {}, "NotFoundError: "),
    "an address that Desk rejects": ("acme", 42, {"customer": "jo at example.com"}, "ValidationError: "),
    "an argument that convert rejects": ("acme", 42, {"customer": BOTH}, "RequestError: customer: "),
    "an unknown account": ("acem", 42, {}, "ConfigurationError: open_desk failed: KeyError"),
}


@pytest.mark.parametrize(("account", "number", "arguments", "error"), POISON.values(), ids=POISON.keys())
async def test_a_job_that_cannot_succeed_is_parked_with_its_error(
    harness: Harness, account: str, number: int, arguments: dict[str, Any], error: str
) -> None:
    fleet = await harness.worker()
    await fleet.enqueue(account, number, **arguments)
    await work(fleet)
    assert await harness.jobs_in_stream() == 0
    assert harness.fake.tickets == []
    (job,) = await fleet.parked()
    assert job.error.startswith(error)
    assert not job.maybe_applied
    assert (job.account, job.conversation_id, job.arguments) == (account, number, encode(arguments))
    assert not await harness.redis.exists(LEASE, UNKNOWN_KEY)
    await fleet.discard(job.id)
    assert await fleet.parked() == []
    assert await harness.redis.xlen(f"{QUEUE}:parked") == 0


async def enqueue_unchecked(fleet: Fleet, arguments: dict[str, Any]) -> None:
    """Add a job without the checks of `enqueue`, as a producer of a newer version might."""
    task: Any = fleet.broker.find_task("teamwork_desk.fleet:convert")
    await task.kiq("acme", 42, arguments)


async def test_a_job_with_an_unknown_argument_is_parked(harness: Harness) -> None:
    fleet = await harness.worker()
    await enqueue_unchecked(fleet, {"subjcet": "Refund"})
    await work(fleet)
    assert [job.error for job in await fleet.parked()] == ["TypeError"]


async def test_a_job_is_parked_if_desk_rejects_the_token(harness: Harness) -> None:
    harness.fake = FakeDesk(token="another")
    fleet = await harness.worker()
    await fleet.enqueue("acme", 42)
    await work(fleet)
    assert [job.error[:20] for job in await fleet.parked()] == ["AuthenticationError:"]


@pytest.mark.parametrize(
    "entry",
    [
        {"data": b"\xff jo@example.com"},
        {"data": b"[]"},
        {"other": b"jo@example.com"},
        {"data": b"[" * 200_000 + b"jo@example.com"},
        {
            "data": json.dumps(
                {"task_id": "1", "task_name": "newer", "labels": {}, "args": ["jo@example.com"], "kwargs": {}}
            )
        },
    ],
)
async def test_an_entry_that_the_worker_cannot_read_stays_in_the_stream(
    harness: Harness, caplog: pytest.LogCaptureFixture, entry: dict[str, bytes]
) -> None:
    fleet = await harness.worker()
    await harness.redis.xadd(QUEUE, entry)
    await fleet.enqueue("acme", 42)
    await work(fleet)
    assert len(harness.fake.tickets) == 1
    assert await harness.jobs_in_stream() == 1
    assert "it stays in the stream" in caplog.text
    assert "jo@example.com" not in caplog.text


# Secrets and personal data stay out of logs, keys, reprs and errors.


async def test_no_log_key_repr_or_error_holds_a_token_or_personal_data(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    fleet = await harness.worker()
    await fleet.enqueue("acme", 42, message="Jo moved", customer="jo@example.com")
    await fleet.enqueue("acme", 43, message="Jo moved", customer="jo at example.com")
    harness.fake.fail(status=504, method="POST")
    await work(fleet, 2)
    parked = await fleet.parked()
    keys: list[bytes] = await harness.redis.keys()
    errors = await harness.redis.xrange(f"{QUEUE}:parked")
    visible = [caplog.text, repr(parked), str(keys), str([fields[b"error"] for _, fields in errors])]
    for text in visible:
        assert "Jo" not in text
        assert "example.com" not in text
    data = [*await harness.redis.xrange(QUEUE), *errors]
    assert "jo@example.com" in str(data)
    assert "hush" not in str([*visible, *data])
    assert "conversation 42 of acme will be retried: OutcomeUnknownError" in caplog.text
    assert "conversation 43 of acme is parked: ValidationError" in caplog.text


def test_the_repr_of_a_parked_job_shows_no_arguments() -> None:
    job = Parked(id="1-0", account="acme", conversation_id=42, arguments={"subject": "Jo"}, error="NotFoundError")
    assert repr(job) == (
        "Parked(id='1-0', account='acme', conversation_id=42, error='NotFoundError', maybe_applied=False)"
    )


# The account's rate.


async def test_workers_share_the_rate_of_an_account(harness: Harness) -> None:
    # The second worker waits for its turn in vain, and the others have all the time that they need.
    first, second = await harness.worker(rate="3/hour"), await harness.worker(rate="3/hour", deadline=0.5)
    for number in (1, 2):
        await first.enqueue("acme", number)
    await work(first)
    await work(second)
    # The second worker has sent no lookup: it would be wasted if the rate has no room for the conversion.
    assert [request.method for request in harness.fake.requests] == ["GET", "POST"]
    assert await harness.jobs_in_stream() == 1
    assert await harness.redis.hlen(f"{QUEUE}:attempts") == 0
    await first.enqueue("umbra", 3)
    await work(first)
    assert len(harness.fake.tickets) == 2


async def test_every_request_counts_against_the_rate(harness: Harness) -> None:
    fleet = await harness.worker(rate="1000/hour")
    await fleet.enqueue("acme", 42)
    harness.fake.lose_answer("after", method="POST")
    await work(fleet)
    assert [request.method for request in harness.fake.requests] == ["GET", "POST", "GET"]
    (key,) = await harness.redis.keys("LIMITS:*")
    assert await harness.redis.llen(key) == 3


async def test_a_request_waits_for_the_next_window(harness: Harness) -> None:
    fleet = await harness.worker(rate="1/second")
    await fleet.enqueue("acme", 42)
    await work(fleet)
    assert len(harness.fake.tickets) == 1


async def test_missing_event_hooks_are_logged(harness: Harness, caplog: pytest.LogCaptureFixture) -> None:
    fleet = Fleet(harness.url, lambda account, _: harness.open_desk(account, {}), queue=QUEUE)
    await fleet.broker.startup()
    await fleet.enqueue("acme", 42)
    await work(fleet)
    await fleet.broker.shutdown()
    assert "open_desk did not pass the event hooks to the client of acme" in caplog.text
    assert len(harness.fake.tickets) == 1


async def test_a_job_waits_for_its_turn_no_longer_than_the_deadline(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    # With one slot, the second job waits until the first one ends.
    monkeypatch.setattr("teamwork_desk.fleet._account.CONCURRENCY", 1)
    harness.transport = hold = HoldingTransport(harness.fake.transport, "GET")
    fleet = await harness.worker()
    await fleet.enqueue("acme", 1)
    await fleet.enqueue("acme", 2)
    deliveries = [await next_delivery(fleet), await next_delivery(fleet)]
    turn = Account.turn

    def turn_without_patience_for_the_second_job(
        account: Account, max_wait: float
    ) -> AbstractAsyncContextManager[None]:
        return turn(account, 0.0 if hold.arrived.is_set() else max_wait)

    monkeypatch.setattr(Account, "turn", turn_without_patience_for_the_second_job)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run_delivery, fleet, deliveries[0])
        await hold.arrival()
        await run_delivery(fleet, deliveries[1])
        assert await harness.redis.hlen(f"{QUEUE}:attempts") == 1
        hold.released.set()
    assert [ticket.conversation_id for ticket in harness.fake.tickets] == [1]
    assert await harness.jobs_in_stream() == 1


# Redis fails.


async def test_a_broken_connection_to_redis_is_retried(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("teamwork_desk.fleet._redis.FIRST_PAUSE", 0.001)
    fleet = await harness.worker()
    await fleet.enqueue("acme", 42)
    real: Callable[..., Any] = fleet.broker.redis.xpending_range
    failures = iter([RedisConnectionError("redis://:hush@localhost")])

    async def fail_once(*arguments: Any, **options: Any) -> Any:
        for failure in failures:
            raise failure
        return await real(*arguments, **options)

    monkeypatch.setattr(fleet.broker.redis, "xpending_range", fail_once)
    await work(fleet)
    assert len(harness.fake.tickets) == 1


async def test_the_socket_timeout_detects_a_dead_connection_to_redis(harness: Harness) -> None:
    # A read blocks for a while, so a timeout shorter than that would break every idle connection.
    broker = (await harness.worker()).broker
    assert broker.block / 1000 < broker.connection_pool.connection_kwargs["socket_timeout"] < 60


async def test_enqueue_raises_an_error_if_redis_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    fleet = Fleet("redis://localhost", open_buggy_desk)

    async def fail(*_: object) -> None:
        raise RedisConnectionError

    monkeypatch.setattr(fleet.broker, "kick", fail)
    with pytest.raises(SendTaskError) as caught:
        await fleet.enqueue("acme", 42)
    assert isinstance(caught.value.__cause__, RedisConnectionError)


async def test_a_cancellation_that_redis_py_swallows_still_ends_the_listening(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = await harness.worker()

    async def swallow(*_: object, **__: object) -> list[Any]:
        listening.cancel()  # the cancellation and the response arrive at the same time
        return []

    monkeypatch.setattr(fleet.broker.redis, "xreadgroup", swallow)
    listening = asyncio.ensure_future(anext(fleet.broker.listen()))
    with pytest.raises(StopAsyncIteration), anyio.fail_after(30):
        await listening


async def test_a_job_whose_end_cannot_be_recorded_is_delivered_again(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = await harness.worker(settle=0.1)
    fleet.broker.with_result_backend(InMemoryBroker().result_backend)
    task = await fleet.enqueue("acme", 42)

    async def fail(*_: object) -> None:
        raise RedisConnectionError

    with monkeypatch.context() as patch:
        patch.setattr(fleet.broker.records, "finish", fail)
        await work(fleet)
    assert len(harness.fake.tickets) == await harness.jobs_in_stream() == 1
    assert await task.status() == "waiting"
    await harness.age_deliveries()
    await work(fleet)
    assert await task.wait() == harness.fake.tickets[0].id
    assert len(harness.fake.tickets) == 1
    assert await harness.jobs_in_stream() == 0


# Invalid input is rejected.


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"in": value}
    return value


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rate": "often"}, "rate: expected"),
        ({"rate": "10/second; 120/minute"}, "rate: expected"),
        ({"rate": "0/minute"}, "rate: expected"),
        ({"max_attempts": 0}, "max_attempts: expected"),
        ({"max_attempts": "3"}, "max_attempts: expected"),
        ({"deadline": "1"}, "deadline, settle: expected"),
        ({"deadline": 0.0004}, "deadline, settle: expected"),
        ({"deadline": 0}, "deadline, settle: expected"),
        ({"deadline": float("inf")}, "deadline, settle: expected"),
        ({"settle": -1}, "deadline, settle: expected"),
        ({"settle": float("nan")}, "deadline, settle: expected"),
    ],
)
def test_invalid_options_are_rejected(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Fleet("redis://localhost", open_buggy_desk, **options)


@pytest.mark.parametrize(
    "url",
    ["", "localhost:6379", "redis://:hush/1@localhost", "redis://:hush#1@localhost", "redis://h?max_connections=hush"],
)
def test_an_invalid_redis_url_is_rejected_without_showing_its_password(url: str) -> None:
    with pytest.raises(ConfigurationError, match="redis_url: expected") as caught:
        Fleet(url, open_buggy_desk)
    assert "hush" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("account", "number", "arguments"),
    [
        ("acme", "42", {}),
        ("acme", True, {}),
        (7, 42, {}),
        ("acme\ud800", 42, {}),
        ("acme", 42, {"customer": object()}),
        ("acme", 42, {"scheduled_email": {"at": datetime(2030, 1, 1)}}),  # noqa: DTZ001 - the time zone is missing
        ("acme", 42, {"customer": {"address": "jo@example.com"}}),
        ("acme", 42, {"inbox": EntityRef(id=3, additional_properties={"color": "red"})}),
        ("acme", 42, {"subject": "\ud800"}),
        ("acme", 42, {"scheduled_email": {"at": float("nan")}}),
        ("acme", 42, {"scheduled_email": nested(300)}),
        ("acme", 42, {"scheduled_email": nested(100_000)}),
    ],
)
async def test_a_job_that_json_cannot_encode_is_rejected(account: Any, number: Any, arguments: dict[str, Any]) -> None:
    fleet = Fleet("redis://localhost", open_buggy_desk)
    with pytest.raises(
        RequestError,
        match=r"expected a|that JSON can encode|no JSON form|unknown|needs a time zone",
    ):
        await fleet.enqueue(account, number, **arguments)


@pytest.mark.parametrize(
    ("name", "shown"),
    [("subjcet", "subjcet (did you mean subject?)"), ("verify_first", "verify_first"), ("jo@example.com", "...")],
)
async def test_an_argument_that_a_job_does_not_accept_is_rejected(name: str, shown: str) -> None:
    fleet = Fleet("redis://localhost", open_buggy_desk)
    arguments: dict[str, Any] = {name: False}
    with pytest.raises(RequestError) as caught:
        await fleet.enqueue("acme", 42, **arguments)
    assert str(caught.value) == f"unknown argument: {shown}"


def test_without_the_extra_the_import_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("teamwork_desk.fleet")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "taskiq", None)
    with pytest.raises(ImportError, match=r'pip install "teamwork-desk\[fleet\]"') as caught:
        importlib.import_module("teamwork_desk.fleet")
    assert isinstance(caught.value.__cause__, ImportError)


# The workers are real processes, with sockets and signals.

TESTS = Path(__file__).parent


@define
class Processes:
    """Worker processes, started as the README says. Each worker is one process."""

    environment: dict[str, str]
    log: IO[bytes]
    alive: list[subprocess.Popen[bytes]] = field(factory=list[subprocess.Popen[bytes]])

    def start(self, workers: int) -> None:
        command = [sys.executable, "-m", "taskiq", "worker", "fleet_worker:broker", "--workers", "1"]
        environment = {**os.environ, **self.environment}
        for _ in range(workers):
            self.alive.append(
                subprocess.Popen(command, cwd=TESTS, env=environment, stderr=self.log, start_new_session=True)
            )

    def kill(self) -> None:
        """Send SIGKILL to the oldest worker and to its parent process, which would start a new worker instead."""
        process = self.alive.pop(0)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    async def stop(self, workers: int) -> None:
        """Send SIGTERM to the oldest workers, and check that they end without an error."""
        stopped = self.alive[:workers]
        for process in stopped:
            process.terminate()
        for process in stopped:
            assert await asyncio.to_thread(process.wait, 60) == 0
        self.alive = self.alive[workers:]


@pytest.fixture
def processes(server: str, tmp_path: Path) -> Iterator[Processes]:
    with (tmp_path / "log").open("wb") as log:
        processes = Processes({"FLEET_REDIS": server}, log)
        try:
            yield processes
        finally:
            while processes.alive:
                processes.kill()


async def test_a_worker_finishes_its_running_job_on_sigterm(harness: Harness, processes: Processes) -> None:
    fake = FakeDesk(token="token-of-acme")
    async with fake.serve() as url:
        processes.environment |= {"FLEET_DESKS": json.dumps({"acme": url}), "FLEET_RATE": "1/second"}
        processes.environment |= {"FLEET_DEADLINE": "120"}  # no response may come too late on a busy machine
        fleet = make_fleet(processes.environment)
        processes.start(1)
        await fleet.enqueue("acme", 42)

        async def the_job_runs() -> bool:
            return bool(fake.requests)

        await until(the_job_runs)
        await fleet.enqueue("acme", 43)
        await processes.stop(1)
        await fleet.broker.shutdown()
    # The worker may have started job 43 before the signal reached it. Otherwise the job is still in the stream.
    assert 42 in [ticket.conversation_id for ticket in fake.tickets]
    assert await harness.redis.xlen("teamwork-desk") == 2 - len(fake.tickets)


async def test_a_worker_that_is_stopped_after_it_renewed_its_lease_sends_nothing_when_it_continues(
    harness: Harness, processes: Processes, tmp_path: Path
) -> None:
    fake = FakeDesk(token="token-of-acme")
    stopped = tmp_path / "stopped"
    async with fake.serve() as url:
        processes.environment |= {"FLEET_DESKS": json.dumps({"acme": url}), "FLEET_RATE": "100/second"}
        other = make_fleet({**processes.environment, "FLEET_DEADLINE": "120"})
        await other.broker.startup()
        harness.stack.push_async_callback(other.broker.shutdown)
        processes.environment |= {"FLEET_STOP_BEFORE_BODY": str(stopped)}
        processes.start(1)
        await other.enqueue("acme", 42)

        async def the_worker_has_stopped() -> bool:
            return stopped.exists() and bool(stopped.read_text())

        async def the_lease_has_expired() -> bool:
            return not await harness.redis.exists(LEASE)

        await until(the_worker_has_stopped)
        await until(the_lease_has_expired)
        await other.enqueue("acme", 42)
        await work(other)
        assert len(fake.tickets) == 1
        os.kill(int(stopped.read_text()), signal.SIGCONT)
        await processes.stop(1)
    assert len(fake.tickets) == 1


CONVERSATIONS = 500
"""How many conversations each account has."""
ACCOUNTS = ("acme", "umbra", "stark", "wayne")
LIMIT, WINDOW = 160, 2
FAULTS: tuple[Fault, ...] = (
    "rate limited",
    "answer lost before the work",
    "answer lost after the work",
    "server error before the work",
    "server error after the work",
    "timeout after the work",
    "timeout while the work goes on",
    "gateway timeout before the work",
    "gateway timeout after the work",
    "gateway timeout while the work goes on",
    "unreadable answer",
    "answer cut off",
)


class RequestsWithFaults(list[RecordedRequest]):
    """The requests to a fake Desk, and when each was sent. Every 15th request injects a fault into a later request."""

    def __init__(self, fake: FakeDesk, rng: random.Random) -> None:
        super().__init__()
        self.fake, self.rng = fake, rng
        self.times: list[float] = []

    def append(self, request: RecordedRequest) -> None:
        super().append(request)
        self.times.append(float(request.headers["X-Sent-At"]))
        if len(self) < CONVERSATIONS * 2 and len(self) % 15 == 0:
            self.fake.inject(self.rng.choice(FAULTS), method="POST", lasts=1.0)

    def most_in_a_window(self) -> int:
        """Return the largest number of requests that were sent within the length of a rate window."""
        times = sorted(self.times)
        return max(bisect_right(times, begin + WINDOW) - i for i, begin in enumerate(times))


@pytest.mark.campaign
async def test_no_job_is_lost_if_redis_is_killed_and_restarts_with_its_data(
    processes: Processes, tmp_path: Path
) -> None:
    any_redis: Any = Redis
    options = {"appendonly": "yes", "appendfsync": "always"}
    numbers = range(1, 101)
    fake = FakeDesk(token="token-of-acme", conversations=numbers, rate_limit=10**6)
    with redis_server(data_dir=tmp_path / "redis", **options) as server:
        redis_url = server.connection_url
        async with fake.serve() as url:
            processes.environment |= {"FLEET_REDIS": redis_url, "FLEET_DESKS": json.dumps({"acme": url})}
            processes.environment |= {"FLEET_RATE": "50/second"}
            fleet = make_fleet(processes.environment)
            for number in numbers:
                await fleet.enqueue("acme", number)
            await fleet.broker.shutdown()
            processes.start(2)

            async def enough_tickets() -> bool:
                return len(fake.tickets) >= 30

            async def both_workers_have_noticed() -> bool:
                log = await anyio.Path(processes.log.name).read_text()
                return log.count("Redis cannot be reached") >= 2

            await until(enough_tickets)
            server.terminate()
            await until(both_workers_have_noticed)
            server.start()
            async with any_redis.from_url(redis_url) as redis:

                async def is_done() -> bool:
                    return int(await redis.xlen("teamwork-desk")) == 0

                await until(is_done)
                assert await redis.xlen("teamwork-desk:parked") == 0
            await processes.stop(2)
    assert sorted(ticket.conversation_id for ticket in fake.tickets) == list(numbers)


@pytest.mark.campaign
async def test_a_fleet_whose_workers_are_killed_converts_each_conversation_once(
    harness: Harness, processes: Processes
) -> None:
    seed = random.randrange(10**9)
    rng = random.Random(seed)
    numbers = range(1, CONVERSATIONS + 1)
    fakes: dict[str, FakeDesk] = {}
    arrivals: dict[str, RequestsWithFaults] = {}
    urls: dict[str, str] = {}
    async with AsyncExitStack() as stack:
        for name in ACCOUNTS:
            fake = FakeDesk(token=f"token-of-{name}", conversations=numbers, rate_limit=LIMIT, window=WINDOW)
            fakes[name], arrivals[name] = fake, RequestsWithFaults(fake, rng)
            fake.requests = arrivals[name]
            urls[name] = await stack.enter_async_context(fake.serve())
        processes.environment |= {"FLEET_DESKS": json.dumps(urls), "FLEET_RATE": f"{LIMIT}/{WINDOW} second"}
        fleet = make_fleet(processes.environment)
        stack.push_async_callback(fleet.broker.shutdown)

        jobs: list[tuple[str, int, dict[str, Any]]] = [(name, number, {}) for name in ACCOUNTS for number in numbers]
        jobs += rng.sample(jobs, 100)  # duplicates
        poison: list[tuple[str, int, dict[str, Any]]] = [("unknown", 1, {}), ("acme", 3, {"customer": BOTH})]
        poison += [(name, 10**6, {}) for name in ACCOUNTS]
        poison += [(name, number, {"customer": BOTH}) for name in ACCOUNTS for number in (1, 2)]
        jobs += poison
        rng.shuffle(jobs)

        async def enqueue(remaining: Iterator[tuple[str, int, dict[str, Any]]]) -> None:
            for account, number, arguments in remaining:
                await fleet.enqueue(account, number, **arguments)

        async def until_converted(tickets: int) -> None:
            async def enough_tickets() -> bool:
                return sum(len(fake.tickets) for fake in fakes.values()) >= tickets

            await until(enough_tickets)

        async def is_done() -> bool:
            return int(await harness.redis.xlen("teamwork-desk")) == 0

        processes.start(4)
        async with anyio.create_task_group() as producers:
            remaining = iter(jobs)
            for _ in range(4):
                producers.start_soon(enqueue, remaining)
            for tickets in (300, 700, 1100):
                await until_converted(tickets)
                processes.kill()
                processes.start(1)
            await until_converted(1400)
            await processes.stop(1)
            processes.start(1)
        await until(is_done)
        await processes.stop(4)
        parked = [
            (job.account, job.conversation_id, job.arguments)
            for job in await fleet.parked()
            # Such a job was converted, but the rate window had no room to look its ticket up before the deadline.
            if not job.error.startswith("ResponseDecodeError")
        ]
    for name, fake in fakes.items():
        not_converted_once = {
            number: times
            for number in numbers
            if (times := sum(ticket.conversation_id == number for ticket in fake.tickets)) != 1
        }
        assert not not_converted_once, (seed, name)
        # The rate allows a conversion before its job runs. So when a window starts, each slot of the four workers may
        # still have a conversion that the previous window has allowed, and each worker a lookup.
        late_requests = (CONCURRENCY + 1) * 4
        assert arrivals[name].most_in_a_window() <= LIMIT + late_requests, (seed, name)
    sent = [(account, number, encode(arguments)) for account, number, arguments in poison]
    assert sorted(map(str, parked)) == sorted(map(str, sent)), seed
    assert await harness.redis.hlen("teamwork-desk:attempts") == 0
