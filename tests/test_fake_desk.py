"""FakeDesk follows the rules of Desk, with its transport and over a real socket."""

from __future__ import annotations

import asyncio
import importlib
import json
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from email.utils import parsedate_to_datetime
from typing import Any

import anyio
import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import teamwork_desk.testing
from teamwork_desk import AsyncDesk
from teamwork_desk.testing import FakeDesk, RecordedRequest, Ticket
from teamwork_desk.testing._limiter import LimiterName

LIST = "/desk/api/v2/conversations.json"
CONVERT = "/desk/api/v2/conversations/42/convert.json"
NOON = 1_700_000_000.0
ALL_ADDRESSES = {"0.0.0.0": "127.0.0.1", **({"::": "::1"} if socket.has_dualstack_ipv6() else {})}
"""The addresses that stand for all addresses, each with the address in the URL that `serve` yields."""

on_asyncio = pytest.mark.parametrize("anyio_backend", ["asyncio"])


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


class Clock:
    """A clock that stands still until a test changes `now`."""

    now = NOON

    def __call__(self) -> float:
        return self.now


def client_of(fake: FakeDesk, token: str = "t") -> httpx.AsyncClient:
    """Return a plain httpx client that uses the transport, so that the tests do not depend on AsyncDesk."""
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.AsyncClient(base_url="https://desk.example.com", transport=fake.transport, headers=headers)


def client_at(url: str) -> httpx.AsyncClient:
    """Return a plain httpx client that connects to a server."""
    return httpx.AsyncClient(base_url=url, headers={"Authorization": "Bearer t"}, trust_env=False)


async def convert(fake: FakeDesk, body: Any, conversation: int = 42) -> httpx.Response:
    async with client_of(fake) as client:
        return await client.post(f"/desk/api/v2/conversations/{conversation}/convert.json", json=body)


async def listed(fake: FakeDesk, **query: str | int) -> httpx.Response:
    async with client_of(fake) as client:
        return await client.get(LIST, params=query)


def test_the_package_exports_these_names() -> None:
    assert teamwork_desk.testing.__all__ == [
        *("FakeDesk", "Fault", "RecordedRequest", "Ticket", "UploadedFile", "VirtualTimeLoop")
    ]


# Convert requests.


async def test_a_convert_request_returns_the_conversation_as_desk_sends_it() -> None:
    fake = FakeDesk(clock=Clock())
    response = await convert(fake, {})
    assert response.status_code == 200
    assert response.json() == {
        "contact": {"id": 5042, "type": "email", "value": "customer42@example.com", "isMain": True, "state": "active"},
        "contactId": 5042,
        "createdAt": "2023-11-14T22:13:20.000Z",
        "createdBy": {"id": 2, "type": "users", "meta": None},
        "deletedAt": "0001-01-01T00:00:00Z",
        "deletedBy": None,
        "id": 42,
        "messages": None,
        "socket_id": "",
        "state": "active",
        "ticket_id": fake.tickets[0].id,
        "token": "secret-of-conversation-42",
        "updatedAt": "2023-11-14T22:13:20.000Z",
        "updatedBy": None,
        "users": [{"id": 2, "type": "users"}],
    }


async def test_every_convert_request_makes_another_ticket() -> None:
    clock = Clock()
    fake = FakeDesk(clock=clock)
    await convert(fake, {"subject": "first"})
    clock.now += 1
    second = (await convert(fake, {"subject": "second"})).json()
    assert [(ticket.conversation_id, ticket.body) for ticket in fake.tickets] == [
        (42, {"subject": "first"}),
        (42, {"subject": "second"}),
    ]
    assert fake.tickets[0].id != fake.tickets[1].id == second["ticket_id"]
    assert second["createdAt"] == "2023-11-14T22:13:20.000Z"
    assert second["updatedAt"] == "2023-11-14T22:13:21.000Z"


async def test_a_convert_request_can_return_an_envelope() -> None:
    body = (await convert(FakeDesk(envelope=True), {})).json()
    assert body["conversation"]["id"] == 42
    assert body["included"] == {}


async def test_the_fields_of_an_added_conversation_replace_the_defaults() -> None:
    fake = FakeDesk(conversations=[7])
    assert fake.add_conversation()["id"] == 8
    added = fake.add_conversation(42, state="deleted", contact=None)
    assert (added["state"], added["contactId"], added["users"]) == ("deleted", None, [{"id": 2, "type": "users"}])
    added["state"] = "spam"
    assert (await convert(fake, {"email": "jo@example.com"})).json()["state"] == "spam"
    assert FakeDesk(conversations=[]).add_conversation()["id"] == 1


