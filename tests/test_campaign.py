"""The promise, checked against the server's own records: nothing is converted twice, misreported or lost."""

from __future__ import annotations

import random

import pytest
from campaign import run
from httpx_aiohttp import AiohttpTransport

from teamwork_desk.testing._limiter import LIMITERS, LimiterName

CONVERSIONS = 5_000

pytestmark = pytest.mark.campaign


@pytest.fixture
def seed() -> int:
    """Draw a seed from pytest-randomly's, so that `pytest --randomly-seed=...` repeats a failure."""
    return random.randrange(10**9)


async def test_no_conversation_is_converted_twice_misreported_or_lost(seed: int) -> None:
    ledger = await run(seed=seed, conversions=CONVERSIONS)
    assert not ledger.failures, "\n".join([f"seed {seed}: {ledger}", *ledger.failures[:20]])


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # most of the time is spent on waiting for the limit
@pytest.mark.parametrize("limiter", LIMITERS)
async def test_no_conversation_is_converted_twice_misreported_or_lost_whatever_the_limiter(
    seed: int, limiter: LimiterName
) -> None:
    ledger = await run(seed=seed, conversions=600, limiter=limiter)
    assert not ledger.failures, "\n".join([f"seed {seed}: {ledger}", *ledger.failures[:20]])


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # aiohttp runs on no other backend
async def test_no_conversation_is_converted_twice_misreported_or_lost_over_aiohttp(seed: int) -> None:
    ledger = await run(seed=seed, conversions=CONVERSIONS, transport=AiohttpTransport)
    assert not ledger.failures, "\n".join([f"seed {seed}: {ledger}", *ledger.failures[:20]])
