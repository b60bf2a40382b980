"""Convert the open conversations with the customers of one domain: `python examples/script.py example.com`."""

from __future__ import annotations

import asyncio
import sys

from teamwork_desk import AsyncDesk, Conversation, DeskError

UNCONVERTED = {"ticket_id": {"$eq": None}, "state": {"$eq": "active"}}


def is_from(conversation: Conversation, domain: str) -> bool:
    """Return whether the customer's address is in the domain."""
    contact = conversation.contact
    return contact is not None and (contact.value or "").lower().endswith(f"@{domain.lower()}")


async def main(domain: str) -> str | None:
    """Print the ticket of each conversation, and return a message if some were not converted."""
    failed = 0
    async with AsyncDesk() as desk:
        listing = desk.conversations.list(filter=UNCONVERTED, order_by="createdAt")
        # Read the whole listing first, because each conversion would shift the pages that are not read yet.
        wanted = [found.id async for found in listing if found.id and is_from(found, domain)]
        for conversation_id in wanted:
            try:
                conversation = await desk.conversations.convert(
                    conversation_id,
                    subject=f"Chat with {domain}",
                    tags=["from-chat"],
                    notify_customer=False,
                    verify_first=True,  # Someone else may have converted it since the listing.
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
