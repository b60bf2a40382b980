"""What an attempt may have done, and whether and when to try again."""

from __future__ import annotations

import math
import ssl
from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import aiohttp
import httpx
import pytest
from attrs.exceptions import FrozenInstanceError
from hypothesis import given, settings
from hypothesis import strategies as st

from teamwork_desk import ConfigurationError, DeskError, NotSentError, RetryPolicy, TransportError
from teamwork_desk._headers import http_date, retry_after
from teamwork_desk._outcome import Effect, effect_of_failure, effect_of_status, is_permanent, seems_sent
from teamwork_desk._retry import RetryQuota

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


# When to come again

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("   ", None),
        ("0", 0.0),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("007", 7.0),
        ("1.5", 1.5),
        ("999999999", 999_999_999.0),
        ("9" * 10, None),  # more than 30 years is a mistake
        ("9" * 5000, None),
        ("-1", None),
        ("+1", None),
        ("1e3", None),
        ("1_0", None),
        ("1,5", None),
        (".5", None),
        ("1.", None),
        ("0x10", None),
        ("nan", None),
        ("inf", None),
        ("-inf", None),
        ("Infinity", None),
        ("7 seconds", None),
        ("soon", None),
        ("\u0661".encode(), None),  # a digit, but none of ASCII
        ("Sun, 01 Mar 2026 12:00:07 GMT", 7.0),
        ("Sunday, 01-Mar-26 12:00:07 GMT", 7.0),
        ("Sun Mar  1 12:00:07 2026", 7.0),
        ("Sun, 01 Mar 2026 14:00:07 +0200", 7.0),
        ("Sun, 01 Mar 2026 11:59:59 GMT", 0.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("Mon, 01 Mar 2027 12:00:00 GMT", 31_536_000.0),
        ("Sun, 01 Mar 2026", None),
        ("Sun, 32 Mar 2026 12:00:07 GMT", None),
        ("Sun, 01 Mar 99999 12:00:07 GMT", None),
        ("2026-03-01T12:00:07Z", None),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_retry_after_is_read_in_each_form_and_nonsense_says_nothing(value: Any, seconds: float | None) -> None:
    headers = httpx.Headers([] if value is None else [("retry-after", value)])
    assert retry_after(headers, NOON) == seconds


@pytest.mark.parametrize(
    ("date", "seconds"),
    [
        ("Sun, 01 Mar 2026 12:00:00 GMT", 60.0),
        ("Sun, 01 Mar 2026 12:00:45 GMT", 15.0),
        ("Sun, 01 Mar 2026 12:30:00 GMT", 0.0),
        ("Sat, 28 Feb 2026 12:01:00 GMT", 86_400.0),
        ("yesterday", 60.0),
        ("", 60.0),
    ],
)
def test_a_date_to_come_again_is_measured_against_the_answers_own_date(date: str, seconds: float) -> None:
    headers = httpx.Headers({"Retry-After": "Sun, 01 Mar 2026 12:01:00 GMT", "Date": date})
    assert retry_after(headers, NOON) == seconds


def test_seconds_to_wait_are_not_measured_against_the_answers_date() -> None:
    assert retry_after(httpx.Headers({"Retry-After": "7", "Date": "Sun, 01 Mar 2020 12:00:00 GMT"}), NOON) == 7.0


HEADER_TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=126)) | st.text(
    "0123456789:.,+- GMTSunMar", max_size=40
)


@settings(deadline=None)
@given(HEADER_TEXT, st.none() | HEADER_TEXT)
def test_no_header_breaks_retry_after_or_makes_it_negative(value: str, date: str | None) -> None:
    seconds = retry_after(httpx.Headers({"Retry-After": value} | ({} if date is None else {"Date": date})), NOON)
    assert seconds is None or 0 <= seconds < math.inf


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        # RFC 9110, 5.6.7: the preferred form, and the two obsolete ones that are to be accepted
        ("Sun, 06 Nov 1994 08:49:37 GMT", 784111777.0),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 784111777.0),
        ("Sun Nov  6 08:49:37 1994", 784111777.0),
        ("Sun, 06 Nov 1994 08:49:37", 784111777.0),
        (None, None),
        ("", None),
        ("0", None),
        ("tomorrow", None),
        ("Sun, 06 Nov 1994 25:49:37 GMT", None),
    ],
)
def test_http_date_reads_the_three_forms_as_epoch_seconds(value: str | None, moment: float | None) -> None:
    assert http_date(value) == moment


@settings(deadline=None)
@given(st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(9999, 1, 1)))  # noqa: DTZ001
def test_http_date_reads_back_every_date_to_the_second(moment: datetime) -> None:
    moment = moment.replace(microsecond=0, tzinfo=UTC)
    assert http_date(format_datetime(moment, usegmt=True)) == moment.timestamp()


