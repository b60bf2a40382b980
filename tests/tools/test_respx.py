"""respx replaces the transport of a client (`using="httpx"`), or httpcore's pool (`using="httpcore"`)."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import httpx
import pytest
from desks import ROUTES, TICKET, each_configuration, each_of_httpx, each_order, handle, intercepted, use

from teamwork_desk import TransportError

respx: Any = import_module("respx")


def router(using: str) -> Any:
    mocked = respx.mock(using=using)
    for method, url in ROUTES:
        where = {"url": url} if url.startswith("https:") else {"path": url}
        mocked.route(method=method, **where).mock(side_effect=handle)
    return mocked


@each_configuration
@each_order
async def test_the_transport_of_the_client(configuration: str, is_made_first: bool) -> None:
    async with intercepted(configuration, router("httpx"), is_made_first=is_made_first) as desk:
        assert await use(desk) == TICKET


@each_of_httpx
@each_order
async def test_the_pool_of_httpcore(configuration: str, is_made_first: bool) -> None:
    async with intercepted(configuration, router("httpcore"), is_made_first=is_made_first) as desk:
        assert await use(desk) == TICKET


@pytest.mark.parametrize("using", ["httpx", "httpcore"])
async def test_a_request_without_a_route_and_an_error_reach_no_server(using: str) -> None:
    mocked = respx.mock(using=using)
    mocked.get(path="/desk/api/v2/conversations.json").mock(side_effect=httpx.ConnectError("refused"))
    async with intercepted("default", mocked) as desk:
        with pytest.raises(TransportError, match="ConnectError: refused"):
            await desk.conversations.get(42)
        with pytest.raises(TransportError, match="AllMockedAssertionError"):
            await desk.inboxes.find("Support")
