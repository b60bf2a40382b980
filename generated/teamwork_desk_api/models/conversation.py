from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, Literal, Self

from attrs import field as _field
from attrs import frozen as _frozen

from ..types import (
    At,
    Hook,
    decode_datetime,
    decode_int,
    decode_list_of_objects,
    decode_object,
    decode_str,
    encode,
    encode_values,
    ignore,
)

_KNOWN = frozenset(
    {
        "id",
        "ticket_id",
        "state",
        "contact",
        "contactId",
        "messages",
        "users",
        "token",
        "socket_id",
        "createdAt",
        "createdBy",
        "updatedAt",
        "updatedBy",
        "deletedAt",
        "deletedBy",
        "filter_args",
    }
)


@_frozen(kw_only=True, slots=False)
class Conversation:
    """A chat with a customer, which can become a ticket."""

    id: int | None = None
    """The conversation's id."""
    ticket_id: int | None = None
    """The id of the conversation's ticket; null or 0 until the conversation is converted."""
    state: Literal["active", "closed", "deleted"] | str | None = None
    """Typically `active`, `closed` or `deleted`."""
    contact: Contact | None = None
    """How to reach the customer."""
    contact_id: int | None = None
    """The contact's id."""
    messages: list[EntityRef] | None = None
    """The chat's messages."""
    users: list[EntityRef] | None = None
    """The agents who take part."""
    token: str | None = _field(default=None, repr=False)
    """A secret that gives access to the conversation."""
    socket_id: str | None = _field(default=None, repr=False)
    """The id of the chat's live connection."""
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
    """The query that the object was read with."""
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
        if type(value := get("id")) is not int:
            fields["id"] = None if value is None else decode_int(value, at, "id", hook)
        if type(value := get("ticket_id")) is not int:
            fields["ticket_id"] = None if value is None else decode_int(value, at, "ticket_id", hook)
        if type(value := get("state")) is not str:
            fields["state"] = None if value is None else decode_str(value, at, "state", hook)
        fields["contact"] = (
            None if (value := get("contact")) is None else decode_object(Contact.from_dict, value, at, "contact", hook)
        )
        fields["contact_id"] = (
            value
            if (value := pop("contactId", None)) is None or type(value) is int
            else decode_int(value, at, "contactId", hook)
        )
        fields["messages"] = (
            None
            if (value := get("messages")) is None
            else decode_list_of_objects(EntityRef.from_dict, value, at, "messages", hook)
        )
        fields["users"] = (
            None
            if (value := get("users")) is None
            else decode_list_of_objects(EntityRef.from_dict, value, at, "users", hook)
        )
        if type(value := get("token")) is not str:
            fields["token"] = None if value is None else decode_str(value, at, "token", hook)
        if type(value := get("socket_id")) is not str:
            fields["socket_id"] = None if value is None else decode_str(value, at, "socket_id", hook)
        fields["created_at"] = (
            None if (value := pop("createdAt", None)) is None else decode_datetime(value, at, "createdAt", hook)
        )
        fields["created_by"] = (
            None
            if (value := pop("createdBy", None)) is None
            else decode_object(EntityRef.from_dict, value, at, "createdBy", hook)
        )
        fields["updated_at"] = (
            None if (value := pop("updatedAt", None)) is None else decode_datetime(value, at, "updatedAt", hook)
        )
        fields["updated_by"] = (
            None
            if (value := pop("updatedBy", None)) is None
            else decode_object(EntityRef.from_dict, value, at, "updatedBy", hook)
        )
        fields["deleted_at"] = (
            None if (value := pop("deletedAt", None)) is None else decode_datetime(value, at, "deletedAt", hook)
        )
        fields["deleted_by"] = (
            None
            if (value := pop("deletedBy", None)) is None
            else decode_object(EntityRef.from_dict, value, at, "deletedBy", hook)
        )
        fields["filter_args"] = (
            None
            if (value := get("filter_args")) is None
            else decode_object(FilterArgs.from_dict, value, at, "filter_args", hook)
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
        if (value := self.id) is not None:
            encoded["id"] = value if type(value) is int else encode(value)
        if (value := self.ticket_id) is not None:
            encoded["ticket_id"] = value if type(value) is int else encode(value)
        if (value := self.state) is not None:
            encoded["state"] = value if type(value) is str else encode(value)
        if (value := self.contact) is not None:
            encoded["contact"] = value.to_dict() if type(value) is Contact else encode(value)
        if (value := self.contact_id) is not None:
            encoded["contactId"] = value if type(value) is int else encode(value)
        if (value := self.messages) is not None:
            encoded["messages"] = encode(value)
        if (value := self.users) is not None:
            encoded["users"] = encode(value)
        if (value := self.token) is not None:
            encoded["token"] = value if type(value) is str else encode(value)
        if (value := self.socket_id) is not None:
            encoded["socket_id"] = value if type(value) is str else encode(value)
        if (value := self.created_at) is not None:
            encoded["createdAt"] = encode(value)
        if (value := self.created_by) is not None:
            encoded["createdBy"] = value.to_dict() if type(value) is EntityRef else encode(value)
        if (value := self.updated_at) is not None:
            encoded["updatedAt"] = encode(value)
        if (value := self.updated_by) is not None:
            encoded["updatedBy"] = value.to_dict() if type(value) is EntityRef else encode(value)
        if (value := self.deleted_at) is not None:
            encoded["deletedAt"] = encode(value)
        if (value := self.deleted_by) is not None:
            encoded["deletedBy"] = value.to_dict() if type(value) is EntityRef else encode(value)
        if (value := self.filter_args) is not None:
            encoded["filter_args"] = value.to_dict() if type(value) is FilterArgs else encode(value)
        return encoded


from .contact import Contact
from .entity_ref import EntityRef
from .filter_args import FilterArgs
