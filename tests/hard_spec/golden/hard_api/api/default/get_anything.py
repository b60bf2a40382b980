"""Gets anything."""

from typing import Any

from ...types import Hook, Request
from ...types import target as _target


def get_anything() -> Request[Any]:
    """Gets anything.

    Returns:
        The request, ready to be sent.
    """
    return Request(operation="get_anything", method="GET", target=_target("/api/anything", {}), decode=_decode)


def _decode(payload: Any, hook: Hook) -> Any:
    return payload
