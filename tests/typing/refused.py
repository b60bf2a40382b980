# type: ignore  # noqa: PGH003
"""What must not pass: both type checkers refuse every marked line and no other."""

from __future__ import annotations

from teamwork_desk import AsyncDesk, CustomerRef, CustomField, EntityRef, RetryPolicy

URL = "https://acme.teamwork.com"


async def convert(desk: AsyncDesk) -> None:
    """Call convert in every wrong way."""
    convert = desk.conversations.convert
    await convert()  # refused: no conversation
    await convert("42")  # refused: an id is an int
    await convert(42, 7)  # refused: everything else has a name
    await convert(42, cc="jo@example.com")  # refused: a list of addresses, not a text of letters
    await convert(42, bcc="jo@example.com")  # refused: likewise
    await convert(42, cc=[7])  # refused: an address is a text
    await convert(42, tags="billing")  # refused: a list of tags
    await convert(42, tags=[7.5])  # refused: a tag is a word, an id or a reference
    await convert(42, files="7")  # refused: a list of references
    await convert(42, files=["7"])  # refused: an id is an int
    await convert(42, customer=1.5)  # refused: an id is an int
    await convert(42, customer=EntityRef(id=7))  # refused: a customer has a reference of its own
    await convert(42, customer={"email": "jo@example.com"})  # refused: likewise
    await convert(42, customfields=[{"id": 7}])  # refused: a list of CustomField
    await convert(42, subject=1)  # refused: text
    await convert(42, message=b"text")  # refused: text
    await convert(42, inbox="7")  # refused: an id is an int
    await convert(42, from_thread_id="7")  # refused: an id is an int
    await convert(42, notify_customer="no")  # refused: a bool
    await convert(42, scheduled_email="noon")  # refused: a mapping
    await convert(42, notifyCustomer=True)  # refused: the name is notify_customer
    await convert(42, verify_first=None)  # refused: a bool


async def read(desk: AsyncDesk) -> None:
    """Use results in every wrong way."""
    conversation = await desk.conversations.get(42)
    _ = conversation.ticket_id + 1  # refused: it may be None
    _ = conversation.ticketId  # refused: the name is ticket_id
    conversation.ticket_id = 7  # refused: a result is a value
    desk.conversations.get("42")  # refused: an id is an int
    desk.conversations.list(filter='{"id": 42}')  # refused: a mapping
    for _ in desk.conversations.list():  # refused: it is to be iterated over with async for
        pass


def build() -> None:
    """Build values in every wrong way."""
    AsyncDesk(URL, "a-token")  # refused: a token is given by name
    AsyncDesk(7, token="a-token")  # refused: a URL is text
    AsyncDesk(URL, token=7)  # refused: a token is text or a callable
    AsyncDesk(URL, token=lambda: 7)  # refused: a provider returns text
    AsyncDesk(URL, token="a-token", verfy=False)  # refused: there is no such option
    AsyncDesk(URL, token="a-token", http2="yes")  # refused: a bool
    AsyncDesk(URL, token="a-token", retry=3)  # refused: a RetryPolicy
    AsyncDesk(URL, token="a-token", timeout="30")  # refused: seconds or an httpx.Timeout
    AsyncDesk(URL, token="a-token", email_fallback="sometimes")  # refused: one of three words
    with AsyncDesk(URL):  # refused: it is to be entered with async with
        pass
    RetryPolicy(4)  # refused: values are given by name
    RetryPolicy(on_unknown="guess")  # refused: one of two words
    RetryPolicy().max_attempts = 9  # refused: a policy is a value
    CustomerRef(7)  # refused: values are given by name
    CustomField(id="7")  # refused: an id is an int
