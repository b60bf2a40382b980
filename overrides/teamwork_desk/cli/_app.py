"""The commands."""

from __future__ import annotations

import asyncio
import json
import math
import os
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Coroutine, Generator, Iterable
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, TextIO, TypeAlias

import anyio
import attrs
import httpx
import typer

from teamwork_desk import AsyncDesk, ConfigurationError, Conversation, DeskError, RequestError, __version__
from teamwork_desk.backlog import Job
from teamwork_desk.probe import probe_and_print
from teamwork_desk.testing import FakeDesk

from ._errors import CommandError
from ._jobs import Line, read_jobs
from ._ledger import Ledger
from ._run import Fate, Report, Result, Run, rehearse
from ._show import Display, printable, some

URL, TOKEN = "TEAMWORK_DESK_URL", "TEAMWORK_DESK_TOKEN"
DONE, FAILED, REFUSED, UNKNOWN, INTERRUPTED = 0, 1, 2, 3, 130
SETTLE = 30.0
"""Seconds; as long the client itself waits for an answer."""

HELP = f"""Turn Teamwork Desk's conversations into tickets, each once.

The installation is --url, else {URL}, such as https://acme.teamwork.com. The token comes from {TOKEN}, or
is asked for on a terminal. Data goes to standard output, all else to standard error.

The exit status is

- 0 where all is done,

- 1 where something failed and is not converted, or a line of the jobs is wrong,

- 2 where the call, the configuration or a file as a whole is wrong,

- 3 where the outcome of a conversion is unknown,

- 130 where it was interrupted.

Example: `teamwork-desk convert-many jobs.jsonl --ledger run.sqlite --dry-run`"""

app = typer.Typer(
    name="teamwork-desk",
    help=HELP,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    # They would print the locals, and these hold the token.
    pretty_exceptions_enable=False,
)

Url: TypeAlias = Annotated[str | None, typer.Option("--url", help=f"The installation's URL, else {URL}.")]
VerifyFirst: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--verify-first/--no-verify-first",
        help="Look first, and do nothing where there is a ticket already: one request more.",
    ),
]


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(f"teamwork-desk {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version, and end.", callback=_print_version, is_eager=True)
    ] = False,
) -> None: ...


def _token() -> str | None:
    """Return the token that a terminal gives; the client reads the environment itself."""
    if TOKEN in os.environ:
        return None
    if sys.stdin is None or not sys.stdin.isatty():
        typer.echo(f"Set {TOKEN}: there is no terminal to ask for the token.", err=True)
        raise typer.Exit(REFUSED)
    try:
        token: str = typer.prompt("Token", hide_input=True, err=True)
    except typer.Abort:
        raise typer.Exit(INTERRUPTED) from None
    return token


def _run(work: Coroutine[Any, Any, int | None]) -> None:
    """Run a command to its exit status."""
    with _explained():
        raise typer.Exit(asyncio.run(work) or DONE)


