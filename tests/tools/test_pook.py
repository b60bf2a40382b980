"""pook replaces the transport of a client."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from desks import ROUTES, TICKET, each_configuration, each_order, intercepted, response_to, use

pook: Any = import_module("pook")


def mock_all() -> None:
    for method, url in ROUTES:
        status, body = response_to(method, url)
        where = url if url.startswith("https:") else pook.regex(rf".*{url}.*")
        pook.mock(where, method=method, reply=status, response_json=body)


@each_configuration
@each_order
async def test_every_request_is_intercepted(configuration: str, is_made_first: bool) -> None:
    with pook.use():
        mock_all()
        async with intercepted(configuration, is_made_first=is_made_first) as desk:
            assert await use(desk) == TICKET
