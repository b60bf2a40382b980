from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, Self

from attrs import field as _field
from attrs import frozen as _frozen

from ..types import At, Hook, decode_date, decode_object, decode_str, decode_values, encode, encode_date, ignore


@_frozen(kw_only=True, slots=False)
class Calendar:
    """Calendar"""

    name: str | None = None
    additional_properties: dict[str, datetime.date] = _field(factory=lambda: {}, repr=False)
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
        fields["name"] = (
            value if type(value := pop("name", None)) is str or value is None else decode_str(value, at, "name", hook)
        )
        fields["additional_properties"] = decode_values(rest, at, hook, decode_date) if rest else rest
        return self

    @classmethod
    def decode(cls, value: Any, at: At, key: str, hook: Hook) -> Self | None:
        """Decode a nested object, or report it to the hook if it is not an object."""
        return decode_object(cls.from_dict, value, at, key, hook)

    def to_dict(self) -> dict[str, Any]:
        """Turn the model into a plain JSON object. Fields that are None are omitted."""
        fields = self.__dict__
        value: Any
        encoded: dict[str, Any] = encode_date(rest) if (rest := fields["additional_properties"]) else {}
        if (value := fields["name"]) is not None:
            encoded["name"] = value if type(value) is str else encode(value)
        return encoded
