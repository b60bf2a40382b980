"""The error tree: which classes there are, what they carry, and what they say."""

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
        yield from with_subclasses(subclass)


def test_the_tree_is_the_documented_one() -> None:
    assert {kind: kind.__bases__ for kind in with_subclasses(DeskError)} == TREE


# What an error carries

WINDOW = RateLimit(limit=120, remaining=0, reset_at=datetime(2026, 3, 1, tzinfo=UTC))
FIELDS: dict[type[DeskError], dict[str, Any]] = {
    ValidationError: {"errors": {"subject": ["must be set"]}},
    RateLimitedError: {"retry_after": 7.5, "rate_limit": WINDOW},
}


def an_error(kind: type[DeskError]) -> DeskError:
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
def test_a_new_error_claims_nothing(kind: type[DeskError]) -> None:
    error = type(an_error(kind))("", **({"status_code": 418} if issubclass(kind, StatusError) else {}))
    assert (error.attempts, error.maybe_applied, error.conversation_id) == (0, False, None)


def pickled(protocol: int, error: DeskError) -> Any:
    return pickle.loads(pickle.dumps(error, protocol))


COPIES: dict[str, Callable[[DeskError], DeskError]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{f"pickle {protocol}": partial(pickled, protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)},
}


@pytest.mark.parametrize("duplicate", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("kind", TREE)
def test_an_error_survives_copying_with_all_its_fields(
    kind: type[DeskError], duplicate: Callable[[DeskError], DeskError]
) -> None:
    error = an_error(kind)
    error.add_note("seen by a worker")
    twin = duplicate(error)
    assert type(twin) is kind
    assert (twin.args, str(twin), vars(twin)) == (error.args, str(error), vars(error))
    expected = {"attempts": 3, "maybe_applied": True, "conversation_id": 42, **FIELDS.get(kind, {})}
    if issubclass(kind, StatusError):
        expected |= {"status_code": 418, "body": b"<p>short and stout</p>", "request_id": "a-request"}
        expected["headers"] = httpx.Headers({"x-request-id": "a-request", "content-type": "text/html"})
    assert {name: getattr(twin, name) for name in expected} == expected


def test_a_copy_can_be_changed_alone() -> None:
    error = an_error(ValidationError)
    copy.copy(error).attempts = 9
    assert error.attempts == 3


# What an answer becomes


def a_desk(fake: FakeDesk, **options: Any) -> AsyncDesk:
    once = RetryPolicy(max_attempts=1, backoff_base=0, settle=())
    defaults: dict[str, Any] = {"token": "a-token", "transport": fake.transport, "retry": once}
    return AsyncDesk("https://acme.teamwork.com", **defaults | options)


async def error_of(fake: FakeDesk, **options: Any) -> DeskError:
    """Return what reading a conversation raises."""
    async with a_desk(fake, **options) as desk:
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
async def test_a_status_has_its_class(status: int, kind: type[StatusError]) -> None:
    fake = FakeDesk()
    fake.fail(status=status, body=b"\x00 as it came", headers={"X-Request-Id": "a-request", "Location": "/elsewhere"})
    error = await status_error_of(fake)
    assert type(error) is kind
    assert (error.status_code, error.body, error.request_id) == (status, b"\x00 as it came", "a-request")
    assert error.headers["location"] == "/elsewhere"
    assert (error.attempts, error.maybe_applied, error.conversation_id) == (1, False, 42)
    assert len(fake.requests) == 1


async def test_a_conversation_that_is_not_listed_is_not_found() -> None:
    error = await error_of(FakeDesk(conversations=[]))
    assert isinstance(error, NotFoundError)
    assert (error.status_code, error.body, error.request_id, error.attempts) == (404, b"", None, 1)
    assert "42" in str(error)


async def test_an_answer_without_a_request_id_has_none() -> None:
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


def test_of_several_cookies_no_error_keeps_one() -> None:
    headers = httpx.Headers([("Set-Cookie", "a=1"), ("Via", "proxy"), ("set-cookie", "b=2")])
    assert StatusError("", status_code=403, headers=headers).headers == httpx.Headers({"Via": "proxy"})
    assert headers.get_list("set-cookie") == ["a=1", "b=2"], "the answer's own are left alone"


async def test_a_validators_reasons_are_kept_and_told_by_field() -> None:
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
        b"[" * 100_000,
    ],
    ids=lambda body: repr(body[:30]),
)
async def test_a_400_that_is_no_validator_is_told_all_the_same(body: bytes) -> None:
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
async def test_an_address_that_a_reason_quotes_is_not_in_the_message(reason: str) -> None:
    fake = FakeDesk()
    fake.fail(status=400, body={"errors": {"cc[0]": [reason]}})
    error = await error_of(fake)
    for text in (str(error), repr(error)):
        assert "cc[0]" in text
        assert "doe" not in text
        assert "example" not in text
    assert isinstance(error, ValidationError)
    assert error.errors == {"cc[0]": [reason]}, "who needs it can have it"


