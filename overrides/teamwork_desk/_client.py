"""AsyncDesk: configuration, life cycle, wiring."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, NoReturn, Self, TypeVar, Unpack, cast

import httpx
from attrs import evolve

from teamwork_desk_api.models import (
    Customer,
    CustomFieldDefinition,
    Inbox,
    Tag,
    TicketPriority,
    TicketSource,
    TicketStatus,
    TicketType,
    User,
)
from teamwork_desk_api.types import Request

from ._auth import BearerAuth, TokenProvider
from ._call import Call
from ._checks import is_id, is_seconds, not_an_id, ticket_page
from ._connections import HttpxOptions, connect
from ._conversations import Conversations
from ._conversion import ConversationOptions
from ._email_fallback import EmailFallback
from ._environment import explained, setting
from ._errors import ConfigurationError, RequestError
from ._files import Files
from ._headers import RateLimit
from ._loops import ServedLoop
from ._memory import Memory
from ._observe import Observer, log_to_stderr, warn
from ._origin import parse_origin
from ._references import KINDS
from ._resources import Resource
from ._retry import RetryPolicy
from ._session import Session, check_headers
from ._version import version

T = TypeVar("T")


class AsyncDesk:
    """A client for one Teamwork Desk installation.

    One client serves many callers at once, and keeps all of them within the account's rate window. It serves one event
    loop at a time: several in turn, and a forked child. Close it with `aclose`, or use it as an async context manager.

    Args:
        url: The installation's origin, such as `https://acme.teamwork.com`, with or without `/desk/api/v2`. Plain
            http is allowed for loopback only. The default is the environment variable `TEAMWORK_DESK_URL`.
        token: A personal API key or OAuth access token, or a callable, sync or async, that returns a token. The
            callable is called again when Desk rejects its token. The default is the environment variable
            `TEAMWORK_DESK_TOKEN`.
        timeout: Seconds for each phase of one attempt (connecting, waiting for a connection, sending, and each wait
            for more of the response), or an `httpx.Timeout`. A conversion whose response times out is not sent again.
        deadline: Seconds for a whole call: attempts, pauses, pacing and lookups. Keep it below your caller's timeout.
        retry: How often and how patiently a call is retried.
        verify_first: Whether `convert` looks a conversation up first, and returns it as it is if it already has a
            ticket. Calls that wait together share a lookup. With False, it sends at once, and may make a second ticket.
        email_fallback: What to do for installations that do not know `customer.email`: `"auto"` sends the deprecated
            `email` if Desk says that the customer is missing, `"always"` sends it at once, `"never"` never sends it.
        headers: Further headers of every request to Desk, such as those that a gateway in front of it needs. The
            host of an upload does not get them, and a header that the client itself sets is refused.
        transport: An httpx transport instead of the client's own connections. It must serve a single event loop and a
            single process, because the client cannot drop its connections; `httpx.AsyncHTTPTransport` and
            `httpx_aiohttp.AiohttpTransport` also serve several loops in turn.
        httpx_options: Options that go to httpx unchanged: `proxy`, `verify`, `cert`, `http1`, `http2`, `limits`,
            `mounts`, `trust_env`, `event_hooks`.

    Raises:
        ConfigurationError: The URL, the token or an option is invalid.
    """

    conversations: Conversations
    """Chats with customers, which can become tickets."""
    inboxes: Resource[Inbox]
    """The inboxes, which receive tickets."""
    statuses: Resource[TicketStatus]
    """The statuses of tickets."""
    priorities: Resource[TicketPriority]
    """The priorities of tickets."""
    types: Resource[TicketType]
    """The types of tickets."""
    sources: Resource[TicketSource]
    """The sources of tickets, such as chat."""
    tags: Resource[Tag]
    """The tags of tickets."""
    users: Resource[User]
    """The users of Teamwork Desk, such as agents."""
    customers: Resource[Customer]
    """The customers."""
    custom_fields: Resource[CustomFieldDefinition]
    """The custom fields of tickets."""
    files: Files
    """Attachments."""

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | TokenProvider | None = None,
        timeout: float | httpx.Timeout = 30.0,
        deadline: float = 120.0,
        retry: RetryPolicy = RetryPolicy(),  # noqa: B008 - a frozen value
        verify_first: bool = True,
        email_fallback: EmailFallback = "auto",
        headers: Mapping[str, str] | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        **httpx_options: Unpack[HttpxOptions],
    ) -> None:
        log_to_stderr()
        try:
            options = _check(
                ConversationOptions(
                    timeout=_timeout(timeout),
                    deadline=deadline,
                    retry=retry,
                    verify_first=verify_first,
                    email_fallback=email_fallback,
                )
            )
            session = _session(url, token, headers, transport, httpx_options)
        except ConfigurationError as error:
            rejected = error
        except (httpx.InvalidURL, AttributeError, ImportError, OSError, TypeError, ValueError) as error:
            rejected = explained(error, httpx_options)
        else:
            self._wire(session, Memory(session.connections.loop), options)
            return
        # Drop the traceback, the context and the local variables: they hold the token, and crash reporters print them.
        rejected.__context__ = None
        del headers, httpx_options, token, transport, url
        raise rejected.with_traceback(None)

    def _wire(self, session: Session, memory: Memory, options: ConversationOptions) -> None:
        self._session = session
        self._memory = memory
        self._options = options
        self.conversations = Conversations(session, memory, options)
        self.files = Files(session, options)
        for attribute, kind in KINDS.items():
            setattr(self, attribute, Resource(session, options, kind))

    def with_options(
        self,
        *,
        timeout: float | httpx.Timeout | None = None,
        deadline: float | None = None,
        retry: RetryPolicy | None = None,
        verify_first: bool | None = None,
        email_fallback: EmailFallback | None = None,
    ) -> AsyncDesk:
        """Return a view with other options that shares the connections, the token and the pacing.

        Args:
            timeout: As in the constructor. For every argument, None keeps the value of this client.
            deadline: As in the constructor.
            retry: As in the constructor.
            verify_first: As in the constructor.
            email_fallback: As in the constructor.

        Raises:
            ConfigurationError: An option is invalid.
        """
        changes: dict[str, Any] = {
            "timeout": None if timeout is None else _timeout(timeout),
            "deadline": deadline,
            "retry": retry,
            "verify_first": verify_first,
            "email_fallback": email_fallback,
        }
        options = evolve(self._options, **{name: value for name, value in changes.items() if value is not None})
        view = object.__new__(type(self))
        view._wire(self._session, self._memory, _check(options))
        return view

    @property
    def rate_limit(self) -> RateLimit | None:
        """The account's rate window as the last response reported it; None before the first response."""
        return self._session.pacer.rate_limit

    async def send(self, request: Request[T]) -> T:
        """Send a request of a generated operation. If its response is lost, the client does not look its outcome up.

        GET, PUT and DELETE are sent again, because they are idempotent (RFC 9110, 9.2.2). POST and PATCH are not, and
        the error is an `OutcomeUnknownError`.

        Args:
            request: The request, which a function of `teamwork_desk_api.api` returns.

        Returns:
            The decoded response, as the contract describes it.

        Raises:
            DeskError: The request failed; the error tree names the reasons.
        """
        with Call(self._session, self._options, request.operation) as call:
            return await call.send(request)

    def ticket_url(self, ticket_id: int) -> str:
        """Return the address of a ticket's page, for people.

        Source: `internal/twdesk/tickets.go` in Teamwork/mcp.

        Args:
            ticket_id: The ticket's id, such as `conversation.ticket_id`.

        Raises:
            RequestError: This is not the id of a ticket.
        """
        if not is_id(ticket_id):
            raise RequestError(not_an_id("ticket_id", ticket_id))
        return ticket_page(self._session.origin, ticket_id)

    async def aclose(self) -> None:
        """Close the connections, which all views share. What a transport raises meanwhile is ignored.

        Raises:
            ConfigurationError: The client serves another event loop, which is still running.
        """
        await self._session.connections.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        # A client whose constructor failed has no session, and a debugger may still ask for its repr.
        session: Session | None = getattr(self, "_session", None)
        return f"AsyncDesk({session.origin!r})" if session else "AsyncDesk(...)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("an AsyncDesk holds a token and open connections, and cannot be pickled or copied")