WHOLE = "must be a whole number"
ADDRESS = "must be a valid email address"


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ({"customer": {"id": 3}}, None),
        ({"customer": {"email": "jo@example.com"}}, None),
        ({"customer": {}}, None),
        ({"email": "jo@mail.example.com"}, None),
        ({"customer": None, "tags": None, "whatever": 1}, None),
        ({"tags": ["billing", {"id": 3}], "files": [{"id": 1}], "cc": ["a@b.example"], "notifyCustomer": False}, None),
        (
            {
                "editMethod": "markdown",
                "customfields": [{"id": 1, "meta": {"value": "x"}}, {"id": 2}],
                "subject": "x" * 255,
            },
            None,
        ),
        # Teamwork's own example of an upload sends both, and it is not known whether Desk refuses that.
        ({"customer": {"id": 3, "email": "jo@example.com"}}, None),
        ({"customer": {"id": 3}, "email": "jo@example.com"}, None),
        ({"customer": {"email": "jo"}}, {"customer.email": [ADDRESS]}),
        ({"customer": {"email": 3}}, {"customer.email": [ADDRESS]}),
        ({"customer": {"id": "3"}}, {"customer.id": [WHOLE]}),
        ({"customer": 3}, {"customer": ["must be an object"]}),
        ({"email": "jo@example"}, {"email": [ADDRESS]}),
        ({"bcc": ["a@b.example", "jo@", "@"]}, {"bcc[1]": [ADDRESS], "bcc[2]": [ADDRESS]}),
        ({"cc": "a@b.example"}, {"cc": ["must be a list"]}),
        ({"inbox": 7}, {"inbox": ["must be an object"]}),
        ({"inbox": {}}, {"inbox.id": ["must be set"]}),
        ({"inbox": {"id": True}}, {"inbox.id": [WHOLE]}),
        ({"inbox": {"id": 1, "type": "inboxes", "delete": False, "meta": {"a": 1}}}, None),
        ({"inbox": {"id": 1, "type": 0, "delete": None, "meta": None}}, None),
        ({"inbox": {"id": 1, "type": True}}, {"inbox.type": ["must be a string or a whole number"]}),
        ({"tags": [{"id": 1, "delete": 0}]}, {"tags[0].delete": ["must be a boolean"]}),
        ({"files": [{"id": 1, "meta": ["x"]}]}, {"files[0].meta": ["must be an object"]}),
        (
            {"customfields": [{"id": 1, "meta": ["x"]}, {"meta": {"value": 2}}, 3]},
            {
                "customfields[0].meta": ["must be an object"],
                "customfields[1].id": ["must be set"],
                "customfields[2]": ["must be an object"],
            },
        ),
        ({"files": [{"id": 1}, {"id": 1.5}]}, {"files[1].id": [WHOLE]}),
        ({"tags": ["a", 3]}, {"tags[1]": ["must be an object"]}),
        ({"fromThreadId": "9"}, {"fromThreadId": [WHOLE]}),
        ({"editMethod": "rtf"}, {"editMethod": ["must be one of ‘html, markdown’"]}),
        ({"editMethod": {}}, {"editMethod": ["must be one of ‘html, markdown’"]}),
        ({"subject": "x" * 256}, {"subject": ["must be shorter than 256 characters"]}),
        ({"subject": 3, "message": []}, {"subject": ["must be a string"], "message": ["must be a string"]}),
        ({"notifyCustomer": 1}, {"notifyCustomer": ["must be a boolean"]}),
        ({"scheduledEmail": "now"}, {"scheduledEmail": ["must be an object"]}),
    ],
)
async def test_invalid_fields_of_a_convert_request_are_rejected(
    body: dict[str, Any], errors: dict[str, list[str]] | None
) -> None:
    fake = FakeDesk()
    response = await convert(fake, body)
    assert response.status_code == (200 if errors is None else 400)
    assert response.json().get("errors") == errors
    assert len(fake.tickets) == (errors is None)


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("contact", [False, True])
@pytest.mark.parametrize(
    ("body", "accepted"),
    [
        # Whether the request is accepted: by a new installation if the conversation has no contact, and if it has one,
        # then by an old installation if the conversation has no contact, and if it has one.
        ({}, (False, True, False, True)),
        ({"customer": {}}, (False, True, False, False)),
        ({"customer": {"id": 3}}, (True, True, True, True)),
        ({"customer": {"email": "jo@example.com"}}, (True, True, False, False)),
        ({"email": "jo@example.com"}, (True, True, True, True)),
        ({"email": "jo@example.com", "customer": {"email": "jo@example.com"}}, (True, True, True, True)),
        ({"fromThreadId": 9}, (True, True, True, True)),
        ({"fromThreadId": 9, "customer": {"email": "jo@example.com"}}, (True, True, True, True)),
    ],
)
async def test_a_convert_request_needs_a_customer(
    body: dict[str, Any], accepted: tuple[bool, ...], contact: bool, old: bool
) -> None:
    fake = FakeDesk(old_installation=old)
    if not contact:
        fake.add_conversation(42, contact=None)
    response = await convert(fake, body)
    errors = None if accepted[2 * old + contact] else {"customer": ["must be set"]}
    assert response.json().get("errors") == errors


async def test_an_old_installation_ignores_the_email_of_the_customer() -> None:
    fake = FakeDesk(old_installation=True)
    assert (await convert(fake, {"customer": {"id": 3, "email": "nonsense"}})).status_code == 200


HOSTILE = [
    b"",
    b"null",
    b"[]",
    b"{",
    b'"\xff"',
    b'{"subject": "\xff"}',
    b'{"fromThreadId": NaN}',
    b'{"fromThreadId": -Infinity}',
    b'{"fromThreadId": ' + b"9" * 5000 + b"}",
    b'{"a":' * 100_000,
    b"[" * 100_000,
    b"\xff\xfe{\x00}\x00",
]


