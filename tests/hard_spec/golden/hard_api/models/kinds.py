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
    encode_date,
    encode_datetime,
    encode_values,
    ignore,
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
    days: Days | None = None
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
        self = object.__new__(cls)
        # Storing the fields directly takes half the time of calling __init__ with them.
        fields = self.__dict__
        rest = {**source}
        pop = rest.pop
        value: Any
        fields["anything"] = pop("anything", None)
        fields["boolean"] = (
            value
            if type(value := pop("boolean", None)) is bool or value is None
            else decode_bool(value, at, "boolean", hook)
        )
        fields["integer"] = (
            value
            if type(value := pop("integer", None)) is int or value is None
            else decode_int(value, at, "integer", hook)
        )
        fields["number"] = (
            value
            if type(value := pop("number", None)) is float or type(value) is int or value is None
            else decode_float(value, at, "number", hook)
        )
        fields["string"] = (
            value
            if type(value := pop("string", None)) is str or value is None
            else decode_str(value, at, "string", hook)
        )
        fields["date"] = None if (value := pop("date", None)) is None else decode_date(value, at, "date", hook)
        fields["days"] = (
            None
            if (value := pop("days", None)) is None
            else decode_map(
                value, at, "days", hook, lambda value, at, key, hook: decode_list(value, at, key, hook, decode_date)
            )
        )
        fields["moment"] = (
            None if (value := pop("moment", None)) is None else decode_datetime(value, at, "moment", hook)
        )
        fields["uuid"] = None if (value := pop("uuid", None)) is None else decode_uuid(value, at, "uuid", hook)
        fields["key"] = None if (value := pop("key", None)) is None else decode_uuid(value, at, "key", hook)
        fields["old"] = (
            value if type(value := pop("old", None)) is str or value is None else decode_str(value, at, "old", hook)
        )
        fields["open"] = (
            value if type(value := pop("open", None)) is str or value is None else decode_str(value, at, "open", hook)
        )
        fields["level"] = (
            value if type(value := pop("level", None)) is int or value is None else decode_int(value, at, "level", hook)
        )
        fields["matrix"] = (
            None
            if (value := pop("matrix", None)) is None
            else decode_list(
                value, at, "matrix", hook, lambda value, at, key, hook: decode_list(value, at, key, hook, decode_float)
            )
        )
        fields["moments"] = (
            None
            if (value := pop("moments", None)) is None
            else decode_list(value, at, "moments", hook, decode_datetime)
        )
        fields["list_"] = (
            None if (value := pop("list", None)) is None else decode_object(List.from_dict, value, at, "list", hook)
        )
        fields["scalar"] = (
            value
            if type(value := pop("scalar", None)) is float
            or type(value) is int
            or type(value) is str
            or type(value) is bool
            or value is None
            else decode_union(
                value, at, "scalar", hook, {int: decode_float, float: decode_float, str: decode_str, bool: decode_bool}
            )
        )
        fields["either"] = (
            None
            if (value := pop("either", None)) is None
            else decode_union(value, at, "either", hook, {dict: Tree.decode, str: decode_str})
        )
        fields["mixed"] = (
            None
            if (value := pop("mixed", None)) is None
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
            if (value := pop("one_or_many", None)) is None
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
            if (value := pop("map_or_moment", None)) is None
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
            if (value := pop("grid", None)) is None
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
            if (value := pop("branches", None)) is None
            else decode_map_of_objects(Tree.from_dict, value, at, "branches", hook)
        )
        fields["shelf"] = (
            None if (value := pop("shelf", None)) is None else decode_object(Shelf.from_dict, value, at, "shelf", hook)
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
        if (value := fields["anything"]) is not None:
            encoded["anything"] = encode(value)
        if (value := fields["boolean"]) is not None:
            encoded["boolean"] = value if type(value) is bool else encode(value)
        if (value := fields["integer"]) is not None:
            encoded["integer"] = value if type(value) is int else encode(value)
        if (value := fields["number"]) is not None:
            encoded["number"] = value if type(value) is float else encode(value)
        if (value := fields["string"]) is not None:
            encoded["string"] = value if type(value) is str else encode(value)
        if (value := fields["date"]) is not None:
            encoded["date"] = encode_date(value)
        if (value := fields["days"]) is not None:
            encoded["days"] = encode_date(value)
        if (value := fields["moment"]) is not None:
            encoded["moment"] = encode_datetime(value)
        if (value := fields["uuid"]) is not None:
            encoded["uuid"] = encode(value)
        if (value := fields["key"]) is not None:
            encoded["key"] = encode(value)
        if (value := fields["old"]) is not None:
            encoded["old"] = value if type(value) is str else encode(value)
        if (value := fields["open"]) is not None:
            encoded["open"] = value if type(value) is str else encode(value)
        if (value := fields["level"]) is not None:
            encoded["level"] = encode(value)
        if (value := fields["matrix"]) is not None:
            encoded["matrix"] = encode(value)
        if (value := fields["moments"]) is not None:
            encoded["moments"] = encode(value)
        if (value := fields["list_"]) is not None:
            encoded["list"] = value.to_dict() if type(value) is List else encode(value)
        if (value := fields["scalar"]) is not None:
            encoded["scalar"] = encode(value)
        if (value := fields["either"]) is not None:
            encoded["either"] = encode(value)
        if (value := fields["mixed"]) is not None:
            encoded["mixed"] = encode(value)
        if (value := fields["one_or_many"]) is not None:
            encoded["one_or_many"] = encode(value)
        if (value := fields["map_or_moment"]) is not None:
            encoded["map_or_moment"] = encode(value)
        if (value := fields["grid"]) is not None:
            encoded["grid"] = encode(value)
        if (value := fields["branches"]) is not None:
            encoded["branches"] = encode(value)
        if (value := fields["shelf"]) is not None:
            encoded["shelf"] = value.to_dict() if type(value) is Shelf else encode(value)
        return encoded


from .branches import Branches
from .days import Days
from .grid import Grid
from .list_ import List
from .shelf import Shelf
from .tree import Tree
