"""Thousands of conversions with seeded random faults, checked against the server's own records.

`python tests/campaign.py [--seconds 120] [--seed N] [--transport httpx|aiohttp] [--limiter NAME]` runs campaigns until
the time is up, the first with a fresh seed, and prints the ledger of each.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, get_args
from unittest.mock import patch

import anyio
import httpx
from attrs import define, evolve, field
from fault_server import Answer, Fault, FaultServer, Listing, Plan, Work

from teamwork_desk import AsyncDesk, Conversation, DeskError, OutcomeUnknownError, ResponseDecodeError, RetryPolicy
from teamwork_desk.testing._limiter import LIMITERS, LimiterName

POLICY = RetryPolicy(backoff_base=0.001, settle=(0.001, 0.002, 0.003))
READ_TIMEOUT = 1.0
"""Seconds, for a conversion that never gets a response. Every other response may take long on a busy machine."""
CONVERSATIONS_PER_CLIENT = 500
LIMIT = 100
"""Requests a second that the server accepts, if it has a limit. A real limit is per minute, which takes too long."""
PERIOD = "teamwork_desk._pacing.PERIOD"

ENDED: tuple[Answer, ...] = ("reset", "close", "half a status line", "not HTTP")
UNREADABLE: tuple[Answer, ...] = ("half a body", "reset within the body", "HTML", "no id", "broken gzip", "empty")
WITHOUT_TICKET: tuple[Answer, ...] = ("ticket null", "ticket 0", "ticket missing")
DONE_IN_TIME: tuple[Work, ...] = ("before the response", "at the second lookup")
LIARS: tuple[Listing, ...] = tuple(get_args(Listing))[3:]
REFUSED, DOUBTFUL, RUNNING = (425, 429), (301, 302, 303, 307, 308, 499), (504, 524)


def draw_fault(draw: random.Random) -> Fault:
    """Draw what goes wrong with a convert request."""
    work: Work = draw.choice(("never", *DONE_IN_TIME))
    # A refusal is looked up only once.
    soon: Work = draw.choice(("never", "before the response"))
    match draw.randrange(9):
        case 0:
            return Fault(answer=draw.choice(ENDED), work=work)
        case 1:
            maintenance = draw.choice(((), ("Retry-After: 0", "Content-Type: text/html")))
            status = draw.choice((408, 500, 502, 503, 520, 599, 999))
            return Fault(answer="status", status=status, headers=maintenance, work=work)
        case 2:
            answer = draw.choice(("slow", "after interim responses", *UNREADABLE))
            return Fault(answer=answer, work="before the response")
        case 3:
            return Fault(answer="status", status=draw.choice(REFUSED), headers=("Retry-After: 0",), work=soon)
        case 4:
            return Fault(answer="reset without reading", work="never")
        case 5 if draw.random() < 0.3:
            late = draw.choice((work, "after the client gave up"))
            return Fault(answer="status", status=draw.choice(RUNNING), work=late)
        case 6 if draw.random() < 0.3:
            return Fault(answer="status", status=draw.choice(DOUBTFUL), headers=("Location: /sorry",), work=work)
        case 7 if draw.random() < 0.3:
            return Fault(answer=draw.choice(WITHOUT_TICKET), work=work)
        case _:
            if draw.random() < 0.8:
                return Fault(answer="ok", work="before the response")
            status = draw.choice((400, 401, 403, 404, 409, 418, 422, 501))
            return Fault(answer="status", status=status, work="never")


def draw_plan(draw: random.Random, *, can_look_up: bool = False) -> Plan:
    """Draw the faults of a conversation, and no more of them in a row than the policy has retries.

    Args:
        draw: The source of chance.
        can_look_up: Whether every lookup must succeed in the end.
    """
    listing = draw.choices(("reliable", "flaky", "forbidden", draw.choice(LIARS)), (8, 1, 1, 1))[0]
    if can_look_up and listing not in ("reliable", "flaky"):
        listing = "reliable"
    if draw.random() < 0.02:
        # The only plan that needs a short timeout, which a slow machine may take for any other fault.
        work: Work = draw.choice(("never", *DONE_IN_TIME, "after the client gave up"))
        return Plan(faults=(Fault(answer="hang", work=work),), listing=listing)
    faults = tuple(draw_fault(draw) for _ in range(draw.randrange(POLICY.max_attempts)))
    is_refused = any(fault.status in REFUSED for fault in faults)
    return Plan(faults=faults, lagging_lookups=0 if is_refused else draw.choice((0, 0, 1, 2)), listing=listing)


def expected_outcome(plan: Plan, *, verify_first: bool) -> str:
    """Derive from the plan alone what the client must report."""
    can_look_up = plan.listing in ("reliable", "flaky")
    if verify_first and not can_look_up:
        return "nothing was sent"
    for fault in plan.faults:
        status = fault.status if fault.answer == "status" else None
        is_found = can_look_up and fault.work in DONE_IN_TIME
        if fault.answer in ("ok", "slow", "after interim responses"):
            return "converted"
        # The conversation was converted, and only a lookup can show the ticket.
        if fault.answer in UNREADABLE:
            return "converted" if is_found else "unreadable"
        # The request may still be running, or has succeeded, so that the call looks it up but never retries.
        if fault.answer in ("hang", *WITHOUT_TICKET) or status in RUNNING:
            return "converted" if is_found else "unknown"
        if fault.answer == "reset without reading":
            if not can_look_up:
                return "depends"  # on whether the client had sent the body when the reset came
        # The request has ended, so that the call retries if a lookup shows no ticket. A refusal is looked up, too.
        elif fault.answer in ENDED or status in REFUSED or (status and is_ended(status)):
            if not can_look_up:
                return "unknown"
            if is_found:
                return "converted"
        elif status in DOUBTFUL:
            return "unknown" if not can_look_up else "converted" if is_found else f"refused {status}"
        else:
            return f"refused {status}"
    return "converted"


def is_ended(status: int) -> bool:
    """Return whether a status means that the attempt has ended, but not whether it converted anything."""
    return status == 408 or (status >= 500 and status != 501)


def reported_outcome(result: Conversation | DeskError) -> str:
    """Return what the client reported, in the words of `expected_outcome`."""
    match result:
        case Conversation():
            return "converted"
        case DeskError(attempts=0):
            return "nothing was sent"
        case OutcomeUnknownError():
            return "unknown"
        case ResponseDecodeError():
            return "unreadable"
        case _:
            return f"refused {getattr(result, 'status_code', type(result).__name__)}"


@define
class Ledger:
    """The result of a campaign.

    Attributes:
        refused: How many requests the rate limit refused.
        outcomes: How often the client reported each outcome.
        faults: How often each fault occurred.
        twice: The conversations that were converted more than once.
        misreported: The conversations whose reported outcome contradicts the server's records.
        untyped: The conversations whose call raised an exception of another package.
        lost: The conversations whose outcome is not the expected one.
    """

    refused: int = 0
    outcomes: Counter[str] = field(factory=Counter[str])
    faults: Counter[str] = field(factory=Counter[str])
    twice: list[str] = field(factory=list[str])
    misreported: list[str] = field(factory=list[str])
    untyped: list[str] = field(factory=list[str])
    lost: list[str] = field(factory=list[str])

    @property
    def failures(self) -> list[str]:
        """The descriptions of all broken promises."""
        return [*self.twice, *self.misreported, *self.untyped, *self.lost]

    def record(
        self, conversation_id: int, plan: Plan, result: object, tickets: list[int], *, verify_first: bool
    ) -> None:
        """Compare what the client reported with the server's records."""
        story = f"{conversation_id}: {[str(fault) for fault in plan.faults]}, {plan.listing} -> {result!r}, {tickets}"
        self.faults.update(str(fault) for fault in plan.faults)
        if len(tickets) > 1:
            self.twice.append(story)
        if not isinstance(result, (Conversation, DeskError)):
            self.untyped.append(story)
            return
        reported, expected = reported_outcome(result), expected_outcome(plan, verify_first=verify_first)
        self.outcomes[reported] += 1
        honest = (
            result.ticket_id in tickets if isinstance(result, Conversation) else result.maybe_applied or not tickets
        )
        if not honest or (
            isinstance(result, DeskError) and result.maybe_applied != (reported in ("unknown", "unreadable"))
        ):
            self.misreported.append(story)
        if expected not in (reported, "depends"):
            self.lost.append(f"expected {expected}, {story}")

    def __str__(self) -> str:
        outcomes = ", ".join(f"{count} {outcome}" for outcome, count in self.outcomes.most_common())
        return (
            f"{self.outcomes.total()} conversions, {self.refused} times refused by the limit, "
            f"{self.faults.total()} faults of {len(self.faults)} kinds: "
            f"{outcomes}; converted twice {len(self.twice)}, misreported {len(self.misreported)},"
            f" untyped exceptions {len(self.untyped)}, unexpected outcomes {len(self.lost)}"
        )


