"""Properties that hold for any response, any header that asks for a pause, and any history of calls and faults."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections import Counter
from collections.abc import Awaitable, Coroutine
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import partial
from typing import Any, Literal, TypeVar

import httpx
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from teamwork_desk import AsyncDesk, Conversation, DeadlineExceeded, DeskError, NotFoundError, RetryPolicy
from teamwork_desk._headers import SMALLEST_EPOCH, RateReport, http_date, retry_after
from teamwork_desk.testing import FakeDesk, VirtualTimeLoop

T = TypeVar("T")

URL = "https://desk.example.com"
IMPATIENT = RetryPolicy(max_attempts=2, backoff_base=0, max_retry_after=0, settle=())


def run_in_virtual_time(call: Coroutine[Any, Any, None]) -> None:
    """Run a call whose pauses may be long: after a 429, for example, a client waits until the rate window ends."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(call)


# Any response

KEYS = [
    *("conversation", "conversations", "id", "ticket_id", "contact", "messages", "createdAt"),
    *("pagination", "hasMorePages", "page", "errors"),
]
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([42, 0, "", "42", "0001-01-01T00:00:00Z"])
    | st.floats()
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=5), inner),
    max_leaves=12,
)
CONVERSATIONS = st.fixed_dictionaries({"id": JSON | st.just(42)}, optional={key: JSON for key in KEYS if key != "id"})
PAGES = st.fixed_dictionaries(
    {"conversations": st.lists(CONVERSATIONS | JSON, max_size=3)}, optional={"pagination": JSON}
)
BODIES = st.binary(max_size=100) | (CONVERSATIONS | PAGES | JSON).map(lambda value: json.dumps(value).encode())
STATUSES = st.sampled_from([200, 201, 204, 400, 401, 404, 408, 429, 500, 503, 504]) | st.integers(100, 999)


async def list_all(desk: AsyncDesk) -> list[Conversation]:
    return [conversation async for conversation in desk.conversations.list()]


async def outcome(call: Awaitable[T]) -> T | DeskError:
    """Return the result of a call, or our own error that it raised."""
    try:
        return await call
    except DeskError as error:
        return error


def is_success(status: int) -> bool:
    return 200 <= status < 300


@settings(max_examples=200)
@given(STATUSES, BODIES, STATUSES, BODIES)
def test_a_call_returns_a_result_or_raises_our_own_error_whatever_the_response(
    status: int, body: bytes, listing_status: int, listing: bytes
) -> None:
    sent: Counter[str] = Counter()

    def respond(request: httpx.Request) -> httpx.Response:
        sent[request.method] += 1
        if request.method == "POST":
            return httpx.Response(status, content=body)
        if request.url.params.get("page", "1") != "1":
            return httpx.Response(200, content=b"{}")
        return httpx.Response(listing_status, content=listing)

    async def call() -> None:
        async with AsyncDesk(
            URL, token="t", transport=httpx.MockTransport(respond), retry=IMPATIENT, verify_first=False
        ) as desk:
            converted = await outcome(desk.conversations.convert(42))
            assert isinstance(converted, (Conversation, DeskError))
            if isinstance(converted, Conversation):
                assert converted.id is not None
            else:
                assert converted.attempts == sent["POST"]
                assert converted.maybe_applied or not is_success(status)
            if is_success(status):
                assert sent["POST"] == 1
            got = await outcome(desk.conversations.get(42))
            assert isinstance(got, DeskError) or got.id == 42
            listed = await outcome(list_all(desk))
            assert isinstance(listed, DeskError) or all(
                isinstance(conversation, Conversation) for conversation in listed
            )
            assert not any(isinstance(result, DeskError) and result.maybe_applied for result in (got, listed))

    run_in_virtual_time(call())


# Any header that asks for a pause

NUMBERS = st.integers().map(str) | st.floats().map(str) | st.from_regex(r"[+-]?[0-9_]{1,30}(\.[0-9]*)?", fullmatch=True)
DATES = st.datetimes(timezones=st.just(UTC)).map(partial(format_datetime, usegmt=True)) | st.from_regex(
    r"(Mon, )?[0-9]{1,5} (Jan|Feb|Foo) [0-9]{1,6} [0-9]{1,3}:[0-9]{1,3}(:[0-9]{1,3})? ([+-][0-9]{1,9}|GMT|EST)",
    fullmatch=True,
)
NEAR_DATES = st.integers(1_699_999_900, 1_700_000_200).map(
    lambda seconds: format_datetime(datetime.fromtimestamp(seconds, UTC), usegmt=True)
)
NONSENSE = st.sampled_from(["9" * 5000, "٣", "0x10", "1e3", "inf", "nan", " 5 ", "-0", "5, 5", "١٧٠٠٠٠٠٠٣٠"])
VALUES = NUMBERS | DATES | NEAR_DATES | NONSENSE | st.text(max_size=20)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "Retry-After": VALUES,
        "X-Rate-Limit-Limit": VALUES | st.just("120"),
        "X-Rate-Limit-Remaining": VALUES | st.sampled_from(["0", "1", "119"]),
        "X-Rate-Limit-Reset": VALUES | st.integers(1_699_999_900, 1_700_000_200).map(str),
        "Date": VALUES,
    },
).map(
    lambda headers: httpx.Headers(
        [(name.encode(), value.encode("utf-8", "surrogatepass")) for name, value in headers.items()]
    )
)


@settings(max_examples=300)
@given(HEADERS, st.integers(0, 2**40))
def test_retry_after_is_a_finite_pause_or_none_whatever_the_headers(headers: httpx.Headers, now: int) -> None:
    seconds = retry_after(headers, now)
    assert seconds is None or 0 <= seconds < math.inf


