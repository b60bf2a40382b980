"""The possible effects of an attempt, and the error for its result: values and pure functions."""

from __future__ import annotations

import enum
import ssl
import time
from typing import Any
from urllib.parse import urlsplit

import httpx
from attrs import field, frozen

from teamwork_desk_api.types import DecodeError, Request

from ._checks import printable
from ._errors import (
    DeskError,
    NotSentError,
    RateLimitedError,
    ResponseDecodeError,
    StatusError,
    TransportError,
    causes,
    status_error_class,
)
from ._headers import RateReport, retry_after
from ._problems import read_problems
from ._wire import name_of

LONGEST_REQUEST_ID = 100
NOT_DESK = "the response is not JSON, so that this URL does not look like a Teamwork Desk"


class Effect(enum.Enum):
    """The possible effect of an attempt at the server."""

    NOT_SENT = "nothing: the request was not sent"
    REFUSED = "nothing: the server asks to retry later"
    FINAL = "nothing: a retry would end the same way"
    DOUBTFUL = "unknown: the status does not show whether the request was carried out"
    ENDED = "unknown: the request has ended"
    RUNNING = "unknown: the request may still be running"
    APPLIED = "applied"

    @property
    def is_unknown(self) -> bool:
        """Whether the request may have been carried out, and its result is not known."""
        return self in _UNKNOWN


_FINAL = frozenset({Effect.DOUBTFUL, Effect.FINAL})
_UNKNOWN = frozenset({Effect.DOUBTFUL, Effect.ENDED, Effect.RUNNING, Effect.APPLIED})


@frozen(kw_only=True)
class Exchange:
    """The result of one attempt: a response, a failure, or a response whose body could not be read.

    Attributes:
        sent: Whether the request may have left this machine.
        status_code: The response's status; None if no response came.
        headers: The response's headers.
        content: The response's body.
        failure: The exception, if there was an exception.
    """

    sent: bool
    status_code: int | None = None
    headers: httpx.Headers = field(factory=httpx.Headers)
    content: bytes = field(default=b"", repr=False)
    failure: Exception | None = None

    @property
    def request_id(self) -> str | None:
        """The id that Teamwork's support asks for, from a header or from the error in the body."""
        request_id: str | None = self.headers.get("x-request-id")
        if request_id is None and self.content and (self.status_code or 0) >= 400:
            request_id = read_problems(self.content).id
        return request_id and printable(request_id)[:LONGEST_REQUEST_ID]

    @property
    def effect(self) -> Effect:
        """The possible effect of the attempt."""
        if self.status_code is None:
            return effect_of_failure(self.failure, sent=self.sent)
        return effect_of_status(self.status_code)


def effect_of_status(status_code: int) -> Effect:
    """Classify a response by its status.

    The headers do not matter: a gateway may send a 503 with `Retry-After` while Desk still carries the request out.
    """
    if 200 <= status_code < 300:
        return Effect.APPLIED
    if status_code in (425, 429):
        return Effect.REFUSED
    if status_code in (504, 524):
        return Effect.RUNNING
    # A 303 is how a server may respond to a POST that it has carried out, and a gateway sends 499 for itself.
    if 300 <= status_code < 400 or status_code == 499:
        return Effect.DOUBTFUL
    if status_code == 408 or status_code < 200 or (status_code >= 500 and status_code != 501):
        return Effect.ENDED
    return Effect.FINAL


def effect_of_failure(error: Exception | None, *, sent: bool) -> Effect:
    """Classify an attempt that got no response.

    Args:
        error: The exception. Its class does not show whether the request left: the aiohttp transport reports every
            failure of a connection as a `ConnectTimeout`, and only the cause distinguishes a reset from a timeout.
        sent: Whether the transport read the request's body in order to send it.
    """
    if not sent:
        return Effect.NOT_SENT
    if isinstance(error, httpx.ConnectTimeout) and error.__cause__ and not _is_caused_by(error, TimeoutError):
        return Effect.ENDED
    # Any other error, such as one of an event hook, does not prove that the connection has failed.
    is_broken = isinstance(error, httpx.TransportError) or _is_from_aiohttp(error)
    is_timeout = isinstance(error, (httpx.TimeoutException, TimeoutError))
    return Effect.ENDED if is_broken and not is_timeout else Effect.RUNNING


def _is_from_aiohttp(error: Exception | None) -> bool:
    """Return whether aiohttp raised the error: httpx-aiohttp does not translate all of them."""
    return any(kind.__module__.startswith("aiohttp.") for kind in type(error).__mro__)


