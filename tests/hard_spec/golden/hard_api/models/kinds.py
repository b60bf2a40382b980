from __future__ import annotations

import datetime
import uuid as _uuid
from collections.abc import Mapping
from typing import Any, Literal, Self

from attrs import field as _field
from attrs import frozen as _frozen

from ..types import (
    At,
    Hook,
    decode_bool,
    decode_date,
    decode_datetime,
    decode_float,
    decode_int,
    decode_list,
    decode_map,
    decode_map_of_objects,
    decode_object,
    decode_str,
    decode_union,
    decode_uuid,
    encode,
    encode_values,
    ignore,
)

_KNOWN = frozenset(
    {
        "anything",
        "boolean",
        "integer",
        "number",
        "string",
        "date",
        "moment",
        "uuid",
        "key",
        "old",
        "open",
        "level",
        "matrix",
        "moments",
        "list",
        "scalar",
        "either",
        "mixed",
        "one_or_many",
        "map_or_moment",
        "grid",
        "branches",
        "shelf",
    }
)


@_frozen(kw_only=True, slots=False)
class Kinds:
    """Kinds"""

    anything: Any | None = None
    boolean: bool | None = None
    integer: int | None = None
    number: float | None = None
    string: str | None = None
    date: datetime.date | None = None
    moment: datetime.datetime | None = None
    uuid: _uuid.UUID | None = None
    key: _uuid.UUID | None = None
    """A key."""
    old: str | None = None
    """Deprecated."""
    open: Literal["up", 'd"own'] | str | None = None
    level: Literal[1, 2] | int | None = None
    matrix: list[list[float]] | None = None
    moments: list[datetime.datetime] | None = None
    list_: List | None = None
    """A model that is named after a builtin, with a description that ends in a "quote\""""
    scalar: float | str | bool | None = None
    either: Tree | str | None = None
    mixed: list[Tree | int | bool] | None = None
    one_or_many: str | list[str] | None = None
    map_or_moment: Grid | datetime.datetime | None = None
    grid: Grid | None = None
    branches: Branches | None = None
    shelf: Shelf | None = None
    additional_properties: dict[str, Any] = _field(factory=dict[str, Any], repr=False)
    """Properties that the contract does not describe."""

    @classmethod
    def from_dict(cls, source: Mapping[str, Any], at: At = None, hook: Hook = ignore) -> Self:
        """Decode leniently from a JSON object. Values that the contract does not allow are reported to the hook."""
        self = cls.__new__(cls)
        # The values are checked where they are, and only some are replaced: an __init__ would take twice as long.
        fields = self.__dict__
        fields.update(source)
        pop = fields.pop
        rest: dict[str, Any] = (
            {} if _KNOWN.issuperset(source) else {key: fields.pop(key) for key in source if key not in _KNOWN}
        )
        get = fields.get
        value: Any
        fields["anything"] = get("anything")
        if type(value := get("boolean")) is not bool:
            fields["boolean"] = None if value is None else decode_bool(value, at, "boolean", hook)
        if type(value := get("integer")) is not int:
            fields["integer"] = None if value is None else decode_int(value, at, "integer", hook)
        if type(value := get("number")) is not float and type(value) is not int:
            fields["number"] = None if value is None else decode_float(value, at, "number", hook)
        if type(value := get("string")) is not str:
            fields["string"] = None if value is None else decode_str(value, at, "string", hook)
        fields["date"] = None if (value := get("date")) is None else decode_date(value, at, "date", hook)
        fields["moment"] = None if (value := get("moment")) is None else decode_datetime(value, at, "moment", hook)
        fields["uuid"] = None if (value := get("uuid")) is None else decode_uuid(value, at, "uuid", hook)
        fields["key"] = None if (value := get("key")) is None else decode_uuid(value, at, "key", hook)
        if type(value := get("old")) is not str:
            fields["old"] = None if value is None else decode_str(value, at, "old", hook)
        if type(value := get("open")) is not str:
            fields["open"] = None if value is None else decode_str(value, at, "open", hook)
        if type(value := get("level")) is not int:
            fields["level"] = None if value is None else decode_int(value, at, "level", hook)
        fields["matrix"] = (
            None
            if (value := get("matrix")) is None
            else decode_list(
                value, at, "matrix", hook, lambda value, at, key, hook: decode_list(value, at, key, hook, decode_float)
            )
        )
        fields["moments"] = (
            None if (value := get("moments")) is None else decode_list(value, at, "moments", hook, decode_datetime)
        )
        fields["list_"] = (
            None if (value := pop("list", None)) is None else decode_object(List.from_dict, value, at, "list", hook)
        )
        if (
            type(value := get("scalar")) is not float
            and type(value) is not int
            and type(value) is not str
            and type(value) is not bool
        ):
            fields["scalar"] = (
                None
                if value is None
                else decode_union(
                    value,
                    at,
                    "scalar",
                    hook,
                    {int: decode_float, float: decode_float, str: decode_str, bool: decode_bool},
                )
            )
        fields["either"] = (
            None
            if (value := get("either")) is None
            else decode_union(value, at, "either", hook, {dict: Tree.decode, str: decode_str})
        )
        fields["mixed"] = (
            None
            if (value := get("mixed")) is None
            else decode_list(
                value,
                at,
                "mixed",
                hook,
                lambda value, at, key, hook: decode_union(
                    value, at, key, hook, {dict: Tree.decode, int: decode_int, bool: decode_bool}
                ),
            )
        )
        fields["one_or_many"] = (
            None
            if (value := get("one_or_many")) is None
            else decode_union(
                value,
                at,
                "one_or_many",
                hook,
                {str: decode_str, list: lambda value, at, key, hook: decode_list(value, at, key, hook, decode_str)},
            )
        )
        fields["map_or_moment"] = (
            None
            if (value := get("map_or_moment")) is None
            else decode_union(
                value,
                at,
                "map_or_moment",
                hook,
                {
                    dict: lambda value, at, key, hook: decode_map(
                        value,
                        at,
                        key,
                        hook,
                        lambda value, at, key, hook: decode_list(
                            value,
                            at,
                            key,
                            hook,
                            lambda value, at, key, hook: decode_list(value, at, key, hook, decode_int),
                        ),
                    ),
                    str: decode_datetime,
                },
            )
        )
        fields["grid"] = (
            None
            if (value := get("grid")) is None
            else decode_map(
                value,
                at,
                "grid",
                hook,
                lambda value, at, key, hook: decode_list(
                    value, at, key, hook, lambda value, at, key, hook: decode_list(value, at, key, hook, decode_int)
                ),
            )
        )
        fields["branches"] = (
            None
            if (value := get("branches")) is None
            else decode_map_of_objects(Tree.from_dict, value, at, "branches", hook)
        )
        fields["shelf"] = (
            None if (value := get("shelf")) is None else decode_object(Shelf.from_dict, value, at, "shelf", hook)
        )
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
        if (value := self.anything) is not None:
            encoded["anything"] = encode(value)
        if (value := self.boolean) is not None:
            encoded["boolean"] = value if type(value) is bool else encode(value)
        if (value := self.integer) is not None:
            encoded["integer"] = value if type(value) is int else encode(value)
        if (value := self.number) is not None:
            encoded["number"] = value if type(value) is float else encode(value)
        if (value := self.string) is not None:
            encoded["string"] = value if type(value) is str else encode(value)
        if (value := self.date) is not None:
            encoded["date"] = encode(value)
        if (value := self.moment) is not None:
            encoded["moment"] = encode(value)
        if (value := self.uuid) is not None:
            encoded["uuid"] = encode(value)
        if (value := self.key) is not None:
            encoded["key"] = encode(value)
        if (value := self.old) is not None:
            encoded["old"] = value if type(value) is str else encode(value)
        if (value := self.open) is not None:
            encoded["open"] = value if type(value) is str else encode(value)
        if (value := self.level) is not None:
            encoded["level"] = value if type(value) is int else encode(value)
        if (value := self.matrix) is not None:
            encoded["matrix"] = encode(value)
        if (value := self.moments) is not None:
            encoded["moments"] = encode(value)
        if (value := self.list_) is not None:
            encoded["list"] = value.to_dict() if type(value) is List else encode(value)
        if (value := self.scalar) is not None:
            encoded["scalar"] = encode(value)
        if (value := self.either) is not None:
            encoded["either"] = encode(value)
        if (value := self.mixed) is not None:
            encoded["mixed"] = encode(value)
        if (value := self.one_or_many) is not None:
            encoded["one_or_many"] = encode(value)
        if (value := self.map_or_moment) is not None:
            encoded["map_or_moment"] = encode(value)
        if (value := self.grid) is not None:
            encoded["grid"] = encode(value)
        if (value := self.branches) is not None:
            encoded["branches"] = encode(value)
        if (value := self.shelf) is not None:
            encoded["shelf"] = value.to_dict() if type(value) is Shelf else encode(value)
        return encoded


from .branches import Branches
from .grid import Grid
from .list_ import List
from .shelf import Shelf
from .tree import Tree
