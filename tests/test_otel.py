"""Every call has one span with an event per attempt and per pause, and metrics. An SDK in memory records them."""

from __future__ import annotations

import importlib
import logging
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any, cast

import anyio
import httpx
import pytest
import trio
import trio.testing
from opentelemetry import context, metrics, trace
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Sampler, SamplingResult
from virtual_time import in_virtual_time

from teamwork_desk import (
    AsyncDesk,
    Conversation,
    DeadlineExceeded,
    DeskError,
    NotFoundError,
    OutcomeUnknownError,
    RateLimitedError,
    RequestError,
    RetryPolicy,
    ServerError,
    otel,
)
from teamwork_desk._client import find_observer
from teamwork_desk._observe import Ending
from teamwork_desk.testing import FakeDesk

ORIGIN = "https://acme.teamwork.com"
CONVERT = "/desk/api/v2/conversations/42/convert.json"
LIST = "/desk/api/v2/conversations.json"
QUICK = RetryPolicy(backoff_base=0.001, settle=(0.001, 0.001))

on_asyncio = pytest.mark.parametrize("anyio_backend", ["asyncio"])


class Recorded:
    """The spans and metrics that an SDK in memory has received. Each test has its own SDK."""

    def __init__(self, *processors: SpanProcessor, sampler: Sampler = ALWAYS_ON) -> None:
        self._exporter = InMemorySpanExporter()
        self._reader = InMemoryMetricReader()
        self.tracers = TracerProvider(sampler=sampler, shutdown_on_exit=False)
        for processor in (SimpleSpanProcessor(self._exporter), *processors):
            self.tracers.add_span_processor(processor)
        self.meters = MeterProvider([self._reader], shutdown_on_exit=False)
        self.tracer = self.tracers.get_tracer("caller")
        self.telemetry = otel.Telemetry(self.tracers.get_tracer(otel.NAME), self.meters.get_meter(otel.NAME))

    @property
    def spans(self) -> list[ReadableSpan]:
        """The spans that have ended, oldest first."""
        return list(self._exporter.get_finished_spans())

    @property
    def span(self) -> ReadableSpan:
        (span,) = self.spans
        return span

    def points(self, name: str) -> list[Any]:
        """Return the data points of a metric, one for each combination of labels."""
        data = self._reader.get_metrics_data()
        return [
            point
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == f"teamwork_desk.{name}"
            for point in metric.data.data_points
        ]

    def counted(self, name: str, *labels: str) -> dict[tuple[object, ...], int]:
        """Return how often each combination of values of these labels was counted."""
        return {
            tuple(point.attributes.get(label) for label in labels): getattr(point, "value", None) or point.count
            for point in self.points(name)
        }


def install(monkeypatch: pytest.MonkeyPatch, recorded: Recorded) -> Recorded:
    """Let clients use this SDK instead of the global one, which a process can set up only once."""
    monkeypatch.setattr(otel, "telemetry", recorded.telemetry)
    return recorded


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorded]:
    recorded = install(monkeypatch, Recorded())
    yield recorded
    recorded.tracers.shutdown()
    recorded.meters.shutdown()


def open_desk(fake: FakeDesk, **options: Any) -> AsyncDesk:
    defaults: dict[str, Any] = {"token": "t", "transport": fake.transport, "retry": QUICK, "verify_first": False}
    return AsyncDesk(ORIGIN, **defaults | options)


def context_of(span: ReadableSpan) -> trace.SpanContext:
    found = span.get_span_context()
    assert found is not None
    return found


def parent_of(span: ReadableSpan) -> int | None:
    return span.parent.span_id if span.parent else None


def attributes_of(span: ReadableSpan) -> dict[str, object]:
    return dict(span.attributes or {})


def events_of(span: ReadableSpan, name: str) -> list[Mapping[str, Any]]:
    return [event.attributes or {} for event in span.events if event.name == f"teamwork_desk.{name}"]


def attempts_of(span: ReadableSpan) -> list[tuple[object, object]]:
    """Return the method of each attempt, and its status or its failure."""
    return [
        (event["http.request.method"], event.get("http.response.status_code", event.get("error.type")))
        for event in events_of(span, "attempt")
    ]


