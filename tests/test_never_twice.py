"""Cases in which a conversation was once converted twice, or its outcome was guessed. Each is a kind of input.

The time is virtual, so that a server that finishes late and a client that waits for it need no real time.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any, TypeAlias

import anyio
import httpx
import pytest
from trio.testing import MockClock

from teamwork_desk import (
    AsyncDesk,
    AuthenticationError,
    ConfigurationError,
    Conversation,
    ConvertedConversation,
    DeadlineExceeded,
    DeskError,
    NotFoundError,
    OutcomeUnknownError,
    PermissionDeniedError,
    RateLimitedError,
    RequestError,
    ResponseDecodeError,
    RetryPolicy,
    ServerError,
    StatusError,
    ValidationError,
)
from teamwork_desk._loops import ServedLoop
from teamwork_desk._memory import MOST_UNKNOWN, Memory, Unknown
from teamwork_desk.testing import FakeDesk, VirtualTimeLoop

Script: TypeAlias = Callable[[httpx.Response], httpx.Response]
"""Makes the response that the client gets of the response that FakeDesk sent."""


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    if request.param == "trio":
        return "trio", {"clock": MockClock(autojump_threshold=0)}
    return "asyncio", {"loop_factory": VirtualTimeLoop}


def open_desk(fake: FakeDesk, **options: Any) -> AsyncDesk:
    return AsyncDesk("https://acme.teamwork.com", token="any", transport=fake.transport, **options)


def methods(fake: FakeDesk) -> list[str]:
    return [request.method for request in fake.requests]


async def outcome_of(desk: AsyncDesk, conversation_id: int = 42, **arguments: Any) -> Conversation | DeskError:
    try:
        return await desk.conversations.convert(conversation_id, **arguments)
    except DeskError as error:
        return error


class Scripted(httpx.AsyncBaseTransport):
    """Passes requests on to FakeDesk, and replaces its response to conversions, or to lookups.

    Args:
        fake: Carries the requests out.
        convert: Makes the response to a conversion of FakeDesk's own response.
        look: Makes the response to a lookup.
    """

    def __init__(
        self,
        fake: FakeDesk,
        *,
        convert: Script = lambda response: response,
        look: Script = lambda response: response,
    ) -> None:
        self._fake = fake.transport
        self._convert = convert
        self._look = look

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self._fake.handle_async_request(request)
        await response.aread()
        return (self._convert if request.method == "POST" else self._look)(response)


def scripted_desk(
    fake: FakeDesk,
    *,
    convert: Script = lambda response: response,
    look: Script = lambda response: response,
    **options: Any,
) -> AsyncDesk:
    transport = Scripted(fake, convert=convert, look=look)
    return AsyncDesk("https://acme.teamwork.com", token="any", transport=transport, **options)


# Safe by default


async def test_a_second_call_returns_the_ticket_of_the_first(fake_desk: FakeDesk, desk: AsyncDesk) -> None:
    first, second = [await desk.conversations.convert(42) for _ in range(2)]
    assert isinstance(second, ConvertedConversation)
    assert (first.created, second.created) == (True, False)
    assert first.ticket_id == second.ticket_id == fake_desk.assert_converted_once(42).id
    assert methods(fake_desk) == ["GET", "POST"]


async def test_calls_at_the_same_time_make_one_ticket(fake_desk: FakeDesk, desk: AsyncDesk) -> None:
    results: list[ConvertedConversation] = []

    async def convert() -> None:
        results.append(await desk.conversations.convert(42))

    async with anyio.create_task_group() as calls:
        for _ in range(20):
            calls.start_soon(convert)
    assert sorted(result.created for result in results) == [False] * 19 + [True]
    assert {result.ticket_id for result in results} == {fake_desk.assert_converted_once(42).id}


@pytest.mark.parametrize(
    ("client", "call", "looks"),
    [(None, None, True), (True, None, True), (False, None, False), (False, True, True), (True, False, False)],
)
async def test_the_call_decides_before_the_client(
    fake_desk: FakeDesk, client: bool | None, call: bool | None, looks: bool
) -> None:
    options = {} if client is None else {"verify_first": client}
    async with open_desk(fake_desk, **options) as desk:
        conversation = await desk.conversations.convert(42, verify_first=call)
    assert conversation.created
    assert methods(fake_desk) == ["GET", "POST"] if looks else ["POST"]


async def test_a_view_may_have_another_default(fake_desk: FakeDesk, desk: AsyncDesk) -> None:
    await desk.with_options(verify_first=False).conversations.convert(42)
    assert methods(fake_desk) == ["POST"]


async def test_verify_first_must_be_a_bool(fake_desk: FakeDesk, desk: AsyncDesk) -> None:
    with pytest.raises(RequestError, match="verify_first: expected a bool, got int"):
        await desk.conversations.convert(42, verify_first=0)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="verify_first: expected True or False"):
        open_desk(fake_desk, verify_first="no")
    assert not fake_desk.requests


async def test_a_safe_call_waits_for_a_plain_call(fake_desk: FakeDesk) -> None:
    results: list[ConvertedConversation] = []

    async def convert(*, verify_first: bool) -> None:
        results.append(await desk.conversations.convert(42, verify_first=verify_first))

    class Slow(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            await anyio.sleep(0.5)
            return await fake_desk.transport.handle_async_request(request)

    async with (
        AsyncDesk("https://acme.teamwork.com", token="any", transport=Slow()) as desk,
        anyio.create_task_group() as calls,
    ):
        calls.start_soon(lambda: convert(verify_first=False))
        await anyio.sleep(0.05)
        calls.start_soon(lambda: convert(verify_first=True))
    assert sorted(result.created for result in results) == [False, True]
    fake_desk.assert_converted_once(42)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, b'{"conversations": null}', NotFoundError),
        (200, b'{"conversations": [{"id": 42, "ticket_id": {}}]}', ResponseDecodeError),
        (403, b'{"errors": [{"detail": "no"}]}', PermissionDeniedError),
    ],
)
async def test_a_lookup_that_shows_nothing_sends_nothing_and_says_what_to_do(
    fake_desk: FakeDesk, status: int, body: bytes, kind: type[DeskError]
) -> None:
    async with scripted_desk(fake_desk, look=lambda _: httpx.Response(status, content=body)) as desk:
        with pytest.raises(
            kind, match=r"nothing was sent; check the id, or, if you know that it has no ticket, .* verify_first=False"
        ) as raised:
            await desk.conversations.convert(42)
        assert (raised.value.maybe_applied, raised.value.attempts) == (False, 0)
        await desk.conversations.convert(42, verify_first=False)
    fake_desk.assert_converted_once(42)


# The outcome of an earlier call


async def test_the_longest_settling_time_of_all_views_counts(fake_desk: FakeDesk, desk: AsyncDesk) -> None:
    patient = desk.with_options(retry=RetryPolicy(settle=(1, 2, 4)))
    hasty = desk.with_options(retry=RetryPolicy(settle=()))
    fake_desk.inject("timeout while the work goes on", lasts=1, method="POST")
    with anyio.move_on_after(0.0001) as scope:
        await patient.conversations.convert(42, verify_first=False)
    assert scope.cancelled_caught
    conversation = await hasty.conversations.convert(42)
    assert fake_desk.assert_converted_once(42).id == conversation.ticket_id
    assert not conversation.created


@pytest.mark.parametrize("verify_first", [True, False])
@pytest.mark.parametrize("status", [403, 500])
async def test_an_outcome_stays_unknown_until_a_lookup_has_shown_it(
    fake_desk: FakeDesk, desk: AsyncDesk, status: int, verify_first: bool
) -> None:
    fake_desk.lose_answer("after", method="POST")
    fake_desk.fail(status=403, method="GET")
    first = await outcome_of(desk, verify_first=False)
    fake_desk.fail(status=status, method="GET", times=4 if status == 500 else 1)
    second = await outcome_of(desk.with_options(), verify_first=verify_first)
    for error in (first, second):
        assert isinstance(error, OutcomeUnknownError)
        assert error.maybe_applied
    third = await desk.conversations.convert(42, verify_first=verify_first)
    assert not third.created
    assert fake_desk.assert_converted_once(42).id == third.ticket_id


async def test_even_an_invalid_argument_does_not_hide_that_an_earlier_outcome_is_unknown(
    fake_desk: FakeDesk, desk: AsyncDesk
) -> None:
    fake_desk.lose_answer("after", method="POST")
    fake_desk.fail(status=403, method="GET")
    await outcome_of(desk, verify_first=False)
    error = await outcome_of(desk, cc="jo@example.com")
    assert isinstance(error, RequestError)
    assert error.maybe_applied


async def test_a_listing_that_no_longer_shows_the_conversation_leaves_its_outcome_unknown(
    fake_desk: FakeDesk,
) -> None:
    async with scripted_desk(fake_desk, look=lambda _: httpx.Response(200, content=b'{"conversations": []}')) as desk:
        fake_desk.lose_answer("before", method="POST")
        assert isinstance(await outcome_of(desk, verify_first=False), OutcomeUnknownError)
        error = await outcome_of(desk)
    assert isinstance(error, OutcomeUnknownError)
    assert isinstance(error.__cause__, NotFoundError)


async def test_a_lookup_without_a_ticket_settles_an_unknown_outcome(fake_desk: FakeDesk, desk: AsyncDesk) -> None:
    fake_desk.lose_answer("before", method="POST")
    fake_desk.fail(status=403, method="GET")
    assert isinstance(await outcome_of(desk, verify_first=False), OutcomeUnknownError)
    conversation = await desk.conversations.convert(42, verify_first=False)
    assert conversation.created
    before = len(fake_desk.requests)
    await desk.conversations.convert(42, verify_first=False)
    assert methods(fake_desk)[before:] == ["POST"]


async def test_a_scheduled_email_whose_outcome_is_unknown_is_never_sent_again(
    fake_desk: FakeDesk, desk: AsyncDesk
) -> None:
    fake_desk.lose_answer("before", method="POST", times=2)
    schedule = {"at": "2030-01-01T00:00:00Z"}
    assert isinstance(await outcome_of(desk, scheduled_email=schedule), OutcomeUnknownError)
    for verify_first in (True, False, None):
        error = await outcome_of(desk, verify_first=verify_first)
        assert isinstance(error, OutcomeUnknownError)
        assert error.maybe_applied
        await anyio.sleep(1000)
    assert methods(fake_desk).count("POST") == 1


def test_the_memory_of_unknown_outcomes_is_bounded_and_then_every_call_looks_first() -> None:
    memory = Memory(ServedLoop())
    unknown = Unknown(left_at=0.0, settle=1.0, maybe_applied=True, is_scheduled=False)
    for number in range(MOST_UNKNOWN):
        memory.leave(number, unknown)
    assert not memory.must_look(MOST_UNKNOWN + 1)
    memory.leave(MOST_UNKNOWN, unknown)
    assert memory.unknown(0) is None
    assert memory.unknown(1) is not None
    assert memory.must_look(0)
    assert memory.must_look(MOST_UNKNOWN + 1)


# A response is not taken at its word


def carried_out(status: int, headers: dict[str, str] | None = None, content: bytes = b"") -> Script:
    """Return a script that replaces the response to the first conversion, which was carried out."""
    responses = [httpx.Response(status, headers=headers, content=content)]

    def replace(response: httpx.Response) -> httpx.Response:
        return responses.pop() if responses else response

    return replace


@pytest.mark.parametrize("verify_first", [True, False])
@pytest.mark.parametrize(
    ("status", "headers"),
    [
        *[(status, {}) for status in (301, 302, 303, 307, 308, 408, 425, 429, 499, 500, 502, 503, 504, 520, 524)],
        (429, {"Retry-After": "2"}),
        (503, {"Retry-After": "1"}),
        (503, {"Retry-After": "1000"}),
        (204, {}),
        (200, {}),
    ],
)
async def test_work_that_was_done_is_found_whatever_the_status(
    fake_desk: FakeDesk, status: int, headers: dict[str, str], verify_first: bool
) -> None:
    async with scripted_desk(fake_desk, convert=carried_out(status, headers, b"")) as desk:
        conversation = await desk.conversations.convert(42, verify_first=verify_first)
    assert conversation.created
    assert fake_desk.assert_converted_once(42).id == conversation.ticket_id


async def test_a_request_that_got_401_is_looked_up_before_it_is_sent_with_a_new_token(fake_desk: FakeDesk) -> None:
    tokens = ["old", "new"]
    async with AsyncDesk(
        "https://acme.teamwork.com",
        token=lambda: tokens.pop(0),
        transport=Scripted(fake_desk, convert=carried_out(401)),
        verify_first=False,
    ) as desk:
        conversation = await desk.conversations.convert(42)
    assert fake_desk.assert_converted_once(42).id == conversation.ticket_id


async def test_the_deprecated_email_is_sent_only_after_a_lookup(fake_desk: FakeDesk) -> None:
    missing = json.dumps({"errors": {"customer": ["must be set"]}}).encode()
    async with scripted_desk(fake_desk, convert=carried_out(400, {}, missing), verify_first=False) as desk:
        conversation = await desk.conversations.convert(42, customer="jo@example.com")
    assert fake_desk.assert_converted_once(42).id == conversation.ticket_id


async def test_a_lookup_that_fails_keeps_the_deprecated_email_from_being_sent(fake_desk: FakeDesk) -> None:
    missing = json.dumps({"errors": {"customer": ["must be set"]}}).encode()
    async with scripted_desk(
        fake_desk, convert=carried_out(400, {}, missing), look=lambda _: httpx.Response(403), verify_first=False
    ) as desk:
        error = await outcome_of(desk, customer="jo@example.com")
    assert isinstance(error, ValidationError)
    assert isinstance(error.__cause__, PermissionDeniedError)
    assert methods(fake_desk).count("POST") == 1


@pytest.mark.parametrize(
    ("status", "kind"), [(303, StatusError), (499, StatusError), (425, StatusError), (503, ServerError)]
)
async def test_the_error_of_a_request_that_did_nothing_is_that_of_its_status(
    fake_desk: FakeDesk, desk: AsyncDesk, status: int, kind: type[DeskError]
) -> None:
    fake_desk.fail(status=status, method="POST", times=9)
    error = await outcome_of(desk)
    assert isinstance(error, DeskError)
    assert type(error) is kind
    assert not error.maybe_applied
    fake_desk.assert_not_converted(42)


@pytest.mark.parametrize("status", [425, 429])
async def test_a_refusal_that_cannot_be_looked_up_is_not_sent_again(fake_desk: FakeDesk, status: int) -> None:
    async with scripted_desk(
        fake_desk, convert=carried_out(status), look=lambda _: httpx.Response(403), verify_first=False
    ) as desk:
        error = await outcome_of(desk)
    assert isinstance(error, OutcomeUnknownError)
    assert error.maybe_applied
    fake_desk.assert_converted_once(42)


async def test_a_refused_call_that_gave_up_is_looked_up_by_the_next_one(fake_desk: FakeDesk) -> None:
    async with scripted_desk(fake_desk, convert=carried_out(429, {"Retry-After": "1000"}), verify_first=False) as desk:
        assert isinstance(await outcome_of(desk), RateLimitedError)
        await anyio.sleep(1000)
        conversation = await desk.conversations.convert(42)
    assert not conversation.created
    fake_desk.assert_converted_once(42)


async def test_without_verification_only_a_refused_request_is_sent_again(fake_desk: FakeDesk) -> None:
    policy = RetryPolicy(on_unknown="raise")
    async with open_desk(fake_desk, retry=policy, verify_first=False) as desk:
        fake_desk.fail(status=429, headers={"Retry-After": "1"}, method="POST")
        assert (await desk.conversations.convert(42)).created
        fake_desk.fail(status=503, headers={"Retry-After": "1"}, method="POST")
        assert isinstance(await outcome_of(desk, 43), OutcomeUnknownError)
        fake_desk.fail(status=429, headers={"Retry-After": "1000"}, method="POST")
        assert isinstance(await outcome_of(desk, 44), RateLimitedError)
        await anyio.sleep(1000)
        assert (await desk.conversations.convert(44)).created
    assert methods(fake_desk) == ["POST"] * 5


# A success names a ticket


def with_ticket_id(ticket_id: object) -> Script:
    """Return a script that replaces the ticket's id in a response; `...` removes it."""

    def replace(response: httpx.Response) -> httpx.Response:
        payload = response.json()
        for conversation in payload.get("conversations") or [payload.get("conversation", payload)]:
            conversation.pop("ticket_id")
            if ticket_id is not ...:
                conversation["ticket_id"] = ticket_id
        return httpx.Response(200, json=payload)

    return replace


