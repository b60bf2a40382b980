"""The commands, except convert-many."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Annotated, Any

import anyio
import attrs
import typer

from teamwork_desk import AsyncDesk, Conversation, __version__
from teamwork_desk.probe import probe_and_print
from teamwork_desk.testing import FakeDesk

from ._attach import check_files, convert_with_files, upload_progress
from ._console import console_on
from ._convert_many import convert_many
from ._gate import Gate
from ._ids import ids
from ._ledger_verbs import ledger
from ._names import ids_for_names, kinds_named, list_kinds
from ._options import with_options_of_convert
from ._shell import TOKEN, URL, AlwaysJson, Url, VerifyFirst, ask_for_token, print_json, run, ticket_url

HELP = f"""Convert Teamwork Desk conversations to tickets, each only once.

Give the installation's URL, such as https://acme.teamwork.com, with --url, before or after
the command, or in {URL}. The token is read
from {TOKEN}; if it is not set, a terminal asks for it. Data goes to standard output, and all messages go
to standard error.

The exit status is

- 0 if everything succeeded,

- 1 if something failed and was not converted, or a line of the jobs file is invalid,

- 2 if an option, the configuration or a whole file is invalid,

- 3 if the outcome of a conversion is unknown,

- 130 if the command was interrupted; its last message says what may have been converted.

