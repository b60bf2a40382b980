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

_KNOWN = frozenset({"name", "child", "children", "branches", "owner"})


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
        self = cls.__new__(cls)
        # The values are checked where they are, and only some are replaced: an __init__ would take twice as long.
        fields = self.__dict__
        fields.update(source)
        get = fields.get
        value: Any
        if type(value := get("name")) is not str:
            fields["name"] = None if value is None else decode_str(value, at, "name", hook)
        fields["child"] = (
            None if (value := get("child")) is None else decode_object(Tree.from_dict, value, at, "child", hook)
        )
        fields["children"] = (
            None
            if (value := get("children")) is None
            else decode_list_of_objects(Tree.from_dict, value, at, "children", hook)
        )
        fields["branches"] = (
            None
            if (value := get("branches")) is None
            else decode_map_of_objects(Tree.from_dict, value, at, "branches", hook)
        )
        fields["owner"] = (
            None if (value := get("owner")) is None else decode_object(Owner.from_dict, value, at, "owner", hook)
        )
        rest: dict[str, Any] = {} if len(fields) == 5 else {key: fields.pop(key) for key in source if key not in _KNOWN}
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
        if (value := self.name) is not None:
            encoded["name"] = value if type(value) is str else encode(value)
        if (value := self.child) is not None:
            encoded["child"] = value.to_dict() if type(value) is Tree else encode(value)
        if (value := self.children) is not None:
            encoded["children"] = encode(value)
        if (value := self.branches) is not None:
            encoded["branches"] = encode(value)
        if (value := self.owner) is not None:
            encoded["owner"] = value.to_dict() if type(value) is Owner else encode(value)
        return encoded


from .branches import Branches
from .owner import Owner
