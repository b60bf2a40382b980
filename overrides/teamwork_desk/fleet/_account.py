"""What a worker has of an account: its client, its places, and its share of the account's rate."""

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
"""Calls at once: what one of Desk's windows let through may arrive in the next, and this bounds how much."""

lease: ContextVar[Lock] = ContextVar("lease")
"""The running job's hold on its conversation."""

REQUESTS: Final = 2
"""What a job takes of the rate before it begins: else looks use up the windows that their conversions wait for."""
_paid: ContextVar[int] = ContextVar("paid", default=0)
"""How many requests of the running job the rate allowed beforehand."""


class Account:
    """An account as one worker sees it.

    Args:
        name: What names the account to the limiter.
        limiter: Counts the requests of all workers.
        rate: How many there may be.

    Attributes:
        is_hooked: Whether a request has passed here.
    """

    def __init__(self, name: str, limiter: RateLimiter, rate: RateLimitItem) -> None:
        self.is_hooked = False
        # Of the account, whatever the queue.
        self._key = ("teamwork-desk", name)
        self._limiter = limiter
        self._rate = rate
        self._gate = asyncio.Lock()
        self._places = asyncio.Semaphore(CONCURRENCY)

    @asynccontextmanager
    async def wait(self, patience: float) -> AsyncGenerator[None]:
        """Wait for a place and for the rate, and hold the place.

        Args:
            patience: Seconds to wait at most.

        Raises:
            NoResultError: The job had no turn in time.
        """
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(patience):
                    await stack.enter_async_context(self._places)
                    requests = min(REQUESTS, self._rate.amount)
                    await self._pay(requests)
            except TimeoutError:
                raise NoResultError from None
            _paid.set(requests)
            yield

    async def before_request(self, request: httpx.Request) -> None:
        """Wait until the rate allows a request: an httpx event hook, so that further looks and retries count as well.

        Raises:
            LockNotOwnedError: The conversation may be another worker's by now: a machine that was asleep does not see
                its deadline pass.
        """
        self.is_hooked = True
        if paid := _paid.get():
            _paid.set(paid - 1)
        else:
            await self._pay(1)
        if request.method == "POST":
            hold, asked_at = lease.get(), time.time()
            # In one step: it is still ours, and outlasts what is sent now.
            await hold.reacquire()
            # Unless this machine was asleep: then the answer is old.
            if time.time() - asked_at > cast("float", hold.timeout) / 2:
                raise LockNotOwnedError

    async def _pay(self, requests: int) -> None:
        async with self._gate:
            while not await self._limiter.hit(self._rate, *self._key, cost=requests):
                window = await self._limiter.get_window_stats(self._rate, *self._key)
                await asyncio.sleep(max(0.01, window.reset_time - time.time()))
