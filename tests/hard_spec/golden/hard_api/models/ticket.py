from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from attrs import field as _field
from attrs import frozen as _frozen

from ..types import (
    At,
    Hook,
    decode_bool,
    decode_int,
    decode_list,
    decode_object,
    decode_str,
    encode,
    encode_values,
    ignore,
)


@_frozen(kw_only=True, slots=False)
class Ticket:
    """Ticket"""

    id: int | None = None
    included: bool | None = None
    words: list[Literal["red", "green"] | str] | None = None
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
        fields["id"] = (
            value if type(value := pop("id", None)) is int or value is None else decode_int(value, at, "id", hook)
        )
        fields["included"] = (
            value
            if type(value := pop("included", None)) is bool or value is None
            else decode_bool(value, at, "included", hook)
        )
        fields["words"] = (
            None if (value := pop("words", None)) is None else decode_list(value, at, "words", hook, decode_str)
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
        if (value := fields["included"]) is not None:
            encoded["included"] = value if type(value) is bool else encode(value)
        if (value := fields["words"]) is not None:
            encoded["words"] = encode(value)
        return encoded