Example: `teamwork-desk convert-many jobs.jsonl --ledger run.sqlite --dry-run`"""

app = typer.Typer(
    name="teamwork-desk",
    help=HELP,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    # Typer's own tracebacks print local variables, and one of them is the token.
    pretty_exceptions_enable=False,
)


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(f"teamwork-desk {__version__}")
        raise typer.Exit


def _with_url(command: Any, url: str) -> dict[str, Any]:
    """Return the defaults of a command and of the commands in it: the URL, for those that have an option for it."""
    defaults: dict[str, Any] = {name: _with_url(each, url) for name, each in getattr(command, "commands", {}).items()}
    if any(parameter.name == "url" for parameter in command.params):
        defaults["url"] = url
    return defaults


@app.callback()
def common(
    context: typer.Context,
    *,
    url: Annotated[
        str | None,
        typer.Option(
            help="The installation's URL, for every command. A --url after the command takes precedence, and commands"
            " without this option ignore it."
        ),
    ] = None,
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    if url is not None:
        context.default_map = _with_url(context.command, url)


def _print_conversation(desk: AsyncDesk, conversation: Conversation) -> None:
    # The token and the socket id are secrets: each of them gives access to the conversation.
    shown = attrs.evolve(conversation, token=None, socket_id=None).to_dict()
    print_json({**shown, "ticket_url": ticket_url(desk, conversation.ticket_id)})


@app.command()
@with_options_of_convert
def convert(
    conversation_id: Annotated[int, typer.Argument(help="The conversation's id.", show_default=False)],
    *,
    url: Url = None,
    verify_first: VerifyFirst = True,
    attach: Annotated[
        list[Path] | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            metavar="<file>",
            help="A file to upload and attach, of at most 20 MB; may be repeated.",
        ),
    ] = None,
    _json: AlwaysJson = False,
    **arguments: Any,
) -> None:
    """Convert one conversation, and print its ticket as JSON.

    This mails real customers and cannot be undone. Names of an inbox, a status and so on are looked up first; the
    command ids lists them. After Ctrl-C or SIGTERM, the command says whether the conversation may have been converted.

    Example: `teamwork-desk convert 42 --subject Refund --customer jo@example.com --tag billing --tag urgent`
    """
    try:
        files = check_files(Path(), [str(path) for path in attach or ()])
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--attach") from None
    token = ask_for_token()
    gate = Gate(lambda _: None)

    async def work() -> None:
        with upload_progress(console_on("stderr"), is_used=bool(files)) as hooks:
            created, ticket_id, page = await convert_one(hooks)
        # The progress has ended: rich would break the line at the terminal's width, and a copy of it would not be JSON.
        result = {"conversation_id": conversation_id, "created": created}
        try:
            print_json({**result, "ticket_id": ticket_id, "ticket_url": page})
        except OSError:
            # The conversation is converted, so the exit status must be 0. Otherwise a user would convert it again.
            typer.echo(f"conversation {conversation_id}: converted, ticket {ticket_id}, {page}", err=True)

    async def convert_one(hooks: list[Any]) -> tuple[bool, int | None, str | None]:
        async with AsyncDesk(url, token=token, event_hooks={"request": [*hooks, gate.before_request]}) as desk:
            fields = ids_for_names(arguments, await list_kinds(desk, kinds_named(arguments)))
            fields["verify_first"] = verify_first
            conversation = await convert_with_files(desk, conversation_id, files, fields)
            return conversation.created, conversation.ticket_id, ticket_url(desk, conversation.ticket_id)

    def interrupted() -> None:
        if gate.has_passed:
            look = shlex.join(["teamwork-desk", "get", str(conversation_id), *(["--url", url] if url else [])])
            again = ", or run the same command again, which looks first" if verify_first else ""
            typer.echo(
                f"interrupted: conversation {conversation_id} may have been converted. To find out, wait half a minute,"
                f" and run: {look}{again}",
                err=True,
            )
        else:
            typer.echo(f"interrupted: {'the conversion was not' if files else 'nothing was'} sent", err=True)

    run(work(), interrupted)


app.command("convert-many")(convert_many)
app.command()(ids)
app.add_typer(ledger)


@app.command()
def get(
    conversation_id: Annotated[int, typer.Argument(help="The conversation's id.", show_default=False)],
    url: Url = None,
    _json: AlwaysJson = False,
) -> None:
    """Print a conversation as JSON, without its token and socket id.

    Example: `teamwork-desk get 42`
    """
    token = ask_for_token()

    async def work() -> None:
        async with AsyncDesk(url, token=token) as desk:
            _print_conversation(desk, await desk.conversations.get(conversation_id))

    run(work())


@app.command("list")
def list_(
    url: Url = None,
    filter: Annotated[
        str | None,
        typer.Option(help="A filter as JSON. Operators: $eq $ne $lt $lte $gt $gte $in $nin $contains $and $or."),
    ] = None,
    order_by: Annotated[str | None, typer.Option(help="The field to sort by.")] = None,
    order_mode: Annotated[str | None, typer.Option(help="asc or desc.")] = None,
    _json: AlwaysJson = False,
) -> None:
    """Print all matching conversations as JSONL, without their tokens and socket ids.

    Example: `teamwork-desk list --filter '{"ticket_id": {"$eq": null}}' --order-by createdAt`
    """
    try:
        wanted = None if filter is None else json.loads(filter)
    except (ValueError, RecursionError):
        raise typer.BadParameter("invalid JSON", param_hint="--filter") from None
    token = ask_for_token()

    async def work() -> None:
        async with AsyncDesk(url, token=token) as desk:
            async for conversation in desk.conversations.list(filter=wanted, order_by=order_by, order_mode=order_mode):
                _print_conversation(desk, conversation)

    run(work())


@app.command()
def probe(
    url: Url = None, as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False
) -> None:
    """Compare one page of conversations with the contract, and print the differences.

    It changes nothing at Desk, and prints paths and JSON types, but no values. The exit status is 1 if there are
    differences, and 2 if the page cannot be read.

    Example: `teamwork-desk probe`
    """
    run(probe_and_print(url, token=ask_for_token(), as_json=as_json))


@app.command()
def fake(
    *,
    port: Annotated[int, typer.Option(help="The port to listen on; 0 chooses a free port.")] = 8080,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    conversations: Annotated[int, typer.Option(min=0, help="The number of conversations; their ids start at 1.")] = 100,
    rate_limit: Annotated[int, typer.Option(min=1, help="Requests per rate window.")] = 120,
    window: Annotated[float, typer.Option(min=1, help="The length of the rate window in seconds.")] = 60.0,
    old_installation: Annotated[
        bool, typer.Option("--old-installation", help="Accept only the deprecated field email, not customer.email.")
    ] = False,
) -> None:
    """Run a fake Teamwork Desk in memory, to try things out. It accepts any token, and needs the extra testing.

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
            typer.echo(
                f"A fake Teamwork Desk is running, with conversations 1 to {conversations}. Ctrl-C stops it. Try:"
            )
            typer.echo(f"  export {URL}={url} {TOKEN}=any")
            typer.echo("  teamwork-desk convert 42")
            await anyio.sleep_forever()

    run(work())
