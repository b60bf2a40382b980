"""The rules of Desk's validator, with its own messages. A check yields pairs of a field's path and a reason."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, TypeGuard, get_type_hints

from teamwork_desk_api.models import ConvertConversation, CustomerRef, CustomField, EntityRef

from .._values import Kind, kind_of

_ADDRESS = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+")
_Check = Callable[[str, Any], Iterator[tuple[str, str]]]


def _is_object(value: Any) -> TypeGuard[dict[str, Any]]:
    return type(value) is dict


def _is_list(value: Any) -> TypeGuard[list[Any]]:
    return type(value) is list


def _typed(expected: type, message: str, path: str, value: Any) -> Iterator[tuple[str, str]]:
    if type(value) is not expected:
        yield path, message


_boolean: _Check = partial(_typed, bool, "must be a boolean")
_object: _Check = partial(_typed, dict, "must be an object")
_text: _Check = partial(_typed, str, "must be a string")
_whole: _Check = partial(_typed, int, "must be a whole number")


def one_of(choices: Iterable[str], path: str, value: Any) -> Iterator[tuple[str, str]]:
    if value not in choices:
        yield path, f"must be one of ‘{', '.join(choices)}’"


def page_number(path: str, text: str) -> Iterator[tuple[str, str]]:
    # The contract sets no upper limit. Python does not convert text of more than 4,300 digits.
    if not re.fullmatch("[1-9][0-9]{0,99}", text):
        yield path, "must be a whole number"


def each(check: _Check, path: str, value: Any) -> Iterator[tuple[str, str]]:
    if not _is_list(value):
        yield path, "must be a list"
        return
    for index, item in enumerate(value):
        yield from check(f"{path}[{index}]", item)


def _address(path: str, value: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(value, str) or not _ADDRESS.fullmatch(value):
        yield path, "must be a valid email address"


def _subject(path: str, value: Any) -> Iterator[tuple[str, str]]:
    yield from _text(path, value)
    if isinstance(value, str) and len(value) > 255:
        yield path, "must be shorter than 256 characters"


def _identified(path: str, value: Any) -> Iterator[tuple[str, str]]:
    if not _is_object(value):
        yield path, "must be an object"
    elif value.get("id") is None:
        yield f"{path}.id", "must be set"
    else:
        yield from _whole(f"{path}.id", value["id"])


def _type_of_reference(path: str, value: Any) -> Iterator[tuple[str, str]]:
    if type(value) not in (str, int):
        yield path, "must be a string or a whole number"


def _reference(path: str, value: Any) -> Iterator[tuple[str, str]]:
    yield from _identified(path, value)
    for name, check in {"type": _type_of_reference, "delete": _boolean, "meta": _object}.items():
        if _is_object(value) and value.get(name) is not None:
            yield from check(f"{path}.{name}", value[name])


def _custom_field(path: str, value: Any) -> Iterator[tuple[str, str]]:
    yield from _identified(path, value)
    if _is_object(value) and value.get("meta") is not None:
        yield from _object(f"{path}.meta", value["meta"])


def _text_or(check: _Check, path: str, value: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(value, str):
        yield from check(path, value)


def _customer(path: str, value: Any) -> Iterator[tuple[str, str]]:
    if not _is_object(value):
        yield path, "must be an object"
        return
    for name, check in {"id": _whole, "email": _address}.items():
        if value.get(name) is not None:
            yield from check(f"{path}.{name}", value[name])


# The contract only says that these are strings. Desk has a rule of its own for each.
_RULES: dict[str, _Check] = {"bcc": _address, "cc": _address, "email": _address, "subject": _subject}
_TYPES: dict[type, _Check] = {
    bool: _boolean,
    int: _whole,
    CustomerRef: _customer,
    CustomField: _custom_field,
    EntityRef: _reference,
}


def _check_of(kind: Kind) -> _Check:
    """Return the check of a value, or of a value in a list. Each type that is not in `_TYPES` is an object in JSON."""
    if kind.choices:
        return partial(one_of, kind.choices)
    if kind.types <= {str}:
        return _text
    (expected,) = kind.types - {str}
    check = _TYPES.get(expected, _object)
    return partial(_text_or, check) if str in kind.types else check


def _checks() -> Iterator[tuple[str, _Check]]:
    """Yield the check of each field in the contract, by the field's name in JSON."""
    for name, hint in get_type_hints(ConvertConversation).items():
        if name == "additional_properties":
            continue
        kind = kind_of(hint)
        check = _RULES.get(name) or _check_of(kind)
        yield json_name(name), partial(each, check) if kind.is_list else check


def json_name(name: str) -> str:
    """Return the name in JSON of an argument of `convert`."""
    model = ConvertConversation()
    vars(model)[name] = ""
    (found,) = model.to_dict()
    return found


_CHECKS: dict[str, _Check] = dict(_checks())


def problems_of(body: Any, *, has_contact: bool, old_installation: bool) -> list[tuple[str, str]]:
    if not _is_object(body):
        return [("body", "must be a JSON object")]
    fields: dict[str, Any] = {name: value for name, value in body.items() if value is not None}
    if old_installation and _is_object(fields.get("customer")):
        fields["customer"] = {name: value for name, value in fields["customer"].items() if name != "email"}
        has_contact = False
    problems = [problem for name, check in _CHECKS.items() if name in fields for problem in check(name, fields[name])]
    customer = fields.setdefault("customer", {})
    if _is_object(customer):
        has_id = customer.get("id") is not None
        has_email = customer.get("email") is not None or "email" in fields
        if not (has_id or has_email or has_contact or "fromThreadId" in fields):
            problems.append(("customer", "must be set"))
    return problems
