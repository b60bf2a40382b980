"""The response headers that say when to send the next request: RateLimit, Retry-After and Date, as pure functions."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import httpx
from attrs import frozen

SMALLEST_EPOCH = 86_400
"""A smaller value of `X-Rate-Limit-Reset` is not an epoch, but a number of seconds."""
LONGEST_WAIT_WITHOUT_DATE = 120.0
"""Seconds. Without a `Date`, an epoch that is further away than this is ignored: the local clock may be wrong."""
LATE = 2.0
"""Seconds. A reset that has passed for no longer than this was rounded down, or the response took this long."""

LARGEST_LIMIT = 10_000
"""Requests per period. Desk documents 120 a minute, so a limit that is far from that is not believed."""
_LONGEST_NUMBER = 20
"""Characters. With a number of thousands of digits, calculations would raise OverflowError."""
_RATE_LIMIT_NAMES = (b"limit", b"remaining", b"reset")
_SECONDS = re.compile(r"\d{1,9}(\.\d+)?", re.ASCII)
_LONGEST_FUTURE = 50
"""Years, for a date whose year has two digits."""
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DATE = re.compile(
    r"""
    (?: [a-z]{3,9} [ \t]* ,? [ \t]* )??              # the day of the week, which says nothing new
    (?: (?P<day>\d{1,2}) (?: [ \t]+ | -) (?P<month>[a-z]{3}) (?: [ \t]+ | -) (?P<year>\d{4} | \d{2}) [ \t]+
      | (?P<first_month>[a-z]{3}) [ \t]+ (?P<second_day>\d{1,2}) [ \t]+ )
    (?P<clock>\d{1,2}:\d{2}:\d{2})
    (?: [ \t]* (?: gmt | utc? | z | (?P<sign>[+-]) (?P<hours>\d{2}) :? (?P<minutes>\d{2}) ) )?
    (?(first_month) [ \t]+ (?P<last_year>\d{4}) )
    """,
    re.ASCII | re.IGNORECASE | re.VERBOSE,
)
_JOINED = re.compile(r"(?:(?<=\d)|(?<=GMT))[ \t]*,[ \t]*", re.IGNORECASE)
"""A comma between two values: it follows a number or a date. A comma within a date follows the day of the week."""


@frozen(kw_only=True)
class RateLimit:
    """The account's rate window, as the last response reported it.

    Desk's documentation calls the reset an epoch, and Teamwork's own limiter sends the length of its period. Both are
    read, and so are seconds until the reset. Sources: https://apidocs.teamwork.com/guides/desk/rate-limiting, and
    `ratelimit/ratelimiter.go` in Teamwork/middleware.

    Attributes:
        limit: Requests per window.
        remaining: Requests that are left in this window.
        reset_at: The time by Desk's clock at which the next window begins. If the limiter counts the requests of the
            last period, it is the time at which it stops to count this response's request.
    """

    limit: int
    remaining: int
    reset_at: datetime


@frozen(kw_only=True)
class RateReport:
    """What one response reports about the rate window.

    Attributes:
        limit: Requests per window.
        used: Requests that the server has counted, which may be more than the limit.
        seconds: The seconds after which the server stops to count this response's request; None if the header's value
            makes no sense.
        rate_limit: The same for users.
    """

    limit: int
    used: int
    seconds: float | None
    rate_limit: RateLimit

    @classmethod
    def from_headers(cls, headers: httpx.Headers, now: float) -> RateReport | None:
        """Read the `X-Rate-Limit-*` headers; return None where they are missing or make no sense.

        Args:
            headers: The response's headers.
            now: The time in epoch seconds, for a response without a `Date`.
        """
        # Read all headers in one pass: every lookup in httpx.Headers is a pass of its own. If a header came twice, the
        # last value counts; a proxy may have joined the two with a comma.
        values = {name.lower(): value.rstrip(b", \t").rpartition(b",")[2] for name, value in headers.raw}
        if b"x-rate-limit-err" in values:
            return None  # The limiter's own storage failed, so that its other headers mean nothing.
        try:
            limit, remaining, reset = (_number(values[b"x-rate-limit-" + name]) for name in _RATE_LIMIT_NAMES)
            date = date_of(headers, now)
            sent_at = now if date is None else date
            is_epoch = not 0 <= reset < SMALLEST_EPOCH
            seconds: float = reset - sent_at if is_epoch else reset
            longest = LONGEST_WAIT_WITHOUT_DATE if is_epoch and date is None else SMALLEST_EPOCH
            reset_at = datetime.fromtimestamp(sent_at + seconds, UTC)
        except (KeyError, ValueError, OverflowError, OSError):
            return None
        if not 1 <= limit <= LARGEST_LIMIT:
            return None
        return cls(
            limit=limit,
            used=limit - remaining,
            seconds=max(0.0, seconds) if -LATE <= seconds < longest else None,
            rate_limit=RateLimit(limit=limit, remaining=min(max(remaining, 0), limit), reset_at=reset_at),
        )


def _number(value: bytes) -> int:
    if len(value) > _LONGEST_NUMBER:
        raise ValueError
    return int(value)


def http_date(value: str, now: float) -> float | None:
    """Return an HTTP date (RFC 9110, 5.6.7) as epoch seconds; None if the value is not a date.

    All three forms are read: that of email, the obsolete RFC 850, and that of C's asctime.

    Args:
        value: The value of the header.
        now: The time in epoch seconds. A year of two digits is at most 50 years after it.
    """
    match = _DATE.fullmatch(value.strip())
    if match is None:
        return None
    parts = match.groupdict()
    digits = parts["year"] or parts["last_year"]
    month = (parts["month"] or parts["first_month"]).lower()
    hour, minute, second = (int(number) for number in parts["clock"].split(":"))
    try:
        time_of_year = (_MONTHS.index(month) + 1, int(parts["day"] or parts["second_day"]), hour, minute)
        year = int(digits) if len(digits) == 4 else _full_year(int(digits), time_of_year, now)
        # A leap second is valid, and datetime does not know it.
        date = datetime(year, *time_of_year, min(second, 59), tzinfo=UTC)
    except (ValueError, OverflowError, OSError):
        return None
    if second > 60:
        return None
    offset = int(parts["hours"] or 0) * 3600 + int(parts["minutes"] or 0) * 60
    return date.timestamp() + (second == 60) - (-offset if parts["sign"] == "-" else offset)


def _full_year(last_digits: int, time_of_year: tuple[int, int, int, int], now: float) -> int:
    """Return the latest year with these two digits that is not more than 50 years in the future (RFC 9110, 5.6.7)."""
    date = datetime.fromtimestamp(now, UTC)
    latest = date.year + _LONGEST_FUTURE
    if time_of_year > (date.month, date.day, date.hour, date.minute):
        latest -= 1
    return latest - (latest - last_digits) % 100


def date_of(headers: httpx.Headers, now: float) -> float | None:
    """Return the `Date` of a response as epoch seconds; None if it has no usable one.

    Of a header that came twice, the last usable value counts.

    Args:
        headers: The response's headers.
        now: As in `http_date`.
    """
    dates = (http_date(value, now) for value in reversed(_values(headers, "date")))
    return next((date for date in dates if date is not None), None)


def retry_after(headers: httpx.Headers, now: float) -> float | None:
    """Return the seconds that `Retry-After` asks for; None if it has no usable value.

    A date is measured against the response's own `Date`, so that a wrong local clock does no harm (RFC 9110, 10.2.3).
    If the header came twice, the longest pause satisfies both servers.

    Args:
        headers: The response's headers.
        now: The time in epoch seconds, for a response without a `Date`.
    """
    pauses: list[float] = []
    for value in _values(headers, "retry-after"):
        date = http_date(value, now)
        if _SECONDS.fullmatch(value):
            pauses.append(float(value))
        elif date is not None:
            sent = date_of(headers, now)
            pauses.append(max(0.0, date - (now if sent is None else sent)))
    return max(pauses, default=None)


def _values(headers: httpx.Headers, name: str) -> list[str]:
    """Return the values of a header that may come twice: in two fields, or joined with a comma by a proxy."""
    return [value.strip() for field in headers.get_list(name) for value in _JOINED.split(field)]
