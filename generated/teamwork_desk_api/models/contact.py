from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, Literal, Self

from attrs import field as _field
from attrs import frozen as _frozen

from ..types import At, Hook, decode_bool, decode_datetime, decode_int, decode_object, decode_str, encode, ignore


@_frozen(kw_only=True, slots=False)
class Contact:
    """A way to reach a customer, such as an email address."""

    id: int | None = None
    """The contact's id."""
    type: Literal["email"] | str | None = None
    """The kind of contact."""
    value: str | None = _field(default=None, repr=False)
    """The address itself, as `type` says."""
    is_main: bool | None = None
    """Whether it is the customer's main contact."""
    pmfield: str | None = None
    """Not documented."""
    state: Literal["active", "deleted"] | str | None = None
    """Typically `active` or `deleted`."""
    created_at: datetime.datetime | None = None
    """When it was created."""
    created_by: EntityRef | None = None
    """Who created it."""
    updated_at: datetime.datetime | None = None
    """When it was last changed."""
    updated_by: EntityRef | None = None
    """Who last changed it."""
    deleted_at: datetime.datetime | None = None
    """When it was deleted."""
    deleted_by: EntityRef | None = None
    """Who deleted it."""
    filter_args: FilterArgs | None = None
    """The query it was read with."""
    additional_properties: dict[str, Any] = _field(factory=dict[str, Any], repr=False)
    """What the contract does not know."""

    @classmethod
    def from_dict(cls, source: Mapping[str, Any], at: At = None, hook: Hook = ignore) -> Self:
        """Read it leniently from what JSON holds; the hook is told of what the contract does not foresee."""
        rest = {**source}
        pop = rest.pop
        return cls(
            id=decode_int(pop("id", None), at, "id", hook),
            type=decode_str(pop("type", None), at, "type", hook),
            value=decode_str(pop("value", None), at, "value", hook),
            is_main=decode_bool(pop("isMain", None), at, "isMain", hook),
            pmfield=decode_str(pop("pmfield", None), at, "pmfield", hook),
            state=decode_str(pop("state", None), at, "state", hook),
            created_at=decode_datetime(pop("createdAt", None), at, "createdAt", hook),
            created_by=decode_object(EntityRef.from_dict, pop("createdBy", None), at, "createdBy", hook),
            updated_at=decode_datetime(pop("updatedAt", None), at, "updatedAt", hook),
            updated_by=decode_object(EntityRef.from_dict, pop("updatedBy", None), at, "updatedBy", hook),
            deleted_at=decode_datetime(pop("deletedAt", None), at, "deletedAt", hook),
            deleted_by=decode_object(EntityRef.from_dict, pop("deletedBy", None), at, "deletedBy", hook),
            filter_args=decode_object(FilterArgs.from_dict, pop("filter_args", None), at, "filter_args", hook),
            additional_properties=rest,
        )

    @classmethod
    def decode(cls, value: Any, at: At, key: str, hook: Hook) -> Self | None:
        """Decode it as a part of something larger."""
        return decode_object(cls.from_dict, value, at, key, hook)

    def to_dict(self) -> dict[str, Any]:
        """Write it as JSON holds it; what is None is left out."""
        return encode(
            {
                "id": self.id,
                "type": self.type,
                "value": self.value,
                "isMain": self.is_main,
                "pmfield": self.pmfield,
                "state": self.state,
                "createdAt": self.created_at,
                "createdBy": self.created_by,
                "updatedAt": self.updated_at,
                "updatedBy": self.updated_by,
                "deletedAt": self.deleted_at,
                "deletedBy": self.deleted_by,
                "filter_args": self.filter_args,
            },
            self.additional_properties,
        )


from .entity_ref import EntityRef
from .filter_args import FilterArgs
