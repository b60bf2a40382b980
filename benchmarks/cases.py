"""The measured cases. bench.py runs each in a fresh process, which prints its result as JSON.

Every case posts a body of the same size, reads the same response, and uses the default settings of its library.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import import_module
from itertools import count
from pathlib import Path
from statistics import median
from types import ModuleType
from typing import Any, cast

import httpx

Call = Callable[[], Awaitable[Any]]

FIRST_CONVERSATION = 10_000_000
"""Every call has its own conversation, because the SDK makes calls for one conversation one after the other."""
PATH = f"/desk/api/v2/conversations/{FIRST_CONVERSATION}/convert.json"
MESSAGE = "The customer asks for a refund. " * 4
BODY = {
    "customer": {"email": "jo@example.com"},
    "inbox": {"id": 7},
    "message": MESSAGE,
    "notifyCustomer": False,
    "subject": "Refund for order 1017",
    "tags": ["billing"],
}
ADDRESSES = ["one@example.com", "two@example.com"]
FULL = {
    **{
        key: {"id": 7} for key in ("agent", "inbox", "parent", "priority", "source", "status", "tickettemplate", "type")
    },
    "bcc": ADDRESSES,
    "cc": ADDRESSES,
    "customer": {"email": "jo@example.com"},
    "customfields": [{"id": 1}],
    "editMethod": "html",
    "email": "jo@example.com",
    "files": [{"id": 1}, {"id": 2}],
    "fromThreadId": 1,
    "fromTicketId": 2,
    "message": MESSAGE,
    "notifyCustomer": False,
    "scheduledEmail": {"sendAt": "tomorrow"},
    "sendFrom": "help@example.com",
    "subject": "Refund for order 1017",
    "tags": ["billing", {"id": 3}],
}


def hide_opentelemetry() -> None:
    """Hide OpenTelemetry from the SDK, because only the peers install it: `pip install teamwork-desk` does not."""
    sys.modules.setdefault("opentelemetry", cast("ModuleType", None))


@asynccontextmanager
async def raw(url: str, transport: httpx.AsyncBaseTransport | None = None) -> AsyncGenerator[Call]:
    """Bare httpx."""
    headers, numbers = {"Authorization": "Bearer t"}, count(FIRST_CONVERSATION)
    # At 256 callers on a slow machine, a caller waits longer for httpx's pool than the default of five seconds.
    async with httpx.AsyncClient(transport=transport, timeout=httpx.Timeout(5, pool=None)) as client:

        async def call() -> Any:
            path = f"/desk/api/v2/conversations/{next(numbers)}/convert.json"
            return (await client.post(url + path, json=BODY, headers=headers)).json()

        yield call


@asynccontextmanager
async def sdk(url: str, transport: httpx.AsyncBaseTransport | None = None) -> AsyncGenerator[Call]:
    """This SDK, with retries, pacing, deadline, lenient decoding and typed models."""
    hide_opentelemetry()
    from teamwork_desk import AsyncDesk  # noqa: PLC0415 - other cases must not import it

    numbers = count(FIRST_CONVERSATION)
    # Like the peers, it sends at once, without the lookup that comes first by default.
    async with AsyncDesk(url, token="t", verify_first=False, transport=transport) as desk:  # noqa: S106
        yield lambda: desk.conversations.convert(
            next(numbers),
            subject="Refund for order 1017",
            message=MESSAGE,
            customer="jo@example.com",
            inbox=7,
            tags=["billing"],
            notify_customer=False,
        )


@asynccontextmanager
async def slots(url: str) -> AsyncGenerator[Call]:
    """Clients with a single connection each, as the SDK's slots are, without models."""
    limits = httpx.Limits(max_connections=1, max_keepalive_connections=1)
    headers = {"Authorization": "Bearer t"}
    extensions = {"timeout": httpx.Timeout(30).as_dict()}
    context = httpx.create_ssl_context()
    async with AsyncExitStack() as stack:
        idle: list[httpx.AsyncClient] = []

        async def call() -> Any:
            if not idle:
                idle.append(await stack.enter_async_context(httpx.AsyncClient(limits=limits, verify=context)))
            client = idle.pop()
            request = httpx.Request("POST", target, headers=headers, json=BODY, extensions=extensions)
            content = (await client.send(request)).content
            idle.append(client)
            return json.loads(content)

        target = httpx.URL(url + PATH)
        yield call


