from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from attrs import field as _field
from attrs import frozen as _frozen

from ..types import (
    At,
    Hook,
    decode_any,
    decode_bool,
    decode_int,
    decode_map,
    decode_object,
    decode_str,
    decode_union,
    encode,
    encode_values,
    ignore,
)


@_frozen(kw_only=True, slots=False)
class EntityRef:
    """A reference to another object in Desk."""

    id: int | None = None
    """The object's id."""
    type: str | int | None = None
    """The kind of object, such as `users`. A string on the wire, although Desk's examples show 0."""
    delete: bool | None = None
    """Whether the reference is to be removed."""
    meta: JsonObject | None = _field(default=None, repr=False)
    """Other data about the object."""
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
        fields["id"] = (
            value if type(value := pop("id", None)) is int or value is None else decode_int(value, at, "id", hook)
        )
        fields["type"] = (
            value
            if type(value := pop("type", None)) is str or type(value) is int or value is None
            else decode_union(value, at, "type", hook, {str: decode_str, int: decode_int})
        )
        fields["delete"] = (
            value
            if type(value := pop("delete", None)) is bool or value is None
            else decode_bool(value, at, "delete", hook)
        )
        fields["meta"] = (
            None if (value := pop("meta", None)) is None else decode_map(value, at, "meta", hook, decode_any)
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
        if (value := fields["id"]) is not None:
            encoded["id"] = encode(value)
        if (value := fields["type"]) is not None:
            encoded["type"] = encode(value)
        if (value := fields["delete"]) is not None:
            encoded["delete"] = encode(value)
        if (value := fields["meta"]) is not None:
            encoded["meta"] = encode(value)
        return encoded


from .json_object import JsonObject
