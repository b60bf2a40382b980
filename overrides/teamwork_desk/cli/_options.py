"""The options of `teamwork-desk convert`: one for each argument of `convert` that text can express."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, get_type_hints

import typer

from teamwork_desk import AsyncDesk, EntityRef
from teamwork_desk._arguments import NAMED
from teamwork_desk._values import Kind, kind_of
from teamwork_desk.backlog import ConvertedFields

from ._forms import Form, form_of, id_or_text

Command = TypeVar("Command", bound=Callable[..., None])

_TYPES: dict[Form, Any] = {
    "text": str | None,
    "texts": list[str] | None,
    "number": int | None,
    "numbers": list[int] | None,
    "id or text": str | None,
    "boolean": bool | None,
}
# The docstring of `convert` is for Python. These texts are for a shell, where a name may stand for an id.
_TEXTS = {
    "agent": "The agent who gets the ticket, by id, name or email address",
    "customer": "The customer, by id or by email address",
    "edit_method": "How agents write in this ticket by default: html or markdown",
    "files": "The attachments, by the ids of uploaded files; may be repeated",
    "inbox": "The inbox that the ticket goes to, by id, name or email address",
    "notify_customer": "Whether Desk notifies the customer by email about the ticket",
    "parent": "The ticket that becomes the parent of this ticket, by id",
    "priority": "The ticket's priority, by id or name",
    "source": "Where the ticket comes from, by id or name",
    "status": "The ticket's status, by id, name or code",
    "tags": "A word, or the id or name of a tag; may be repeated",
    "tickettemplate": "The ticket template, by id",
    "type": "The ticket's type, by id or name",
}
# Typer's own names for these types are longer, and help has little room.
_METAVARS: dict[Form, str] = {"texts": "<str>", "numbers": "<int>", "id or text": "<str>"}


def with_options_of_convert(command: Command) -> Command:
    """Replace the `**arguments` of a command by an option for each argument: typer reads them from the signature."""
    signature = inspect.signature(command, eval_str=True)
    own = [parameter for parameter in signature.parameters.values() if parameter.kind is not parameter.VAR_KEYWORD]
    vars(command)["__signature__"] = signature.replace(parameters=[*own, *_options()])
    return command


def _options() -> Iterator[inspect.Parameter]:
    conversations = get_type_hints(AsyncDesk)["conversations"]
    descriptions = _descriptions(conversations.convert.__doc__ or "")
    for name, hint in get_type_hints(ConvertedFields).items():
        form = form_of(hint, is_named=name in NAMED)
        if form is None:
            continue
        option = typer.Option(
            None,
            _flag(name, form),
            help=help_of(name, descriptions.get(name, ""), kind_of(hint)),
            metavar=_METAVARS.get(form),
            parser=id_or_text if form == "id or text" else None,
        )
        yield inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=option, annotation=_TYPES[form])


def _descriptions(docstring: str) -> dict[str, str]:
    """Return the description of each argument in a docstring."""
    _, _, section = inspect.cleandoc(docstring).partition("\nArgs:\n")
    section, _, _ = section.partition("\n\n")
    paragraphs = re.findall(r"^    (\w+): (.+(?:\n {8}.+)*)", section, re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in paragraphs}


def _flag(name: str, form: Form) -> str:
    # An option that may be repeated has one value each time, so its name is singular: --tag for tags.
    flag = (name.removesuffix("s") if form in ("texts", "numbers") else name).replace("_", "-")
    return f"--{flag}/--no-{flag}" if form == "boolean" else f"--{flag}"


def help_of(name: str, description: str, kind: Kind) -> str:
    """Return the help of an option: its text, or the description with the choices and the form of the value added."""
    if name in _TEXTS:
        return f"{_TEXTS[name]}."
    first, dot, rest = description.partition(". ")
    text = first.removesuffix(".")
    if kind.choices:
        text += f": {' or '.join(kind.choices)}"
    if EntityRef in kind.types and str not in kind.types:
        text += ", by id or name" if name in NAMED else ", by id"
    if kind.is_list:
        text += "; may be repeated"
    return f"{text}.{dot and ' '}{rest}"
