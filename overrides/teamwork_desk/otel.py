"""A span and metrics for every call, with the OpenTelemetry API only: without an SDK they cost almost nothing.

The attributes follow the stable HTTP conventions (https://opentelemetry.io/docs/specs/semconv/http/). An attribute that
the conventions do not define has a name that begins with `teamwork_desk`. No span and no metric contains a query, a
header, a body or the text of an error, because these may be secret or personal data.
"""

from __future__ import annotations

from contextvars import Token
from urllib.parse import urlsplit

try:
    from opentelemetry import context, metrics, trace
    from opentelemetry.util.types import AttributeValue
except ImportError as _error:
    raise ImportError('teamwork_desk.otel needs an extra: pip install "teamwork-desk[otel]"') from _error

from ._observe import Attempt, Ending, Observation, Observer, logger
from ._version import version

NAME = "teamwork_desk"
SCHEMA_URL = "https://opentelemetry.io/schemas/1.23.1"
"""The first version of the conventions in which the HTTP part is stable."""

# The conventions recommend these buckets for requests, up to 10 seconds. A call may last as long as the default
# deadline, because it includes its pauses, so there are buckets up to that.
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30, 60, 120)


class Telemetry:
    """The tracer and the instruments that all clients of a process share.

    Args:
        tracer: Starts the spans.
        meter: Creates the instruments.
    """

    def __init__(self, tracer: trace.Tracer, meter: metrics.Meter) -> None:
        self.tracer = tracer
        self.duration: metrics.Histogram = meter.create_histogram(
            "teamwork_desk.call.duration",
            unit="s",
            description="Duration of calls, including attempts and pauses.",
            explicit_bucket_boundaries_advisory=SECONDS,
        )
        self.outcomes: metrics.Counter = meter.create_counter(
            "teamwork_desk.outcomes", unit="{call}", description="Calls that ended, by outcome."
        )
        self.attempts: metrics.Counter = meter.create_counter(
            "teamwork_desk.attempts", unit="{request}", description="Requests of calls, by status or failure."
        )
        self.waits: metrics.Histogram = meter.create_histogram(
            "teamwork_desk.wait.duration",
            unit="s",
            description="Duration of the pauses in calls, by reason.",
            explicit_bucket_boundaries_advisory=SECONDS,
        )


# These come from the global providers of the API. If an SDK is set up later, it also gets the spans and metrics of the
# clients that exist already.
try:
    telemetry: Telemetry = Telemetry(
        trace.get_tracer(NAME, version(), schema_url=SCHEMA_URL),
        metrics.get_meter(NAME, version(), schema_url=SCHEMA_URL),
    )
except TypeError as error:
    # An older API, which another package needs, does not know an argument. An ImportError makes the client work as if
    # OpenTelemetry were not installed.
    raise ImportError('teamwork_desk.otel needs a newer API: pip install "teamwork-desk[otel]"') from error


