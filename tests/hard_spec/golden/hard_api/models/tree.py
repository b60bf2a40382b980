from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from attrs import field as _field
from attrs import frozen as _frozen

from ..types import (
    At,
    Hook,
    decode_list_of_objects,
    decode_map_of_objects,
    decode_object,
    decode_str,
    encode,
    encode_values,
    ignore,
)


@_frozen(kw_only=True, slots=False)
class Tree:
    """Tree"""

    name: str | None = None
    child: Tree | None = None
    children: list[Tree] | None = None
    branches: Branches | None = None
    owner: Owner | None = None
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
        fields["name"] = (
            value if type(value := pop("name", None)) is str or value is None else decode_str(value, at, "name", hook)
        )
        fields["child"] = (
            None if (value := pop("child", None)) is None else decode_object(Tree.from_dict, value, at, "child", hook)
        )
        fields["children"] = (
            None
            if (value := pop("children", None)) is None
            else decode_list_of_objects(Tree.from_dict, value, at, "children", hook)
        )
        fields["branches"] = (
            None
            if (value := pop("branches", None)) is None
            else decode_map_of_objects(Tree.from_dict, value, at, "branches", hook)
        )
        fields["owner"] = (
            None if (value := pop("owner", None)) is None else decode_object(Owner.from_dict, value, at, "owner", hook)
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
        if (value := fields["name"]) is not None:
            encoded["name"] = value if type(value) is str else encode(value)
        if (value := fields["child"]) is not None:
            encoded["child"] = value.to_dict() if type(value) is Tree else encode(value)
        if (value := fields["children"]) is not None:
            encoded["children"] = encode(value)
        if (value := fields["branches"]) is not None:
            encoded["branches"] = encode(value)
        if (value := fields["owner"]) is not None:
            encoded["owner"] = value.to_dict() if type(value) is Owner else encode(value)
        return encoded


from .branches import Branches
from .owner import Owner
