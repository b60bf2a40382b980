"""Fixtures and plugins for every test module."""

from __future__ import annotations

import locale
import logging
import os
import signal
import ssl
import sys
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import certifi
import pytest
from installed import build_wheel

# The plugin is loaded here and not through its entry point (addopts blocks that), so that coverage measures its lines.
pytest_plugins = ["_teamwork_desk_pytest"]

if find_spec("hypothesis"):  # The tests in tests/tools run without it.
    from hypothesis import HealthCheck, settings

    # By default, a test fails if an example takes 0.2 seconds, which happens to any test on a busy machine.
    settings.register_profile("without time limits", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("without time limits")

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
    modules = {name: module for name, module in sys.modules.items() if name.startswith(PACKAGES)}
    loggers = [logging.getLogger(name) for name in (None, "httpx", "teamwork_desk", "teamwork_desk.drift")]
    state: dict[str, object] = {
        # A failure prints the state, and a variable may hold a secret.
        "environment": {name: hash(value) for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"},
        "directory": Path.cwd(),
        "locale": locale.setlocale(locale.LC_ALL),
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


@pytest.fixture(scope="session", autouse=True)
def _certificates() -> Iterator[None]:
    """Read the certificates of certifi once: that takes longer than most tests, and each client needs a context.

    A context that a test makes in any other way is a new one.
    """
    create, name = ssl.create_default_context, certifi.where()

    @cache
    def shared() -> ssl.SSLContext:
        return create(cafile=name)

    def create_default_context(*arguments: Any, **options: Any) -> ssl.SSLContext:
        return create(*arguments, **options) if arguments or options != {"cafile": name} else shared()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ssl, "create_default_context", create_default_context)
        yield


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Fail a test that does not restore the global state, because the tests must pass in any order."""
    before = global_state()
    yield
    assert global_state() == before