def _refuse_with(*_: object) -> NoReturn:
    raise TypeError("use `async with`: the client is async. docs/pages/sync.md shows how synchronous code calls it.")


# A mock of the class, such as `unittest.mock.create_autospec(AsyncDesk)`, knows only what the class itself has.
for _name, _kind in {"conversations": Conversations, "files": Files, **dict.fromkeys(KINDS, Resource)}.items():
    setattr(AsyncDesk, _name, _kind)
# Type checkers must not see these methods, so that they reject a plain `with`.
setattr(AsyncDesk, "__enter__", _refuse_with)  # noqa: B010
setattr(AsyncDesk, "__exit__", _refuse_with)  # noqa: B010


def _session(
    url: object, token: object, headers: object, transport: httpx.AsyncBaseTransport | None, options: HttpxOptions
) -> Session:
    """Check the arguments of the client that its views share, and prepare the connections."""
    origin = setting(url, "url", "TEAMWORK_DESK_URL", parse_origin)
    auth = setting(token, "token", "TEAMWORK_DESK_TOKEN", BearerAuth)
    extra_headers = check_headers(headers)
    connections = connect(transport, options, f"AsyncDesk({origin!r})", ServedLoop())
    observer, user_agent = find_observer(origin), f"teamwork-desk/{version()}"
    return Session(origin, auth, connections, observer, user_agent=user_agent, headers=extra_headers)


def _check(options: ConversationOptions) -> ConversationOptions:
    if not is_seconds(options.deadline) or not options.deadline:
        raise ConfigurationError("deadline: expected a number of seconds above 0")
    if not isinstance(cast("object", options.retry), RetryPolicy):
        raise ConfigurationError("retry: expected a RetryPolicy")
    if not isinstance(cast("object", options.verify_first), bool):
        raise ConfigurationError("verify_first: expected True or False")
    if options.email_fallback not in ("auto", "always", "never"):
        raise ConfigurationError('email_fallback: expected "auto", "always" or "never"')
    return options


def _timeout(value: object) -> httpx.Timeout:
    if isinstance(value, httpx.Timeout):
        return value
    if not is_seconds(value) or not value:
        raise ConfigurationError("timeout: expected a number of seconds above 0, or an httpx.Timeout")
    return httpx.Timeout(value)


def find_observer(origin: str) -> Observer | None:
    """Return the observer that records spans of an origin's calls; None if OpenTelemetry cannot be used."""
    try:
        from .otel import observer_of  # noqa: PLC0415 - an extra
    except ImportError:
        return None
    except Exception as error:  # OpenTelemetry without its metadata may raise anything
        warn("no spans are recorded, because OpenTelemetry cannot be imported: %s", type(error).__name__)
        return None
    return observer_of(origin)