class _CallSpan:
    """The span and the metrics of one call. The span is the current span until the call ends.

    Args:
        origin: The installation's origin.
        server: The attributes that name the installation.
        operation: The name of the operation.
        conversation_id: The conversation that the call is about; None if the call is not about a single conversation.
    """

    def __init__(
        self, origin: str, server: dict[str, AttributeValue], operation: str, conversation_id: int | None
    ) -> None:
        self._origin = origin
        self._labels = {**server, "teamwork_desk.operation": operation}
        self._telemetry = telemetry
        self._span = _start_span(operation, self._labels)
        self._is_recording = self._span.is_recording()
        self._described: Attempt | None = None
        self._token: Token[context.Context] | None = None
        # A span that is not sampled has a valid context, too. It must be the current span, so that the spans of the
        # call's requests become its children and are not sampled either. Without an SDK the context is not valid.
        if self._span.get_span_context().is_valid:
            self._token = context.attach(trace.set_span_in_context(self._span))
        if self._is_recording and conversation_id is not None:
            self._span.set_attribute("teamwork_desk.conversation.id", conversation_id)

    def attempted(self, attempt: Attempt) -> None:
        """Count a request, and add an event for it to the span."""
        result = _result_of(attempt)
        method: dict[str, AttributeValue] = {"http.request.method": attempt.method}
        self._telemetry.attempts.add(1, {**self._labels, **method, **result})
        # The span describes the request that changes something, and not the lookups that verify its outcome.
        if attempt.method != "GET" or self._described is None or self._described.method == "GET":
            self._described = attempt
        if self._is_recording:
            described: dict[str, AttributeValue] = {
                "url.path": attempt.path,
                "teamwork_desk.effect": attempt.effect,
                "teamwork_desk.attempt.duration": attempt.seconds,
            }
            if attempt.request_id is not None:
                described["teamwork_desk.request.id"] = attempt.request_id
            self._span.add_event("teamwork_desk.attempt", {**method, **result, **described})

    def waited(self, reason: str, seconds: float) -> None:
        """Measure a pause, and add an event for it to the span."""
        label: dict[str, AttributeValue] = {"teamwork_desk.wait.reason": reason}
        self._telemetry.waits.record(seconds, {**self._labels, **label})
        if self._is_recording:
            self._span.add_event("teamwork_desk.wait", {**label, "teamwork_desk.wait.duration": seconds})

    def ended(self, ending: Ending) -> None:
        """Measure the call, complete its span, and make the caller's span current again."""
        failure: dict[str, AttributeValue] = {} if ending.outcome == "ok" else {"error.type": ending.outcome}
        outcome: dict[str, AttributeValue] = {
            "teamwork_desk.outcome": ending.outcome,
            "teamwork_desk.maybe_applied": ending.maybe_applied,
        }
        try:
            self._telemetry.duration.record(ending.seconds, {**self._labels, **failure})
            self._telemetry.outcomes.add(1, {**self._labels, **outcome})
        finally:
            # The span must end even if a meter raises an error. Otherwise it would stay the current span, and become
            # the parent of the caller's later spans.
            if self._token is not None:
                context.detach(self._token)
            if self._is_recording:
                self._span.set_attributes({**outcome, **failure, "teamwork_desk.attempts": ending.attempts})
                if ending.created is not None:
                    self._span.set_attribute("teamwork_desk.created", ending.created)
                self._span.set_attributes(self._description(ending.attempts))
                if failure:
                    self._span.set_status(trace.StatusCode.ERROR)
            _end_span(self._span)

    def _description(self, attempts: int) -> dict[str, AttributeValue]:
        """Return the attributes that the conventions define for a request; an empty dict if no request was sent."""
        last = self._described
        if last is None:
            return {}
        description: dict[str, AttributeValue] = {
            "http.request.method": last.method,
            "url.full": self._origin + last.path,
        }
        if last.status_code is not None:
            description["http.response.status_code"] = last.status_code
        if attempts > 1:
            description["http.request.resend_count"] = attempts - 1
        return description


def _result_of(attempt: Attempt) -> dict[str, AttributeValue]:
    """Return the attributes for the status or the failure of a request."""
    result: dict[str, AttributeValue] = {}
    if attempt.status_code is not None:
        result["http.response.status_code"] = attempt.status_code
    if attempt.failure is not None:
        result["error.type"] = attempt.failure
    elif attempt.status_code is not None and attempt.status_code >= 400:
        result["error.type"] = str(attempt.status_code)
    return result


def _start_span(operation: str, attributes: dict[str, AttributeValue]) -> trace.Span:
    # The kind is CLIENT, because a call is a request to a remote service, and without an instrumented httpx this is its
    # only span. If httpx is instrumented, its spans are of this kind, too; the specification allows such children.
    try:
        return telemetry.tracer.start_span(f"{NAME}.{operation}", kind=trace.SpanKind.CLIENT, attributes=attributes)
    except Exception as failure:  # a sampler or a span processor may raise anything, and must not make the call fail
        logger.warning("OpenTelemetry failed to start a span: %s", type(failure).__name__)
        return trace.INVALID_SPAN


def _end_span(span: trace.Span) -> None:
    try:
        span.end()
    except Exception as failure:  # a span processor may raise anything, and must not replace the outcome of the call
        logger.warning("OpenTelemetry failed to end a span: %s", type(failure).__name__)


def observer_of(origin: str) -> Observer:
    """Return the observer that records a span and metrics of each call to an installation.

    Args:
        origin: The installation's origin, such as `https://acme.teamwork.com`.
    """
    parsed = urlsplit(origin)
    server: dict[str, AttributeValue] = {
        "server.address": parsed.hostname or "",
        "server.port": parsed.port or (443 if parsed.scheme == "https" else 80),
        "url.scheme": parsed.scheme,
    }

    def observe(operation: str, conversation_id: int | None) -> Observation:
        return _CallSpan(origin, server, operation, conversation_id)

    return observe
