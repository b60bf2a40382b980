"""One client on several event loops: in turn it works, at the same time it is refused, and a fork begins anew."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import re
import signal
import socket
import ssl
import threading
import time
import traceback
import warnings
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any
from urllib.parse import unquote

import anyio
import httpx
import pytest
import trustme
from httpx_aiohttp import AiohttpTransport
from raw_server import RawServer, Received, client_tls, read_request, server_tls

from teamwork_desk import (
    AsyncDesk,
    ConfigurationError,
    Conversation,
    ConvertedConversation,
    DeadlineExceeded,
    DeskError,
    OutcomeUnknownError,
    RetryPolicy,
)
from teamwork_desk.testing import FakeDesk, VirtualTimeLoop

CALLERS = 8
ONCE = RetryPolicy(max_attempts=1, settle=())


class KeepAliveDesk(RawServer):
    """Converts every conversation, and keeps connections open, as Desk does.

    Args:
        hold: Called for each request before the response.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(self._exchange, tls=tls)
        self.received: list[Received] = []
        self.converted: list[int] = []
        self.open = 0
        self.hold: Callable[[Received], None] = lambda request: None
        self.refuse: Iterator[bytes] = iter(())

    def _exchange(self, connection: socket.socket) -> None:
        self.open += 1
        try:
            while True:
                request = read_request(connection)
                self.received.append(request)
                self.hold(request)
                if refusal := next(self.refuse, None):
                    connection.sendall(refusal)
                else:
                    self._respond(connection, request)
        finally:
            self.open -= 1

    def _respond(self, connection: socket.socket, request: Received) -> None:
        if converts := re.search(r"conversations/(\d+)/convert", request.line):
            self.converted.append(int(converts[1]))
            body: dict[str, Any] = self._conversation(int(converts[1]))
        else:
            where = json.loads(unquote(request.line.split("filter=")[1].split("&")[0].split(" ")[0]))["id"]
            body = {"conversations": [self._conversation(each) for each in where.get("$in") or [where["$eq"]]]}
        content = json.dumps(body).encode()
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(content) + content)

    def _conversation(self, number: int) -> dict[str, Any]:
        return {"id": number, "ticket_id": number + 1000 if number in self.converted else None}

    def wait_for(self, requests: int) -> None:
        """Wait until this many requests have arrived."""
        wait_until(lambda: len(self.received) >= requests)

    def gather(self, requests: int) -> None:
        """Respond to the next requests only when all of them have arrived, so that each needs its own connection."""
        barrier = threading.Barrier(requests)

        def hold(request: Received) -> None:
            if not barrier.broken:
                barrier.wait(20)

        self.hold = hold


def is_unused(server: KeepAliveDesk) -> bool:
    return not server.open


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


KINDS = ["plain", "tls", "event hooks", "proxy", "mounts", "own transport", "aiohttp", "aiohttp and event hooks"]


@contextmanager
def served(kind: str) -> Generator[tuple[KeepAliveDesk, AsyncDesk]]:
    """Serve Desk, and build a client with the connections of one kind."""
    ca = trustme.CA() if kind == "tls" else None
    with KeepAliveDesk(server_tls(ca) if ca else None) as server:
        of_kinds: dict[str, dict[str, Any]] = {
            "plain": {},
            "tls": {"verify": client_tls(ca) if ca else True},
            "event hooks": {"event_hooks": {"request": [see]}},
            "proxy": {"proxy": server.url},
            "mounts": {"mounts": {"http://localhost": httpx.AsyncHTTPTransport()}},
            "own transport": {"transport": httpx.AsyncHTTPTransport()},
            "aiohttp": {"transport": AiohttpTransport()},
            "aiohttp and event hooks": {"transport": AiohttpTransport(), "event_hooks": {"request": [see]}},
        }
        yield server, AsyncDesk(server.url, token="t", retry=ONCE, **of_kinds[kind])


async def see(request: httpx.Request) -> None:
    """Do nothing: an event hook."""


async def convert(desk: AsyncDesk, number: int) -> Conversation:
    return await desk.conversations.convert(number, verify_first=False)


async def convert_at_once(desk: AsyncDesk, first: int) -> None:
    async with anyio.create_task_group() as calls:
        for number in range(first, first + CALLERS):
            calls.start_soon(convert, desk, number)


# One after the other


