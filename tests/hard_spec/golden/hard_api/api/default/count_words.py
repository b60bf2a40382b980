"""Counts words."""

from typing import Any

from ...models.shelf import Shelf
from ...models.shelves_by_word import ShelvesByWord
from ...types import Hook, Request, decode_list_of_objects
from ...types import decode_values as _decode_values
from ...types import expect_object as _expect_object
from ...types import target as _target


def count_words() -> Request[ShelvesByWord]:
    """Counts words.

    Returns:
        The request, ready to be sent.
    """
    return Request(operation="count_words", method="PATCH", target=_target("/api/anything", {}), decode=_decode)


def _decode(payload: Any, hook: Hook) -> ShelvesByWord:
    return _decode_values(
        _expect_object(payload),
        None,
        hook,
        lambda value, at, key, hook: decode_list_of_objects(Shelf.from_dict, value, at, key, hook),
    )
