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

_KNOWN = frozenset(
    {
        "aggregate",
        "bulkDryExecute",
        "fields",
        "filter",
        "id",
        "ids",
        "includes",
        "orderBy",
        "orderMode",
        "page",
        "pageOffset",
        "pageSize",
        "skipAggregation",
    }
)


@_frozen(kw_only=True, slots=False)
class FilterArgs:
    """The query that an object was read with."""

    aggregate: Aggregate | None = None
    """How the results are aggregated."""
    bulk_dry_execute: bool | None = None
    """Whether a bulk change is a dry run."""
    fields: list[str] | None = None
    """The requested fields."""
    filter: list[str] | None = _field(default=None, repr=False)
    """The filters."""
    id: int | None = None
    """The requested id."""
    ids: list[int] | None = None
    """The requested ids."""
    includes: list[str] | None = None
    """The requested related objects."""
    order_by: str | None = None
    """The field to sort by."""
    order_mode: Literal["asc", "desc"] | str | None = None
    """Ascending or descending."""
    page: int | None = None
    """The page number."""
    page_offset: int | None = None
    """The offset of the page."""
    page_size: int | None = None
    """The number of objects per page."""
    skip_aggregation: bool | None = None
    """Whether to skip the aggregation."""
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
        fields["aggregate"] = (
            None
            if (value := get("aggregate")) is None
            else decode_object(Aggregate.from_dict, value, at, "aggregate", hook)
        )
        fields["bulk_dry_execute"] = (
            value
            if (value := pop("bulkDryExecute", None)) is None or type(value) is bool
            else decode_bool(value, at, "bulkDryExecute", hook)
        )
        fields["fields"] = (
            None if (value := get("fields")) is None else decode_list(value, at, "fields", hook, decode_str)
        )
        fields["filter"] = (
            None if (value := get("filter")) is None else decode_list(value, at, "filter", hook, decode_str)
        )
        if type(value := get("id")) is not int:
            fields["id"] = None if value is None else decode_int(value, at, "id", hook)
        fields["ids"] = None if (value := get("ids")) is None else decode_list(value, at, "ids", hook, decode_int)
        fields["includes"] = (
            None if (value := get("includes")) is None else decode_list(value, at, "includes", hook, decode_str)
        )
        fields["order_by"] = (
            value
            if (value := pop("orderBy", None)) is None or type(value) is str
            else decode_str(value, at, "orderBy", hook)
        )
        fields["order_mode"] = (
            value
            if (value := pop("orderMode", None)) is None or type(value) is str
            else decode_str(value, at, "orderMode", hook)
        )
        if type(value := get("page")) is not int:
            fields["page"] = None if value is None else decode_int(value, at, "page", hook)
        fields["page_offset"] = (
            value
            if (value := pop("pageOffset", None)) is None or type(value) is int
            else decode_int(value, at, "pageOffset", hook)
        )
        fields["page_size"] = (
            value
            if (value := pop("pageSize", None)) is None or type(value) is int
            else decode_int(value, at, "pageSize", hook)
        )
        fields["skip_aggregation"] = (
            value
            if (value := pop("skipAggregation", None)) is None or type(value) is bool
            else decode_bool(value, at, "skipAggregation", hook)
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
        if (value := self.aggregate) is not None:
            encoded["aggregate"] = value.to_dict() if type(value) is Aggregate else encode(value)
        if (value := self.bulk_dry_execute) is not None:
            encoded["bulkDryExecute"] = value if type(value) is bool else encode(value)
        if (value := self.fields) is not None:
            encoded["fields"] = encode(value)
        if (value := self.filter) is not None:
            encoded["filter"] = encode(value)
        if (value := self.id) is not None:
            encoded["id"] = value if type(value) is int else encode(value)
        if (value := self.ids) is not None:
            encoded["ids"] = encode(value)
        if (value := self.includes) is not None:
            encoded["includes"] = encode(value)
        if (value := self.order_by) is not None:
            encoded["orderBy"] = value if type(value) is str else encode(value)
        if (value := self.order_mode) is not None:
            encoded["orderMode"] = value if type(value) is str else encode(value)
        if (value := self.page) is not None:
            encoded["page"] = value if type(value) is int else encode(value)
        if (value := self.page_offset) is not None:
            encoded["pageOffset"] = value if type(value) is int else encode(value)
        if (value := self.page_size) is not None:
            encoded["pageSize"] = value if type(value) is int else encode(value)
        if (value := self.skip_aggregation) is not None:
            encoded["skipAggregation"] = value if type(value) is bool else encode(value)
        return encoded


from .aggregate import Aggregate