def is_safe(conversation_id: int) -> bool:
    """Return whether a conversation is looked up first: every second one."""
    return conversation_id % 2 == 0


async def lose_patience(request: httpx.Request) -> None:
    """Wait only a moment for the response to a conversion, and longer for those to the lookups that follow."""
    if request.method == "POST":
        request.extensions["timeout"]["read"] = READ_TIMEOUT


async def run(
    *,
    seed: int,
    conversions: int,
    concurrency: int = 32,
    transport: Callable[[], httpx.AsyncBaseTransport] | None = None,
    limiter: LimiterName | None = None,
) -> Ledger:
    """Convert this many conversations, with faults that are drawn from the seed.

    Args:
        seed: The seed of the faults.
        conversions: How many conversations.
        concurrency: How many at the same time.
        transport: Makes the client's transport.
        limiter: How the server limits requests, to `LIMIT` a second; None for no limit.
    """
    draw = random.Random(seed)
    plans = {number: draw_plan(draw, can_look_up=limiter is not None) for number in range(1, conversions + 1)}
    results: dict[int, object] = {}
    limit = LIMITERS[limiter](LIMIT, 1) if limiter else None
    # Refused requests are sent again, so that they need more attempts.
    policy = evolve(POLICY, max_attempts=20) if limiter else POLICY
    # With a limit, the lookups are gathered. Without one, each is planned for itself.
    with FaultServer(plans, limiter=limit, knows_in=limit is not None) as server, patch(PERIOD, 1.0):

        def open_desk(**options: Any) -> AsyncDesk:
            own = transport() if transport else None
            return AsyncDesk(server.url, token="t", retry=policy, timeout=60, transport=own, **options)

        async def convert_each(desk: AsyncDesk, impatient: AsyncDesk, numbers: Iterator[int]) -> None:
            for number in numbers:
                hangs = any(fault.answer == "hang" for fault in plans[number].faults)
                try:
                    results[number] = await (impatient if hangs else desk).conversations.convert(
                        number, subject="s", customer="jo@example.com", verify_first=is_safe(number)
                    )
                except Exception as error:  # the ledger reports exceptions that are not ours
                    results[number] = error

        for first in range(1, conversions + 1, CONVERSATIONS_PER_CLIENT):
            numbers = iter(range(first, min(first + CONVERSATIONS_PER_CLIENT, conversions + 1)))
            async with (
                open_desk() as desk,
                open_desk(event_hooks={"request": [lose_patience]}) as impatient,
                anyio.create_task_group() as workers,
            ):
                for _ in range(concurrency):
                    workers.start_soon(convert_each, desk, impatient, numbers)
        server.finish_late_work()
        ledger = Ledger(refused=server.refused)
        for number, plan in plans.items():
            ledger.record(number, plan, results[number], server.tickets[number], verify_first=is_safe(number))
        return ledger


def main() -> None:
    """Run campaigns until the time is up; exit with status 1 after the first campaign that breaks a promise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 10**9)
    parser.add_argument("--transport", choices=("httpx", "aiohttp"), default="httpx")
    parser.add_argument("--limiter", choices=LIMITERS)
    options = parser.parse_args()
    transport: Callable[[], httpx.AsyncBaseTransport] | None = None
    if options.transport == "aiohttp":
        from httpx_aiohttp import AiohttpTransport  # noqa: PLC0415

        transport = AiohttpTransport
    end = time.monotonic() + options.seconds
    for seed in range(options.seed, options.seed + 10**6):
        ledger = asyncio.run(run(seed=seed, conversions=1000, transport=transport, limiter=options.limiter))
        print(f"seed {seed}: {ledger}")
        if ledger.failures:
            raise SystemExit("\n".join(ledger.failures[:20]))
        if time.monotonic() > end:
            return


if __name__ == "__main__":
    main()
