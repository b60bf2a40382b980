"""What an attempt may have done, and whether and when to try again: values and pure functions."""

from __future__ import annotations

import enum
import math
import re
import ssl
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Literal, cast

import httpx
from attrs import frozen

from ._errors import ConfigurationError, NotSentError, causes

_SECONDS = re.compile(r"\d{1,9}(\.\d+)?", re.ASCII)


@frozen(kw_only=True)
class RetryPolicy:
    """How often and how patiently a call is tried.

    Raises `ConfigurationError` for a value that makes no sense.

    Attributes:
        max_attempts: Requests sent at most, the first included. A fresh token after a 401 and the fallback to the
            deprecated email come on top, once each.
        backoff_base: Seconds; the pause before the n-th retry is drawn between 0 and `backoff_base * 2**(n-1)`.
        backoff_cap: Seconds; no drawn pause is longer.
        max_retry_after: Seconds; where Desk asks for a longer pause, the error is raised at once instead.
        on_unknown: What to do where a conversion may have happened and no answer says so. `"verify"` looks at the
            conversation; `"raise"` raises `OutcomeUnknownError` without looking.
        settle: Seconds to pause before each further look, because the server may finish late.
    """

    max_attempts: int = 4
    backoff_base: float = 0.5
    backoff_cap: float = 20.0
    max_retry_after: float = 120.0
    on_unknown: Literal["verify", "raise"] = "verify"
    settle: tuple[float, ...] = (0.5, 1.0, 2.0)

    def __attrs_post_init__(self) -> None:
        if self.max_attempts.__class__ is not int or self.max_attempts < 1:
            raise ConfigurationError("max_attempts: expected an int of at least 1")
        for name in ("backoff_base", "backoff_cap", "max_retry_after"):
            _check_seconds(name, getattr(self, name))
        if not isinstance(cast("object", self.settle), (tuple, list)):
            raise ConfigurationError("settle: expected a tuple of seconds")
        for pause in self.settle:
            _check_seconds("settle", pause)
        object.__setattr__(self, "settle", tuple(self.settle))  # a list could change
        if self.on_unknown not in ("verify", "raise"):
            raise ConfigurationError('on_unknown: expected "verify" or "raise"')

    def backoff(self, retry: int, draw: float) -> float:
        """Return the pause before a retry in seconds, with full jitter.

        Args:
            retry: Which retry it is, from 1.
            draw: A random number from 0 to 1.
        """
        return draw * min(self.backoff_cap, self.backoff_base * 2.0 ** min(retry - 1, 32))


def _check_seconds(name: str, value: object) -> None:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value < math.inf:
        raise ConfigurationError(f"{name}: expected a finite number of seconds, not below 0")


class Effect(enum.Enum):
    """What an attempt may have done to the conversation."""

    NOT_SENT = "nothing: the request never left"
    REFUSED = "nothing: Desk asks to come again"
    FINAL = "nothing, and trying again changes nothing"
    ENDED = "unknown, but it has ended"
    RUNNING = "unknown, and it may still be running"
    APPLIED = "it was applied"


def effect_of_status(status_code: int, *, has_retry_after: bool) -> Effect:
    """Classify an answer that was received."""
    if 200 <= status_code < 300:
        return Effect.APPLIED
    if status_code in (425, 429) or (status_code == 503 and has_retry_after):
        return Effect.REFUSED
    if status_code in (504, 524):
        return Effect.RUNNING
    if status_code == 408 or status_code < 200 or (status_code >= 500 and status_code != 501):
        return Effect.ENDED
    return Effect.FINAL


def effect_of_failure(error: Exception | None, *, sent: bool) -> Effect:
    """Classify an attempt that got no answer.

    Args:
        error: What was raised. Its class says nothing of whether the request left: the aiohttp transport names every
            failure of a connection a `ConnectTimeout`, and only the cause tells a reset from a timeout.
        sent: Whether the request's body was read, by the transport, to be sent.
    """
    if not sent:
        return Effect.NOT_SENT
    if isinstance(error, httpx.ConnectTimeout) and error.__cause__ and not _is_caused_by(error, TimeoutError):
        return Effect.ENDED
    # What is neither, such as an error of an event hook, does not prove that the connection has failed.
    is_broken = isinstance(error, httpx.TransportError) or _is_of_aiohttp(error)
    is_timeout = isinstance(error, (httpx.TimeoutException, TimeoutError))
    return Effect.ENDED if is_broken and not is_timeout else Effect.RUNNING


def _is_of_aiohttp(error: Exception | None) -> bool:
    """Whether it is one of aiohttp's own errors: its transport lets some through, such as that of a broken answer."""
    return any(kind.__module__.startswith("aiohttp.") for kind in type(error).__mro__)


def seems_sent(error: Exception) -> bool:
    """Whether a request without a body left, by the class of error: good enough for what changes nothing."""
    return not isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError))


def is_permanent(error: BaseException) -> bool:
    """Whether a failure to send cannot get better by trying again."""
    return isinstance(error, NotSentError) and _is_caused_by(
        error, httpx.UnsupportedProtocol, httpx.LocalProtocolError, ssl.SSLCertVerificationError
    )


def _is_caused_by(error: BaseException, *kinds: type[BaseException]) -> bool:
    return any(isinstance(one, kinds) for one in causes(error))


def http_date(value: str | None) -> float | None:
    """Return an HTTP date as epoch seconds, or None where it is none."""
    try:
        date = parsedate_to_datetime(value or "")
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, IndexError, OverflowError):
        return None


def retry_after(headers: httpx.Headers, now: float) -> float | None:
    """Return the seconds that `Retry-After` asks for, or None where it says nothing usable.

    A date is measured against the answer's own `Date`, so that a wrong clock does no harm (RFC 9110, 10.2.3).

    Args:
        headers: The answer's headers.
        now: Epoch seconds, for an answer without a `Date`.
    """
    value = headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(value):
        return float(value)
    date = http_date(value)
    if date is None:
        return None
    sent = http_date(headers.get("date"))
    return max(0.0, date - (now if sent is None else sent))


class RetryQuota:
    """A client-wide allowance for retries, so that they do not make an outage worse.

    The numbers are botocore's: every retry costs 5 of 500, a success gives back what its retries cost, at least 1.
    """

    CAPACITY = 500
    COST = 5

    def __init__(self) -> None:
        self._left = self.CAPACITY

    def spend(self) -> bool:
        """Take the cost of one retry; False where too little is left."""
        if self._left < self.COST:
            return False
        self._left -= self.COST
        return True

    def give_back(self, retries: int) -> None:
        """Return the cost of the retries that led to a success."""
        self._left = min(self.CAPACITY, self._left + max(1, retries * self.COST))
