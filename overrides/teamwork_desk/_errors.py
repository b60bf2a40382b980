"""The error tree.

DeskError
 +- ConfigurationError          the client cannot be built, or is closed
 +- RequestError (ValueError)   an argument is invalid; nothing was changed
 +- TransportError              the connection failed
 |   +- NotSentError            ... before the request was sent
 +- OutcomeUnknownError         the request was sent, and its outcome cannot be found out
 +- DeadlineExceeded            the deadline passed, and nothing was changed
 +- ResponseDecodeError         a 2xx response that cannot be read
 +- StatusError                 a response with any other status
     +- ValidationError 400        +- ConflictError 409
     +- AuthenticationError 401    +- UnprocessableError 422
     +- PermissionDeniedError 403  +- RateLimitedError 429
     +- NotFoundError 404          +- ServerError 5xx
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar, cast

import httpx

from ._checks import printable
from ._headers import RateLimit

LONGEST_BODY, MOST_HEADERS, LONGEST_HEADER = 65_536, 200, 8192  # An error of each job of a backlog may be kept.

_QUOTED = re.compile(
    r"(?<=cannot be )['\"\u2018\u201c].*|(?<!must be one of )[\"\u2018\u201c][^\"\u2019\u201d]*[\"\u2019\u201d]?",
    re.DOTALL,
)
"""A value that a reason quotes, as Teamwork's `validate` package does. The valid values of a field are not hidden."""
_ADDRESS = re.compile(r"(?<![^\s'\"<>,;:])[^\s'\"<>,;:]+(?:@|%40)[^\s'\"<>,;]+")
"""An email address. The pattern is anchored at word starts: otherwise its time would be quadratic."""


def _hide(reason: str) -> str:
    """Hide the value that a reason quotes, because the caller sent it."""
    return _QUOTED.sub("[value]", reason)


class DeskError(Exception):
    """The base class of every error that this package raises.

    Attributes:
        attempts: How many requests the call tried to send, including those whose connection failed.
        maybe_applied: Whether the request may have been carried out in spite of the error. If it is False, calling
            again cannot convert a conversation twice.
        conversation_id: The conversation that the call was about; None if it was not about a single conversation.
        request_id: The id of the last response, which Teamwork's support asks for; None if no response had one.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.attempts: int = 0
        self.maybe_applied: bool = False
        self.conversation_id: int | None = None
        self.request_id: str | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        # Exception.__reduce__ would call the class with the message only, but some subclasses need more arguments.
        return _restore, (type(self), self.args, vars(self))


def _restore(cls: type[DeskError], args: tuple[Any, ...], state: dict[str, Any]) -> DeskError:
    error = cls.__new__(cls, *args)
    error.__dict__.update(state)
    return error


class ConfigurationError(DeskError):
    """The client cannot be built from these arguments, or it is already closed."""


class RequestError(DeskError, ValueError):
    """An argument is invalid, or several objects have the name that was looked up: nothing was changed."""


class TransportError(DeskError):
    """The connection failed, and the request was not carried out."""


class NotSentError(TransportError):
    """The request was not sent: calling again is safe."""


class OutcomeUnknownError(DeskError):
    """The request was sent, and its outcome cannot be found out.

    Call `convert` again later: it looks the conversation up first, unless another client with `verify_first=False`
    makes the call. After any other operation, look before you call again.
    """


class DeadlineExceeded(DeskError):  # noqa: N818 - it reads like the standard library's TimeoutError
    """The deadline passed, or a necessary pause does not fit into it, and this call has changed nothing.

    Attributes:
        retry_after: Seconds until the rate limit may leave room for the call; None if the deadline passed for another
            reason.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ResponseDecodeError(DeskError):
    """A 2xx response cannot be read: of a conversion that was carried out, or of a lookup before anything was sent.

    `maybe_applied` is True in the first case: look before you call again. It is False in the second.
    """


