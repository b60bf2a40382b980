"""Convert the closed chats with the customers of one domain: `python examples/script.py example.com`."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

from teamwork_desk import AsyncDesk, Conversation, DeskError

LOOK_BACK = timedelta(days=1)
"""How old the last change of a chat may be.

Desk has no webhook for conversations, so run this script every few minutes, for example with cron. It must look back
much longer than that, because a run may fail.
"""


def without_ticket(since: datetime) -> dict[str, Any]:
    """Return the filter of the closed chats that have no ticket, and that have changed since then."""
    return {
        "ticket_id": {"$eq": None},
        "state": {"$eq": "closed"},
        "updatedAt": {"$gte": since.strftime("%Y-%m-%dT%H:%M:%SZ")},
    }


def is_from(conversation: Conversation, domain: str) -> bool:
    """Return whether the customer's address is in the domain."""
    contact = conversation.contact
    return contact is not None and (contact.value or "").lower().endswith(f"@{domain.lower()}")


async def main(domain: str) -> str | None:
    """Print the ticket of each conversation, and return a message if some were not converted."""
    failed = 0
    async with AsyncDesk() as desk:
        listing = desk.conversations.list(
            filter=without_ticket(datetime.now(UTC) - LOOK_BACK), order_by="updatedAt", order_mode="asc"
        )
        # Read the whole listing first, because each conversion would shift the pages that are not read yet.
        wanted = [found.id async for found in listing if found.id and is_from(found, domain)]
        for conversation_id in wanted:
            try:
                conversation = await desk.conversations.convert(
                    conversation_id,
                    subject=f"Chat with {domain}",
                    tags=["from-chat"],
                    notify_customer=False,
                    verify_first=True,  # Someone else, or another run of this script, may have converted it since.
                )
                print(f"conversation {conversation_id}: ticket {conversation.ticket_id}")
            except DeskError as error:
                failed += 1
                print(f"conversation {conversation_id}: {error}", file=sys.stderr)
    return f"{failed} of {len(wanted)} were not converted: check them, and run this again" if failed else None


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    try:
        sys.exit(asyncio.run(main(sys.argv[1])))
    except DeskError as error:
        sys.exit(f"{type(error).__name__}: {error}")
