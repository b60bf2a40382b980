"""Replaces a "book\"."""

import datetime
import uuid as _uuid
from typing import Any

from ...models.names import Names
from ...models.novel import Novel
from ...types import Hook, Request
from ...types import decode_answer as _decode_answer
from ...types import encode as _encode
from ...types import path_segment as _path_segment
from ...types import target as _target


def replace_book(
    shelf: str,
    type: str | int,
    body_: _uuid.UUID,
    *,
    body: Names,
    filter: bool,
    target: datetime.datetime | None = None,
    path_segment: list[int] | None = None,
) -> Request[Novel]:
    """Replaces a "book\".

    A description with \"\"\" inside, a \\ at large, and at its end "quotes\"

    Args:
        shelf: shelf
        type: type
        body_: body
        body: The request body.
        target: target
        filter: filter
        path_segment: path-segment

    Returns:
        The request, ready to be sent.
    """
    return Request(
        operation="replace_book",
        method="PUT",
        target=_target(
            f"/api/shelves/{_path_segment(shelf)}/books/{_path_segment(type)}/{_path_segment(body_)}",
            {"target": target, "filter": filter, "path-segment": path_segment},
        ),
        body=_encode(body),
        decode=_decode,
    )


def _decode(payload: Any, hook: Hook) -> Novel:
    return _decode_answer(Novel.from_dict, payload, hook, envelope="", required=("id",))
