"""One listing serves all calls that look conversations up meanwhile, and each call gets the truth."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any, Literal

import anyio
import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teamwork_desk import (
    AsyncDesk,
    AuthenticationError,
    ConfigurationError,
    DeadlineExceeded,
    DeskError,
    NotFoundError,
    PermissionDeniedError,
    ResponseDecodeError,
    RetryPolicy,
    TransportError,
)
from teamwork_desk._call import Call
from teamwork_desk._lookup import ALONE_FOR, _decode_strictly  # pyright: ignore[reportPrivateUsage]
from teamwork_desk.testing import FakeDesk, VirtualTimeLoop
from teamwork_desk_api.types import ignore


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Listing(httpx.AsyncBaseTransport):
    """A Desk that only lists: it holds each request until the test lets it go on."""

    def __init__(self, tickets: dict[int, int | None]) -> None:
        self.tickets = tickets
        self.requested: list[list[int]] = []
        self.open = anyio.Event()
        self.open.set()
        self.refuses_in = False
        self.refusal: int | Literal["not JSON", "lost"] = 400
        self.loses = set[int]()
        self.loses_alone = set[int]()
        self.hides: set[int] = set()
        self.status = 200

    def hold(self) -> None:
        self.open = anyio.Event()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        condition: dict[str, Any] = json.loads(request.url.params["filter"])["id"]
        ids: list[int] = condition.get("$in") or [condition["$eq"]]
        self.requested.append(ids)
        shown = [
            {"id": number, "ticket_id": self.tickets[number]}
            for number in ids
            if number in self.tickets and not (len(ids) > 1 and number in self.hides)
        ]
        await self.open.wait()
        is_refused = self.refuses_in and len(ids) > 1
        if self.loses.intersection(ids) or self.loses_alone == set(ids) or (is_refused and self.refusal == "lost"):
            raise httpx.ReadError("lost")
        if is_refused and self.refusal == "not JSON":
            return httpx.Response(200, content=b"<html>Request Rejected")
        if is_refused and isinstance(self.refusal, int):
            return httpx.Response(self.refusal, json={"errors": {"filter": ["cannot be understood"]}})
        if self.status != 200:
            return httpx.Response(self.status, json={})
        return httpx.Response(200, json={"conversations": shown, "pagination": {"hasMorePages": False}})


def a_desk(transport: httpx.AsyncBaseTransport, **options: Any) -> AsyncDesk:
    return AsyncDesk("https://desk.example", token="t", transport=transport, **options)


async def look_up(desk: AsyncDesk, *ids: int, transport: Listing) -> dict[int, Any]:
    """Look conversations up at the same time while a first lookup of 1000 is held, and return what each call got."""
    outcomes: dict[int, Any] = {}

    async def convert(number: int) -> None:
        try:
            outcomes[number] = (await desk.conversations.convert(number, verify_first=True)).ticket_id
        except DeskError as error:
            outcomes[number] = error

    async with anyio.create_task_group() as calls:
        transport.tickets[1000] = 7
        transport.hold()
        calls.start_soon(convert, 1000)
        await anyio.wait_all_tasks_blocked()
        for number in ids:
            calls.start_soon(convert, number)
        await anyio.wait_all_tasks_blocked()
        transport.open.set()
    assert outcomes.pop(1000) == 7
    return outcomes


async def test_calls_that_ask_while_a_listing_runs_share_the_next_listing() -> None:
    transport = Listing({number: 100 + number for number in range(1, 31)})
    async with a_desk(transport) as desk:
        outcomes = await look_up(desk, *range(1, 31), transport=transport)
    assert outcomes == {number: 100 + number for number in range(1, 31)}
    assert transport.requested == [[1000], list(range(1, 31))]


async def test_a_listing_is_for_at_most_100_conversations() -> None:
    transport = Listing({number: 1000 + number for number in range(1, 251)})
    async with a_desk(transport) as desk:
        outcomes = await look_up(desk, *range(1, 251), transport=transport)
    assert len(outcomes) == 250
    assert [len(ids) for ids in transport.requested] == [1, 100, 100, 50]


async def test_an_id_that_a_listing_of_many_does_not_show_is_asked_for_alone() -> None:
    transport = Listing({1: 101, 2: 102})
    transport.hides = {2}
    async with a_desk(transport) as desk:
        outcomes = await look_up(desk, 1, 2, 3, transport=transport)
    assert (outcomes[1], outcomes[2]) == (101, 102)
    assert isinstance(outcomes[3], NotFoundError)
    assert sorted(transport.requested[2:]) == [[2], [3]]


async def test_lookups_go_alone_where_the_server_refuses_a_list_of_ids() -> None:
    transport = Listing({number: 100 + number for number in range(1, 11)})
    transport.refuses_in = True
    async with a_desk(transport) as desk:
        first = await look_up(desk, 1, 2, 3, transport=transport)
        second = await look_up(desk, 4, 5, 6, transport=transport)
    assert first | second == {number: 100 + number for number in range(1, 7)}
    # The list of ids is tried once.
    assert [len(ids) for ids in transport.requested].count(3) == 1


@pytest.mark.parametrize("status", [400, 403, 404, 414, 422, 500, 503])
async def test_lookups_go_alone_after_any_status_that_only_a_list_of_ids_gets(status: int) -> None:
    transport = Listing({number: 100 + number for number in range(1, 11)})
    transport.refuses_in, transport.refusal = True, status
    async with a_desk(transport, retry=RetryPolicy(max_attempts=1)) as desk:
        first = await look_up(desk, 1, 2, 3, transport=transport)
        second = await look_up(desk, 4, 5, 6, transport=transport)
    assert first | second == {number: 100 + number for number in range(1, 7)}
    assert [len(ids) for ids in transport.requested].count(3) == 1


@pytest.mark.parametrize(("refusal", "lists_tried"), [(400, 1), (500, 2), ("not JSON", 2), ("lost", 2)])
def test_a_list_of_ids_is_tried_again_after_a_failure_that_may_have_had_another_reason(
    refusal: int | Literal["not JSON", "lost"], lists_tried: int
) -> None:
    async def main() -> None:
        transport = Listing({number: 100 + number for number in range(1, 11)})
        transport.refuses_in, transport.refusal = True, refusal
        async with a_desk(transport, retry=RetryPolicy(max_attempts=1)) as desk:
            first = await look_up(desk, 1, 2, 3, transport=transport)
            await anyio.sleep(ALONE_FOR + 1)
            second = await look_up(desk, 4, 5, 6, transport=transport)
        assert first | second == {number: 100 + number for number in range(1, 7)}
        assert [len(ids) for ids in transport.requested].count(3) == lists_tried

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(main())


async def test_a_failure_with_the_options_of_one_view_is_not_taken_for_a_failure_with_those_of_another() -> None:
    transport = Listing({number: 100 + number for number in range(1, 11)})
    outcomes: dict[int, Any] = {}
    async with a_desk(transport, retry=RetryPolicy(max_attempts=3, backoff_base=0)) as desk:
        hasty = desk.with_options(retry=RetryPolicy(max_attempts=1))

        async def convert(view: AsyncDesk, number: int) -> None:
            try:
                outcomes[number] = (await view.conversations.convert(number, verify_first=True)).ticket_id
            except DeskError as error:
                outcomes[number] = error

        transport.hold()
        async with anyio.create_task_group() as calls:
            calls.start_soon(convert, desk, 9)
            await anyio.wait_all_tasks_blocked()
            for number, view in ((1, hasty), (2, hasty), (3, desk)):
                calls.start_soon(convert, view, number)
                await anyio.wait_all_tasks_blocked()
            transport.loses = {1}
            transport.open.set()
    assert [type(outcomes[number]) for number in (1, 2)] == [TransportError] * 2
    assert (outcomes[3], outcomes[9]) == (103, 109)


async def test_a_failure_before_the_listing_began_is_not_the_answer_to_a_later_question() -> None:
    tokens = ["", "t"]
    transport = Listing({1: 101, 2: 102, 3: 103})
    async with AsyncDesk("https://desk.example", token=lambda: tokens.pop(0), transport=transport) as desk:
        with pytest.raises(ConfigurationError):
            await desk.conversations.convert(1, verify_first=True)
        tokens += ["t"] * 9
        for view in (desk, desk.with_options(timeout=9)):
            assert (await view.conversations.convert(2, verify_first=True)).ticket_id == 102


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_call_that_waits_behind_a_hanging_listing_does_not_wait_for_the_rate_limit() -> None:
    transport = Listing({})
    transport.hold()
    async with a_desk(transport) as desk, anyio.create_task_group() as calls:

        async def lead() -> None:
            await desk.conversations.convert(1, verify_first=True)

        calls.start_soon(lead)
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(DeadlineExceeded) as caught:
            await desk.with_options(deadline=0.1).conversations.convert(2, verify_first=True)
        assert caught.value.retry_after is None
        calls.cancel_scope.cancel()


async def test_a_long_listing_is_read_once_for_all_who_ask() -> None:
    reads = 0

    class Entry(dict[str, Any]):
        def __getitem__(self, name: str) -> Any:
            nonlocal reads
            reads += 1
            return super().__getitem__(name)

    listed = [Entry(id=1000 + number, ticket_id=None) for number in range(500)]
    payload = {"conversations": [*listed, {"id": 7, "ticket_id": 107}, {"id": 8}, None]}
    found = _decode_strictly(set(range(1, 101)), payload, ignore)
    assert {number: conversation.ticket_id for number, conversation in found.items()} == {7: 107}
    assert reads <= 2 * len(listed)


async def test_a_refused_list_of_ids_says_nothing_about_a_call_whose_own_lookup_fails_afterwards() -> None:
    transport = Listing({number: 100 + number for number in range(1, 11)})
    transport.refuses_in, transport.loses_alone = True, {1}
    async with a_desk(transport, retry=RetryPolicy(max_attempts=1)) as desk:
        outcomes = await look_up(desk, 1, 2, 3, transport=transport)
    assert isinstance(outcomes[1], TransportError)
    assert (outcomes[2], outcomes[3]) == (102, 103)


async def test_calls_that_wait_while_the_server_refuses_a_list_of_ids_go_alone() -> None:
    transport = Listing({number: 100 + number for number in range(1, 251)})
    transport.refuses_in = True
    async with a_desk(transport) as desk:
        outcomes = await look_up(desk, *range(1, 251), transport=transport)
    assert outcomes == {number: 100 + number for number in range(1, 251)}
    assert [len(ids) for ids in transport.requested if len(ids) > 1] == [100]


async def test_a_rejected_token_is_not_taken_for_a_rejected_filter() -> None:
    transport = Listing({})
    transport.refuses_in, transport.refusal = True, 401
    async with a_desk(transport) as desk:
        outcomes = await look_up(desk, 1, 2, 3, transport=transport)
    assert {type(error) for error in outcomes.values()} == {AuthenticationError}
    assert len(transport.requested) == 2


async def test_a_listing_that_fails_fails_for_all_who_share_it() -> None:
    transport = Listing({})
    transport.status = 403
    async with a_desk(transport) as desk:

        async def convert(number: int) -> None:
            with pytest.raises(PermissionDeniedError) as caught:
                await desk.conversations.convert(number, verify_first=True)
            assert (caught.value.conversation_id, caught.value.maybe_applied) == (number, False)

        async with anyio.create_task_group() as calls:
            transport.hold()
            for number in range(1, 6):
                calls.start_soon(convert, number)
            await anyio.wait_all_tasks_blocked()
            transport.open.set()
    assert len(transport.requested) <= 2


async def test_an_entry_that_cannot_be_read_fails_only_for_its_own_call() -> None:
    transport = Listing({1: 101, 2: "x"})  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType]
    async with a_desk(transport) as desk:
        outcomes = await look_up(desk, 1, 2, transport=transport)
    assert outcomes[1] == 101
    assert isinstance(outcomes[2], ResponseDecodeError)


async def test_the_next_call_sends_the_listing_if_the_first_one_is_cancelled() -> None:
    transport = Listing({1: 101, 2: 102})
    found = list[int | None]()
    async with a_desk(transport) as desk, anyio.create_task_group() as calls:

        async def convert(number: int, scope: anyio.CancelScope) -> None:
            with scope:
                found.append((await desk.conversations.convert(number, verify_first=True)).ticket_id)

        first = anyio.CancelScope()
        transport.hold()
        calls.start_soon(convert, 1, first)
        await anyio.wait_all_tasks_blocked()
        calls.start_soon(convert, 2, anyio.CancelScope())
        await anyio.wait_all_tasks_blocked()
        first.cancel()
        await anyio.wait_all_tasks_blocked()
        transport.open.set()
    assert found == [102]
    assert transport.requested == [[1], [2]]


async def test_the_next_call_sends_the_listing_if_the_deadline_of_the_first_one_passes() -> None:
    transport = Listing({1: 101, 2: 102})
    async with a_desk(transport) as desk, anyio.create_task_group() as calls:
        hurried = desk.with_options(deadline=0.05)

        async def expect_no_time() -> None:
            with pytest.raises(DeskError):
                await hurried.conversations.convert(1, verify_first=True)
            transport.open.set()

        transport.hold()
        calls.start_soon(expect_no_time)
        await anyio.wait_all_tasks_blocked()
        conversation = await desk.conversations.convert(2, verify_first=True)
        assert conversation.ticket_id == 102


async def test_one_hundred_lost_responses_need_a_dozen_lookups_at_most() -> None:
    fake = FakeDesk(conversations=range(1, 101))
    fake.lose_answer("after", times=100, method="POST")
    async with a_desk(fake.transport) as desk, anyio.create_task_group() as calls:
        for number in range(1, 101):
            calls.start_soon(desk.conversations.convert, number)
    assert len(fake.tickets) == 100
    assert sum(request.method == "GET" for request in fake.requests) <= 12


# Any order of events

CALLS = st.lists(
    st.tuples(
        st.floats(0, 5),  # when the call begins
        st.integers(1, 12),  # its conversation
        st.none() | st.floats(0, 3),  # the seconds after which it is cancelled
    ),
    min_size=1,
    max_size=40,
)


class World(httpx.AsyncBaseTransport):
    """Conversations that get their tickets at some time, behind a slow and faulty network."""

    def __init__(self, appears_at: dict[int, float], seed: int, *, knows_in: bool) -> None:
        self.appears_at = appears_at
        self.listings = 0
        self._random = random.Random(seed)
        self._knows_in = knows_in

    def has_ticket(self, number: int) -> bool:
        return anyio.current_time() >= self.appears_at[number]

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.listings += 1
        await anyio.sleep(self._random.uniform(0, 1))
        condition: dict[str, Any] = json.loads(request.url.params["filter"])["id"]
        ids: list[int] = condition.get("$in") or [condition["$eq"]]
        if len(ids) > 1 and not self._knows_in:
            return httpx.Response(400, json={"errors": {"filter": ["cannot be understood"]}})
        shown = [{"id": number, "ticket_id": number if self.has_ticket(number) else None} for number in ids]
        await anyio.sleep(self._random.uniform(0, 1))
        match self._random.randrange(8):
            case 0:
                raise httpx.ReadError("lost")
            case 1:
                return httpx.Response(500)
            case _:
                return httpx.Response(200, json={"conversations": shown})


@settings(max_examples=60)
@given(
    calls=CALLS,
    appears=st.lists(st.floats(0, 10), min_size=12, max_size=12),
    seed=st.integers(0, 2**16),
    knows_in=st.booleans(),
)
def test_every_call_gets_the_truth_of_a_listing_that_began_after_it_asked(
    calls: list[tuple[float, int, float | None]], appears: list[float], seed: int, *, knows_in: bool
) -> None:
    async def main() -> None:
        world = World(dict(enumerate(appears, 1)), seed, knows_in=knows_in)
        lookups = 0
        async with a_desk(world, deadline=600, retry=RetryPolicy(max_attempts=3, backoff_base=0.1)) as desk:

            async def look(begins: float, number: int, patience: float | None) -> None:
                nonlocal lookups
                await anyio.sleep(begins)
                had_ticket = world.has_ticket(number)
                with anyio.move_on_after(patience):
                    try:
                        found = await find(desk, number)
                    except DeskError:
                        return  # The listing failed more often than it is retried.
                    finally:
                        lookups += 1
                    # A ticket that existed before the call is found, and a ticket that is found exists.
                    assert found or not had_ticket
                    assert not found or world.has_ticket(number)

            with anyio.fail_after(10_000):
                async with anyio.create_task_group() as tasks:
                    for call in calls:
                        tasks.start_soon(look, *call)
        assert lookups == len(calls)
        assert world.listings <= 7 * len(calls)

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(main())


LISTING_TAKES = 1.0471976


class SteadyListing(httpx.AsyncBaseTransport):
    """A Desk whose listings always take the same time. It records what each listing asks for, and when."""

    def __init__(self) -> None:
        self.listings: list[tuple[float, list[int]]] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        condition: dict[str, Any] = json.loads(request.url.params["filter"])["id"]
        ids: list[int] = condition.get("$in") or [condition["$eq"]]
        self.listings.append((anyio.current_time(), ids))
        await anyio.sleep(LISTING_TAKES)
        return httpx.Response(200, json={"conversations": [{"id": number, "ticket_id": None} for number in ids]})


@settings(max_examples=60)
@given(st.lists(st.integers(0, 60), min_size=1, max_size=40, unique=True))
def test_each_listing_asks_for_all_that_was_asked_since_the_last_one_began(tenths: list[int]) -> None:
    begins = {number: tenth / 10 for number, tenth in enumerate(sorted(tenths), 1)}

    def expected() -> list[tuple[float, list[int]]]:
        listings: list[tuple[float, list[int]]] = []
        waiting, free_at = list(begins), 0.0
        while waiting:
            start = max(free_at, begins[waiting[0]])
            asked = [number for number in waiting if begins[number] <= start]
            listings.append((start, asked))
            waiting, free_at = waiting[len(asked) :], start + LISTING_TAKES
        return listings

    async def main() -> None:
        transport = SteadyListing()

        async def look(number: int) -> None:
            await anyio.sleep(begins[number])
            assert not await find(desk, number)

        async with a_desk(transport) as desk, anyio.create_task_group() as tasks:
            for number in begins:
                tasks.start_soon(look, number)
        assert [ids for _, ids in transport.listings] == [ids for _, ids in expected()]
        assert [time for time, _ in transport.listings] == pytest.approx([time for time, _ in expected()])

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(main())


async def find(desk: AsyncDesk, number: int) -> bool:
    """Return whether the client finds a ticket of a conversation, without converting it."""
    # The memory is private, and this is the test of its lookup.
    memory, session, options = desk._memory, desk._session, desk._options  # pyright: ignore[reportPrivateUsage]
    with Call(session, options, "look", subject=number) as call:
        return await memory.lookup.find_converted(call, number) is not None