@pytest.mark.parametrize("body", HOSTILE, ids=range(len(HOSTILE)))
async def test_a_body_that_is_not_a_json_object_is_rejected(body: bytes) -> None:
    fake = FakeDesk()
    async with client_of(fake) as client:
        response = await client.post(CONVERT, content=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 400
    assert response.json() == {"errors": {"body": ["must be a JSON object"]}}
    assert fake.requests[0].json in (None, [])


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("POST", "/desk/api/v2/conversations/101/convert.json", 404, None),
        ("POST", "/desk/api/v2/conversations/0/convert.json", 404, None),
        ("POST", "/desk/api/v2/conversations/" + "9" * 19 + "/convert.json", 404, None),
        ("POST", "/desk/api/v2/conversations/" + "9" * 5000 + "/convert.json", 404, None),
        ("POST", "/desk/api/v2/conversations/-1/convert.json", 404, None),
        ("POST", "/desk/api/v2/conversations/%D9%A4%D9%A2/convert.json", 404, None),
        ("POST", "/desk/api/v2/conversations/42/convert.json/", 404, None),
        ("GET", "/desk/api/v2/conversations/%FF.json", 404, None),
        ("GET", "/", 404, None),
        ("GET", CONVERT, 405, "POST"),
        ("POST", LIST, 405, "GET"),
        ("BREW", LIST, 405, "GET"),
    ],
)
async def test_unknown_paths_and_methods_are_rejected(method: str, path: str, status: int, allow: str | None) -> None:
    async with client_of(FakeDesk()) as client:
        response = await client.request(method, path, json={})
    assert (response.status_code, response.headers.get("allow")) == (status, allow)
    assert response.headers["content-type"] == "application/json"
    (error,) = response.json()["errors"]
    assert error == {"id": error["id"], "title": TITLES[status], "detail": error["detail"]}


TITLES = {404: "Not Found", 405: "Method Not Allowed"}


async def test_rejected_fields_can_be_listed_as_objects() -> None:
    response = await convert(FakeDesk(error_shape="objects"), {"email": "jo", "customer": {"id": "3"}})
    errors: list[dict[str, str]] = response.json()["errors"]
    assert response.status_code == 400
    assert len({error.pop("id") for error in errors}) == 2
    assert errors == [
        {"title": "Bad Request", "detail": WHOLE, "source": "customer.id"},
        {"title": "Bad Request", "detail": ADDRESS, "source": "email"},
    ]
    response = await listed(FakeDesk(error_shape="objects"), page="0")
    assert [(error["source"], error["detail"]) for error in response.json()["errors"]] == [("page", WHOLE)]


@pytest.mark.parametrize(
    ("content_type", "shown"), [(None, ""), ("text/plain", "text/plain"), ("Text/HTML; charset=utf-8", "text/html")]
)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_a_wrong_content_type_is_rejected_in_plain_text(
    method: str, content_type: str | None, shown: str
) -> None:
    fake = FakeDesk()
    headers = {} if content_type is None else {"Content-Type": content_type}
    async with client_of(fake) as client:
        response = await client.request(method, CONVERT, content=b"{}", headers=headers)
    assert (response.status_code, response.headers["content-type"]) == (400, "text/plain; charset=utf-8")
    assert response.text == f'unknown content type: "{shown}" for "{CONVERT}"; must be one of application/json'
    assert fake.tickets == []


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON"])
async def test_a_content_type_may_have_parameters_and_capitals(content_type: str) -> None:
    async with client_of(FakeDesk()) as client:
        response = await client.post(CONVERT, content=b"{}", headers={"Content-Type": content_type})
    assert response.status_code == 200


@pytest.mark.parametrize(
    ("token", "header", "status"),
    [
        (None, "Bearer anything", 200),
        (None, "bearer anything", 200),
        ("right", "Bearer right", 200),
        ("right", "Bearer wrong", 401),
        ("right", "Bearer ", 401),
        (None, "Bearer ", 401),
        (None, "Basic anything", 401),
        (None, "", 401),
        (None, None, 401),
    ],
)
async def test_only_a_valid_token_is_accepted(token: str | None, header: str | None, status: int) -> None:
    fake = FakeDesk(token=token)
    async with httpx.AsyncClient(transport=fake.transport) as client:
        headers = {} if header is None else {"Authorization": header}
        response = await client.post(f"https://desk.example.com{CONVERT}", json={}, headers=headers)
    assert response.status_code == status
    assert len(fake.tickets) == (status == 200)
    if status == 401:
        (error,) = response.json()["errors"]
        expected = {"title": "Unauthorized", "code": "G401", "detail": "failed to validate token"}
        assert error == {"id": error["id"], **expected}


# The rate limit.


