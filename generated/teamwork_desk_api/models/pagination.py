from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from attrs import field as _field
from attrs import frozen as _frozen

from ..types import At, Hook, decode_bool, decode_int, decode_object, encode, encode_values, ignore


@_frozen(kw_only=True, slots=False)
class Pagination:
    """The position of a page in a listing."""

    records: int | None = None
    """The number of objects on all pages."""
    page_size: int | None = None
    """The number of objects per page."""
    pages: int | None = None
    """The number of pages."""
    page: int | None = None
    """The number of this page, from 1."""
    has_more_pages: bool | None = None
    """Whether another page follows."""
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
        fields["records"] = (
            value
            if type(value := pop("records", None)) is int or value is None
            else decode_int(value, at, "records", hook)
        )
        fields["page_size"] = (
            value
            if type(value := pop("pageSize", None)) is int or value is None
            else decode_int(value, at, "pageSize", hook)
        )
        fields["pages"] = (
            value if type(value := pop("pages", None)) is int or value is None else decode_int(value, at, "pages", hook)
        )
        fields["page"] = (
            value if type(value := pop("page", None)) is int or value is None else decode_int(value, at, "page", hook)
        )
        fields["has_more_pages"] = (
            value
            if type(value := pop("hasMorePages", None)) is bool or value is None
            else decode_bool(value, at, "hasMorePages", hook)
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
        if (value := fields["records"]) is not None:
            encoded["records"] = encode(value)
        if (value := fields["page_size"]) is not None:
            encoded["pageSize"] = encode(value)
        if (value := fields["pages"]) is not None:
            encoded["pages"] = encode(value)
        if (value := fields["page"]) is not None:
            encoded["page"] = encode(value)
        if (value := fields["has_more_pages"]) is not None:
            encoded["hasMorePages"] = encode(value)
        return encoded
