"""The possible effect of an attempt, for every status and every failure."""

from __future__ import annotations

import ssl
from collections.abc import Iterable

import aiohttp
import httpx
import pytest

from teamwork_desk import DeskError, NotSentError, ResponseDecodeError, StatusError, TransportError
from teamwork_desk._outcome import (
    Effect,
    Exchange,
    effect_of_failure,
    effect_of_status,
    is_idempotent,
    may_be_repeated,
    seems_sent,
)
from teamwork_desk_api.types import Request

# The effect of a status

STATUSES: list[tuple[Iterable[int], Effect]] = [
    (range(100, 200), Effect.ENDED),  # no final response came
    (range(200, 300), Effect.APPLIED),
    (range(300, 400), Effect.DOUBTFUL),  # a server may respond with a redirect to a POST that it has carried out
    (range(400, 408), Effect.FINAL),
    ([408], Effect.ENDED),
    (range(409, 425), Effect.FINAL),
    ([425], Effect.REFUSED),
    (range(426, 429), Effect.FINAL),
    ([429], Effect.REFUSED),
    (range(430, 499), Effect.FINAL),
    ([499], Effect.DOUBTFUL),  # a gateway reports that the client has left, while Desk still works
    ([500], Effect.ENDED),
    ([501], Effect.FINAL),
    ([502, 503], Effect.ENDED),
    ([504], Effect.RUNNING),
    (range(505, 524), Effect.ENDED),
    ([524], Effect.RUNNING),
    (range(525, 600), Effect.ENDED),
    (range(600, 1000), Effect.ENDED),  # not a status of HTTP, so that nothing is known
]


def test_the_table_has_every_status_once() -> None:
    assert [status for statuses, _ in STATUSES for status in statuses] == list(range(100, 1000))


@pytest.mark.parametrize(("statuses", "effect"), STATUSES, ids=lambda value: str(value).removeprefix("range"))
def test_a_status_has_the_effect_that_the_table_names(statuses: Iterable[int], effect: Effect) -> None:
    assert {status: effect_of_status(status) for status in statuses} == dict.fromkeys(statuses, effect)


@pytest.mark.parametrize("status", [303, 429, 499, 503, 504])
def test_retry_after_does_not_change_the_effect_of_a_status(status: int) -> None:
    exchange = Exchange(sent=True, status_code=status, headers=httpx.Headers({"Retry-After": "5"}))
    assert exchange.effect is effect_of_status(status)


@pytest.mark.parametrize(
    ("effect", "is_unknown"),
    [
        (Effect.NOT_SENT, False),
        (Effect.REFUSED, False),
        (Effect.FINAL, False),
        (Effect.DOUBTFUL, True),
        (Effect.ENDED, True),
        (Effect.RUNNING, True),
        (Effect.APPLIED, True),
    ],
)
def test_an_effect_says_whether_a_lookup_must_find_out_what_the_request_did(effect: Effect, is_unknown: bool) -> None:
    assert effect.is_unknown is is_unknown


# The effect of a failure

FAILURES: dict[type[Exception], Effect] = {
    httpx.CloseError: Effect.ENDED,
    httpx.ConnectError: Effect.ENDED,
    httpx.ConnectTimeout: Effect.RUNNING,
    httpx.CookieConflict: Effect.RUNNING,
    httpx.DecodingError: Effect.RUNNING,
    httpx.HTTPError: Effect.RUNNING,
    httpx.HTTPStatusError: Effect.RUNNING,
    httpx.InvalidURL: Effect.RUNNING,
    httpx.LocalProtocolError: Effect.ENDED,
    httpx.NetworkError: Effect.ENDED,
    httpx.PoolTimeout: Effect.RUNNING,
    httpx.ProtocolError: Effect.ENDED,
    httpx.ProxyError: Effect.ENDED,
    httpx.ReadError: Effect.ENDED,
    httpx.ReadTimeout: Effect.RUNNING,
    httpx.RemoteProtocolError: Effect.ENDED,
    httpx.RequestError: Effect.RUNNING,
    httpx.RequestNotRead: Effect.RUNNING,
    httpx.ResponseNotRead: Effect.RUNNING,
    httpx.StreamClosed: Effect.RUNNING,
    httpx.StreamConsumed: Effect.RUNNING,
    httpx.StreamError: Effect.RUNNING,
    httpx.TimeoutException: Effect.RUNNING,
    httpx.TooManyRedirects: Effect.RUNNING,
    httpx.TransportError: Effect.ENDED,
    httpx.UnsupportedProtocol: Effect.ENDED,
    httpx.WriteError: Effect.ENDED,
    httpx.WriteTimeout: Effect.RUNNING,
    # Other transports and event hooks raise these, which does not prove that the connection has failed.
    TimeoutError: Effect.RUNNING,
    OSError: Effect.RUNNING,
    ConnectionResetError: Effect.RUNNING,
    ValueError: Effect.RUNNING,
}


def make_error(kind: type[Exception]) -> Exception:
    """Build an exception of httpx without the arguments that its constructor requires."""
    return kind.__new__(kind)


def caused_by(error: Exception, cause: BaseException) -> Exception:
    error.__cause__ = cause
    return error


