"""The commands, but for convert-many."""

from __future__ import annotations

import json
from typing import Annotated

import anyio
import attrs
import typer

from teamwork_desk import AsyncDesk, Conversation, __version__
from teamwork_desk.backlog import Job
from teamwork_desk.probe import probe_and_print
from teamwork_desk.testing import FakeDesk

from ._convert_many import convert_many
from ._shell import TOKEN, URL, Url, VerifyFirst, ask_for_token, print_json, run

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


def _print_conversation(conversation: Conversation) -> None:
    # Both give access to the conversation.
    print_json(attrs.evolve(conversation, token=None, socket_id=None).to_dict())


@app.command()
def convert(
    conversation_id: Annotated[int, typer.Argument(help="The conversation's id.", show_default=False)],
    *,
    url: Url = None,
    agent: Annotated[int | None, typer.Option(help="The agent who gets the ticket, by id.")] = None,
    bcc: Annotated[
        list[str] | None, typer.Option(metavar="<str>", help="An address of the BCC; may be repeated.")
    ] = None,
    cc: Annotated[
        list[str] | None, typer.Option(metavar="<str>", help="An address of the CC; may be repeated.")
    ] = None,
    customer: Annotated[str | None, typer.Option(help="The customer, by address or by id.")] = None,
    edit_method: Annotated[str | None, typer.Option(help="html or markdown.")] = None,
    file: Annotated[
        list[int] | None, typer.Option(metavar="<int>", help="An attachment, by id; may be repeated.")
    ] = None,
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
    tag: Annotated[
        list[str] | None, typer.Option(metavar="<str>", help="A word the ticket is tagged with; may be repeated.")
    ] = None,
    tickettemplate: Annotated[int | None, typer.Option(help="The ticket template, by id.")] = None,
    type: Annotated[int | None, typer.Option(help="The ticket type, by id.")] = None,
    verify_first: VerifyFirst = True,
) -> None:
    """Convert one conversation, and print its ticket as JSON.

    This mails real customers and cannot be undone.

    Example: `teamwork-desk convert 42 --subject Refund --customer jo@example.com --tag billing --tag urgent`
    """
    token = ask_for_token()
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
            print_json({"conversation_id": conversation_id, "ticket_id": conversation.ticket_id})
        except OSError:
            # It is done: no status may invite to do it again.
            typer.echo(f"conversation {conversation_id}: converted, ticket {conversation.ticket_id}", err=True)

    run(work())


app.command("convert-many")(convert_many)


@app.command()
def get(
    conversation_id: Annotated[int, typer.Argument(help="The conversation's id.", show_default=False)], url: Url = None
) -> None:
    """Print a conversation as JSON, without its secrets.

    Example: `teamwork-desk get 42`
    """
    token = ask_for_token()

    async def work() -> None:
        async with AsyncDesk(url, token=token) as desk:
            _print_conversation(await desk.conversations.get(conversation_id))

    run(work())


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
    token = ask_for_token()

    async def work() -> None:
        async with AsyncDesk(url, token=token) as desk:
            async for conversation in desk.conversations.list(filter=wanted, order_by=order_by, order_mode=order_mode):
                _print_conversation(conversation)

    run(work())


@app.command()
def probe(
    url: Url = None, as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False
) -> None:
    """Compare one page of conversations with the contract, and print what it does not foresee.

    It changes nothing, and tells paths and JSON types, never a value. The exit status is 1 where there is any, and 2
    where the page cannot be had.

    Example: `teamwork-desk probe`
    """
    run(probe_and_print(url, token=ask_for_token(), as_json=as_json))


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

    run(work())
