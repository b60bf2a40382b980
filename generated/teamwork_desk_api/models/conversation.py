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
        self = object.__new__(cls)
        # Storing the fields directly takes half the time of calling __init__ with them.
        fields = self.__dict__
        rest = {**source}
        pop = rest.pop
        value: Any
        fields["id"] = (
            value if type(value := pop("id", None)) is int or value is None else decode_int(value, at, "id", hook)
        )
        fields["ticket_id"] = (
            value
            if type(value := pop("ticket_id", None)) is int or value is None
            else decode_int(value, at, "ticket_id", hook)
        )
        fields["state"] = (
            value if type(value := pop("state", None)) is str or value is None else decode_str(value, at, "state", hook)
        )
        fields["contact"] = (
            None
            if (value := pop("contact", None)) is None
            else decode_object(Contact.from_dict, value, at, "contact", hook)
        )
        fields["contact_id"] = (
            value
            if type(value := pop("contactId", None)) is int or value is None
            else decode_int(value, at, "contactId", hook)
        )
        fields["messages"] = (
            None
            if (value := pop("messages", None)) is None
            else decode_list_of_objects(EntityRef.from_dict, value, at, "messages", hook)
        )
        fields["users"] = (
            None
            if (value := pop("users", None)) is None
            else decode_list_of_objects(EntityRef.from_dict, value, at, "users", hook)
        )
        fields["token"] = (
            value if type(value := pop("token", None)) is str or value is None else decode_str(value, at, "token", hook)
        )
        fields["socket_id"] = (
            value
            if type(value := pop("socket_id", None)) is str or value is None
            else decode_str(value, at, "socket_id", hook)
        )
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
            if (value := pop("filter_args", None)) is None
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
        fields = self.__dict__
        value: Any
        encoded: dict[str, Any] = encode_values(rest) if (rest := fields["additional_properties"]) else {}
        if (value := fields["id"]) is not None:
            encoded["id"] = value if type(value) is int else encode(value)
        if (value := fields["ticket_id"]) is not None:
            encoded["ticket_id"] = encode(value)
        if (value := fields["state"]) is not None:
            encoded["state"] = encode(value)
        if (value := fields["contact"]) is not None:
            encoded["contact"] = encode(value)
        if (value := fields["contact_id"]) is not None:
            encoded["contactId"] = encode(value)
        if (value := fields["messages"]) is not None:
            encoded["messages"] = encode(value)
        if (value := fields["users"]) is not None:
            encoded["users"] = encode(value)
        if (value := fields["token"]) is not None:
            encoded["token"] = encode(value)
        if (value := fields["socket_id"]) is not None:
            encoded["socket_id"] = encode(value)
        if (value := fields["created_at"]) is not None:
            encoded["createdAt"] = encode(value)
        if (value := fields["created_by"]) is not None:
            encoded["createdBy"] = encode(value)
        if (value := fields["updated_at"]) is not None:
            encoded["updatedAt"] = encode(value)
        if (value := fields["updated_by"]) is not None:
            encoded["updatedBy"] = encode(value)
        if (value := fields["deleted_at"]) is not None:
            encoded["deletedAt"] = encode(value)
        if (value := fields["deleted_by"]) is not None:
            encoded["deletedBy"] = encode(value)
        if (value := fields["filter_args"]) is not None:
            encoded["filter_args"] = encode(value)
        return encoded


from .contact import Contact
from .entity_ref import EntityRef
from .filter_args import FilterArgs
