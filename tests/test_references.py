"""`desk.inboxes` and the other resources: what `find` returns, with how many requests, and what `list` yields."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from typing import Any, get_args, get_origin, get_type_hints

import httpx
import pytest

from teamwork_desk import (
    AsyncDesk,
    Customer,
    CustomFieldDefinition,
    DeadlineExceeded,
    DeskError,
    EntityRef,
    Inbox,
    NotFoundError,
    PermissionDeniedError,
    RequestError,
    Resource,
    RetryPolicy,
    Tag,
    TicketStatus,
    TicketType,
    User,
)
from teamwork_desk._references import KINDS
from teamwork_desk.testing import FakeDesk

PATHS = {
    "inboxes": "inboxes",
    "statuses": "ticketstatuses",
    "priorities": "ticketpriorities",
    "types": "tickettypes",
    "sources": "ticketsources",
    "tags": "tags",
    "users": "users",
    "customers": "customers",
    "custom_fields": "customfields",
}
"""For each attribute of the client the name of its listing at Desk."""


def desk_over(transport: httpx.AsyncBaseTransport, **options: Any) -> AsyncDesk:
    return AsyncDesk("https://desk.example", token="t", transport=transport, **options)


def resource_of(desk: AsyncDesk, attribute: str) -> Resource[Any]:
    resource: Resource[Any] = getattr(desk, attribute)
    assert type(resource) is Resource
    return resource


async def finds(fake: FakeDesk, attribute: str, name: Any) -> tuple[Any, int]:
    """Return the id that `find` returns, and the number of its requests."""
    async with desk_over(fake.transport) as desk:
        found = await resource_of(desk, attribute).find(name)
    return found.id, len(fake.requests)


async def error_of(fake: FakeDesk, attribute: str, name: Any) -> DeskError:
    async with desk_over(fake.transport) as desk:
        with pytest.raises(DeskError) as caught:
            await resource_of(desk, attribute).find(name)
    return caught.value


Rule = Callable[[dict[str, Any], list[Any]], httpx.Response | None]
"""Returns the response to a request with a filter; None if the server ignores the filter."""


class Server:
    """A server with a rule of its own for filters. It shows pages of 100 inboxes, and records the queries."""

    def __init__(self, names: list[str], filtered: Rule) -> None:
        self.inboxes = [{"id": number, "name": name} for number, name in enumerate(names, 1)]
        self.filtered = filtered
        self.queries: list[dict[str, str]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        query = dict(request.url.params)
        self.queries.append(query)
        if "filter" in query:
            response = self.filtered(json.loads(query["filter"]), self.inboxes)
            if response is not None:
                return response
        page = int(query["page"])
        shown = self.inboxes[100 * (page - 1) : 100 * page]
        where = {"page": page, "hasMorePages": 100 * page < len(self.inboxes)}
        return httpx.Response(200, json={"inboxes": shown, "pagination": where})


def ignores_filters(query: dict[str, Any], inboxes: list[Any]) -> None:
    return None


def refuses_filters(query: dict[str, Any], inboxes: list[Any]) -> httpx.Response:
    return httpx.Response(400, json={"errors": {"filter": ["must be a valid filter"]}})


def forbids_everything(query: dict[str, Any], inboxes: list[Any]) -> httpx.Response:
    return httpx.Response(403, json={"errors": []})


def finds_nothing(query: dict[str, Any], inboxes: list[Any]) -> httpx.Response:
    return httpx.Response(200, json={"inboxes": None, "pagination": {"page": 1, "hasMorePages": False}})


def finds_parts(query: dict[str, Any], inboxes: list[Any]) -> httpx.Response:
    part = query["name"]["$eq"].lower()
    return httpx.Response(200, json={"inboxes": [each for each in inboxes if part in each["name"].lower()]})


def finds_parts_exactly(query: dict[str, Any], inboxes: list[Any]) -> httpx.Response:
    found = [each for each in inboxes if query["name"]["$eq"] in each["name"]]
    return httpx.Response(200, json={"inboxes": found, "pagination": {"page": 1, "hasMorePages": False}})


# Pages


@pytest.mark.parametrize(
    ("pagination", "objects", "pages"),
    [
        (None, 99, 1),
        (None, 100, 2),
        ({}, 100, 2),
        ({"hasMorePages": False, "pages": 2}, 100, 1),
        ({"hasMorePages": True}, 1, 2),
        ({"page": 1, "pages": 2}, 100, 2),
        ({"page": 1, "pages": 1}, 100, 1),
        ({"page": 7, "hasMorePages": True}, 100, 1),
    ],
)
async def test_list_reads_pages_until_the_server_reports_the_last_page(
    pagination: Any, objects: int, pages: int
) -> None:
    asked: list[int] = []

    def respond(request: httpx.Request) -> httpx.Response:
        asked.append(int(request.url.params["page"]))
        listed = [{"id": number} for number in range(1, objects + 1)] if len(asked) == 1 else []
        return httpx.Response(200, json={"inboxes": listed, "pagination": pagination})

    async with desk_over(httpx.MockTransport(respond)) as desk:
        assert len([each async for each in desk.inboxes.list()]) == objects
    assert asked == [*range(1, pages + 1)]


async def test_an_accent_in_two_forms_is_the_same() -> None:
    server = Server(["Caf\u00e9"], ignores_filters)
    async with desk_over(httpx.MockTransport(server)) as desk:
        assert (await desk.inboxes.find("cafe\u0301")).id == 1


# The client's attributes


async def test_the_client_has_a_resource_for_each_kind() -> None:
    hints = {name: hint for name, hint in get_type_hints(AsyncDesk).items() if get_origin(hint) is Resource}
    assert list(KINDS) == list(hints) == list(PATHS)
    for attribute, hint in hints.items():
        (model,) = get_args(hint)
        fake: list[Any] = getattr(FakeDesk(), attribute)
        assert {type(each) for each in fake} == {model}
    async with desk_over(FakeDesk().transport) as desk:
        view = desk.with_options(deadline=1)
        assert all(isinstance(getattr(view, attribute), Resource) for attribute in PATHS)


@pytest.mark.parametrize("attribute", PATHS)
async def test_list_yields_the_objects_of_all_pages(attribute: str) -> None:
    fake = FakeDesk()
    objects: list[Any] = getattr(fake, attribute)
    model: Any = objects[0].__class__
    objects[:] = [model(id=number) for number in range(1, 251)]
    async with desk_over(fake.transport) as desk:
        listed = [each async for each in resource_of(desk, attribute).list(order_by="id", order_mode="desc")]
    assert listed == objects[::-1]
    assert {request.path for request in fake.requests} == {f"/desk/api/v2/{PATHS[attribute]}.json"}
    assert [request.query["page"] for request in fake.requests] == ["1", "2", "3"]
    assert {request.query["pageSize"] for request in fake.requests} == {"100"}


async def test_list_yields_only_what_matches_the_filter() -> None:
    async with desk_over(FakeDesk().transport) as desk:
        listed = [each.name async for each in desk.inboxes.list(filter={"name": {"$contains": "Sup"}})]
    assert listed == ["Support"]


async def test_list_requests_a_page_only_when_it_is_needed() -> None:
    fake = FakeDesk()
    fake.tags = [Tag(id=number) for number in range(1, 251)]
    async with desk_over(fake.transport) as desk:
        listing = desk.tags.list()
        await anext(listing)
        await listing.aclose()
    assert len(fake.requests) == 1


@pytest.mark.parametrize(
    ("where", "requests"),
    [
        ({"hasMorePages": True}, 2),
        ({"hasMorePages": True, "page": 1}, 2),
        ({"hasMorePages": False}, 1),
        (None, 1),
    ],
    ids=str,
)
async def test_list_stops_if_the_server_repeats_a_page(where: dict[str, Any] | None, requests: int) -> None:
    pages: list[str] = []

    def respond(request: httpx.Request) -> httpx.Response:
        pages.append(request.url.params["page"])
        assert len(pages) < 10
        return httpx.Response(200, json={"tags": [{"id": 1, "name": "vip"}], "pagination": where})

    async with desk_over(httpx.MockTransport(respond)) as desk:
        assert {each.id async for each in desk.tags.list()} == {1}
    assert pages == [str(number) for number in range(1, requests + 1)]


async def test_list_recognizes_a_page_by_its_ids() -> None:
    pages: list[str] = []

    def respond(request: httpx.Request) -> httpx.Response:
        pages.append(request.url.params["page"])
        tags = [{"id": number, "name": f"{number}, read {len(pages)} times"} for number in range(1, 101)]
        return httpx.Response(200, json={"tags": tags if len(pages) % 2 else tags[::-1]})

    async with desk_over(httpx.MockTransport(respond)) as desk:
        listing = desk.tags.list()
        assert [(await anext(listing)).id for _ in range(100)] == [*range(1, 101)]
        with pytest.raises(StopAsyncIteration):
            await anext(listing)
    assert pages == ["1", "2"]


async def test_pages_of_objects_without_ids_are_all_listed() -> None:
    def respond(request: httpx.Request) -> httpx.Response:
        page = int(request.url.params["page"])
        return httpx.Response(200, json={"tags": [{"name": f"page {page}"}], "pagination": {"hasMorePages": page < 3}})

    async with desk_over(httpx.MockTransport(respond)) as desk:
        assert [each.name async for each in desk.tags.list()] == ["page 1", "page 2", "page 3"]


@pytest.mark.parametrize("key", ["ticketSources", "ticketsources"])
async def test_the_list_of_sources_has_one_of_two_keys(key: str) -> None:
    def respond(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={key: [{"id": 2, "name": "Chat"}]})

    async with desk_over(httpx.MockTransport(respond)) as desk:
        assert [each.id async for each in desk.sources.list()] == [2]
        assert (await desk.sources.find("chat")).id == 2


@pytest.mark.parametrize("filter", ["Support", "", '{"id": 7}', [7], 7], ids=repr)
async def test_list_says_what_a_filter_looks_like(filter: Any) -> None:
    fake = FakeDesk()
    async with desk_over(fake.transport) as desk:
        for listing in (desk.inboxes.list(filter=filter), desk.conversations.list(filter=filter)):
            with pytest.raises(RequestError) as caught:
                await anext(listing)
            expected = 'filter: expected a dict with str keys, such as {"id": {"$in": [7, 8]}}, got'
            assert str(caught.value) == f"{expected} {type(filter).__name__}"
    assert fake.requests == []


@pytest.mark.parametrize(
    "arguments",
    [{"filter": {"id": object()}}, {"order_by": object()}, {"order_mode": "\ud800"}],
    ids=["filter", "order_by", "order_mode"],
)
async def test_list_rejects_an_argument_that_cannot_be_sent(arguments: Any) -> None:
    fake = FakeDesk()
    async with desk_over(fake.transport) as desk:
        with pytest.raises(RequestError):
            await anext(desk.inboxes.list(**arguments))
    assert fake.requests == []


# What find returns


@pytest.mark.parametrize(
    ("attribute", "name", "id", "requests"),
    [
        ("inboxes", "Support", 7, 1),
        ("inboxes", "  Support ", 7, 1),
        ("inboxes", "support@acme.com", 7, 1),
        # FakeDesk compares letter by letter, so the client has to look at the listing.
        ("inboxes", "SUPPORT", 7, 2),
        ("inboxes", "Support@ACME.com", 7, 2),
        ("statuses", "Solved", 3, 1),
        ("statuses", "solved", 3, 1),
        ("priorities", "High", 13, 1),
        ("types", "Question", 21, 1),
        ("sources", "Chat", 32, 1),
        ("tags", "vip", 42, 1),
        ("users", "ann@acme.com", 2, 1),
        ("users", "Ann Lee", 2, 1),
        ("users", "ann lee", 2, 2),
        ("customers", "jo@example.com", 1017, 1),
        ("customers", "Jo Day", 1017, 1),
        # The filter has no field for labels, so the client reads the whole listing.
        ("custom_fields", "Order", 272, 1),
        ("custom_fields", "order NUMBER", 272, 1),
    ],
)
async def test_find_returns_the_object_with_a_name(attribute: str, name: str, id: int, requests: int) -> None:
    assert await finds(FakeDesk(), attribute, name) == (id, requests)


async def test_find_uses_the_text_of_a_subclass_of_str() -> None:
    class Markup(str):
        def __str__(self) -> str:
            return "<b>Support</b>"

    assert await finds(FakeDesk(), "inboxes", Markup("Support")) == (7, 1)


async def test_an_exact_name_has_precedence() -> None:
    fake = FakeDesk()
    fake.inboxes = [Inbox(id=number, name=name) for number, name in enumerate(("support", "Support", "SUPPORT"), 1)]
    async with desk_over(fake.transport) as desk:
        assert (await desk.inboxes.find("Support")).id == 2
        with pytest.raises(RequestError, match=r"^name: several inboxes have this name or email address: "):
            await desk.inboxes.find("SupporT")


async def test_a_contact_with_one_name_is_found_by_it() -> None:
    fake = FakeDesk()
    fake.customers = [Customer(id=1, first_name="Cher"), Customer(id=2, last_name="Day"), Customer(id=3)]
    async with desk_over(fake.transport) as desk:
        assert (await desk.customers.find("Cher")).id == 1
        assert (await desk.customers.find("Day")).id == 2


async def test_an_inbox_is_found_by_a_name_that_looks_like_an_address() -> None:
    fake = FakeDesk()
    fake.inboxes = [Inbox(id=1, name="sales@acme.com", email="other@acme.com")]
    assert await finds(fake, "inboxes", "sales@acme.com") == (1, 2)


@pytest.mark.parametrize(
    ("filtered", "requests"), [(ignores_filters, 3), (refuses_filters, 4), (finds_nothing, 4), (finds_parts, 2)]
)
async def test_find_is_right_whatever_the_server_does_with_a_filter(filtered: Any, requests: int) -> None:
    server = Server([*(f"Support {number}" for number in range(249)), "Support"], filtered)
    async with desk_over(httpx.MockTransport(server)) as desk:
        assert (await desk.inboxes.find("Support")).id == 250
    assert len(server.queries) == requests


@pytest.mark.parametrize(
    ("filtered", "requests"), [(ignores_filters, 2), (refuses_filters, 2), (finds_nothing, 2), (finds_parts, 2)]
)
async def test_find_does_not_take_another_object(filtered: Any, requests: int) -> None:
    server = Server(["Support 1", "Old Support"], filtered)
    async with desk_over(httpx.MockTransport(server)) as desk:
        with pytest.raises(NotFoundError, match=r"there are Support 1 \(1\), Old Support \(2\)$"):
            await desk.inboxes.find("Support")
    assert len(server.queries) == requests


async def test_an_object_that_is_listed_twice_is_found() -> None:
    """A listing that changes while it is read may show an object on two pages."""
    server = Server(["Support", "Sales"], ignores_filters)
    server.inboxes.append(server.inboxes[0])
    async with desk_over(httpx.MockTransport(server)) as desk:
        assert (await desk.inboxes.find("Support")).id == 1


async def test_an_object_without_a_valid_id_is_not_found() -> None:
    fake = FakeDesk()
    fake.inboxes = [Inbox(name="Support"), Inbox(id=0, name="Support"), Inbox(id=3, name=None)]
    error = await error_of(fake, "inboxes", "Support")
    assert str(error) == "name: no inbox has this name or email address; there are 3"


# What find raises


@pytest.mark.parametrize(
    ("attribute", "name", "message"),
    [
        ("inboxes", "Sales", "no inbox has this name or email address; there are Support (7), Billing (8)"),
        ("inboxes", "no@acme.com", "no inbox has this name or email address; there are Support (7), Billing (8)"),
        (
            "inboxes",
            "suport",
            "no inbox has this name or email address (did you mean Support (7)?); there are Support (7), Billing (8)",
        ),
        ("priorities", "Top", "no priority has this name; there are Low (11), Medium (12), High (13)"),
        ("custom_fields", "Tier", "no custom field has this name or label; there are Order (272)"),
        ("users", "Bob Ray", "no user has this name or email address; users compared: 1"),
        ("customers", "al@example.com", "no customer has this name or email address; customers compared: 1"),
    ],
)
async def test_find_says_which_objects_there_are(attribute: str, name: str, message: str) -> None:
    error = await error_of(FakeDesk(), attribute, name)
    assert isinstance(error, NotFoundError)
    assert str(error) == f"name: {message}"
    assert (error.status_code, error.attempts, error.maybe_applied, error.conversation_id) == (
        404,
        1 if attribute == "custom_fields" else 2,
        False,
        None,
    )
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


async def test_find_says_if_there_are_no_objects() -> None:
    fake = FakeDesk()
    fake.tags.clear()
    assert str(await error_of(fake, "tags", "vip")) == "name: no tag has this name; there are no tags"


async def test_find_says_if_the_object_is_deleted() -> None:
    fake = FakeDesk()
    fake.statuses = [
        TicketStatus(id=1, name="On hold", code="hold", state="deleted"),
        TicketStatus(id=2, name="Solved", state="active"),
        TicketStatus(id=3, name="Spam", state="Deleted"),
    ]
    for name in ("On hold", "on hold", "HOLD", "Spam"):
        error = await error_of(fake, "statuses", name)
        assert isinstance(error, NotFoundError)
        assert str(error) == "name: the status with this name or code is deleted; there are Solved (2)"
    fake.statuses.append(TicketStatus(id=4, name="on hold"))
    assert (await finds(fake, "statuses", "On hold"))[0] == 4


async def test_find_says_which_objects_have_the_same_name() -> None:
    fake = FakeDesk()
    fake.inboxes = [Inbox(id=7, name="Support"), Inbox(id=9, name="Support")]
    error = await error_of(fake, "inboxes", "Support")
    assert isinstance(error, RequestError)
    shown = "Support (7), Support (9)"
    assert str(error) == f"name: several inboxes have this name or email address: {shown}; use an id"
    assert (error.attempts, error.maybe_applied) == (1, False)


async def test_a_message_names_a_bounded_number_of_objects_and_cannot_control_a_terminal() -> None:
    fake = FakeDesk()
    fake.tags = [Tag(id=number, name="\x1b[2J" + "x" * 200) for number in range(1, 52)]
    message = str(await error_of(fake, "tags", "y"))
    assert message.count("x" * 50) == 20
    assert message.endswith(" and 31 more")
    assert "\x1b" not in message
    assert len(message) < 2000


@pytest.mark.parametrize("name", ["Ann Lee", "Bo Ray", "bo@acme.com"])
async def test_a_message_has_no_personal_data(name: str) -> None:
    fake = FakeDesk()
    fake.users = [User(id=number, first_name="Ann", last_name="Lee", email="ann@acme.com") for number in (3, 8)]
    message = str(await error_of(fake, "users", name))
    assert not any(word in message.lower() for word in ("ann", "lee", "acme", "bo", "ray"))
    if name == "Ann Lee":
        assert message == "name: several users have this name or email address: 3, 8; use an id"


async def test_find_reads_a_bounded_part_of_the_listing_if_the_server_has_filtered() -> None:
    server = Server([f"Support {number}" for number in range(1500)], finds_nothing)
    async with desk_over(httpx.MockTransport(server)) as desk:
        with pytest.raises(NotFoundError, match=r"; inboxes compared: 1000, and there are more$"):
            await desk.inboxes.find("Support")
    assert len(server.queries) == 11


async def test_find_counts_what_it_has_compared_exactly() -> None:
    server = Server([f"Support {number}" for number in range(1000)], finds_nothing)
    async with desk_over(httpx.MockTransport(server)) as desk:
        with pytest.raises(NotFoundError, match=r"; there are Support 0 \(1\), .* and 980 more$"):
            await desk.inboxes.find("Support")
    assert len(server.queries) == 11


@pytest.mark.parametrize(("objects", "requests"), [(1, 2), (250, 4), (1000, 11), (1500, 11)])
async def test_find_reads_the_listing_once_if_the_server_ignores_the_filter(objects: int, requests: int) -> None:
    server = Server([f"Support {number}" for number in range(objects)], ignores_filters)
    async with desk_over(httpx.MockTransport(server)) as desk:
        with pytest.raises(NotFoundError) as caught:
            await desk.inboxes.find("Support")
        assert len(server.queries) == requests
        assert ("inboxes compared: 1000, and there are more" in str(caught.value)) == (objects > 1000)
        server.queries.clear()
        assert (await desk.inboxes.find(f"SUPPORT {objects // 2}")).id == objects // 2 + 1
    assert len(server.queries) == min(10, -(-objects // 100))


async def test_find_does_not_take_a_part_of_the_listing_for_all_of_it() -> None:
    """The first 100 objects pass a filter that compares parts of names, and the next object does not."""
    server = Server([*(f"support {number}" for number in range(100)), "Sales"], finds_parts_exactly)
    async with desk_over(httpx.MockTransport(server)) as desk:
        with pytest.raises(NotFoundError, match=r"and 81 more$"):
            await desk.inboxes.find("support")


async def test_find_is_one_call_with_one_deadline() -> None:
    server = Server([f"Support {number}" for number in range(1500)], refuses_filters)

    class Slow(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            response = server(request)
            response.headers["Retry-After"] = "3600"
            return response if len(server.queries) < 4 else httpx.Response(503, headers=response.headers)

    policy = RetryPolicy(max_retry_after=7200)
    async with desk_over(Slow(), retry=policy, deadline=60) as desk:
        with pytest.raises(DeadlineExceeded) as caught:
            await desk.inboxes.find("Support")
    assert (caught.value.attempts, len(server.queries)) == (4, 4)


async def test_another_error_of_the_filtered_listing_is_raised() -> None:
    server = Server(["Support"], forbids_everything)
    async with desk_over(httpx.MockTransport(server)) as desk:
        with pytest.raises(PermissionDeniedError):
            await desk.inboxes.find("Support")
    assert len(server.queries) == 1


@pytest.mark.parametrize("name", ["", "  ", None, 7, True, b"Support", ["Support"], Inbox(id=7), "\ud800"], ids=repr)
@pytest.mark.parametrize("attribute", ["inboxes", "statuses", "users"])
async def test_an_invalid_name_is_rejected_before_anything_is_sent(attribute: str, name: Any) -> None:
    fake = FakeDesk()
    error = await error_of(fake, attribute, name)
    assert isinstance(error, RequestError)
    assert (fake.requests, error.attempts) == ([], 0)
    expected = "a str that is not empty" if isinstance(name, str) else f"a str, got {type(name).__name__}"
    assert str(error) == (
        "name: expected text that UTF-8 can encode" if name == "\ud800" else f"name: expected {expected}"
    )


async def test_a_call_is_logged_without_the_name(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "teamwork_desk")
    async with desk_over(FakeDesk().transport) as desk:
        await desk.users.find("ann@acme.com")
        assert [each.id async for each in desk.custom_fields.list()] == [272]
    logged = [record.getMessage() for record in caplog.records if record.name == "teamwork_desk"]
    assert any(message.startswith("users.find") for message in logged)
    assert any(message.startswith("custom_fields.list") for message in logged)
    assert "ann" not in "".join(logged)


# FakeDesk


@pytest.mark.parametrize("path", PATHS.values())
@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_fake_desk_accepts_only_get_for_a_listing(path: str, method: str) -> None:
    async with httpx.AsyncClient(transport=FakeDesk().transport, base_url="https://desk.example") as client:
        headers = {"Authorization": "Bearer t", "Content-Type": "application/json"}
        response = await client.request(method, f"/desk/api/v2/{path}.json", headers=headers)
    assert (response.status_code, response.headers["allow"]) == (405, "GET")


@pytest.mark.parametrize(
    ("attribute", "filter", "ids"),
    [
        ("types", {"inboxes.id": {"$eq": 7}}, [1, 3]),
        ("types", {"inboxes.id": {"$in": [8]}}, [2, 3]),
        ("types", {"inboxes.id": {"$eq": 9}}, []),
        ("users", {"name": {"$contains": "Lee"}}, [2]),
        ("customers", {"contacts.value": {"$eq": "jo@example.com"}}, [1017]),
        ("statuses", {"$or": [{"code": {"$eq": "spam"}}, {"name": {"$eq": "Solved"}}]}, [3, 5]),
    ],
)
async def test_fake_desk_filters_by_the_documented_fields(attribute: str, filter: Any, ids: list[int]) -> None:
    fake = FakeDesk()
    fake.types = [
        TicketType(id=number, inboxes=[EntityRef(id=inbox) for inbox in inboxes])
        for number, inboxes in enumerate(([7], [8], [7, 8]), 1)
    ]
    async with desk_over(fake.transport) as desk:
        assert [each.id async for each in resource_of(desk, attribute).list(filter=filter)] == ids


@pytest.mark.parametrize("arguments", [{"filter": {"code": {"$eq": "x"}}}, {"order_by": "createdAt"}], ids=str)
async def test_fake_desk_rejects_a_field_that_the_listing_does_not_have(arguments: Any) -> None:
    async with desk_over(FakeDesk().transport) as desk:
        with pytest.raises(DeskError, match=r"(filter|orderBy) must be"):
            await anext(desk.tags.list(**arguments))


async def test_what_a_test_adds_to_fake_desk_is_listed() -> None:
    fake = FakeDesk()
    fake.custom_fields.append(CustomFieldDefinition(id=9, name="Tier", customer_label="Plan"))
    assert await finds(fake, "custom_fields", "plan") == (9, 1)
