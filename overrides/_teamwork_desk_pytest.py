"""Fixtures for the tests of a service. pytest finds this plugin by its entry point.

pytest imports the plugin at every start, also for test suites that do not use it. So the plugin is outside of the
package, and imports the package only when a test uses a fixture.
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
    """A Teamwork Desk in memory. Each test gets a new one."""
    from teamwork_desk.testing import FakeDesk  # noqa: PLC0415

    return FakeDesk()


@pytest.fixture
def desk(fake_desk: FakeDesk) -> Iterator[AsyncDesk]:
    """A client that is connected to `fake_desk`. It is closed after the test."""
    from teamwork_desk import AsyncDesk  # noqa: PLC0415

    desk = AsyncDesk("https://desk.example.com", token="any", transport=fake_desk.transport)  # noqa: S106
    yield desk
    # Closing a client of a transport in memory never waits, so the coroutine ends at its first step. It needs no event
    # loop, and so the fixture works with every plugin that runs async tests.
    with suppress(StopIteration):
        desk.aclose().send(None)
