"""Fixtures and plugins for every test module."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from installed import build_wheel

# The plugin is loaded here and not through its entry point (addopts blocks that), so that coverage measures its lines.
pytest_plugins = ["_teamwork_desk_pytest"]

PACKAGES = ("teamwork_desk", "teamwork_desk_api")
LEVELS = (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL)


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Run every async test on asyncio and on trio."""
    return str(request.param)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel, once for all tests that install it, and return its path."""
    return build_wheel(tmp_path_factory.mktemp("dist"))


def global_state() -> dict[str, object]:
    """Return the state of the process that one test could change for the next."""
    modules = {name: module for name, module in sys.modules.items() if name.partition(".")[0] in PACKAGES}
    loggers = [logging.getLogger(name) for name in (None, "httpx", "teamwork_desk", "teamwork_desk.drift")]
    state: dict[str, object] = {
        # A failure prints the state, and a variable may hold a secret.
        "environment": {name: hash(value) for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"},
        "directory": Path.cwd(),
        "import path": sys.path[:],
        "signals": [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)],
        "log levels": {logger.name: [logger.isEnabledFor(level) for level in LEVELS] for logger in loggers},
        "log handlers": {logger.name: (logger.handlers[:], logger.filters[:]) for logger in loggers[1:]},
        # A module that a test imports a second time also replaces the attribute of its package.
        "stale modules": [
            name
            for name, module in modules.items()
            if "." in name
            and getattr(modules.get(name.rpartition(".")[0]), name.rpartition(".")[2], module) is not module
        ],
    }
    # Loggers cache which levels they log. setLevel() empties every cache, so that only a test can fill it again.
    logging.root.setLevel(logging.root.level)
    return state


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Fail a test that does not restore the global state, because the tests must pass in any order."""
    before = global_state()
    yield
    assert global_state() == before
