"""Convert a few conversations over HTTP against a fake Desk, and print what happened."""

from __future__ import annotations

import asyncio
import logging
import warnings

from teamwork_desk import AsyncDesk, CustomerRef, DeskError, ValidationError
from teamwork_desk.testing import FakeDesk


def show(step: str, *lines: object) -> None:
    """Print a step and its results."""
    print(f"\n{step}", *(f"  {line}" for line in lines), sep="\n")


async def current_installation() -> None:
    """Convert on a current installation."""
    fake = FakeDesk(token="demo-token")  # noqa: S106 - it is the token of a fake Desk
    async with fake.serve() as url, AsyncDesk(url, token="demo-token") as desk:  # noqa: S106
        print(f"A fake Desk listens on {url}.")

        conversation = await desk.conversations.convert(
            1, subject="Refund for order 1017", customer="jo@example.com", tags=["billing"], notify_customer=False
        )
        show(
            "A plain conversion: convert(1, customer=...)",
            f"conversation {conversation.id} is now ticket {conversation.ticket_id}",
        )

        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            conversation = await desk.conversations.convert(2, email="jo@example.com")
        show(
            "The deprecated argument: convert(2, email=...)",
            f"DeprecationWarning: {caught[0].message}",
            f"sent as {fake.requests[-1].json}",
            f"conversation {conversation.id} is now ticket {conversation.ticket_id}",
        )

        try:
            await desk.conversations.convert(3, customer=CustomerRef(email="jo at example"), edit_method="word")
        except ValidationError as error:
            show(
                "A validation error: convert(3, customer=CustomerRef(email='jo at example'), edit_method='word')",
                *(f"{field}: {', '.join(reasons)}" for field, reasons in error.errors.items()),
                f"nothing was changed: maybe_applied={error.maybe_applied}, {len(fake.tickets)} tickets exist",
            )

        fake.lose_answer("after")
        before = len(fake.tickets)
        conversation = await desk.conversations.convert(4)
        show(
            "The connection breaks after Desk has converted the conversation: convert(4)",
            "the client looked the conversation up instead of sending the request again",
            f"conversation {conversation.id} is ticket {conversation.ticket_id}; made: {len(fake.tickets) - before}",
        )
        show("The rate window that Desk reported", desk.rate_limit)


async def rate_limited() -> None:
    """Exceed the rate limit with more callers than the window allows."""
    fake = FakeDesk(rate_limit=3, window=2.0)
    async with fake.serve() as url, AsyncDesk(url, token="demo-token") as desk:  # noqa: S106
        conversations = await asyncio.gather(*(desk.conversations.convert(number) for number in range(1, 7)))
        rejected = sum(request.status == 429 for request in fake.requests)
        show(
            "Six callers at once, with a limit of three requests every two seconds",
            f"all converted, each once: {sorted(c.ticket_id or 0 for c in conversations)}",
            f"{len(fake.requests)} requests, of which Desk rejected {rejected}: callers waited for the next window",
        )


async def old_installation() -> None:
    """Convert on an installation that accepts only the deprecated email field."""
    fake = FakeDesk(old_installation=True)
    async with fake.serve() as url, AsyncDesk(url, token="demo-token") as desk:  # noqa: S106
        first = await desk.conversations.convert(1, customer="jo@example.com")
        second = await desk.conversations.convert(2, customer="jo@example.com")
        statuses = [request.status for request in fake.requests if request.method == "POST"]
        show(
            "An old installation, which accepts only the deprecated email field",
            f"convert(1): {statuses[:2]}, ticket {first.ticket_id}",
            f"convert(2): {statuses[2:]}, ticket {second.ticket_id} (the client remembers)",
        )


async def main() -> None:
    """Run every step."""
    logging.getLogger("teamwork_desk").setLevel(logging.ERROR)
    try:
        await current_installation()
        await rate_limited()
        await old_installation()
    except DeskError as error:
        raise SystemExit(f"{type(error).__name__}: {error}") from error


if __name__ == "__main__":
    asyncio.run(main())
