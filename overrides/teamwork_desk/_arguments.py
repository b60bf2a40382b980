"""The arguments of `convert`: the values that callers may pass, their JSON form, and the checks before sending."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache, partial
from typing import Any, NoReturn, cast, get_type_hints

import attrs

from teamwork_desk_api.api.conversations.convert_conversation import convert_conversation
from teamwork_desk_api.models import Conversation, ConvertConversation, CustomField, CustomFieldMeta, EntityRef
from teamwork_desk_api.types import DecodeError, Hook, Request, encode

from ._checks import how_to_pass_an_int, is_id, name_only, not_an_id, type_name, unknown_names
from ._email_fallback import resolve_customer
from ._errors import RequestError
from ._values import as_dict, as_list, check, is_sequence, kind_of, plain_items, problem_of
from ._wire import decoded_by, encode_json

_DIGITS = re.compile("[1-9][0-9]{0,18}")
"""An id as text, without leading zeros, so that two keys of an object cannot be the same id."""

NAMED = {
    "agent": "users",
    "inbox": "inboxes",
    "priority": "priorities",
    "source": "sources",
    "status": "statuses",
    "tags": "tags",
    "type": "types",
}
"""The arguments that refer to objects with names, with the client's attribute that finds the object with a name."""


def check_id(conversation_id: object) -> int:
    """Return the id of a conversation as a plain int: a subclass, such as an enum, may have a text of its own.

    Raises:
        RequestError: The value cannot be an id.
    """
    if not is_id(conversation_id):
        raise RequestError(not_an_id("conversation_id", conversation_id))
    return int.__int__(conversation_id)


def reference(value: Any) -> Any:
    """Return a plain id as a reference. Any other value is returned as it is, and `convert_request` checks it."""
    return EntityRef(id=int.__int__(value)) if isinstance(value, int) and not isinstance(value, bool) else value


def references(values: Any) -> Any:
    """Return a sequence with its plain ids as references. Any other value is returned as it is."""
    return [reference(value) for value in plain_items(values)] if is_sequence(values) else values


def custom_fields(fields: Any) -> Any:
    """Return custom fields, which may be a mapping from ids to values, as a list of models.

    A value that is None omits its field. Any other argument is returned as it is, and `convert_request` checks it.

    Raises:
        RequestError: An id is invalid, or a value has no JSON form. The message names the id, but not the value.
    """
    if isinstance(fields, Mapping):
        values = cast("Mapping[int, Any]", fields)
        fields = [
            CustomField(id=key, meta=CustomFieldMeta(value=value)) for key, value in values.items() if value is not None
        ]
        if values and not fields:
            return None  # Desk may take an empty list for an order to clear all fields.
    if not is_sequence(fields):
        return fields
    return [_checked_field(field) if isinstance(field, CustomField) else field for field in fields]


def _checked_field(field: CustomField) -> CustomField:
    if not is_id(field.id):
        # Show an int, so that the caller finds the field. Another value may be misplaced personal data.
        shown = str(field.id) if type(field.id) is int else type_name(field.id) + how_to_pass_an_int(field.id)
        raise RequestError(f"customfields: expected positive ints of at most 64 bits as ids, got {shown}")
    field = attrs.evolve(field, id=int.__int__(field.id))
    with suppress(TypeError, ValueError):
        encode_json(field.to_dict())
        return field
    # Raise outside the handler: the original exception may hold the value.
    where = f"customfields[{field.id}]"
    value: Any = getattr(field.meta, "value", None)
    raise RequestError(problem_of(where, value, Any) or f"{where}: the field has no JSON form")


def convert_body(*, customer: Any = None, email: Any = None, **fields: Any) -> ConvertConversation:
    """Return the body of the request that converts a conversation, from the arguments of `convert`.

    Args:
        customer: The customer.
        email: The deprecated argument.
        fields: The other arguments, without `conversation_id` and `verify_first`.

    Raises:
        RequestError: An argument is invalid. `convert_request` checks the rest.
    """
    for name, value in fields.items():
        if value is None:
            continue
        if name == "customfields":
            fields[name] = custom_fields(value)
        elif _models_of(ConvertConversation).get(name) is EntityRef:
            _reject_name(name, value)
            fields[name] = references(value) if name in _lists() else reference(value)
        elif name in _lists():
            fields[name] = as_list(value)
        else:
            fields[name] = as_dict(value)
    return ConvertConversation(customer=resolve_customer(customer, email), **fields)


def _reject_name(argument: str, value: object) -> None:
    """Reject a str, and say how to find an id by a name. The value is not quoted, because it may be personal data."""
    if argument not in NAMED or not isinstance(value, str):
        return
    found = f"(await desk.{NAMED[argument]}.find(...)).id"
    if argument == "tags":
        expected, advice = "a list or tuple of EntityRef, int or str", f"pass [{found}], or a list of words"
    else:
        expected, advice = "an EntityRef or an int", f"to find an id by its name: {found}"
    raise RequestError(f"{argument}: expected {expected}, got str; {advice}")


