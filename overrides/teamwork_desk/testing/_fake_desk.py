"""FakeDesk: the rules of Desk, in memory. An httpx transport or a real server passes the requests to it."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Literal, Unpack, cast

import httpx

from teamwork_desk_api.types import encode

from ..backlog import ConvertedFields
from ._assertions import no_ticket, the_one_ticket
from ._conversations import Conversations
from ._faults import Fault, InjectedFault, fault_by_name
from ._handling import Handling
from ._limiter import LIMITERS, LimiterName
from ._records import Ticket
from ._responses import ErrorShape, FakeResponse
from ._time import LoopClock
from ._transport import Transport
from ._uploads import UploadedFile


class FakeDesk(Handling):
    """A Teamwork Desk in memory.

    It follows the documented rules of Desk. If there is no rule, it chooses the worse behaviour: every convert request
    makes another ticket. It ignores the `state` of a conversation.

    Attributes:
        transport: An httpx transport for the client, under asyncio and trio. It needs no network, and closing it does
            nothing.
        requests: The requests that arrived, oldest first, those to the upload host included.
        files: The files by their ids.
        inboxes: The inboxes. This list and the next eight are plain lists of objects, which a test may change at any
            time: `fake.inboxes.append(Inbox(id=9, name="Sales"))`.
        statuses: The ticket statuses.
        priorities: The ticket priorities.
        types: The ticket types.
        sources: The ticket sources.
        tags: The tags.
        users: The users, such as agents.
        customers: The customers.
        custom_fields: The custom fields.
    """

    def __init__(
        self,
        *,
        token: str | None = None,
        conversations: Iterable[int] = range(1, 101),
        rate_limit: int = 120,
        window: float = 60.0,
        limiter: LimiterName = "sliding log",
        old_installation: bool = False,
        error_shape: ErrorShape = "map",
        refuse_in: bool = False,
        envelope: bool = False,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """Create a FakeDesk.

        Args:
            token: The only bearer token that is accepted. With None, any token is accepted, but a request without a
                token is rejected.
            conversations: The ids of the conversations. They are not converted yet.
            rate_limit: How many requests are allowed in one period.
            window: The length in seconds of the period for which requests are counted.
            limiter: How requests are counted. `"sliding log"` is Teamwork's own limiter: it counts the requests of the
                last period, also those that it rejects, and reports the length of the period. `"window"` counts from
                the first request to an epoch that it reports, `"seconds left"` reports the seconds until then, and
                `"silent"` reports nothing.
            old_installation: Whether FakeDesk knows only the deprecated `email`, and not `customer.email`.
            error_shape: How rejected fields are listed: `"map"` is `{"errors": {"customer": ["must be set"]}}`, and
                `"objects"` is `{"errors": [{"detail": "must be set", "source": "customer", ...}]}`. Desk sends both.
                All other errors are objects.
            refuse_in: Whether the listing rejects a filter with `$in`. It is not known whether Desk does.
            envelope: Whether the response to a convert request is `{"conversation": {...}}` instead of the conversation
                itself. Installations may send either form.
            clock: A function that returns the seconds since the epoch. Without it, the time moves with the clock of the
                event loop, which may be virtual.
        """
        clock = LoopClock() if clock is None else clock
        super().__init__(
            token=None if token is None else str.__str__(token),
            limiter=LIMITERS[limiter](rate_limit, window),
            conversations=Conversations(conversations, clock),
            old_installation=old_installation,
            error_shape=error_shape,
            refused_operators=("$in",) if refuse_in else (),
            envelope=envelope,
            clock=clock,
        )
        self.files: dict[int, UploadedFile] = self._uploads.files
        self.transport: httpx.AsyncBaseTransport = Transport(self._handle, self._faults)

    @property
    def tickets(self) -> list[Ticket]:
        """The tickets that have been made so far, oldest first."""
        self._finish_work()
        return self._conversations.tickets

    @asynccontextmanager
    async def serve(self, *, port: int = 0, host: str = "127.0.0.1", upload_port: int = 0) -> AsyncGenerator[str, None]:
        """Serve FakeDesk over HTTP. This needs the extra `testing`, and works under asyncio only.

        Args:
            port: The port to listen on; 0 chooses a free port.
            host: The address to listen on. With `0.0.0.0` or `::`, it listens on all addresses.
            upload_port: The port of the upload host, which listens on the same address; 0 chooses a free port.

        Yields:
            The URL of the server, such as `http://127.0.0.1:8080`. This machine can connect to it.

        Raises:
            ImportError: The extra `testing` is not installed.
        """
        try:
            from ._server import serve  # noqa: PLC0415 - it needs the extra
        except ImportError as error:
            raise ImportError('FakeDesk.serve() needs an extra: pip install "teamwork-desk[testing]"') from error
        async with serve(self._handle, host, port) as url, serve(self._handle, host, upload_port) as uploads:
            with self._uploads.at(uploads):
                yield url

    def add_conversation(self, id: int | None = None, **fields: Any) -> dict[str, Any]:
        """Add a conversation, or replace the conversation that has this id.

        Args:
            id: The conversation's id. Without it, the conversation gets the next free id.
            **fields: Fields by their names in Desk's JSON, such as `state="deleted"` or `ticket_id=7`. They replace the
                default values. With `contact=None` the conversation has no customer.

        Returns:
            The conversation. FakeDesk keeps this same object, so you can change the conversation by changing the dict.
        """
        return self._conversations.add(id, fields)

    def fail(
        self,
        *,
        status: int,
        headers: Mapping[str, str] | None = None,
        body: bytes | str | Mapping[str, Any] = b"",
        times: int = 1,
        method: str | None = None,
        path: str = "",
    ) -> None:
        """Send this response to the next requests, and do not carry them out.

        Faults wait in a queue. Each request gets the oldest fault whose `method` and `path` fit.

        Args:
            status: The status, from 200 to 599.
            headers: Headers that replace the usual ones.
            body: The body. A mapping is encoded as JSON.
            times: How many requests this happens to.
            method: The HTTP method of the requests that this can happen to. Without it, it happens to every request.
            path: A part of the path of these requests. The steps of an upload have `/files/ref.json`, `/uploads`, which
                is on the upload host, and `/files/`.

        Raises:
            ValueError: The status is not from 200 to 599.
        """
        if not 200 <= status <= 599:
            raise ValueError(f"status: expected 200 to 599, got {status}")
        if isinstance(body, Mapping):
            body = json.dumps(encode(body))
        response = FakeResponse(status, httpx.Headers(headers), body.encode() if isinstance(body, str) else body)
        self._faults.add(InjectedFault(method and method.upper(), "never", response, path=path), times)

    def lose_answer(
        self, when: Literal["before", "after"], *, times: int = 1, method: str | None = None, path: str = ""
    ) -> None:
        """Break the connection of the next requests before any part of the response is sent.

        The transport raises `httpx.ReadError`, and the server resets the connection.

        Args:
            when: Whether the connection breaks before FakeDesk carries the request out, or after.
            times: How many requests this happens to.
            method: The HTTP method of the requests that this can happen to. The default is POST, a conversion: without
                it, the lookup before the conversion would lose its response.
            path: A part of the path of these requests, as for `fail`.
        """
        self.inject(cast("Fault", f"answer lost {when} the work"), times=times, method=method, path=path)

    def inject(
        self, fault: Fault, *, times: int = 1, method: str | None = None, lasts: float = 2.0, path: str = ""
    ) -> None:
        """Let a fault happen to the next requests.

        In the names of the faults, "answer" is the response, and "the work" is carrying the request out. By default
        `convert` looks the conversation up before it sends anything, so pass `method="POST"` for a fault of the convert
        request: without it, the fault happens to the lookup.

        | fault | what happens to a request | what `convert` does after its POST |
        | --- | --- | --- |
        | `"connection refused"` | it is not sent; over a server the connection breaks instead | sends it again |
        | `"rate limited"` | 429 without a body, the window is used up | looks it up later, sends it again |
        | `"maintenance"` | 503 with `Retry-After: 5`, not carried out | looks it up after 5 seconds, sends it again |
        | `"token refused"` | 401 | with a new token, looks it up and sends it again, else `AuthenticationError` |
        | `"forbidden"` | 403 | `PermissionDeniedError` |
        | `"answer lost before the work"` | the connection breaks, not carried out | looks it up, sends it again |
        | `"answer lost after the work"` | the connection breaks, carried out | finds the ticket |
        | `"answer lost while the work goes on"` | the connection breaks, carried out later | finds the ticket |
        | `"server error before the work"` | 500 in plain text, not carried out | looks it up, sends it again |
        | `"server error after the work"` | 500 in plain text, carried out | finds the ticket |
        | `"timeout before the work"` | no response in time, never carried out | `OutcomeUnknownError` |
        | `"timeout after the work"` | no response in time, carried out | finds the ticket |
        | `"timeout while the work goes on"` | no response in time, carried out later | finds the ticket |
        | `"gateway timeout before the work"` | 504, never carried out | `OutcomeUnknownError` |
        | `"gateway timeout after the work"` | 504, carried out | finds the ticket |
        | `"gateway timeout while the work goes on"` | 504, carried out later | finds the ticket |
        | `"unreadable answer"` | 200 with HTML, carried out | finds the ticket |
        | `"answer cut off"` | the connection breaks within the response, carried out | finds the ticket |

        `convert` looks for the ticket for 3.5 seconds by default. If FakeDesk carries the request out later than that,
        `convert` raises `OutcomeUnknownError` after a timeout, and makes a second ticket after a lost response: this is
        the limit of what the client can guarantee. The transport raises a timeout at once; a server does not respond
        until the client's own timeout passes.

        Faults wait in the same queue as those of `fail` and `lose_answer`.

        Args:
            fault: The fault.
            times: How many requests it happens to.
            method: The HTTP method of the requests that it can happen to. By default, the first five faults of the
                table happen to every request, and the others to a POST, a conversion.
            lasts: How many seconds later FakeDesk carries the request out, if the fault says "while the work goes on".
            path: A part of the path of these requests, as for `fail`.

        Raises:
            ValueError: There is no fault of this name.
        """
        self._faults.add(fault_by_name(fault, method and method.upper(), lasts, path), times)

    def assert_converted_once(self, conversation_id: int, **fields: Unpack[ConvertedFields]) -> Ticket:
        """Assert that a conversation was converted exactly once, with these fields.

        Args:
            conversation_id: The conversation's id.
            **fields: The fields that the ticket must have, as you pass them to `desk.conversations.convert`. None means
                that a field must not be set. Fields that you leave out are not compared. The customer's address may
                also have arrived in the deprecated `email`.

        Returns:
            The ticket.

        Raises:
            AssertionError: The conversation was not converted, or several times, or a field differs. The message names
                the difference.
            TypeError: `convert` does not have such a field.
        """
        __tracebackhide__ = True
        return the_one_ticket(self.tickets, conversation_id, fields)

    def assert_not_converted(self, conversation_id: int) -> None:
        """Assert that a conversation was not converted.

        Args:
            conversation_id: The conversation's id.

        Raises:
            AssertionError: The conversation was converted.
        """
        __tracebackhide__ = True
        no_ticket(self.tickets, conversation_id)
