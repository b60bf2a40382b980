from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from attrs import field as _field
from attrs import frozen as _frozen

from ..types import At, Hook, decode_int, decode_object, encode, encode_values, ignore


@_frozen(kw_only=True, slots=False)
class CustomField:
    """The value of a ticket's custom field."""

    id: int | None = None
    """The custom field's id."""
    meta: CustomFieldMeta | None = None
    """The object that holds the value."""
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
        fields["meta"] = (
            None
            if (value := pop("meta", None)) is None
            else decode_object(CustomFieldMeta.from_dict, value, at, "meta", hook)
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
            encoded["id"] = value if type(value) is int else encode(value)
        if (value := fields["meta"]) is not None:
            encoded["meta"] = value.to_dict() if type(value) is CustomFieldMeta else encode(value)
        return encoded


from .custom_field_meta import CustomFieldMeta