@pytest.mark.parametrize("ticket_id", [..., None, 0, -7, "", "x7", "-7", 7.0, True, [7], {}])
async def test_a_success_without_a_usable_ticket_is_looked_up(fake_desk: FakeDesk, ticket_id: object) -> None:
    async with scripted_desk(fake_desk, convert=with_ticket_id(ticket_id)) as desk:
        conversation = await desk.conversations.convert(42)
    assert fake_desk.assert_converted_once(42).id == conversation.ticket_id


@pytest.mark.parametrize(
    ("ticket_id", "kind"), [(None, OutcomeUnknownError), (0, OutcomeUnknownError), (-7, ResponseDecodeError)]
)
async def test_a_success_is_none_if_no_lookup_shows_a_ticket(
    fake_desk: FakeDesk, ticket_id: object, kind: type[DeskError]
) -> None:
    async with scripted_desk(
        fake_desk, convert=with_ticket_id(ticket_id), look=with_ticket_id(None), verify_first=False
    ) as desk:
        error = await outcome_of(desk)
        assert isinstance(error, DeskError)
        assert type(error) is kind
        assert error.maybe_applied
        assert isinstance(await outcome_of(desk.with_options(retry=RetryPolicy(settle=())), 42), DeskError)


async def test_a_ticket_id_of_digits_is_read(fake_desk: FakeDesk) -> None:
    digits = with_ticket_id("1234567890123456789")
    async with scripted_desk(fake_desk, convert=digits, look=digits) as desk:
        assert (await desk.conversations.get(42)).ticket_id == 1234567890123456789
        assert [each.ticket_id async for each in desk.conversations.list(filter={"id": {"$eq": 42}})] == [
            1234567890123456789
        ]
        found = await desk.conversations.convert(42)
        assert (found.ticket_id, found.created) == (1234567890123456789, False)
        made = await desk.conversations.convert(42, verify_first=False)
        assert (made.ticket_id, made.created) == (1234567890123456789, True)