@pytest.mark.parametrize(
    ("limiter", "expected"),
    [
        # At 0, 30, 59, 60, 89, 90 and 150 seconds. The sliding log also counts the requests that it refuses.
        (
            "sliding log",
            [(200, 1, 60), (200, 0, 60), (429, -1, 60), (429, -1, 60), (429, -2, 60), (429, -2, 60), (200, 1, 60)],
        ),
        (
            "window",
            [
                *[(200, 1, NOON + 60), (200, 0, NOON + 60), (429, 0, NOON + 60), (200, 1, NOON + 120)],
                *[(200, 0, NOON + 120), (429, 0, NOON + 120), (200, 1, NOON + 210)],
            ],
        ),
        (
            "seconds left",
            [(200, 1, 60), (200, 0, 30), (429, 0, 1), (200, 1, 60), (200, 0, 31), (429, 0, 30), (200, 1, 60)],
        ),
        ("silent", [(status, None, None) for status in (200, 200, 429, 200, 200, 429, 200)]),
    ],
)
async def test_each_limiter_counts_and_reports_in_its_own_way(
    limiter: LimiterName, expected: list[tuple[int, int | None, float | None]]
) -> None:
    clock = Clock()
    fake = FakeDesk(rate_limit=2, window=60, limiter=limiter, clock=clock)
    got: list[tuple[int, int | None, float | None]] = []
    for seconds in (0, 30, 59, 60, 89, 90, 150):
        clock.now = NOON + seconds
        response = await convert(fake, {})
        limit, remaining, reset = (
            response.headers.get(f"x-rate-limit-{name}") for name in ("limit", "remaining", "reset")
        )
        assert limit == (None if limiter == "silent" else "2")
        got.append((response.status_code, remaining and int(remaining), reset and int(reset)))
        assert parsedate_to_datetime(response.headers["date"]).timestamp() == clock.now
        assert "retry-after" not in response.headers
        assert bool(response.content) is ("content-type" in response.headers) is (response.status_code == 200)
    assert got == expected
    assert len(fake.tickets) == [status for status, _, _ in expected].count(200)


@pytest.mark.parametrize(
    ("limiter", "remaining"), [("sliding log", "-1"), ("window", "0"), ("seconds left", "0"), ("silent", None)]
)
async def test_the_fault_rate_limited_uses_the_limit_up_until_the_period_ends(
    limiter: LimiterName, remaining: str | None
) -> None:
    clock = Clock()
    fake = FakeDesk(rate_limit=3, limiter=limiter, clock=clock)
    fake.inject("rate limited")
    response = await listed(fake)
    assert (response.status_code, response.headers.get("x-rate-limit-remaining")) == (429, remaining)
    clock.now += 59
    assert (await listed(fake)).status_code == 429
    # The sliding log has counted both requests that were refused.
    clock.now += 60
    assert (await listed(fake)).status_code == 200


async def test_the_rate_limit_is_checked_before_the_token() -> None:
    fake = FakeDesk(rate_limit=1)
    async with httpx.AsyncClient(transport=fake.transport) as client:
        statuses = [(await client.get(f"https://desk.example.com{LIST}")).status_code for _ in range(2)]
    assert statuses == [401, 429]


async def test_the_reset_header_is_never_earlier_than_the_end_of_the_window() -> None:
    clock = Clock()
    clock.now += 0.5
    response = await convert(FakeDesk(clock=clock, window=0.25, limiter="window"), {})
    assert response.headers["x-rate-limit-reset"] == "1700000001"


# Listing.


@pytest.fixture
def five_conversations() -> FakeDesk:
    clock = Clock()
    fake = FakeDesk(conversations=[], clock=clock)
    conversations: list[dict[str, Any]] = [
        {},
        {"ticket_id": 7},
        {"ticket_id": 8, "state": "deleted"},
        {"contact": None},
        {"ticket_id": 9},
    ]
    for fields in conversations:
        fake.add_conversation(**fields)
        clock.now += 1
    return fake


def ids_of(page: Any) -> list[int]:
    conversations: list[dict[str, Any]] | None = page["conversations"]
    return [conversation["id"] for conversation in conversations or []]


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ({}, [1, 2, 3, 4, 5]),
        ({"id": {"$eq": 2}}, [2]),
        ({"id": {"$ne": 2}}, [1, 3, 4, 5]),
        ({"id": {"$gt": 1, "$lt": 4}}, [2, 3]),
        ({"id": {"$gte": 2, "$lte": 3}}, [2, 3]),
        ({"id": {"$in": [1, 5, 99]}}, [1, 5]),
        ({"id": {"$nin": [1, 5, 99]}}, [2, 3, 4]),
        ({"id": {"$eq": "2"}}, []),
        ({"id": {"$lt": "2"}}, []),
        ({"ticket_id": {"$eq": None}}, [1, 4]),
        ({"ticket_id": {"$ne": None}}, [2, 3, 5]),
        ({"ticket_id": {"$gt": 7}}, [3, 5]),
        ({"contactId": {"$eq": 5002}}, [2]),
        ({"state": {"$eq": "deleted"}}, [3]),
        ({"state": {"$contains": "let"}}, [3]),
        ({"state": {"$contains": 7}}, []),
        ({"id": {"$contains": "2"}}, []),
        ({"ticket_id": {"$contains": None}}, []),
        ({"token": {"$eq": "secret-of-conversation-5"}}, [5]),
        ({"createdAt": {"$gte": "2023-11-14T22:13:23Z"}}, [4, 5]),
        ({"createdAt": {"$lt": "2023-11-14T23:13:21+01:00"}}, [1]),
        ({"createdAt": {"$in": ["2023-11-14T22:13:20", "2023-11-14T22:13:21Z"]}}, [1, 2]),
        ({"createdAt": {"$eq": "yesterday"}}, []),
        ({"deletedAt": {"$eq": "0001-01-01T00:00:00Z"}}, [1, 2, 3, 4, 5]),
        ({"state": {"$eq": "active"}, "ticket_id": {"$eq": None}}, [1, 4]),
        ({"$and": [{"id": {"$gt": 1}}, {"id": {"$lt": 3}}]}, [2]),
        ({"$or": [{"id": {"$eq": 1}}, {"id": {"$eq": 3}}]}, [1, 3]),
        ({"$or": []}, []),
        ({"id": {}}, [1, 2, 3, 4, 5]),
    ],
)
async def test_a_filter_selects_conversations(five_conversations: FakeDesk, query: Any, ids: list[int]) -> None:
    page = (await listed(five_conversations, filter=json.dumps(query))).json()
    assert ids_of(page) == ids
    assert page["conversations"] is None or ids
    assert page["pagination"]["records"] == len(ids)


