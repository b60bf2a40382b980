"""What a fleet takes from the rate of an account, in virtual time and with a limiter in memory instead of Redis."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from typing import Any

import anyio
import httpx
import limits
import pytest
from attrs import define, field, frozen
from taskiq import NoResultError

from teamwork_desk import AsyncDesk, DeadlineExceeded, RateLimitedError
from teamwork_desk.fleet._account import Account, lease
from teamwork_desk.testing import FakeDesk, VirtualTimeLoop
from teamwork_desk.testing._limiter import LimiterName

ROUND_TRIP = 0.001
"""Seconds that a command to Redis takes."""
DEADLINE, REDELIVERY = 120.0, 300.0


@define
class MemoryLimiter:
    """Counts requests as the moving window in Redis does."""

    times: list[float] = field(factory=list[float])
    taken: list[int] = field(factory=list[int])

    async def hit(self, rate: limits.RateLimitItem, *_: str, cost: int) -> bool:
        await asyncio.sleep(ROUND_TRIP)
        now = self._forget_old(rate)
        if len(self.times) + cost > rate.amount:
            return False
        self.times += [now] * cost
        self.taken.append(cost)
        return True

    async def get_window_stats(self, rate: limits.RateLimitItem, *_: str) -> limits.WindowStats:
        await asyncio.sleep(ROUND_TRIP)
        now = self._forget_old(rate)
        oldest = self.times[0] if self.times else now
        return limits.WindowStats(oldest + rate.get_expiry(), rate.amount - len(self.times))

    def _forget_old(self, rate: limits.RateLimitItem) -> float:
        now = time.time()
        self.times = [taken_at for taken_at in self.times if taken_at > now - rate.get_expiry()]
        return now


class HeldLease:
    """A lease that no other worker takes."""

    timeout = DEADLINE

    async def reacquire(self) -> None:
        await asyncio.sleep(ROUND_TRIP)


@frozen
class Network(httpx.AsyncBaseTransport):
    """Takes between 0.05 and 0.15 s in each direction."""

    fake: FakeDesk
    random: random.Random

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await anyio.sleep(self.random.uniform(0.05, 0.15))
        response = await self.fake.transport.handle_async_request(request)
        await anyio.sleep(self.random.uniform(0.05, 0.15))
        return response


@define
class Worker:
    """A worker without Taskiq: it runs at most 20 jobs at the same time, as the documentation recommends."""

    account: Account
    fake: FakeDesk
    number: int
    waiting: deque[tuple[float, int]]
    """The jobs, and when each may be delivered."""

    async def run(self) -> None:
        hooks: Any = {"request": [self.account.before_request]}
        transport = Network(self.fake, random.Random(self.number))
        async with (
            AsyncDesk(
                "https://acme.teamwork.com", token="t", deadline=DEADLINE, transport=transport, event_hooks=hooks
            ) as desk,
            asyncio.TaskGroup() as tasks,
        ):
            for _ in range(20):
                tasks.create_task(self._convert_jobs(desk))

    async def _convert_jobs(self, desk: AsyncDesk) -> None:
        while self.waiting:
            delivered_at, number = self.waiting.popleft()
            await anyio.sleep(max(0.0, delivered_at - anyio.current_time()))
            try:
                await self.convert(desk, number)
            except (NoResultError, DeadlineExceeded, RateLimitedError):
                self.waiting.append((anyio.current_time() + REDELIVERY, number))

    async def convert(self, desk: AsyncDesk, number: int) -> None:
        """Do what the fleet does for a job."""
        async with self.account.turn(DEADLINE):
            lease.set(HeldLease())  # type: ignore[arg-type]
            await asyncio.sleep(2 * ROUND_TRIP)
            await desk.conversations.convert(number, verify_first=True)


@pytest.fixture
def limiter(monkeypatch: pytest.MonkeyPatch) -> MemoryLimiter:
    """A limiter, and a wall clock that follows the virtual time of the event loop."""
    began = time.time()

    def wall_clock() -> float:
        try:
            return began + asyncio.get_running_loop().time()
        except RuntimeError:  # no event loop runs
            return began

    monkeypatch.setattr(time, "time", wall_clock)
    return MemoryLimiter()


def account(limiter: Any, rate: str = "120/minute") -> Account:
    return Account("acme", limiter, limits.parse(rate))


def run(work: Any) -> Any:
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(work)


@pytest.mark.parametrize("workers", [1, pytest.param(3, marks=pytest.mark.campaign)])
@pytest.mark.parametrize(
    "how", ["sliding log", *(pytest.param(how, marks=pytest.mark.campaign) for how in ("window", "seconds left"))]
)
def test_a_fleet_spends_little_more_than_one_request_for_a_conversation(
    limiter: MemoryLimiter, workers: int, how: LimiterName
) -> None:
    # A fixed seed: a single job that gets no turn comes again five minutes later, and doubles the time.
    random.seed(1)
    jobs = 600
    fake = FakeDesk(conversations=range(1, jobs + 1), limiter=how)

    async def convert_all() -> float:
        waiting = deque((0.0, number) for number in range(1, jobs + 1))
        async with asyncio.TaskGroup() as tasks:
            for number in range(workers):
                tasks.create_task(Worker(account(limiter), fake, number, waiting).run())
        return anyio.current_time()

    seconds = run(convert_all())
    assert len(fake.tickets) == jobs
    # Half of the requests would be lookups if each job sent its own: 2 for a conversion, and 60 jobs a minute.
    assert len(fake.requests) / jobs < 1.25
    # Beside other workers, a log of the last minute refuses a few requests: it also counts those that it refuses.
    # Their jobs may get no turn in time, and come again five minutes later.
    comes_again = how == "sliding log" and workers > 1
    assert jobs / (seconds / 60) > (55 if comes_again else 65)
    assert [request.status for request in fake.requests].count(429) < 0.05 * jobs


def test_jobs_that_start_together_take_their_conversions_and_one_lookup(limiter: MemoryLimiter) -> None:
    shared, fake = account(limiter), FakeDesk()

    async def work() -> None:
        hooks: Any = {"request": [shared.before_request]}
        async with AsyncDesk(
            "https://acme.teamwork.com", token="t", transport=fake.transport, event_hooks=hooks
        ) as desk:
            everybody_waits = asyncio.Barrier(3)

            async def convert(number: int) -> None:
                async with shared.turn(DEADLINE):
                    lease.set(HeldLease())  # type: ignore[arg-type]
                    await everybody_waits.wait()
                    await desk.conversations.convert(number, verify_first=True)

            async with asyncio.TaskGroup() as tasks:
                for number in (1, 2, 3):
                    tasks.create_task(convert(number))

    run(work())
    assert [request.method for request in fake.requests] == ["GET", "POST", "POST", "POST"]
    assert limiter.taken == [2, 1, 1]


@pytest.mark.parametrize(("rate", "taken"), [("120/minute", [2]), ("1/second", [1, 1])])
def test_a_single_job_takes_exactly_what_it_sends(limiter: MemoryLimiter, rate: str, taken: list[int]) -> None:
    shared, fake = account(limiter, rate), FakeDesk()
    run(Worker(shared, fake, 0, deque([(0.0, 1)])).run())
    assert [request.method for request in fake.requests] == ["GET", "POST"]
    assert limiter.taken == taken


def test_a_lookup_that_was_paid_is_not_kept_when_no_job_runs(limiter: MemoryLimiter) -> None:
    shared = account(limiter)

    async def start_and_end() -> None:
        for _ in range(2):
            async with shared.turn(DEADLINE):
                pass  # the lease is not free, so that the job sends nothing

    run(start_and_end())
    assert limiter.taken == [2, 2]


def test_a_lookup_that_was_paid_serves_the_next_job_while_a_job_runs(limiter: MemoryLimiter) -> None:
    shared = account(limiter)

    async def start_two() -> None:
        async with shared.turn(DEADLINE), shared.turn(DEADLINE):
            pass

    run(start_two())
    assert limiter.taken == [2, 1]