SERVER = {"server.address": "acme.teamwork.com", "server.port": 443, "url.scheme": "https"}


async def test_a_call_is_one_client_span(recorded: Recorded) -> None:
    async with open_desk(FakeDesk()) as desk:
        await desk.conversations.convert(42)
    span = recorded.span
    assert (span.name, span.kind, span.parent) == ("teamwork_desk.convert", trace.SpanKind.CLIENT, None)
    assert span.status.status_code is trace.StatusCode.UNSET
    assert attributes_of(span) == {
        **SERVER,
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "teamwork_desk.attempts": 1,
        "teamwork_desk.conversation.id": 42,
        "teamwork_desk.created": True,
        "teamwork_desk.maybe_applied": False,
        "teamwork_desk.operation": "convert",
        "teamwork_desk.outcome": "ok",
        "url.full": ORIGIN + CONVERT,
    }
    (event,) = events_of(span, "attempt")
    seconds = event["teamwork_desk.attempt.duration"]
    assert seconds > 0
    assert dict(event) == {
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "teamwork_desk.attempt.duration": seconds,
        "teamwork_desk.effect": "applied",
        "url.path": CONVERT,
    }


async def test_a_span_has_the_name_of_its_operation(recorded: Recorded) -> None:
    async with open_desk(FakeDesk()) as desk:
        await desk.conversations.get(42)
        _ = [conversation async for conversation in desk.conversations.list()]
    assert [(span.name, attributes_of(span)["url.full"]) for span in recorded.spans] == [
        ("teamwork_desk.get", ORIGIN + LIST),
        ("teamwork_desk.list", ORIGIN + LIST),
    ]
    assert "teamwork_desk.conversation.id" not in attributes_of(recorded.spans[1])


async def test_a_retried_request_is_counted(recorded: Recorded) -> None:
    fake = FakeDesk()
    fake.fail(status=425, headers={"Retry-After": "0"})
    async with open_desk(fake) as desk:
        await desk.conversations.convert(42)
    span = recorded.span
    assert attempts_of(span) == [("POST", 425), ("GET", 200), ("POST", 200)]
    assert events_of(span, "attempt")[0]["error.type"] == "425"
    assert attributes_of(span)["http.request.resend_count"] == 1
    assert attributes_of(span)["teamwork_desk.attempts"] == 2
    assert "error.type" not in attributes_of(span)
    assert [event["teamwork_desk.wait.reason"] for event in events_of(span, "wait")] == ["back-off"]
    assert [event.name.split(".")[1] for event in span.events] == ["attempt", "wait", "attempt", "attempt"]


async def test_an_attempt_has_the_id_of_its_response(recorded: Recorded) -> None:
    fake = FakeDesk()
    fake.fail(status=425, headers={"Retry-After": "0", "X-Request-Id": "4c87"}, method="POST")
    fake.fail(status=409, headers={}, method="POST")
    async with open_desk(fake) as desk:
        with pytest.raises(DeskError):
            await desk.conversations.convert(42)
    first, lookup, second = events_of(recorded.span, "attempt")
    assert first["teamwork_desk.request.id"] == "4c87"
    assert "4c87" not in (lookup.get("teamwork_desk.request.id"), second.get("teamwork_desk.request.id"))


async def test_the_email_fallback_makes_two_attempts_in_one_call(recorded: Recorded) -> None:
    async with open_desk(FakeDesk(old_installation=True)) as desk:
        await desk.conversations.convert(42, customer="jo@example.com")
    assert attempts_of(recorded.span) == [("POST", 400), ("GET", 200), ("POST", 200)]
    assert attributes_of(recorded.span)["http.request.resend_count"] == 1


async def test_a_rejected_token_counts_as_an_attempt(recorded: Recorded) -> None:
    tokens = iter(["old", "new"])
    async with open_desk(FakeDesk(token="new"), token=lambda: next(tokens)) as desk:
        await desk.conversations.convert(42)
    assert attempts_of(recorded.span) == [("POST", 401), ("GET", 200), ("POST", 200)]


