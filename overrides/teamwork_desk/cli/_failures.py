"""What a failure says about the other jobs of a run."""

from __future__ import annotations

from teamwork_desk import (
    AuthenticationError,
    DeadlineExceeded,
    DeskError,
    PermissionDeniedError,
    RateLimitedError,
    RequestError,
    ServerError,
    StatusError,
)


def is_shared(error: DeskError) -> bool:
    """Return whether the other jobs may fail for the same reason: no connection, not a Desk, forbidden, or a failure.

    The other responses of Desk, and errors in the arguments, are about a single job.
    """
    if isinstance(error, StatusError) and error.from_desk:
        return isinstance(error, (AuthenticationError, PermissionDeniedError, ServerError))
    return not isinstance(error, RequestError)


class Failures:
    """Counts the failures in a row that have a shared reason.

    Args:
        most: After how many of them the run stops. After a rejected token, it stops at once.

    Attributes:
        in_a_row: How many there are.
    """

    def __init__(self, most: float) -> None:
        self._most = most
        self.in_a_row = 0

    def add(self, error: DeskError | None) -> bool:
        """Add the outcome of a job; return whether the run must stop.

        Args:
            error: Why the job failed; None if it succeeded.
        """
        self.in_a_row = self.in_a_row + 1 if error is not None and is_shared(error) else 0
        return self.in_a_row >= self._most or isinstance(error, AuthenticationError)


def explain(error: DeskError, in_a_row: int) -> str:
    """Return why a run stops by itself.

    Args:
        error: The last failure.
        in_a_row: How many failures there were in a row.
    """
    if isinstance(error, AuthenticationError):
        return "stopped: Desk rejected the token, so that every other job would fail, too"
    times = "a failure" if in_a_row == 1 else f"{in_a_row} failures in a row"
    return f"stopped after {times}, because the other jobs would probably fail for the same reason"


def got_no_turn(error: DeskError) -> bool:
    """Return whether the rate limit left no room for a request in time: it has changed nothing, and is sent again."""
    if isinstance(error, DeadlineExceeded):
        return error.retry_after is not None
    return isinstance(error, RateLimitedError)
