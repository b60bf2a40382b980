"""What an attempt may have done: the effect of every status, and of every failure."""

from __future__ import annotations

import ssl
from collections.abc import Iterable

import aiohttp
import httpx
import pytest

from teamwork_desk import DeskError, NotSentError, TransportError
from teamwork_desk._outcome import Effect, effect_of_failure, effect_of_status, is_permanent, seems_sent

# What a status says

STATUSES: list[tuple[Iterable[int], Effect]] = [
    (range(100, 200), Effect.ENDED),  # no final answer came
    (range(200, 300), Effect.APPLIED),
    (range(300, 408), Effect.FINAL),
    ([408], Effect.ENDED),
    (range(409, 425), Effect.FINAL),
    ([425], Effect.REFUSED),
    (range(426, 429), Effect.FINAL),
    ([429], Effect.REFUSED),
    (range(430, 500), Effect.FINAL),
    ([500], Effect.ENDED),
    ([501], Effect.FINAL),
    ([502, 503], Effect.ENDED),
    ([504], Effect.RUNNING),
    (range(505, 524), Effect.ENDED),
    ([524], Effect.RUNNING),
    (range(525, 600), Effect.ENDED),
    (range(600, 1000), Effect.ENDED),  # no status of HTTP: nothing is known
]


def test_every_status_stands_in_the_table_once() -> None:
    assert [status for statuses, _ in STATUSES for status in statuses] == list(range(100, 1000))


@pytest.mark.parametrize(("statuses", "effect"), STATUSES, ids=lambda value: str(value).removeprefix("range"))
def test_a_status_without_retry_after_has_the_effect_of_its_class(statuses: Iterable[int], effect: Effect) -> None:
    assert {status: effect_of_status(status, has_retry_after=False) for status in statuses} == dict.fromkeys(
        statuses, effect
    )


def test_retry_after_makes_a_refusal_of_503_and_changes_no_other_status() -> None:
    changed = {
        status: effect_of_status(status, has_retry_after=True)
        for status in range(100, 1000)
        if effect_of_status(status, has_retry_after=True) is not effect_of_status(status, has_retry_after=False)
    }
    assert changed == {503: Effect.REFUSED}


# What a failure says

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
    # What other transports and event hooks raise: it does not prove that the connection has failed
    TimeoutError: Effect.RUNNING,
    OSError: Effect.RUNNING,
    ConnectionResetError: Effect.RUNNING,
    ValueError: Effect.RUNNING,
}


def make(kind: type[Exception]) -> Exception:
    """Build an exception of httpx without regard for what its constructor asks for."""
    return kind.__new__(kind)


def because_of(error: Exception, cause: BaseException) -> Exception:
    error.__cause__ = cause
    return error


def test_every_exception_of_httpx_stands_in_the_table() -> None:
    public = {value for name in httpx.__all__ if isinstance(value := getattr(httpx, name), type)}
    assert {kind for kind in public if issubclass(kind, Exception)} == {
        kind for kind in FAILURES if kind.__module__ == "httpx"
    }


@pytest.mark.parametrize(("kind", "effect"), FAILURES.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_after_sending_only_a_failed_connection_has_ended(kind: type[Exception], effect: Effect) -> None:
    assert effect_of_failure(make(kind), sent=True) is effect


@pytest.mark.parametrize("kind", FAILURES)
def test_a_failure_before_sending_did_nothing_whatever_its_class(kind: type[Exception]) -> None:
    assert effect_of_failure(make(kind), sent=False) is Effect.NOT_SENT


@pytest.mark.parametrize(
    ("cause", "effect"),
    [
        (ConnectionResetError(), Effect.ENDED),
        (because_of(OSError(), ConnectionResetError()), Effect.ENDED),
        (TimeoutError(), Effect.RUNNING),
        (because_of(OSError(), TimeoutError()), Effect.RUNNING),
    ],
    ids=repr,
)
def test_a_connect_timeout_after_sending_is_what_its_cause_is(cause: Exception, effect: Effect) -> None:
    assert effect_of_failure(because_of(httpx.ConnectTimeout(""), cause), sent=True) is effect


NOT_SENT_WITHOUT_A_BODY = {httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError}


@pytest.mark.parametrize("kind", FAILURES)
def test_a_request_without_a_body_seems_sent_unless_no_connection_was_had(kind: type[Exception]) -> None:
    assert seems_sent(make(kind)) is (kind not in NOT_SENT_WITHOUT_A_BODY)


def in_the_context_of(error: Exception, context: BaseException) -> Exception:
    error.__context__ = context
    return error


UNTRUSTED = ssl.SSLCertVerificationError("self-signed certificate")


@pytest.mark.parametrize(
    ("error", "permanent"),
    [
        (because_of(NotSentError(""), httpx.UnsupportedProtocol("")), True),
        (because_of(NotSentError(""), httpx.LocalProtocolError("")), True),
        (because_of(NotSentError(""), because_of(httpx.ConnectError(""), UNTRUSTED)), True),
        (because_of(NotSentError(""), in_the_context_of(httpx.ConnectError(""), UNTRUSTED)), True),
        (because_of(NotSentError(""), httpx.ConnectError("")), False),
        (because_of(NotSentError(""), because_of(httpx.ConnectError(""), ssl.SSLError())), False),
        (because_of(NotSentError(""), httpx.RemoteProtocolError("")), False),
        (because_of(NotSentError(""), httpx.PoolTimeout("")), False),
        (NotSentError(""), False),
        # It was sent: what it was, decides what is done
        (because_of(TransportError(""), httpx.LocalProtocolError("")), False),
        (because_of(TransportError(""), UNTRUSTED), False),
    ],
    ids=lambda value: f"{value!r} from {value.__cause__!r}" if isinstance(value, DeskError) else str(value),
)
def test_only_what_was_not_sent_and_cannot_get_better_is_permanent(error: DeskError, permanent: bool) -> None:
    assert is_permanent(error) is permanent


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
def test_an_error_of_aiohttp_that_its_transport_lets_through(error: Exception, effect: Effect) -> None:
    assert effect_of_failure(error, sent=True) is effect
