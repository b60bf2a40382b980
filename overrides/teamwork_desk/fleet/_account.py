"""What a worker has of an account: its client, its places, and its share of the account's rate."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Final

import httpx
from limits import RateLimitItem
from limits.aio.strategies import RateLimiter
from redis.asyncio.lock import Lock
from taskiq import NoResultError

CONCURRENCY: Final = 4
"""Calls at once: with more, looks would use up the window that the conversions after them wait for."""

lease: ContextVar[Lock] = ContextVar("lease")
"""The running job's hold on its conversation."""


class Account:
    """An account as one worker sees it.

    Args:
        key: What names the account to the limiter.
        limiter: Counts the requests of all workers.
        rate: How many there may be.

    Attributes:
        is_hooked: Whether a request has passed here.
    """

    def __init__(self, key: tuple[str, str], limiter: RateLimiter, rate: RateLimitItem) -> None:
        self.is_hooked = False
        self._key = key
        self._limiter = limiter
        self._rate = rate
        self._gate = asyncio.Lock()
        self._places = asyncio.Semaphore(CONCURRENCY)

    @asynccontextmanager
    async def wait(self, patience: float) -> AsyncGenerator[None]:
        """Wait for a place and hold it.

        Args:
            patience: Seconds to wait at most.

        Raises:
            NoResultError: None became free in time.
        """
        try:
            async with asyncio.timeout(patience):
                await self._places.acquire()
        except TimeoutError:
            raise NoResultError from None
        try:
            yield
        finally:
            self._places.release()

    async def before_request(self, request: httpx.Request) -> None:
        """Wait until the rate allows a request: an httpx event hook, so that looks and retries count as well.

        Raises:
            LockNotOwnedError: The conversation may be another worker's by now: a machine that was asleep does not see
                its deadline pass.
        """
        self.is_hooked = True
        async with self._gate:
            while not await self._limiter.hit(self._rate, *self._key):
                window = await self._limiter.get_window_stats(self._rate, *self._key)
                await asyncio.sleep(max(0.01, window.reset_time - time.time()))
        if request.method == "POST":
            # In one step: it is still ours, and outlasts what is sent now.
            await lease.get().reacquire()
