"""The commands."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Any, TextIO, TypeAlias

import anyio
import attrs
import httpx
import typer

from teamwork_desk import AsyncDesk, ConfigurationError, Conversation, DeskError, RequestError
from teamwork_desk.backlog import Job
from teamwork_desk.probe import probe as probe_desk
from teamwork_desk.testing import FakeDesk

from ._errors import CommandError
from ._jobs import read_jobs
from ._ledger import Ledger
from ._run import Fate, Report, Result, Run, rehearse
from ._show import Display, printable

URL, TOKEN = "TEAMWORK_DESK_URL", "TEAMWORK_DESK_TOKEN"
DONE, FAILED, REFUSED, UNKNOWN, INTERRUPTED = 0, 1, 2, 3, 130
SETTLE = 30.0
"""Seconds; as long the client itself waits for an answer."""

HELP = f"""Turn Teamwork Desk's conversations into tickets, each once.

The token comes from {TOKEN}, or is asked for on a terminal. Data goes to standard output, all else to standard error.

The exit status is

- 0 where all is done,

- 1 where something failed, and that is not converted,

- 2 where the call, the input or the configuration is wrong,

- 3 where the outcome of a conversion is unknown,

- 130 where it was interrupted."""

app = typer.Typer(
    name="teamwork-desk",
    help=HELP,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    # They would print the locals, and these hold the token.
    pretty_exceptions_enable=False,
)

Url: TypeAlias = Annotated[
    str | None, typer.Option("--url", help=f"The installation, such as https://acme.teamwork.com, else {URL}.")
]


def _token() -> str | None:
    """Return the token if a terminal gives it; the client reads the environment itself."""
    if TOKEN in os.environ or not sys.stdin.isatty():
        return None
    token: str = typer.prompt("Token", hide_input=True, err=True)
    return token


def _run(work: Coroutine[Any, Any, int | None]) -> None:
    """Run a command to its exit status; what is expected to go wrong is one line."""
    try:
        status = asyncio.run(work) or DONE
    except KeyboardInterrupt:
        status = INTERRUPTED
    except (DeskError, CommandError, ImportError, OSError, OverflowError) as error:
        if isinstance(error, BrokenPipeError):
            raise  # typer ends without a word
        kind = f"{type(error).__name__}: " if isinstance(error, DeskError) else ""
        typer.echo(printable(f"{kind}{error}"), err=True)
        status = _status_of(error)
    raise typer.Exit(status)


def _status_of(error: Exception) -> int:
    if not isinstance(error, DeskError) or isinstance(error, (ConfigurationError, RequestError)):
        return REFUSED
    return UNKNOWN if error.maybe_applied else FAILED


def _print_json(value: Any, file: TextIO | None = None) -> None:
    print(json.dumps(value), file=file or sys.stdout, flush=True)


def _print_conversation(conversation: Conversation) -> None:
    # Both give access to the conversation.
    _print_json(attrs.evolve(conversation, token=None, socket_id=None).to_dict())


@app.command()
def convert(
    conversation_id: Annotated[int, typer.Argument(help="The conversation's id.", show_default=False)],
    *,
    url: Url = None,
    agent: Annotated[int | None, typer.Option(help="The agent who gets the ticket, by id.")] = None,
    bcc: Annotated[list[str] | None, typer.Option(help="An address of the BCC; may be repeated.")] = None,
    cc: Annotated[list[str] | None, typer.Option(help="An address of the CC; may be repeated.")] = None,
    customer: Annotated[str | None, typer.Option(help="The customer, by address or by id.")] = None,
    edit_method: Annotated[str | None, typer.Option(help="html or markdown.")] = None,
    file: Annotated[list[int] | None, typer.Option(help="An attachment, by id; may be repeated.")] = None,
    from_thread_id: Annotated[int | None, typer.Option(help="The thread the ticket is made from.")] = None,
    from_ticket_id: Annotated[int | None, typer.Option(help="The ticket of that thread.")] = None,
    inbox: Annotated[int | None, typer.Option(help="The inbox the ticket goes to, by id.")] = None,
    message: Annotated[str | None, typer.Option(help="The ticket's initial message.")] = None,
    notify_customer: Annotated[
        bool | None, typer.Option("--notify-customer/--no-notify-customer", help="Whether to notify the customer.")
    ] = None,
    parent: Annotated[int | None, typer.Option(help="The parent ticket, by id.")] = None,
    priority: Annotated[int | None, typer.Option(help="The priority, by id.")] = None,
    send_from: Annotated[str | None, typer.Option(help="The inbox alias that notifications are sent from.")] = None,
    source: Annotated[int | None, typer.Option(help="Where the ticket comes from, by id.")] = None,
    status: Annotated[int | None, typer.Option(help="The status, by id.")] = None,
    subject: Annotated[str | None, typer.Option(help="The ticket's subject.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="A word the ticket is tagged with; may be repeated.")] = None,
    tickettemplate: Annotated[int | None, typer.Option(help="The ticket template, by id.")] = None,
    type: Annotated[int | None, typer.Option(help="The ticket type, by id.")] = None,
    verify_first: Annotated[
        bool, typer.Option("--verify-first", help="Look first, and do nothing if there is a ticket already.")
    ] = False,
) -> None:
    """Convert one conversation, and print its ticket as JSON.

    This mails real customers and cannot be undone.

    Example: `teamwork-desk convert 42 --subject Refund --customer jo@example.com --tag billing --tag urgent`
    """
    token = _token()
    job: Job = {
        "conversation_id": conversation_id,
        "agent": agent,
        "bcc": bcc or None,
        "cc": cc or None,
        "customer": int(customer) if customer and customer.isascii() and customer.isdigit() else customer,
        "edit_method": edit_method,
        "files": file or None,
        "from_thread_id": from_thread_id,
        "from_ticket_id": from_ticket_id,
        "inbox": inbox,
        "message": message,
        "notify_customer": notify_customer,
        "parent": parent,
        "priority": priority,
        "send_from": send_from,
        "source": source,
        "status": status,
        "subject": subject,
        "tags": tag or None,
        "tickettemplate": tickettemplate,
        "type": type,
        "verify_first": verify_first,
    }

    async def work() -> None:
        async with AsyncDesk(url, token=token) as desk:
            conversation = await desk.conversations.convert(**job)
        _print_json({"conversation_id": conversation_id, "ticket_id": conversation.ticket_id})

    _run(work())


@app.command("convert-many")
def convert_many(
    jobs: Annotated[
        Path,
        typer.Argument(exists=True, dir_okay=False, help="The jobs: .jsonl or .csv, in UTF-8.", show_default=False),
    ],
    *,
    ledger: Annotated[
        Path,
        typer.Option(
            dir_okay=False, help="Where the run keeps its books; made where there is none.", show_default=False
        ),
    ],
    url: Url = None,
    concurrency: Annotated[int, typer.Option(min=1, help="How many are under way at once.")] = 8,
    results: Annotated[
        str | None, typer.Option(help="Where to write what became of each job, as JSONL; - is standard output.")
    ] = None,
    settle: Annotated[
        float,
        typer.Option(min=0, help="Seconds to wait before looking at what a former run left open: it may be under way."),
    ] = SETTLE,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Send nothing, write no ledger, and tell what would be converted.")
    ] = False,
) -> None:
    """Convert a file of conversations, each once, however often it is started.

    A line of JSONL is an object with conversation_id and the arguments of convert; a CSV file has these as its header,
    with ; between several tags, cc, bcc or files, and what is empty is left out.

    The ledger notes each conversion before and after. Killed at any moment and started again, it converts the rest:
    what is done is skipped, what failed is tried again, and what was left open or unknown is looked at first. It holds
    no personal data. One run at a time may hold it. Ctrl-C lets those under way end; a second one leaves them open.

    Example: `teamwork-desk convert-many jobs.jsonl --ledger run.sqlite --results results.jsonl`
    """
    _check_paths(jobs, ledger, results)

    async def work() -> int:
        # Read once before anything is sent: a file that is broken as a whole is refused as a whole.
        total = _count(jobs)
        if dry_run:
            with Ledger.in_memory(ledger) as books, _reporting(jobs, total, results, None) as (report, display):
                await rehearse(books, read_jobs(jobs), report)
            return _status_of_all(display.counts)
        async with AsyncDesk(url, token=token) as desk:
            with (
                Ledger(ledger, _origin(os.environ[URL] if url is None else url)) as books,
                _reporting(jobs, total, results, desk) as (report, display),
            ):
                run = Run(desk.conversations.convert, books, report, settle=settle)

                def stop() -> None:
                    run.stop()
                    display.note("interrupted: what is under way comes to its end; Ctrl-C again leaves it open")

                with _first_interrupt(stop):
                    await run.convert_all(read_jobs(jobs), concurrency=concurrency)
        return INTERRUPTED if run.is_stopping else _status_of_all(display.counts)

    token = None if dry_run else _token()
    _run(work())


def _check_paths(jobs: Path, ledger: Path, results: str | None) -> None:
    if results not in (None, "-") and Path(results).resolve() in (jobs.resolve(), ledger.resolve()):
        raise typer.BadParameter("it would overwrite the jobs or the ledger", param_hint="--results")


def _count(jobs: Path) -> int | None:
    """Count the jobs of a file; what is no file can be read only once."""
    return sum(1 for _ in read_jobs(jobs)) if jobs.is_file() else None


@contextmanager
def _reporting(
    jobs: Path, total: int | None, results: str | None, desk: AsyncDesk | None
) -> Generator[tuple[Report, Display]]:
    """Show the results, and write them where they are wanted."""
    with (
        nullcontext(sys.stdout if results else None)
        if results in (None, "-")
        else Path(results).open("w", encoding="utf-8") as file,
        Display(jobs.name, total, desk) as display,
    ):

        def report(result: Result) -> None:
            display.report(result)
            if file is not None:
                _print_json(result.to_dict(), file)

        yield report, display


def _origin(url: str) -> str:
    parsed = httpx.URL(url)
    return f"{parsed.scheme}://{parsed.netloc.decode()}"


def _status_of_all(counts: Counter[Fate]) -> int:
    return UNKNOWN if counts["unknown"] else FAILED if counts["failed"] else DONE


@contextmanager
def _first_interrupt(stop: Callable[[], None]) -> Generator[None]:
    """Let the first Ctrl-C call a function; the second is as ever."""
    loop, before = asyncio.get_running_loop(), signal.getsignal(signal.SIGINT)

    def interrupted(*_: object) -> None:
        signal.signal(signal.SIGINT, before)
        loop.call_soon_threadsafe(stop)

    # What is no function is a shell's wish that its background jobs ignore Ctrl-C.
    if callable(before):
        signal.signal(signal.SIGINT, interrupted)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@app.command()
def get(
    conversation_id: Annotated[int, typer.Argument(help="The conversation's id.", show_default=False)], url: Url = None
) -> None:
    """Print a conversation as JSON, without its secrets.

    Example: `teamwork-desk get 42`
    """
    token = _token()

    async def work() -> None:
        async with AsyncDesk(url, token=token) as desk:
            _print_conversation(await desk.conversations.get(conversation_id))

    _run(work())


@app.command("list")
def list_(
    url: Url = None,
    filter: Annotated[
        str | None, typer.Option(help="A filter in JSON; operators: $eq $ne $lt $lte $gt $gte $in $nin $and $or.")
    ] = None,
    order_by: Annotated[str | None, typer.Option(help="The field to sort by.")] = None,
    order_mode: Annotated[str | None, typer.Option(help="asc or desc.")] = None,
) -> None:
    """Print all conversations that match, as JSONL, without their secrets.

    Example: `teamwork-desk list --filter '{"ticket_id": {"$eq": null}}' --order-by createdAt`
    """
    try:
        wanted = None if filter is None else json.loads(filter)
    except (ValueError, RecursionError):
        raise typer.BadParameter("it is no JSON", param_hint="--filter") from None
    token = _token()

    async def work() -> None:
        async with AsyncDesk(url, token=token) as desk:
            async for conversation in desk.conversations.list(filter=wanted, order_by=order_by, order_mode=order_mode):
                _print_conversation(conversation)

    _run(work())


@app.command()
def probe(url: Url = None) -> None:
    """Compare one page of conversations with the contract; print what it does not foresee as JSONL.

    It changes nothing, and tells paths and JSON types, never a value. The exit status is 1 where there is any.

    Example: `teamwork-desk probe`
    """
    token = _token()

    async def work() -> int:
        async with AsyncDesk(url, token=token) as desk:
            compared, drift = await probe_desk(desk)
        for (path, expected, got), count in sorted(drift.items()):
            _print_json({"path": path, "expected": expected, "got": got, "count": count})
        typer.echo(f"conversations compared: {compared}; kinds of drift: {len(drift)}", err=True)
        return FAILED if drift else DONE

    _run(work())


@app.command()
def fake(
    *,
    port: Annotated[int, typer.Option(help="The port to listen on; 0 takes a free one.")] = 8080,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    conversations: Annotated[int, typer.Option(min=0, help="How many conversations there are, from 1.")] = 100,
    rate_limit: Annotated[int, typer.Option(min=1, help="Requests per window.")] = 120,
    window: Annotated[float, typer.Option(min=1, help="Seconds a window lasts.")] = 60.0,
    old_installation: Annotated[
        bool, typer.Option("--old-installation", help="Do not know customer.email, only email.")
    ] = False,
) -> None:
    """Run a fake Teamwork Desk in memory, to try things with; any token will do. It needs the extra testing.

    Example: `teamwork-desk fake --port 8080`
    """
    desk = FakeDesk(
        conversations=range(1, conversations + 1),
        rate_limit=rate_limit,
        window=window,
        old_installation=old_installation,
    )

    async def work() -> None:
        async with desk.serve(host=host, port=port) as url:
            typer.echo(f"A fake Teamwork Desk listens, with conversations 1 to {conversations}. Ctrl-C stops it. Try:")
            typer.echo(f"  export {URL}={url} {TOKEN}=any")
            typer.echo("  teamwork-desk convert 42")
            await anyio.sleep_forever()

    _run(work())
