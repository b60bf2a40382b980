"""What the tests of the fleet share: workers in this process, a fake Desk, and what holds its requests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import anyio
import httpx
from attrs import define, field
from taskiq.receiver import Receiver

from teamwork_desk import AsyncDesk, RetryPolicy
from teamwork_desk.fleet import EventHooks, Fleet
from teamwork_desk.testing import FakeDesk

RETRY = RetryPolicy(max_attempts=1, backoff_base=0.001, settle=(0.001,))
QUEUE = "jobs"
LEASE = "teamwork-desk:lease:acme:42"
DEADLINE, SETTLE = 60.0, 90.0


@define
class Harness:
    """A Redis, a fake Desk, and as many workers as a test needs."""

    url: str
    redis: Any
    stack: AsyncExitStack
    fake: FakeDesk = field(factory=FakeDesk)
    transport: httpx.AsyncBaseTransport | None = None
    opened: list[str] = field(factory=list[str])
    urls: dict[str, str] = field(
        factory=lambda: {"acme": "https://acme.teamwork.com", "umbra": "https://umbra.teamwork.com"}
    )

    async def worker(self, **options: Any) -> Fleet:
        """Start the broker of a new worker. It runs no job by itself: the test runs each delivery with `work`."""
        options = {"rate": "1000/hour", "deadline": DEADLINE, "settle": SETTLE, "queue": QUEUE, **options}
        fleet = Fleet(self.url, self.open_desk, **options)
        await fleet.broker.startup()
        self.stack.push_async_callback(fleet.broker.shutdown)
        return fleet

    def open_desk(self, account: str, event_hooks: EventHooks) -> AsyncDesk:
        """Return the client of an account, and record that it was opened. All accounts use the same fake Desk."""
        url = self.urls[account]
        self.opened.append(account)
        transport = self.transport or self.fake.transport
        return AsyncDesk(url, token="hush", retry=RETRY, transport=transport, event_hooks=event_hooks)

    async def jobs_in_stream(self) -> int:
        """Return how many jobs are in the stream."""
        return int(await self.redis.xlen(QUEUE))

    async def age_deliveries(self, seconds: float = 2 * DEADLINE + SETTLE + 1) -> None:
        """Make every delivery this old. The default is old enough for the jobs to be delivered again."""
        for entry in await self.redis.xpending_range(QUEUE, QUEUE, "-", "+", 100):
            await self.redis.xclaim(QUEUE, QUEUE, "no worker", 0, [entry["message_id"]], idle=int(seconds * 1000))


async def next_delivery(fleet: Fleet) -> bytes:
    """Receive one job, and do not run it yet."""
    listening = fleet.broker.listen()
    with anyio.fail_after(30):
        data = await anext(listening)
    await listening.aclose()
    return data


async def run_delivery(fleet: Fleet, delivery: bytes) -> None:
    """Run a job as a worker of Taskiq does, which removes the job from the stream or leaves it there."""
    await Receiver(fleet.broker, max_async_tasks=100).callback(delivery)


async def work(fleet: Fleet, jobs: int = 1) -> None:
    """Receive and run this many deliveries, as `taskiq worker` does."""
    for _ in range(jobs):
        await run_delivery(fleet, await next_delivery(fleet))


class HoldingTransport(httpx.AsyncBaseTransport):
    """A transport that holds the requests of one method until the test releases them."""

    def __init__(self, inner: httpx.AsyncBaseTransport, method: str) -> None:
        self.inner, self.method = inner, method
        self.arrived, self.released = asyncio.Event(), asyncio.Event()

    async def arrival(self) -> None:
        """Wait until a request is held."""
        with anyio.fail_after(30):
            await self.arrived.wait()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.method == self.method:
            self.arrived.set()
            await self.released.wait()
        return await self.inner.handle_async_request(request)


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 120) -> None:
    """Wait until a condition holds. It is polled, because other processes bring it about."""
    with anyio.fail_after(seconds):
        while not await condition():
            await anyio.sleep(0.02)
