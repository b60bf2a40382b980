"""Convert a few conversations over HTTP against a fake Desk, and print what happened."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path
from typing import cast

from teamwork_desk import AsyncDesk, CustomerRef, DeskError, NotFoundError, ValidationError
from teamwork_desk.testing import FakeDesk


def show(step: str, *lines: object) -> None:
    """Print a step and its results."""
    print(f"\n{step}", *(f"  {line}" for line in lines), sep="\n")


async def current_installation() -> None:
    """Convert on a current installation."""
    fake = FakeDesk(token="demo-token")  # noqa: S106 - it is the token of a fake Desk
    async with fake.serve() as url, AsyncDesk(url, token="demo-token") as desk:  # noqa: S106
        print(f"A fake Desk listens on {url}.")

        conversation = await desk.conversations.convert(
            1, subject="Refund for order 1017", customer="jo@example.com", tags=["billing"], notify_customer=False
        )
        show(
            "A plain conversion: convert(1, customer=...)",
            f"conversation {conversation.id} is now ticket {conversation.ticket_id}",
        )

        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            conversation = await desk.conversations.convert(2, email="jo@example.com")
        show(
            "The deprecated argument: convert(2, email=...)",
            f"DeprecationWarning: {caught[0].message}",
            f"sent as {fake.requests[-1].json}",
            f"conversation {conversation.id} is now ticket {conversation.ticket_id}",
        )

        try:
            await desk.conversations.convert(3, customer=CustomerRef(email="jo at example"), edit_method="word")
        except ValidationError as error:
            show(
                "A validation error: convert(3, customer=CustomerRef(email='jo at example'), edit_method='word')",
                *(f"{field}: {', '.join(reasons)}" for field, reasons in error.errors.items()),
                f"nothing was changed: maybe_applied={error.maybe_applied}, {len(fake.tickets)} tickets exist",
            )

        again = await desk.conversations.convert(1, subject="Refund for order 1017")
        show(
            "The same call once more: convert(1)",
            f"created={again.created}: conversation 1 has ticket {again.ticket_id}, so nothing was sent",
        )

        fake.lose_answer("after")
        before = len(fake.tickets)
        conversation = await desk.conversations.convert(4)
        show(
            "The connection breaks after Desk has converted the conversation: convert(4)",
            "the client looked the conversation up instead of sending the request again",
            f"conversation {conversation.id} is ticket {conversation.ticket_id}; made: {len(fake.tickets) - before}",
        )
        show("The rate window that Desk reported", desk.rate_limit)


async def rate_limited() -> None:
    """Exceed the rate limit with more callers than the window allows."""
    fake = FakeDesk(rate_limit=3, window=2.0)
    async with fake.serve() as url, AsyncDesk(url, token="demo-token") as desk:  # noqa: S106
        conversations = await asyncio.gather(*(desk.conversations.convert(number) for number in range(1, 7)))
        rejected = sum(request.status == 429 for request in fake.requests)
        show(
            "Six callers at once, with a limit of three requests every two seconds",
            f"all converted, each once: {sorted(c.ticket_id or 0 for c in conversations)}",
            f"{len(fake.requests)} requests, of which Desk rejected {rejected}: callers waited for the next window",
        )


async def old_installation() -> None:
    """Convert on an installation that accepts only the deprecated email field."""
    fake = FakeDesk(old_installation=True)
    async with fake.serve() as url, AsyncDesk(url, token="demo-token") as desk:  # noqa: S106
        first = await desk.conversations.convert(1, customer="jo@example.com")
        second = await desk.conversations.convert(2, customer="jo@example.com")
        statuses = [request.status for request in fake.requests if request.method == "POST"]
        show(
            "An old installation, which accepts only the deprecated email field",
            f"convert(1): {statuses[:2]}, ticket {first.ticket_id}",
            f"convert(2): {statuses[2:]}, ticket {second.ticket_id} (the client remembers)",
        )


def write_jobs(folder: str, count: int) -> Path:
    """Write a file of jobs."""
    jobs = Path(folder, "jobs.jsonl")
    jobs.write_text("".join(f'{{"conversation_id": {number}}}\n' for number in range(1, count + 1)), "utf-8")
    return jobs


async def start_run(jobs: Path, url: str) -> asyncio.subprocess.Process:
    """Start the command with a ledger beside the file of jobs."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "teamwork_desk.cli", "convert-many", str(jobs)),
        *("--ledger", str(jobs.with_suffix(".sqlite")), "--settle", "1", "--results", "-"),
        env={**os.environ, "TEAMWORK_DESK_URL": url, "TEAMWORK_DESK_TOKEN": "demo-token"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


async def killed_run() -> None:
    """Kill a run of the command while it waits for the rate window, and start it again."""
    fake = FakeDesk(rate_limit=8, window=3.0)
    with tempfile.TemporaryDirectory() as folder:
        jobs = write_jobs(folder, 12)
        async with fake.serve() as url:
            first = await start_run(jobs, url)
            results = cast(asyncio.StreamReader, first.stdout)
            for _ in range(4):
                await results.readline()
            first.kill()
            await first.communicate()
            tickets = len(fake.tickets)
            second = await start_run(jobs, url)
            printed, _ = await second.communicate()
    states = Counter(json.loads(line)["state"] for line in printed.splitlines())
    show(
        "A run of twelve jobs is killed, and started again with the same ledger",
        f"killed: {tickets} tickets exist",
        f"started again: {states['done']} done, {states['skipped']} skipped",
        f"twelve conversations, {len(fake.tickets)} tickets",
    )


async def wrong_url() -> None:
    """Call a web server that is not a Desk."""

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 404 Not Found\r\ncontent-type: text/html\r\ncontent-length: 9\r\n\r\nNot found")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(respond, "127.0.0.1") as server:
        url = "http://127.0.0.1:{1}".format(*server.sockets[0].getsockname())
        async with AsyncDesk(url, token="demo-token") as desk:  # noqa: S106
            try:
                await desk.conversations.convert(1)
            except NotFoundError as error:
                show("A wrong URL: convert(1)", error, f"from_desk={error.from_desk}")


async def main() -> None:
    """Run every step."""
    logging.getLogger("teamwork_desk").setLevel(logging.ERROR)
    try:
        await current_installation()
        await rate_limited()
        await old_installation()
        await killed_run()
        await wrong_url()
    except DeskError as error:
        raise SystemExit(f"{type(error).__name__}: {error}") from error


if __name__ == "__main__":
    asyncio.run(main())
