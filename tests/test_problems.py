"""What Desk says about an error, in both of its shapes, reaches the error and the email fallback."""

from __future__ import annotations

import json
from typing import Any

import pytest

from teamwork_desk import (
    AsyncDesk,
    AuthenticationError,
    ConflictError,
    DeskError,
    NotFoundError,
    PermissionDeniedError,
    RetryPolicy,
    StatusError,
    UnprocessableError,
    ValidationError,
)
from teamwork_desk._problems import Problems, read_problems
from teamwork_desk.testing import FakeDesk
from teamwork_desk.testing._responses import ErrorShape
from teamwork_desk_api.types import Request

JO = "jo@example.com"
SHAPES: list[ErrorShape] = ["map", "objects"]
on_asyncio = pytest.mark.parametrize("anyio_backend", ["asyncio"])
"""The server of FakeDesk runs on asyncio only."""
ONCE = RetryPolicy(max_attempts=1, backoff_base=0, settle=())


# The body of an error response


def problems_of(errors: Any) -> Problems:
    return read_problems(json.dumps({"errors": errors}).encode())


UNAUTHORIZED = {"id": "4c87", "code": "G401", "title": "Unauthorized", "detail": "failed to validate token"}


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ({"customer": ["must be set"]}, {"customer": ["must be set"]}),
        ({"customer.email": ["must be set", 7], "cc": "must be a list", "a": [], "b": 7}, None),
        ({"detail": ["must be set"]}, {"detail": ["must be set"]}),
        ([{"detail": "must be set", "source": "customer"}], {"customer": ["must be set"]}),
        ({"detail": "must be set", "source": "customer"}, {"customer": ["must be set"]}),
        ([{"title": "must be set", "source": {"pointer": "/data/customer"}}], {"customer": ["must be set"]}),
        ([{"title": "a", "source": {"pointer": "/data/attributes/inbox/email"}}], {"inbox.email": ["a"]}),
        ([{"title": "a", "source": {"pointer": "/inbox"}}], {"inbox": ["a"]}),
        ([{"detail": "must be set", "source": {"parameter": "filter"}}], {"filter": ["must be set"]}),
        ([{"detail": "a", "source": "x"}, {"detail": "b", "source": "x"}], {"x": ["a", "b"]}),
        ([{"detail": "must be set"}, {"source": "x"}, {"detail": "a", "source": ["x"]}, 7, None], {}),
        (["must be set"], {}),
        ("must be set", {}),
        (None, {}),
    ],
    ids=str,
)
def test_the_reasons_are_read_from_a_map_and_from_objects(errors: Any, expected: dict[str, list[str]] | None) -> None:
    found = problems_of(errors)
    assert found.is_json
    assert found.errors == (
        {"customer.email": ["must be set"], "cc": ["must be a list"]} if expected is None else expected
    )


@pytest.mark.parametrize("errors", [UNAUTHORIZED, [UNAUTHORIZED], [UNAUTHORIZED, {"code": "G999"}]], ids=str)
def test_the_first_object_says_what_is_wrong(errors: Any) -> None:
    found = problems_of(errors)
    assert (found.id, found.code, found.title, found.detail) == tuple(UNAUTHORIZED.values())


@pytest.mark.parametrize(
    ("value", "text"), [("a", "a"), (7, "7"), ("", None), (None, None), (True, None), (["a"], None)], ids=str
)
def test_a_part_of_an_object_is_text_or_a_number(value: Any, text: str | None) -> None:
    found = problems_of([{"id": value, "code": value, "title": value, "detail": value}])
    assert (found.id, found.code, found.title, found.detail) == (text,) * 4


@pytest.mark.parametrize(
    ("content", "is_json"), [(b"", False), (b"<html>", False), (b"\xff", False), (b"null", True), (b"[7]", True)]
)
def test_any_other_body_says_nothing(content: bytes, is_json: bool) -> None:
    assert read_problems(content) == Problems(is_json=is_json)


# The errors of a call, over a real socket


@on_asyncio
@pytest.mark.parametrize("shape", SHAPES)
async def test_the_email_fallback_reads_both_shapes(shape: ErrorShape) -> None:
    fake = FakeDesk(old_installation=True, error_shape=shape)
    async with fake.serve() as url, AsyncDesk(url, token="any", verify_first=False) as desk:
        await desk.conversations.convert(42, customer=JO)
    assert [request.json for request in fake.requests if request.method == "POST"] == [
        {"customer": {"email": JO}},
        {"email": JO},
    ]
    fake.assert_converted_once(42, customer=JO)


@on_asyncio
@pytest.mark.parametrize("shape", SHAPES)
async def test_a_malformed_address_causes_no_fallback_in_either_shape(shape: ErrorShape) -> None:
    fake = FakeDesk(old_installation=False, error_shape=shape)
    async with fake.serve() as url, AsyncDesk(url, token="any", verify_first=False) as desk:
        with pytest.raises(ValidationError, match=r"customer\.email must be a valid email address") as raised:
            await desk.conversations.convert(42, customer="jo at example")
    assert raised.value.errors == {"customer.email": ["must be a valid email address"]}
    assert bool(raised.value.request_id) is (shape == "objects")
    assert raised.value.attempts == 1


@on_asyncio
async def test_a_refused_token_is_explained() -> None:
    fake = FakeDesk(token="right")
    async with fake.serve() as url, AsyncDesk(url, token="wrong", retry=ONCE, verify_first=False) as desk:
        with pytest.raises(AuthenticationError, match="failed to validate token") as raised:
            await desk.conversations.convert(42)
    error = raised.value
    assert (error.code, error.title, error.detail) == ("G401", "Unauthorized", "failed to validate token")
    assert error.request_id == json.loads(error.body)["errors"][0]["id"]


