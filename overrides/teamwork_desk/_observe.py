"""What is told of a call: the log's lines, and the spans of `otel` where OpenTelemetry is installed."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeAlias

import anyio
from attrs import frozen

from teamwork_desk_api.types import Request

from ._errors import ConfigurationError, DeskError

if TYPE_CHECKING:
    from ._exchange import Exchange

P = ParamSpec("P")

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


def harmless(tell: Callable[P, object]) -> Callable[P, None]:
    """Let no filter, handler or exporter change what a call returns: a raised error would lose its outcome."""

    @wraps(tell)
    def told(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            tell(*args, **kwargs)
        except Exception as failure:
            # As logging does; the text may quote anything. A daemon may have closed stderr.
            with suppress(OSError, ValueError):
                if logging.raiseExceptions:
                    print(f"teamwork_desk: telling failed with {type(failure).__name__}", file=sys.stderr)  # noqa: T201

    return told


warn = harmless(logger.warning)
warn_of_drift = harmless(drift_logger.warning)


class Watch:
    """Tells of one call while it runs: to the log, and to an observation where there is one."""

    def __init__(self, observer: Observer | None, operation: str, conversation_id: int | None) -> None:
        self._name = f"{operation} {conversation_id}" if conversation_id else operation
        self.began: float = anyio.current_time()
        self._observation = None if observer is None else observer(operation, conversation_id)
        self._sees_attempts = self._observation is not None or logger.isEnabledFor(logging.DEBUG)

    @harmless
    def attempted(self, request: Request[Any], exchange: Exchange, began: float) -> None:
        """Tell of a request that began at a time by the event loop's clock, and what came of it, if anything did."""
        if not self._sees_attempts:
            return
        failure = type(exchange.failure).__name__ if exchange.failure else None
        attempt = Attempt(
            method=request.method,
            path=request.target.partition("?")[0],
            status_code=exchange.status_code,
            failure=failure or (None if exchange.status_code else "interrupted"),
            effect=exchange.effect.value,
            seconds=anyio.current_time() - began,
        )
        if self._observation is not None:
            self._observation.attempted(attempt)
        what, result = f"{attempt.method} {attempt.path}", attempt.failure or attempt.status_code
        logger.debug("%s: %s: %s (%s), %.3f s", self._name, what, result, attempt.effect, attempt.seconds)

    @harmless
    def waited(self, reason: str, seconds: float) -> None:
        """Tell of a pause, if there was one."""
        if seconds and self._observation is not None:
            self._observation.waited(reason, seconds)

    @harmless
    def ended(self, error: BaseException | None, attempts: int, *, maybe_applied: bool) -> None:
        """Tell how the call ended."""
        if maybe_applied:
            reason = error if isinstance(error, DeskError) else "interrupted: it is unknown what became of it"
            warn("%s: %s", self._name, reason)
        if self._observation is None and not logger.isEnabledFor(logging.INFO):
            return
        outcome = "ok" if error is None else type(error).__name__ if isinstance(error, Exception) else "cancelled"
        seconds = anyio.current_time() - self.began
        # First, for a span that a failing log leaves open would be the parent of all that follows.
        if self._observation is not None:
            self._observation.ended(
                Ending(outcome=outcome, attempts=attempts, maybe_applied=maybe_applied, seconds=seconds)
            )
        logger.info("%s: %s, attempts: %d, %.3f s", self._name, outcome, attempts, seconds)


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
