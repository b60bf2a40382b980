from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, Literal, Self

from attrs import field as _field
from attrs import frozen as _frozen

from ..types import At, Hook, decode_datetime, decode_int, decode_list, decode_object, decode_str, encode, ignore


@_frozen(kw_only=True, slots=False)
class Conversation:
    """Conversation represents a Conversation."""

    id: int | None = None
    """The conversation's id."""
    ticket_id: int | None = None
    """The id of the ticket it was converted to; null or 0 while it is not converted."""
    state: Literal["active", "deleted"] | str | None = None
    """Typically `active` or `deleted`."""
    contact: Contact | None = None
    """The way to reach the customer."""
    contact_id: int | None = None
    """The contact's id."""
    messages: list[EntityRef] | None = None
    """The chat's messages."""
    users: list[EntityRef] | None = None
    """The agents who take part."""
    token: str | None = _field(default=None, repr=False)
    """A secret that gives access to the conversation."""
    socket_id: str | None = _field(default=None, repr=False)
    """The chat's live connection."""
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
            ticket_id=decode_int(pop("ticket_id", None), at, "ticket_id", hook),
            state=decode_str(pop("state", None), at, "state", hook),
            contact=decode_object(Contact.from_dict, pop("contact", None), at, "contact", hook),
            contact_id=decode_int(pop("contactId", None), at, "contactId", hook),
            messages=decode_list(pop("messages", None), at, "messages", hook, EntityRef.decode),
            users=decode_list(pop("users", None), at, "users", hook, EntityRef.decode),
            token=decode_str(pop("token", None), at, "token", hook),
            socket_id=decode_str(pop("socket_id", None), at, "socket_id", hook),
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
        encoded: dict[str, Any] = {key: encode(entry) for key, entry in self.additional_properties.items()}
        value: Any
        if (value := self.id) is not None:
            encoded["id"] = value if value.__class__ is int else encode(value)
        if (value := self.ticket_id) is not None:
            encoded["ticket_id"] = value if value.__class__ is int else encode(value)
        if (value := self.state) is not None:
            encoded["state"] = value if value.__class__ is str else encode(value)
        if (value := self.contact) is not None:
            encoded["contact"] = encode(value)
        if (value := self.contact_id) is not None:
            encoded["contactId"] = value if value.__class__ is int else encode(value)
        if (value := self.messages) is not None:
            encoded["messages"] = encode(value)
        if (value := self.users) is not None:
            encoded["users"] = encode(value)
        if (value := self.token) is not None:
            encoded["token"] = value if value.__class__ is str else encode(value)
        if (value := self.socket_id) is not None:
            encoded["socket_id"] = value if value.__class__ is str else encode(value)
        if (value := self.created_at) is not None:
            encoded["createdAt"] = encode(value)
        if (value := self.created_by) is not None:
            encoded["createdBy"] = encode(value)
        if (value := self.updated_at) is not None:
            encoded["updatedAt"] = encode(value)
        if (value := self.updated_by) is not None:
            encoded["updatedBy"] = encode(value)
        if (value := self.deleted_at) is not None:
            encoded["deletedAt"] = encode(value)
        if (value := self.deleted_by) is not None:
            encoded["deletedBy"] = encode(value)
        if (value := self.filter_args) is not None:
            encoded["filter_args"] = encode(value)
        return encoded


from .contact import Contact
from .entity_ref import EntityRef
from .filter_args import FilterArgs