@contextmanager
def _explained() -> Generator[None]:
    """Make an exit status of what is expected to go wrong, and a line."""
    try:
        yield
    except KeyboardInterrupt:
        status = INTERRUPTED
    except (DeskError, CommandError, ImportError, OSError, OverflowError) as error:
        if isinstance(error, BrokenPipeError):
            raise  # typer ends without a word
        kind = f"{type(error).__name__}: " if isinstance(error, DeskError) else ""
        typer.echo(printable(f"{kind}{error}"), err=True)
        status = _status_of(error)
    else:
        return
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
    verify_first: VerifyFirst = True,
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
        try:
            _print_json({"conversation_id": conversation_id, "ticket_id": conversation.ticket_id})
        except OSError:
            # It is done: no status may invite to do it again.
            typer.echo(f"conversation {conversation_id}: converted, ticket {conversation.ticket_id}", err=True)

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
    concurrency: Annotated[int, typer.Option(min=1, metavar="<int>", help="How many are under way at once.")] = 8,
    results: Annotated[
        str | None, typer.Option(help="Where to write what became of each job, as JSONL; - is standard output.")
    ] = None,
    settle: Annotated[
        float,
        typer.Option(
            min=0,
            metavar="<float>",
            help="Seconds to wait before looking at what a former run left open: it may be under way.",
        ),
    ] = SETTLE,
    verify_first: VerifyFirst = True,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Send nothing, write no ledger, and tell what would be converted.")
    ] = False,
) -> None:
    """Convert a file of conversations, each once, however often it is started.

    A line of JSONL is an object with conversation_id and the arguments of convert; a CSV file has these as its header,
    with ; between several tags, cc, bcc or files, and what is empty is left out.

    The ledger notes each conversion before and after. Killed at any moment and started again, it converts the rest:
    what is done is skipped, what failed is tried again, and what was left open or unknown is looked at first, always.
    It holds no personal data. One run at a time may hold it. Ctrl-C or SIGTERM lets those under way end; a second one
    leaves them open. Any that is open or unknown at the end is named, and the exit status is 3.

    Example: `teamwork-desk convert-many jobs.jsonl --ledger run.sqlite --results results.jsonl`
    """
    _check_paths(jobs, ledger, results)
    if not math.isfinite(settle):
        raise typer.BadParameter("expected a number of seconds", param_hint="--settle")
    with _explained():
        total, lines = _read(jobs)
    token = None if dry_run else _token()

    async def work() -> int:
        if dry_run:
            with Ledger.in_memory(ledger) as books, _reporting(jobs, total, results, None) as (report, display):
                await rehearse(books, lines, report)
            return _status_of_all(display.counts)
        async with AsyncDesk(url, token=token) as desk:
            with (
                Ledger(ledger, _origin(os.environ[URL] if url is None else url)) as books,
                _reporting(jobs, total, results, desk, requests=1 + verify_first) as (report, display),
            ):
                run = Run(desk.conversations.convert, books, report, settle=settle, verify_first=verify_first)
                status = DONE
                if settle and (left := books.unsettled()):
                    display.note(
                        f"left open or unknown by an earlier run: {some(left)}; their jobs wait {settle:g} s, for a "
                        "request may still be under way"
                    )

                def stop() -> None:
                    run.stop()
                    display.note("interrupted: what is under way comes to its end; Ctrl-C again leaves it open")

                try:
                    with _first_interrupt(stop):
                        await run.convert_all(lines, concurrency=concurrency)
                except (CommandError, OSError) as error:
                    display.note(str(error))
                    status = REFUSED
                except Exception:
                    # A bug: what it left open is told all the same.
                    traceback.print_exc()
                    status = FAILED
                finally:
                    if left := books.unsettled():
                        display.note(f"{ledger}: open or unknown, so perhaps converted: {some(left)}")
        if run.is_stopping:
            return INTERRUPTED
        return UNKNOWN if left else status or _status_of_all(display.counts)

    _run(work())


def _check_paths(jobs: Path, ledger: Path, results: str | None) -> None:
    paths = [jobs, ledger, *([] if results in (None, "-") else [Path(results)])]
    if len({path.resolve() for path in paths}) < len(paths):
        raise typer.BadParameter(
            "the jobs, the ledger and the results must be different files: one would overwrite the other"
        )


def _read(jobs: Path) -> tuple[int, Iterable[Line]]:
    """Read the jobs once before anything is sent: a file that is broken as a whole is refused as a whole.

    What is no file can be read only once, and whoever writes it would stop the event loop: it is held in memory.
    """
    if jobs.is_file():
        return sum(1 for _ in read_jobs(jobs)), read_jobs(jobs)
    lines = list(read_jobs(jobs))
    return len(lines), lines


@contextmanager
def _reporting(
    jobs: Path, total: int, results: str | None, desk: AsyncDesk | None, *, requests: int = 1
) -> Generator[tuple[Report, Display]]:
    """Show the results, and write them where they are wanted: a run goes on where that cannot be done."""
    file = None if results in (None, "-") else Path(results).open("w", encoding="utf-8")  # noqa: SIM115 - closing it may fail
    try:
        with Display(jobs.name, total, desk, requests=requests) as display:
            is_written = results is not None

            def report(result: Result) -> None:
                nonlocal is_written
                display.report(result)
                if is_written:
                    try:
                        _print_json(result.to_dict(), file)
                    except OSError as error:
                        is_written = False
                        display.note(
                            f"--results {results}: {error.strerror}; the run goes on, and writes no more there"
                        )

            yield report, display
    finally:
        if file is not None:
            # What could not be written cannot be written now either.
            with suppress(OSError):
                file.close()


def _origin(url: str) -> str:
    parsed = httpx.URL(url)
    return f"{parsed.scheme}://{parsed.netloc.decode()}"


def _status_of_all(counts: Counter[Fate]) -> int:
    return UNKNOWN if counts["unknown"] else FAILED if counts["failed"] else DONE


@contextmanager
def _first_interrupt(stop: Callable[[], None]) -> Generator[None]:
    """Let the first Ctrl-C or SIGTERM call a function; the second is as ever."""
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def interrupted(*_: object) -> None:
        restore()
        loop.call_soon_threadsafe(stop)

    for number, handler in before.items():
        # A shell wishes that its background jobs ignore Ctrl-C.
        if handler != signal.SIG_IGN:
            signal.signal(number, interrupted)
    try:
        yield
    finally:
        restore()


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
def probe(
    url: Url = None, as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False
) -> None:
    """Compare one page of conversations with the contract, and print what it does not foresee.

    It changes nothing, and tells paths and JSON types, never a value. The exit status is 1 where there is any, and 2
    where the page cannot be had.

    Example: `teamwork-desk probe`
    """
    _run(probe_and_print(url, token=_token(), as_json=as_json))


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
