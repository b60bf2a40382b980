"""How often and how patiently a call is retried: the policy of one call, and the quota of one client."""

from __future__ import annotations

from typing import Literal, cast

from attrs import frozen

from ._checks import is_count, is_seconds
from ._errors import ConfigurationError


@frozen(kw_only=True)
class RetryPolicy:
    """How often and how patiently a call is retried.

    Raises `ConfigurationError` for an invalid value.

    Attributes:
        max_attempts: How many requests a call sends at most, the first one included; 1 never retries. A request with a
            fresh token after a 401, and the request with the deprecated email, are not counted: each is sent once at
            most.
        backoff_base: Seconds. The pause before the n-th retry is random, between 0 and `backoff_base * 2**(n-1)`.
        backoff_cap: Seconds. A random pause is never longer.
        max_retry_after: Seconds. If Desk asks for a longer pause than this, the error is raised at once instead.
        on_unknown: What to do when a request may have been carried out, and no readable response shows it. `"verify"`
            looks the outcome up; `"raise"` raises `OutcomeUnknownError` without a lookup.
        settle: Seconds to pause before each further lookup after an unknown outcome, because the server may finish its
            work late. Their sum is how late a ticket may appear and still be found. With longer pauses, a call whose
            response was lost takes longer.
    """

    max_attempts: int = 4
    backoff_base: float = 0.5
    backoff_cap: float = 20.0
    max_retry_after: float = 120.0
    on_unknown: Literal["verify", "raise"] = "verify"
    settle: tuple[float, ...] = (0.5, 1.0, 2.0)

    def __attrs_post_init__(self) -> None:
        if not is_count(self.max_attempts):
            raise ConfigurationError("max_attempts: expected an int of at least 1")
        for name in ("backoff_base", "backoff_cap", "max_retry_after"):
            _check_seconds(name, getattr(self, name))
        if not isinstance(cast("object", self.settle), (tuple, list)):
            raise ConfigurationError(f"settle: expected a tuple of seconds, got {type(self.settle).__name__}")
        for pause in self.settle:
            _check_seconds("settle", pause)
        # Copy a list into a tuple, because a list could be changed later.
        object.__setattr__(self, "settle", tuple(self.settle))
        if self.on_unknown not in ("verify", "raise"):
            raise ConfigurationError('on_unknown: expected "verify" or "raise"')

    def backoff(self, retry: int, draw: float) -> float:
        """Return the pause before a retry in seconds, with full jitter.

        Args:
            retry: The number of the retry, from 1.
            draw: A random number from 0 to 1.
        """
        return draw * min(self.backoff_cap, self.backoff_base * 2.0 ** min(retry - 1, 32))


def _check_seconds(name: str, value: object) -> None:
    if not is_seconds(value):
        raise ConfigurationError(f"{name}: expected a finite number of seconds, 0 or more")


class RetryQuota:
    """A quota of retries for a whole client, so that its retries do not make an outage worse.

    The numbers are botocore's: a retry costs 5 of 500 points, and a success gives back what its retries cost, at
    least 1 point.
    """

    CAPACITY = 500
    COST = 5

    def __init__(self) -> None:
        self._left = self.CAPACITY

    def spend(self) -> bool:
        """Take the cost of one retry; return False, and take nothing, if too little is left."""
        if self._left < self.COST:
            return False
        self._left -= self.COST
        return True

    def give_back(self, retries: int) -> None:
        """Return the cost of the retries that led to a success."""
        self._left = min(self.CAPACITY, self._left + max(1, retries * self.COST))
