"""pytest-httpx replaces a method of httpx's transport."""

from __future__ import annotations

from typing import Any

import pytest
from desks import TICKET, each_of_httpx, handle, intercepted, use

from teamwork_desk import TransportError


@each_of_httpx
@pytest.mark.httpx_mock(can_send_already_matched_responses=True)
async def test_every_request_is_intercepted(configuration: str, httpx_mock: Any) -> None:
    httpx_mock.add_callback(handle)
    async with intercepted(configuration) as desk:
        assert await use(desk) == TICKET
    assert len(httpx_mock.get_requests()) == 5


async def test_a_request_without_a_response_reaches_no_server(httpx_mock: Any) -> None:
    async with intercepted("default") as desk:
        with pytest.raises(TransportError, match="TimeoutException: No response can be found"):
            await desk.conversations.get(42)
    httpx_mock.reset()