class StatusError(DeskError):
    """Desk, or a gateway in front of it, responded with an error status.

    What the response says is kept in `body`, `errors`, `title` and `detail`, and may hold personal data. Messages, logs
    and reprs hide it. A pickle holds it, for callers in another process. The token is never kept.

    Attributes:
        status_code: The HTTP status.
        headers: The response's headers, without cookies; at most 200, without those over 8 KB.
        body: The response's body as it was received, up to 64 KB.
        errors: The reasons by field, such as `{"customer.email": ["must be a valid email address"]}`; at most 100.
        code: Desk's code of the error, such as `G401`; None if the response has none.
        title: Desk's title of the error; None if the response has none.
        detail: Desk's explanation; None if the response has none.
        from_desk: Whether the response can come from Desk. It is False for a 3xx or 4xx that is not JSON, such as a web
            server's page: then the URL is probably wrong, and the error says nothing about the object.
    """

    meaning: ClassVar[str] = "unexpected status"

    def __init__(
        self,
        message: str,
        *,
        status_code: int,
        headers: Mapping[str, str] | httpx.Headers | None = None,
        body: bytes = b"",
        errors: Mapping[str, list[str]] | None = None,
        code: str | None = None,
        title: str | None = None,
        detail: str | None = None,
        request_id: str | None = None,
        from_desk: bool = True,
    ) -> None:
        self.errors: dict[str, list[str]] = dict(errors or {})
        reasons = [f"{field} {' and '.join(map(_hide, reasons))}" for field, reasons in self.errors.items()]
        explanation = "; ".join(reasons) or _hide(detail or title or "")
        super().__init__(f"{message}: {printable(_ADDRESS.sub('[address]', explanation))}" if explanation else message)
        self.status_code = status_code
        received = httpx.Headers(headers).raw[:MOST_HEADERS]
        self.headers = httpx.Headers([each for each in received if len(each[0]) + len(each[1]) <= LONGEST_HEADER])
        self.headers.pop("set-cookie", None)
        self.body = body[:LONGEST_BODY]
        self.code = code
        self.title = title
        self.detail = detail
        self.from_desk = from_desk
        self.request_id = request_id or self.headers.get("x-request-id")


class ValidationError(StatusError):
    """400: Desk rejected fields of the request, which `errors` names, and nothing was changed.

    Source: Teamwork's `validate` package, the Validator of the API page.
    """

    meaning: ClassVar[str] = "Desk rejected fields of the request"


class AuthenticationError(StatusError):
    """401: Desk rejected the token."""

    meaning: ClassVar[str] = (
        "Desk rejected the token; expected a personal API key or an OAuth access token of this installation"
    )


class PermissionDeniedError(StatusError):
    """403: The token's user may not do this."""

    meaning: ClassVar[str] = "the token's user may not do this"


class NotFoundError(StatusError):
    """404: Desk does not know the object; also raised if a listing does not show the object."""

    meaning: ClassVar[str] = "not found"


class ConflictError(StatusError):
    """409: The object's current state does not allow the request."""

    meaning: ClassVar[str] = "conflict with the current state"


class UnprocessableError(StatusError):
    """422: Desk understands the request, but cannot carry it out."""

    meaning: ClassVar[str] = "Desk cannot carry the request out"


class RateLimitedError(StatusError):
    """429: The account's rate window is used up.

    Attributes:
        retry_after: Seconds until Desk accepts requests again; None if the response does not say.
        rate_limit: The rate window as the response reports it; None if it does not.
    """

    meaning: ClassVar[str] = "the account's rate window is used up"

    def __init__(
        self, message: str, *, retry_after: float | None = None, rate_limit: RateLimit | None = None, **response: Any
    ) -> None:
        super().__init__(message, **response)
        self.retry_after = retry_after
        self.rate_limit = rate_limit


class ServerError(StatusError):
    """5xx: Desk, or a gateway in front of it, failed."""

    meaning: ClassVar[str] = "Desk or a gateway in front of it failed"


_BY_STATUS: dict[int, type[StatusError]] = {
    400: ValidationError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    422: UnprocessableError,
    429: RateLimitedError,
}


def status_error_class(status_code: int) -> type[StatusError]:
    """Return the error class for a status."""
    return _BY_STATUS.get(status_code) or (ServerError if 500 <= status_code < 600 else StatusError)


def complete(error: DeskError, *, attempts: int, maybe_applied: bool, subject: int | None) -> None:
    """Set what only the call knows on an error that leaves it.

    Args:
        error: The error.
        attempts: How many requests the call sent.
        maybe_applied: Whether a request may have been carried out.
        subject: The id of the object that the call was about.
    """
    error.attempts, error.maybe_applied, error.conversation_id = attempts, maybe_applied, subject


def causes(error: BaseException, without: BaseException | None = None) -> list[BaseException]:
    """Return an exception, its causes and contexts, and the members of groups. Each is listed once, even in a cycle.

    Args:
        error: The exception.
        without: An exception that is left out together with its own causes.
    """
    found = [error]
    for exception in found:
        further = [exception.__cause__, exception.__context__]
        if isinstance(exception, BaseExceptionGroup):
            further += cast("BaseExceptionGroup[BaseException]", exception).exceptions
        found += [other for other in further if other is not None and other is not without and other not in found]
    return found


def drop_frames(error: BaseException, handled: BaseException | None = None) -> None:
    """Drop the frames of an exception and of all its causes, because crash reporters print their local variables.

    Args:
        error: The exception.
        handled: The exception that the caller was handling, which keeps its frames.
    """
    for exception in causes(error, handled):
        exception.__traceback__ = None
