"""The connection slots survive cancellation: httpx's own pool does not (encode/httpcore#1093)."""

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
    """Make as many calls at once as there are slots; none is answered before the server has all of them."""
    server.gather(CAP)
    async with anyio.create_task_group() as calls:
        for number in range(1, CAP + 1):
            calls.start_soon(desk.conversations.get, number)


@pytest.mark.campaign
async def test_every_slot_lives_after_10000_calls_cancelled_or_timed_out_at_random_instants() -> None:
    draw = random.Random(20261123)
    with FaultServer() as server:
        async with AsyncDesk(server.url, token="t", limits=LIMITS, retry=ONCE) as desk:
            ended = 0

            async def cut_short(numbers: Iterator[int], longest: float) -> None:
                nonlocal ended
                for number in numbers:
                    patience = draw.random() * longest
                    try:
                        with anyio.move_on_after(patience if number % 2 else None):
                            await desk.with_options(timeout=patience + 1e-6).conversations.get(number)
                            ended += 1
                    except TransportError:
                        pass

            async def run(calls: int, longest: float) -> float:
                numbers, begun = iter(range(1, calls + 1)), anyio.current_time()
                async with anyio.create_task_group() as workers:
                    for _ in range(4 * CAP):
                        workers.start_soon(cut_short, numbers, longest)
                return (anyio.current_time() - begun) / calls * 4 * CAP

            usual = await run(200, 60)
            assert ended
            ended = 0
            await run(10_000, 2 * usual)
            assert ended < 10_000
            await hold_every_slot(desk, server)


async def test_a_full_client_is_named_as_the_cause() -> None:
    one = httpx.Limits(max_connections=1)
    with FaultServer({1: Plan(faults=(Fault(answer="hang", work="never"),))}) as server:
        async with AsyncDesk(server.url, token="t", limits=one, retry=ONCE, timeout=0.2) as desk:
            patient = desk.with_options(timeout=60)
            async with anyio.create_task_group() as calls:
                calls.start_soon(patient.conversations.convert, 1)
                while not server.requests:
                    await anyio.sleep(0.001)
                with pytest.raises(NotSentError, match="all connections were busy"):
                    await desk.conversations.get(2)
                calls.cancel_scope.cancel()


async def test_a_caller_waits_for_a_connection_that_is_busy() -> None:
    one = httpx.Limits(max_connections=1)
    with FaultServer() as server:
        async with AsyncDesk(server.url, token="t", limits=one) as desk, anyio.create_task_group() as calls:
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
    one = httpx.Limits(max_connections=1)
    with FaultServer() as server:
        desk = AsyncDesk(server.url, token="t", limits=one)
        server.gather(2)
        async with anyio.create_task_group() as calls:
            calls.start_soon(desk.conversations.get, 1)
            while not server.requests:
                await anyio.sleep(0.001)

            async def wait_in_vain() -> None:
                with pytest.raises(ConfigurationError, match="closed"):
                    await desk.conversations.convert(2)

            calls.start_soon(wait_in_vain)
            await anyio.wait_all_tasks_blocked()
            await desk.aclose()
            server.gather(1)
        assert len(server.requests) == 1


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # anyio's own cancellation waits for httpx to close
async def test_closing_that_is_cancelled_can_be_done_again() -> None:
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


async def test_an_attempt_that_is_interrupted_while_it_connects_is_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "teamwork_desk")
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, ExitStack() as waiting:
        for _ in range(3):
            one = waiting.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        url = f"http://127.0.0.1:{full.getsockname()[1]}"
        async with AsyncDesk(url, token="t", deadline=0.1) as desk:
            with pytest.raises(DeadlineExceeded):
                await desk.conversations.convert(1)
    assert "convert.json: interrupted" in caplog.text
