"""The conversations of FakeDesk, and the tickets that were made from them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from itertools import count
from typing import Any

from ._records import Ticket

FIRST_TICKET = 1_000_001
GO_ZERO_TIME = "0001-01-01T00:00:00Z"
"""How Go encodes a time that is not set."""


class Conversations:
    """The conversations, each as Desk sends it.

    Args:
        ids: The ids of the conversations that there are from the beginning.
        clock: Returns the seconds since the epoch.

    Attributes:
        by_id: The conversations by their ids.
        tickets: The tickets, oldest first.
    """

    def __init__(self, ids: Iterable[int], clock: Callable[[], float]) -> None:
        self._clock = clock
        self._ticket_ids = count(FIRST_TICKET)
        self.by_id: dict[int, dict[str, Any]] = {}
        self.tickets: list[Ticket] = []
        for conversation_id in ids:
            self.add(conversation_id, {})

    def add(self, id: int | None, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Add a conversation, or replace the conversation that has this id, and return it.

        Args:
            id: The conversation's id. Without it, the conversation gets the next free id.
            fields: Fields that replace the default values.
        """
        number = max(self.by_id, default=0) + 1 if id is None else id
        address = f"customer{number}@example.com"
        contact = {"id": number + 5000, "type": "email", "value": address, "isMain": True, "state": "active"}
        now = self._timestamp()
        self.by_id[number] = conversation = {
            "contact": contact,
            "contactId": contact["id"] if fields.get("contact", contact) else None,
            "createdAt": now,
            "createdBy": {"id": 2, "type": "users", "meta": None},
            "deletedAt": GO_ZERO_TIME,
            "deletedBy": None,
            "id": number,
            "messages": None,
            "socket_id": "",
            "state": "active",
            "ticket_id": None,
            "token": f"secret-of-conversation-{number}",
            "updatedAt": now,
            "updatedBy": None,
            "users": [{"id": 2, "type": "users"}],
            **fields,
        }
        return conversation

    def convert(self, conversation_id: int, body: dict[str, Any]) -> None:
        """Make a ticket from a conversation."""
        ticket = Ticket(next(self._ticket_ids), conversation_id, body)
        self.tickets.append(ticket)
        self.by_id[conversation_id].update(ticket_id=ticket.id, updatedAt=self._timestamp())

    def _timestamp(self) -> str:
        """Return the current time as Desk writes it: with milliseconds, and "Z" for UTC."""
        moment = datetime.fromtimestamp(self._clock(), UTC)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