@pytest.mark.parametrize("kind", KINDS)
def test_a_client_works_in_each_of_several_runs(kind: str) -> None:
    backends = ["asyncio"] * 3 if "aiohttp" in kind else ["asyncio", "asyncio", "trio", "trio", "asyncio"]
    with served(kind) as (server, desk):
        for run, backend in enumerate(backends, 1):
            server.gather(CALLERS)
            anyio.run(convert_at_once, desk, CALLERS * run, backend=backend)
            wait_until(lambda: not server.open)  # The connections ended with the loop.
        anyio.run(desk.aclose)
        assert sorted(server.converted) == list(range(CALLERS, CALLERS * (len(backends) + 1)))
        assert server.connections == len(backends) * CALLERS
    gc.collect()


@pytest.mark.parametrize("kind", KINDS)
def test_a_client_works_on_two_loops_in_alternation(kind: str) -> None:
    with served(kind) as (server, desk):
        loops = [asyncio.new_event_loop() for _ in range(2)]
        for run in range(1, 5):
            server.gather(CALLERS)
            loops[run % 2].run_until_complete(convert_at_once(desk, CALLERS * run))
        # The connections of the other loop are closed, as soon as that loop runs again.
        loops[1].run_until_complete(asyncio.sleep(0.01))
        wait_until(lambda: server.open == CALLERS)
        loops[0].run_until_complete(desk.aclose())
        assert sorted(server.converted) == list(range(CALLERS, 5 * CALLERS))
        for loop in loops:
            loop.run_until_complete(asyncio.sleep(0.01))
            loop.close()
        wait_until(lambda: not server.open)
    gc.collect()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_run_works_after_the_calls_of_an_earlier_run_were_cancelled_in_flight(kind: str, backend: str) -> None:
    if backend == "trio" and "aiohttp" in kind:
        pytest.skip("aiohttp runs on asyncio only")
    with served(kind) as (server, desk):
        released = threading.Event()
        server.hold = lambda request: (released.wait(20), None)[1]

        async def leave() -> None:
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as calls:
                    calls.start_soon(convert_at_once, desk, 1)
                    await anyio.to_thread.run_sync(server.wait_for, CALLERS)
                    scope.cancel()

        anyio.run(leave, backend=backend)
        released.set()
        anyio.run(convert_at_once, desk, 11, backend=backend)
        anyio.run(desk.aclose, backend=backend)
        assert set(server.converted) >= set(range(11, 11 + CALLERS))
        wait_until(lambda: not server.open)


def test_a_loop_works_after_another_stopped_with_calls_in_flight_and_these_send_nothing_later() -> None:
    """Also the limit of connections, the rate limit and the locks begin anew.

    The lookups of the stopped calls came before what the other loop did, so they prove nothing any more.
    """
    with KeepAliveDesk() as server:
        limits = httpx.Limits(max_connections=1)
        desk = AsyncDesk(server.url, token="t", retry=ONCE, limits=limits)
        released = threading.Event()
        server.hold = lambda request: (released.wait(20), None)[1]
        first, second = asyncio.new_event_loop(), asyncio.new_event_loop()

        async def begin() -> list[asyncio.Task[ConvertedConversation]]:
            calls = [asyncio.create_task(desk.conversations.convert(n, verify_first=True)) for n in (1, 2)]
            await asyncio.to_thread(server.wait_for, 1)
            return calls

        calls = first.run_until_complete(begin())
        released.set()
        others = [second.run_until_complete(desk.conversations.convert(number)) for number in (1, 3)]
        results = first.run_until_complete(asyncio.gather(*calls, return_exceptions=True))
        assert [each.ticket_id for each in others] == [1001, 1003]
        for result in results:
            assert isinstance(result, ConfigurationError)
            assert not result.maybe_applied
        first.run_until_complete(desk.aclose())
        for loop in (first, second):
            loop.run_until_complete(asyncio.sleep(0.01))
            loop.close()
        assert server.converted == [1, 3]
        wait_until(lambda: not server.open)


# At the same time


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_client_is_refused_on_another_loop_while_the_first_is_running(backend: str) -> None:
    with served("plain") as (server, desk):

        async def use_elsewhere() -> None:
            await convert(desk, 1)
            for other in ("asyncio", "trio"):
                for use in (convert, close):
                    with pytest.raises(ConfigurationError, match="create an AsyncDesk for each event loop"):
                        await anyio.to_thread.run_sync(run_elsewhere, use, desk, other)
            await convert(desk, 3)
            await desk.aclose()

        anyio.run(use_elsewhere, backend=backend)
        assert (server.converted, server.connections) == ([1, 3], 1)


