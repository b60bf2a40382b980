"""The response headers that say when to send the next request."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from teamwork_desk._headers import RateReport, http_date, retry_after

# Retry-After

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
        ("9" * 10, None),  # more than 30 years must be a mistake
        ("9" * 5000, None),
        ("-1", None),
        ("+1", None),
        ("1e3", None),
        ("1_0", None),
        # A proxy may have joined two values with a comma.
        ("1,5", 5.0),
        ("1, 5", 5.0),
        ("5, 5", 5.0),
        ("9 , Sun, 01 Mar 2026 12:00:07 GMT", 9.0),
        ("Sun, 01 Mar 2026 12:00:07 GMT, 9", 9.0),
        ("Sun, 01 Mar 2026 12:00:07 GMT, Sun, 01 Mar 2026 12:00:08 GMT", 8.0),
        ("Sun Mar  1 12:00:07 2026, Sunday, 01-Mar-26 12:00:08 GMT", 8.0),
        ("soon, 5", None),
        (".5", None),
        ("1.", None),
        ("0x10", None),
        ("nan", None),
        ("inf", None),
        ("-inf", None),
        ("Infinity", None),
        ("7 seconds", None),
        ("soon", None),
        ("\u0661".encode(), None),  # a digit that is not ASCII
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
def test_retry_after_is_read_in_every_form_and_nonsense_is_ignored(value: Any, seconds: float | None) -> None:
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
def test_a_date_in_retry_after_is_measured_against_the_responses_own_date(date: str, seconds: float) -> None:
    headers = httpx.Headers({"Retry-After": "Sun, 01 Mar 2026 12:01:00 GMT", "Date": date})
    assert retry_after(headers, NOON) == seconds


def test_seconds_in_retry_after_do_not_depend_on_the_responses_date() -> None:
    assert retry_after(httpx.Headers({"Retry-After": "7", "Date": "Sun, 01 Mar 2020 12:00:00 GMT"}), NOON) == 7.0


HEADER_TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=126)) | st.text(
    "0123456789:.,+- GMTSunMar", max_size=40
)


@given(HEADER_TEXT, st.none() | HEADER_TEXT)
def test_no_header_makes_retry_after_raise_or_return_a_negative_or_infinite_pause(value: str, date: str | None) -> None:
    seconds = retry_after(httpx.Headers({"Retry-After": value} | ({} if date is None else {"Date": date})), NOON)
    assert seconds is None or 0 <= seconds < math.inf


# HTTP dates


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        # RFC 9110, 5.6.7, has a preferred form and two obsolete forms, and a client must accept all three.
        ("Sun, 06 Nov 1994 08:49:37 GMT", 784111777.0),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 784111777.0),
        ("Sun Nov  6 08:49:37 1994", 784111777.0),
        # What servers also write.
        ("Sun, 06 Nov 1994 08:49:37", 784111777.0),
        ("Sun, 6 Nov 1994 8:49:37 GMT", 784111777.0),
        ("06 Nov 1994 08:49:37 GMT", 784111777.0),
        ("Sun,06 Nov 1994 08:49:37 GMT", 784111777.0),
        (" Sun ,  06  Nov\t1994  08:49:37  GMT ", 784111777.0),
        ("SUN, 06 NOV 1994 08:49:37 gmt", 784111777.0),
        ("Sun, 06 Nov 1994 08:49:37 UTC", 784111777.0),
        ("Sun, 06 Nov 1994 08:49:37 +0000", 784111777.0),
        ("Sun, 06 Nov 1994 10:49:37 +0200", 784111777.0),
        ("Sun, 06 Nov 1994 03:19:37 -05:30", 784111777.0),
        ("Sun, 06 Nov 94 08:49:37 GMT", 784111777.0),
        ("Sun, 06-Nov-1994 08:49:37 GMT", 784111777.0),
        ("Sun Nov 6 08:49:37 1994", 784111777.0),
        ("Sun Nov 06 08:49:37 GMT 1994", 784111777.0),
        ("Mon, 06 Nov 1994 08:49:37 GMT", 784111777.0),  # it was a Sunday
        ("Sat, 31 Dec 2016 23:59:60 GMT", 1483228800.0),  # a leap second
        ("", None),
        ("0", None),
        ("tomorrow", None),
        ("Sun, 06 Nov 1994 25:49:37 GMT", None),
        ("Sun, 06 Nov 1994 08:60:37 GMT", None),
        ("Sun, 06 Nov 1994 08:49:61 GMT", None),
        ("Sun, 30 Feb 1994 08:49:37 GMT", None),
        ("Sun, 06 Non 1994 08:49:37 GMT", None),
        ("Sun, 06 Nov 0000 08:49:37 GMT", None),
        ("Sun, 06 Nov 1994 08:49:37 GMT or later", None),
        ("Sun, 06 Nov 1994 08:49:37 EST", None),
    ],
)
def test_http_date_reads_the_three_forms_as_epoch_seconds(value: str, moment: float | None) -> None:
    assert http_date(value, NOON) == moment


@pytest.mark.parametrize(
    ("value", "year"),
    [
        ("Sunday, 01-Mar-26 12:00:00 GMT", 2026),
        ("Sunday, 01-Mar-70 12:00:00 GMT", 2070),
        ("Sunday, 01-Mar-76 12:00:00 GMT", 2076),  # 50 years in the future, and not more
        ("Sunday, 01-Mar-76 12:01:00 GMT", 1976),
        ("Sunday, 28-Feb-76 12:00:00 GMT", 2076),
        ("Sunday, 01-Mar-77 12:00:00 GMT", 1977),
        ("Sunday, 01-Mar-00 12:00:00 GMT", 2000),
    ],
)
def test_a_year_of_two_digits_is_at_most_50_years_in_the_future(value: str, year: int) -> None:
    moment = http_date(value, NOON)
    assert moment is not None
    assert datetime.fromtimestamp(moment, UTC).year == year


FORMS = ("%a, %d %b %Y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y")


@given(st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(9999, 1, 1)), st.sampled_from(FORMS))  # noqa: DTZ001
def test_http_date_reads_back_every_date_to_the_second(moment: datetime, form: str) -> None:
    moment = moment.replace(microsecond=0, tzinfo=UTC)
    assert http_date(moment.strftime(form), NOON) == moment.timestamp()


@pytest.mark.parametrize(
    ("dates", "seconds"),
    [
        (["Sun, 01 Mar 2026 12:00:00 GMT", "Sun, 01 Mar 2026 12:00:45 GMT"], 15.0),
        (["Sun, 01 Mar 2026 12:00:00 GMT, Sun, 01 Mar 2026 12:00:45 GMT"], 15.0),
        (["Sun, 01 Mar 2026 12:00:45 GMT", "yesterday"], 15.0),
        (["Sun, 01 Mar 2026 12:00:45 GMT", ""], 15.0),
    ],
)
def test_of_a_date_that_came_twice_the_last_usable_value_counts(dates: list[str], seconds: float) -> None:
    headers = httpx.Headers([("Retry-After", "Sun, 01 Mar 2026 12:01:00 GMT"), *(("Date", date) for date in dates)])
    assert retry_after(headers, NOON) == seconds


@pytest.mark.parametrize(
    ("values", "seconds"),
    [
        (["7", "7"], 7.0),
        (["7", "30"], 30.0),
        (["30", "7"], 30.0),
        (["soon", "7"], 7.0),
        (["7", "Sun, 01 Mar 2026 12:00:30 GMT"], 30.0),
        (["soon", "later"], None),
    ],
)
def test_of_a_retry_after_that_came_twice_the_longest_pause_counts(values: list[str], seconds: float | None) -> None:
    assert retry_after(httpx.Headers([("Retry-After", value) for value in values]), NOON) == seconds


# X-Rate-Limit-*

DATE = "Sun, 01 Mar 2026 12:00:00 GMT"


def report_of(*values: tuple[str, str]) -> RateReport | None:
    """Read headers; the names are without `X-Rate-Limit-`, except for `Date`."""
    headers = [(name if name == "Date" else f"X-Rate-Limit-{name}", value) for name, value in values]
    return RateReport.from_headers(httpx.Headers(headers), NOON)


def limits(limit: str = "120", remaining: str = "37", reset: str = "60") -> list[tuple[str, str]]:
    return [("Limit", limit), ("Remaining", remaining), ("Reset", reset)]


@pytest.mark.parametrize(
    ("values", "used", "seconds", "remaining"),
    [
        (limits(), 83, 60, 37),
        (limits(reset="0"), 83, 0, 37),
        (limits(reset="3600"), 83, 3600, 37),
        (limits(reset="86399"), 83, 86_399, 37),
        (limits(remaining="-5"), 125, 60, 0),
        (limits(remaining="500"), -380, 60, 120),
        (limits(reset=str(int(NOON) + 45)), 83, 45, 37),
        ([*limits(reset=str(int(NOON) + 3605)), ("Date", DATE)], 83, 3605, 37),
        # Without a Date, the local clock may be wrong.
        (limits(reset=str(int(NOON) + 121)), 83, None, 37),
        # A reset that has just passed was rounded down.
        (limits(reset=str(int(NOON) - 1)), 83, 0, 37),
        ([*limits(reset=str(int(NOON) + 90_000)), ("Date", DATE)], 83, None, 37),
        ([*limits(reset=str(int(NOON) - 45)), ("Date", DATE)], 83, None, 37),
        ([*limits(reset=str(int(NOON) + 30)), ("Date", "Sun, 01 Mar 2026 12:00:10 GMT")], 83, 20, 37),
        # Of a header that came twice, the last value counts.
        (limits(remaining="38, 37"), 83, 60, 37),
        ([("Remaining", "99"), *limits()], 83, 60, 37),
        (limits(remaining="38,37 , "), 83, 60, 37),
    ],
    ids=str,
)
def test_the_rate_limit_is_read_in_every_form(
    values: list[tuple[str, str]], used: int, seconds: float | None, remaining: int
) -> None:
    report = report_of(*values)
    assert report is not None
    assert (report.limit, report.used, report.seconds) == (120, used, seconds)
    assert (report.rate_limit.limit, report.rate_limit.remaining) == (120, remaining)


@pytest.mark.parametrize(
    "values",
    [
        [],
        limits()[:2],
        limits(limit="0"),
        limits(limit="10001"),  # a place for each would take too much memory
        limits(limit="9" * 20),
        limits(limit="many"),
        limits(reset="9" * 30),
        limits(reset="soon"),
        limits(remaining=""),
        # Calculations with a number of thousands of digits would raise an OverflowError.
        limits(limit="9" * 4000),
        limits(remaining="-" + "9" * 4000),
        # The limiter's storage failed.
        [*limits(), ("Err", "1")],
    ],
    ids=lambda values: str(values)[:60],
)
def test_a_rate_limit_that_makes_no_sense_is_ignored(values: list[tuple[str, str]]) -> None:
    assert report_of(*values) is None


@pytest.mark.parametrize(
    ("reset", "seconds"), [("60", 60), (str(int(NOON) + 45), 45)], ids=["a number of seconds", "an epoch"]
)
def test_the_reset_is_shown_as_a_time(reset: str, seconds: float) -> None:
    report = report_of(*limits(reset=reset), ("Date", DATE))
    assert report is not None
    assert report.rate_limit.reset_at == datetime.fromtimestamp(NOON + seconds, UTC)
