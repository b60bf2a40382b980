"""Measure requests per conversion and conversions per rate window, in virtual time.

`make pace` updates results.md and the picture of a backlog on the site.

Every case is a backlog or a crowd against FakeDesk, behind a network that takes 0.05 to 0.15 s in each direction. Time
is virtual, so that a case of nine minutes takes seconds, and the numbers do not depend on the machine.
"""

from __future__ import annotations

import asyncio
import logging
import random
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeAlias

import anyio
import httpx
import picture
from attrs import evolve, frozen

from teamwork_desk import AsyncDesk, DeskError
from teamwork_desk.backlog import Job
from teamwork_desk.testing import FakeDesk, VirtualTimeLoop
from teamwork_desk.testing._limiter import LimiterName

RESULTS = Path(__file__).parent / "results.md"
HEADING = "## Conversions per rate window"
LIMIT, PERIOD = 120, 60
TOKEN = "any"  # noqa: S105 - FakeDesk accepts any token
SEEDS = (1, 2, 3)
LIMITERS: tuple[LimiterName, ...] = ("sliding log", "window", "seconds left", "silent")


class Network(httpx.AsyncBaseTransport):
    """Takes time in both directions, and may refuse filters with `$in`."""

    def __init__(self, desk: FakeDesk, seed: int, *, knows_in: bool = True) -> None:
        self._desk = desk
        self._random = random.Random(seed)
        self._knows_in = knows_in

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Carry a request to the fake Desk, and its response back."""
        await anyio.sleep(self._random.uniform(0.05, 0.15))
        if not self._knows_in and "%24in" in str(request.url):
            self._desk.fail(status=400, body={"errors": {"filter": ["cannot be understood"]}})
        response = await self._desk.transport.handle_async_request(request)
        await anyio.sleep(self._random.uniform(0.05, 0.15))
        return response


@frozen(kw_only=True)
class Run:
    """What one run of a case needed."""

    seconds: float
    requests: int
    refused: int
    converted: int
    failed: int
    ended: tuple[float, ...] = ()
    """When each job of a backlog ended, in seconds since the beginning."""


Case: TypeAlias = Callable[[int], Coroutine[Any, Any, Run]]


def _clock() -> float:
    """Return the virtual time since a whole second, because headers are rounded: each run has the same figures."""
    return 1_800_000_000.0 + anyio.current_time()


async def _measure(desk: FakeDesk, work: Callable[[], Coroutine[Any, Any, int]]) -> Run:
    began = anyio.current_time()
    failed = await work()
    statuses = [request.status for request in desk.requests]
    return Run(
        seconds=anyio.current_time() - began,
        requests=len(statuses),
        refused=statuses.count(429),
        converted=len(desk.tickets),
        failed=failed,
    )


def backlog(
    jobs: int,
    callers: int,
    limiter: LimiterName = "sliding log",
    *,
    clients: int = 1,
    safe: bool,
    knows_in: bool = True,
) -> Case:
    """Convert a backlog, which all clients of the account share."""

    async def run(seed: int) -> Run:
        fake = FakeDesk(conversations=range(1, jobs + 1), limiter=limiter, clock=_clock)
        failures: list[DeskError] = []
        ended: list[float] = []
        began = anyio.current_time()

        async def work_off(part: int) -> None:
            transport = Network(fake, seed * 100 + part, knows_in=knows_in)
            async with AsyncDesk("https://desk.example", token=TOKEN, transport=transport) as desk:
                numbers = range(1 + part, jobs + 1, clients)
                todo: list[Job] = [{"conversation_id": number, "verify_first": safe} for number in numbers]
                async for outcome in desk.conversations.convert_many(todo, concurrency=callers):
                    failures.extend([outcome.error] if outcome.error else [])
                    ended.append(anyio.current_time() - began)

        async def work() -> int:
            async with anyio.create_task_group() as tasks:
                for part in range(clients):
                    tasks.start_soon(work_off, part)
            return len(failures)

        return evolve(await _measure(fake, work), ended=tuple(ended))

    return run


def crowd(callers: int) -> Case:
    """Let many callers convert a conversation each, all at once and with a deadline of two minutes."""

    async def run(seed: int) -> Run:
        fake = FakeDesk(conversations=range(1, callers + 1), clock=_clock)
        failures: list[DeskError] = []

        async def work() -> int:
            transport = Network(fake, seed)
            async with AsyncDesk("https://desk.example", token=TOKEN, transport=transport) as desk:

                async def convert(number: int) -> None:
                    try:
                        await desk.conversations.convert(number)
                    except DeskError as error:
                        failures.append(error)

                async with anyio.create_task_group() as tasks:
                    for number in range(1, callers + 1):
                        tasks.start_soon(convert, number)
            return len(failures)

        return await _measure(fake, work)

    return run


def lost_responses(conversions: int) -> Case:
    """Lose the responses of many conversions at once, after Desk has carried them out."""

    async def run(seed: int) -> Run:
        fake = FakeDesk(conversations=range(1, conversions + 1), rate_limit=10 * conversions, clock=_clock)
        fake.lose_answer("after", times=conversions, method="POST")

        async def work() -> int:
            desk = AsyncDesk("https://desk.example", token=TOKEN, transport=Network(fake, seed))
            async with desk, anyio.create_task_group() as tasks:
                for number in range(1, conversions + 1):
                    tasks.start_soon(desk.conversations.convert, number)
            return 0

        return await _measure(fake, work)

    return run


@frozen
class Row:
    """A row of the results.

    Attributes:
        name: The description of the case and the figure.
        case: How.
        figure: Which figure is reported.
        goal: The limit that the figure should meet, as text.
        is_met: Whether a run meets the goal.
    """

    name: str
    case: Case
    figure: Callable[[Run], float]
    goal: str
    is_met: Callable[[Run], bool]


def over_own_time(jobs: int) -> Callable[[Run], float]:
    """Return the time of a run over the time that the limit alone makes the conversions take."""
    own = (jobs - 1) // LIMIT * PERIOD
    return lambda run: run.seconds / own


def per_conversion(run: Run) -> float:
    """Return the requests per conversion."""
    return run.requests / max(1, run.converted)


def rows() -> list[Row]:
    """Return what is measured, with the goals."""
    rows: list[Row] = []
    # With 880 conversations, a few lookups do not need a further window.
    for callers, requests, seconds in ((8, 1.35, 1.35), (32, 1.1, 1.08), (200, 1.04, 1.05)):
        case, time = backlog(880, callers, safe=True), over_own_time(880)
        name = f"880 conversations, looked up first, {callers} callers"
        rows += [
            Row(
                f"{name}: requests per conversion",
                case,
                per_conversion,
                f"{requests}",
                _at_most(per_conversion, requests),
            ),
            Row(f"{name}: time over the limit's own", case, time, f"{seconds}", _at_most(time, seconds)),
        ]
    # Without `$in`, each conversion needs two requests. Of 590, the filter that is tried once needs no further window.
    for jobs, callers, goal in ((590, 16, 2.4), (880, 8, 2.4), (880, 32, 2.4), (880, 200, 2.6)):
        case, time = backlog(jobs, callers, safe=True, knows_in=False), over_own_time(jobs)
        name = f"{jobs}, looked up first, {callers} callers, no `$in`: time over the limit's own"
        rows.append(Row(name, case, time, f"{goal}", _at_most(time, goal)))
    rows += [
        Row(
            f"{callers} callers at once, a deadline of two minutes, 240 possible: converted",
            crowd(callers),
            _converted,
            "220",
            _converts_220,
        )
        for callers in (400, 1000)
    ]
    for limiter in LIMITERS:
        # A request that was refused is looked up before it is sent again. With 580, these need no further window.
        case, time = backlog(580, 8, limiter, safe=False), over_own_time(580)
        rows.append(Row(f"580, limiter {limiter}: time over the limit's own", case, time, "1.05", _at_most(time, 1.05)))
        for jobs, callers, refused in ((550, 8, 0.2), (550, 67, 0.3)):
            case = backlog(jobs, callers, limiter, clients=3, safe=False)
            time, name = over_own_time(jobs), f"{jobs}, limiter {limiter}, three clients of {callers} callers"
            rows += [
                Row(f"{name}: time over the limit's own", case, time, "1.1", _at_most(time, 1.1)),
                Row(f"{name}: part of the requests refused", case, _refused, f"{refused}", _at_most(_refused, refused)),
            ]
    rows.append(Row("lookups for 100 lost responses", lost_responses(100), _lookups, "12", _at_most(_lookups, 12)))
    return rows


def _at_most(figure: Callable[[Run], float], goal: float) -> Callable[[Run], bool]:
    return lambda run: figure(run) <= goal and not run.failed


def _converted(run: Run) -> float:
    return run.converted


def _converts_220(run: Run) -> bool:
    return run.converted >= 220


def _refused(run: Run) -> float:
    return run.refused / run.requests


def _lookups(run: Run) -> float:
    return run.requests - run.converted


def measure() -> tuple[list[str], bool]:
    """Run every case, and return the lines of the section and whether all goals are met."""
    logging.disable(logging.CRITICAL)
    lines = [
        *INTRODUCTION.splitlines(),
        "",
        "| what | measured | goal | failed | met |",
        "| --- | --- | --- | --- | --- |",
    ]
    runs: dict[Case, list[Run]] = {}
    is_all_met = True
    for row in rows():
        if row.case not in runs:
            runs[row.case] = [run(row.case, seed) for seed in SEEDS]
        figures = sorted(row.figure(each) for each in runs[row.case])
        failed = max(each.failed for each in runs[row.case])
        is_met = all(map(row.is_met, runs[row.case]))
        is_all_met = is_all_met and is_met
        shown = " to ".join(dict.fromkeys(f"{figure:.3g}" for figure in (figures[0], figures[-1])))
        lines.append(f"| {row.name} | {shown} | {row.goal} | {failed} | {'yes' if is_met else 'no'} |")
        print(lines[-1], file=sys.stderr, flush=True)
    return [*lines, ""], is_all_met


def run(case: Case, seed: int) -> Run:
    """Run a case in virtual time."""
    random.seed(seed)
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(case(seed))


def main() -> int:
    """Replace the section in results.md; return 1 if a goal is not met."""
    lines, is_all_met = measure()
    before, _, section = RESULTS.read_text("utf-8").partition(f"{HEADING}\n")
    _, _, after = section.partition("\n## ")
    RESULTS.write_text("\n".join([before + HEADING, "", *lines, f"## {after}"]), "utf-8")
    curves = {f"{callers} jobs at a time": run(backlog(880, callers, safe=True), SEEDS[0]).ended for callers in (32, 8)}
    picture.PICTURE.write_text(picture.draw(curves, limit=LIMIT, period=PERIOD), "utf-8")
    return 0 if is_all_met else 1


INTRODUCTION = f"""\
`make pace` measures this in virtual time, so that the figures do not depend on the machine. The limit is {LIMIT}
requests in {PERIOD} s, and a request takes 0.1 to 0.3 s. Each case ran with {len(SEEDS)} seeds, and the table shows the
smallest and the largest figure. The limit's own time for n conversions is (n - 1) // {LIMIT} minutes. In a crowd, the
calls beyond the possible ones fail at once, and nothing of them was sent."""
TABLE_HEADER = ("| what | measured | goal | failed | met |", "| --- | --- | --- | --- | --- |")

if __name__ == "__main__":
    sys.exit(main())