def run_elsewhere(use: Callable[[AsyncDesk, int], Awaitable[object]], desk: AsyncDesk, backend: str) -> None:
    anyio.run(use, desk, 2, backend=backend)


async def close(desk: AsyncDesk, number: int) -> None:
    await desk.aclose()


def test_of_several_loops_that_begin_at_the_same_moment_one_is_served() -> None:
    with served("plain") as (server, desk):
        rounds, threads = 50, 4
        barrier, results = threading.Barrier(threads), list[list[object]]([[] for _ in range(threads)])

        def use(results: list[object]) -> None:
            for number in range(1, rounds + 1):
                barrier.wait(20)
                asyncio.run(use_once(number, results))

        async def use_once(number: int, results: list[object]) -> None:
            try:
                results.append(await convert(desk, number))
            except DeskError as error:
                results.append(error)
            await asyncio.to_thread(barrier.wait, 20)  # Every loop runs until all of them have a result.

        workers = [threading.Thread(target=use, args=(each,)) for each in results]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        for outcomes in zip(*results, strict=True):
            assert sum(isinstance(outcome, Conversation) for outcome in outcomes) == 1
            assert sum(isinstance(outcome, ConfigurationError) for outcome in outcomes) == threads - 1
        assert server.converted == list(range(1, rounds + 1))
        anyio.run(desk.aclose)


# Another process

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


def in_child(work: Callable[[], object]) -> None:
    """Run a function in a forked child, and fail if it fails."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # The server of the test has threads.
        pid = os.fork()
    if not pid:
        status = 1
        try:
            with suppress(ValueError):  # this is not the main thread
                signal.set_wakeup_fd(-1)  # Trio set it in the parent
            work()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0


@needs_fork
@pytest.mark.parametrize("kind", ["plain", "tls", "event hooks", "proxy", "aiohttp"])
def test_a_child_begins_without_a_connection_and_the_parent_keeps_its_own(kind: str) -> None:
    with served(kind) as (server, desk), asyncio.Runner() as runner:
        runner.run(convert(desk, 1))

        def use_and_close() -> None:
            assert asyncio.run(convert(desk, 2)).id == 2
            assert asyncio.run(convert(desk, 3)).id == 3
            asyncio.run(desk.aclose())

        in_child(use_and_close)
        in_child(lambda: asyncio.run(desk.aclose()))
        assert runner.run(convert(desk, 4)).id == 4
        runner.run(desk.aclose())
        assert server.converted == [1, 2, 3, 4]
        assert server.connections == 3  # Each run of the child has one, and the parent still has its first.
    gc.collect()


@needs_fork
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_child_does_not_wait_for_the_calls_of_its_parent(backend: str) -> None:
    """The loop of the parent runs at the fork, and a call holds the only connection and a lock."""
    with KeepAliveDesk() as server:
        desk = AsyncDesk(server.url, token="t", retry=ONCE, limits=httpx.Limits(max_connections=1))
        released = threading.Event()
        server.hold = lambda request: (released.wait(20), None)[1]

        async def fork() -> None:
            async with anyio.create_task_group() as calls:
                calls.start_soon(partial(desk.conversations.convert, 1, verify_first=True))
                await anyio.to_thread.run_sync(server.wait_for, 1)
                released_in_time = threading.Timer(0.5, released.set)
                released_in_time.start()
                # The thread has no event loop, so that the child can run its own.
                await anyio.to_thread.run_sync(in_child, lambda: anyio.run(use_in_child, backend=backend))
            await convert(desk, 3)
            await desk.aclose()

        async def use_in_child() -> None:
            with anyio.fail_after(15):
                found = await desk.conversations.convert(1, verify_first=True)
            assert found.id == 1

        anyio.run(fork, backend=backend)
        assert server.connections == 2


@needs_fork
def test_a_child_does_not_use_a_transport_of_httpx_that_its_parent_uses() -> None:
    with served("own transport") as (server, desk), asyncio.Runner() as runner:
        runner.run(convert(desk, 1))

        def expect_a_refusal() -> None:
            with pytest.raises(ConfigurationError, match="create an AsyncDesk in each process"):
                asyncio.run(convert(desk, 2))
            asyncio.run(desk.aclose())

        in_child(expect_a_refusal)
        runner.run(convert(desk, 3))
        runner.run(desk.aclose())
        assert (server.converted, server.connections) == ([1, 3], 1)


@needs_fork
def test_a_child_uses_a_transport_whose_connections_ended_before_the_fork() -> None:
    with served("own transport") as (server, desk):
        asyncio.run(convert(desk, 1))
        in_child(lambda: asyncio.run(convert(desk, 2)))
        asyncio.run(convert(desk, 3))
        asyncio.run(desk.aclose())
        assert (server.converted, server.connections) == ([1, 2, 3], 3)


@needs_fork
def test_an_unknown_transport_is_used_in_a_child_and_closed_by_the_parent_only() -> None:
    transport = Closable()
    desk = AsyncDesk("https://acme.teamwork.com", token="t", transport=transport, retry=ONCE)
    asyncio.run(convert(desk, 1))

    def use() -> None:
        asyncio.run(convert(desk, 2))
        asyncio.run(desk.aclose())
        assert not transport.closed

    in_child(use)
    asyncio.run(desk.aclose())
    assert transport.closed == 1


def test_a_process_with_another_number_closes_no_connection_of_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a fork, but in this process, so that the coverage is measured."""
    with KeepAliveDesk() as server:
        transport = httpx.AsyncHTTPTransport()
        desk = AsyncDesk(server.url, token="t", retry=ONCE, transport=transport)
        parent, child = asyncio.new_event_loop(), asyncio.new_event_loop()
        parent.run_until_complete(convert(desk, 1))
        with monkeypatch.context() as forked:
            forked.setattr(os, "getpid", lambda: -1)
            with pytest.raises(ConfigurationError, match="belong to the parent process"):
                child.run_until_complete(convert(desk, 2))
            child.run_until_complete(desk.aclose())
        assert server.open == 1
        child.close()
        parent.run_until_complete(transport.aclose())
        parent.close()
    assert server.converted == [1]


