"""Desk in memory: its rules in one place, reached through an httpx transport or a real server."""

from __future__ import annotations

import json
import math
import re
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import formatdate
from functools import partial
from itertools import count
from operator import itemgetter
from typing import Any, Literal, Unpack, cast
from urllib.parse import parse_qsl

import httpx
from attrs import evolve

from ..backlog import ConvertedFields
from ._answers import Answer, Silence, decode, invalid, json_answer, refused
from ._assertions import no_ticket, the_one_ticket
from ._faults import RATE_LIMITED, Fault, Faults, Injected, named
from ._listing import page_of
from ._records import RecordedRequest, Ticket
from ._time import LoopClock
from ._transport import Transport
from ._validator import problems_of

FIRST_TICKET = 1_000_001
GO_ZERO_TIME = "0001-01-01T00:00:00Z"

_LIST = "/desk/api/v2/conversations.json"
_CONVERT = re.compile(r"/desk/api/v2/conversations/([0-9]{1,19})/convert\.json")


class FakeDesk:
    """A Teamwork Desk in memory.

    It follows Desk's documented rules where there are any. Where there are none it takes the harsher reading: every
    convert makes another ticket and mails again. A conversation's `state` does not matter to it.

    Attributes:
        transport: The way in for httpx, under asyncio and trio. It needs no network, and closing it does nothing.
        requests: The requests that arrived, oldest first.
    """

    def __init__(
        self,
        *,
        token: str | None = None,
        conversations: Iterable[int] = range(1, 101),
        rate_limit: int = 120,
        window: float = 60.0,
        old_installation: bool = False,
        envelope: bool = False,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """Open a Desk.

        Args:
            token: The only bearer token accepted. With None any will do, but there must be one.
            conversations: The ids of the conversations there are; none is converted.
            rate_limit: Requests per window.
            window: The window's length in seconds. It opens with the first request.
            old_installation: Whether it knows the deprecated `email` only, and not `customer.email`.
            envelope: Whether convert answers `{"conversation": {...}}` instead of the bare conversation.
            clock: Tells the time, in seconds since the epoch. Where it is left out, time moves with the event loop's
                clock, which may be virtual.
        """
        self._token = token
        self._rate_limit = rate_limit
        self._window = window
        self._old_installation = old_installation
        self._envelope = envelope
        self._clock = LoopClock() if clock is None else clock
        self._window_end = -math.inf
        self._used = 0
        self._faults = Faults()
        self._going_on: list[tuple[float, Callable[[], Answer]]] = []
        self._ticket_ids = count(FIRST_TICKET)
        self._conversations: dict[int, dict[str, Any]] = {}
        for conversation_id in conversations:
            self.add_conversation(conversation_id)
        self._tickets: list[Ticket] = []
        self.requests: list[RecordedRequest] = []
        self.transport: httpx.AsyncBaseTransport = Transport(self._handle, self._faults)

    @property
    def tickets(self) -> list[Ticket]:
        """The tickets made so far, oldest first."""
        self._finish_work()
        return self._tickets

    @asynccontextmanager
    async def serve(self, *, port: int = 0, host: str = "127.0.0.1") -> AsyncGenerator[str, None]:
        """Serve over HTTP, under asyncio only; it needs the extra `testing`.

        Args:
            port: The port to listen on; 0 takes a free one.
            host: The address to listen on.

        Yields:
            The server's URL, such as `http://127.0.0.1:8080`.

        Raises:
            ImportError: The extra `testing` is not installed.
        """
        try:
            from ._server import serve  # noqa: PLC0415 (needs the extra)
        except ImportError as error:
            raise ImportError('FakeDesk.serve() needs more: pip install "teamwork-desk[testing]"') from error
        async with serve(self._handle, host, port) as url:
            yield url

    def add_conversation(self, id: int | None = None, **fields: Any) -> dict[str, Any]:
        """Add a conversation, or replace the one that has this id.

        Args:
            id: Its id; the next free one if left out.
            **fields: Its fields by their names in Desk's JSON, such as `state="deleted"` or `ticket_id=7`. They come
                over the defaults. With `contact=None` it has no customer of its own.

        Returns:
            The conversation as Desk holds it: to change it is to change what Desk knows.
        """
        number = max(self._conversations, default=0) + 1 if id is None else id
        address = f"customer{number}@example.com"
        contact = {"id": number + 5000, "type": "email", "value": address, "isMain": True, "state": "active"}
        now = self._timestamp()
        self._conversations[number] = conversation = {
            "contact": contact,
            "contactId": contact["id"] if fields.get("contact", contact) else None,
            "createdAt": now,
            "createdBy": {"id": 2, "type": "users", "meta": None},
            "deletedAt": GO_ZERO_TIME,
            "deletedBy": None,
            "id": number,
            "inboxAlias": None,
            "messages": None,
            "numMessages": 0,
            "socket_id": "",
            "state": "active",
            "ticket_id": None,
            "token": f"secret-of-conversation-{number}",
            "updatedAt": now,
            "updatedBy": None,
            "users": [{"id": 2, "type": "users"}],
            **fields,
        }
        return conversation

    def fail(
        self,
        *,
        status: int,
        headers: Mapping[str, str] | None = None,
        body: bytes | str | Mapping[str, Any] = b"",
        times: int = 1,
        method: str | None = None,
    ) -> None:
        """Answer the next requests with this instead of doing their work.

        Faults queue: a request meets the oldest one that is left and fits its method.

        Args:
            status: The status, from 200 to 599.
            headers: Headers that come over the usual ones.
            body: The body; a mapping goes out as JSON.
            times: The number of requests it happens to.
            method: Let it happen to requests of this method only.
        """
        if not 200 <= status <= 599:
            raise ValueError(f"no final HTTP status: {status}")
        if isinstance(body, Mapping):
            body = json.dumps(body)
        answer = Answer(status, httpx.Headers(headers), body.encode() if isinstance(body, str) else body)
        self._faults.add(Injected(method and method.upper(), "never", answer), times)

    def lose_answer(self, when: Literal["before", "after"], *, times: int = 1, method: str | None = None) -> None:
        """Break the connection of the next requests, without a byte of an answer.

        Over the transport this raises `httpx.ReadError`; over the server the connection is reset.

        Args:
            when: Whether it breaks before the work is done or after.
            times: The number of requests it happens to.
            method: Let it happen to requests of this method only.
        """
        self.inject(cast("Fault", f"answer lost {when} the work"), times=times, method=method)

    def inject(self, fault: Fault, *, times: int = 1, method: str | None = None, lasts: float = 2.0) -> None:
        """Let something go wrong with the next requests.

        | fault | what happens to a request | what `convert` makes of it |
        | --- | --- | --- |
        | `"connection refused"` | it never leaves; over a server the connection breaks instead | sends again |
        | `"rate limited"` | 429, the window is used up | sends again when the window resets |
        | `"maintenance"` | 503 with `Retry-After: 5` | sends again after 5 seconds |
        | `"token refused"` | 401 | sends again with a fresh token if it can get one, else `AuthenticationError` |
        | `"forbidden"` | 403 | `PermissionDeniedError` |
        | `"answer lost before the work"` | the connection breaks, nothing is done | looks, and sends again |
        | `"answer lost after the work"` | the connection breaks, the work is done | finds the ticket |
        | `"answer lost while the work goes on"` | the connection breaks, the work is done later | finds the ticket |
        | `"server error before the work"` | 500, nothing is done | looks, and sends again |
        | `"server error after the work"` | 500, the work is done | finds the ticket |
        | `"timeout before the work"` | no answer in time, nothing is ever done | `OutcomeUnknownError` |
        | `"timeout after the work"` | no answer in time, the work is done | finds the ticket |
        | `"timeout while the work goes on"` | no answer in time, the work is done later | finds the ticket |
        | `"gateway timeout before the work"` | 504, nothing is ever done | `OutcomeUnknownError` |
        | `"gateway timeout after the work"` | 504, the work is done | finds the ticket |
        | `"gateway timeout while the work goes on"` | 504, the work is done later | finds the ticket |
        | `"unreadable answer"` | 200 with HTML, the work is done | finds the ticket |
        | `"answer cut off"` | the connection breaks within the answer, the work is done | finds the ticket |

        Work that goes on longer than `convert` looks (3.5 seconds by default) ends in `OutcomeUnknownError` after a
        timeout, and in a second ticket after a lost answer: that is the limit of the promise. A timeout strikes at once
        over the transport, and when the client loses patience over a server.

        Faults queue, as those of `fail` and `lose_answer` do.

        Args:
            fault: What goes wrong.
            times: The number of requests it happens to.
            method: Let it happen to requests of this method only.
            lasts: How many seconds the work goes on, where the fault says that it does.

        Raises:
            ValueError: There is no such fault.
        """
        self._faults.add(named(fault, method and method.upper(), lasts), times)

    def assert_converted_once(self, conversation_id: int, **fields: Unpack[ConvertedFields]) -> Ticket:
        """Make sure that a conversation was converted exactly once, with these fields.

        Args:
            conversation_id: The conversation's id.
            **fields: What must have reached the ticket, as one says it to `desk.conversations.convert`; None for what
                must not. Others are not looked at. A customer's address counts also where it came in the deprecated
                `email`.

        Returns:
            The ticket.

        Raises:
            AssertionError: It was not, or was more than once, or a field differs: the message says which.
            TypeError: `convert` has no such field.
        """
        __tracebackhide__ = True
        return the_one_ticket(self.tickets, conversation_id, fields)

    def assert_not_converted(self, conversation_id: int) -> None:
        """Make sure that a conversation was not converted.

        Args:
            conversation_id: The conversation's id.

        Raises:
            AssertionError: It was.
        """
        __tracebackhide__ = True
        no_ticket(self.tickets, conversation_id)

    def _handle(self, method: str, path: str, query: str, headers: httpx.Headers, body: bytes) -> Answer | Silence:
        self._finish_work()
        arguments = dict(parse_qsl(query, keep_blank_values=True))
        try:
            decoded = decode(body)
        except ValueError:
            decoded = None
        # A window that is used up comes before any fault: else one might say that a refused request was done.
        fault = None if self._is_used_up() else self._faults.take(method)
        if fault is not None and fault.outcome is RATE_LIMITED:
            self._within_limit()  # opens the window
            self._used = self._rate_limit
        answer: Answer | None = None
        if fault is None or fault.work != "never":
            answer = self._refusal(headers)
            work = partial(self._work, method, path, arguments, decoded)
            if answer is None and fault is not None and fault.work == "later":
                self._going_on.append((self._clock() + fault.lasts, work))
            elif answer is None:
                answer = work()
        outcome = cast("Answer", answer) if fault is None else fault.applied_to(answer)
        status = outcome.status if isinstance(outcome, Answer) else None
        self.requests.append(RecordedRequest(method, path, arguments, headers, decoded, status))
        return self._with_usual_headers(outcome) if isinstance(outcome, Answer) else outcome

    def _finish_work(self) -> None:
        """Do the work that went on and has ended by now."""
        now = self._clock()
        ended = sorted((one for one in self._going_on if one[0] <= now), key=itemgetter(0))
        self._going_on = [one for one in self._going_on if one[0] > now]
        for _, work in ended:
            work()

    def _with_usual_headers(self, answer: Answer) -> Answer:
        now = self._clock()
        window_is_open = now < self._window_end
        headers = httpx.Headers(
            {
                "Content-Type": "application/json",
                "Content-Length": str(len(answer.body)),
                "Date": formatdate(now, usegmt=True),
                "X-Rate-Limit-Limit": str(self._rate_limit),
                "X-Rate-Limit-Remaining": str(self._rate_limit - (self._used if window_is_open else 0)),
                "X-Rate-Limit-Reset": str(math.ceil(self._window_end if window_is_open else now + self._window)),
            }
        )
        headers.update(answer.headers)
        return evolve(answer, headers=headers)

    def _refusal(self, headers: httpx.Headers) -> Answer | None:
        if not self._within_limit():
            return refused(429, "rateLimit", "is exceeded")
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token or self._token not in (None, token):
            return refused(401, "auth", "must be a valid bearer token")
        return None

    def _work(self, method: str, path: str, arguments: Mapping[str, str], body: Any) -> Answer:
        if path == _LIST:
            return (
                page_of(self._conversations.values(), arguments)
                if method == "GET"
                else refused(405, "method", "must be GET", Allow="GET")
            )
        if match := _CONVERT.fullmatch(path):
            if method != "POST":
                return refused(405, "method", "must be POST", Allow="POST")
            return self._convert(int(match[1]), body)
        return refused(404, "path", "is unknown")

    def _within_limit(self) -> bool:
        now = self._clock()
        if now >= self._window_end:
            self._window_end, self._used = now + self._window, 0
        if self._is_used_up():
            return False
        self._used += 1
        return True

    def _is_used_up(self) -> bool:
        return self._clock() < self._window_end and self._used >= self._rate_limit

    def _convert(self, conversation_id: int, body: Any) -> Answer:
        conversation = self._conversations.get(conversation_id)
        if conversation is None:
            return refused(404, "id", "is unknown")
        problems = problems_of(
            body, has_contact=bool(conversation.get("contact")), old_installation=self._old_installation
        )
        if problems:
            return invalid(problems)
        ticket = Ticket(next(self._ticket_ids), conversation_id, body)
        self._tickets.append(ticket)
        conversation.update(ticket_id=ticket.id, updatedAt=self._timestamp())
        return json_answer(200, {"conversation": conversation, "included": {}} if self._envelope else conversation)

    def _timestamp(self) -> str:
        moment = datetime.fromtimestamp(self._clock(), UTC)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
