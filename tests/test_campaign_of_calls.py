"""Many callers for a few conversations: they make one ticket each at most, whatever happens to the calls.

The callers use several views of one client. Some give up, some have short deadlines, some responses are lost, and some
work is done late. The time is virtual, so that a machine that is slow changes nothing.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from typing import Any

import anyio
import httpx
import pytest
from attrs import define, field, frozen
from trio.testing import MockClock

from teamwork_desk import AsyncDesk, ConvertedConversation, DeskError, RetryPolicy
from teamwork_desk.testing import FakeDesk, VirtualTimeLoop
from teamwork_desk.testing._faults import Fault

pytestmark = pytest.mark.campaign

CAMPAIGNS = 12
CONVERSATIONS = 20
CALLERS = 400
LASTED: tuple[Fault, ...] = (
    "answer lost while the work goes on",
    "timeout while the work goes on",
    "gateway timeout while the work goes on",
)
FAULTS: tuple[Fault, ...] = (
    *LASTED,
    "answer lost before the work",
    "answer lost after the work",
    "server error before the work",
    "server error after the work",
    "timeout before the work",
    "timeout after the work",
    "gateway timeout before the work",
    "gateway timeout after the work",
    "unreadable answer",
    "answer cut off",
    "maintenance",
    "connection refused",
)
LIES = (303, 408, 425, 429, 499, 503)
SETTLE = ((0.5, 1.0, 2.0), (3.0,), (1.0, 1.0, 1.0))
LONGEST_WORK = 2.0
"""Seconds that the server works on after a response was lost: less than the settling time of every view."""


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    if request.param == "trio":
        return "trio", {"clock": MockClock(autojump_threshold=0)}
    return "asyncio", {"loop_factory": VirtualTimeLoop}


class Network(httpx.AsyncBaseTransport):
    """Delays requests and responses, lets faults happen, and replaces the responses to some work that was done.

    Attributes:
        refused: The calls that got the response of a refusal although the work was done.
    """

    def __init__(self, fake: FakeDesk, draw: random.Random) -> None:
        self._fake = fake
        self._draw = draw
        self.refused: set[str] = set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        draw = self._draw
        await anyio.sleep(draw.uniform(0, 0.3))
        is_convert = request.method == "POST"
        if draw.random() < (0.4 if is_convert else 0.05):
            fault = draw.choice(
                FAULTS if is_convert else ("server error before the work", "answer lost after the work")
            )
            self._fake.inject(fault, lasts=draw.uniform(0, LONGEST_WORK), method=request.method)
        response = await self._fake.transport.handle_async_request(request)
        await response.aread()
        await anyio.sleep(draw.uniform(0, 0.3))
        if is_convert and response.status_code == 200 and draw.random() < 0.2:
            status = draw.choice(LIES)
            if status in (425, 429):
                self.refused.add(json.loads(request.content)["subject"])
            return httpx.Response(status, headers={"Retry-After": "1"} if status in (429, 503) else {})
        return response


@frozen
class Caller:
    """One call.

    Attributes:
        name: Goes into the ticket as its subject.
        conversation_id: The conversation.
        is_plain: Whether it sends at once, without a lookup.
    """

    name: str
    conversation_id: int
    is_plain: bool


@define
class Books:
    """What the callers got."""

    results: dict[str, ConvertedConversation | DeskError | None] = field(
        factory=dict[str, "ConvertedConversation | DeskError | None"]
    )

    async def call(self, views: list[AsyncDesk], caller: Caller, draw: random.Random) -> None:
        await anyio.sleep(draw.uniform(0, 60))
        desk = draw.choice(views)
        if draw.random() < 0.2:
            desk = desk.with_options(deadline=draw.uniform(0.1, 10))
        self.results[caller.name] = None
        with anyio.move_on_after(draw.uniform(0, 4) if draw.random() < 0.3 else None):
            try:
                self.results[caller.name] = await desk.conversations.convert(
                    caller.conversation_id, subject=caller.name, verify_first=False if caller.is_plain else None
                )
            except DeskError as error:
                self.results[caller.name] = error


async def campaign(seed: int) -> None:
    """Run one campaign, and compare what the callers got with FakeDesk's books."""
    draw = random.Random(seed)
    fake = FakeDesk(conversations=range(1, CONVERSATIONS + 1), rate_limit=100_000)
    # Only the callers of every second conversation may send at once.
    callers = [
        Caller(f"call {number}", conversation_id, conversation_id % 2 == 1 and draw.random() < 0.3)
        for number, conversation_id in enumerate(draw.choices(range(1, CONVERSATIONS + 1), k=CALLERS))
    ]
    books, network = Books(), Network(fake, draw)
    async with AsyncDesk("https://acme.teamwork.com", token="any", transport=network) as desk:
        views = [desk, *(desk.with_options(retry=RetryPolicy(settle=settle)) for settle in SETTLE)]
        async with anyio.create_task_group() as calls:
            for caller in callers:
                calls.start_soon(books.call, views, caller, random.Random(draw.random()))
    await anyio.sleep(LONGEST_WORK)
    tickets: defaultdict[int, list[Any]] = defaultdict(list)
    for ticket in fake.tickets:
        tickets[ticket.conversation_id].append(ticket)
    by_name = {caller.name: caller for caller in callers}
    for conversation_id, made in tickets.items():
        makers = [by_name[ticket.body["subject"]] for ticket in made]
        story = f"seed {seed}, conversation {conversation_id}, tickets of {makers}"
        # A safe caller makes a ticket only if there is none, and no caller makes two.
        assert all(maker.is_plain for maker in makers[1:]), story
        assert len(set(makers)) == len(makers), story
        ids = [ticket.id for ticket in made]
        for caller in callers:
            if caller.conversation_id != conversation_id:
                continue
            result = books.results[caller.name]
            about_call = f"{story}: {caller} got {result!r}"
            if isinstance(result, ConvertedConversation):
                assert result.ticket_id in ids, about_call
                # A plain caller does not know whether a ticket that it finds after a lost response was there before.
                assert not result.created or caller in makers or caller.is_plain, about_call
            elif isinstance(result, DeskError):
                # A call that ends right after a refusal believes it. The next call looks before it sends.
                assert result.maybe_applied or caller not in makers or caller.name in network.refused, about_call


@pytest.mark.parametrize("number", range(CAMPAIGNS))
async def test_many_callers_make_one_ticket_for_each_conversation(number: int) -> None:
    # pytest-randomly seeds the generator, so `--randomly-seed=...` repeats a failure.
    await campaign(random.randrange(10**9))
