from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from attrs import field as _field
from attrs import frozen as _frozen

from ..types import At, Hook, decode_bool, decode_object, decode_str, encode, encode_values, ignore


@_frozen(kw_only=True, slots=False)
class Aggregate:
    """How results are aggregated."""

    distinct: bool | None = None
    """Whether to count only distinct values."""
    field: str | None = None
    """The aggregated field."""
    operation: str | None = None
    """The operation."""
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
        fields["distinct"] = (
            value
            if type(value := pop("Distinct", None)) is bool or value is None
            else decode_bool(value, at, "Distinct", hook)
        )
        fields["field"] = (
            value if type(value := pop("Field", None)) is str or value is None else decode_str(value, at, "Field", hook)
        )
        fields["operation"] = (
            value
            if type(value := pop("Operation", None)) is str or value is None
            else decode_str(value, at, "Operation", hook)
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
        if (value := fields["distinct"]) is not None:
            encoded["Distinct"] = encode(value)
        if (value := fields["field"]) is not None:
            encoded["Field"] = encode(value)
        if (value := fields["operation"]) is not None:
            encoded["Operation"] = encode(value)
        return encoded