async def test_a_lookup_is_an_event_and_the_span_describes_the_conversion(recorded: Recorded) -> None:
    fake = FakeDesk()
    fake.lose_answer("after", method="POST")
    async with open_desk(fake) as desk:
        await desk.conversations.convert(42)
    span = recorded.span
    assert attempts_of(span) == [("POST", "ReadError"), ("GET", 200)]
    # The conversion got no response, so the span has no status, although the lookup has one.
    assert events_of(span, "attempt")[0]["teamwork_desk.effect"] == "unknown: the request has ended"
    assert attributes_of(span)["teamwork_desk.outcome"] == "ok"
    assert attributes_of(span)["http.request.method"] == "POST"
    assert not attributes_of(span).keys() & {"http.response.status_code", "http.request.resend_count", "error.type"}


async def test_the_pauses_of_a_verification_are_events(recorded: Recorded) -> None:
    fake = FakeDesk()
    fake.lose_answer("before", method="POST")
    async with open_desk(fake) as desk:
        await desk.conversations.convert(42)
    reasons = [event["teamwork_desk.wait.reason"] for event in events_of(recorded.span, "wait")]
    assert reasons == ["settling", "settling", "back-off"]
    assert all(event["teamwork_desk.wait.duration"] > 0 for event in events_of(recorded.span, "wait"))


async def test_the_span_describes_the_lookup_if_the_conversation_has_a_ticket(recorded: Recorded) -> None:
    fake = FakeDesk()
    fake.add_conversation(42, ticket_id=7)
    async with open_desk(fake) as desk:
        await desk.conversations.convert(42, verify_first=True)
    assert attempts_of(recorded.span) == [("GET", 200)]
    assert attributes_of(recorded.span)["http.request.method"] == "GET"
    assert attributes_of(recorded.span)["teamwork_desk.attempts"] == 0
    assert attributes_of(recorded.span)["teamwork_desk.created"] is False


async def test_the_span_describes_the_conversion_that_follows_a_lookup(recorded: Recorded) -> None:
    async with open_desk(FakeDesk()) as desk:
        await desk.conversations.convert(42, verify_first=True)
    assert attempts_of(recorded.span) == [("GET", 200), ("POST", 200)]
    assert attributes_of(recorded.span)["url.full"] == ORIGIN + CONVERT


async def fail_in_every_way(desk: AsyncDesk, fake: FakeDesk) -> list[type[DeskError]]:
    """Make calls that fail, each in its own way, and return the classes of their errors."""
    errors: list[type[DeskError]] = []

    async def failing(conversation_id: int, **arguments: Any) -> None:
        with pytest.raises(DeskError) as raised:
            await desk.conversations.convert(conversation_id, **arguments)
        errors.append(type(raised.value))

    await failing(999)
    await failing(0)
    fake.fail(status=500, times=4, method="POST")
    await failing(42)
    fake.lose_answer("before", method="POST")
    fake.fail(status=403, method="GET")
    await failing(42)
    # This comes last, because a 429 stops all calls of the client.
    fake.fail(status=429, headers={"Retry-After": "300"})
    await failing(43)
    return errors


async def test_the_span_of_a_failed_call_names_the_error(recorded: Recorded) -> None:
    fake = FakeDesk()
    async with open_desk(fake) as desk:
        errors = await fail_in_every_way(desk, fake)
    assert errors == [NotFoundError, RequestError, ServerError, OutcomeUnknownError, RateLimitedError]
    assert all(span.status.status_code is trace.StatusCode.ERROR for span in recorded.spans)
    assert all(span.status.description is None for span in recorded.spans)
    names = ["error.type", "teamwork_desk.outcome", "http.response.status_code", "teamwork_desk.attempts"]
    names.append("teamwork_desk.maybe_applied")
    assert [[attributes_of(span).get(name) for name in names] for span in recorded.spans] == [
        ["NotFoundError", "NotFoundError", 404, 1, False],
        ["RequestError", "RequestError", None, 0, False],
        ["ServerError", "ServerError", 500, 4, False],
        ["OutcomeUnknownError", "OutcomeUnknownError", None, 1, True],
        ["RateLimitedError", "RateLimitedError", 429, 1, False],
    ]
    assert not attributes_of(recorded.spans[1]).keys() & {"http.request.method", "url.full"}


