from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from attrs import field as _field
from attrs import frozen as _frozen

from ..types import At, Hook, decode_list, decode_object, encode, ignore


@_frozen(kw_only=True, slots=False)
class List:
    """A model that is named after a builtin, with a description that ends in a "quote\""""

    list_: list[List] | None = None
    additional_properties: dict[str, Any] = _field(factory=dict[str, Any], repr=False)
    """Properties that the contract does not describe."""

    @classmethod
    def from_dict(cls, source: Mapping[str, Any], at: At = None, hook: Hook = ignore) -> Self:
        """Decode leniently from a JSON object. Values that the contract does not allow are reported to the hook."""
        rest = {**source}
        pop = rest.pop
        return cls(
            list_=None if (value := pop("list", None)) is None else decode_list(value, at, "list", hook, List.decode),
            additional_properties=rest,
        )

    @classmethod
    def decode(cls, value: Any, at: At, key: str, hook: Hook) -> Self | None:
        """Decode a nested object, or report it to the hook if it is not an object."""
        return decode_object(cls.from_dict, value, at, key, hook)

    def to_dict(self) -> dict[str, Any]:
        """Turn the model into a plain JSON object. Fields that are None are omitted."""
        encoded: dict[str, Any] = {key: encode(entry) for key, entry in self.additional_properties.items()}
        value: Any
        if (value := self.list_) is not None:
            encoded["list"] = encode(value)
        return encoded
