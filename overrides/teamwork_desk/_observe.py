"""How a call is observed: the lines in the log, and the spans of `otel` if OpenTelemetry is installed."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from typing import Any, ParamSpec, Protocol, TypeAlias, runtime_checkable

import anyio
import httpx
from attrs import frozen

from teamwork_desk_api.types import Request

from ._checks import printable
from ._errors import ConfigurationError, DeskError
from ._outcome import Exchange
from ._redaction import HiddenURL

P = ParamSpec("P")

logger = logging.getLogger("teamwork_desk")
drift_logger = logging.getLogger("teamwork_desk.drift")


@frozen(kw_only=True)
class Attempt:
    """One request of a call, after it ended.

    Attributes:
        method: The HTTP method.
        path: The path, without the query.
        status_code: The response's status; None if no response came.
        failure: The name of the exception's class; "interrupted" for a deadline or a cancellation; None otherwise.
        effect: The possible effect of the request, in words.
        request_id: The response's id, which Teamwork's support asks for; None if it has none.
        seconds: How long it took, including the waits for the rate window and for a free connection.
    """

    method: str
    path: str
    status_code: int | None
    failure: str | None
    effect: str
    request_id: str | None
    seconds: float


@frozen(kw_only=True)
class Ending:
    """How a call ended.

    Attributes:
        outcome: `"ok"`, or the name of the exception's class.
        attempts: How many requests were sent, as `DeskError.attempts` counts them.
        maybe_applied: Whether a request may have been carried out, and its outcome is not known.
        created: Whether the call made the object that it returns; None if it did not return an object that it could
            have made.
        seconds: How long it took.
    """

    outcome: str
    attempts: int
    maybe_applied: bool
    created: bool | None
    seconds: float


@runtime_checkable
class Observation(Protocol):
    """Receives the events of one call, in the task that makes the call."""

    def attempted(self, attempt: Attempt) -> None:
        """Record a request."""

    def waited(self, reason: str, seconds: float) -> None:
        """Record a pause: `"rate limit"`, `"back-off"` or `"settling"`."""

    def ended(self, ending: Ending) -> None:
        """Record the end of the call."""


Observer: TypeAlias = Callable[[str, int | None], Observation]
"""Starts to observe a call. It takes the operation, and the id of the object that the call is about."""


def harmless(report: Callable[P, object]) -> Callable[P, None]:
    """Keep the exceptions of log filters, handlers and exporters out of a call: they would replace its outcome."""

    @wraps(report)
    def report_safely(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            report(*args, **kwargs)
        except Exception as failure:
            # Print the class only, because the text may quote anything. A daemon may have closed stderr.
            with suppress(OSError, ValueError):
                if logging.raiseExceptions:
                    print(f"teamwork_desk: logging failed with {type(failure).__name__}", file=sys.stderr)  # noqa: T201

    return report_safely


def never() -> bool:
    """Return False: the call does not wait."""
    return False


def always() -> bool:
    """Return True: the call waits."""
    return True


warn = harmless(logger.warning)
warn_of_drift = harmless(drift_logger.warning)


class Watch:
    """Reports one call while it runs: to the log, and to an observation if there is an observer.

    Args:
        observer: Starts the observation.
        operation: The operation.
        subject: The id of the object that the call is about.

    Attributes:
        began: When the call began, by the event loop's clock.
        waits_for_turn: Returns whether the call waits for the rate limit now.
        created: As `Ending.created`, once it is known.
    """

    def __init__(self, observer: Observer | None, operation: str, subject: int | None) -> None:
        self._name = f"{operation} {subject}" if subject else operation
        self.began: float = anyio.current_time()
        self.waits_for_turn: Callable[[], bool] = never
        self.created: bool | None = None
        self._observation = None if observer is None else observer(operation, subject)
        self._sees_attempts = self._observation is not None or logger.isEnabledFor(logging.DEBUG)

    @harmless
    def attempted(self, request: Request[Any], exchange: Exchange, began: float) -> None:
        """Report a request and its result.

        Args:
            request: The request.
            exchange: The result.
            began: When it began, by the event loop's clock.
        """
        if not self._sees_attempts:
            return
        failure = type(exchange.failure).__name__ if exchange.failure else None
        attempt = Attempt(
            method=request.method,
            path=request.target.partition("?")[0],
            status_code=exchange.status_code,
            failure=failure or (None if exchange.status_code else "interrupted"),
            effect=exchange.effect.value,
            request_id=exchange.request_id,
            seconds=anyio.current_time() - began,
        )
        if self._observation is not None:
            self._observation.attempted(attempt)
        what, result = f"{attempt.method} {attempt.path}", attempt.failure or attempt.status_code
        effect, request_id = attempt.effect, _suffix(attempt.request_id)
        logger.debug("%s: %s: %s (%s), %.3f s%s", self._name, what, result, effect, attempt.seconds, request_id)

    @harmless
    def attempted_elsewhere(self, host: str, exchange: Exchange, began: float) -> None:
        """Log a request to another host than Desk. It is no part of Desk's metrics.

        Args:
            host: The host.
            exchange: The result.
            began: When it began, by the event loop's clock.
        """
        result = exchange.status_code or type(exchange.failure).__name__
        logger.debug("%s: POST to %s: %s, %.3f s", self._name, host, result, anyio.current_time() - began)

    @harmless
    def waited(self, reason: str, seconds: float) -> None:
        """Report a pause, unless it has 0 seconds."""
        if seconds and self._observation is not None:
            self._observation.waited(reason, seconds)

    @harmless
    def ended(self, error: BaseException | None, attempts: int, request_id: str | None, *, maybe_applied: bool) -> None:
        """Report how the call ended.

        Args:
            error: What leaves the call, if anything does.
            attempts: How many requests were sent.
            request_id: The id of the last response.
            maybe_applied: Whether a request may have been carried out without its outcome being known.
        """
        suffix = _suffix(request_id)
        if maybe_applied:
            reason = error if isinstance(error, DeskError) else "interrupted: its outcome is unknown"
            warn("%s: %s%s", self._name, reason, suffix)
        if self._observation is None and not logger.isEnabledFor(logging.INFO):
            return
        outcome = "ok" if error is None else type(error).__name__ if isinstance(error, Exception) else "cancelled"
        seconds = anyio.current_time() - self.began
        # End the span before logging: if the log failed first, the open span would become the parent of later spans.
        if self._observation is not None:
            self._observation.ended(
                Ending(
                    outcome=outcome,
                    attempts=attempts,
                    maybe_applied=maybe_applied,
                    created=self.created,
                    seconds=seconds,
                )
            )
        result = outcome + {None: "", True: ", created", False: ", not created"}[self.created]
        logger.info("%s: %s, attempts: %d, %.3f s%s", self._name, result, attempts, seconds, suffix)


def _suffix(request_id: str | None) -> str:
    return f", request id {printable(request_id)}" if request_id else ""


class _HideQueries(logging.Filter):
    """Removes the query of Desk's URLs from httpx's line for each request: it may hold an address or a token.

    Of the URL of an upload, only the host stays.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record, and let it pass."""
        if isinstance(record.args, tuple):
            record.args = tuple(_without_query(arg) for arg in record.args)
        return True


def _without_query(arg: object) -> object:
    # Recognize the URLs by their path, so that the filter needs no list of the clients and changes no other URL.
    if isinstance(arg, HiddenURL):
        return arg.shown
    if isinstance(arg, httpx.URL) and arg.path.startswith("/desk/api/"):
        return arg.copy_with(query=None)
    return arg


# Whichever way a request takes, httpx itself logs it. The filter is added once, and changes no line about another API.
# The logger has the name of the package, which is httpx2 if the application replaces httpx by it.
logging.getLogger(httpx.__name__).addFilter(_HideQueries())


def log_to_stderr() -> None:
    """Set the log level that `TEAMWORK_DESK_LOG` names, and log to stderr if no handler is configured.

    Raises:
        ConfigurationError: The variable does not name a level.
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