class Closable(httpx.MockTransport):
    """Converts every conversation, and counts how often it was closed."""

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__(
            lambda request: httpx.Response(200, json={"id": int(request.url.path.split("/")[-2]), "ticket_id": 7})
        )
        self.closed = 0
        self._error = error

    async def aclose(self) -> None:
        self.closed += 1
        if self._error is not None:
            raise self._error


# What remains, and what begins anew


@pytest.mark.parametrize(("first", "second"), [("asyncio", "trio"), ("trio", "trio"), ("trio", "asyncio")])
@pytest.mark.parametrize("is_forked", [False, pytest.param(True, marks=needs_fork)])  # the memory is copied
def test_an_unknown_outcome_is_remembered(first: str, second: str, is_forked: bool) -> None:
    fake = FakeDesk()
    fake.add_conversation(1)
    policy = RetryPolicy(max_attempts=1, on_unknown="raise", settle=(0.0, 0.0, 30.0))
    desk = AsyncDesk("https://acme.teamwork.com", token="t", transport=fake.transport, retry=policy, deadline=5)

    async def lose() -> None:
        fake.lose_answer("before")
        with pytest.raises(OutcomeUnknownError):
            await convert(desk, 1)

    async def look() -> None:
        # The settling time is not over, and the deadline leaves no time for the last pause.
        with pytest.raises(OutcomeUnknownError, match="pause"):
            await desk.conversations.convert(1, verify_first=True)
        assert [request.method for request in fake.requests] == ["POST", "GET", "GET", "GET"]

    def look_again() -> None:
        anyio.run(look, backend=second)

    anyio.run(lose, backend=first)
    if is_forked:
        in_child(look_again)
    else:
        look_again()
    anyio.run(desk.aclose)


@pytest.mark.parametrize(("first", "second"), [("asyncio", "trio"), ("trio", "trio"), ("trio", "asyncio")])
def test_the_log_of_requests_moves_to_the_clock_of_the_next_loop(first: str, second: str) -> None:
    fake = FakeDesk(rate_limit=2)
    desk = AsyncDesk("https://acme.teamwork.com", token="t", transport=fake.transport, retry=ONCE, deadline=50)

    async def use_up() -> None:
        await convert(desk, 1)
        await convert(desk, 2)

    async def expect_no_room() -> None:
        with pytest.raises(DeadlineExceeded) as caught:
            await desk.with_options(deadline=1).conversations.convert(3, verify_first=False)
        assert 1 < (caught.value.retry_after or 0) <= 61

    anyio.run(use_up, backend=first)
    anyio.run(expect_no_room, backend=second)
    anyio.run(desk.aclose)