@pytest.mark.parametrize("query", [{"id": {"$in": [1]}}, {"$or": [{"$and": [{"id": {"$in": [1]}}]}]}], ids=str)
async def test_the_listing_can_refuse_in(query: Any) -> None:
    fake = FakeDesk(refuse_in=True)
    response = await listed(fake, filter=json.dumps(query))
    assert (response.status_code, response.json()) == (400, {"errors": {"filter": ["must be a valid filter"]}})
    assert ids_of((await listed(fake, filter='{"id":{"$nin":[1]}}', pageSize=1)).json()) == [2]


INVALID_FILTERS = [
    "",
    "nonsense",
    "[]",
    "42",
    '{"id": 42}',
    '{"id": {"$like": 4}}',
    '{"id": {"$in": 4}}',
    '{"id": {"$nin": "42"}}',
    '{"id": {"$eq": NaN}}',
    '{"subject": {"$eq": "x"}}',
    '{"$not": []}',
    '{"$and": {}}',
    '{"$or": [4]}',
    '{"$and": [' * 2000 + "{}" + "]}" * 2000,
    "[" * 10_000,
]


@pytest.mark.parametrize("text", INVALID_FILTERS, ids=range(len(INVALID_FILTERS)))
async def test_an_invalid_filter_is_rejected(text: str) -> None:
    response = await listed(FakeDesk(conversations=[]), filter=text)
    assert response.status_code == 400
    assert response.json() == {"errors": {"filter": ["must be a valid filter"]}}


@pytest.mark.parametrize(
    ("query", "errors"),
    [
        ({"page": "0"}, {"page": [WHOLE]}),
        ({"page": "-1", "pageSize": "x"}, {"page": [WHOLE], "pageSize": [WHOLE]}),
        ({"pageSize": "9" * 5000}, {"pageSize": [WHOLE]}),
        ({"page": "0" * 5000 + "1"}, {"page": [WHOLE]}),
        ({"orderMode": "up"}, {"orderMode": ["must be one of ‘asc, desc’"]}),
        (
            {"includes": "users,cats"},
            {"includes[1]": ["must be one of ‘contacts, conversationmessages, customers, users, all’"]},
        ),
        (
            {"orderBy": "contact"},
            {
                "orderBy": [
                    "must be one of ‘contactId, createdAt, deletedAt, id, state, ticket_id, token, updatedAt’",
                ]
            },
        ),
    ],
)
async def test_invalid_parameters_of_a_listing_are_rejected(
    query: dict[str, str], errors: dict[str, list[str]]
) -> None:
    response = await listed(FakeDesk(), **query)
    assert (response.status_code, response.json()) == (400, {"errors": errors})


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ({"orderMode": "desc"}, [5, 4, 3, 2, 1]),
        ({"orderBy": "ticket_id"}, [1, 4, 2, 3, 5]),
        ({"orderBy": "createdAt", "orderMode": "desc"}, [5, 4, 3, 2, 1]),
        ({"orderBy": "state", "includes": "users,all"}, [1, 2, 4, 5, 3]),
        ({"page": 2, "pageSize": 2}, [3, 4]),
        ({"page": 3, "pageSize": 2}, [5]),
        ({"page": 10**17, "pageSize": 2}, []),
        ({"page": 10**40, "pageSize": 10**40}, []),
    ],
)
async def test_a_listing_can_be_sorted_and_cut_into_pages(
    five_conversations: FakeDesk, query: dict[str, Any], ids: list[int]
) -> None:
    page = (await listed(five_conversations, **query)).json()
    assert ids_of(page) == ids


async def test_a_page_has_pagination_and_only_the_fields_asked_for(five_conversations: FakeDesk) -> None:
    page = (await listed(five_conversations, pageSize=2, fields="ticket_id,nonsense", page=1)).json()
    assert page == {
        "conversations": [{"id": 1, "ticket_id": None}, {"id": 2, "ticket_id": 7}],
        "included": {},
        "pagination": {"records": 5, "pageSize": 2, "pages": 3, "page": 1, "hasMorePages": True},
        "meta": {"page": {}},
    }


