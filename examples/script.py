"""Convert the open conversations with the customers of one domain: `python examples/script.py example.com`."""

from __future__ import annotations

import asyncio
import sys

from teamwork_desk import AsyncDesk, Conversation, DeskError

UNCONVERTED = {"ticket_id": {"$eq": None}, "state": {"$eq": "active"}}


def is_of(conversation: Conversation, domain: str) -> bool:
    """Whether the customer's address is of the domain."""
    contact = conversation.contact
    return contact is not None and (contact.value or "").lower().endswith(f"@{domain.lower()}")


async def main(domain: str) -> str | None:
    """Print the ticket of each conversation, and return what is left to do."""
    left = 0
    async with AsyncDesk() as desk:
        listing = desk.conversations.list(filter=UNCONVERTED, order_by="createdAt")
        # The whole listing comes first: each conversion would move the pages that are still to be read.
        wanted = [one.id async for one in listing if one.id and is_of(one, domain)]
        for conversation_id in wanted:
            try:
                conversation = await desk.conversations.convert(
                    conversation_id,
                    subject=f"Chat with {domain}",
                    tags=["from-chat"],
                    notify_customer=False,
                    verify_first=True,  # someone else may have converted it since
                )
                print(f"conversation {conversation_id}: ticket {conversation.ticket_id}")
            except DeskError as error:
                left += 1
                print(f"conversation {conversation_id}: {error}", file=sys.stderr)
    return f"{left} of {len(wanted)} are left: look at them, and run this again" if left else None


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    try:
        sys.exit(asyncio.run(main(sys.argv[1])))
    except DeskError as error:
        sys.exit(f"{type(error).__name__}: {error}")
