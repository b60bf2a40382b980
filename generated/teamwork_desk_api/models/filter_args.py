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
        self = object.__new__(cls)
        # Storing the fields directly takes half the time of calling __init__ with them.
        fields = self.__dict__
        rest = {**source}
        pop = rest.pop
        value: Any
        fields["aggregate"] = (
            None
            if (value := pop("aggregate", None)) is None
            else decode_object(Aggregate.from_dict, value, at, "aggregate", hook)
        )
        fields["bulk_dry_execute"] = (
            value
            if type(value := pop("bulkDryExecute", None)) is bool or value is None
            else decode_bool(value, at, "bulkDryExecute", hook)
        )
        fields["fields"] = (
            None if (value := pop("fields", None)) is None else decode_list(value, at, "fields", hook, decode_str)
        )
        fields["filter"] = (
            None if (value := pop("filter", None)) is None else decode_list(value, at, "filter", hook, decode_str)
        )
        fields["id"] = (
            value if type(value := pop("id", None)) is int or value is None else decode_int(value, at, "id", hook)
        )
        fields["ids"] = None if (value := pop("ids", None)) is None else decode_list(value, at, "ids", hook, decode_int)
        fields["includes"] = (
            None if (value := pop("includes", None)) is None else decode_list(value, at, "includes", hook, decode_str)
        )
        fields["order_by"] = (
            value
            if type(value := pop("orderBy", None)) is str or value is None
            else decode_str(value, at, "orderBy", hook)
        )
        fields["order_mode"] = (
            value
            if type(value := pop("orderMode", None)) is str or value is None
            else decode_str(value, at, "orderMode", hook)
        )
        fields["page"] = (
            value if type(value := pop("page", None)) is int or value is None else decode_int(value, at, "page", hook)
        )
        fields["page_offset"] = (
            value
            if type(value := pop("pageOffset", None)) is int or value is None
            else decode_int(value, at, "pageOffset", hook)
        )
        fields["page_size"] = (
            value
            if type(value := pop("pageSize", None)) is int or value is None
            else decode_int(value, at, "pageSize", hook)
        )
        fields["skip_aggregation"] = (
            value
            if type(value := pop("skipAggregation", None)) is bool or value is None
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
        fields = self.__dict__
        value: Any
        encoded: dict[str, Any] = encode_values(rest) if (rest := fields["additional_properties"]) else {}
        if (value := fields["aggregate"]) is not None:
            encoded["aggregate"] = encode(value)
        if (value := fields["bulk_dry_execute"]) is not None:
            encoded["bulkDryExecute"] = encode(value)
        if (value := fields["fields"]) is not None:
            encoded["fields"] = encode(value)
        if (value := fields["filter"]) is not None:
            encoded["filter"] = encode(value)
        if (value := fields["id"]) is not None:
            encoded["id"] = encode(value)
        if (value := fields["ids"]) is not None:
            encoded["ids"] = encode(value)
        if (value := fields["includes"]) is not None:
            encoded["includes"] = encode(value)
        if (value := fields["order_by"]) is not None:
            encoded["orderBy"] = encode(value)
        if (value := fields["order_mode"]) is not None:
            encoded["orderMode"] = encode(value)
        if (value := fields["page"]) is not None:
            encoded["page"] = encode(value)
        if (value := fields["page_offset"]) is not None:
            encoded["pageOffset"] = encode(value)
        if (value := fields["page_size"]) is not None:
            encoded["pageSize"] = encode(value)
        if (value := fields["skip_aggregation"]) is not None:
            encoded["skipAggregation"] = encode(value)
        return encoded


from .aggregate import Aggregate
