"""Forgets."""

from typing import Any

from ...types import Hook, Request
from ...types import target as _target


def list_(*, body_: float | None = None) -> Request[None]:
    """Forgets.

    Args:
        body_: Not the body.

    Returns:
        The request, ready to be sent.
    """
    return Request(operation="list_", method="DELETE", target=_target("/api/search", {"body": body_}), decode=_decode)


def _decode(payload: Any, hook: Hook) -> None:
    """Ignore the response body: the contract describes none."""
