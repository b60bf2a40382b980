"""The response headers that say when to send the next request: RateLimit, Retry-After and Date, as pure functions."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

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
        values = {name.lower(): value.rpartition(b",")[2] for name, value in headers.raw}
        if b"x-rate-limit-err" in values:
            return None  # The limiter's own storage failed, so that its other headers mean nothing.
        try:
            limit, remaining, reset = (_number(values[b"x-rate-limit-" + name]) for name in _RATE_LIMIT_NAMES)
            date = http_date(headers.get("date"))
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


def http_date(value: str | None) -> float | None:
    """Return an HTTP date (RFC 9110, 5.6.7) as epoch seconds; None if the value is not a date."""
    try:
        date = parsedate_to_datetime(value or "")
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, IndexError, OverflowError):
        return None


def retry_after(headers: httpx.Headers, now: float) -> float | None:
    """Return the seconds that `Retry-After` asks for; None if it has no usable value.

    A date is measured against the response's own `Date`, so that a wrong local clock does no harm (RFC 9110, 10.2.3).

    Args:
        headers: The response's headers.
        now: The time in epoch seconds, for a response without a `Date`.
    """
    value = headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(value):
        return float(value)
    date = http_date(value)
    if date is None:
        return None
    sent = http_date(headers.get("date"))
    return max(0.0, date - (now if sent is None else sent))
