"""A Desk that misbehaves at the level of bytes, over real sockets, and records what it did."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import json
import re
import socket
import struct
import threading
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import parse_qs, urlsplit

from attrs import field, frozen

from teamwork_desk.testing._limiter import Limiter

Work = Literal["never", "before the response", "at the second lookup", "after the client gave up"]
"""When the conversion is carried out."""
Answer = Literal[
    "ok",
    "slow",
    "after interim responses",
    "reset without reading",
    "reset",
    "close",
    "half a status line",
    "not HTTP",
    "hang",
    "half a body",
    "reset within the body",
    "HTML",
    "no id",
    "broken gzip",
    "empty",
    "ticket null",
    "ticket 0",
    "ticket missing",
    "ticket as digits",
    "status",
]
"""The response that the client receives, or how the connection ends."""
Listing = Literal[
    "reliable",
    "flaky",
    "forbidden",
    "shows others",
    "is empty",
    "has more pages",
    "shows a negative ticket id",
    "shows an object as ticket id",
]
"""Whether a lookup succeeds, is reset the first time only, is always forbidden, or lies: then it proves nothing."""


@frozen(kw_only=True)
class Fault:
    """How the server handles a convert request.

    Attributes:
        answer: The response that the client receives, or how the connection ends.
        work: When the conversation is converted.
        status: The status of the response, if the answer is "status".
        headers: Further headers of that response.
    """

    answer: Answer
    work: Work
    status: int = 200
    headers: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.status if self.answer == 'status' else self.answer}, work {self.work}"


OK = Fault(answer="ok", work="before the response")


@frozen(kw_only=True)
class Plan:
    """How the server handles the requests about one conversation.

    Attributes:
        faults: The faults of its first convert requests, in this order. Further convert requests succeed.
        lagging_lookups: How many lookups do not show the ticket yet.
        listing: What becomes of the lookups.
    """

    faults: tuple[Fault, ...] = ()
    lagging_lookups: int = 0
    listing: Listing = "reliable"


@frozen
class _Exchange:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    method: str
    target: str
    body: bytes = field(repr=False)


class FaultServer:
    """Serves on a loopback port from its own thread, so that the client may run on any event loop.

    Attributes:
        bodies: How many convert requests have arrived as a whole.
        hangs: How many of them get no response.
    """

    def __init__(
        self,
        plans: dict[int, Plan] | None = None,
        *,
        headers: tuple[str, ...] = (),
        limiter: Limiter | None = None,
        knows_in: bool = False,
    ) -> None:
        self.plans = plans or {}
        self.refused = 0
        self._limiter = limiter
        # Plans are about single lookups, so by default this Desk refuses lists of ids.
        self._knows_in = knows_in
        self.tickets: defaultdict[int, list[int]] = defaultdict(list)
        self.bodies = self.hangs = 0
        self.requests: list[str] = []
        self.converts: defaultdict[int, int] = defaultdict(int)
        self.url = ""
        self.connections = 0
        self.open_connections = 0
        self._headers = headers
        self._ids = itertools.count(1_000)
        self._lookups: defaultdict[int, int] = defaultdict(int)
        self._at_second_lookup: set[int] = set()
        self._unfinished: list[int] = []
        self._flaky: set[int] = set()
        self._lookups_to_gather = 0
        self._waiting_lookups = 0
        self._all_arrived = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        self._started.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def gather(self, requests: int) -> None:
        """From now on, hold every lookup until this many of them wait at the same time."""
        self._loop.call_soon_threadsafe(self._hold_lookups, requests)

    def finish_late_work(self) -> None:
        """Convert the conversations whose clients gave up before the work was done."""
        while self._unfinished:
            self._work(self._unfinished.pop())

    def _hold_lookups(self, requests: int) -> None:
        """Hold lookups until this many of them wait, and then release them all at once."""
        self._lookups_to_gather = requests
        if self._waiting_lookups >= requests:
            self._all_arrived.set()
            self._all_arrived = asyncio.Event()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0, backlog=1024)
        host, port = server.sockets[0].getsockname()
        self.url = f"http://{host}:{port}"
        self._started.set()
        await self._stop.wait()
        server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open_connections += 1
        try:
            while await self._exchange(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self.open_connections -= 1
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Serve one request; return whether the connection stays open."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        method, target, _ = head.split(" ", 2)
        length = re.search(r"(?i)content-length: *(\d+)", head)
        if self._limiter is not None and not self._limiter.accepts(time.time()):
            self.refused += 1
            await reader.readexactly(int(length[1]) if length else 0)
            return await self._send(_Exchange(reader, writer, method, target, b""), 429, b"")
        convert = re.search(r"/conversations/(\d+)/convert\.json", target)
        self.requests.append(f"{method} {target}")
        if convert is None:
            return await self._list(_Exchange(reader, writer, method, target, b""))
        conversation_id = int(convert[1])
        attempt = self.converts[conversation_id]
        self.converts[conversation_id] += 1
        faults = self.plans.get(conversation_id, Plan()).faults
        fault = faults[attempt] if attempt < len(faults) else OK
        # A reset that comes before the body is read arrives at the client while it may still be sending.
        if fault.answer == "reset without reading":
            _reset(writer)
            return False
        body = await reader.readexactly(int(length[1]) if length else 0)
        self.bodies += 1
        match fault.work:
            case "before the response":
                self._work(conversation_id)
            case "at the second lookup":
                self._at_second_lookup.add(conversation_id)
            case "after the client gave up":
                self._unfinished.append(conversation_id)
            case "never":
                pass
        return await self._respond(_Exchange(reader, writer, method, target, body), fault, conversation_id)

    def _work(self, conversation_id: int) -> None:
        """Convert the conversation: every call makes another ticket, as Desk does."""
        self.tickets[conversation_id].append(next(self._ids))

    def _conversation(self, conversation_id: int, *, ticket_id: int | None) -> dict[str, Any]:
        return {"id": conversation_id, "state": "active", "ticket_id": ticket_id, "messages": None, "new": "unknown"}

    async def _list(self, exchange: _Exchange) -> bool:
        query = parse_qs(urlsplit(exchange.target).query)
        condition = json.loads(query["filter"][0])["id"]
        if "$in" in condition:
            return await self._list_many(exchange, condition["$in"])
        conversation_id = int(condition["$eq"])
        plan = self.plans.get(conversation_id, Plan())
        if plan.listing == "forbidden":
            return await self._send(exchange, 403, b"{}")
        if plan.listing == "flaky" and conversation_id not in self._flaky:
            self._flaky.add(conversation_id)
            _reset(exchange.writer)
            return False
        all_arrived = self._all_arrived
        self._waiting_lookups += 1
        self._hold_lookups(self._lookups_to_gather)
        try:
            await all_arrived.wait()
        finally:
            self._waiting_lookups -= 1
        page: dict[str, Any] = {"conversations": [self._look_up(conversation_id)]}
        without_ticket = self._conversation(conversation_id, ticket_id=None)
        match plan.listing:
            case "shows others":
                page = {"conversations": [{"id": 10**9, "ticket_id": None}, without_ticket]}
            case "is empty":
                page = {"conversations": None}
            case "has more pages":
                page = {"conversations": [without_ticket], "pagination": {"hasMorePages": True}}
            case "shows a negative ticket id":
                page = {"conversations": [{**without_ticket, "ticket_id": -1}]}
            case "shows an object as ticket id":
                page = {"conversations": [{**without_ticket, "ticket_id": {}}]}
            case _:
                pass
        return await self._send(exchange, 200, json.dumps(page).encode())

    async def _list_many(self, exchange: _Exchange, ids: list[int]) -> bool:
        if not self._knows_in:
            return await self._send(exchange, 400, b'{"errors": {"filter": ["cannot be understood"]}}')
        # A list does not show the conversations whose lookups have a fault: the client must ask for each alone.
        shown = [number for number in ids if self.plans.get(number, Plan()).listing == "reliable"]
        page = {"conversations": [self._look_up(number) for number in shown]}
        return await self._send(exchange, 200, json.dumps(page).encode())

    def _look_up(self, conversation_id: int) -> dict[str, Any]:
        self._lookups[conversation_id] += 1
        if self._lookups[conversation_id] >= 2 and conversation_id in self._at_second_lookup:
            self._at_second_lookup.discard(conversation_id)
            self._work(conversation_id)
        lags = self._lookups[conversation_id] <= self.plans.get(conversation_id, Plan()).lagging_lookups
        ticket_id = None if lags or not self.tickets[conversation_id] else self.tickets[conversation_id][-1]
        return self._conversation(conversation_id, ticket_id=ticket_id)

    async def _respond(self, exchange: _Exchange, fault: Fault, conversation_id: int) -> bool:
        writer = exchange.writer
        tickets = self.tickets[conversation_id]
        conversation = self._conversation(conversation_id, ticket_id=tickets[-1] if tickets else None)
        body = json.dumps(conversation).encode()
        without_ticket = {name: value for name, value in conversation.items() if name != "ticket_id"}
        whole = self._head(200, len(body)) + body
        half = whole[: -len(body) // 2]
        responses: dict[Answer, Callable[[], Awaitable[bool]]] = {
            "ok": lambda: self._send(exchange, 200, body),
            "slow": lambda: _drip(writer, whole),
            "after interim responses": lambda: _write(
                writer, b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + whole
            ),
            "reset": lambda: _write(writer, b"", then=_reset),
            "close": lambda: _write(writer, b"", then=_close),
            "half a status line": lambda: _write(writer, b"HTTP/1.1 20", then=_close),
            "not HTTP": lambda: _write(writer, b"\x00\x01 not HTTP at all\r\n\r\n", then=_close),
            "hang": lambda: self._hang(exchange),
            "half a body": lambda: _write(writer, half, then=_close),
            "reset within the body": lambda: _write(writer, half, then=_reset),
            "HTML": lambda: self._send(exchange, 200, b"<html><body>Welcome to the proxy</body></html>"),
            "no id": lambda: self._send(exchange, 200, b'{"ok": true}'),
            "broken gzip": lambda: self._send(
                exchange, 200, gzip.compress(body)[:-9] + b"nonsense!", "Content-Encoding: gzip"
            ),
            "empty": lambda: self._send(exchange, 204, b""),
            "ticket null": lambda: self._send_json(exchange, without_ticket | {"ticket_id": None}),
            "ticket 0": lambda: self._send_json(exchange, without_ticket | {"ticket_id": 0}),
            "ticket missing": lambda: self._send_json(exchange, without_ticket),
            "ticket as digits": lambda: self._send_json(exchange, without_ticket | {"ticket_id": str(tickets[-1])}),
            "status": lambda: self._send(exchange, fault.status, b"<html>Bad Gateway</html>", *fault.headers),
        }
        return await responses[fault.answer]()

    def _head(self, status: int, length: int, *headers: str) -> bytes:
        limits = self._limiter.headers(time.time()) if self._limiter else {}
        lines = [f"HTTP/1.1 {status} Whatever", *self._headers, *headers, *map(": ".join, limits.items())]
        if status != 204:
            lines.append(f"Content-Length: {length}")
        return "\r\n".join([*lines, "", ""]).encode()

    async def _hang(self, exchange: _Exchange) -> bool:
        self.hangs += 1
        await exchange.reader.read()  # until the client closes the connection
        return False

    async def _send_json(self, exchange: _Exchange, value: dict[str, Any]) -> bool:
        return await self._send(exchange, 200, json.dumps(value).encode())

    async def _send(self, exchange: _Exchange, status: int, body: bytes, *headers: str) -> bool:
        return await _write(exchange.writer, self._head(status, len(body), *headers) + body)


async def _write(
    writer: asyncio.StreamWriter, content: bytes, then: Callable[[asyncio.StreamWriter], None] | None = None
) -> bool:
    writer.write(content)
    await writer.drain()
    if then:
        then(writer)
    return then is None


async def _drip(writer: asyncio.StreamWriter, content: bytes) -> bool:
    for byte in content:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0)
    return True


def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    # A socket that does not linger sends a reset when it is closed, instead of an orderly end.
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
