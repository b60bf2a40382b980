"""One account as one worker sees it: how many calls run at the same time, and when a request may be sent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import ContextVar
from typing import Final, cast

import httpx
from limits import RateLimitItem
from limits.aio.strategies import RateLimiter
from redis.asyncio.lock import Lock
from redis.exceptions import LockNotOwnedError
from taskiq import NoResultError

CONCURRENCY: Final = 4
"""How many calls of one account a worker runs at the same time.

The limiter counts a request when it allows it, but the request may reach Desk in the next rate window. This number
limits how many requests can be late in this way.
"""

REQUESTS_PER_JOB: Final = 2
"""How many requests a job takes from the rate before it starts: the lookup and the conversion.

If a job took only one, the lookups of other jobs would use up the window before it could convert.
"""

lease: ContextVar[Lock] = ContextVar("lease")
"""The lease of the running job on its conversation."""

_prepaid_requests: ContextVar[int] = ContextVar("prepaid_requests", default=0)
"""How many more requests the running job may send without asking the limiter again."""


class Account:
    """An account as one worker sees it.

    Args:
        name: The account's name, under which the limiter counts.
        limiter: Counts the requests of all workers.
        rate: How many requests all workers together may send in which time.

    Attributes:
        hook_was_called: Whether the client of the account has called `before_request`.
    """

    def __init__(self, name: str, limiter: RateLimiter, rate: RateLimitItem) -> None:
        self.hook_was_called = False
        # The key does not contain the queue, because the rate belongs to the account: all queues share it.
        self._key = ("teamwork-desk", name)
        self._limiter = limiter
        self._rate = rate
        self._rate_lock = asyncio.Lock()
        self._slots = asyncio.Semaphore(CONCURRENCY)

    @asynccontextmanager
    async def turn(self, max_wait: float) -> AsyncGenerator[None]:
        """Wait for a free slot and for the rate, and keep the slot while the job runs.

        Args:
            max_wait: How many seconds to wait at most.

        Raises:
            NoResultError: The job got no turn in time, and stays in the stream.
        """
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(max_wait):
                    await stack.enter_async_context(self._slots)
                    # The limiter never allows more requests at once than the whole rate.
                    requests = min(REQUESTS_PER_JOB, self._rate.amount)
                    await self._take_from_rate(requests)
            except TimeoutError:
                raise NoResultError from None
            _prepaid_requests.set(requests)
            yield

    async def before_request(self, request: httpx.Request) -> None:
        """Wait until the rate allows a request, and check the lease before a conversion.

        This is an event hook of httpx, so that it also counts retries and the lookups that verify an outcome.

        Raises:
            LockNotOwnedError: The lease has expired, and another worker may have the conversation. This happens if the
                machine was asleep: the event loop does not notice that a deadline passes during sleep.
        """
        self.hook_was_called = True
        if prepaid := _prepaid_requests.get():
            _prepaid_requests.set(prepaid - 1)
        else:
            await self._take_from_rate(1)
        if request.method == "POST":
            lock, asked_at = lease.get(), time.time()
            # Redis checks in one step that the lease is still ours, and extends it: it must outlast this request.
            await lock.reacquire()
            # If the machine slept before it read the response, the extended lease may have expired, too.
            if time.time() - asked_at > cast("float", lock.timeout) / 2:
                raise LockNotOwnedError

    async def _take_from_rate(self, requests: int) -> None:
        # Only one job at a time asks the limiter, so that jobs get their turn in the order in which they asked.
        async with self._rate_lock:
            while not await self._limiter.hit(self._rate, *self._key, cost=requests):
                window = await self._limiter.get_window_stats(self._rate, *self._key)
                # The minimum keeps the loop from asking Redis without a pause if the clocks differ.
                await asyncio.sleep(max(0.01, window.reset_time - time.time()))
