"""A span and metrics of every call, through the OpenTelemetry API alone: without an SDK they cost next to nothing.

Attributes follow the stable HTTP conventions (https://opentelemetry.io/docs/specs/semconv/http/); what those do not
know is under `teamwork_desk`. Nothing here holds a query, a header, a body or an error's text.
"""

from __future__ import annotations

from contextvars import Token
from importlib.metadata import version
from urllib.parse import urlsplit

from opentelemetry import context, metrics, trace
from opentelemetry.util.types import AttributeValue

from ._observe import Attempt, Ending, Observation, Observer, logger

NAME = "teamwork_desk"
SCHEMA_URL = "https://opentelemetry.io/schemas/1.23.1"  # the first with stable HTTP conventions

# The conventions' own for requests, and on to the default deadline: a call holds its pauses, too.
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30, 60, 120)


class Telemetry:
    """The tracer and the instruments, which all clients of a process share."""

    def __init__(self, tracer: trace.Tracer, meter: metrics.Meter) -> None:
        self.tracer = tracer
        self.duration: metrics.Histogram = meter.create_histogram(
            "teamwork_desk.call.duration",
            unit="s",
            description="Duration of calls, with their attempts and pauses.",
            explicit_bucket_boundaries_advisory=SECONDS,
        )
        self.outcomes: metrics.Counter = meter.create_counter(
            "teamwork_desk.outcomes", unit="{call}", description="Calls that ended, by how they did."
        )
        self.attempts: metrics.Counter = meter.create_counter(
            "teamwork_desk.attempts", unit="{request}", description="Requests of calls, by how they were answered."
        )
        self.waits: metrics.Histogram = meter.create_histogram(
            "teamwork_desk.wait.duration",
            unit="s",
            description="Duration of the pauses in calls, by their reason.",
            explicit_bucket_boundaries_advisory=SECONDS,
        )


# Of the API's global providers: an SDK that is set up later serves the clients there are.
try:
    telemetry: Telemetry = Telemetry(
        trace.get_tracer(NAME, version("teamwork-desk"), schema_url=SCHEMA_URL),
        metrics.get_meter(NAME, version("teamwork-desk"), schema_url=SCHEMA_URL),
    )
except TypeError as error:  # an older API, there for somebody else: it is as if there were none
    raise ImportError('teamwork_desk.otel needs a newer API: pip install "teamwork-desk[otel]"') from error


class _CallSpan:
    """The span of one call, current until the call ends, and what the metrics count of it."""

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
        # One that is not sampled has a context as well, and keeps the spans beneath it from being sampled on their own.
        if self._span.get_span_context().is_valid:
            self._token = context.attach(trace.set_span_in_context(self._span))
        if self._is_recording and conversation_id is not None:
            self._span.set_attribute("teamwork_desk.conversation.id", conversation_id)

    def attempted(self, attempt: Attempt) -> None:
        result = _result_of(attempt)
        method: dict[str, AttributeValue] = {"http.request.method": attempt.method}
        self._telemetry.attempts.add(1, {**self._labels, **method, **result})
        # A call that changes something is described by the request that does, not by the looks at what became of it.
        if attempt.method != "GET" or self._described is None or self._described.method == "GET":
            self._described = attempt
        if self._is_recording:
            described: dict[str, AttributeValue] = {
                "url.path": attempt.path,
                "teamwork_desk.effect": attempt.effect,
                "teamwork_desk.attempt.duration": attempt.seconds,
            }
            self._span.add_event("teamwork_desk.attempt", {**method, **result, **described})

    def waited(self, reason: str, seconds: float) -> None:
        why: dict[str, AttributeValue] = {"teamwork_desk.wait.reason": reason}
        self._telemetry.waits.record(seconds, {**self._labels, **why})
        if self._is_recording:
            self._span.add_event("teamwork_desk.wait", {**why, "teamwork_desk.wait.duration": seconds})

    def ended(self, ending: Ending) -> None:
        failure: dict[str, AttributeValue] = {} if ending.outcome == "ok" else {"error.type": ending.outcome}
        outcome: dict[str, AttributeValue] = {
            "teamwork_desk.outcome": ending.outcome,
            "teamwork_desk.maybe_applied": ending.maybe_applied,
        }
        try:
            self._telemetry.duration.record(ending.seconds, {**self._labels, **failure})
            self._telemetry.outcomes.add(1, {**self._labels, **outcome})
        finally:  # whatever a meter raises, the span ends
            if self._token is not None:
                context.detach(self._token)
            if self._is_recording:
                self._span.set_attributes({**outcome, **failure, "teamwork_desk.attempts": ending.attempts})
                self._span.set_attributes(self._description(ending.attempts))
                if failure:
                    self._span.set_status(trace.StatusCode.ERROR)
            _end(self._span)

    def _description(self, attempts: int) -> dict[str, AttributeValue]:
        """Describe the call as the conventions describe a request."""
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
    result: dict[str, AttributeValue] = {}
    if attempt.status_code is not None:
        result["http.response.status_code"] = attempt.status_code
    if attempt.failure is not None:
        result["error.type"] = attempt.failure
    elif attempt.status_code is not None and attempt.status_code >= 400:
        result["error.type"] = str(attempt.status_code)
    return result


def _start_span(operation: str, attributes: dict[str, AttributeValue]) -> trace.Span:
    # A client span, since a call is a request to a remote service: without an instrumented httpx it is the only span
    # that says so, and with one its client spans go beneath, as the API's specification allows.
    try:
        return telemetry.tracer.start_span(f"{NAME}.{operation}", kind=trace.SpanKind.CLIENT, attributes=attributes)
    except Exception as failure:  # a sampler's or a span processor's: no call is to fail for it
        logger.warning("OpenTelemetry did not begin a span: %s", type(failure).__name__)
        return trace.INVALID_SPAN


def _end(span: trace.Span) -> None:
    try:
        span.end()
    except Exception as failure:  # a span processor's: the outcome of the call is not to be lost for it
        logger.warning("OpenTelemetry did not end a span: %s", type(failure).__name__)


def observer_of(origin: str) -> Observer:
    """Return what makes a span of each call to an origin.

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
