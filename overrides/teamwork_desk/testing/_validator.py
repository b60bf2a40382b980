"""What Desk's Validator says of a request, in its own words: pairs of a field's path and a reason."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

_ADDRESS = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+")

_Problems = Iterator[tuple[str, str]]
_Check = Callable[[str, Any], _Problems]


def _typed(kind: type, message: str, path: str, value: Any) -> _Problems:
    if type(value) is not kind:
        yield path, message


_boolean: _Check = partial(_typed, bool, "must be a boolean")
_object: _Check = partial(_typed, dict, "must be an object")
_text: _Check = partial(_typed, str, "must be a string")
_whole: _Check = partial(_typed, int, "must be a whole number")


def one_of(choices: Iterable[str], path: str, value: Any) -> _Problems:
    if value not in choices:
        yield path, f"must be one of '{', '.join(choices)}'"


def page_number(path: str, text: str) -> _Problems:
    if not re.fullmatch("[1-9][0-9]{0,17}", text):
        yield path, "must be a whole number"


def _address(path: str, value: Any) -> _Problems:
    if not isinstance(value, str) or not _ADDRESS.fullmatch(value):
        yield path, "must be a valid email address"


def _subject(path: str, value: Any) -> _Problems:
    yield from _text(path, value)
    if isinstance(value, str) and len(value) > 255:
        yield path, "must be shorter than 256 characters"


def _identified(path: str, value: Any) -> _Problems:
    if value.__class__ is not dict:
        yield path, "must be an object"
    elif value.get("id") is None:
        yield f"{path}.id", "must be set"
    else:
        yield from _whole(f"{path}.id", value["id"])


def _kind(path: str, value: Any) -> _Problems:
    if type(value) not in (str, int):
        yield path, "must be a string or a whole number"


def _reference(path: str, value: Any) -> _Problems:
    yield from _identified(path, value)
    for name, check in {"type": _kind, "delete": _boolean, "meta": _object}.items():
        if value.__class__ is dict and value.get(name) is not None:
            yield from check(f"{path}.{name}", value[name])


def _tag(path: str, value: Any) -> _Problems:
    if not isinstance(value, str):
        yield from _reference(path, value)


def each(check: _Check, path: str, value: Any) -> _Problems:
    if value.__class__ is not list:
        yield path, "must be a list"
        return
    for index, item in enumerate(value):
        yield from check(f"{path}[{index}]", item)


def _customer(path: str, value: Any) -> _Problems:
    if value.__class__ is not dict:
        yield path, "must be an object"
        return
    for name, check in {"id": _whole, "email": _address}.items():
        if value.get(name) is not None:
            yield from check(f"{path}.{name}", value[name])


_CHECKS: dict[str, _Check] = {
    **dict.fromkeys(("agent", "inbox", "parent", "priority", "source", "status", "tickettemplate", "type"), _reference),
    **dict.fromkeys(("bcc", "cc"), partial(each, _address)),
    "customfields": partial(each, _identified),
    "files": partial(each, _reference),
    **dict.fromkeys(("fromThreadId", "fromTicketId"), _whole),
    **dict.fromkeys(("message", "sendFrom"), _text),
    "customer": _customer,
    "editMethod": partial(one_of, ("html", "markdown")),
    "email": _address,
    "notifyCustomer": _boolean,
    "scheduledEmail": _object,
    "subject": _subject,
    "tags": partial(each, _tag),
}


def problems_of(body: Any, *, has_contact: bool, old_installation: bool) -> list[tuple[str, str]]:
    if body.__class__ is not dict:
        return [("body", "must be a JSON object")]
    fields: dict[str, Any] = {name: value for name, value in body.items() if value is not None}
    if old_installation and fields.get("customer").__class__ is dict:
        fields["customer"] = {name: value for name, value in fields["customer"].items() if name != "email"}
        has_contact = False
    problems = [problem for name, check in _CHECKS.items() if name in fields for problem in check(name, fields[name])]
    customer = fields.setdefault("customer", {})
    if customer.__class__ is dict:
        has_id = customer.get("id") is not None
        has_email = customer.get("email") is not None or "email" in fields
        if has_id and has_email:
            problems.append(("customer", "cannot be 'id and email'"))
        if not (has_id or has_email or has_contact or "fromThreadId" in fields):
            problems.append(("customer", "must be set"))
    return problems


# The listing's filter.
