from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from attrs import field as _field
from attrs import frozen as _frozen

from ..types import At, Hook, decode_bool, decode_int, decode_object, encode, ignore


@_frozen(kw_only=True, slots=False)
class Pagination:
    """Where a page stands in the whole."""

    records: int | None = None
    """Objects on all pages."""
    page_size: int | None = None
    """Objects per page."""
    pages: int | None = None
    """Pages."""
    page: int | None = None
    """This page, from 1."""
    has_more_pages: bool | None = None
    """Whether another page follows."""
    additional_properties: dict[str, Any] = _field(factory=dict[str, Any], repr=False)
    """What the contract does not know."""

    @classmethod
    def from_dict(cls, source: Mapping[str, Any], at: At = None, hook: Hook = ignore) -> Self:
        """Read it leniently from what JSON holds; the hook is told of what the contract does not foresee."""
        rest = {**source}
        pop = rest.pop
        return cls(
            records=value
            if (value := pop("records", None)) is None or value.__class__ is int
            else decode_int(value, at, "records", hook),
            page_size=value
            if (value := pop("pageSize", None)) is None or value.__class__ is int
            else decode_int(value, at, "pageSize", hook),
            pages=value
            if (value := pop("pages", None)) is None or value.__class__ is int
            else decode_int(value, at, "pages", hook),
            page=value
            if (value := pop("page", None)) is None or value.__class__ is int
            else decode_int(value, at, "page", hook),
            has_more_pages=value
            if (value := pop("hasMorePages", None)) is None or value.__class__ is bool
            else decode_bool(value, at, "hasMorePages", hook),
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
        if (value := self.records) is not None:
            encoded["records"] = value if value.__class__ is int else encode(value)
        if (value := self.page_size) is not None:
            encoded["pageSize"] = value if value.__class__ is int else encode(value)
        if (value := self.pages) is not None:
            encoded["pages"] = value if value.__class__ is int else encode(value)
        if (value := self.page) is not None:
            encoded["page"] = value if value.__class__ is int else encode(value)
        if (value := self.has_more_pages) is not None:
            encoded["hasMorePages"] = value if value.__class__ is bool else encode(value)
        return encoded