@pytest.mark.parametrize("quotes", ["''", '""', "\u2018\u2019", "\u201c\u201d"])
async def test_a_value_that_a_reason_quotes_is_not_in_the_message(quotes: str) -> None:
    fake = FakeDesk()
    reasons = [f"cannot be {quotes[0]}Dear Jo,\n'it' is; yours{quotes[1]}", "cannot be empty"]
    fake.fail(status=400, body={"errors": {"message": reasons}})
    error = await error_of(fake)
    assert str(error).endswith(": message cannot be [value] and cannot be empty")
    assert isinstance(error, ValidationError)
    assert error.errors == {"message": reasons}


async def test_a_long_reason_without_an_address_is_read_in_one_pass() -> None:
    fake = FakeDesk()
    fake.fail(status=400, body={"errors": {"message": ["x" * 1_000_000]}})  # hours, where each letter begins a search
    assert isinstance(await error_of(fake), ValidationError)


@pytest.mark.parametrize(
    ("headers", "retry_after", "remaining"),
    [
        ({"Retry-After": "300"}, 300.0, 7),
        ({"Retry-After": "0"}, 0.0, 7),
        ({"Retry-After": "soon"}, 60.0, 7),  # the window's reset
        ({}, 60.0, 7),
        ({"X-Rate-Limit-Reset": "never"}, None, None),
    ],
    ids=str,
)
async def test_a_429_tells_when_to_come_again_and_the_window(
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


# What an error says

CAUSES: dict[str, tuple[Callable[[FakeDesk], object], list[str]]] = {
    "a lost answer": (lambda fake: fake.lose_answer("before"), ["ReadError", "FakeDesk lost the response"]),
    "no JSON": (lambda fake: fake.fail(status=200, body="<html>"), ["succeeded", "not JSON"]),
    "an empty answer": (lambda fake: fake.fail(status=200), ["succeeded", "expected an object, got null"]),
    "a list": (lambda fake: fake.fail(status=200, body="[]"), ["succeeded", "expected an object, got array"]),
    "too deep": (lambda fake: fake.fail(status=200, body="[" * 10**5), ["succeeded", "nested too deeply"]),
    "not allowed": (lambda fake: fake.fail(status=403), ["403", "user may not"]),
    "a conflict": (lambda fake: fake.fail(status=409), ["409", "conflict with the current state"]),
    "a full window": (lambda fake: fake.fail(status=429, headers={"Retry-After": "7"}), ["429", "again in 7 s"]),
    "a broken gateway": (lambda fake: fake.fail(status=502, body="<html>"), ["502", "gateway"]),
    "a redirect": (lambda fake: fake.fail(status=302), ["302", "unexpected status"]),
}


@pytest.mark.parametrize(("break_it", "words"), CAUSES.values(), ids=CAUSES)
async def test_a_message_names_the_request_and_the_cause(
    break_it: Callable[[FakeDesk], object], words: list[str]
) -> None:
    fake = FakeDesk()
    break_it(fake)
    error = await error_of(fake)
    for word in ["GET /desk/api/v2/conversations.json", *words]:
        assert word in str(error)
    assert "%" not in str(error), "the query is not a part of the cause"


async def test_a_pause_that_does_not_fit_names_both_times() -> None:
    fake = FakeDesk()
    fake.fail(status=503, headers={"Retry-After": "60"})
    error = await error_of(fake, deadline=10, retry=RetryPolicy(backoff_base=0))
    assert isinstance(error, DeadlineExceeded)
    assert "60.0 s" in str(error)
    assert "10 s" in str(error)
    assert isinstance(error.__cause__, ServerError), "what the pause was for"


async def test_a_connection_that_fails_is_told_with_its_cause() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("[Errno 111] Connection refused", request=request)

    error = await error_of(FakeDesk(), transport=httpx.MockTransport(refuse))
    assert isinstance(error, NotSentError)
    assert "ConnectError: [Errno 111] Connection refused" in str(error)
    assert isinstance(error.__cause__, httpx.ConnectError)


async def test_an_unknown_outcome_names_the_conversation_the_cause_and_what_to_do() -> None:
    fake = FakeDesk()
    fake.lose_answer("after")
    async with a_desk(fake, retry=RetryPolicy(on_unknown="raise")) as desk:
        with pytest.raises(OutcomeUnknownError) as raised:
            await desk.conversations.convert(42)
    for word in ["conversation 42", "POST /desk/api/v2/conversations/42/convert.json", "ReadError", "look it up"]:
        assert word in str(raised.value)
    assert isinstance(raised.value.__cause__, TransportError)
    assert (raised.value.attempts, raised.value.maybe_applied, raised.value.conversation_id) == (1, True, 42)
