"""The error tree.

DeskError
 +- ConfigurationError          the client cannot be built, or is closed
 +- RequestError (ValueError)   an argument is refused; nothing was sent
 +- TransportError              the connection failed
 |   +- NotSentError            ... before the request left
 +- OutcomeUnknownError         the request left, and what became of it cannot be found out
 +- DeadlineExceeded            time ran out before the request left
 +- ResponseDecodeError         a 2xx answer that cannot be read
 +- StatusError                 any other answer
     +- ValidationError 400        +- ConflictError 409
     +- AuthenticationError 401    +- UnprocessableError 422
     +- PermissionDeniedError 403  +- RateLimitedError 429
     +- NotFoundError 404          +- ServerError 5xx
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, cast

import httpx

if TYPE_CHECKING:
    from ._pacing import RateLimit

_RAW = re.compile(r"(bytearray\()?b['\"].*", re.DOTALL)
"""Bytes of an answer, as h11 quotes them in its messages."""
_QUOTED = re.compile(r"(?<=cannot be )['\"\u2018\u201c].*", re.DOTALL)
"""The value that a reason of Teamwork's `validate` package refuses."""
_ADDRESS = re.compile(r"(?<![^\s'\"<>,;])[^\s'\"<>,;]+@[^\s'\"<>,;]+")
"""Sought at the beginning of a word only: at each letter it would take minutes to find none in a long one."""


class DeskError(Exception):
    """The base of every error this package raises.

    Attributes:
        attempts: How many requests were sent for the call, those that found no connection included.
        maybe_applied: Whether the conversation may have been converted all the same. Where it is False, calling
            again cannot convert twice.
        conversation_id: The conversation the call was about, if it was about one.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.attempts: int = 0
        self.maybe_applied: bool = False
        self.conversation_id: int | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        # Exception's own calls the class with the message alone, which a subclass with fields refuses.
        return _restore, (type(self), self.args, vars(self))


def _restore(cls: type[DeskError], args: tuple[Any, ...], state: dict[str, Any]) -> DeskError:
    error = cls.__new__(cls, *args)
    error.__dict__.update(state)
    return error


class ConfigurationError(DeskError):
    """The client cannot be built from what it was given, or is closed already."""


class RequestError(DeskError, ValueError):
    """An argument is refused before anything is sent: correct the call."""


class TransportError(DeskError):
    """The connection failed; a conversation was not converted."""


class NotSentError(TransportError):
    """The request never left this machine: calling again is safe."""


class OutcomeUnknownError(DeskError):
    """The request left, and whether it was carried out cannot be found out: look before calling again."""


class DeadlineExceeded(DeskError):  # noqa: N818 - it reads like the standard library's TimeoutError
    """The deadline passed, or a necessary pause does not fit into it, before the request left."""


class ResponseDecodeError(DeskError):
    """The request succeeded, but its answer cannot be read."""


class StatusError(DeskError):
    """Desk, or a gateway before it, answered with an error.

    Attributes:
        status_code: The HTTP status.
        headers: The answer's headers, without cookies.
        body: The answer's body as it came. It may hold personal data; no message or repr shows it.
        request_id: The answer's `X-Request-Id`, which Teamwork's support asks for.
    """

    meaning: ClassVar[str] = "the contract does not foresee it"

    def __init__(
        self,
        message: str,
        *,
        status_code: int,
        headers: Mapping[str, str] | httpx.Headers | None = None,
        body: bytes = b"",
    ) -> None:
        super().__init__(message)
        self.status_code = status_code
        self.headers: httpx.Headers = httpx.Headers(headers)
        self.headers.pop("set-cookie", None)
        self.body = body
        self.request_id: str | None = self.headers.get("x-request-id")


class ValidationError(StatusError):
    """400: Desk refused fields of the request; nothing was changed.

    Attributes:
        errors: The reasons by field, such as `{"customer.email": ["must be a valid email address"]}`.
            Source: Teamwork's `validate` package, the Validator of the API page.
    """

    meaning: ClassVar[str] = "Desk refused fields of the request"

    def __init__(self, message: str, *, errors: Mapping[str, list[str]] | None = None, **answer: Any) -> None:
        self.errors: dict[str, list[str]] = dict(errors or {})
        told = "; ".join(
            f"{field} {' and '.join(_QUOTED.sub('[value]', reason) for reason in reasons)}"
            for field, reasons in self.errors.items()
        )
        super().__init__(f"{message}: {_ADDRESS.sub('[address]', told)}" if told else message, **answer)


class AuthenticationError(StatusError):
    """401: Desk does not accept the token."""

    meaning: ClassVar[str] = "Desk does not accept the token"


class PermissionDeniedError(StatusError):
    """403: The token's user may not do this."""

    meaning: ClassVar[str] = "the token's user may not do this"


class NotFoundError(StatusError):
    """404: There is no such conversation; `get` raises it too when the listing has none."""

    meaning: ClassVar[str] = "there is no such conversation"


class ConflictError(StatusError):
    """409: The conversation's state does not allow it."""

    meaning: ClassVar[str] = "the conversation's state does not allow it"


class UnprocessableError(StatusError):
    """422: Desk understands the request and cannot carry it out."""

    meaning: ClassVar[str] = "Desk cannot carry it out"


class RateLimitedError(StatusError):
    """429: The account's rate window is used up.

    Attributes:
        retry_after: Seconds until Desk takes requests again, if it said so.
        rate_limit: The window as the answer tells it.
    """

    meaning: ClassVar[str] = "the account's rate window is used up"

    def __init__(
        self, message: str, *, retry_after: float | None = None, rate_limit: RateLimit | None = None, **answer: Any
    ) -> None:
        super().__init__(message, **answer)
        self.retry_after = retry_after
        self.rate_limit = rate_limit


class ServerError(StatusError):
    """5xx: Desk, or a gateway before it, failed."""

    meaning: ClassVar[str] = "Desk or a gateway before it failed"


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
    """Return the class of error for a status."""
    return _BY_STATUS.get(status_code) or (ServerError if 500 <= status_code < 600 else StatusError)


def causes(error: BaseException) -> list[BaseException]:
    """Return an exception, what led to it, and what a group of them holds: each once, for they may go in circles."""
    found = [error]
    for one in found:
        further = [one.__cause__, one.__context__]
        if isinstance(one, BaseExceptionGroup):
            further += cast("BaseExceptionGroup[BaseException]", one).exceptions
        found += [other for other in further if other is not None and other not in found]
    return found


def scrub(error: BaseException, request: httpx.Request) -> None:
    """Take the token and the body out of an exception and its causes: the request, the frames, the bytes quoted."""
    bare = httpx.Request(request.method, request.url)
    for one in causes(error):
        one.__traceback__ = None
        if isinstance(one, httpx.HTTPError):
            one.request = bare
        if isinstance(one, httpx.HTTPStatusError):
            one.response.request = bare
        one.args = tuple(_RAW.sub("...", arg) if isinstance(arg, str) else arg for arg in one.args)
