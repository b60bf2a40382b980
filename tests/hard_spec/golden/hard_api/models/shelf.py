from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from attrs import field as _field
from attrs import frozen as _frozen

from ..types import At, Hook, decode_int, decode_object, decode_values, encode, ignore


@_frozen(kw_only=True, slots=False)
class Shelf:
    """Shelf"""

    width: int | None = None
    additional_properties: dict[str, Tree] = _field(factory=lambda: {}, repr=False)
    """What the contract does not know."""

    @classmethod
    def from_dict(cls, source: Mapping[str, Any], at: At = None, hook: Hook = ignore) -> Self:
        """Read it leniently from what JSON holds; the hook is told of what the contract does not foresee."""
        rest = {**source}
        pop = rest.pop
        return cls(
            width=value
            if (value := pop("width", None)) is None or value.__class__ is int
            else decode_int(value, at, "width", hook),
            additional_properties=decode_values(rest, at, hook, Tree.decode),
        )

    @classmethod
    def decode(cls, value: Any, at: At, key: str, hook: Hook) -> Self | None:
        """Decode it as a part of something larger."""
        return decode_object(cls.from_dict, value, at, key, hook)

    def to_dict(self) -> dict[str, Any]:
        """Write it as JSON holds it; what is None is left out."""
        encoded: dict[str, Any] = {key: encode(entry) for key, entry in self.additional_properties.items()}
        value: Any
        if (value := self.width) is not None:
            encoded["width"] = value if value.__class__ is int else encode(value)
        return encoded


from .tree import Tree
