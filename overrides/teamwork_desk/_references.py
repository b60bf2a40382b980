"""The kinds of objects that a ticket refers to by id, the names that people know them by, and the choice by a name."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from attrs import frozen

from teamwork_desk_api.api.references.list_custom_fields import list_custom_fields
from teamwork_desk_api.api.references.list_customers import list_customers
from teamwork_desk_api.api.references.list_inboxes import list_inboxes
from teamwork_desk_api.api.references.list_tags import list_tags
from teamwork_desk_api.api.references.list_ticket_priorities import list_ticket_priorities
from teamwork_desk_api.api.references.list_ticket_sources import list_ticket_sources
from teamwork_desk_api.api.references.list_ticket_statuses import list_ticket_statuses
from teamwork_desk_api.api.references.list_ticket_types import list_ticket_types
from teamwork_desk_api.api.references.list_users import list_users
from teamwork_desk_api.models import Customer, User

from ._checks import is_id, printable
from ._errors import NotFoundError, RequestError
from ._paging import ListOperation, P

MOST_NAMED = 20
"""The most objects that a message names."""
_LONGEST_NAME = 60


@runtime_checkable
class Identified(Protocol):
    """An object that a listing shows."""

    @property
    def id(self) -> int | None: ...
    @property
    def state(self) -> str | None: ...


T = TypeVar("T", bound=Identified)


@frozen(eq=False, kw_only=True)
class Kind(Generic[T, P]):
    """A kind of objects.

    Attributes:
        attribute: The client's attribute, which also says what several objects are called.
        noun: What one object is called.
        operation: The generated function for a page of the listing.
        listed: Returns the objects of a page.
        names: Returns the names of an object. The first one that is set stands for it in messages.
        described: What these names are, for messages.
        fields: The fields of the filter that hold a name. Without fields, the whole listing is read.
        email_field: The field of the filter that holds an email address, if there is one.
        is_personal: Whether the names are personal data, which no message shows.
    """

    attribute: str
    noun: str
    operation: ListOperation[P]
    listed: Callable[[P], Sequence[T] | None]
    names: Callable[[T], Iterable[str | None]]
    described: str = "name"
    fields: Sequence[str] = ("name",)
    email_field: str | None = None
    is_personal: bool = False

    @property
    def plural(self) -> str:
        """What several objects are called."""
        return self.attribute.replace("_", " ")

    def filter_for(self, name: str) -> Mapping[str, Any] | None:
        """Return the filter for the objects with a name; None if the fields of the filter do not hold every name."""
        fields = [self.email_field] if self.email_field and "@" in name else self.fields
        conditions = [{field: {"$eq": name}} for field in fields]
        return {"$or": conditions} if len(conditions) > 1 else conditions[0] if conditions else None


def _names_of_person(person: User | Customer) -> Iterable[str | None]:
    # A contact without a first or a last name has one of them only.
    return person.email, " ".join(filter(None, (person.first_name, person.last_name)))


_KINDS: tuple[Kind[Any, Any], ...] = (
    Kind(
        attribute="inboxes",
        noun="inbox",
        operation=list_inboxes,
        listed=lambda page: page.inboxes,
        names=lambda inbox: (inbox.name, inbox.email),
        described="name or email address",
        email_field="email",
    ),
    Kind(
        attribute="statuses",
        noun="status",
        operation=list_ticket_statuses,
        listed=lambda page: page.ticketstatuses,
        names=lambda status: (status.name, status.code),
        described="name or code",
        fields=("name", "code"),
    ),
    Kind(
        attribute="priorities",
        noun="priority",
        operation=list_ticket_priorities,
        listed=lambda page: page.ticketpriorities,
        names=lambda priority: (priority.name,),
    ),
    Kind(
        attribute="types",
        noun="type",
        operation=list_ticket_types,
        listed=lambda page: page.tickettypes,
        names=lambda ticket_type: (ticket_type.name,),
    ),
    Kind(
        attribute="sources",
        noun="source",
        operation=list_ticket_sources,
        listed=lambda page: page.ticket_sources or page.ticketsources,
        names=lambda source: (source.name,),
    ),
    Kind(
        attribute="tags",
        noun="tag",
        operation=list_tags,
        listed=lambda page: page.tags,
        names=lambda tag: (tag.name,),
    ),
    Kind(
        attribute="users",
        noun="user",
        operation=list_users,
        listed=lambda page: page.users,
        names=_names_of_person,
        described="name or email address",
        email_field="email",
        is_personal=True,
    ),
    Kind(
        attribute="customers",
        noun="customer",
        operation=list_customers,
        listed=lambda page: page.customers,
        names=_names_of_person,
        described="name or email address",
        email_field="contacts.value",
        is_personal=True,
    ),
    Kind(
        attribute="custom_fields",
        noun="custom field",
        operation=list_custom_fields,
        listed=lambda page: page.customfields,
        names=lambda custom_field: (custom_field.name, custom_field.agent_label, custom_field.customer_label),
        described="name or label",
        fields=(),  # A label is not a field of the filter.
    ),
)
KINDS: Mapping[str, Kind[Any, Any]] = {kind.attribute: kind for kind in _KINDS}
"""The kinds, by the names of the client's attributes."""


