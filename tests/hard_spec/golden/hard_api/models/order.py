from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from attrs import field as _field
from attrs import frozen as _frozen

from ..types import At, Hook, decode_int, decode_list, decode_object, decode_str, encode, encode_values, ignore


@_frozen(kw_only=True, slots=False)
class Order:
    """Order"""

    title: str = _field(repr=False)
    parent: int | None
    x_y: list[int]
    color: Literal["red", "green"] | str | None = None
    """The color."""
    note: str | None = None
    additional_properties: dict[str, Any] = _field(factory=dict[str, Any], repr=False)
    """Properties that the contract does not describe. None is sent as null, while a field that is None is omitted."""

    @classmethod
    def from_dict(cls, source: Mapping[str, Any], at: At = None, hook: Hook = ignore) -> Self:
        """Decode leniently from a JSON object. Values that the contract does not allow are reported to the hook."""
        self = object.__new__(cls)
        # Storing the fields directly takes half the time of calling __init__ with them.
        fields = self.__dict__
        rest = {**source}
        pop = rest.pop
        value: Any
        fields["title"] = (
            value if type(value := pop("title", None)) is str or value is None else decode_str(value, at, "title", hook)
        )
        fields["parent"] = (
            value
            if type(value := pop("parent", None)) is int or value is None
            else decode_int(value, at, "parent", hook)
        )
        fields["x_y"] = None if (value := pop("x-y", None)) is None else decode_list(value, at, "x-y", hook, decode_int)
        fields["color"] = (
            value if type(value := pop("color", None)) is str or value is None else decode_str(value, at, "color", hook)
        )
        fields["note"] = (
            value if type(value := pop("note", None)) is str or value is None else decode_str(value, at, "note", hook)
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
        if (value := fields["title"]) is not None:
            encoded["title"] = value if type(value) is str else encode(value)
        value = fields["parent"]
        encoded["parent"] = encode(value)
        if (value := fields["x_y"]) is not None:
            encoded["x-y"] = encode(value)
        if (value := fields["color"]) is not None:
            encoded["color"] = value if type(value) is str else encode(value)
        if (value := fields["note"]) is not None:
            encoded["note"] = value if type(value) is str else encode(value)
        return encoded