@settings(max_examples=300)
@given(HEADERS)
def test_a_reported_limit_is_positive_and_its_reset_is_within_a_day_or_ignored(headers: httpx.Headers) -> None:
    report = RateReport.from_headers(headers, 1_700_000_000)
    if report is not None:
        assert report.limit >= 1
        assert 0 <= report.rate_limit.remaining <= report.limit
        assert report.seconds is None or 0 <= report.seconds < SMALLEST_EPOCH


@settings(max_examples=300)
@given(VALUES)
def test_an_http_date_is_finite_or_none(value: str) -> None:
    date = http_date(value, time.time())
    assert date is None or math.isfinite(date)


@settings(max_examples=200)
@given(st.sampled_from([200, 400, 425, 429, 503]), HEADERS)
def test_a_call_returns_a_result_or_raises_our_own_error_whatever_the_headers(
    status: int, headers: httpx.Headers
) -> None:
    def respond(request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, headers=headers, content=b'{"id": 42, "ticket_id": 7}')

    async def call() -> None:
        # The call raises at once instead of a pause that the policy or the deadline does not allow.
        async with AsyncDesk(
            URL, token="t", transport=httpx.MockTransport(respond), retry=IMPATIENT, deadline=1, verify_first=False
        ) as desk:
            is_unknown = False
            for _ in range(2):
                result = await outcome(desk.conversations.convert(42))
                assert isinstance(result, (Conversation, DeskError))
                if isinstance(result, DeadlineExceeded):
                    # The call itself did nothing, but the outcome of the call before it may still be unknown.
                    assert result.maybe_applied is is_unknown
                is_unknown = isinstance(result, DeskError) and result.maybe_applied

    run_in_virtual_time(call())


# Any history of calls and faults


class AnyHistory(RuleBasedStateMachine):
    """A client and a fake Desk that fails from time to time."""

    CONVERSATIONS = (1, 2, 3)

    def __init__(self) -> None:
        super().__init__()
        self.fake = FakeDesk(conversations=self.CONVERSATIONS, rate_limit=10**9)
        self.reported: Counter[int] = Counter()
        """How many convert calls reported success, or that the conversation may have been converted."""
        self.runner = asyncio.Runner(loop_factory=VirtualTimeLoop)
        policy = RetryPolicy(max_attempts=3, backoff_base=0, settle=(0,))
        self.desk = AsyncDesk(URL, token="t", transport=self.fake.transport, retry=policy, verify_first=False)

    def teardown(self) -> None:
        self.runner.run(self.desk.aclose())
        self.runner.close()

    def tickets(self, conversation_id: int) -> list[int]:
        return [ticket.id for ticket in self.fake.tickets if ticket.conversation_id == conversation_id]

    def latest_ticket(self, conversation_id: int) -> int | None:
        return max(self.tickets(conversation_id), default=None)

    @rule(
        status=st.sampled_from([500, 503, 429, 504, 408]),
        headers=st.sampled_from([None, {"Retry-After": "0"}]),
        times=st.integers(1, 4),
        method=st.sampled_from([None, "GET", "POST"]),
    )
    def fail(self, status: int, headers: dict[str, str] | None, times: int, method: str | None) -> None:
        self.fake.fail(status=status, headers=headers, times=times, method=method)

    @rule(
        when=st.sampled_from(["before", "after"]),
        times=st.integers(1, 4),
        method=st.sampled_from([None, "GET", "POST"]),
    )
    def lose_answer(self, when: Literal["before", "after"], times: int, method: str | None) -> None:
        self.fake.lose_answer(when, times=times, method=method)

    @rule(conversation_id=st.sampled_from(CONVERSATIONS), verify_first=st.booleans())
    def convert(self, conversation_id: int, verify_first: bool) -> None:
        before = self.tickets(conversation_id)
        result = self.runner.run(
            outcome(self.desk.conversations.convert(conversation_id, subject="s", verify_first=verify_first))
        )
        after = self.tickets(conversation_id)
        if isinstance(result, Conversation):
            assert (result.id, result.ticket_id) == (conversation_id, after[-1])
        elif not result.maybe_applied:
            assert after == before
        self.reported[conversation_id] += isinstance(result, Conversation) or result.maybe_applied
        # A call makes one ticket at most, and a call that looks up first makes none if there is a ticket already.
        assert len(after) - len(before) <= (0 if verify_first and before else 1)

    @rule(conversation_id=st.sampled_from((*CONVERSATIONS, 4)))
    def get(self, conversation_id: int) -> None:
        result = self.runner.run(outcome(self.desk.conversations.get(conversation_id)))
        if isinstance(result, Conversation):
            assert (result.id, result.ticket_id) == (conversation_id, self.latest_ticket(conversation_id))
        else:
            assert not result.maybe_applied
            assert conversation_id == 4 or not isinstance(result, NotFoundError)

    @rule()
    def list_conversations(self) -> None:
        result = self.runner.run(outcome(list_all(self.desk)))
        if isinstance(result, DeskError):
            assert not result.maybe_applied
        else:
            assert [conversation.id for conversation in result] == list(self.CONVERSATIONS)
            tickets = [conversation.ticket_id for conversation in result]
            assert tickets == [self.latest_ticket(number) for number in self.CONVERSATIONS]

    @invariant()
    def every_ticket_was_reported_by_a_call(self) -> None:
        for conversation_id in self.CONVERSATIONS:
            assert len(self.tickets(conversation_id)) <= self.reported[conversation_id]


TestAnyHistory = AnyHistory.TestCase
TestAnyHistory.settings = settings(max_examples=60, stateful_step_count=20)