async def test_metrics_count_calls_attempts_and_pauses(recorded: Recorded) -> None:
    fake = FakeDesk()
    async with open_desk(fake) as desk:
        fake.fail(status=425, headers={"Retry-After": "0"})
        await desk.conversations.convert(41)
        fake.lose_answer("before", method="POST")
        fake.fail(status=403, method="GET")
        with pytest.raises(OutcomeUnknownError):
            await desk.conversations.convert(42)
        await desk.conversations.get(41)
    assert recorded.counted(
        "outcomes", *[f"teamwork_desk.{label}" for label in ("operation", "outcome", "maybe_applied")]
    ) == {
        ("convert", "ok", False): 1,
        ("convert", "OutcomeUnknownError", True): 1,
        ("get", "ok", False): 1,
    }
    labels = ("teamwork_desk.operation", "http.request.method", "http.response.status_code", "error.type")
    assert recorded.counted("attempts", *labels) == {
        ("convert", "POST", 425, "425"): 1,
        ("convert", "GET", 200, None): 1,
        ("convert", "POST", 200, None): 1,
        ("convert", "POST", None, "ReadError"): 1,
        ("convert", "GET", 403, "403"): 1,
        ("get", "GET", 200, None): 1,
    }
    assert recorded.counted("call.duration", "teamwork_desk.operation", "error.type") == {
        ("convert", None): 1,
        ("convert", "OutcomeUnknownError"): 1,
        ("get", None): 1,
    }
    assert recorded.counted("wait.duration", "teamwork_desk.operation", "teamwork_desk.wait.reason") == {
        ("convert", "back-off"): 1
    }
    names = ("call.duration", "outcomes", "attempts", "wait.duration")
    for point in [point for name in names for point in recorded.points(name)]:
        assert point.attributes.items() >= SERVER.items()
        assert not {41, 42} & set(point.attributes.values()), (
            "an id as a label would make a time series for each conversation"
        )
        if isinstance(point, HistogramDataPoint):
            assert tuple(point.explicit_bounds) == otel.SECONDS
            assert point.sum > 0


def test_a_pause_for_the_rate_window_is_recorded(recorded: Recorded) -> None:
    async def convert_two() -> None:
        fake = FakeDesk(rate_limit=1, window=5, clock=lambda: 1_800_000_000 + trio.current_time())
        async with open_desk(fake) as desk:
            await desk.conversations.convert(41)
            await desk.conversations.convert(42)

    trio.run(convert_two, clock=trio.testing.MockClock(autojump_threshold=0))
    ((pause,), second) = (events_of(recorded.spans[1], "wait"), recorded.spans[1])
    assert pause["teamwork_desk.wait.reason"] == "rate limit"
    assert 4 < pause["teamwork_desk.wait.duration"] < 7
    assert attempts_of(second) == [("POST", 200)]
    assert recorded.counted("wait.duration", "teamwork_desk.wait.reason") == {("rate limit",): 1}


async def test_each_page_of_a_list_has_a_span_and_the_callers_span_is_current_between_pages(recorded: Recorded) -> None:
    async with open_desk(FakeDesk(conversations=range(1, 251))) as desk:
        with recorded.tracer.start_as_current_span("caller") as caller:
            async for _ in desk.conversations.list():
                assert trace.get_current_span() is caller
    *pages, last = recorded.spans
    assert [span.name for span in pages] == ["teamwork_desk.list"] * 3
    assert [parent_of(span) for span in pages] == [context_of(last).span_id] * 3


class Transport(httpx.AsyncBaseTransport):
    """A transport that records the current span and context of each request.

    Args:
        fake: The fake Desk.
        hold: How many requests must have arrived before any of them is handled; 0 handles each at once.
    """

    def __init__(self, fake: FakeDesk, *, hold: int = 0) -> None:
        self.current: dict[str, trace.Span] = {}
        self.contexts: list[context.Context] = []
        self.arrived = anyio.Event()
        self._fake = fake
        self._hold = hold

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.current[request.url.path] = trace.get_current_span()
        self.contexts.append(context.get_current())
        if len(self.current) == self._hold:
            self.arrived.set()
        if self._hold:
            await self.arrived.wait()
        return await self._fake.transport.handle_async_request(request)