@asynccontextmanager
async def raw_aiohttp(url: str) -> AsyncGenerator[Call]:
    """Bare httpx with the aiohttp transport."""
    async with raw(url, import_module("httpx_aiohttp").AiohttpTransport(limits=httpx.Limits())) as call:
        yield call


@asynccontextmanager
async def sdk_aiohttp(url: str) -> AsyncGenerator[Call]:
    """This SDK with the aiohttp transport."""
    async with sdk(url, import_module("httpx_aiohttp").AiohttpTransport(limits=httpx.Limits())) as call:
        yield call


@asynccontextmanager
async def stock(url: str) -> AsyncGenerator[Call]:
    """The package that openapi-python-client generates from the same contract with its own templates."""
    models = import_module("stock_desk.models")
    operation = import_module("stock_desk.api.conversations.convert_conversation")
    async with import_module("stock_desk").AuthenticatedClient(base_url=url, token="t") as client:  # noqa: S106
        yield lambda: operation.asyncio(
            42,
            client=client,
            body=models.ConvertConversation(
                subject="Refund for order 1017",
                message=MESSAGE,
                customer=models.CustomerRef(email="jo@example.com"),
                inbox=models.EntityRef(id=7),
                tags=["billing"],
                notify_customer=False,
            ),
        )


@asynccontextmanager
async def anthropic(url: str) -> AsyncGenerator[Call]:
    """The `post` of anthropic, which decodes to plain JSON."""
    async with import_module("anthropic").AsyncAnthropic(base_url=url, api_key="t") as client:
        yield lambda: client.post(PATH, body=BODY, cast_to=object)


@asynccontextmanager
async def openai(url: str) -> AsyncGenerator[Call]:
    """The `post` of openai, which decodes to plain JSON."""
    async with import_module("openai").AsyncOpenAI(base_url=url, api_key="t") as client:
        yield lambda: client.post(PATH, body=BODY, cast_to=object)


@asynccontextmanager
async def githubkit(url: str) -> AsyncGenerator[Call]:
    """The `arequest` of githubkit, with `.json()`."""
    async with import_module("githubkit").GitHub("t", base_url=url) as client:

        async def call() -> Any:
            return (await client.arequest("POST", url + PATH, json=BODY)).json()

        yield call


@asynccontextmanager
async def intercom(url: str) -> AsyncGenerator[Call]:
    """The conversion of a conversation to a ticket in python-intercom, with a body of the same size."""
    client = import_module("intercom").AsyncIntercom(token="t", base_url=url)  # noqa: S106
    attributes = {"subject": ""}
    sent = {"ticket_type_id": "7", "attributes": attributes}
    attributes["subject"] = "x" * (size(BODY) - size(sent))
    yield lambda: client.conversations.convert_to_ticket(42, **sent)


CASES: dict[str, Any] = {
    "raw": raw,
    "sdk": sdk,
    "slots": slots,
    "raw-aiohttp": raw_aiohttp,
    "sdk-aiohttp": sdk_aiohttp,
    "stock": stock,
    "anthropic": anthropic,
    "openai": openai,
    "githubkit": githubkit,
    "python-intercom": intercom,
}


def size(body: Any) -> int:
    """Return the number of bytes of a body as JSON."""
    return len(json.dumps(body, separators=(",", ":")))


async def run(call: Call, callers: int, calls: int) -> float:
    """Return the CPU microseconds per call."""
    turns = iter(range(calls))

    async def caller() -> None:
        for _ in turns:
            await call()

    start = time.process_time()
    await asyncio.gather(*(caller() for _ in range(callers)))
    return (time.process_time() - start) / calls * 1e6


