"""How FakeDesk handles a request: the fault that waits for it, the rate limit, the token, and the rules of its path."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from email.utils import formatdate
from functools import partial
from operator import itemgetter
from typing import Any, cast
from urllib.parse import parse_qsl

import httpx
from attrs import evolve

from ._conversations import Conversations
from ._directory import LISTINGS, Directory
from ._faults import RATE_LIMITED, TOKEN_REFUSED, Faults
from ._limiter import Limiter
from ._listing import CONVERSATIONS, page_response
from ._records import RecordedRequest
from ._responses import (
    ErrorShape,
    FakeResponse,
    NoResponse,
    decode_json,
    json_response,
    rejection,
    text_response,
    validation_error,
)
from ._uploads import Uploads, is_upload
from ._validator import problems_of

_LIST = "/desk/api/v2/conversations.json"
_CONVERT = re.compile(r"/desk/api/v2/conversations/([0-9]{1,19})/convert\.json")


class Handling(Directory):
    """The part of FakeDesk that handles requests.

    Args:
        token: The only token that is accepted; None for any token.
        limiter: The rate limit.
        conversations: The conversations.
        old_installation: Whether `customer.email` is unknown.
        error_shape: How rejected fields are listed.
        refused_operators: The operators that a filter must not have.
        envelope: Whether the response to a convert request has an envelope.
        clock: Returns the seconds since the epoch.
    """

    def __init__(
        self,
        *,
        token: str | None,
        limiter: Limiter,
        conversations: Conversations,
        old_installation: bool,
        error_shape: ErrorShape,
        refused_operators: tuple[str, ...],
        envelope: bool,
        clock: Callable[[], float],
    ) -> None:
        super().__init__()
        self._token = token
        self._limiter = limiter
        self._conversations = conversations
        self._old_installation = old_installation
        self._error_shape: ErrorShape = error_shape
        self._refused_operators = refused_operators
        self._envelope = envelope
        self._clock = clock
        self._faults = Faults()
        self._unfinished_work: list[tuple[float, Callable[[], FakeResponse]]] = []
        self._uploads = Uploads()
        self.requests: list[RecordedRequest] = []

    def _handle(
        self, method: str, path: str, query: str, headers: httpx.Headers, body: bytes
    ) -> FakeResponse | NoResponse:
        """Handle a request, with the fault that waits for it, and record the request."""
        self._finish_work()
        arguments = dict(parse_qsl(query, keep_blank_values=True))
        try:
            decoded = decode_json(body)
        except ValueError:
            decoded = None
        # While the rate limit is used up, no fault happens. Otherwise a fault such as "unreadable answer" would make
        # the client believe that a request which was rejected with 429 was carried out.
        to_desk = not is_upload(path)
        is_paused = to_desk and self._limiter.is_used_up(self._clock())
        fault = None if is_paused else self._faults.take(method, path)
        if fault is not None and fault.outcome is RATE_LIMITED and to_desk:
            self._limiter.use_up(self._clock())
            # The limiter may count the refused request, too.
            self._limiter.accepts(self._clock())
        response: FakeResponse | None = None
        if fault is None or fault.work != "never":
            # A request that is rejected here is not carried out later either.
            response = self._check_access(method, path, headers) if to_desk else None
            carry_out = (
                partial(self._carry_out, method, path, arguments, headers, decoded)
                if to_desk
                else partial(self._uploads.receive, method, headers, body)
            )
            if response is None and fault is not None and fault.work == "later":
                self._unfinished_work.append((self._clock() + fault.lasts, carry_out))
            elif response is None:
                response = carry_out()
        outcome = cast("FakeResponse", response) if fault is None else fault.outcome_for(response)
        status = outcome.status if isinstance(outcome, FakeResponse) else None
        self.requests.append(RecordedRequest(method, path, arguments, headers, decoded, status))
        return self._with_usual_headers(outcome) if isinstance(outcome, FakeResponse) and to_desk else outcome

    def _finish_work(self) -> None:
        """Carry out the requests whose time has come, in the order of their times.

        FakeDesk has no task in the background, so it does this whenever somebody asks it for something.
        """
        now = self._clock()
        due = sorted((item for item in self._unfinished_work if item[0] <= now), key=itemgetter(0))
        self._unfinished_work = [item for item in self._unfinished_work if item[0] > now]
        for _, carry_out in due:
            carry_out()

    def _with_usual_headers(self, response: FakeResponse) -> FakeResponse:
        """Return a response with the headers that Desk always sends. The response's own headers have precedence."""
        now = self._clock()
        headers = httpx.Headers(
            {
                **({"Content-Type": "application/json"} if response.body else {}),
                "Content-Length": str(len(response.body)),
                "Date": formatdate(now, usegmt=True),
                **self._limiter.headers(now),
            }
        )
        headers.update(response.headers)
        return evolve(response, headers=headers)

    def _check_access(self, method: str, path: str, headers: httpx.Headers) -> FakeResponse | None:
        """Return a rejection if the rate limit is used up, or if the token or the content type is wrong, else None."""
        if not self._limiter.accepts(self._clock()):
            return RATE_LIMITED
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token or self._token not in (None, token):
            return TOKEN_REFUSED
        content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        if method in ("POST", "PUT", "DELETE") and content_type != "application/json":
            # Source: `contenttype/contentType.go` in Teamwork/middleware.
            return text_response(
                400, f'unknown content type: "{content_type}" for "{path}"; must be one of application/json'
            )
        return None

    def _carry_out(
        self, method: str, path: str, arguments: Mapping[str, str], headers: httpx.Headers, body: Any
    ) -> FakeResponse:
        """Carry out a request that is within the rate limit and has a valid token."""
        if path == _LIST or path in LISTINGS:
            if method != "GET":
                return rejection(405, "the method must be GET", Allow="GET")
            rules = partial(page_response, refused_operators=self._refused_operators, error_shape=self._error_shape)
            if path in LISTINGS:
                return self._page_of(path, arguments, rules)
            return rules(CONVERSATIONS, self._conversations.by_id.values(), arguments)
        if match := _CONVERT.fullmatch(path):
            if method != "POST":
                return rejection(405, "the method must be POST", Allow="POST")
            return self._convert(int(match[1]), body)
        response = self._uploads.carry_out(method, path, body, self._error_shape, headers.get("host", ""))
        return response or rejection(404, "the path is unknown")

    def _convert(self, conversation_id: int, body: Any) -> FakeResponse:
        conversation = self._conversations.by_id.get(conversation_id)
        if conversation is None:
            return rejection(404, "the conversation is unknown")
        problems = problems_of(
            body, has_contact=bool(conversation.get("contact")), old_installation=self._old_installation
        )
        problems = problems or self._uploads.problems_of(body)
        if problems:
            return validation_error(problems, self._error_shape)
        self._conversations.convert(conversation_id, body)
        return json_response(200, {"conversation": conversation, "included": {}} if self._envelope else conversation)
