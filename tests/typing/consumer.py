"""Code of a service: mypy --strict and pyright in strict mode accept every line."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import datetime
from typing import assert_never, assert_type

import httpx

from teamwork_desk import (
    AsyncDesk,
    Contact,
    Conversation,
    ConvertedConversation,
    Customer,
    CustomerRef,
    CustomField,
    CustomFieldDefinition,
    CustomFieldMeta,
    DeskError,
    EntityRef,
    Inbox,
    RateLimit,
    RateLimitedError,
    RequestError,
    Resource,
    RetryPolicy,
    StatusError,
    Tag,
    TicketPriority,
    TicketSource,
    TicketStatus,
    TicketType,
    User,
    ValidationError,
)
from teamwork_desk.backlog import Converted, Failed
from teamwork_desk.testing import FakeDesk, RecordedRequest, Ticket


async def token() -> str:
    """Return a token."""
    return "a-token"


async def build() -> None:
    """Build clients in every way."""
    async with AsyncDesk() as from_environment:
        assert_type(from_environment, AsyncDesk)
    async with AsyncDesk("https://acme.teamwork.com", token=token) as desk:
        assert_type(desk.with_options(timeout=5, deadline=60.0, email_fallback="never"), AsyncDesk)
        assert_type(desk.with_options(timeout=httpx.Timeout(5, connect=1)), AsyncDesk)
        assert_type(desk.rate_limit, RateLimit | None)
    desk = AsyncDesk(
        url="https://acme.teamwork.com",
        token=lambda: "a-token",
        timeout=30,
        deadline=120,
        retry=RetryPolicy(max_attempts=2, on_unknown="raise", settle=(0.5, 1)),
        verify_first=False,
        email_fallback="always",
        transport=FakeDesk().transport,
        proxy="http://proxy.example.com",
        verify=False,
        http2=True,
        limits=httpx.Limits(max_connections=10),
        trust_env=False,
    )
    assert_type(await desk.aclose(), None)


async def convert(desk: AsyncDesk, texts: tuple[str, ...], fields: list[CustomField]) -> Conversation:
    """Convert with every kind of argument."""
    conversation = await desk.conversations.convert(
        42,
        agent=EntityRef(id=7),
        bcc=texts,
        cc=["jo@example.com"],
        customer=CustomerRef(email="jo@example.com"),
        customfields=fields,
        edit_method="markdown",
        files=[7, EntityRef(id=8)],
        from_thread_id=7,
        inbox=7,
        message="",
        notify_customer=False,
        scheduled_email={"at": None},
        subject=None,
        tags=["billing", 7, EntityRef(id=8)],
        verify_first=True,
    )
    await desk.conversations.convert(42, customer=7, tags=texts, files=(7,), edit_method="a-new-one")
    await desk.conversations.convert(conversation_id=42, customer="jo@example.com", customfields=())
    await desk.conversations.convert(42, customfields={272: 1613, 273: "gold"})
    await desk.conversations.convert(42, customfields=(CustomField(id=272, meta=CustomFieldMeta(value=1613)),))
    assert_type(conversation, ConvertedConversation)
    assert_type(conversation.created, bool)
    assert_type(conversation.id, int | None)
    assert_type(conversation.ticket_id, int | None)
    assert_type(conversation.created_at, datetime | None)
    assert_type(conversation.contact, Contact | None)
    assert_type(conversation.users, list[EntityRef] | None)
    return conversation


async def work_off(desk: AsyncDesk) -> None:
    """Tell the outcomes of a backlog apart in every way."""
    async for outcome in desk.conversations.convert_many([1, {"conversation_id": 2, "verify_first": None}]):
        assert_type(outcome, Converted | Failed)
        if outcome.error is None:
            assert_type(outcome.conversation, ConvertedConversation)
            assert_type(outcome.created, bool)
        else:
            assert_type(outcome.error, DeskError)
        match outcome:
            case Converted():
                assert_type(outcome.conversation_id, int)
            case Failed():
                assert_type(outcome.error.maybe_applied, bool)
            case _:
                assert_never(outcome)


async def read(desk: AsyncDesk) -> None:
    """Read a single conversation and a listing."""
    assert_type(await desk.conversations.get(42), Conversation)
    conversations = desk.conversations.list(filter={"ticket_id": {"$eq": None}}, order_by="id", order_mode="desc")
    assert_type(conversations, AsyncGenerator[Conversation])
    async for conversation in conversations:
        assert_type(conversation, Conversation)


async def name(desk: AsyncDesk) -> None:
    """Find objects by their names, and list them."""
    assert_type(desk.inboxes, Resource[Inbox])
    assert_type(await desk.inboxes.find("Support"), Inbox)
    assert_type((await desk.with_options(deadline=5).statuses.find("solved")).id, int | None)
    assert_type(await desk.statuses.find("solved"), TicketStatus)
    assert_type(await desk.priorities.find("High"), TicketPriority)
    assert_type(await desk.types.find("Question"), TicketType)
    assert_type(await desk.sources.find("Chat"), TicketSource)
    assert_type(await desk.tags.find("vip"), Tag)
    assert_type(await desk.users.find("ann@acme.com"), User)
    assert_type(await desk.customers.find("jo@example.com"), Customer)
    assert_type(await desk.custom_fields.find("Order"), CustomFieldDefinition)
    listing = desk.users.list(filter={"inboxes.id": {"$eq": 7}}, order_by="id", order_mode="asc")
    assert_type(listing, AsyncGenerator[User])
    inboxes: list[Inbox] = [inbox async for inbox in desk.inboxes.list()]
    FakeDesk().inboxes = [*inboxes, Inbox(id=7, name="Support")]
    await desk.conversations.convert(42, inbox=(await desk.inboxes.find("Support")).id)


def explain(error: DeskError) -> None:
    """Read the attributes of errors."""
    assert_type(error.attempts, int)
    assert_type(error.maybe_applied, bool)
    assert_type(error.conversation_id, int | None)
    if isinstance(error, RequestError):
        as_value_error: ValueError = error
        raise as_value_error
    if isinstance(error, ValidationError):
        assert_type(error.errors, dict[str, list[str]])
    if isinstance(error, RateLimitedError):
        assert_type(error.retry_after, float | None)
        assert_type(error.rate_limit, RateLimit | None)
    if isinstance(error, StatusError):
        assert_type(error.status_code, int)
        assert_type(error.headers, httpx.Headers)
        assert_type(error.body, bytes)
        assert_type(error.request_id, str | None)


def test_a_service() -> None:
    """Read what the fake recorded and make it fail."""
    fake = FakeDesk(old_installation=True)
    assert_type(fake.tickets, list[Ticket])
    assert_type(fake.requests, list[RecordedRequest])
    fake.fail(status=503, headers={"Retry-After": "1"}, method="POST")
    fake.lose_answer("after", times=2)
