"""Datadog replaces `httpx.AsyncClient.send` and a private method of the class."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest
from desks import Tracing, each_configuration, each_order, skip_aiohttp_on_trio, tracing

# Nothing leaves this machine. It reads these when it is imported.
os.environ |= {
    "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false",
    "DD_REMOTE_CONFIGURATION_ENABLED": "false",
    "DD_TRACE_AGENT_URL": "http://127.0.0.1:9",
    "DD_TRACE_STARTUP_LOGS": "false",
}
ddtrace: Any = import_module("ddtrace")
trace: Any = import_module("ddtrace.trace")
spans: list[Any] = []


# The type checkers do not know its base, which is in a package that only this session of nox installs.
class InMemory(trace.TraceFilter):  # type: ignore[misc]
    """Keeps the spans, and sends nothing."""

    def process_trace(self, trace: list[Any]) -> None:
        spans.extend(trace)


@pytest.fixture(scope="module")
def clients() -> Iterator[Tracing]:
    with tracing() as clients:
        trace.tracer.configure(trace_processors=[InMemory()])
        ddtrace.patch(httpx=True)
        yield clients


@each_configuration
@each_order
async def test_each_request_has_a_span_and_its_trace_header(
    clients: Tracing, configuration: str, is_made_first: bool, anyio_backend: str
) -> None:
    skip_aiohttp_on_trio(configuration, anyio_backend)
    spans.clear()
    with trace.tracer.trace("bare httpx"):
        await clients.send_bare_request(configuration)
    assert [span.name for span in spans] == ["bare httpx", "http.request"]
    spans.clear()
    with trace.tracer.trace("this client"):
        await clients.send_five_requests(configuration, is_made_first=is_made_first)
    assert [span.name for span in spans] == ["this client", *5 * ["http.request"]]
    assert clients.server.values_of("x-datadog-parent-id") == [str(span.span_id) for span in spans[1:]]