async def measure_call(case: str, url: str, callers: str, calls: str) -> float:
    """Return the CPU microseconds per call of a case, after a warm-up."""
    async with CASES[case](url) as call:
        await run(call, int(callers), max(200, 3 * int(callers)))
        return await run(call, int(callers), int(calls))


async def measure_growth(url: str, calls: str) -> dict[str, float]:
    """Return how the cost of a call and the memory grow with the number of calls of a client."""
    async with sdk(url) as old:
        await run(old, 1, 2_000)
        before = memory()
        await run(old, 1, int(calls))
        sequential = memory() - before
        async with sdk(url) as new:
            await run(new, 1, 1_000)
            # The clients take turns, because the speed of the machine changes during so many calls.
            flat = median([await run(old, 1, 500) / await run(new, 1, 500) for _ in range(15)])
        await run(old, 64, 2_000)
        before = memory()
        await run(old, 64, 10_000)
        return {"flat": flat, "sequential": sequential, "concurrent": memory() - before}


async def measure_listing(url: str, conversations: str) -> float:
    """Return the largest growth of memory in MB while listing, after the first 2,000 conversations."""
    from teamwork_desk import AsyncDesk  # noqa: PLC0415 - other cases must not import it

    count, before, most = 0, 0.0, 0.0
    async with AsyncDesk(url, token="t") as desk:  # noqa: S106
        async for _ in desk.conversations.list():
            count += 1
            if count == 2_000:
                before = memory()
            elif count % 1_050 == 0:  # These numbers are in the middle of a page.
                most = max(most, memory() - before if before else 0)
            if count == int(conversations):
                break
    return most


def memory() -> float:
    """Return the resident memory in MB."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def measure_models() -> dict[str, list[float]]:
    """Return the ratios of decoding and encoding to the stock output. Standard input has a response and a page."""
    from teamwork_desk._wire import decode_json, encode_json  # noqa: PLC0415
    from teamwork_desk_api.api.conversations import convert_conversation, list_conversations  # noqa: PLC0415
    from teamwork_desk_api.models import Conversation, ConvertConversation  # noqa: PLC0415
    from teamwork_desk_api.types import ignore  # noqa: PLC0415

    stock_models = import_module("stock_desk.models")
    given = json.load(sys.stdin)
    example, page = given["response"], json.dumps(given["page"]).encode()
    request, stock_request = ConvertConversation.from_dict(FULL), stock_models.ConvertConversation.from_dict(FULL)
    decode_page = list_conversations.list_conversations().decode
    convert = convert_conversation.convert_conversation
    stock_convert = getattr(import_module("stock_desk.api.conversations.convert_conversation"), "_get_kwargs")  # noqa: B009
    pairs: dict[str, tuple[Callable[[], Any], Callable[[], Any], int]] = {
        "decode the API page's example": (
            lambda: Conversation.from_dict(example),
            lambda: stock_models.Conversation.from_dict(example),
            500,
        ),
        "decode a page of 100, JSON included": (
            lambda: decode_page(decode_json(page), ignore),
            lambda: stock_models.ConversationPage.from_dict(json.loads(page)),
            5,
        ),
        "encode a full request, JSON included": (
            lambda: encode_json(convert(42, body=request).body),
            lambda: json.dumps(stock_convert(42, body=stock_request)["json"]).encode(),
            500,
        ),
    }
    return {name: [_cpu(ours, n) / _cpu(theirs, n) for _ in range(25)] for name, (ours, theirs, n) in pairs.items()}


def _cpu(function: Callable[[], Any], times: int) -> float:
    function()
    start = time.process_time()
    for _ in range(times):
        function()
    return time.process_time() - start


def main() -> None:
    """Run the measurement that the arguments name."""
    name, *arguments = sys.argv[1:]
    coroutines: dict[str, Any] = {"call": measure_call, "growth": measure_growth, "listing": measure_listing}
    print(json.dumps(measure_models() if name == "models" else asyncio.run(coroutines[name](*arguments))))


if __name__ == "__main__":
    main()