async def test_the_span_of_a_call_is_current_only_during_the_call(recorded: Recorded) -> None:
    fake = FakeDesk()
    transport = Transport(fake)
    async with open_desk(fake, transport=transport) as desk:
        with recorded.tracer.start_as_current_span("caller") as caller:
            await desk.conversations.convert(42)
            assert trace.get_current_span() is caller
            fake.fail(status=403)
            with pytest.raises(DeskError):
                await desk.conversations.convert(43)
            assert trace.get_current_span() is caller
    call = recorded.spans[0]
    assert transport.current[CONVERT].get_span_context() == context_of(call)
    assert parent_of(call) == caller.get_span_context().span_id


async def test_the_spans_of_concurrent_calls_do_not_mix(recorded: Recorded) -> None:
    fake = FakeDesk()
    transport = Transport(fake, hold=3)
    async with open_desk(fake, transport=transport) as desk, anyio.create_task_group() as calls:
        for number in (41, 42, 43):
            calls.start_soon(desk.conversations.convert, number)
    assert len({context_of(span).trace_id for span in recorded.spans}) == 3
    for span in recorded.spans:
        path = CONVERT.replace("42", str(attributes_of(span)["teamwork_desk.conversation.id"]))
        assert transport.current[path].get_span_context() == context_of(span)
        assert [event["url.path"] for event in events_of(span, "attempt")] == [path]


class NeverResponds(httpx.AsyncBaseTransport):
    """A transport that reads a request and never responds."""

    def __init__(self) -> None:
        self.reached = anyio.Event()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        self.reached.set()
        await anyio.sleep_forever()
        raise AssertionError


async def test_a_cancelled_call_ends_its_span(recorded: Recorded, caplog: pytest.LogCaptureFixture) -> None:
    transport = NeverResponds()
    after: list[trace.Span] = []

    async def call() -> None:
        try:
            await desk.conversations.convert(42)
        finally:
            after.append(trace.get_current_span())

    async with open_desk(FakeDesk(), transport=transport) as desk, anyio.create_task_group() as calls:
        calls.start_soon(call)
        await transport.reached.wait()
        calls.cancel_scope.cancel()
    assert after == [trace.INVALID_SPAN]
    assert recorded.span.status.status_code is trace.StatusCode.ERROR
    assert attributes_of(recorded.span)["error.type"] == "cancelled"
    assert attributes_of(recorded.span)["teamwork_desk.maybe_applied"] is True
    assert attempts_of(recorded.span) == [("POST", "interrupted")]
    assert attributes_of(recorded.span)["url.full"] == ORIGIN + CONVERT
    assert recorded.counted("outcomes", "teamwork_desk.outcome") == {("cancelled",): 1}
    assert not [record for record in caplog.records if record.name.startswith("opentelemetry")]


@in_virtual_time
async def test_an_attempt_that_the_deadline_interrupts_is_recorded(recorded: Recorded) -> None:
    async with open_desk(FakeDesk(), transport=NeverResponds(), deadline=0.05) as desk:
        with pytest.raises(OutcomeUnknownError):
            await desk.conversations.convert(42)
        with pytest.raises(DeadlineExceeded):
            await desk.conversations.get(42)
    assert [attributes_of(span)["error.type"] for span in recorded.spans] == ["OutcomeUnknownError", "DeadlineExceeded"]
    assert [attempts_of(span) for span in recorded.spans] == [[("POST", "interrupted")], [("GET", "interrupted")]]
    effects = [events_of(span, "attempt")[0]["teamwork_desk.effect"] for span in recorded.spans]
    assert effects == ["unknown: the request may still be running"] * 2


async def test_a_deadline_before_the_first_attempt_ends_the_span(recorded: Recorded) -> None:
    async def token() -> str:
        await anyio.sleep_forever()
        raise AssertionError

    async with open_desk(FakeDesk(), token=token, deadline=0.01) as desk:
        with pytest.raises(DeadlineExceeded):
            await desk.conversations.convert(42)
    assert attempts_of(recorded.span) == []
    assert attributes_of(recorded.span)["error.type"] == "DeadlineExceeded"


SECRET = "s3cret"


