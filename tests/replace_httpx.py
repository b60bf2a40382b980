"""A pytest plugin that replaces httpx by httpx2, its successor, before anything imports httpx.

The nox session `httpx2` loads it.
"""

from __future__ import annotations

import importlib
from typing import Any

import pytest

EXCEPTIONS = {
    "test_the_table_has_every_exception_of_httpx": "httpx2 has further exceptions",
    "test_a_conversion_over_a_connection_shows_nothing": "it expects frames of httpcore, and httpx2 has httpcore2",
    "test_importing_the_package_does_not_import_what_only_some_users_need": "it lists what httpx imports",
}
"""Tests about httpx itself, with the reason why they are not run."""

httpx2: Any = importlib.import_module("httpx2")
httpx2.alias_httpx()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests about httpx itself."""
    for item in items:
        reason = EXCEPTIONS.get(getattr(item, "originalname", item.name))
        if reason is not None:
            item.add_marker(pytest.mark.skip(reason=reason))
