"""What is told of a call: the log's lines, and the spans of `otel` where OpenTelemetry is installed."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Protocol, TypeAlias

from attrs import frozen

from ._errors import ConfigurationError

logger = logging.getLogger("teamwork_desk")
drift_logger = logging.getLogger("teamwork_desk.drift")


@frozen(kw_only=True)
class Attempt:
    """One request of a call, as it ended.

    Attributes:
        method: The HTTP method.
        path: The path, without the query.
        status_code: The answer's status, if there was one.
        failure: The name of the exception's class, if there was one; "interrupted" for a deadline or a cancellation.
        effect: What the request may have done.
        seconds: How long it took, the wait for the rate window and for a free connection included.
    """

    method: str
    path: str
    status_code: int | None
    failure: str | None
    effect: str
    seconds: float


@frozen(kw_only=True)
class Ending:
    """How a call ended.

    Attributes:
        outcome: `"ok"`, or the name of the exception's class.
        attempts: Requests sent, as `DeskError.attempts` counts them.
        maybe_applied: Whether it is unknown what the call did.
        seconds: How long it took.
    """

    outcome: str
    attempts: int
    maybe_applied: bool
    seconds: float


class Observation(Protocol):
    """Is told of one call, in the task that makes it."""

    def attempted(self, attempt: Attempt) -> None:
        """Take note of a request."""

    def waited(self, reason: str, seconds: float) -> None:
        """Take note of a pause: `"rate limit"`, `"back-off"` or `"settling"`."""

    def ended(self, ending: Ending) -> None:
        """Take note of the end."""


Observer: TypeAlias = Callable[[str, int | None], Observation]
"""Begins to observe a call: takes its operation and the conversation's id."""


def log_to_stderr() -> None:
    """Log at the level that the environment's `TEAMWORK_DESK_LOG` names, to stderr where nothing else takes it.

    Raises:
        ConfigurationError: There is no such level.
    """
    level = os.environ.get("TEAMWORK_DESK_LOG", "").upper()
    if not level:
        return
    if level not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        raise ConfigurationError("TEAMWORK_DESK_LOG: expected debug, info, warning or error")
    logger.setLevel(level)
    if not logger.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        logger.addHandler(handler)


def find_observer(origin: str) -> Observer | None:
    """Return what makes spans of an origin's calls; None where OpenTelemetry is not installed."""
    try:
        from .otel import observer_of  # noqa: PLC0415 - an extra
    except ImportError:
        return None
    return observer_of(origin)
