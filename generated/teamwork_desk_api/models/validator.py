from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from attrs import field as _field
from attrs import frozen as _frozen

from ..types import At, Hook, decode_list, decode_map, decode_object, decode_str, encode, ignore


@_frozen(kw_only=True, slots=False)
class Validator:
    """Validator hold the validation errors: for each field that was refused, the reasons. A key is a field's path,
    such as `customer.email` or `files[1].id`."""

    errors: FieldErrors | None = None
    """The reasons by field."""
    additional_properties: dict[str, Any] = _field(factory=dict[str, Any], repr=False)
    """What the contract does not know."""

    @classmethod
    def from_dict(cls, source: Mapping[str, Any], at: At = None, hook: Hook = ignore) -> Self:
        """Read it leniently from what JSON holds; the hook is told of what the contract does not foresee."""
        rest = {**source}
        pop = rest.pop
        return cls(
            errors=None
            if (value := pop("errors", None)) is None
            else decode_map(
                value, at, "errors", hook, lambda value, at, key, hook: decode_list(value, at, key, hook, decode_str)
            ),
            additional_properties=rest,
        )

    @classmethod
    def decode(cls, value: Any, at: At, key: str, hook: Hook) -> Self | None:
        """Decode it as a part of something larger."""
        return decode_object(cls.from_dict, value, at, key, hook)

    def to_dict(self) -> dict[str, Any]:
        """Write it as JSON holds it; what is None is left out."""
        encoded: dict[str, Any] = {key: encode(entry) for key, entry in self.additional_properties.items()}
        value: Any
        if (value := self.errors) is not None:
            encoded["errors"] = encode(value)
        return encoded


from .field_errors import FieldErrors
