from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from attrs import field as _field
from attrs import frozen as _frozen

from ..types import (
    At,
    Hook,
    decode_datetime,
    decode_list_of_objects,
    decode_map,
    decode_map_of_objects,
    decode_object,
    decode_str,
    decode_union,
    encode,
    encode_values,
    ignore,
)


@_frozen(kw_only=True, slots=False)
class Included:
    """Included"""

    owners: OwnersById | None = None
    shelves: ShelvesByWord | None = None
    moments: Moments | None = None
    either: Either | None = None
    nested: Nested | None = None
    moods: Moods | None = None
    additional_properties: dict[str, Any] = _field(factory=dict[str, Any], repr=False)
    """Properties that the contract does not describe."""

    @classmethod
    def from_dict(cls, source: Mapping[str, Any], at: At = None, hook: Hook = ignore) -> Self:
        """Decode leniently from a JSON object. Values that the contract does not allow are reported to the hook."""
        self = object.__new__(cls)
        # Storing the fields directly takes half the time of calling __init__ with them.
        fields = self.__dict__
        rest = {**source}
        pop = rest.pop
        value: Any
        fields["owners"] = (
            None
            if (value := pop("owners", None)) is None
            else decode_map_of_objects(Owner.from_dict, value, at, "owners", hook)
        )
        fields["shelves"] = (
            None
            if (value := pop("shelves", None)) is None
            else decode_map(
                value,
                at,
                "shelves",
                hook,
                lambda value, at, key, hook: decode_list_of_objects(Shelf.from_dict, value, at, key, hook),
            )
        )
        fields["moments"] = (
            None if (value := pop("moments", None)) is None else decode_map(value, at, "moments", hook, decode_datetime)
        )
        fields["either"] = (
            None
            if (value := pop("either", None)) is None
            else decode_map(
                value,
                at,
                "either",
                hook,
                lambda value, at, key, hook: decode_union(value, at, key, hook, {dict: Owner.decode, str: decode_str}),
            )
        )
        fields["nested"] = (
            None
            if (value := pop("nested", None)) is None
            else decode_map(
                value,
                at,
                "nested",
                hook,
                lambda value, at, key, hook: decode_map_of_objects(Owner.from_dict, value, at, key, hook),
            )
        )
        fields["moods"] = (
            None if (value := pop("moods", None)) is None else decode_map(value, at, "moods", hook, decode_str)
        )
        fields["additional_properties"] = rest
        return self

    @classmethod
    def decode(cls, value: Any, at: At, key: str, hook: Hook) -> Self | None:
        """Decode a nested object, or report it to the hook if it is not an object."""
        return decode_object(cls.from_dict, value, at, key, hook)

    def to_dict(self) -> dict[str, Any]:
        """Turn the model into a plain JSON object. Fields that are None are omitted."""
        fields = self.__dict__
        value: Any
        encoded: dict[str, Any] = encode_values(rest) if (rest := fields["additional_properties"]) else {}
        if (value := fields["owners"]) is not None:
            encoded["owners"] = encode(value)
        if (value := fields["shelves"]) is not None:
            encoded["shelves"] = encode(value)
        if (value := fields["moments"]) is not None:
            encoded["moments"] = encode(value)
        if (value := fields["either"]) is not None:
            encoded["either"] = encode(value)
        if (value := fields["nested"]) is not None:
            encoded["nested"] = encode(value)
        if (value := fields["moods"]) is not None:
            encoded["moods"] = encode(value)
        return encoded


from .either import Either
from .moments import Moments
from .moods import Moods
from .nested import Nested
from .owner import Owner
from .owners_by_id import OwnersById
from .shelf import Shelf
from .shelves_by_word import ShelvesByWord