@pytest.mark.parametrize(("query", "size"), [({}, 50), ({"pageSize": 100}, 100), ({"pageSize": 101}, 100)])
async def test_a_page_size_above_the_maximum_is_reduced_without_an_error(query: dict[str, int], size: int) -> None:
    page = (await listed(FakeDesk(conversations=range(1, 151)), **query)).json()
    assert len(page["conversations"]) == page["pagination"]["pageSize"] == size


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
    | st.datetimes().map(str),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
FIELDS = ["contactId", "createdAt", "deletedAt", "id", "state", "ticket_id", "token", "updatedAt"]
OPERATORS = ["$eq", "$ne", "$lt", "$lte", "$gt", "$gte", "$in", "$nin", "$contains"]


@settings(max_examples=100)
@given(
    filter=JSON
    | st.dictionaries(
        st.sampled_from([*FIELDS, "$and", "$or"]), JSON | st.dictionaries(st.sampled_from(OPERATORS), JSON), max_size=3
    ),
    body=JSON,
    order=st.sampled_from(FIELDS),
)
def test_hostile_json_gets_a_response(filter: Any, body: Any, order: str) -> None:
    async def send_both_requests() -> None:
        fake = FakeDesk()
        assert (await listed(fake, filter=json.dumps(filter), orderBy=order)).status_code in (200, 400)
        assert (await convert(fake, body)).status_code in (200, 400)

    anyio.run(send_both_requests)


# Faults.


async def test_failures_happen_in_order_and_nothing_is_carried_out() -> None:
    fake = FakeDesk(rate_limit=2)
    fake.fail(status=502, headers={"Content-Type": "text/html"}, body="<h1>Bad gateway</h1>", times=2)
    fake.fail(status=400, body={"errors": {"email": ["must be set"]}})
    fake.fail(status=200, body=b"\xff")
    responses = [await convert(fake, {}) for _ in range(5)]
    assert [response.status_code for response in responses] == [502, 502, 400, 200, 200]
    assert responses[0].text == "<h1>Bad gateway</h1>"
    assert responses[0].headers["content-type"] == "text/html"
    assert responses[0].headers["x-rate-limit-remaining"] == "2"
    assert responses[2].headers["content-type"] == "application/json"
    assert responses[2].json() == {"errors": {"email": ["must be set"]}}
    assert responses[3].content == b"\xff"
    assert responses[4].headers["x-rate-limit-remaining"] == "1"
    assert len(fake.tickets) == 1


async def test_a_fault_for_one_method_does_not_happen_to_others() -> None:
    fake = FakeDesk()
    fake.fail(status=503, headers={"Retry-After": "3"}, method="post")
    fake.fail(status=500)
    assert (await listed(fake)).status_code == 500
    assert (await listed(fake)).status_code == 200
    response = await convert(fake, {})
    assert (response.status_code, response.headers["retry-after"]) == (503, "3")
    assert (await convert(fake, {})).status_code == 200


@pytest.mark.parametrize("status", [100, 199, 600])
def test_a_failure_needs_a_final_status(status: int) -> None:
    with pytest.raises(ValueError, match=str(status)):
        FakeDesk().fail(status=status)


@pytest.mark.parametrize(("when", "tickets", "remaining"), [("before", 0, "9"), ("after", 1, "8")])
async def test_a_lost_response_is_a_read_error_of_the_transport(when: Any, tickets: int, remaining: str) -> None:
    fake = FakeDesk(rate_limit=10)
    fake.lose_answer(when, method="POST")
    with pytest.raises(httpx.ReadError) as caught:
        await convert(fake, {})
    assert caught.value.request.method == "POST"
    assert len(fake.tickets) == tickets
    assert [request.status for request in fake.requests] == [None]
    assert (await listed(fake)).headers["x-rate-limit-remaining"] == remaining


# FakeDesk records requests and tickets.


async def test_every_request_is_recorded() -> None:
    fake = FakeDesk(conversations=[42])
    await convert(fake, {"message": "Dear Jo"})
    await listed(fake, filter='{"id":{"$eq":42}}', page=1)
    first, second = fake.requests
    assert (first.method, first.path, first.query, first.json) == ("POST", CONVERT, {}, {"message": "Dear Jo"})
    assert first.headers["authorization"] == "Bearer t"
    assert first.status == second.status == 200
    assert second == RecordedRequest(
        "GET", LIST, {"filter": '{"id":{"$eq":42}}', "page": "1"}, second.headers, None, 200
    )


async def test_no_repr_shows_a_customer_or_the_token() -> None:
    fake = FakeDesk()
    async with client_of(fake, token="very-secret") as client:
        await client.post(CONVERT, json={"message": "Dear Jo", "email": "jo@example.com"})
    shown = repr((fake, fake.tickets, fake.requests, fake.requests[0].headers))
    assert repr(fake.tickets[0]) == f"Ticket(id={fake.tickets[0].id}, conversation_id=42)"
    assert CONVERT in shown
    for secret in ("Dear Jo", "jo@example.com", "very-secret"):
        assert secret not in shown


@pytest.mark.parametrize("record", [Ticket(1, 42, {}), RecordedRequest("GET", "/", {}, httpx.Headers(), None, 200)])
def test_records_are_frozen(record: Any) -> None:
    with pytest.raises(AttributeError):
        record.status = 1


