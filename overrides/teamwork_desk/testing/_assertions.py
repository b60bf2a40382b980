"""Assertions about converted conversations, with the arguments of `desk.conversations.convert`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from difflib import ndiff
from typing import Any, TypeGuard, cast

from teamwork_desk_api.models import CustomerRef, EntityRef
from teamwork_desk_api.types import encode

from .._arguments import custom_fields
from ..backlog import ConvertedFields
from ._records import Ticket
from ._validator import json_name


def the_one_ticket(tickets: Sequence[Ticket], conversation_id: int, expected: Mapping[str, Any]) -> Ticket:
    """Return the one ticket of a conversation.

    Raises:
        AssertionError: The conversation has no ticket or several, or a field differs.
        TypeError: `convert` has no argument of an expected field's name.
    """
    __tracebackhide__ = True
    if unknown := expected.keys() - ConvertedFields.__annotations__.keys():
        raise TypeError(f"convert() has no such field: {', '.join(sorted(unknown))}")
    found = tickets_of(tickets, conversation_id)
    if len(found) != 1:
        raise AssertionError(
            f"expected conversation {conversation_id} to be converted once, got {_how_often(len(found))}"
            f"{_elsewhere(tickets, conversation_id)}"
        )
    (ticket,) = found
    if differences := [*_differences(ticket.body, expected)]:
        raise AssertionError("\n  ".join([f"conversation {conversation_id} was converted once, but:", *differences]))
    return ticket


def no_ticket(tickets: Sequence[Ticket], conversation_id: int) -> None:
    """Check that a conversation has no ticket.

    Raises:
        AssertionError: The conversation has a ticket.
    """
    __tracebackhide__ = True
    if found := tickets_of(tickets, conversation_id):
        raise AssertionError(
            f"expected conversation {conversation_id} not to be converted, got {_how_often(len(found))}"
        )


def tickets_of(tickets: Sequence[Ticket], conversation_id: int) -> list[Ticket]:
    """Return the tickets of one conversation."""
    return [ticket for ticket in tickets if ticket.conversation_id == conversation_id]


def _how_often(times: int) -> str:
    return {0: "not at all", 1: "once"}.get(times, f"{times} times")


def _elsewhere(tickets: Sequence[Ticket], conversation_id: int) -> str:
    counts = Counter(ticket.conversation_id for ticket in tickets if ticket.conversation_id != conversation_id)
    return "".join(f"\n  conversation {other}: {_how_often(times)}" for other, times in sorted(counts.items()))


def _differences(body: Mapping[str, Any], expected: Mapping[str, Any]) -> Iterator[str]:
    for name, value in expected.items():
        form = _fields_by_id if name == "customfields" else _plain
        wanted, got = form(value), form(_sent(body, name))
        if wanted == got:
            continue
        if isinstance(wanted, str) and isinstance(got, str) and "\n" in wanted and "\n" in got:
            yield f"{name}: expected (-), got (+)"
            yield from (f"  {line.rstrip()}" for line in ndiff(wanted.split("\n"), got.split("\n")))
        else:
            yield f"{name}: expected {_shown(wanted)}, got {_shown(got)}"


def _sent(body: Mapping[str, Any], name: str) -> Any:
    if name == "customer" and body.get("email") is not None:
        # The client sends the address in the deprecated field if the installation does not know `customer.email`.
        customer: dict[str, Any] = body.get("customer") or {}
        return {**customer, "email": body["email"]}
    return body.get(json_name(name))


def _is_sequence(value: Any) -> TypeGuard[Sequence[Any]]:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _plain(value: Any) -> Any:
    """Return a value in the shortest form that `convert` accepts, such as an id for a reference with only an id."""
    if isinstance(value, (EntityRef, CustomerRef)):
        value = value.to_dict()
    if isinstance(value, Mapping):
        plain = {key: _plain(part) for key, part in cast("Mapping[str, Any]", value).items()}
        return next(iter(plain.values())) if plain.keys() in ({"id"}, {"email"}) else plain
    if _is_sequence(value):
        return [_plain(part) for part in value]
    return value


def _fields_by_id(value: Any) -> Any:
    """Return custom fields as the mapping from ids to values that `convert` accepts, if they have no other data."""
    fields: list[Any] | None = encode(custom_fields(value))
    if fields is None or not all(map(_is_simple, fields)):
        return fields
    return {field["id"]: field["meta"]["value"] for field in fields}


def _is_simple(field: Any) -> bool:
    match field:
        case {"id": int(), "meta": {"value": _, **other}, **more}:
            return not other and not more
        case _:
            return False


def _shown(value: Any) -> str:
    return "nothing" if value is None else repr(value)
