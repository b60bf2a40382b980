"""`get` and `list`: what they return, what they request, and when they stop."""

from __future__ import annotations

import enum
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest

from teamwork_desk import (
    AsyncDesk,
    ConfigurationError,
    DeskError,
    NotFoundError,
    OutcomeUnknownError,
    RequestError,
    RetryPolicy,
)
from teamwork_desk.testing import FakeDesk


def desk_over(transport: httpx.AsyncBaseTransport) -> AsyncDesk:
    return AsyncDesk("https://desk.example", token="t", transport=transport)


class SamePage:
    """Responds to every listing request with the same page."""

    def __init__(self, **page: Any) -> None:
        self.page = page
        self.requested_pages: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requested_pages.append(parse_qs(request.url.query.decode())["page"][0])
        return httpx.Response(200, json=self.page)


async def test_get_returns_the_conversation() -> None:
    fake = FakeDesk()
    async with desk_over(fake.transport) as desk:
        assert (await desk.conversations.get(42)).id == 42
    assert fake.requests[0].query["filter"] == '{"id":{"$eq":42}}'


async def test_get_raises_not_found_for_an_unknown_conversation() -> None:
    async with desk_over(FakeDesk(conversations=[1]).transport) as desk:
        with pytest.raises(NotFoundError, match="does not show conversation 42") as caught:
            await desk.conversations.get(42)
    assert (caught.value.status_code, caught.value.conversation_id, caught.value.attempts) == (404, 42, 1)


async def test_get_does_not_return_another_conversation() -> None:
    def respond(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"conversations": [{"id": 1}, {"id": True}, {"id": None}]})

    async with desk_over(httpx.MockTransport(respond)) as desk:
        with pytest.raises(NotFoundError):
            await desk.conversations.get(42)


async def test_list_yields_the_conversations_of_all_pages_and_stops() -> None:
    fake = FakeDesk(conversations=range(1, 251))
    async with desk_over(fake.transport) as desk:
        listed = [conversation.id async for conversation in desk.conversations.list(order_by="id", order_mode="asc")]
    assert listed == list(range(1, 251))
    assert [request.query["page"] for request in fake.requests] == ["1", "2", "3"]
    assert {request.query["pageSize"] for request in fake.requests} == {"100"}


async def test_list_requests_a_page_only_when_it_is_needed() -> None:
    fake = FakeDesk(conversations=range(1, 251))
    async with desk_over(fake.transport) as desk:
        listing = desk.conversations.list()
        for _ in range(100):
            await anext(listing)
        assert len(fake.requests) == 1
        await anext(listing)
        assert len(fake.requests) == 2
        await listing.aclose()


async def test_list_yields_only_what_matches_the_filter() -> None:
    fake = FakeDesk()
    async with desk_over(fake.transport) as desk:
        await desk.conversations.convert(1)
        converted = desk.conversations.list(filter={"ticket_id": {"$ne": None}})
        assert [conversation.id async for conversation in converted] == [1]


async def test_list_yields_nothing_if_there_are_no_conversations() -> None:
    async with desk_over(FakeDesk(conversations=[]).transport) as desk:
        assert [conversation async for conversation in desk.conversations.list()] == []


@pytest.mark.parametrize(
    ("page", "requests"),
    [
        ({"conversations": [{"id": 1}], "pagination": {"hasMorePages": False}}, 1),
        ({"conversations": [{"id": 1}], "pagination": {"hasMorePages": None}}, 1),
        ({"conversations": [{"id": 1}], "pagination": None}, 1),
        ({"conversations": [{"id": 1}]}, 1),
        ({"conversations": [], "pagination": {"hasMorePages": True}}, 1),
        ({"conversations": None, "pagination": {"hasMorePages": True}}, 1),
        ({"conversations": [{"id": 1}], "pagination": {"hasMorePages": True, "page": 1}}, 2),
    ],
    ids=str,
)
async def test_list_stops_even_if_the_pagination_is_missing_or_wrong(page: dict[str, Any], requests: int) -> None:
    pages = SamePage(**page)
    async with desk_over(httpx.MockTransport(pages)) as desk:
        async for _ in desk.conversations.list():
            assert len(pages.requested_pages) < 10
    assert len(pages.requested_pages) == requests


