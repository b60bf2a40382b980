"""`unittest.mock` replaces a method of `httpx.AsyncClient`, or the class."""

from __future__ import annotations

from typing import Any
from unittest import mock

import httpx
import pytest
from desks import OPTIONS, TICKET, RecordingDesk, each_configuration, each_order, handle, intercepted, use

from teamwork_desk import AsyncDesk


async def respond(client: object, request: httpx.Request, **_: object) -> httpx.Response:
    return handle(request)


@each_configuration
@each_order
async def test_send_is_replaced(configuration: str, is_made_first: bool) -> None:
    tool = mock.patch("httpx.AsyncClient.send", respond)
    async with intercepted(configuration, tool, is_made_first=is_made_first) as desk:
        assert await use(desk) == TICKET


async def test_send_is_replaced_by_a_mock_with_a_specification() -> None:
    with mock.patch("httpx.AsyncClient.send", autospec=True, side_effect=respond) as send:
        async with intercepted("default") as desk:
            assert await use(desk) == TICKET
    assert send.await_count == 5


class Replacement:
    """A class in the place of `httpx.AsyncClient`, as a test may write it."""

    made = 0

    def __init__(self, **options: Any) -> None:
        type(self).made += 1

    async def send(self, request: httpx.Request, **_: object) -> httpx.Response:
        return handle(request)

    async def aclose(self) -> None:
        pass


@each_configuration
@each_order
@pytest.mark.parametrize("replacement", [Replacement, mock.Mock(side_effect=Replacement)], ids=["class", "mock"])
async def test_the_class_is_replaced(configuration: str, is_made_first: bool, replacement: Any) -> None:
    tool = mock.patch("httpx.AsyncClient", replacement)
    async with intercepted(configuration, tool, is_made_first=is_made_first) as desk:
        assert await use(desk) == TICKET


@pytest.mark.parametrize("configuration", ["default", "HTTP/2", "own transport", "mounts"])
async def test_a_client_works_before_during_and_after_a_replacement(configuration: str) -> None:
    with RecordingDesk() as server:
        async with AsyncDesk(server.url, token="t", verify_first=False, **OPTIONS[configuration](server.url)) as desk:
            for ticket_id in (1, TICKET, 1, TICKET, 1):
                with mock.patch("httpx.AsyncClient", httpx.AsyncClient if ticket_id == 1 else Replacement):
                    assert (await desk.conversations.convert(42)).ticket_id == ticket_id
        assert len(server.received) == 3


@each_configuration
@each_order
@pytest.mark.parametrize("method", ["_send_single_request", "_transport_for_url"])
async def test_a_private_method_is_replaced(configuration: str, is_made_first: bool, method: str) -> None:
    """Recorders and mocks do this."""

    def transport(client: object, url: httpx.URL) -> httpx.AsyncBaseTransport:
        return httpx.MockTransport(handle)

    tool = mock.patch(f"httpx.AsyncClient.{method}", transport if method == "_transport_for_url" else respond)
    async with intercepted(configuration, tool, is_made_first=is_made_first) as desk:
        assert await use(desk) == TICKET
