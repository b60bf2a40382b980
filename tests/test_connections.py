"""A cancellation loses no connection slot, although it does in httpx's own pool (encode/httpcore#1093)."""

from __future__ import annotations

import asyncio
import logging
import random
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import anyio
import httpx
import pytest
from fault_server import Fault, FaultServer, Plan

from teamwork_desk import AsyncDesk, ConfigurationError, DeadlineExceeded, NotSentError, RetryPolicy, TransportError

CAP = 8
LIMITS = httpx.Limits(max_connections=CAP, max_keepalive_connections=CAP)
ONCE = RetryPolicy(max_attempts=1)


async def hold_every_slot(desk: AsyncDesk, server: FaultServer) -> None:
    """Make as many calls at once as there are slots. The server responds when it has received all of them."""
    server.gather(CAP)
    async with anyio.create_task_group() as calls:
        for number in range(1, CAP + 1):
            calls.start_soon(desk.conversations.get, number)


@pytest.mark.campaign
async def test_no_slot_is_lost_after_10000_calls_that_are_cancelled_or_time_out_at_random() -> None:
    rng = random.Random(20261123)
    with FaultServer() as server:
        async with AsyncDesk(server.url, token="t", limits=LIMITS, retry=ONCE) as desk:
            completed = 0

            async def call_with_a_random_limit(numbers: Iterator[int], longest_limit: float) -> None:
                nonlocal completed
                for number in numbers:
                    limit = rng.random() * longest_limit
                    try:
                        with anyio.move_on_after(limit if number % 2 else None):
                            await desk.with_options(timeout=limit + 1e-6).conversations.get(number)
                            completed += 1
                    except TransportError:
                        pass

            async def run(calls: int, longest_limit: float) -> float:
                numbers, started = iter(range(1, calls + 1)), anyio.current_time()
                async with anyio.create_task_group() as workers:
                    for _ in range(4 * CAP):
                        workers.start_soon(call_with_a_random_limit, numbers, longest_limit)
                return (anyio.current_time() - started) / calls * 4 * CAP

            typical_seconds = await run(200, 60)
            assert completed
            # With limits of up to twice a call's typical time, calls end early in every state that a call can have.
            completed = 0
            await run(10_000, 2 * typical_seconds)
            assert completed < 10_000
            await hold_every_slot(desk, server)


async def test_a_call_that_gets_no_connection_in_time_says_that_all_were_busy() -> None:
    one_connection = httpx.Limits(max_connections=1)
    with FaultServer({1: Plan(faults=(Fault(answer="hang", work="never"),))}) as server:
        async with AsyncDesk(
            server.url, token="t", limits=one_connection, retry=ONCE, timeout=0.2, verify_first=False
        ) as desk:
            patient_desk = desk.with_options(timeout=60)
            async with anyio.create_task_group() as calls:
                calls.start_soon(patient_desk.conversations.convert, 1)
                while not server.requests:
                    await anyio.sleep(0.001)
                with pytest.raises(NotSentError, match="all connections were busy"):
                    await desk.conversations.get(2)
                calls.cancel_scope.cancel()


async def test_a_call_waits_for_a_busy_connection() -> None:
    one_connection = httpx.Limits(max_connections=1)
    with FaultServer() as server:
        async with (
            AsyncDesk(server.url, token="t", limits=one_connection) as desk,
            anyio.create_task_group() as calls,
        ):
            for number in range(1, 4):
                calls.start_soon(desk.conversations.get, number)
        assert (len(server.requests), server.connections) == (3, 1)


async def test_idle_connections_beyond_the_limit_are_closed() -> None:
    limits = httpx.Limits(max_connections=CAP, max_keepalive_connections=1)
    with FaultServer() as server:
        async with AsyncDesk(server.url, token="t", limits=limits) as desk:
            await hold_every_slot(desk, server)
            while server.open_connections > 1:
                await anyio.sleep(0.001)
            server.gather(1)
            await desk.conversations.get(1)
        assert server.connections == CAP


async def test_a_call_that_ends_after_the_client_was_closed_closes_its_connection() -> None:
    with FaultServer() as server:
        desk = AsyncDesk(server.url, token="t")
        server.gather(2)
        async with anyio.create_task_group() as calls:
            calls.start_soon(desk.conversations.get, 1)
            while not server.requests:
                await anyio.sleep(0.001)
            await desk.aclose()
            with pytest.raises(ConfigurationError, match="closed"):
                await desk.conversations.get(2)
            server.gather(1)
        while server.open_connections:
            await anyio.sleep(0.001)


async def test_idle_connections_are_closed_when_they_expire() -> None:
    limits = httpx.Limits(max_connections=CAP, max_keepalive_connections=CAP, keepalive_expiry=0.01)
    with FaultServer() as server:
        async with AsyncDesk(server.url, token="t", limits=limits) as desk:
            await hold_every_slot(desk, server)
            server.gather(1)
            await anyio.sleep(0.02)
            await desk.conversations.get(1)
            with anyio.fail_after(10):
                while server.open_connections > 1:
                    await anyio.sleep(0.001)


async def test_a_call_that_waits_for_a_connection_sends_nothing_after_the_client_was_closed() -> None:
    one_connection = httpx.Limits(max_connections=1)
    with FaultServer() as server:
        desk = AsyncDesk(server.url, token="t", limits=one_connection, verify_first=False)
        server.gather(2)
        async with anyio.create_task_group() as calls:
            calls.start_soon(desk.conversations.get, 1)
            while not server.requests:
                await anyio.sleep(0.001)

            async def expect_a_closed_client() -> None:
                with pytest.raises(ConfigurationError, match="closed"):
                    await desk.conversations.convert(2)

            calls.start_soon(expect_a_closed_client)
            await anyio.wait_all_tasks_blocked()
            await desk.aclose()
            server.gather(1)
        assert len(server.requests) == 1


# Only asyncio can cancel a task while it closes: a cancelled scope of anyio waits until httpx has closed.
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_closing_can_be_repeated_after_it_was_cancelled() -> None:
    with FaultServer() as server:
        desk = AsyncDesk(server.url, token="t", limits=LIMITS)
        await hold_every_slot(desk, server)
        closing = asyncio.ensure_future(desk.aclose())
        await asyncio.sleep(0)
        closing.cancel()
        await asyncio.wait([closing])
        assert closing.cancelled()
        await desk.aclose()
        with anyio.fail_after(10):
            while server.open_connections:
                await anyio.sleep(0.001)


async def test_an_attempt_that_is_interrupted_while_it_connects_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "teamwork_desk")
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server, ExitStack() as waiting:
        # The server never accepts, and these connections fill its backlog, so that another connects forever.
        for _ in range(3):
            filler = waiting.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(server.getsockname())
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        async with AsyncDesk(url, token="t", deadline=0.1, verify_first=False) as desk:
            with pytest.raises(DeadlineExceeded):
                await desk.conversations.convert(1)
    assert "convert.json: interrupted" in caplog.text