async def test_no_span_and_no_metric_holds_a_secret_or_personal_data(recorded: Recorded) -> None:
    fake = FakeDesk()
    reasons = {"errors": {"customer.email": [f"cannot be '{SECRET}@example.com'"]}, "message": SECRET}
    arguments: dict[str, Any] = {"customer": f"{SECRET}@example.com", "subject": SECRET, "message": SECRET}
    async with open_desk(fake, token=SECRET) as desk:
        await desk.conversations.convert(42, **arguments)
        _ = [
            conversation
            async for conversation in desk.conversations.list(filter={"token": {"$eq": SECRET}}, order_by="id")
        ]
        for status, times in ((200, 3), (400, 1), (403, 1), (500, 7), (504, 3)):
            fake.fail(status=status, body=reasons, times=times)
            with pytest.raises(DeskError):
                await desk.conversations.convert(43, **arguments)
        with pytest.raises(RequestError):
            await desk.conversations.get(cast("int", SECRET))
    assert SECRET not in "".join(span.to_json() for span in recorded.spans)
    names = ("call.duration", "outcomes", "attempts", "wait.duration")
    assert SECRET not in repr([point.attributes for name in names for point in recorded.points(name)])


# How the SDK is set up


async def test_the_children_of_a_span_that_is_not_sampled_are_not_sampled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recorded = install(monkeypatch, Recorded(sampler=ALWAYS_OFF))
    transport = Transport(fake := FakeDesk())
    fake.fail(status=429, headers={"Retry-After": "0"})
    async with open_desk(fake, transport=transport) as desk:
        await desk.conversations.convert(42)
    current = transport.current[CONVERT].get_span_context()
    assert current.is_valid
    assert not current.trace_flags.sampled
    assert recorded.spans == []
    assert sum(recorded.counted("attempts", "http.response.status_code").values()) == 2
    assert not trace.get_current_span().get_span_context().is_valid


async def test_without_an_sdk_no_span_is_current(monkeypatch: pytest.MonkeyPatch) -> None:
    telemetry = otel.Telemetry(trace.NoOpTracer(), metrics.NoOpMeter(otel.NAME))
    monkeypatch.setattr(otel, "telemetry", telemetry)
    before = context.get_current()
    transport = Transport(fake := FakeDesk())
    fake.fail(status=429, headers={"Retry-After": "0"})
    async with open_desk(fake, transport=transport) as desk:
        await desk.conversations.convert(42)
    # A span without an SDK would only hide the span that some other tracer has made current.
    assert transport.contexts == [before] * 3


class FailingProcessor(SpanProcessor):
    """A span processor that fails when a span starts, or when it ends."""

    def __init__(self, when: str) -> None:
        self._when = when

    def on_start(self, span: Span, parent_context: context.Context | None = None) -> None:
        if self._when == "start":
            raise ValueError(SECRET)

    def on_end(self, span: ReadableSpan) -> None:
        if self._when == "end":
            raise ValueError(SECRET)


