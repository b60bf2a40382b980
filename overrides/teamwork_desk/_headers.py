"""The response headers that say when to send the next request: RateLimit, Retry-After and Date, as pure functions."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx
from attrs import frozen

LONGEST_WINDOW = 120.0
"""Seconds. A rate window lasts 60 s according to the documentation. A reset later than this is ignored."""

_RATE_LIMIT_NAMES = (b"limit", b"remaining", b"reset")
_SECONDS = re.compile(r"\d{1,9}(\.\d+)?", re.ASCII)


@frozen(kw_only=True)
class RateLimit:
    """The account's rate window, as the last response reported it.

    Source: https://apidocs.teamwork.com/guides/desk/rate-limiting.

    Attributes:
        limit: Requests per window.
        remaining: Requests that are left in this window.
        reset_at: When the next window begins, by Desk's clock.
    """

    limit: int
    remaining: int
    reset_at: datetime

    @classmethod
    def from_headers(cls, headers: httpx.Headers) -> RateLimit | None:
        """Read the `X-Rate-Limit-*` headers; return None if they are missing or make no sense."""
        # Read all headers in one pass: every lookup in httpx.Headers is a pass of its own.
        values = {name.lower(): value for name, value in headers.raw}
        try:
            limit, remaining, reset = (int(values[b"x-rate-limit-" + name]) for name in _RATE_LIMIT_NAMES)
            reset_at = datetime.fromtimestamp(reset, UTC)
        except (KeyError, ValueError, OverflowError, OSError):
            return None
        return None if limit < 1 or remaining < 0 else cls(limit=limit, remaining=remaining, reset_at=reset_at)

    def resets_in(self, headers: httpx.Headers) -> float | None:
        """Return the seconds until the reset, by the response's own `Date`; None if they make no sense.

        Args:
            headers: The response's headers.
        """
        date = http_date(headers.get("date"))
        seconds = self.reset_at.timestamp() - (time.time() if date is None else date)
        return seconds if 0 < seconds <= LONGEST_WINDOW else None


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


def pause_asked_for(headers: httpx.Headers, status_code: int) -> float | None:
    """Return the seconds that a response asks the client to wait; None if it does not ask.

    A 429 without `Retry-After` asks for the rest of its rate window.

    Args:
        headers: The response's headers.
        status_code: The response's status.
    """
    seconds = retry_after(headers, time.time())
    if seconds is None and status_code == 429:
        limit = RateLimit.from_headers(headers)
        return limit.resets_in(headers) if limit else None
    return seconds