async def test_the_transport_reads_the_body_once_and_outlives_its_client() -> None:
    fake = FakeDesk()
    reads = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal reads
        reads += 1
        yield b'{"subject":'
        yield b'"Refund"}'

    async with client_of(fake) as client:
        request = client.build_request("POST", CONVERT, content=body(), headers={"Content-Type": "application/json"})
        async with client.stream("GET", LIST) as streamed:
            assert json.loads(b"".join([chunk async for chunk in streamed.aiter_raw()]))["conversations"]
        response = await client.send(request)
        assert response.elapsed.total_seconds() >= 0
        # A real connection could not send the same stream again, so the transport must not do it either.
        with pytest.raises(httpx.StreamConsumed):
            await client.send(request)
    assert reads == 1
    assert fake.tickets[0].body == {"subject": "Refund"}
    assert (await convert(fake, {})).status_code == 200


# The server has a real socket.


@on_asyncio
async def test_the_server_follows_the_same_rules() -> None:
    fake = FakeDesk(rate_limit=5, clock=Clock())
    before = signal.getsignal(signal.SIGINT)
    # A server in a test suite must not replace the signal handlers of the tests.
    async with fake.serve() as url, client_at(url) as client:
        assert signal.getsignal(signal.SIGINT) is before
        converted = await client.post(CONVERT, json={"subject": "Refund"})
        found = await client.get(LIST, params={"filter": '{"id":{"$eq":42}}', "fields": "ticket_id"})
        fake.fail(status=520, body="odd")
        failed = await client.get(LIST)
        unknown = await client.request("BREW", "/p%C3%B6t", headers={"X-Forwarded-For": "203.0.113.9"})
    assert found.json()["conversations"] == [{"id": 42, "ticket_id": fake.tickets[0].id}]
    assert fake.tickets[0].body == {"subject": "Refund"}
    assert (failed.status_code, failed.text) == (520, "odd")
    assert (unknown.status_code, fake.requests[-1].path) == (404, "/pöt")
    assert [request.status for request in fake.requests] == [200, 200, 520, 404]
    assert [(name.lower(), value) for name, value in converted.headers.multi_items()] == [
        ("content-type", "application/json"),
        ("content-length", str(len(converted.content))),
        ("date", "Tue, 14 Nov 2023 22:13:20 GMT"),
        ("x-rate-limit-limit", "5"),
        ("x-rate-limit-remaining", "4"),
        ("x-rate-limit-reset", "60"),
    ]


@on_asyncio
@pytest.mark.parametrize(("when", "tickets"), [("before", 0), ("after", 1)])
async def test_a_lost_response_resets_the_connection_to_the_server(when: Any, tickets: int) -> None:
    fake = FakeDesk()
    fake.lose_answer(when, times=2, method="POST")
    async with fake.serve() as url:
        async with client_at(url) as client:
            assert (await client.get(LIST)).status_code == 200
            with pytest.raises(httpx.ReadError):
                await client.post(CONVERT, json={})
        reader, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(url).port)
        writer.write(f"POST {CONVERT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer t\r\n".encode())
        writer.write(b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
        async with client_at(url) as client:
            assert (await client.post(CONVERT, json={})).status_code == 200
    assert len(fake.tickets) == 2 * tickets + 1
    assert [request.status for request in fake.requests] == [200, None, None, 200]


@on_asyncio
@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /%ff%00?filter=%ff HTTP/1.1\r\nHost: x\r\n\r\n", b"401"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\r\n\r\n", b"404"),
        (b"GET /?\xff HTTP/1.1\r\nHost: x\r\n\r\n", b"400"),
        (b"garbage\r\n\r\n", b"400"),
    ],
)
async def test_hostile_bytes_never_give_a_500(sent: bytes, status: bytes) -> None:
    async with FakeDesk().serve() as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(url).port)
        writer.write(sent)
        assert (await reader.readline()).split()[1] == status
        writer.close()
        await writer.wait_closed()


@on_asyncio
async def test_the_server_stops_even_if_clients_keep_their_connections() -> None:
    fake = FakeDesk()
    async with fake.serve() as url:
        port = httpx.URL(url).port
        idle_reader, idle = await asyncio.open_connection("127.0.0.1", port)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            f"POST {CONVERT} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n".encode()
        )
        assert await reader.readline() == b"HTTP/1.1 100 Continue\r\n"
    assert await idle_reader.read() == b""
    assert await reader.read() == b"\r\n"
    idle.close()
    writer.close()
    # The second request never arrived as a whole, so it is not recorded.
    assert fake.requests == []
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


@on_asyncio
@pytest.mark.parametrize("turns", range(5))
async def test_a_client_that_connects_while_the_server_stops_leaks_no_connection(turns: int) -> None:
    async with FakeDesk().serve() as url:
        connecting = [asyncio.create_task(asyncio.open_connection("127.0.0.1", httpx.URL(url).port)) for _ in range(3)]
        # Stop the server at different stages of accepting the connections. A leaked connection raises a
        # ResourceWarning, which fails the test.
        for _ in range(turns):
            await asyncio.sleep(0)
    for connected in await asyncio.gather(*connecting, return_exceptions=True):
        if isinstance(connected, tuple):
            connected[1].close()