@pytest.mark.parametrize("when", ["start", "end"])
async def test_a_span_processor_that_fails_does_not_change_the_outcome(
    when: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    recorded = install(monkeypatch, Recorded(FailingProcessor(when)))
    async with open_desk(FakeDesk()) as desk:
        assert isinstance(await desk.conversations.convert(42), Conversation)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == [
        f"OpenTelemetry failed to {when} a span: ValueError"
    ]
    assert recorded.counted("outcomes", "teamwork_desk.outcome") == {("ok",): 1}
    assert trace.get_current_span() is trace.INVALID_SPAN


async def test_the_span_ends_even_if_a_meter_fails(recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ValueError(SECRET)

    monkeypatch.setattr(recorded.telemetry.duration, "record", fail)
    async with open_desk(FakeDesk()) as desk:
        assert isinstance(await desk.conversations.convert(42), Conversation)
    assert attributes_of(recorded.span)["teamwork_desk.outcome"] == "ok"
    assert trace.get_current_span() is trace.INVALID_SPAN


class FailingSampler(Sampler):
    """A sampler that raises an error."""

    def should_sample(self, *args: Any, **kwargs: Any) -> SamplingResult:
        raise ValueError(SECRET)

    def get_description(self) -> str:
        return "it fails"


async def test_a_sampler_that_fails_does_not_make_the_call_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Recorded(sampler=FailingSampler()))
    async with open_desk(FakeDesk()) as desk:
        assert isinstance(await desk.conversations.convert(42), Conversation)


@pytest.mark.parametrize(
    ("origin", "server"),
    [
        (ORIGIN, SERVER),
        ("http://127.0.0.1", {"server.address": "127.0.0.1", "server.port": 80, "url.scheme": "http"}),
        ("http://[::1]:8080", {"server.address": "::1", "server.port": 8080, "url.scheme": "http"}),
    ],
)
def test_the_attributes_of_the_server_follow_the_conventions(
    recorded: Recorded, origin: str, server: dict[str, object]
) -> None:
    call = otel.observer_of(origin)("get", None)
    assert isinstance(current := trace.get_current_span(), Span)
    assert attributes_of(current) == {**server, "teamwork_desk.operation": "get"}
    call.ended(Ending(outcome="ok", attempts=0, maybe_applied=False, created=None, seconds=0.1))
    assert recorded.span.name == "teamwork_desk.get"


# OpenTelemetry also instruments httpx


@pytest.fixture
def instrumented(recorded: Recorded) -> Iterator[None]:
    HTTPXClientInstrumentor().instrument(tracer_provider=recorded.tracers, meter_provider=metrics.NoOpMeterProvider())
    yield
    HTTPXClientInstrumentor().uninstrument()


def children_of(recorded: Recorded, call: ReadableSpan) -> list[ReadableSpan]:
    """Return the spans whose parent is the span of this call."""
    return [span for span in recorded.spans if parent_of(span) == context_of(call).span_id]


@on_asyncio
@pytest.mark.usefixtures("instrumented")
@pytest.mark.parametrize(
    "options",
    [{}, {"transport": httpx.AsyncHTTPTransport()}, {"event_hooks": {"request": []}}],
    ids=["own connections", "transport of the caller", "event hooks"],
)
async def test_the_spans_of_an_instrumented_httpx_are_children_of_the_calls(
    recorded: Recorded, options: dict[str, Any]
) -> None:
    fake = FakeDesk()
    fake.fail(status=429, headers={"Retry-After": "0"})
    async with (
        fake.serve() as url,
        AsyncDesk(url, token="t", retry=QUICK, trust_env=False, **options, verify_first=False) as desk,
    ):
        with recorded.tracer.start_as_current_span("caller"):
            async with anyio.create_task_group() as calls:
                for number in (41, 42):
                    calls.start_soon(desk.conversations.convert, number)
    trace_ids = {context_of(span).trace_id for span in recorded.spans}
    assert len(trace_ids) == 1
    call_spans = [span for span in recorded.spans if span.name == "teamwork_desk.convert"]
    # One of the two calls is refused: it looks the conversation up, and sends its request again.
    assert sorted(sorted(request.name for request in children_of(recorded, call)) for call in call_spans) == [
        ["GET", "POST", "POST"],
        ["POST"],
    ]
    for call in call_spans:
        path = f"/{attributes_of(call)['teamwork_desk.conversation.id']}/"
        for request in children_of(recorded, call):
            assert request.kind is trace.SpanKind.CLIENT
            assert request.name == "GET" or path in str(attributes_of(request)), "the spans of two calls do not mix"
    # Desk gets the ids of these spans, so that it can continue the trace.
    sent = {request.headers["traceparent"].split("-")[2] for request in fake.requests}
    assert sent == {f"{context_of(span).span_id:016x}" for call in call_spans for span in children_of(recorded, call)}


@on_asyncio
async def test_httpx_can_be_instrumented_after_the_client_was_created(recorded: Recorded) -> None:
    async with FakeDesk().serve() as url, AsyncDesk(url, token="t", trust_env=False, verify_first=False) as desk:
        await desk.conversations.convert(41)
        HTTPXClientInstrumentor().instrument(tracer_provider=recorded.tracers)
        try:
            await desk.conversations.convert(42)
        finally:
            HTTPXClientInstrumentor().uninstrument()
        await desk.conversations.convert(43)
    assert [span.name for span in recorded.spans] == [
        "teamwork_desk.convert",
        "POST",
        "teamwork_desk.convert",
        "teamwork_desk.convert",
    ]


# OpenTelemetry may be missing, too old, or set up late


def run(script: str) -> str:
    """Run a script in a process of its own, where nothing is imported or set up yet, and return its output."""
    completed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert completed.returncode == 0, completed.stderr
    return completed.stdout


@pytest.mark.parametrize(("level", "logged"), [("DEBUG", ["DEBUG", "INFO"]), ("INFO", ["INFO"]), ("WARNING", [])])
async def test_without_opentelemetry_only_the_log_reports_a_call(
    level: str, logged: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # A module that is None in sys.modules cannot be imported, as if the package were not installed.
    monkeypatch.delitem(sys.modules, "teamwork_desk.otel")
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    caplog.set_level(level, "teamwork_desk")
    assert find_observer(ORIGIN) is None
    async with open_desk(FakeDesk()) as desk:
        assert isinstance(await desk.conversations.convert(42), Conversation)
    assert [record.levelname for record in caplog.records if record.name == "teamwork_desk"] == logged


def test_opentelemetry_is_imported_only_when_a_client_is_created() -> None:
    script = """
import sys
import teamwork_desk
print([name for name in sys.modules if name.startswith("opentelemetry")])
teamwork_desk.AsyncDesk("https://acme.teamwork.com", token="t")._session.connections._closed = True
print("opentelemetry.trace" in sys.modules, any(name.startswith("opentelemetry.sdk") for name in sys.modules))
"""
    assert run(script).splitlines() == ["[]", "True False"]


class OlderMeter(metrics.NoOpMeter):
    """A meter of an API before 1.30: it does not know the argument for bucket boundaries."""

    def create_histogram(self, name: str, unit: str = "", description: str = "") -> metrics.Histogram:  # type: ignore[override]
        return metrics.NoOpHistogram(name, unit, description)


async def test_an_opentelemetry_that_is_too_old_counts_as_not_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def get_meter(name: str, *_: object, **__: object) -> metrics.Meter:
        return OlderMeter(name)

    monkeypatch.delitem(sys.modules, "teamwork_desk.otel")
    monkeypatch.setattr(metrics, "get_meter", get_meter)
    async with open_desk(FakeDesk()) as desk:
        assert isinstance(await desk.conversations.convert(42), Conversation)
    assert find_observer(ORIGIN) is None
    with pytest.raises(ImportError, match=r'pip install "teamwork-desk\[otel\]"'):
        importlib.import_module("teamwork_desk.otel")


def test_an_opentelemetry_that_fails_at_its_import_is_reported(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def get_tracer(*_: object, **__: object) -> trace.Tracer:
        raise StopIteration  # as older versions do without their metadata

    monkeypatch.delitem(sys.modules, "teamwork_desk.otel")
    monkeypatch.setattr(trace, "get_tracer", get_tracer)
    assert find_observer(ORIGIN) is None
    assert caplog.messages == ["no spans are recorded, because OpenTelemetry cannot be imported: StopIteration"]


def test_an_sdk_that_is_set_up_after_the_client_was_created_gets_its_spans() -> None:
    script = """
import anyio
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from teamwork_desk import AsyncDesk
from teamwork_desk.testing import FakeDesk

async def main():
    async with AsyncDesk("https://acme.teamwork.com", token="t", transport=FakeDesk().transport) as desk:
        await desk.conversations.convert(41)
        trace.set_tracer_provider(provider := TracerProvider())
        provider.add_span_processor(SimpleSpanProcessor(exporter := InMemorySpanExporter()))
        metrics.set_meter_provider(MeterProvider([reader := InMemoryMetricReader()]))
        await desk.conversations.convert(42)
        (span,) = exporter.get_finished_spans()
        print(span.name, span.instrumentation_scope.name, span.instrumentation_scope.schema_url)
        (scope,) = reader.get_metrics_data().resource_metrics[0].scope_metrics
        print(scope.scope.name, *sorted(metric.name for metric in scope.metrics))

anyio.run(main)
"""
    assert run(script).splitlines() == [
        f"teamwork_desk.convert teamwork_desk {otel.SCHEMA_URL}",
        "teamwork_desk teamwork_desk.attempts teamwork_desk.call.duration teamwork_desk.outcomes",
    ]