def check_name(name: object, argument: str = "name") -> str:
    """Return a name as a plain str, without spaces around it.

    Raises:
        RequestError: The name is not a str, is empty, or holds a character that UTF-8 cannot encode.
    """
    if not isinstance(name, str):
        raise RequestError(f"{argument}: expected a str, got {type(name).__name__}")
    text = str.__str__(name).strip()
    if not text:
        raise RequestError(f"{argument}: expected a str that is not empty")
    if text.encode("utf-8", "replace").decode() != text:
        raise RequestError(f"{argument}: expected text that UTF-8 can encode")
    return text


def with_name(kind: Kind[T, Any], objects: Iterable[T], name: str) -> list[T]:
    """Return the objects with a name. If no name is written exactly like this, upper and lower case are ignored.

    Objects that are deleted or have no valid id are left out.
    """
    usable = [each for each in objects if is_id(each.id) and not _is_deleted(each)]
    for fold in (str.strip, _fold):
        # A listing that changes while it is read may show an object twice.
        found = {each.id: each for each in usable if _has_name(kind, each, fold(name), fold)}
        if found:
            return list(found.values())
    return []


def the_only(kind: Kind[T, Any], found: Sequence[T], argument: str = "name") -> T:
    """Return the only object with a name.

    Raises:
        RequestError: There are several. The message names them.
    """
    if len(found) == 1:
        return found[0]
    raise RequestError(
        f"{argument}: several {kind.plural} have this {kind.described}: {_shown(kind, found)}; use an id"
    )


def not_found(
    kind: Kind[T, Any], objects: Sequence[T], name: str, argument: str = "name", *, is_complete: bool = True
) -> NotFoundError:
    """Return the error for a name that no object has. Its message says which objects there are.

    Args:
        kind: The kind of the objects.
        objects: The objects that were compared with the name.
        name: The name.
        argument: The argument that holds the name, for the message.
        is_complete: Whether these are all objects.
    """
    deleted = [each for each in objects if _is_deleted(each) and _has_name(kind, each, _fold(name), _fold)]
    there = [each for each in objects if is_id(each.id) and not _is_deleted(each)]
    if deleted:
        reason = f"the {kind.noun} with this {kind.described} is deleted"
    else:
        reason = f"no {kind.noun} has this {kind.described}{_did_you_mean(kind, there, name)}"
    if not there:
        known = f"there are no {kind.plural}"
    elif kind.is_personal or not is_complete:
        known = (
            f"{kind.plural} compared: {len({each.id for each in there})}{'' if is_complete else ', and there are more'}"
        )
    else:
        known = f"there are {_shown(kind, there)}"
    return NotFoundError(f"{argument}: {reason}; {known}", status_code=404)


def _fold(name: str) -> str:
    return unicodedata.normalize("NFC", name.strip().casefold())


def _has_name(kind: Kind[T, Any], each: T, name: str, fold: Callable[[str], str]) -> bool:
    return any(fold(known) == name for known in kind.names(each) if known)


def _is_deleted(each: Identified) -> bool:
    state: object = each.state
    return isinstance(state, str) and state.casefold() == "deleted"


def _did_you_mean(kind: Kind[T, Any], objects: Sequence[T], name: str) -> str:
    if kind.is_personal or "@" in name:  # Email addresses of one domain are always similar.
        return ""
    labels = {_fold(known): _label(kind, each) for each in objects for known in kind.names(each) if known}
    similar = get_close_matches(_fold(name), labels, n=1)
    return f" (did you mean {labels[similar[0]]}?)" if similar else ""


def _shown(kind: Kind[T, Any], objects: Sequence[T]) -> str:
    shown = ", ".join(_label(kind, each) for each in objects[:MOST_NAMED])
    return shown + (f" and {len(objects) - MOST_NAMED} more" if len(objects) > MOST_NAMED else "")


def _label(kind: Kind[T, Any], each: T) -> str:
    name = next(filter(None, kind.names(each)), None)
    return f"{each.id}" if kind.is_personal or name is None else f"{printable(name)[:_LONGEST_NAME]} ({each.id})"