# How long to pause

SECONDS = st.floats(min_value=0, max_value=1e300)


@pytest.mark.parametrize(("retry", "pause"), [(1, 0.5), (2, 1), (3, 2), (4, 4), (5, 8), (6, 16), (7, 20), (8, 20)])
def test_the_longest_pause_doubles_up_to_the_cap(retry: int, pause: float) -> None:
    assert RetryPolicy().backoff(retry, 1.0) == pause


@pytest.mark.parametrize("draw", [0.0, 0.25, 1.0])
def test_the_pause_is_drawn_from_nothing_to_the_longest(draw: float) -> None:
    assert RetryPolicy(backoff_base=8, backoff_cap=100).backoff(2, draw) == draw * 16


@settings(deadline=None)
@given(base=SECONDS, cap=SECONDS, retry=st.integers(1, 10**6), draw=st.floats(0, 1))
def test_no_pause_is_negative_or_above_the_cap_or_shorter_than_the_one_before(
    base: float, cap: float, retry: int, draw: float
) -> None:
    policy = RetryPolicy(backoff_base=base, backoff_cap=cap)
    assert 0 <= policy.backoff(retry, draw) <= policy.backoff(retry + 1, draw) <= cap


# The policy's values


def test_the_defaults_are_the_documented_ones() -> None:
    assert RetryPolicy() == RetryPolicy(
        max_attempts=4,
        backoff_base=0.5,
        backoff_cap=20.0,
        max_retry_after=120.0,
        on_unknown="verify",
        settle=(0.5, 1.0, 2.0),
    )


def test_a_policy_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        RetryPolicy().max_attempts = 9  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    "values",
    [
        {"max_attempts": 1},
        {"max_attempts": 1000},
        {"backoff_base": 0, "backoff_cap": 0, "max_retry_after": 0},
        {"backoff_cap": 0.001},
        {"on_unknown": "raise"},
        {"on_unknown": "verify"},
        {"settle": ()},
        {"settle": (0, 1.5)},
    ],
    ids=str,
)
def test_a_value_that_makes_sense_is_kept(values: dict[str, Any]) -> None:
    policy = RetryPolicy(**values)
    assert {name: getattr(policy, name) for name in values} == values


NO_SECONDS = [-1, -0.001, math.nan, math.inf, -math.inf, True, "1", None, 1j]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("max_attempts", value) for value in [0, -1, 1.0, True, "3", None, math.inf]),
        *((name, value) for name in ("backoff_base", "backoff_cap", "max_retry_after") for value in NO_SECONDS),
        *(("settle", (0.5, value)) for value in NO_SECONDS),
        *(("settle", value) for value in [1.0, None, "12"]),
        *(("on_unknown", value) for value in ["guess", "Verify", "", None, True, ["verify"]]),
    ],
)
def test_a_value_that_makes_no_sense_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"^{name}: "):
        RetryPolicy(**{name: value})


# The allowance for retries


def test_a_policy_keeps_no_list_that_could_change() -> None:
    assert RetryPolicy(settle=[0.5]) == RetryPolicy(settle=(0.5,))  # type: ignore[arg-type]
    assert hash(RetryPolicy(settle=[0.5]))  # type: ignore[arg-type]


def retries_left(quota: RetryQuota) -> int:
    """Use up a quota."""
    left = 0
    while quota.spend():
        left += 1
    return left


def test_a_quota_allows_a_hundred_retries_and_then_none() -> None:
    quota = RetryQuota()
    assert retries_left(quota) == 100
    assert not quota.spend()


@pytest.mark.parametrize(
    ("successes", "retries"),
    [([0] * 4, 0), ([0] * 5, 1), ([1], 1), ([3], 3), ([1, 2, 0, 0, 0, 0, 0], 4), ([100], 100), ([10**9], 100)],
)
def test_a_success_gives_back_what_its_retries_cost_and_at_least_a_fifth_of_one(
    successes: list[int], retries: int
) -> None:
    quota = RetryQuota()
    retries_left(quota)
    for success in successes:
        quota.give_back(success)
    assert retries_left(quota) == retries


def test_nothing_is_given_back_to_a_full_quota() -> None:
    quota = RetryQuota()
    quota.give_back(50)
    assert retries_left(quota) == 100


@settings(deadline=None)
@given(st.lists(st.none() | st.integers(0, 200)))
def test_a_quota_is_a_count_between_nothing_and_its_capacity(steps: list[int | None]) -> None:
    quota, points = RetryQuota(), 500
    for retries in steps:
        if retries is None:
            assert quota.spend() is (points >= 5)
            points -= 5 if points >= 5 else 0
        else:
            quota.give_back(retries)
            points = min(500, points + max(1, retries * 5))
    assert retries_left(quota) == points // 5


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
