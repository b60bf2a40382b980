"""The promise, held against the server's own books: nothing twice, nothing misreported, nothing lost."""

from __future__ import annotations

import random

import pytest
from campaign import run
from httpx_aiohttp import AiohttpTransport

CONVERSIONS = 5_000

pytestmark = pytest.mark.campaign


@pytest.fixture
def seed() -> int:
    """A seed of pytest-randomly's: a failure is repeated with `pytest -p randomly -p "randomly_seed=..."`."""
    return random.randrange(10**9)


async def test_no_conversion_is_done_twice_misreported_or_lost(seed: int) -> None:
    ledger = await run(seed=seed, conversions=CONVERSIONS)
    assert not ledger.failures, "\n".join([f"seed {seed}: {ledger}", *ledger.failures[:20]])


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # aiohttp knows no other
async def test_the_same_over_the_aiohttp_transport(seed: int) -> None:
    ledger = await run(seed=seed, conversions=CONVERSIONS, transport=AiohttpTransport)
    assert not ledger.failures, "\n".join([f"seed {seed}: {ledger}", *ledger.failures[:20]])