@pytest.mark.parametrize("filter", [{"id": object()}, {"id": float("nan")}, {"id": {1, 2}}])
async def test_a_filter_without_a_json_form_is_rejected(filter: dict[str, Any]) -> None:
    fake = FakeDesk()
    async with desk_over(fake.transport) as desk:
        with pytest.raises(RequestError, match="JSON form"):
            await anext(desk.conversations.list(filter=filter))
    assert not fake.requests


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"proxy": "bad://proxy"}, "proxy: expected a proxy"),
        ({"verify": "no/such/file"}, "verify, cert: the certificates cannot be read"),
        ({"cert": "a\0b"}, "verify, cert: the certificates cannot be read: embedded null byte"),
        ({"mounts": {"https://": 3}}, "mounts: expected an AsyncBaseTransport, got int"),
        ({"limits": 3}, "limits: expected a Limits, got int"),
        ({"event_hooks": 3}, "event_hooks: expected a dict with str keys, got int"),
    ],
)
@pytest.mark.filterwarnings("ignore:`verify=<str>` is deprecated")
@pytest.mark.filterwarnings("ignore:`cert=.*` is deprecated")
def test_an_option_that_httpx_rejects_is_rejected_at_construction(options: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{message}"):
        AsyncDesk("https://desk.example", token="t", **options)


class Channel(int, enum.Enum):
    """A caller's own ids, with a text that is not the number."""

    REFUNDS = 42

    def __str__(self) -> str:
        return "refunds"

    def __format__(self, format_spec: str) -> str:
        return format(str(self), format_spec)


@pytest.mark.parametrize("verify_first", [False, True])
async def test_an_id_of_a_subclass_of_int_is_sent_as_a_plain_int(*, verify_first: bool) -> None:
    fake = FakeDesk()
    fake.lose_answer("after", method="POST")
    async with AsyncDesk("https://acme.teamwork.com", token="t", transport=fake.transport, verify_first=False) as desk:
        converted = await desk.conversations.convert(Channel.REFUNDS, verify_first=verify_first)
        assert (await desk.conversations.get(Channel.REFUNDS)).ticket_id == converted.ticket_id
        fake.fail(status=500, times=9)
        with pytest.raises(DeskError) as caught:
            await desk.conversations.get(Channel.REFUNDS)
    assert type(caught.value.conversation_id) is int


async def test_a_filter_that_is_too_long_for_a_url_is_rejected() -> None:
    fake = FakeDesk()
    async with AsyncDesk("https://acme.teamwork.com", token="t", transport=fake.transport) as desk:
        listing = desk.conversations.list(filter={"id": {"$in": list(range(10**6, 10**6 + 8000))}})
        with pytest.raises(RequestError, match="the URL is too long") as caught:
            await anext(listing)
    assert caught.value.__context__ is None
    assert fake.requests == []


class Relay(httpx.AsyncBaseTransport):
    """A transport that uses another client, which is closed."""

    def __init__(self, other: AsyncDesk) -> None:
        self._other = other

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await self._other.conversations.get(77)
        raise AssertionError("the other client is closed")


async def test_an_error_names_the_conversation_of_its_own_call_only() -> None:
    other = AsyncDesk("https://other.teamwork.com", token="t", transport=FakeDesk().transport)
    await other.aclose()
    async with AsyncDesk("https://acme.teamwork.com", token="t", transport=Relay(other)) as desk:
        with pytest.raises(ConfigurationError) as caught:
            await anext(desk.conversations.list())
    assert caught.value.conversation_id is None


# A scheduled email


async def test_a_lost_request_with_a_scheduled_email_is_never_sent_again_by_any_call() -> None:
    """The ticket appears only after the email was sent, so that its absence proves nothing."""
    fake = FakeDesk()
    fake.inject("answer lost while the work goes on", lasts=3600, method="POST")
    impatient = RetryPolicy(settle=(0.01,))
    async with AsyncDesk(
        "https://desk.example", token="t", transport=fake.transport, retry=impatient, verify_first=False
    ) as desk:
        with pytest.raises(OutcomeUnknownError):
            await desk.conversations.convert(7, scheduled_email={"sendAt": "2027-01-01"})
        for verify_first in (True, False):
            with pytest.raises(OutcomeUnknownError, match="scheduled an email") as caught:
                await desk.conversations.convert(7, verify_first=verify_first)
            assert caught.value.maybe_applied
        assert [request.method for request in fake.requests].count("POST") == 1
        # As soon as a lookup shows the ticket, the conversation is like any other.
        fake.add_conversation(7, ticket_id=70)
        assert (await desk.conversations.convert(7)).ticket_id == 70