def seems_sent(error: Exception) -> bool:
    """Guess from the class of an error whether a request without a body left.

    A guess is enough here, because such a request changes nothing.
    """
    return not isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError))


def may_be_repeated(effect: Effect, error: DeskError) -> bool:
    """Return whether a request that did nothing may succeed if it is sent again.

    Args:
        effect: The effect of the last attempt.
        error: Its error.
    """
    if effect in _FINAL or isinstance(error, ResponseDecodeError):
        return False
    # These failures have a reason that a retry cannot change.
    return not isinstance(error, NotSentError) or not _is_caused_by(
        error, httpx.UnsupportedProtocol, httpx.LocalProtocolError, ssl.SSLCertVerificationError
    )


def _is_caused_by(error: BaseException, *kinds: type[BaseException]) -> bool:
    return any(isinstance(cause, kinds) for cause in causes(error))


def is_safe(request: Request[Any]) -> bool:
    """Return whether a request changes nothing (RFC 9110, 9.2.1), so that it may always be sent again."""
    return request.method in ("GET", "HEAD", "OPTIONS")


def is_idempotent(request: Request[Any]) -> bool:
    """Return whether carrying a request out twice is the same as once (RFC 9110, 9.2.2), so that it may be repeated."""
    return is_safe(request) or request.method in ("PUT", "DELETE")


def error_of(request: Request[Any], exchange: Exchange, origin: str) -> DeskError | None:
    """Return the error for an exchange; None for a success whose body was received.

    Args:
        request: The request.
        exchange: What became of it.
        origin: The installation, such as `https://acme.teamwork.com`. A user who has a wrong URL, or several clients,
            must see which host was not reached.
    """
    failure, status = exchange.failure, exchange.status_code
    is_success = exchange.effect is Effect.APPLIED
    if is_success and failure is None:
        return None
    name, reason = name_of(request), reason_of(failure)
    problem = f"cannot be read: {failure}" if isinstance(failure, DecodeError) else f"is incomplete: {reason}"
    error: DeskError
    if status is None and not exchange.sent:
        error = NotSentError(f"{name} was not sent to {urlsplit(origin).netloc}: {reason}")
    elif status is None:
        error = TransportError(f"{name} was sent, but no response came: {reason}")
    elif not is_success:
        error = _status_error(name, status, exchange)
    elif is_idempotent(request):
        error = TransportError(f"{name} got a response, but the response {problem}")
    else:
        error = ResponseDecodeError(f"{name} succeeded, but its response {problem}")
    error.__cause__ = failure
    return error


def unreadable(request: Request[Any], reason: DecodeError) -> ResponseDecodeError:
    """Return the error for a success whose body cannot be read."""
    return ResponseDecodeError(f"{name_of(request)} succeeded, but its response cannot be read: {reason}")


def _status_error(name: str, status: int, exchange: Exchange) -> StatusError:
    kind = status_error_class(status)
    message = f"{name} was answered with {status}: {kind.meaning}"
    problems = read_problems(exchange.content)
    details: dict[str, Any] = {
        "status_code": status,
        "headers": exchange.headers,
        "body": exchange.content,
        "errors": problems.errors,
        "code": problems.code,
        "title": problems.title,
        "detail": problems.detail,
        "request_id": exchange.request_id,
    }
    # Gateways explain their own 5xx as they like, and a 404 of Desk always has a body.
    is_page = bool(exchange.content) and exchange.effect in _FINAL and status < 500
    if not problems.is_json and (is_page or status == 404):
        details["from_desk"] = False
        message += f"; {NOT_DESK}"
    if isinstance(exchange.failure, DecodeError):
        message += f"; its body cannot be read: {exchange.failure}"
    if kind is RateLimitedError:
        now = time.time()
        report, pause = RateReport.from_headers(exchange.headers, now), retry_after(exchange.headers, now)
        if pause is None and report is not None:
            pause = report.seconds
        details |= {"retry_after": pause, "rate_limit": report.rate_limit if report else None}
        if pause:
            message += f"; Desk accepts requests again in {pause:.0f} s"
    return kind(message, **details)


def reason_of(failure: BaseException | None) -> str:
    """Name a failure, with the text of the first of its causes that has a text."""
    name = type(failure).__name__
    if not isinstance(failure, (httpx.RequestError, DecodeError)):
        return name  # do not show the text: an event hook may have raised the error, and the text may hold anything
    for cause in causes(failure):
        if isinstance(cause, (httpx.RequestError, DecodeError, OSError)) and str(cause):
            return f"{name}: {cause}"
    return name
