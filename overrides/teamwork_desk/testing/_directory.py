"""The objects of FakeDesk that a ticket refers to by id, such as inboxes, and their listings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from teamwork_desk import (
    Customer,
    CustomFieldDefinition,
    EntityRef,
    Inbox,
    Tag,
    TicketPriority,
    TicketSource,
    TicketStatus,
    TicketType,
    User,
)

from ._listing import Listing
from ._responses import FakeResponse

LISTINGS = {
    "/desk/api/v2/inboxes.json": ("inboxes", Listing("inboxes", ("email", "id", "name"))),
    "/desk/api/v2/ticketstatuses.json": ("statuses", Listing("ticketstatuses", ("code", "id", "name"))),
    "/desk/api/v2/ticketpriorities.json": ("priorities", Listing("ticketpriorities", ("id", "name"))),
    "/desk/api/v2/tickettypes.json": ("types", Listing("tickettypes", ("id", "inboxes.id", "name"))),
    "/desk/api/v2/ticketsources.json": ("sources", Listing("ticketSources", ("id", "name"))),
    "/desk/api/v2/tags.json": ("tags", Listing("tags", ("id", "inboxes.id", "name"))),
    "/desk/api/v2/users.json": ("users", Listing("users", ("email", "id", "inboxes.id", "name"))),
    "/desk/api/v2/customers.json": ("customers", Listing("customers", ("contacts.value", "id", "name"))),
    "/desk/api/v2/customfields.json": ("custom_fields", Listing("customfields", ("id", "name"))),
}
"""For each path the attribute with the objects, and the listing."""


class Directory:
    """The part of FakeDesk with the objects that a ticket refers to by id."""

    def __init__(self) -> None:
        self.inboxes = [
            Inbox(id=7, name="Support", email="support@acme.com", state="active"),
            Inbox(id=8, name="Billing", email="billing@acme.com", state="active"),
        ]
        self.statuses = [
            TicketStatus(id=number, name=name, code=name.lower(), is_custom=False, display_order=number, state="active")
            for number, name in enumerate(("Active", "Waiting", "Solved", "Closed", "Spam"), 1)
        ]
        self.priorities = [
            TicketPriority(id=number, name=name, display_order=number, state="active")
            for number, name in enumerate(("Low", "Medium", "High"), 11)
        ]
        self.types = [
            TicketType(
                id=number,
                name=name,
                inboxes=[EntityRef(id=7, type="inboxes")],
                display_order=number,
                state="active",
            )
            for number, name in enumerate(("Question", "Problem"), 21)
        ]
        self.sources = [
            TicketSource(id=number, name=name, is_custom=False, display_order=number, state="active")
            for number, name in enumerate(("Email", "Chat"), 31)
        ]
        self.tags = [
            Tag(id=number, name=name, color="#4477aa", state="active")
            for number, name in enumerate(("refund", "vip"), 41)
        ]
        self.users = [
            User(id=2, first_name="Ann", last_name="Lee", email="ann@acme.com", role="agent", state="active"),
        ]
        self.customers = [
            Customer(id=1017, first_name="Jo", last_name="Day", email="jo@example.com", state="active"),
        ]
        self.custom_fields = [
            CustomFieldDefinition(id=272, name="Order", agent_label="Order number", kind="text", state="active"),
        ]

    def _page_of(self, path: str, arguments: Mapping[str, str], respond: Callable[..., FakeResponse]) -> FakeResponse:
        """Return the page of a listing that a query asks for.

        Args:
            path: The path of the listing.
            arguments: The parameters of the query.
            respond: The function `page_response`, with the rules of this FakeDesk.
        """
        attribute, listing = LISTINGS[path]
        objects = [each.to_dict() for each in getattr(self, attribute)]
        return respond(listing, objects, arguments, searched=_searched)


def _searched(each: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the fields of an object that a filter compares."""
    full_name = " ".join(filter(None, (each.get("firstName"), each.get("lastName"))))
    return {
        **each,
        "name": full_name or each.get("name"),
        "contacts.value": [each.get("email")],
        "inboxes.id": [inbox["id"] for inbox in each.get("inboxes", ())],
    }
