"""What every test module shares."""

from __future__ import annotations

import pytest

# Here, and not by its entry point (see addopts), so that its lines are measured.
pytest_plugins = ["_teamwork_desk_pytest"]


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Run async tests on both event loops."""
    return str(request.param)
