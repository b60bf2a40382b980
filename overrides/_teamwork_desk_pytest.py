"""Fixtures for the tests of a service; pytest finds them by itself.

It lies beside the package, and imports it only where a fixture is used: pytest imports this at every start.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from teamwork_desk import AsyncDesk
    from teamwork_desk.testing import FakeDesk


@pytest.fixture
def fake_desk() -> FakeDesk:
    """A Teamwork Desk in memory, new for each test."""
    from teamwork_desk.testing import FakeDesk  # noqa: PLC0415

    return FakeDesk()


@pytest.fixture
def desk(fake_desk: FakeDesk) -> Iterator[AsyncDesk]:
    """An AsyncDesk that talks to `fake_desk`, closed after the test."""
    from teamwork_desk import AsyncDesk  # noqa: PLC0415

    desk = AsyncDesk("https://desk.example.com", token="any", transport=fake_desk.transport)  # noqa: S106
    yield desk
    # Closing a transport in memory waits for nothing. So it needs no event loop, and the fixture suits every plugin.
    with suppress(StopIteration):
        desk.aclose().send(None)