# A listing proves only what it shows

OWN = {"id": 42, "ticket_id": None}
LIES: dict[str, dict[str, Any]] = {
    "empty": {"conversations": []},
    "null": {"conversations": None},
    "others": {"conversations": [{"id": 43, "ticket_id": None}]},
    "others, too": {"conversations": [OWN, {"id": 43, "ticket_id": None}]},
    "its id as a string": {"conversations": [{"id": "42", "ticket_id": None}]},
    "its id as true": {"conversations": [{"id": True, "ticket_id": None}]},
    "more pages": {"conversations": [OWN], "pagination": {"hasMorePages": True}},
    "more pages as text": {"conversations": [OWN], "pagination": {"hasMorePages": "true"}},
    "more pages in meta": {"conversations": [OWN], "pagination": None, "meta": {"page": {"hasMore": True}}},
    "a negative ticket": {"conversations": [{"id": 42, "ticket_id": -1}]},
    "an unreadable ticket": {"conversations": [{"id": 42, "ticket_id": [7]}]},
    "no ticket_id": {"conversations": [{"id": 42}]},
}


@pytest.mark.parametrize("lie", LIES)
async def test_a_listing_that_proves_nothing_never_leads_to_a_conversion(fake_desk: FakeDesk, lie: str) -> None:
    async with scripted_desk(fake_desk, look=lambda _: httpx.Response(200, json=LIES[lie])) as desk:
        error = await outcome_of(desk)
        assert isinstance(error, (NotFoundError, ResponseDecodeError))
        assert (error.maybe_applied, error.attempts) == (False, 0)
        fake_desk.lose_answer("before", method="POST")
        error = await outcome_of(desk, 42, verify_first=False)
    assert isinstance(error, OutcomeUnknownError)
    assert methods(fake_desk).count("POST") == 1


