"""Lists shelves."""

import datetime
from typing import Any, Literal

from ...models.shelf import Shelf
from ...types import Hook, Request
from ...types import decode_items as _decode_items
from ...types import encode_date as _encode_date
from ...types import expect_array as _expect_array
from ...types import target as _target


def list_shelves(
    *,
    ids: list[int] | None = None,
    sizes: list[int] | None = None,
    colors: list[Literal["red", "green"] | str] | None = None,
    days: list[datetime.date] | None = None,
    sort: Literal["up", "down"] | str | None = None,
) -> Request[list[Shelf] | None]:
    """Lists shelves.

    Deprecated.

    Args:
        ids: ids
        sizes: sizes
        colors: colors
        days: days
        sort: Deprecated. sort

    Returns:
        The request, ready to be sent.
    """
    return Request(
        operation="list_shelves",
        method="GET",
        target=_target(
            "/api/shelves",
            {"ids": ids, "sizes": sizes, "colors": colors, "days": _encode_date(days), "sort": sort},
            repeated=("ids", "sizes", "days"),
        ),
        decode=_decode,
    )


def _decode(payload: Any, hook: Hook) -> list[Shelf] | None:
    return None if payload is None else _decode_items(_expect_array(payload), None, hook, Shelf.decode)
