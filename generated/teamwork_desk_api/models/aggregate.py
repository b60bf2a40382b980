from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from attrs import field as _field
from attrs import frozen as _frozen

from ..types import At, Hook, decode_bool, decode_object, decode_str, encode, ignore


@_frozen(kw_only=True, slots=False)
class Aggregate:
    """How results are aggregated."""

    distinct: bool | None = None
    """Whether only distinct values count."""
    field: str | None = None
    """The field aggregated."""
    operation: str | None = None
    """The operation."""
    additional_properties: dict[str, Any] = _field(factory=dict[str, Any], repr=False)
    """What the contract does not know."""

    @classmethod
    def from_dict(cls, source: Mapping[str, Any], at: At = None, hook: Hook = ignore) -> Self:
        """Read it leniently from what JSON holds; the hook is told of what the contract does not foresee."""
        rest = {**source}
        pop = rest.pop
        return cls(
            distinct=value
            if (value := pop("Distinct", None)) is None or value.__class__ is bool
            else decode_bool(value, at, "Distinct", hook),
            field=value
            if (value := pop("Field", None)) is None or value.__class__ is str
            else decode_str(value, at, "Field", hook),
            operation=value
            if (value := pop("Operation", None)) is None or value.__class__ is str
            else decode_str(value, at, "Operation", hook),
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
        if (value := self.distinct) is not None:
            encoded["Distinct"] = value if value.__class__ is bool else encode(value)
        if (value := self.field) is not None:
            encoded["Field"] = value if value.__class__ is str else encode(value)
        if (value := self.operation) is not None:
            encoded["Operation"] = value if value.__class__ is str else encode(value)
        return encoded
