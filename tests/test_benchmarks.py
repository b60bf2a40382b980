"""The benchmarks compare equal work."""

from __future__ import annotations

import importlib
import json
import re
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

pytestmark = pytest.mark.project

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def cases() -> Any:
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        return importlib.import_module("cases")
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_the_sdk_and_bare_httpx_send_the_same_requests(cases: Any) -> None:
    sent: dict[str, list[tuple[str, bytes]]] = {}
    for name in ("raw", "sdk"):

        def respond(request: httpx.Request, name: str = name) -> httpx.Response:
            assert request.headers["authorization"] == "Bearer t"
            sent.setdefault(name, []).append((str(request.url), request.content))
            return httpx.Response(200, json={"id": int(request.url.path.split("/")[5]), "ticket_id": 7})

        async with cases.CASES[name]("http://127.0.0.1:1", httpx.MockTransport(respond)) as call:
            assert await cases.run(call, 3, 10) > 0
    assert len(sent["raw"]) == 10
    assert sent["raw"] == sent["sdk"]
    assert cases.size(cases.BODY) == len(sent["raw"][0][1])


def test_the_full_request_has_every_field_of_the_contract(cases: Any) -> None:
    schemas = yaml.safe_load((ROOT / "openapi" / "desk.yaml").read_text("utf-8"))["components"]["schemas"]

    assert cases.FULL.keys() == schemas["ConvertConversation"]["properties"].keys()
    assert json.loads(json.dumps(cases.FULL)) == cases.FULL


# The goals for the rate window, with the first seed of each case: 600 jobs are exactly five windows, so that a job that
# narrowly misses its window with another seed adds a fourth to the time.

sys.path.insert(0, str(ROOT / "benchmarks"))
pace: Any = importlib.import_module("pace")
sys.path.remove(str(ROOT / "benchmarks"))
ROWS: list[Any] = pace.rows()
SLOW = re.compile(r"880, .* no `\$in`")
"""The cases that take longest; one with fewer conversations is like them."""
QUICK = re.compile(r"880 conversations, looked up first, 32|580, limiter sliding log|lookups")
"""The cases that `make test` runs. The others are campaigns."""
RUNS: dict[Any, Any] = {}


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(row, id=row.name, marks=[] if QUICK.match(row.name) else [pytest.mark.campaign])
        for row in ROWS
        if not SLOW.match(row.name)
    ],
)
def test_the_rate_window_is_used_as_the_goals_demand(row: Any) -> None:
    if row.case not in RUNS:
        RUNS[row.case] = pace.run(row.case, seed=pace.SEEDS[0])
    assert row.is_met(RUNS[row.case]), RUNS[row.case]


def test_the_results_are_those_of_the_measured_cases() -> None:
    results = (ROOT / "benchmarks" / "results.md").read_text("utf-8")
    section = results.partition(f"{pace.HEADING}\n")[2].partition("\n## ")[0]
    names = [line.split(" | ")[0].removeprefix("| ") for line in section.splitlines() if line.startswith("| ")]
    assert names == ["what", "---", *(row.name for row in ROWS)]
    assert results.index(pace.HEADING) < results.index("## CPU per call")