def test_virtual_time_that_a_loop_was_ahead_is_over_on_the_next_loop() -> None:
    headers = {"X-Rate-Limit-Limit": "1", "X-Rate-Limit-Remaining": "0", "X-Rate-Limit-Reset": "60"}
    transport = httpx.MockTransport(
        lambda request: httpx.Response(200, headers=headers, json={"id": 1, "ticket_id": 7})
    )
    desk = AsyncDesk("https://acme.teamwork.com", token="t", transport=transport, retry=ONCE)
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        for _ in range(10):
            runner.run(convert(desk, 1))  # Each waits for a minute.
        assert runner.get_loop().time() > 500
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(convert(desk, 1))  # It waits for a minute again, and not for ten.
        assert 50 < runner.get_loop().time() < 70
        runner.run(desk.aclose())


def test_calls_that_a_stopped_loop_abandoned_hold_nothing_that_the_next_loop_needs() -> None:
    """The abandoned calls wait for a token, for a lookup or its turn, and for the lock of a conversation."""
    fake = FakeDesk()
    asked: list[int] = []

    async def token() -> str:
        asked.append(1)
        if len(asked) == 1:
            await asyncio.get_running_loop().create_future()
        return "t"

    class Hanging(httpx.MockTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if hangs:
                await asyncio.get_running_loop().create_future()
            return await fake.transport.handle_async_request(request)

    def make(**options: Any) -> AsyncDesk:
        transport = Hanging(lambda request: httpx.Response(500))
        return AsyncDesk("https://acme.teamwork.com", transport=transport, retry=ONCE, deadline=10, **options)

    async def abandon(desk: AsyncDesk) -> list[asyncio.Task[ConvertedConversation]]:
        numbers = (1, 1, 2, *range(3, 30))
        # Ten plain calls are in flight, as many as may be before the first response, and the others wait for them.
        calls = [asyncio.create_task(desk.conversations.convert(n, verify_first=n < 3)) for n in numbers]
        await asyncio.sleep(0.05)
        return calls

    hangs = False
    for desk, first_hangs in ((make(token=token), False), (make(token="t"), True)):
        hangs = first_hangs
        stopped = asyncio.new_event_loop()
        calls = stopped.run_until_complete(abandon(desk))
        hangs = False
        assert asyncio.run(desk.conversations.convert(1, verify_first=True)).ticket_id
        assert asyncio.run(desk.conversations.convert(2, verify_first=True)).ticket_id
        for call in calls:
            call.cancel()
        stopped.run_until_complete(asyncio.wait(calls))
        stopped.run_until_complete(desk.aclose())
        stopped.close()
    assert len(fake.tickets) == 2


def test_the_outcome_of_a_call_that_a_stopped_loop_abandoned_is_unknown() -> None:
    with served("plain") as (server, desk):
        view = desk.with_options(retry=RetryPolicy(max_attempts=1, settle=(0.0, 0.5)))
        released = threading.Event()
        stopped = asyncio.new_event_loop()

        def hold(request: Received) -> None:
            """Work on the first request until the second lookup."""
            if request.line.startswith("POST"):
                released.wait(20)
            elif len(server.received) == 3:
                released.set()
                wait_until(lambda: bool(server.converted))

        server.hold = hold

        async def begin() -> asyncio.Task[Conversation]:
            call = asyncio.create_task(convert(view, 1))
            await asyncio.to_thread(server.wait_for, 1)
            return call

        async def look() -> None:
            assert (await view.conversations.convert(1, verify_first=True)).ticket_id == 1001

        call = stopped.run_until_complete(begin())
        asyncio.run(look())
        assert server.converted == [1]
        assert stopped.run_until_complete(call).ticket_id == 1001
        stopped.run_until_complete(desk.aclose())
        stopped.close()


def test_a_call_of_a_stopped_loop_uses_no_connection_of_the_next_loop() -> None:
    """It backs off when its loop stops, and is still running there when the next loop serves the client."""
    with served("plain") as (server, desk):
        view = desk.with_options(retry=RetryPolicy(max_attempts=2, backoff_base=0.0))
        stopped = asyncio.new_event_loop()
        refusals = iter([b"HTTP/1.1 429 Slow down\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"])
        server.refuse = refusals

        async def begin() -> asyncio.Task[Conversation]:
            call = asyncio.create_task(convert(view, 1))
            await asyncio.to_thread(server.wait_for, 1)
            await asyncio.sleep(0.1)
            return call

        async def meet(call: asyncio.Task[Conversation]) -> None:
            # Both loops run now, so the call cannot go on: it was refused, and nothing was converted.
            await convert(desk, 2)
            with pytest.raises(ConfigurationError, match="each event loop") as caught:
                await asyncio.to_thread(stopped.run_until_complete, call)
            assert not caught.value.maybe_applied

        asyncio.run(meet(stopped.run_until_complete(begin())))
        assert server.converted == [2]
        stopped.run_until_complete(desk.aclose())
        stopped.close()


def test_a_read_of_a_stopped_loop_goes_on_with_a_connection_of_its_own() -> None:
    with served("plain") as (server, desk):
        view = desk.with_options(retry=RetryPolicy(max_attempts=2, backoff_base=0.0))
        stopped = asyncio.new_event_loop()
        server.refuse = iter([b"HTTP/1.1 503 Later\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"])

        async def begin() -> asyncio.Task[Conversation]:
            call = asyncio.create_task(view.conversations.get(1))
            await asyncio.to_thread(server.wait_for, 1)
            await asyncio.sleep(0.1)
            return call

        call = stopped.run_until_complete(begin())
        asyncio.run(convert(desk, 2))
        assert stopped.run_until_complete(call).id == 1
        stopped.run_until_complete(desk.aclose())
        stopped.close()


# Closing


@pytest.mark.parametrize("kind", KINDS)
def test_a_client_can_be_closed_on_any_loop_also_twice(kind: str) -> None:
    for where in ("a later loop", "after the loop was closed", "twice"):
        with served(kind) as (server, desk):
            loop = asyncio.new_event_loop()
            loop.run_until_complete(convert(desk, 1))
            if where == "twice":
                loop.run_until_complete(desk.aclose())
                loop.run_until_complete(desk.aclose())
            elif where == "a later loop":
                asyncio.run(desk.aclose())
                loop.run_until_complete(asyncio.sleep(0.01))
            if where != "after the loop was closed":
                loop.run_until_complete(asyncio.sleep(0.01))
                loop.close()
            else:
                loop.close()
                with warnings.catch_warnings():
                    # The loop was closed without a call of shutdown_asyncgens, so its transports warn.
                    warnings.simplefilter("ignore", ResourceWarning)
                    asyncio.run(desk.aclose())
                    asyncio.run(desk.aclose())
                    del loop
                    gc.collect()
            wait_until(partial(is_unused, server))


@pytest.mark.parametrize("error", [RuntimeError("closed"), OSError("broken"), httpx.CloseError("broken")])
async def test_closing_ignores_what_a_transport_raises(error: Exception) -> None:
    transport = Closable(error)
    async with AsyncDesk("https://acme.teamwork.com", token="t", transport=transport):
        pass
    assert transport.closed == 1
    hooks = {"request": [see]}
    async with AsyncDesk("https://acme.teamwork.com", token="t", transport=transport, event_hooks=hooks):
        pass
    assert transport.closed == 2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ends", ["aclose", "the end of the loop"])
def test_a_call_in_flight_has_the_right_outcome_when_everything_is_closed(kind: str, ends: str) -> None:
    with served(kind) as (server, desk):
        released = threading.Event()
        server.hold = lambda request: (released.wait(20), None)[1]

        async def use() -> asyncio.Task[Conversation]:
            call = asyncio.create_task(convert(desk, 1))
            await asyncio.to_thread(server.wait_for, 1)
            if ends == "aclose":
                await desk.aclose()
                released.set()
                await asyncio.wait([call])
            return call

        call = asyncio.run(use())
        released.set()
        asyncio.run(desk.aclose())
        if ends != "aclose":
            assert call.cancelled()
        elif error := call.exception():
            assert isinstance(error, OutcomeUnknownError)
            assert error.maybe_applied
        else:
            assert call.result().ticket_id == 1001
        wait_until(lambda: not server.open)