def test_the_table_has_every_exception_of_httpx() -> None:
    public = {value for name in httpx.__all__ if isinstance(value := getattr(httpx, name), type)}
    assert {kind for kind in public if issubclass(kind, Exception)} == {
        kind for kind in FAILURES if kind.__module__ == "httpx"
    }


@pytest.mark.parametrize(("kind", "effect"), FAILURES.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_after_sending_only_a_broken_connection_means_that_the_request_has_ended(
    kind: type[Exception], effect: Effect
) -> None:
    assert effect_of_failure(make_error(kind), sent=True) is effect


@pytest.mark.parametrize("kind", FAILURES)
def test_a_failure_before_sending_has_no_effect_whatever_its_class(kind: type[Exception]) -> None:
    assert effect_of_failure(make_error(kind), sent=False) is Effect.NOT_SENT


@pytest.mark.parametrize(
    ("cause", "effect"),
    [
        (ConnectionResetError(), Effect.ENDED),
        (caused_by(OSError(), ConnectionResetError()), Effect.ENDED),
        (TimeoutError(), Effect.RUNNING),
        (caused_by(OSError(), TimeoutError()), Effect.RUNNING),
    ],
    ids=repr,
)
def test_the_cause_decides_what_a_connect_timeout_after_sending_means(cause: Exception, effect: Effect) -> None:
    assert effect_of_failure(caused_by(httpx.ConnectTimeout(""), cause), sent=True) is effect


@pytest.mark.parametrize(
    ("error", "effect"),
    [
        (aiohttp.ClientPayloadError(), Effect.ENDED),
        (aiohttp.ServerDisconnectedError(), Effect.ENDED),
        (aiohttp.ClientConnectionError(), Effect.ENDED),
        (aiohttp.ServerTimeoutError(), Effect.RUNNING),
        (aiohttp.SocketTimeoutError(), Effect.RUNNING),
    ],
    ids=repr,
)
def test_an_error_that_httpx_aiohttp_does_not_translate_has_an_effect_too(error: Exception, effect: Effect) -> None:
    assert effect_of_failure(error, sent=True) is effect


NO_CONNECTION = {httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError}


@pytest.mark.parametrize("kind", FAILURES)
def test_a_request_without_a_body_seems_sent_unless_it_got_no_connection(kind: type[Exception]) -> None:
    assert seems_sent(make_error(kind)) is (kind not in NO_CONNECTION)


def raised_while_handling(error: Exception, context: BaseException) -> Exception:
    error.__context__ = context
    return error


UNTRUSTED = ssl.SSLCertVerificationError("self-signed certificate")


@pytest.mark.parametrize(
    ("error", "may_help"),
    [
        (caused_by(NotSentError(""), httpx.UnsupportedProtocol("")), False),
        (caused_by(NotSentError(""), httpx.LocalProtocolError("")), False),
        (caused_by(NotSentError(""), caused_by(httpx.ConnectError(""), UNTRUSTED)), False),
        (caused_by(NotSentError(""), raised_while_handling(httpx.ConnectError(""), UNTRUSTED)), False),
        (caused_by(NotSentError(""), httpx.ConnectError("")), True),
        (caused_by(NotSentError(""), caused_by(httpx.ConnectError(""), ssl.SSLError())), True),
        (caused_by(NotSentError(""), httpx.RemoteProtocolError("")), True),
        (caused_by(NotSentError(""), httpx.PoolTimeout("")), True),
        (NotSentError(""), True),
    ],
    ids=lambda value: f"{value!r} from {value.__cause__!r}" if isinstance(value, DeskError) else str(value),
)
def test_a_request_that_was_not_sent_is_repeated_unless_a_retry_cannot_help(error: DeskError, may_help: bool) -> None:
    assert may_be_repeated(Effect.NOT_SENT, error) is may_help


@pytest.mark.parametrize(
    ("effect", "error", "may_help"),
    [
        (Effect.REFUSED, StatusError("", status_code=400), True),
        (Effect.ENDED, StatusError("", status_code=400), True),
        (Effect.FINAL, StatusError("", status_code=400), False),
        (Effect.DOUBTFUL, StatusError("", status_code=400), False),
        # These requests were sent, so that their effect alone decides.
        (Effect.ENDED, caused_by(TransportError(""), httpx.LocalProtocolError("")), True),
        (Effect.ENDED, caused_by(TransportError(""), UNTRUSTED), True),
        # The response to a read cannot be read, and the next response would not be different.
        (Effect.APPLIED, ResponseDecodeError(""), False),
    ],
    ids=str,
)
def test_a_request_that_did_nothing_is_repeated_only_if_its_effect_allows_it(
    effect: Effect, error: DeskError, may_help: bool
) -> None:
    assert may_be_repeated(effect, error) is may_help


@pytest.mark.parametrize(
    ("method", "may_be_sent_twice"),
    [
        ("GET", True), ("HEAD", True), ("OPTIONS", True), ("PUT", True), ("DELETE", True),
        ("POST", False), ("PATCH", False), ("UNKNOWN", False),
    ],
)  # fmt: skip
def test_a_method_is_idempotent_as_the_rfc_says(method: str, *, may_be_sent_twice: bool) -> None:
    request: Request[None] = Request(operation="try", method=method, target="/", decode=lambda payload, hook: None)
    assert is_idempotent(request) is may_be_sent_twice
