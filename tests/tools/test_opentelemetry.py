"""OpenTelemetry's instrumentation of httpx replaces a method of httpx's transport."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from desks import Tracing, each_of_httpx, each_order, tracing
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

exporter = InMemorySpanExporter()


@pytest.fixture(scope="module")
def clients() -> Iterator[Tracing]:
    with tracing() as clients:
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        HTTPXClientInstrumentor().instrument(tracer_provider=provider)
        yield clients
        HTTPXClientInstrumentor().uninstrument()


def ids_of_spans() -> list[str]:
    """Return the spans of the requests."""
    return [f"{span.context.span_id:016x}" for span in exporter.get_finished_spans() if span.context]


def ids_on_the_wire(clients: Tracing) -> list[str]:
    return [value.split("-")[2] for value in clients.server.values_of("traceparent")]


@each_of_httpx
@each_order
async def test_each_request_has_a_span_and_its_trace_header(
    clients: Tracing, configuration: str, is_made_first: bool
) -> None:
    exporter.clear()
    await clients.send_bare_request(configuration)
    assert ids_on_the_wire(clients) == ids_of_spans()
    assert len(ids_of_spans()) == 1
    exporter.clear()
    await clients.send_five_requests(configuration, is_made_first=is_made_first)
    assert ids_on_the_wire(clients) == ids_of_spans()
    assert len(ids_of_spans()) == 5
