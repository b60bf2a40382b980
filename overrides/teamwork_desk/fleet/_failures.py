"""What an error means for a job: whether it counts, whether it is final, and what is known about the conversation."""

from __future__ import annotations

from .. import (
    DeadlineExceeded,
    DeskError,
    OutcomeUnknownError,
    RateLimitedError,
    ResponseDecodeError,
    ServerError,
    StatusError,
    TransportError,
)
from ._records import Attempt

PASSING = (OutcomeUnknownError, TransportError, ServerError, DeadlineExceeded)
"""Errors whose reason may be gone at the next delivery, so that a retry makes sense."""


def is_about_job(error: Exception) -> bool:
    """Return whether an error says something about the job, so that the attempt must be counted.

    A job that got no turn does not count. If the URL is wrong, or a gateway responds with a page of its own, every job
    of the account fails in the same way: none of them must be parked for that.
    """
    if isinstance(error, StatusError) and not error.from_desk:
        return False
    # If the response of a conversion is unreadable, the conversation was converted. Otherwise it is that of a lookup.
    if isinstance(error, ResponseDecodeError):
        return error.maybe_applied and error.attempts > 0
    return not got_no_turn(error)


def leaves_unknown(error: Exception, attempt: Attempt) -> bool:
    """Return whether the attempt that raised an error, or an earlier one, may have converted the conversation."""
    if not isinstance(error, DeskError):
        # `convert` raises a TypeError before it sends anything. Any other error is a bug, and may come at any time.
        return bool(attempt.earlier) or not isinstance(error, TypeError)
    if error.maybe_applied or isinstance(error, OutcomeUnknownError):
        return True
    # The client looks before it sends. So an attempt that sent a request has seen that no earlier one did anything. An
    # attempt that sent nothing has failed at the lookup, which then says nothing about the earlier ones.
    return bool(attempt.earlier) and not error.attempts


def got_no_turn(error: BaseException) -> bool:
    """Return whether the rate limit left no room for a job in time: nothing was changed."""
    return isinstance(error, RateLimitedError) or (
        isinstance(error, DeadlineExceeded) and error.retry_after is not None
    )


def is_final(error: Exception, attempt: Attempt | None) -> bool:
    """Return whether a retry cannot help, so that the job must be parked."""
    # The ticket of a scheduled email may appear long after the settling time, so the job must not be sent again.
    if isinstance(error, OutcomeUnknownError) and attempt is not None and attempt.is_scheduled:
        return True
    # A TypeError means that `convert` does not have an argument, for example if a newer producer added the job.
    return isinstance(error, (DeskError, TypeError)) and not isinstance(error, PASSING)


def describe(error: Exception) -> str:
    """Return an error as text. An error of another package is named by its class only: its text may quote anything."""
    return f"{type(error).__name__}: {error}" if isinstance(error, DeskError) else type(error).__name__