@on_asyncio
async def test_the_server_stops_when_it_is_cancelled() -> None:
    url = ""
    with anyio.CancelScope() as scope:
        async with FakeDesk().serve() as url:
            scope.cancel()
            await anyio.sleep_forever()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", httpx.URL(url).port)


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port


@on_asyncio
async def test_the_port_and_host_can_be_chosen(free_port: int) -> None:
    async with FakeDesk().serve(port=free_port) as url:
        assert url == f"http://127.0.0.1:{free_port}"


@on_asyncio
async def test_the_port_of_the_upload_host_can_be_chosen(free_port: int) -> None:
    fake = FakeDesk()
    async with fake.serve(upload_port=free_port) as url, AsyncDesk(url, token="t", trust_env=False) as desk:
        await desk.files.upload(b"content", filename="a.pdf")
    assert fake.requests[1].headers["host"] == f"127.0.0.1:{free_port}"


@on_asyncio
@pytest.mark.parametrize("host", [*ALL_ADDRESSES, "127.0.0.1", "localhost"])
async def test_an_upload_works_wherever_the_server_listens(host: str) -> None:
    fake = FakeDesk()
    async with fake.serve(host=host) as url, AsyncDesk(url, token="t", trust_env=False) as desk:
        assert httpx.URL(url).host == ALL_ADDRESSES.get(host, "127.0.0.1")
        await desk.files.upload(b"content", filename="a.pdf")
    assert fake.files[501].content == b"content"


@on_asyncio
@pytest.mark.parametrize("name", ["localhost", "desk.test", "[::1]", ""])
async def test_the_upload_host_has_the_name_by_which_the_client_reaches_desk(name: str) -> None:
    announcement = {"type": "attachment", "filename": "a.pdf", "mimeType": "a/b", "disposition": "attachment"}
    async with FakeDesk().serve(host="0.0.0.0") as url, client_at(url) as client:
        port = httpx.URL(url).port
        for host in [f"{name}:{port}", name]:
            path, headers = "/desk/api/v2/files/ref.json", {"Host": host if name else ""}
            response = await client.post(path, json=announcement, headers=headers)
            uploads = httpx.URL(response.json()["url"])
            assert uploads.netloc.decode() == f"{name or '127.0.0.1'}:{uploads.port}"
            assert uploads.port != port


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="needs IPv6")
@on_asyncio
async def test_the_server_can_listen_on_an_ipv6_address() -> None:
    async with FakeDesk().serve(host="::1") as url, client_at(url) as client:
        assert url.startswith("http://[::1]:")
        assert (await client.get(LIST)).status_code == 200


@pytest.fixture
def without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.delitem(sys.modules, "teamwork_desk.testing._server", raising=False)


@on_asyncio
@pytest.mark.usefixtures("without_the_extra")
async def test_serve_names_the_missing_extra() -> None:
    with pytest.raises(ImportError, match=r'pip install "teamwork-desk\[testing\]"'):
        async with FakeDesk().serve():
            pass


# On the command line.


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Handle SIGINT even if the tests run in the background of a shell, which makes its background jobs ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., object]:
    def run(*arguments: str) -> object:
        monkeypatch.setattr(sys, "argv", ["testing", *arguments])
        with pytest.raises(SystemExit) as stopped:
            # This does not use runpy, because pytest imports the package of a plugin with an import hook of its own,
            # which runpy cannot use.
            importlib.import_module("teamwork_desk.testing.__main__")
        return stopped.value.code

    return run


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_stops_the_command_without_an_error(run: Callable[..., object], monkeypatch: pytest.MonkeyPatch) -> None:
    printed: list[str] = []

    def print_and_interrupt(*lines: str, **options: Any) -> None:
        printed.extend(lines)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("builtins.print", print_and_interrupt)
    options = ["--old-installation", "--refuse-in", "--error-shape", "objects", "--limiter", "seconds left"]
    assert run("--port", "0", "--token", "right", "--rate-limit", "3", *options) is None
    assert "http://127.0.0.1:" in printed[0]
    assert "Bearer right" in printed[1]


def test_a_port_in_use_is_reported_in_one_line(run: Callable[..., object]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert "address already in use" in str(run("--port", port))


def test_the_port_of_the_upload_host_is_an_option(run: Callable[..., object]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert "address already in use" in str(run("--port", "0", "--upload-port", port))


@pytest.mark.usefixtures("without_the_extra")
def test_a_missing_extra_is_reported_in_one_line(run: Callable[..., object]) -> None:
    assert str(run("--port", "0")).endswith('pip install "teamwork-desk[testing]"')


@pytest.mark.usefixtures("interruptible")
def test_the_command_serves_a_fake_desk() -> None:
    command = [sys.executable, "-W", "error", "-m", "teamwork_desk.testing", "--port", "0", "--token", "right"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = next(word for word in process.stdout.readline().split() if word.startswith("http")).rstrip(",")
            with httpx.Client(base_url=url, trust_env=False) as client:
                statuses = [
                    client.post(CONVERT, json={}, headers={"Authorization": f"Bearer {token}"}).status_code
                    for token in ("right", "wrong")
                ]
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert statuses == [200, 401]
    assert (process.returncode, errors) == (0, "")