def check_arguments(conversation_id: object, arguments: Mapping[str, Any], fields: type) -> Any:
    """Check the arguments of `convert` as it does, without sending anything.

    Args:
        conversation_id: The conversation.
        arguments: The other arguments.
        fields: The class whose type hints are those of the arguments.

    Returns:
        The body of the request, as `json` encodes it.

    Raises:
        RequestError: An argument is invalid.
    """
    body = {**arguments}
    check_verify_first(body.pop("verify_first", None))
    return convert_request(check_id(conversation_id), convert_body(**body), fields).body


def check_verify_first(verify_first: object) -> None:
    """Check the argument `verify_first`.

    Raises:
        RequestError: It is neither a bool nor None.
    """
    # Reading the type hint would take a hundredth of a call.
    if verify_first is not None and not isinstance(verify_first, bool):
        check("verify_first", verify_first, bool | None)


def convert_request(conversation_id: int, body: ConvertConversation, fields: type) -> Request[Conversation]:
    """Build the request that converts a conversation.

    Its response is decoded only if it is about this conversation: a connection may hold a response that was meant for
    another request.

    Args:
        conversation_id: The conversation's id.
        body: The arguments.
        fields: The class whose type hints are those of the arguments.

    Raises:
        RequestError: An argument cannot be encoded, or has a type that its hint does not allow.
    """
    with suppress(TypeError, ValueError):
        _reject_other_models(body)
        request = convert_conversation(conversation_id, body=body)
        encode_json(request.body)
        # Decoding reports every value of an unexpected type, so it is also the check of what goes out.
        ConvertConversation.from_dict(request.body, hook=_reject)
        return decoded_by(request, partial(_decode_own, conversation_id, request.decode))
    # Look for the argument only now, because nearly every call is right. Without a handler there is no context either.
    hints = get_type_hints(fields)
    problems = (problem_of(name, getattr(body, name), hint) for name, hint in hints.items())
    raise RequestError(next(filter(None, problems), "an argument has a value that cannot be sent"))


def _reject_other_models(body: ConvertConversation) -> None:
    """Reject a dict or an object such as an `Inbox` as a reference: its other fields may be personal data."""
    for name, model in _models_of(ConvertConversation).items():
        value: Any = getattr(body, name)
        if value is None:
            continue
        each: Any
        for each in cast("Sequence[Any]", value if isinstance(value, (list, tuple)) else [value]):
            if isinstance(each, Mapping) or (hasattr(each, "to_dict") and not isinstance(each, model)):
                raise TypeError


def _decode_own(
    conversation_id: int, decode: Callable[[Any, Hook], Conversation], payload: Any, hook: Hook
) -> Conversation:
    conversation = decode(payload, hook)
    # The id 0 is Go's zero value, which names no conversation.
    if conversation.id not in (conversation_id, 0):
        raise DecodeError("it is about another conversation")
    return conversation


def _reject(*_: str) -> NoReturn:
    raise TypeError


@cache
def _models_of(model: type) -> Mapping[str, type]:
    """Return the model of the objects in each field that has one, as the contract describes them."""
    hints = get_type_hints(model)
    return {name: inner for name, hint in hints.items() for inner in kind_of(hint).types if attrs.has(inner)}


@cache
def _lists() -> frozenset[str]:
    """Return the arguments that are lists."""
    hints = get_type_hints(ConvertConversation)
    return frozenset(name for name, hint in hints.items() if kind_of(hint).is_list)


def to_json(arguments: Mapping[str, Any], fields: type) -> dict[str, Any]:
    """Return arguments of `convert` as plain JSON values, which `from_json` reads.

    Args:
        arguments: The arguments.
        fields: The class whose type hints are those of the arguments.

    Raises:
        RequestError: An argument has a type that its hint does not allow.
    """
    hints = get_type_hints(fields)
    for name, value in arguments.items():
        check(name, value, hints[name])
    return {name: encode(as_list(value)) for name, value in arguments.items()}


def from_json(name: str, value: Any) -> Any:
    """Return an argument of `convert` from its JSON form, with models for its objects. `convert` checks the rest.

    Args:
        name: The argument.
        value: Its value, as decoded from JSON.

    Raises:
        RequestError: An object has a field that its model does not have, or a custom field's id is not a number.
    """
    model = _models_of(ConvertConversation).get(name)
    if type(value) is list:
        # Models are at most one list deep: convert rejects lists of lists.
        return [_from_object(name, model, each) for each in cast("Sequence[Any]", value)]
    if model is CustomField and type(value) is dict:
        return {_id_from_key(name, key): each for key, each in cast("dict[str, Any]", value).items()}
    return _from_object(name, model, value)


def _from_object(name: str, model: type | None, value: Any) -> Any:
    """Return an object as its model. Any other value is returned as it is."""
    if type(value) is not dict or model is None:
        return cast("Any", value)
    fields = cast("dict[str, Any]", value)
    known = {field.name for field in attrs.fields(model)} - {"additional_properties"}
    if unknown := fields.keys() - known:
        raise RequestError(f"{name}: {unknown_names(f'{model.__name__} field', unknown, known)}")
    models = _models_of(model)
    return model(**{key: _from_object(name, models.get(key), part) for key, part in fields.items()})


def _id_from_key(name: str, key: str) -> int:
    if not _DIGITS.fullmatch(key):
        raise RequestError(f"{name}: expected the ids of custom fields as keys, got {name_only(key)}")
    return int(key)