@on_asyncio
async def test_a_missing_permission_is_explained() -> None:
    fake = FakeDesk()
    fake.inject("forbidden", method="POST")
    async with fake.serve() as url, AsyncDesk(url, token="any", retry=ONCE, verify_first=False) as desk:
        with pytest.raises(PermissionDeniedError, match="the plan does not include this feature") as raised:
            await desk.conversations.convert(42)
    assert (raised.value.code, raised.value.maybe_applied) == ("E5", False)


async def test_the_header_of_a_response_names_the_request_before_the_error_does() -> None:
    fake = FakeDesk()
    fake.fail(status=404, headers={"X-Request-Id": "of the header"}, body={"errors": UNAUTHORIZED})
    async with AsyncDesk("https://acme.teamwork.com", token="any", transport=fake.transport) as desk:
        with pytest.raises(NotFoundError) as raised:
            await desk.conversations.get(42)
    assert (raised.value.request_id, raised.value.code) == ("of the header", "G401")


# A custom field, over a real socket


@on_asyncio
async def test_a_custom_field_arrives_with_its_value_in_meta() -> None:
    fake = FakeDesk()
    async with fake.serve() as url, AsyncDesk(url, token="any", verify_first=False) as desk:
        await desk.conversations.convert(42, customfields={272: 1613, 273: "gold"})
    assert fake.tickets[0].body == {
        "customfields": [{"id": 272, "meta": {"value": 1613}}, {"id": 273, "meta": {"value": "gold"}}]
    }
    fake.assert_converted_once(42, customfields={272: 1613, 273: "gold"})


# What does not come from Desk


@pytest.mark.parametrize(
    ("status", "body", "from_desk"),
    [
        (400, '{"errors": {"subject": ["must be set"]}}', True),
        (404, '{"errors": [{"detail": "is unknown"}]}', True),
        (404, "{}", True),
        (409, "", True),
        (500, "panic", True),
        (502, "<html>", True),
        (501, "<html>", True),
        (429, "<html>", True),
        (301, "<html>", False),
        (400, "<html>", False),
        (401, "<html>", False),
        (403, "<html>", False),
        (404, "<html>", False),
        (404, "", False),
        (405, "<html>", False),
        (409, "<html>", False),
    ],
)
async def test_a_page_of_a_web_server_is_not_taken_for_a_response_of_desk(
    status: int, body: str, *, from_desk: bool
) -> None:
    fake = FakeDesk()
    async with AsyncDesk(
        "https://desk.example", token="t", transport=fake.transport, retry=ONCE, verify_first=False
    ) as desk:
        fake.fail(status=status, body=body, method="POST")
        with pytest.raises(DeskError) as caught:
            await desk.conversations.convert(42)
    cause = caught.value if isinstance(caught.value, StatusError) else caught.value.__cause__
    assert isinstance(cause, StatusError)
    assert cause.from_desk is from_desk
    assert ("does not look like a Teamwork Desk" in str(cause)) is not from_desk
    assert "does not know conversation" not in str(cause) or from_desk


async def test_the_404_of_another_operation_is_about_its_request() -> None:
    request = Request[Any](
        operation="getTicket",
        method="GET",
        target="/desk/api/v2/tickets/7.json",
        body=None,
        decode=lambda value, _: value,
    )
    async with AsyncDesk("https://desk.example", token="t", transport=FakeDesk().transport) as desk:
        with pytest.raises(NotFoundError) as caught:
            await desk.send(request)
    assert str(caught.value).startswith("GET /desk/api/v2/tickets/7.json was answered with 404: not found")
    assert "conversation" not in str(caught.value)


async def test_the_id_of_an_error_is_in_the_log_and_cannot_control_a_terminal(caplog: pytest.LogCaptureFixture) -> None:
    fake = FakeDesk()
    fake.fail(status=409, body={"errors": [{"id": "4c87\n\x1b[31m" + "A" * 3000, "detail": "closed"}]}, method="POST")
    caplog.set_level("INFO", logger="teamwork_desk")
    async with AsyncDesk("https://desk.example", token="t", transport=fake.transport, verify_first=False) as desk:
        with pytest.raises(ConflictError) as caught:
            await desk.conversations.convert(42)
    request_id = caught.value.request_id
    assert request_id is not None
    assert request_id.startswith("4c87\\n\\x1b[31mAAA")
    assert len(request_id) == 100
    assert request_id in caplog.text


@pytest.mark.parametrize(
    ("errors", "shown"),
    [
        ([{"detail": "failed to validate token tkn.v1_s3cret"}], "failed to validate token [token]"),
        ({"subject": ["the subject \u2018s3cret\u2019 is too long"]}, "subject the subject [value] is too long"),
        ({"cc": ["mailto:s3cret%40example.com is bad"]}, "cc mailto:[address] is bad"),
        ({"state": ["must be one of \u2018a, b\u2019"]}, "state must be one of \u2018a, b\u2019"),
    ],
    ids=str,
)
async def test_a_message_hides_what_the_server_quotes(errors: Any, shown: str) -> None:
    fake = FakeDesk()
    fake.fail(status=422, body={"errors": errors}, method="POST")
    async with AsyncDesk(
        "https://desk.example", token="tkn.v1_s3cret", transport=fake.transport, verify_first=False
    ) as desk:
        with pytest.raises(UnprocessableError) as caught:
            await desk.conversations.convert(42)
    assert shown in str(caught.value)
    assert b"tkn.v1_s3cret" not in caught.value.body
