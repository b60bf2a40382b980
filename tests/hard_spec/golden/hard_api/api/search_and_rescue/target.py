"""Finds."""

from typing import Any

from ...models.kinds import Kinds
from ...types import Hook, Request
from ...types import decode_answer as _decode_answer
from ...types import target as _target


def target(*, body_: float | None = None) -> Request[Kinds]:
    """Finds.

    Args:
        body_: Not the body.

    Returns:
        The request, ready to be sent.
    """
    return Request(operation="target", method="GET", target=_target("/api/search", {"body": body_}), decode=_decode)


def _decode(payload: Any, hook: Hook) -> Kinds:
    return _decode_answer(
        Kinds.from_dict,
        payload,
        hook,
        envelope='kinds "all"',
        declared=(
            "anything",
            "boolean",
            "integer",
            "number",
            "string",
            "date",
            "days",
            "moment",
            "uuid",
            "key",
            "old",
            "open",
            "level",
            "matrix",
            "moments",
            "list",
            "scalar",
            "either",
            "mixed",
            "one_or_many",
            "map_or_moment",
            "grid",
            "branches",
            "shelf",
        ),
        required=(),
    )
