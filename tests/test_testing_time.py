"""Virtual time: rate windows and verification pass without waiting."""

from __future__ import annotations

import asyncio
import math
import socket
import threading
import time
from typing import Any

import anyio
import pytest
from trio.testing import MockClock

from teamwork_desk import AsyncDesk
from teamwork_desk.testing import FakeDesk, VirtualTimeLoop


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    if request.param == "trio":
        return "trio", {"clock": MockClock(autojump_threshold=0)}
    return "asyncio", {"loop_factory": VirtualTimeLoop}


async def test_130_conversions_cross_a_rate_window(fake_desk: FakeDesk, desk: AsyncDesk) -> None:
    fake_desk.add_conversation(130)
    ids = [*range(1, 101), 130, *(fake_desk.add_conversation()["id"] for _ in range(29))]
    start = anyio.current_time()
    async with anyio.create_task_group() as calls:
        for conversation_id in ids:
            calls.start_soon(desk.conversations.convert, conversation_id)
    assert anyio.current_time() - start >= 60
    assert sorted(ticket.conversation_id for ticket in fake_desk.tickets) == sorted(ids)
    assert {request.status for request in fake_desk.requests} == {200}


async def test_verification_finds_a_ticket_that_the_server_makes_late(fake_desk: FakeDesk, desk: AsyncDesk) -> None:
    fake_desk.inject("answer lost while the work goes on", lasts=3.4, method="POST")
    start = anyio.current_time()
    conversation = await desk.conversations.convert(42)
    assert 3.4 <= anyio.current_time() - start <= 3.6
    assert fake_desk.assert_converted_once(42).id == conversation.ticket_id
    assert [request.method for request in fake_desk.requests] == ["GET", "POST", "GET", "GET", "GET", "GET"]


async def test_a_timeout_expires_in_virtual_time(fake_desk: FakeDesk, desk: AsyncDesk) -> None:
    with anyio.move_on_after(3600) as scope:
        await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert anyio.current_time() >= 3600


# The event loop.


def run(main: Any) -> Any:
    """Run an async function on a new event loop with virtual time."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)


def test_timers_fire_in_order_and_at_their_time() -> None:
    fired: list[tuple[str, float]] = []

    async def wait(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        fired.append((name, round(asyncio.get_running_loop().time(), 6)))

    async def main() -> None:
        await asyncio.gather(wait("day", 86_400 * 2), wait("second", 1), wait("hour", 3600), wait("moment", 1e-4))

    run(main())
    assert fired == [("moment", 1e-4), ("second", 1), ("hour", 3600), ("day", 172_800)]


def test_time_stands_still_while_a_task_can_run() -> None:
    async def main() -> float:
        timer = asyncio.ensure_future(asyncio.sleep(1))
        for _ in range(100):
            await asyncio.sleep(0)
        now = asyncio.get_running_loop().time()
        await timer
        return now

    assert run(main()) == 0


def test_a_ready_socket_comes_before_a_timer() -> None:
    one_end, other_end = socket.socketpair()

    async def main() -> float:
        loop = asyncio.get_running_loop()
        arrived = asyncio.Event()
        loop.add_reader(one_end, arrived.set)
        async with asyncio.timeout(1):
            await arrived.wait()
        return loop.time()

    with one_end, other_end:
        other_end.send(b"x")
        assert run(main()) == 0


def test_a_thread_wakes_the_loop() -> None:
    async def main() -> str:
        return await asyncio.to_thread(lambda: threading.current_thread().name)

    assert run(main()) != threading.current_thread().name


@pytest.mark.timeout(30)
def test_more_than_a_year_can_pass_while_a_thread_runs() -> None:
    async def main() -> bool:
        loop, fired, released = asyncio.get_running_loop(), asyncio.Event(), threading.Event()
        thread = asyncio.create_task(asyncio.to_thread(released.wait, 30))
        idle = asyncio.create_task(asyncio.sleep(math.inf))
        # After about half a year, the clock's float cannot represent a nanosecond any more. A timer must still run.
        await asyncio.sleep(365 * 86_400)
        while loop.time() < 400 * 86_400:
            await asyncio.sleep(3600)
        await asyncio.sleep(1e-10)
        loop.call_later(0, fired.set)
        await fired.wait()
        released.set()
        idle.cancel()
        return await thread

    assert run(main())


# The clock of a FakeDesk.


def created_at(fake: FakeDesk) -> str:
    return str(fake.add_conversation()["createdAt"])


def test_the_time_of_a_fake_desk_follows_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_700_000_000.0)
    fake = FakeDesk()

    async def main(seconds: float) -> list[str]:
        before = created_at(fake)
        await asyncio.sleep(seconds)
        return [before, created_at(fake)]

    assert created_at(fake) == "2023-11-14T22:13:20.000Z"
    assert run(main(60)) == ["2023-11-14T22:13:20.000Z", "2023-11-14T22:14:20.000Z"]
    assert created_at(fake) == "2023-11-14T22:14:20.000Z"
    # A second event loop starts at 0 again, and the time must not run backwards.
    assert run(main(1)) == ["2023-11-14T22:14:20.000Z", "2023-11-14T22:14:21.000Z"]