async def test_an_entry_with_a_ticket_counts_even_beside_others(fake_desk: FakeDesk) -> None:
    page: dict[str, Any] = {"conversations": [{"id": 43, "ticket_id": None}, {"id": 42, "ticket_id": 7}]}
    page |= {"pagination": {"hasMorePages": True}}
    async with scripted_desk(fake_desk, look=lambda _: httpx.Response(200, json=page)) as desk:
        conversation = await desk.conversations.convert(42)
    assert (conversation.ticket_id, conversation.created) == (7, False)


# No body leaves after its deadline


async def test_no_body_leaves_after_the_deadline_even_if_the_event_loop_was_blocked(
    fake_desk: FakeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped_for = 0.0

    async def stop(request: httpx.Request) -> None:
        nonlocal stopped_for
        stopped_for = 1000.0

    monkeypatch.setattr("teamwork_desk._wire.now", lambda: stopped_for)
    monkeypatch.setattr("teamwork_desk._scope.now", lambda: stopped_for)
    async with open_desk(fake_desk, event_hooks={"request": [stop]}, verify_first=False) as desk:
        with pytest.raises(DeskError, match="the deadline of 120 s") as raised:
            await desk.conversations.convert(42)
    assert not raised.value.maybe_applied
    fake_desk.assert_not_converted(42)


MISSING = json.dumps({"errors": {"customer": ["must be set"]}}).encode()


async def test_a_lookup_without_a_turn_keeps_the_deprecated_email_for_the_next_call(fake_desk: FakeDesk) -> None:
    async with scripted_desk(
        fake_desk,
        convert=carried_out(400, {}, MISSING),
        look=carried_out(429, {"Retry-After": "1000"}),
        verify_first=False,
    ) as desk:
        assert isinstance(await outcome_of(desk, customer="jo@example.com"), RateLimitedError)
    assert methods(fake_desk) == ["POST", "GET"]


async def test_without_verification_the_deprecated_email_is_sent_at_once() -> None:
    fake = FakeDesk(old_installation=True)
    policy = RetryPolicy(on_unknown="raise")
    async with open_desk(fake, retry=policy, verify_first=False) as desk:
        assert (await desk.conversations.convert(42, customer="jo@example.com")).created
    assert methods(fake) == ["POST", "POST"]


# A listing that is late, and calls that wait for another


class LateListing(Scripted):
    """Shows a ticket in the listing only some seconds after it was made."""

    def __init__(self, fake: FakeDesk, seconds: float) -> None:
        super().__init__(fake, convert=self._note, look=self._hide)
        self._seconds = seconds
        self._made_at = -math.inf

    def _note(self, response: httpx.Response) -> httpx.Response:
        self._made_at = anyio.current_time()
        return response

    def _hide(self, response: httpx.Response) -> httpx.Response:
        is_shown = anyio.current_time() - self._made_at > self._seconds
        return response if is_shown else with_ticket_id(None)(response)


@pytest.mark.parametrize("callers", [1, 3])
async def test_a_client_does_not_convert_again_what_the_listing_shows_late(fake_desk: FakeDesk, callers: int) -> None:
    results: list[ConvertedConversation] = []

    async def convert() -> None:
        results.append(await desk.conversations.convert(42))

    transport = LateListing(fake_desk, 3)
    async with AsyncDesk("https://acme.teamwork.com", token="any", transport=transport) as desk:
        hasty = desk.with_options(retry=RetryPolicy(settle=()))
        await hasty.conversations.convert(43)
        assert not (await desk.conversations.convert(43)).created
        fake_desk.requests.clear()
        for _ in range(2):
            async with anyio.create_task_group() as calls:
                for _ in range(callers):
                    calls.start_soon(convert)
        assert methods(fake_desk) == ["GET", "POST"]
        await anyio.sleep(10)
        await convert()
    assert [result.created for result in results] == [True] + [False] * (2 * callers)
    assert {result.ticket_id for result in results} == {fake_desk.assert_converted_once(42).id}
    assert methods(fake_desk) == ["GET", "POST", "GET"]


async def test_a_call_that_waits_for_another_says_what_that_one_may_have_done(fake_desk: FakeDesk) -> None:
    errors: list[Conversation | DeskError] = []

    class Slow(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            response = await fake_desk.transport.handle_async_request(request)
            if request.method == "POST":
                await anyio.sleep(5)
            return response

    async def wait() -> None:
        errors.append(await outcome_of(desk.with_options(deadline=1)))

    async with (
        AsyncDesk("https://acme.teamwork.com", token="any", transport=Slow()) as desk,
        anyio.create_task_group() as calls,
    ):
        calls.start_soon(desk.conversations.convert, 42)
        await anyio.sleep(1)
        calls.start_soon(wait)
    (error,) = errors
    assert isinstance(error, OutcomeUnknownError)
    assert error.maybe_applied
    fake_desk.assert_converted_once(42)


# A refusal that nobody has checked is checked by the next call


@pytest.mark.parametrize("cut_short_by", ["nothing", "the deadline", "a provider that fails"])
async def test_a_rejected_token_is_not_taken_for_proof_by_the_next_call(fake_desk: FakeDesk, cut_short_by: str) -> None:
    tokens = iter(["old", "new"])

    def provide() -> str:
        token = next(tokens, None)
        if token is None or (cut_short_by == "a provider that fails" and token == "new"):
            raise OSError("the vault is closed")
        return token

    class Hangs(Scripted):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if request.method == "GET" and cut_short_by == "the deadline" and anyio.current_time() - began < 5:
                await anyio.sleep_forever()
            return await super().handle_async_request(request)

    began = anyio.current_time()
    token = "old" if cut_short_by == "nothing" else provide
    async with AsyncDesk(
        "https://acme.teamwork.com",
        token=token,
        transport=Hangs(fake_desk, convert=carried_out(401)),
        verify_first=False,
    ) as desk:
        first = await outcome_of(desk.with_options(deadline=2))
        await anyio.sleep(10)
        second = await desk.conversations.convert(42)
    assert isinstance(first, DeadlineExceeded if cut_short_by == "the deadline" else AuthenticationError)
    assert not first.maybe_applied
    assert not second.created
    fake_desk.assert_converted_once(42)


async def test_a_missing_customer_that_nobody_has_checked_is_checked_by_the_next_call(fake_desk: FakeDesk) -> None:
    looks = [httpx.Response(403)]
    async with scripted_desk(
        fake_desk,
        convert=carried_out(400, {}, MISSING),
        look=lambda response: looks.pop() if looks else response,
        verify_first=False,
    ) as desk:
        assert isinstance(await outcome_of(desk, customer="jo@example.com"), ValidationError)
        assert not (await desk.conversations.convert(42, customer="jo@example.com")).created
    fake_desk.assert_converted_once(42)


# The likeliest ways to call again


async def test_a_caller_that_does_not_verify_may_call_again_at_once(fake_desk: FakeDesk) -> None:
    async with open_desk(fake_desk, retry=RetryPolicy(on_unknown="raise")) as desk:
        fake_desk.inject("answer lost while the work goes on", lasts=2)
        assert isinstance(await outcome_of(desk), OutcomeUnknownError)
        conversation = await desk.conversations.convert(42)
    assert not conversation.created
    assert fake_desk.assert_converted_once(42).id == conversation.ticket_id


async def test_a_caller_that_lost_patience_may_call_again_at_once(fake_desk: FakeDesk) -> None:
    class Slow(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            response = fake_desk.transport.handle_async_request(request)
            if request.method == "POST":
                fake_desk.inject("timeout while the work goes on", lasts=3)
                with pytest.raises(httpx.ReadTimeout):
                    await response
                await anyio.sleep_forever()
            return await response

    async with AsyncDesk("https://acme.teamwork.com", token="any", transport=Slow()) as desk:
        for _ in range(3):
            with anyio.move_on_after(1):
                await desk.conversations.convert(42)
        conversation = await desk.conversations.convert(42)
    assert not conversation.created
    assert fake_desk.assert_converted_once(42).id == conversation.ticket_id
