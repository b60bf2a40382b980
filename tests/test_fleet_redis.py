"""The fleet and a Redis that fails over, forgets, is full, or cannot be used: nothing is lost or silent."""

from __future__ import annotations

import asyncio
import logging
import re
import select
import socket
import traceback
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import pytest
import trustme
from fleet_harness import QUEUE, Harness, HoldingTransport, next_delivery, run_delivery, until, work
from raw_server import RawServer, server_tls
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis_server import Proxy, free_port, redis_server
from taskiq import SendTaskError

from teamwork_desk import AsyncDesk, ConfigurationError
from teamwork_desk.fleet import Fleet
from teamwork_desk.fleet._redis import Fault, Trouble, explain
from teamwork_desk.fleet._setup import check_server

LOST = "Redis has lost the queue jobs"


@pytest.fixture
def anyio_backend() -> str:
    """Use asyncio only: Taskiq does not support trio."""
    return "asyncio"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait only a moment before Redis is tried again."""
    for name in ("_redis.FIRST_PAUSE", "_redis.LONGEST_PAUSE", "_worker.RECORD_PAUSE"):
        monkeypatch.setattr(f"teamwork_desk.fleet.{name}", 0.01)


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    with redis_server() as server:
        yield server


@asynccontextmanager
async def harness_of(server: Any, url: str | None = None) -> AsyncGenerator[Harness]:
    """A harness whose workers reach a server through a URL. Its own connections lead to the server."""
    any_redis: Any = Redis
    async with any_redis.from_url(server.connection_url) as redis, AsyncExitStack() as stack:
        yield Harness(url or server.connection_url, redis, stack)


@pytest.fixture
async def harness(server: Any, anyio_backend: str) -> AsyncIterator[Harness]:
    async with harness_of(server) as harness:
        await harness.redis.flushall()
        yield harness


@pytest.fixture
async def proxy(harness: Harness, server: Any) -> AsyncIterator[Proxy]:
    """A proxy between the workers of the harness and Redis."""
    async with Proxy(server.port).serve() as proxy:
        harness.url = proxy.url
        yield proxy


@asynccontextmanager
async def listening(fleet: Fleet) -> AsyncGenerator[asyncio.Task[bytes]]:
    """A worker that waits for a job meanwhile."""
    task = asyncio.ensure_future(next_delivery(fleet))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def blocks(harness: Harness) -> bool:
    """Return whether a worker waits for a job."""
    return any(client["cmd"] == "xreadgroup" for client in await harness.redis.client_list())


def lines(caplog: pytest.LogCaptureFixture, text: str) -> list[str]:
    """Return the levels of the log lines that contain a text."""
    return [record.levelname for record in caplog.records if text in record.message]


# Error replies.

REPLIES: dict[str, tuple[str, str]] = {
    "READONLY You can't write against a read only replica.": ("WARNING", "replica, which accepts no write (READONLY)"),
    "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)": (
        "WARNING",
        "it has become a replica, or has lost the queue's stream (UNBLOCKED)",
    ),
    "NOGROUP No such key 'jobs' or consumer group 'jobs'": ("WARNING", "(NOGROUP)"),
    "NOREPLICAS Not enough good replicas to write.": ("WARNING", "it has fewer replicas than it needs"),
    "LOADING Redis is loading the dataset in memory": ("WARNING", "it is loading its data (LOADING)"),
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.": ("WARNING", "(MASTERDOWN)"),
    "CLUSTERDOWN Hash slot not served": ("WARNING", "its cluster is down (CLUSTERDOWN)"),
    "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.": ("WARNING", "(BUSY)"),
    "OOM command not allowed when used memory > 'maxmemory'.": ("WARNING", "its memory is full (maxmemory) (OOM)"),
    "TRYAGAIN Multiple keys request during rehashing of slot": ("WARNING", "its cluster is moving keys (TRYAGAIN)"),
    "MISCONF Redis is configured to save RDB snapshots": ("WARNING", "it cannot write its data to the disk (MISCONF)"),
    "ERR Error running script (call to f_1): @user_script:1: -READONLY You can't write": ("WARNING", "(READONLY)"),
    "ERR max number of clients reached": ("WARNING", "Redis cannot be reached (ConnectionError)"),
    "ERR something else with jo@example.com": ("WARNING", "Redis does not serve the queue (ResponseError)"),
    "NOAUTH Authentication required.": ("ERROR", "it rejects the user name or the password of redis_url, or needs one"),
    "WRONGPASS invalid username-password pair or user is disabled.": ("ERROR", "it rejects the user name"),
    "NOPERM User jo@example.com has no permissions to run the 'xadd' command": ("ERROR", "lacks a permission (NOPERM)"),
    "WRONGTYPE Operation against a key holding the wrong kind of value": ("ERROR", "choose another name for the queue"),
    "CROSSSLOT Keys in request don't hash to the same slot": ("ERROR", "it runs in cluster mode"),
    "MOVED 3999 127.0.0.1:6381": ("ERROR", "it runs in cluster mode, which is not supported (MOVED)"),
}


@pytest.mark.parametrize(("reply", "expected"), REPLIES.items())
async def test_a_worker_goes_on_after_an_error_reply(
    harness: Harness, proxy: Proxy, caplog: pytest.LogCaptureFixture, reply: str, expected: tuple[str, str]
) -> None:
    caplog.set_level(logging.INFO, "teamwork_desk.fleet")
    fleet = await harness.worker()
    await fleet.enqueue("acme", 42)
    proxy.error = reply
    async with listening(fleet) as delivery:
        for _ in range(3):
            await asyncio.wait_for(proxy.refused.wait(), 30)
            proxy.refused.clear()
        proxy.error = None
        await run_delivery(fleet, await delivery)
    assert [ticket.conversation_id for ticket in harness.fake.tickets] == [42]
    assert await harness.jobs_in_stream() == 0
    level, words = expected
    assert lines(caplog, words) == [level]
    assert lines(caplog, "Redis serves the queue again, after") == ["INFO"]
    assert LOST not in caplog.text
    assert "jo@example.com" not in caplog.text


async def test_a_worker_goes_on_after_its_connections_are_reset(harness: Harness, proxy: Proxy) -> None:
    fleet = await harness.worker()
    await fleet.enqueue("acme", 42)
    proxy.resets = True
    async with listening(fleet) as delivery:
        await asyncio.wait_for(proxy.refused.wait(), 30)
        proxy.resets = False
        await run_delivery(fleet, await delivery)
    assert len(harness.fake.tickets) == 1


async def test_a_job_that_ends_during_a_failover_ends_when_redis_serves_again(
    harness: Harness, proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    harness.transport = hold = HoldingTransport(harness.fake.transport, "POST")
    fleet = await harness.worker()
    await fleet.enqueue("acme", 42)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run_delivery, fleet, await next_delivery(fleet))
        await hold.arrival()
        proxy.error = "NOREPLICAS Not enough good replicas to write."
        hold.released.set()
        await asyncio.wait_for(proxy.refused.wait(), 30)
        proxy.error = None
    assert len(harness.fake.tickets) == 1
    assert await harness.jobs_in_stream() == 0
    assert "will be retried" not in caplog.text


async def test_a_failover_between_the_lookup_and_the_conversion_is_waited_for(harness: Harness, proxy: Proxy) -> None:
    harness.transport = hold = HoldingTransport(harness.fake.transport, "GET")
    fleet = await harness.worker()
    await fleet.enqueue("acme", 42)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run_delivery, fleet, await next_delivery(fleet))
        await hold.arrival()
        proxy.error = "READONLY You can't write against a read only replica."
        hold.released.set()
        await asyncio.wait_for(proxy.refused.wait(), 30)
        assert harness.fake.tickets == []
        proxy.error = None
    assert await harness.jobs_in_stream() == len(await harness.redis.xpending_range(QUEUE, QUEUE, "-", "+", 9))
    assert len(harness.fake.tickets) + await harness.jobs_in_stream() == 1


async def test_a_worker_receives_no_further_job_while_jobs_fail_because_of_redis(
    harness: Harness, proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    fleet = await harness.worker()
    for number in (1, 2):
        await fleet.enqueue("acme", number)
    first = await next_delivery(fleet)
    proxy.error = "OOM command not allowed when used memory > 'maxmemory'."
    await run_delivery(fleet, first)
    assert lines(caplog, "conversation 1 of acme will be retried: Redis does not serve the queue") == ["WARNING"]
    proxy.refused.clear()
    async with listening(fleet) as delivery:
        await asyncio.wait_for(proxy.refused.wait(), 30)
        # Redis would deliver the second job: reading needs no memory.
        assert (await harness.redis.xpending(QUEUE, QUEUE))["pending"] == 1
        proxy.error = None
        await run_delivery(fleet, await delivery)
    await harness.age_deliveries()
    await work(fleet)
    assert sorted(ticket.conversation_id for ticket in harness.fake.tickets) == [1, 2]


async def test_the_same_failure_is_logged_once_a_minute_and_the_pauses_are_bounded(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pauses: list[float] = []
    clock = [1000.0]

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        clock[0] += seconds

    monkeypatch.setattr("teamwork_desk.fleet._redis.FIRST_PAUSE", 1.0)
    monkeypatch.setattr("teamwork_desk.fleet._redis.LONGEST_PAUSE", 15.0)
    monkeypatch.setattr("teamwork_desk.fleet._redis.random.uniform", max)
    monkeypatch.setattr("teamwork_desk.fleet._redis.asyncio.sleep", sleep)
    monkeypatch.setattr("teamwork_desk.fleet._redis.time.monotonic", lambda: clock[0])
    trouble = Trouble()
    while clock[0] < 1000 + 130:
        await trouble.wait(RedisTimeoutError("redis://:hush@localhost"))
    assert pauses[:6] == [1, 2, 4, 8, 15, 15]
    assert lines(caplog, "Redis cannot be reached (TimeoutError)") == ["WARNING"] * 3
    assert "hush" not in caplog.text
    clock[0] += 61
    trouble.end()
    await trouble.wait(RedisTimeoutError())
    assert pauses[-1] == 1


# Failovers of real servers.


@pytest.fixture
def replica() -> Iterator[Any]:
    with redis_server() as replica:
        yield replica


async def replicate(replica: Any, primary: Any) -> None:
    """Make one server the replica of another, and wait until it has the data."""
    async with client(replica) as redis:
        await redis.replicaof("127.0.0.1", primary.port)

        async def is_up() -> bool:
            return bool((await redis.info("replication"))["master_link_status"] == "up")

        await until(is_up, 30)


def client(server: Any) -> Any:
    any_redis: Any = Redis
    return any_redis.from_url(server.connection_url)


async def test_a_worker_that_waits_for_a_job_goes_on_after_its_redis_was_demoted_for_a_while(
    harness: Harness, server: Any, replica: Any, caplog: pytest.LogCaptureFixture
) -> None:
    await replicate(replica, server)
    fleet = await harness.worker()
    async with listening(fleet) as delivery:
        await until(lambda: blocks(harness), 30)
        async with client(replica) as promoted:
            await promoted.replicaof("NO", "ONE")
        await harness.redis.replicaof("127.0.0.1", replica.port)

        async def has_noticed() -> bool:
            return bool(lines(caplog, "READONLY"))

        await until(has_noticed, 30)
        await harness.redis.replicaof("NO", "ONE")
        await fleet.enqueue("acme", 42)
        await run_delivery(fleet, await delivery)
    assert len(harness.fake.tickets) == 1
    assert lines(caplog, "UNBLOCKED") == ["WARNING"]
    assert LOST not in caplog.text


async def test_a_job_that_is_added_while_the_idle_connections_are_closed_is_added(harness: Harness) -> None:
    fleet = await harness.worker()
    for turns in range(60):
        await asyncio.gather(fleet.enqueue("acme", 1), fleet.enqueue("acme", 1))  # now two connections are idle

        async def add(turns: int = turns % 12) -> None:
            for _ in range(turns):
                await asyncio.sleep(0)
            await fleet.enqueue("acme", 2)

        await asyncio.gather(fleet.broker.suspect(RedisError()), add())
    assert await harness.redis.xlen(QUEUE) == 180


async def test_a_worker_and_a_producer_follow_the_address_to_the_new_primary(
    harness: Harness, proxy: Proxy, server: Any, replica: Any, caplog: pytest.LogCaptureFixture
) -> None:
    # The former primary lives on as a replica, and keeps the connections of the worker and of the producer.
    producer = Fleet(harness.url, harness.open_desk, queue=QUEUE)
    await producer.enqueue("acme", 1)
    fleet = await harness.worker()
    harness.transport = hold = HoldingTransport(harness.fake.transport, "POST")
    async with client(replica) as promoted, anyio.create_task_group() as tasks:
        tasks.start_soon(run_delivery, fleet, await next_delivery(fleet))
        await hold.arrival()
        await replicate(replica, server)
        await promoted.replicaof("NO", "ONE")
        await harness.redis.replicaof("127.0.0.1", replica.port)
        proxy.target = replica.port
        hold.released.set()
        with pytest.raises(SendTaskError):
            await producer.enqueue("acme", 2)
        await producer.enqueue("acme", 2)
        await work(fleet)

        async def is_done() -> bool:
            return int(await promoted.xlen(QUEUE)) == 0

        await until(is_done, 30)
    await producer.broker.shutdown()
    await harness.redis.replicaof("NO", "ONE")
    assert [ticket.conversation_id for ticket in harness.fake.tickets] == [1, 2]
    assert LOST not in caplog.text


async def test_a_replica_that_was_promoted_without_the_stream_gets_it_again(
    harness: Harness, proxy: Proxy, replica: Any, caplog: pytest.LogCaptureFixture
) -> None:
    fleet = await harness.worker()
    await fleet.enqueue("acme", 1)
    await work(fleet)
    proxy.target, proxy.resets = replica.port, True
    async with listening(fleet) as delivery:
        await asyncio.wait_for(proxy.refused.wait(), 30)
        proxy.resets = False

        async def has_noticed() -> bool:
            return bool(lines(caplog, LOST))

        await until(has_noticed, 30)
        await fleet.enqueue("acme", 2)
        await run_delivery(fleet, await delivery)
    assert lines(caplog, LOST) == ["ERROR"]
    assert [ticket.conversation_id for ticket in harness.fake.tickets] == [1, 2]


# A server that forgets.


async def test_a_worker_says_that_redis_was_flushed_and_goes_on(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    fleet, other = await harness.worker(), await harness.worker()
    async with listening(fleet) as delivery, listening(other):

        async def both_block() -> bool:
            return [one["cmd"] for one in await harness.redis.client_list()].count("xreadgroup") == 2

        await until(both_block, 30)
        await harness.redis.flushall()

        async def both_have_noticed() -> bool:
            return len(lines(caplog, LOST)) == 2

        await until(both_have_noticed, 30)
        for number in (1, 2):
            await fleet.enqueue("acme", number)
        await run_delivery(fleet, await delivery)
    assert len(harness.fake.tickets) == 1


async def test_a_worker_says_that_redis_came_back_without_its_data(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with redis_server() as server:
        async with harness_of(server) as harness:
            fleet = await harness.worker()
            await fleet.enqueue("acme", 1)
            await work(fleet)
            server.terminate()
            async with listening(fleet) as delivery:

                async def has_noticed() -> bool:
                    return bool(lines(caplog, "Redis cannot be reached"))

                await until(has_noticed, 30)
                server.start()
                # A producer comes first, and must not hide the loss.
                async with Fleet(harness.url, harness.open_desk, queue=QUEUE) as producer:
                    await producer.enqueue("acme", 2)
                await run_delivery(fleet, await delivery)
            assert lines(caplog, LOST) == ["ERROR"]
            assert [ticket.conversation_id for ticket in harness.fake.tickets] == [1, 2]


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_job_that_redis_lost_while_it_ran_is_named(
    harness: Harness, caplog: pytest.LogCaptureFixture, method: str
) -> None:
    harness.transport = hold = HoldingTransport(harness.fake.transport, method)
    fleet = await harness.worker()
    await fleet.enqueue("acme", 42)
    harness.fake.fail(status=401 if method == "GET" else 500, method=method)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run_delivery, fleet, await next_delivery(fleet))
        await hold.arrival()
        await harness.redis.flushall()
        hold.released.set()
    assert lines(caplog, "conversation 42 of acme is not in the queue any more: ") == ["WARNING"]
    assert "will be retried" not in caplog.text
    assert await fleet.parked() == []
    assert await harness.redis.keys(f"{QUEUE}*") == []


# A server that is full or busy.


async def test_a_full_memory_of_redis_is_said_and_no_job_is_lost(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    fleet = await harness.worker()
    await fleet.enqueue("acme", 42)
    await harness.redis.config_set("maxmemory", 1)
    with pytest.raises(SendTaskError):
        await fleet.enqueue("acme", 43)
    async with listening(fleet) as delivery:

        async def has_noticed() -> bool:
            return bool(lines(caplog, "its memory is full"))

        await until(has_noticed, 30)
        await harness.redis.config_set("maxmemory", 0)
        await run_delivery(fleet, await delivery)
    assert len(harness.fake.tickets) == 1


async def test_a_primary_without_replicas_is_waited_for(harness: Harness, caplog: pytest.LogCaptureFixture) -> None:
    fleet = await harness.worker()
    await fleet.enqueue("acme", 42)
    await harness.redis.config_set("min-replicas-to-write", 1)
    async with listening(fleet) as delivery:

        async def has_noticed() -> bool:
            return bool(lines(caplog, "NOREPLICAS"))

        await until(has_noticed, 30)
        await harness.redis.config_set("min-replicas-to-write", 0)
        await run_delivery(fleet, await delivery)
    assert len(harness.fake.tickets) == 1


async def test_a_password_that_was_changed_is_said_and_no_job_is_lost(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    fleet = await harness.worker()
    await fleet.enqueue("acme", 42)
    await harness.redis.config_set("requirepass", "hush")
    await harness.redis.client_kill_filter(_type="normal", skipme=True)
    async with listening(fleet) as delivery:

        async def has_noticed() -> bool:
            return bool(lines(caplog, "somebody must correct this"))

        await until(has_noticed, 30)
        await harness.redis.config_set("requirepass", "")
        await run_delivery(fleet, await delivery)
    assert lines(caplog, "it rejects the user name or the password of redis_url") == ["ERROR"]
    assert len(harness.fake.tickets) == 1


# What is refused or said at the start.


def open_no_desk(*_: object) -> AsyncDesk:
    raise AssertionError("this fleet must not open a client")


async def start_error(url: str, queue: str = QUEUE) -> str:
    """Start a fleet that cannot start, and return its message. No traceback may show the password."""
    with pytest.raises(ConfigurationError) as caught:
        async with Fleet(url, open_no_desk, queue=queue):
            pass
    assert "hush" not in "".join(traceback.format_exception(caught.value))
    return str(caught.value)


async def test_a_redis_in_cluster_mode_is_refused_at_the_start() -> None:
    with redis_server(cluster_enabled="yes", cluster_port=str(free_port())) as server:
        for slots in (False, True):
            if slots:
                async with client(server) as redis:
                    await redis.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            assert (await start_error(server.connection_url)).startswith(
                "redis_url: this Redis runs in cluster mode, which is not supported"
            )


async def test_a_cluster_that_does_not_say_so_is_refused_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent_info(*_: object) -> dict[str, Any]:
        return {}

    monkeypatch.setattr(Redis, "info", silent_info)
    with redis_server(cluster_enabled="yes", cluster_port=str(free_port())) as server:
        async with client(server) as redis:
            await redis.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        assert "it runs in cluster mode, which is not supported (CROSSSLOT)" in await start_error(server.connection_url)


@pytest.mark.parametrize(
    ("info", "message"),
    [
        ({"redis_mode": "sentinel"}, "redis_url: this is a Sentinel; expected the address of the primary"),
        ({"server_mode": "sentinel"}, "redis_url: this is a Sentinel; expected the address of the primary"),
        ({"redis_version": "6.0.16"}, "redis_url: this is Redis 6.0; expected Redis or Valkey, 6.2 or newer"),
    ],
)
async def test_a_sentinel_and_an_old_redis_are_refused_at_the_start(
    server: Any, monkeypatch: pytest.MonkeyPatch, info: dict[str, Any], message: str
) -> None:
    async def other_info(*_: object) -> dict[str, Any]:
        return info

    monkeypatch.setattr(Redis, "info", other_info)
    assert await start_error(server.connection_url) == message


@pytest.mark.parametrize("credentials", ["", ":hush@", "jo:hush@"])
async def test_a_wrong_password_is_refused_at_the_start(credentials: str) -> None:
    with redis_server() as server:
        async with client(server) as redis:
            await redis.config_set("requirepass", "another")
        message = await start_error(server.connection_url.replace("redis://", f"redis://{credentials}"))
    assert "it rejects the user name or the password of redis_url, or needs one (WRONGPASS)" in message


async def test_a_user_without_permissions_is_refused_at_the_start(harness: Harness, server: Any) -> None:
    await harness.redis.execute_command("ACL", "SETUSER", "weak", "on", ">hush", "~*", "+@read")
    url = server.connection_url.replace("redis://", "redis://weak:hush@")
    assert "the user of redis_url lacks a permission (NOPERM)" in await start_error(url)


async def test_a_user_without_info_is_warned_and_works(
    harness: Harness, server: Any, caplog: pytest.LogCaptureFixture
) -> None:
    await harness.redis.execute_command("ACL", "SETUSER", "modest", "on", ">hush", "~*", "+@all", "-@dangerous")
    harness.url = server.connection_url.replace("redis://", "redis://modest:hush@")
    fleet = await harness.worker()
    await fleet.enqueue("acme", 42)
    await work(fleet)
    assert "its user must not call INFO" in caplog.text
    assert len(harness.fake.tickets) == 1


@pytest.mark.parametrize("key", [QUEUE, f"{QUEUE}:parked", f"{QUEUE}:attempts", "teamwork-desk:unknown"])
async def test_a_key_of_another_program_is_refused_at_the_start(harness: Harness, server: Any, key: str) -> None:
    await harness.redis.set(key, "something")
    assert f"queue: the key {key} holds a string of another program" in await start_error(server.connection_url)


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
async def test_a_redis_that_evicts_keys_is_warned_of_at_the_start(
    harness: Harness, caplog: pytest.LogCaptureFixture, policy: str
) -> None:
    await harness.redis.config_set("maxmemory-policy", policy)
    await harness.worker()
    await harness.redis.config_set("maxmemory-policy", "noeviction")
    assert lines(caplog, f"Redis has maxmemory-policy {policy}: ") == ["WARNING"]
    caplog.clear()
    await harness.worker()
    assert "maxmemory-policy" not in caplog.text


async def test_a_worker_and_a_producer_start_while_redis_is_down(caplog: pytest.LogCaptureFixture) -> None:
    with redis_server() as server:
        async with harness_of(server) as harness:
            server.terminate()
            fleet = await harness.worker()
            assert lines(caplog, "Redis cannot be reached (ConnectionRefusedError); this is tried again") == ["WARNING"]
            with pytest.raises(SendTaskError):
                await fleet.enqueue("acme", 42)
            async with listening(fleet) as delivery:
                server.start()
                await fleet.enqueue("acme", 42)
                await run_delivery(fleet, await delivery)
            assert len(harness.fake.tickets) == 1


# URLs.


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://:hush@localhost:26379/mymaster",
        "rediss+sentinel://:hush@localhost:26379/mymaster",
        "redis+cluster://:hush@localhost:6379",
        "valkey://:hush@localhost",
        "redis://:hush@a:6379,b:6379",
        "redis://:hush@localhost?hush=1",
        "rediss://:hush@localhost?ssl_cert_reqs=hush",
        None,
        b"redis://:hush@localhost",
    ],
)
def test_a_url_that_is_not_supported_is_refused_at_once(url: Any) -> None:
    with pytest.raises(
        ConfigurationError, match=r"redis_url: expected redis://, rediss:// or unix:// of a single"
    ) as caught:
        Fleet(url, open_no_desk)
    assert "hush" not in "".join(traceback.format_exception(caught.value))
    assert "URLs of Sentinel or of a cluster are not supported" in str(caught.value)


async def test_a_unix_socket_works(tmp_path: Path) -> None:
    with redis_server(unixsocket=str(tmp_path / "redis.sock")) as server:
        async with harness_of(server, f"unix://{tmp_path / 'redis.sock'}?db=2") as harness:
            fleet = await harness.worker()
            await fleet.enqueue("acme", 42)
            await work(fleet)
            assert len(harness.fake.tickets) == 1


@pytest.mark.parametrize("option", ["decode_responses=true", "socket_timeout=0.1", "protocol=3"])
def test_an_option_that_would_break_the_queue_is_refused_at_once(option: str) -> None:
    with pytest.raises(ConfigurationError, match="redis_url: .*" + option.partition("=")[0]):
        Fleet(f"redis://localhost?{option}", open_no_desk)


@pytest.mark.parametrize("options", ["socket_timeout=30", "protocol=2&health_check_interval=1"])
async def test_an_option_of_the_url_does_not_break_the_queue(harness: Harness, options: str) -> None:
    harness.url += f"?{options}"
    fleet = await harness.worker(max_attempts=1)
    async with listening(fleet) as delivery:
        await until(lambda: blocks(harness), 30)
        await fleet.enqueue("acme", 404)
        await run_delivery(fleet, await delivery)
    assert [job.conversation_id for job in await fleet.parked()] == [404]


# TLS.


@asynccontextmanager
async def tunnel(server: Any, ca: trustme.CA, name: str = "localhost") -> AsyncGenerator[str]:
    """Put TLS before a server that has none, and yield its URL."""

    def pipe(connection: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", server.port)) as plain:
            connection.settimeout(0.01)
            while True:
                try:
                    if not (data := connection.recv(65536)):
                        return
                    plain.sendall(data)
                except TimeoutError:
                    pass
                while select.select([plain], [], [], 0)[0]:
                    if not (data := plain.recv(65536)):
                        return
                    connection.sendall(data)

    with RawServer(pipe, tls=server_tls(ca, name)) as tls:
        yield f"rediss://localhost:{tls.port}"


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


async def test_tls_with_a_private_ca_works(ca: trustme.CA, tmp_path: Path) -> None:
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    with redis_server() as server:
        async with (
            tunnel(server, ca) as url,
            harness_of(server, f"{url}?ssl_ca_certs={tmp_path / 'ca.pem'}") as harness,
        ):
            fleet = await harness.worker()
            await fleet.enqueue("acme", 42)
            await work(fleet)
            await fleet.broker.shutdown()
            assert len(harness.fake.tickets) == 1


async def test_a_certificate_that_is_not_valid_is_refused_at_the_start(
    server: Any, ca: trustme.CA, tmp_path: Path
) -> None:
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    async with tunnel(server, ca) as url:
        message = await start_error(url)
    assert re.match("redis_url: the certificate of Redis is not valid: .*; for a CA of your own, add", message)
    async with tunnel(server, ca, "elsewhere.example") as url:
        message = await start_error(f"{url}?ssl_ca_certs={tmp_path / 'ca.pem'}")
    assert "Hostname mismatch" in message


async def test_tls_at_a_port_without_tls_is_refused_at_the_start() -> None:
    def serve(connection: socket.socket) -> None:
        connection.recv(1)
        connection.sendall(b"-ERR unknown command\r\n")

    with RawServer(serve) as plain:
        message = await start_error(f"rediss://:hush@localhost:{plain.port}")
    assert re.fullmatch(r"redis_url: TLS failed \(\w+\): is it the port for TLS\?", message)


async def test_a_server_of_another_protocol_is_refused_at_the_start() -> None:
    def serve(connection: socket.socket) -> None:
        connection.recv(1)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with RawServer(serve) as other:
        message = await start_error(f"redis://:hush@localhost:{other.port}")
    assert message == "redis_url: the server does not speak the protocol of Redis"


def test_an_error_of_redis_is_explained_without_its_text() -> None:
    error = RedisError("redis://:hush@localhost")
    assert explain(error).words == "Redis does not serve the queue (RedisError)"


REASONS: dict[str, tuple[Exception, ...]] = {
    "redis_url: a socket or a file of certificates cannot be opened": (FileNotFoundError(),),
    "Redis cannot be reached: the name of the host is not known": (socket.gaierror(),),
    "Redis cannot be reached (ConnectionRefusedError)": (ValueError(), ConnectionRefusedError()),
    "Redis cannot be reached (ConnectionError)": (ValueError(),),
}


@pytest.mark.parametrize(("words", "reasons"), REASONS.items())
def test_a_lost_connection_is_explained_by_what_led_to_it(words: str, reasons: tuple[Exception, ...]) -> None:
    error: Exception = RedisConnectionError("redis://:hush@localhost")
    for later, earlier in pairwise([error, *reasons]):
        later.__cause__ = earlier
    assert explain(error) == Fault(words, passes=True)


async def test_the_check_of_a_server_changes_nothing(harness: Harness) -> None:
    fleet = await harness.worker()
    await check_server(harness.redis, fleet.broker.records.keys)
    assert await harness.redis.keys() == []
