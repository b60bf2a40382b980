"""One account as one worker sees it: how many calls run at the same time, and when a request may be sent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import ContextVar
from typing import Final

import httpx
from limits import RateLimitItem
from limits.aio.strategies import RateLimiter
from redis.asyncio.lock import Lock
from taskiq import NoResultError

CONCURRENCY: Final = 16
"""How many calls of one account a worker runs at the same time.

More calls share a lookup: with 4 calls, a conversion needs 1.6 requests, with 16 it needs 1.2. But the limiter counts a
request when it allows it, and the request may reach Desk in the next rate window. This number limits how many requests
can be late in this way.
"""

lease: ContextVar[Lock] = ContextVar("lease")
"""The lease of the running job on its conversation."""

_conversion_is_paid: ContextVar[bool] = ContextVar("conversion_is_paid", default=False)
"""Whether the running job has taken its conversion from the rate, and has not sent it yet."""


class Account:
    """An account as one worker sees it.

    A job takes its conversion from the rate before it starts. It also takes a lookup, unless the worker has a lookup
    that is paid and not sent: the client looks up all jobs that wait at the same time with one listing. So n jobs that
    run together take n conversions and as many lookups as the client sends. Every further request, such as a retry,
    takes its own place from the rate when it is sent. A job does not start with less, because its lookup would be
    wasted if the rate had no room for its conversion.

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
        # Only one job at a time asks the limiter, so that jobs get their turn in the order in which they asked.
        self._rate_lock = asyncio.Lock()
        self._slots = asyncio.Semaphore(CONCURRENCY)
        self._running_jobs = 0
        self._paid_lookups = 0

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
                    await self._pay_for_job()
            except TimeoutError:
                raise NoResultError from None
            self._running_jobs += 1
            try:
                yield
            finally:
                self._running_jobs -= 1
                # When no job runs, the windows go on: a later job must not send what was paid long ago.
                self._paid_lookups = self._paid_lookups if self._running_jobs else 0

    async def before_request(self, request: httpx.Request) -> None:
        """Wait until the rate allows a request, and renew the lease before a conversion.

        This is an event hook of httpx, so that it also counts retries and the lookups that verify an outcome.

        The worker may be stopped after the lease was renewed, for longer than the lease lasts. No body leaves then: the
        client does not send one after the deadline of its call, by a clock that counts the time of a stopped process
        and of a suspended machine. The call began before its lease was renewed, so the renewed lease lasts longer than
        the deadline, by at least the settling time. `docs/pages/fleet.md` says what is left of the gap.

        Raises:
            LockNotOwnedError: The lease has expired, and another worker may have the conversation. This happens if the
                worker was stopped between taking the lease and the call, which then has a deadline of its own.
        """
        self.hook_was_called = True
        if request.method == "POST" and _conversion_is_paid.get():
            _conversion_is_paid.set(False)
        elif request.method == "GET" and self._paid_lookups:
            self._paid_lookups -= 1
        else:
            async with self._rate_lock:
                await self._wait_for_rate(1)
        if request.method == "POST":
            # Redis checks in one step that the lease is still ours, and extends it: it must outlast this call.
            await lease.get().reacquire()

    async def _pay_for_job(self) -> None:
        async with self._rate_lock:
            lookups = 0 if self._paid_lookups else 1
            # The limiter never allows more requests at once than the whole rate.
            requests = min(1 + lookups, self._rate.amount)
            await self._wait_for_rate(requests)
        self._paid_lookups += lookups
        _conversion_is_paid.set(requests > lookups)

    async def _wait_for_rate(self, requests: int) -> None:
        while not await self._limiter.hit(self._rate, *self._key, cost=requests):
            window = await self._limiter.get_window_stats(self._rate, *self._key)
            # The minimum keeps the loop from asking Redis without a pause if the clocks differ.
            await asyncio.sleep(max(0.01, window.reset_time - time.time()))
