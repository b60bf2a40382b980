# type: ignore  # noqa: PGH003
"""Wrong uses: both type checkers reject every marked line and no other."""

from __future__ import annotations

from teamwork_desk import AsyncDesk, CustomerRef, CustomField, EntityRef, RetryPolicy

URL = "https://acme.teamwork.com"


async def convert(desk: AsyncDesk) -> None:
    """Call convert in every wrong way."""
    convert = desk.conversations.convert
    await convert()  # rejected: the conversation is missing
    await convert("42")  # rejected: an id is an int
    await convert(42, 7)  # rejected: every other argument is given by name
    await convert(42, cc="jo@example.com")  # rejected: expected a list of addresses, but a str is a sequence of letters
    await convert(42, bcc="jo@example.com")  # rejected: the same
    await convert(42, cc=[7])  # rejected: an address is a str
    await convert(42, tags="billing")  # rejected: expected a list of tags
    await convert(42, tags=[7.5])  # rejected: a tag is a str, an id or a reference
    await convert(42, files="7")  # rejected: expected a list of references
    await convert(42, files=["7"])  # rejected: an id is an int
    await convert(42, customer=1.5)  # rejected: an id is an int
    await convert(42, customer=EntityRef(id=7))  # rejected: a customer has a reference of its own
    await convert(42, customer={"email": "jo@example.com"})  # rejected: a customer is not a dict
    await convert(42, customfields=[{"id": 7}])  # rejected: expected a list of CustomField
    await convert(42, customfields={"272": 1613})  # rejected: the id of a custom field is an int
    await convert(42, subject=1)  # rejected: a subject is a str
    await convert(42, message=b"text")  # rejected: a message is a str
    await convert(42, inbox="7")  # rejected: an id is an int
    await convert(42, from_thread_id="7")  # rejected: an id is an int
    await convert(42, notify_customer="no")  # rejected: expected a bool
    await convert(42, scheduled_email="noon")  # rejected: expected a mapping
    await convert(42, notifyCustomer=True)  # rejected: the name is notify_customer
    await convert(42, verify_first="no")  # rejected: expected a bool or None


async def read(desk: AsyncDesk) -> None:
    """Use results in every wrong way."""
    conversation = await desk.conversations.get(42)
    _ = conversation.ticket_id + 1  # rejected: it may be None
    _ = conversation.ticketId  # rejected: the name is ticket_id
    conversation.ticket_id = 7  # rejected: a result is frozen
    desk.conversations.get("42")  # rejected: an id is an int
    desk.conversations.list(filter='{"id": 42}')  # rejected: expected a mapping
    for _ in desk.conversations.list():  # rejected: only `async for` works
        pass


async def name(desk: AsyncDesk) -> None:
    """Use the listings of ids in every wrong way."""
    desk.inboxes.find(7)  # rejected: a name is a str
    desk.inbox.find("Support")  # rejected: the attribute is inboxes
    desk.inboxes.list(name="Support")  # rejected: an unknown argument
    user = await desk.users.find("ann@acme.com")
    _ = user.name  # rejected: a user has a first and a last name
    await desk.conversations.convert(42, inbox=user)  # rejected: a reference is an EntityRef or an id


def build() -> None:
    """Build values in every wrong way."""
    AsyncDesk(URL, "a-token")  # rejected: a token is given by name
    AsyncDesk(7, token="a-token")  # rejected: a URL is a str
    AsyncDesk(URL, token=7)  # rejected: a token is a str or a callable
    AsyncDesk(URL, token=lambda: 7)  # rejected: a provider returns a str
    AsyncDesk(URL, token="a-token", verfy=False)  # rejected: an unknown option
    AsyncDesk(URL, token="a-token", http2="yes")  # rejected: expected a bool
    AsyncDesk(URL, token="a-token", retry=3)  # rejected: expected a RetryPolicy
    AsyncDesk(URL, token="a-token", timeout="30")  # rejected: expected seconds or an httpx.Timeout
    AsyncDesk(URL, token="a-token", email_fallback="sometimes")  # rejected: expected one of three values
    with AsyncDesk(URL):  # rejected: only `async with` works
        pass
    RetryPolicy(4)  # rejected: values are given by name
    RetryPolicy(on_unknown="guess")  # rejected: expected one of two values
    RetryPolicy().max_attempts = 9  # rejected: a policy is frozen
    CustomerRef(7)  # rejected: values are given by name
    CustomField(id="7")  # rejected: an id is an int
