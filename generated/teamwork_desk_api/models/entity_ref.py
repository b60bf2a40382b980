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

_KNOWN = frozenset({"id", "type", "delete", "meta"})


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
        self = cls.__new__(cls)
        # The values are checked where they are, and only some are replaced: an __init__ would take twice as long.
        fields = self.__dict__
        fields.update(source)
        get = fields.get
        value: Any
        if type(value := get("id")) is not int:
            fields["id"] = None if value is None else decode_int(value, at, "id", hook)
        if type(value := get("type")) is not str and type(value) is not int:
            fields["type"] = (
                None if value is None else decode_union(value, at, "type", hook, {str: decode_str, int: decode_int})
            )
        if type(value := get("delete")) is not bool:
            fields["delete"] = None if value is None else decode_bool(value, at, "delete", hook)
        fields["meta"] = None if (value := get("meta")) is None else decode_map(value, at, "meta", hook, decode_any)
        rest: dict[str, Any] = {} if len(fields) == 4 else {key: fields.pop(key) for key in source if key not in _KNOWN}
        fields["additional_properties"] = rest
        return self

    @classmethod
    def decode(cls, value: Any, at: At, key: str, hook: Hook) -> Self | None:
        """Decode a nested object, or report it to the hook if it is not an object."""
        return decode_object(cls.from_dict, value, at, key, hook)

    def to_dict(self) -> dict[str, Any]:
        """Turn the model into a plain JSON object. Fields that are None are omitted."""
        encoded: dict[str, Any] = encode_values(rest) if (rest := self.additional_properties) else {}
        value: Any
        if (value := self.id) is not None:
            encoded["id"] = value if type(value) is int else encode(value)
        if (value := self.type) is not None:
            encoded["type"] = encode(value)
        if (value := self.delete) is not None:
            encoded["delete"] = value if type(value) is bool else encode(value)
        if (value := self.meta) is not None:
            encoded["meta"] = encode(value)
        return encoded


from .json_object import JsonObject
