"""The error tree: its classes, their fields and their messages."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any

import httpx
import pytest

from teamwork_desk import (
    AsyncDesk,
    AuthenticationError,
    ConfigurationError,
    ConflictError,
    DeadlineExceeded,
    DeskError,
    NotFoundError,
    NotSentError,
    OutcomeUnknownError,
    PermissionDeniedError,
    RateLimit,
    RateLimitedError,
    RequestError,
    ResponseDecodeError,
    RetryPolicy,
    ServerError,
    StatusError,
    TransportError,
    UnprocessableError,
    ValidationError,
)
from teamwork_desk.testing import FakeDesk

TREE: dict[type[DeskError], tuple[type[Exception], ...]] = {
    DeskError: (Exception,),
    ConfigurationError: (DeskError,),
    RequestError: (DeskError, ValueError),
    TransportError: (DeskError,),
    NotSentError: (TransportError,),
    OutcomeUnknownError: (DeskError,),
    DeadlineExceeded: (DeskError,),
    ResponseDecodeError: (DeskError,),
    StatusError: (DeskError,),
    ValidationError: (StatusError,),
    AuthenticationError: (StatusError,),
    PermissionDeniedError: (StatusError,),
    NotFoundError: (StatusError,),
    ConflictError: (StatusError,),
    UnprocessableError: (StatusError,),
    RateLimitedError: (StatusError,),
    ServerError: (StatusError,),
}


def with_subclasses(kind: type[DeskError]) -> Iterator[type[DeskError]]:
    yield kind
    for subclass in kind.__subclasses__():
        if not subclass.__module__.startswith("teamwork_desk.cli."):  # the command has one that no caller sees
            yield from with_subclasses(subclass)


def test_the_error_tree_is_the_documented_tree() -> None:
    assert {kind: kind.__bases__ for kind in with_subclasses(DeskError)} == TREE


# The fields of an error

WINDOW = RateLimit(limit=120, remaining=0, reset_at=datetime(2026, 3, 1, tzinfo=UTC))
FIELDS: dict[type[DeskError], dict[str, Any]] = {
    ValidationError: {"errors": {"subject": ["must be set"]}},
    RateLimitedError: {"retry_after": 7.5, "rate_limit": WINDOW},
}


def make_error(kind: type[DeskError]) -> DeskError:
    """Build an error with a value in every field."""
    make: Callable[..., DeskError] = kind
    fields = dict(FIELDS.get(kind, {}))
    if issubclass(kind, StatusError):
        headers = {"X-Request-Id": "a-request", "Content-Type": "text/html"}
        fields |= {"status_code": 418, "headers": headers, "body": b"<p>short and stout</p>"}
    error = make("it failed", **fields)
    error.attempts, error.maybe_applied, error.conversation_id = 3, True, 42
    return error


@pytest.mark.parametrize("kind", TREE)
def test_a_new_error_has_no_attempts_no_conversation_and_is_not_maybe_applied(kind: type[DeskError]) -> None:
    error = type(make_error(kind))("", **({"status_code": 418} if issubclass(kind, StatusError) else {}))
    assert (error.attempts, error.maybe_applied, error.conversation_id) == (0, False, None)


def pickled(protocol: int, error: DeskError) -> Any:
    return pickle.loads(pickle.dumps(error, protocol))


COPIES: dict[str, Callable[[DeskError], DeskError]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{f"pickle {protocol}": partial(pickled, protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)},
}


@pytest.mark.parametrize("make_copy", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("kind", TREE)
def test_a_copied_or_pickled_error_keeps_its_class_and_all_its_fields(
    kind: type[DeskError], make_copy: Callable[[DeskError], DeskError]
) -> None:
    error = make_error(kind)
    error.add_note("seen by a worker")
    copied = make_copy(error)
    assert type(copied) is kind
    assert (copied.args, str(copied), vars(copied)) == (error.args, str(error), vars(error))
    expected = {"attempts": 3, "maybe_applied": True, "conversation_id": 42, **FIELDS.get(kind, {})}
    if issubclass(kind, StatusError):
        expected |= {"status_code": 418, "body": b"<p>short and stout</p>", "request_id": "a-request"}
        expected["headers"] = httpx.Headers({"x-request-id": "a-request", "content-type": "text/html"})
    assert {name: getattr(copied, name) for name in expected} == expected


def test_a_change_to_a_copy_does_not_change_the_original() -> None:
    error = make_error(ValidationError)
    copy.copy(error).attempts = 9
    assert error.attempts == 3


# The errors of responses


def make_desk(fake: FakeDesk, **options: Any) -> AsyncDesk:
    once = RetryPolicy(max_attempts=1, backoff_base=0, settle=())
    defaults: dict[str, Any] = {"token": "a-token", "transport": fake.transport, "retry": once, "verify_first": False}
    return AsyncDesk("https://acme.teamwork.com", **defaults | options)


async def error_of(fake: FakeDesk, **options: Any) -> DeskError:
    """Return the error that reading a conversation raises."""
    async with make_desk(fake, **options) as desk:
        with pytest.raises(DeskError) as raised:
            await desk.conversations.get(42)
    return raised.value


async def status_error_of(fake: FakeDesk) -> StatusError:
    error = await error_of(fake)
    assert isinstance(error, StatusError)
    return error


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (300, StatusError),
        (302, StatusError),
        (304, StatusError),
        (400, ValidationError),
        (401, AuthenticationError),
        (402, StatusError),
        (403, PermissionDeniedError),
        (404, NotFoundError),
        (405, StatusError),
        (408, StatusError),
        (409, ConflictError),
        (410, StatusError),
        (422, UnprocessableError),
        (425, StatusError),
        (429, RateLimitedError),
        (451, StatusError),
        (500, ServerError),
        (501, ServerError),
        (503, ServerError),
        (504, ServerError),
        (520, ServerError),
        (524, ServerError),
        (599, ServerError),
    ],
)
async def test_every_status_has_its_error_class(status: int, kind: type[StatusError]) -> None:
    fake = FakeDesk()
    fake.fail(status=status, body=b"\x00 as it came", headers={"X-Request-Id": "a-request", "Location": "/elsewhere"})
    error = await status_error_of(fake)
    assert type(error) is kind
    assert (error.status_code, error.body, error.request_id) == (status, b"\x00 as it came", "a-request")
    assert error.headers["location"] == "/elsewhere"
    assert (error.attempts, error.maybe_applied, error.conversation_id) == (1, False, 42)
    assert len(fake.requests) == 1


async def test_a_conversation_that_desk_does_not_list_is_not_found() -> None:
    error = await error_of(FakeDesk(conversations=[]))
    assert isinstance(error, NotFoundError)
    assert (error.status_code, error.body, error.request_id, error.attempts) == (404, b"", None, 1)
    assert "42" in str(error)


async def test_the_error_of_a_response_without_a_request_id_has_no_request_id() -> None:
    fake = FakeDesk()
    fake.fail(status=403)
    assert (await status_error_of(fake)).request_id is None


@pytest.mark.parametrize("name", ["Set-Cookie", "set-cookie", "SET-COOKIE"])
async def test_no_error_keeps_a_cookie(name: str) -> None:
    fake = FakeDesk()
    fake.fail(status=403, headers={name: "session=a-cookie"})
    error = await status_error_of(fake)
    assert "set-cookie" not in error.headers
    assert b"a-cookie" not in pickle.dumps(error)


def test_no_error_keeps_any_of_several_cookies() -> None:
    headers = httpx.Headers([("Set-Cookie", "a=1"), ("Via", "proxy"), ("set-cookie", "b=2")])
    assert StatusError("", status_code=403, headers=headers).headers == httpx.Headers({"Via": "proxy"})
    assert headers.get_list("set-cookie") == ["a=1", "b=2"], "the headers of the response itself are not changed"


async def test_the_field_errors_of_a_400_are_kept_and_the_message_names_each_field() -> None:
    fake = FakeDesk()
    errors = {"subject": ["must be set", "must be a string"], "files[1].id": ["must be a whole number"]}
    fake.fail(status=400, body={"errors": errors})
    error = await error_of(fake)
    assert isinstance(error, ValidationError)
    assert error.errors == errors
    assert "subject must be set and must be a string; files[1].id must be a whole number" in str(error)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>Bad Request</html>",
        b"null",
        b"[]",
        b'"errors"',
        b"{}",
        b'{"errors": null}',
        b'{"errors": ["must be set"]}',
        b"\xff",
        b"[" * 10_000,
    ],
    ids=lambda body: repr(body[:30]),
)
async def test_a_400_without_field_errors_is_a_validation_error_too(body: bytes) -> None:
    fake = FakeDesk()
    fake.fail(status=400, body=body)
    error = await error_of(fake)
    assert isinstance(error, ValidationError)
    assert (error.errors, error.body) == ({}, body)


@pytest.mark.parametrize(
    "reason",
    [
        "jo.doe+desk@mail.example.com is unknown",
        "cannot be 'jo.doe+desk@mail.example.com'",
        'cannot be "jo.doe+desk@mail.example.com"',
        "cannot be <jo.doe+desk@mail.example.com>, or mailto:jo.doe+desk@mail.example.com",
        "are equal: mo@example.com,jo.doe+desk@mail.example.com;jo.doe+desk@mail.example.com",
        "has no mailbox (jo.doe+desk@mail.example.com)",
        "cannot be jo.doe+desk@mail.example.com\nnor jo.doe+desk@mail.example.com",
    ],
)
async def test_the_message_does_not_show_an_email_address_from_a_field_error(reason: str) -> None:
    fake = FakeDesk()
    fake.fail(status=400, body={"errors": {"cc[0]": [reason]}})
    error = await error_of(fake)
    for text in (str(error), repr(error)):
        assert "cc[0]" in text
        assert "doe" not in text
        assert "example" not in text
    assert isinstance(error, ValidationError)
    assert error.errors == {"cc[0]": [reason]}, "the field keeps the whole text"


@pytest.mark.parametrize("quotes", ["''", '""', "\u2018\u2019", "\u201c\u201d"])
async def test_the_message_does_not_show_a_quoted_value_from_a_field_error(quotes: str) -> None:
    fake = FakeDesk()
    reasons = [f"cannot be {quotes[0]}Dear Jo,\n'it' is; yours{quotes[1]}", "cannot be empty"]
    fake.fail(status=400, body={"errors": {"message": reasons}})
    error = await error_of(fake)
    assert str(error).endswith(": message cannot be [value] and cannot be empty")
    assert isinstance(error, ValidationError)
    assert error.errors == {"message": reasons}


async def test_a_long_field_error_without_an_address_is_searched_in_one_pass() -> None:
    fake = FakeDesk()
    # A search that started again at every letter would take hours.
    fake.fail(status=400, body={"errors": {"message": ["x" * 1_000_000]}})
    assert isinstance(await error_of(fake), ValidationError)


@pytest.mark.parametrize(
    ("headers", "retry_after", "remaining"),
    [
        ({"Retry-After": "300"}, 300.0, 7),
        ({"Retry-After": "0"}, 0.0, 7),
        ({"Retry-After": "soon"}, 60.0, 7),  # the pause until the rate window resets
        ({}, 60.0, 7),
        ({"X-Rate-Limit-Reset": "never"}, None, None),
    ],
    ids=str,
)
async def test_the_error_of_a_429_has_the_pause_and_the_rate_window(
    headers: dict[str, str], retry_after: float | None, remaining: int | None
) -> None:
    fake = FakeDesk(clock=lambda: 1_800_000_000.0)
    fake.fail(status=429, headers={"X-Rate-Limit-Limit": "120", "X-Rate-Limit-Remaining": "7"} | headers)
    error = await error_of(fake)
    assert isinstance(error, RateLimitedError)
    assert error.retry_after == retry_after
    assert error.rate_limit == (
        None
        if remaining is None
        else RateLimit(limit=120, remaining=7, reset_at=datetime.fromtimestamp(1_800_000_060, UTC))
    )


# The messages of errors

CAUSES: dict[str, tuple[Callable[[FakeDesk], object], list[str]]] = {
    "a lost response": (
        lambda fake: fake.lose_answer("before", method="GET"),
        ["ReadError", "FakeDesk lost the response"],
    ),
    "not JSON": (lambda fake: fake.fail(status=200, body="<html>"), ["succeeded", "not JSON"]),
    "an empty response": (lambda fake: fake.fail(status=200), ["succeeded", "expected an object, got null"]),
    "a list": (lambda fake: fake.fail(status=200, body="[]"), ["succeeded", "expected an object, got array"]),
    "too deep": (lambda fake: fake.fail(status=200, body="[" * 10**4), ["succeeded", "nested too deeply"]),
    "not allowed": (lambda fake: fake.fail(status=403), ["403", "user may not"]),
    "a conflict": (lambda fake: fake.fail(status=409), ["409", "conflict with the current state"]),
    "a full rate window": (lambda fake: fake.fail(status=429, headers={"Retry-After": "7"}), ["429", "again in 7 s"]),
    "a broken gateway": (lambda fake: fake.fail(status=502, body="<html>"), ["502", "gateway"]),
    "a redirect": (lambda fake: fake.fail(status=302), ["302", "unexpected status"]),
}


@pytest.mark.parametrize(("fail", "words"), CAUSES.values(), ids=CAUSES)
async def test_the_message_of_an_error_names_the_request_and_the_cause(
    fail: Callable[[FakeDesk], object], words: list[str]
) -> None:
    fake = FakeDesk()
    fail(fake)
    error = await error_of(fake)
    for word in ["GET /desk/api/v2/conversations.json", *words]:
        assert word in str(error)
    assert "%" not in str(error), "the message does not show the query"


async def test_the_error_of_a_pause_that_exceeds_the_deadline_names_both_times() -> None:
    fake = FakeDesk()
    fake.fail(status=503, headers={"Retry-After": "60"})
    error = await error_of(fake, deadline=10, retry=RetryPolicy(backoff_base=0))
    assert isinstance(error, DeadlineExceeded)
    assert "60.0 s" in str(error)
    assert "10 s" in str(error)
    assert isinstance(error.__cause__, ServerError), "the response that asked for the pause"


async def test_the_error_of_a_failed_connection_names_the_host_and_its_cause() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("[Errno 111] Connection refused", request=request)

    error = await error_of(FakeDesk(), transport=httpx.MockTransport(refuse))
    assert isinstance(error, NotSentError)
    assert str(error) == (
        "GET /desk/api/v2/conversations.json was not sent to acme.teamwork.com: "
        "ConnectError: [Errno 111] Connection refused"
    )
    assert isinstance(error.__cause__, httpx.ConnectError)


async def test_the_error_of_an_unknown_outcome_names_the_conversation_the_cause_and_what_to_do() -> None:
    fake = FakeDesk()
    fake.lose_answer("after")
    async with make_desk(fake, retry=RetryPolicy(on_unknown="raise")) as desk:
        with pytest.raises(OutcomeUnknownError) as raised:
            await desk.conversations.convert(42)
    for word in ["conversation 42", "POST /desk/api/v2/conversations/42/convert.json", "ReadError", "look it up"]:
        assert word in str(raised.value)
    assert isinstance(raised.value.__cause__, TransportError)
    assert (raised.value.attempts, raised.value.maybe_applied, raised.value.conversation_id) == (1, True, 42)
