from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from attrs import field as _field
from attrs import frozen as _frozen

from ..types import (
    At,
    Hook,
    decode_any,
    decode_bool,
    decode_int,
    decode_list,
    decode_list_of_objects,
    decode_map,
    decode_object,
    decode_str,
    decode_union,
    encode,
    encode_values,
    ignore,
)


@_frozen(kw_only=True, slots=False)
class ConvertConversation:
    """The ticket that a conversation becomes."""

    agent: EntityRef | None = None
    """The agent who gets the ticket."""
    bcc: list[str] | None = _field(default=None, repr=False)
    """Addresses of the BCC for the initial message."""
    cc: list[str] | None = _field(default=None, repr=False)
    """Addresses of the CC for the initial message."""
    customer: CustomerRef | None = None
    """The customer, by id or by email, but not both."""
    customfields: list[CustomField] | None = None
    """The custom fields available to the ticket."""
    edit_method: Literal["html", "markdown"] | str | None = None
    """The default input method for editing tickets."""
    email: str | None = _field(default=None, repr=False)
    """The email of a customer that is created and then associated with the ticket. Deprecated: use `customer.email`."""
    files: list[EntityRef] | None = None
    """The attachments."""
    from_thread_id: int | None = None
    """When set, this thread's message body and customer are used to create the ticket. `fromTicketId` is also
    required if that ticket is archived."""
    from_ticket_id: int | None = None
    """The ticket of the thread in `fromThreadId`. Only required if that ticket is archived."""
    inbox: EntityRef | None = None
    """The inbox the ticket goes to."""
    message: str | None = _field(default=None, repr=False)
    """The ticket's initial message."""
    notify_customer: bool | None = None
    """Whether to notify the customer when an agent creates a ticket on behalf of the customer."""
    parent: EntityRef | None = None
    """The parent ticket."""
    priority: EntityRef | None = None
    """The priority."""
    scheduled_email: ScheduledEmail | None = _field(default=None, repr=False)
    """The scheduled email."""
    send_from: str | None = _field(default=None, repr=False)
    """The inbox alias that email notifications are sent from."""
    source: EntityRef | None = None
    """Where the ticket comes from."""
    status: EntityRef | None = None
    """The status."""
    subject: str | None = _field(default=None, repr=False)
    """The ticket's subject."""
    tags: list[EntityRef | str] | None = None
    """The words or tags the ticket is tagged with."""
    tickettemplate: EntityRef | None = None
    """The ticket template."""
    type: EntityRef | None = None
    """The ticket type."""
    additional_properties: dict[str, Any] = _field(factory=dict[str, Any], repr=False)
    """Properties that the contract does not describe. None is sent as null, while a field that is None is omitted."""

    @classmethod
    def from_dict(cls, source: Mapping[str, Any], at: At = None, hook: Hook = ignore) -> Self:
        """Decode leniently from a JSON object. Values that the contract does not allow are reported to the hook."""
        self = object.__new__(cls)
        # Storing the fields directly takes half the time of calling __init__ with them.
        fields = self.__dict__
        rest = {**source}
        pop = rest.pop
        value: Any
        fields["agent"] = (
            None
            if (value := pop("agent", None)) is None
            else decode_object(EntityRef.from_dict, value, at, "agent", hook)
        )
        fields["bcc"] = None if (value := pop("bcc", None)) is None else decode_list(value, at, "bcc", hook, decode_str)
        fields["cc"] = None if (value := pop("cc", None)) is None else decode_list(value, at, "cc", hook, decode_str)
        fields["customer"] = (
            None
            if (value := pop("customer", None)) is None
            else decode_object(CustomerRef.from_dict, value, at, "customer", hook)
        )
        fields["customfields"] = (
            None
            if (value := pop("customfields", None)) is None
            else decode_list_of_objects(CustomField.from_dict, value, at, "customfields", hook)
        )
        fields["edit_method"] = (
            value
            if type(value := pop("editMethod", None)) is str or value is None
            else decode_str(value, at, "editMethod", hook)
        )
        fields["email"] = (
            value if type(value := pop("email", None)) is str or value is None else decode_str(value, at, "email", hook)
        )
        fields["files"] = (
            None
            if (value := pop("files", None)) is None
            else decode_list_of_objects(EntityRef.from_dict, value, at, "files", hook)
        )
        fields["from_thread_id"] = (
            value
            if type(value := pop("fromThreadId", None)) is int or value is None
            else decode_int(value, at, "fromThreadId", hook)
        )
        fields["from_ticket_id"] = (
            value
            if type(value := pop("fromTicketId", None)) is int or value is None
            else decode_int(value, at, "fromTicketId", hook)
        )
        fields["inbox"] = (
            None
            if (value := pop("inbox", None)) is None
            else decode_object(EntityRef.from_dict, value, at, "inbox", hook)
        )
        fields["message"] = (
            value
            if type(value := pop("message", None)) is str or value is None
            else decode_str(value, at, "message", hook)
        )
        fields["notify_customer"] = (
            value
            if type(value := pop("notifyCustomer", None)) is bool or value is None
            else decode_bool(value, at, "notifyCustomer", hook)
        )
        fields["parent"] = (
            None
            if (value := pop("parent", None)) is None
            else decode_object(EntityRef.from_dict, value, at, "parent", hook)
        )
        fields["priority"] = (
            None
            if (value := pop("priority", None)) is None
            else decode_object(EntityRef.from_dict, value, at, "priority", hook)
        )
        fields["scheduled_email"] = (
            None
            if (value := pop("scheduledEmail", None)) is None
            else decode_map(value, at, "scheduledEmail", hook, decode_any)
        )
        fields["send_from"] = (
            value
            if type(value := pop("sendFrom", None)) is str or value is None
            else decode_str(value, at, "sendFrom", hook)
        )
        fields["source"] = (
            None
            if (value := pop("source", None)) is None
            else decode_object(EntityRef.from_dict, value, at, "source", hook)
        )
        fields["status"] = (
            None
            if (value := pop("status", None)) is None
            else decode_object(EntityRef.from_dict, value, at, "status", hook)
        )
        fields["subject"] = (
            value
            if type(value := pop("subject", None)) is str or value is None
            else decode_str(value, at, "subject", hook)
        )
        fields["tags"] = (
            None
            if (value := pop("tags", None)) is None
            else decode_list(
                value,
                at,
                "tags",
                hook,
                lambda value, at, key, hook: decode_union(
                    value, at, key, hook, {dict: EntityRef.decode, str: decode_str}
                ),
            )
        )
        fields["tickettemplate"] = (
            None
            if (value := pop("tickettemplate", None)) is None
            else decode_object(EntityRef.from_dict, value, at, "tickettemplate", hook)
        )
        fields["type"] = (
            None
            if (value := pop("type", None)) is None
            else decode_object(EntityRef.from_dict, value, at, "type", hook)
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
        if (value := fields["agent"]) is not None:
            encoded["agent"] = value.to_dict() if type(value) is EntityRef else encode(value)
        if (value := fields["bcc"]) is not None:
            encoded["bcc"] = encode(value)
        if (value := fields["cc"]) is not None:
            encoded["cc"] = encode(value)
        if (value := fields["customer"]) is not None:
            encoded["customer"] = value.to_dict() if type(value) is CustomerRef else encode(value)
        if (value := fields["customfields"]) is not None:
            encoded["customfields"] = encode(value)
        if (value := fields["edit_method"]) is not None:
            encoded["editMethod"] = value if type(value) is str else encode(value)
        if (value := fields["email"]) is not None:
            encoded["email"] = value if type(value) is str else encode(value)
        if (value := fields["files"]) is not None:
            encoded["files"] = encode(value)
        if (value := fields["from_thread_id"]) is not None:
            encoded["fromThreadId"] = value if type(value) is int else encode(value)
        if (value := fields["from_ticket_id"]) is not None:
            encoded["fromTicketId"] = value if type(value) is int else encode(value)
        if (value := fields["inbox"]) is not None:
            encoded["inbox"] = value.to_dict() if type(value) is EntityRef else encode(value)
        if (value := fields["message"]) is not None:
            encoded["message"] = value if type(value) is str else encode(value)
        if (value := fields["notify_customer"]) is not None:
            encoded["notifyCustomer"] = value if type(value) is bool else encode(value)
        if (value := fields["parent"]) is not None:
            encoded["parent"] = value.to_dict() if type(value) is EntityRef else encode(value)
        if (value := fields["priority"]) is not None:
            encoded["priority"] = value.to_dict() if type(value) is EntityRef else encode(value)
        if (value := fields["scheduled_email"]) is not None:
            encoded["scheduledEmail"] = encode(value)
        if (value := fields["send_from"]) is not None:
            encoded["sendFrom"] = value if type(value) is str else encode(value)
        if (value := fields["source"]) is not None:
            encoded["source"] = value.to_dict() if type(value) is EntityRef else encode(value)
        if (value := fields["status"]) is not None:
            encoded["status"] = value.to_dict() if type(value) is EntityRef else encode(value)
        if (value := fields["subject"]) is not None:
            encoded["subject"] = value if type(value) is str else encode(value)
        if (value := fields["tags"]) is not None:
            encoded["tags"] = encode(value)
        if (value := fields["tickettemplate"]) is not None:
            encoded["tickettemplate"] = value.to_dict() if type(value) is EntityRef else encode(value)
        if (value := fields["type"]) is not None:
            encoded["type"] = value.to_dict() if type(value) is EntityRef else encode(value)
        return encoded


from .custom_field import CustomField
from .customer_ref import CustomerRef
from .entity_ref import EntityRef
from .scheduled_email import ScheduledEmail
