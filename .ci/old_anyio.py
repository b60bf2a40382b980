"""A pytest plugin: what `anyio_mode = "auto"` means, for an anyio before 4.11, which does not know it."""

from __future__ import annotations

import inspect

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let pytest accept the setting."""
    parser.addini("anyio_mode", "always auto")


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector: pytest.Module | pytest.Class, name: str, obj: object) -> None:
    """Run an async test on the backends, a property's too."""
    function = getattr(getattr(obj, "hypothesis", None), "inner_test", obj)
    if collector.istestfunction(obj, name) and inspect.iscoroutinefunction(function):
        pytest.mark.usefixtures("anyio_backend")(obj)
