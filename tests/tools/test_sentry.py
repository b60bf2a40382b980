"""Sentry replaces `httpx.AsyncClient.send`."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest
from desks import Tracing, each_configuration, each_order, skip_aiohttp_on_trio, tracing

sentry_sdk: Any = import_module("sentry_sdk")
Transport: Any = import_module("sentry_sdk.transport").Transport
transactions: list[dict[str, Any]] = []


# The type checkers do not know its base, which is in a package that only this session of nox installs.
class InMemory(Transport):  # type: ignore[misc]
    """Keeps the transactions, and sends nothing."""

    def capture_envelope(self, envelope: Any) -> None:
        transactions.append(envelope.get_transaction_event())


@pytest.fixture(scope="module")
def clients() -> Iterator[Tracing]:
    with tracing() as clients:
        sentry_sdk.init(dsn="http://key@127.0.0.1:9/1", transport=InMemory, traces_sample_rate=1.0)
        yield clients


def ids_of_spans() -> list[str]:
    """Return the trace and the span of each request of the only transaction, in the form of Sentry's header."""
    [transaction] = transactions
    spans = [span for span in transaction["spans"] if span["op"] == "http.client"]
    return [f"{span['trace_id']}-{span['span_id']}" for span in spans]


@each_configuration
@each_order
async def test_each_request_has_a_span_and_its_trace_header(
    clients: Tracing, configuration: str, is_made_first: bool, anyio_backend: str
) -> None:
    skip_aiohttp_on_trio(configuration, anyio_backend)
    transactions.clear()
    with sentry_sdk.start_transaction(name="bare httpx"):
        await clients.send_bare_request(configuration)
    spans_of_a_request = len(ids_of_spans())
    transactions.clear()
    with sentry_sdk.start_transaction(name="this client"):
        await clients.send_five_requests(configuration, is_made_first=is_made_first)
    spans = ids_of_spans()
    assert len(spans) == 5 * spans_of_a_request
    sent = [value.rpartition("-")[0] for value in clients.server.values_of("sentry-trace")]
    assert len(set(sent)) == 5
    assert set(sent) <= set(spans)
    if configuration != "aiohttp":  # Sentry also traces aiohttp itself
        assert sent == spans
