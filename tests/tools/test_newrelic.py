"""New Relic's agent replaces `httpx.AsyncClient.send`, and an attribute of every client."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest
from desks import Tracing, each_configuration, each_order, tracing

# In this mode the agent does not connect.
os.environ |= {
    "NEW_RELIC_APP_NAME": "tests",
    "NEW_RELIC_DEVELOPER_MODE": "true",
    "NEW_RELIC_LICENSE_KEY": "0" * 40,
    "NEW_RELIC_LOG": os.devnull,
}
agent: Any = import_module("newrelic.agent")


@pytest.fixture(scope="module")
def clients() -> Iterator[Tracing]:
    with tracing() as clients:
        agent.initialize()
        # The agent patches httpx when httpx is imported, and here it was imported before.
        import_module("newrelic.hooks.external_httpx").instrument_httpx_client(import_module("httpx._client"))
        agent.register_application(timeout=20)
        yield clients


def count_requests() -> int:
    """Return how many requests of httpx the agent has measured since the last time."""
    core: Any = import_module("newrelic.core.agent").agent_instance().application("tests")
    engine = core._stats_engine
    counts = [stats.call_count for (name, scope), stats in engine.stats_table.items() if "/httpx/" in name and scope]
    engine.reset_stats(engine.settings)
    return sum(counts)


# The agent keeps its traces for each task of asyncio.
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@each_configuration
@each_order
async def test_each_request_has_a_span_and_its_trace_header(
    clients: Tracing, configuration: str, is_made_first: bool
) -> None:
    count_requests()
    with agent.BackgroundTask(agent.application(), name="bare httpx"):
        await clients.send_bare_request(configuration)
    assert count_requests() == len(clients.server.values_of("traceparent")) == 1
    with agent.BackgroundTask(agent.application(), name="this client"):
        await clients.send_five_requests(configuration, is_made_first=is_made_first)
    assert count_requests() == 5
    assert len(set(clients.server.values_of("traceparent"))) == 5
