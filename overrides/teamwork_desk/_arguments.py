"""The arguments of `convert`: the values that callers may pass, their JSON form, and the checks before sending."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from types import NoneType, UnionType
from typing import Any, Literal, NoReturn, Protocol, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import attrs

from teamwork_desk_api.api.conversations.convert_conversation import convert_conversation
from teamwork_desk_api.models import Conversation, ConvertConversation, EntityRef
from teamwork_desk_api.types import DecodeError, Hook, Request

from ._checks import is_id, unknown_names
from ._errors import RequestError
from ._wire import decoded_by

T_co = TypeVar("T_co", covariant=True)


class SequenceNotStr(Protocol[T_co]):
    """A list or a tuple, but not a str: `cc="a@b.c"` would be five addresses of one letter each."""

    def __contains__(self, value: object, /) -> bool: ...
    def __getitem__(self, index: int, /) -> T_co: ...
    def __len__(self) -> int: ...


@attrs.frozen
class Kind:
    """The values that the type hint of an argument or of a field allows.

    Attributes:
        types: The types of a value, or of each value in a list.
        is_list: Whether it is a list of such values.
        choices: The values that the contract names, if it names any.
    """

    types: frozenset[type]
    is_list: bool = False
    choices: tuple[str, ...] = ()


def kind_of(hint: Any) -> Kind:
    """Return the kind of a type hint. The command and FakeDesk derive from it which values an argument accepts."""
    members = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    types: set[type] = set()
    choices: tuple[str, ...] = ()
    for member in members:
        origin = get_origin(member)
        if origin in (list, Sequence, SequenceNotStr):
            return attrs.evolve(kind_of(*get_args(member)), is_list=True)
        if origin is Literal:
            choices = get_args(member)
        elif member is not NoneType:
            types.add(origin or member)
    return Kind(frozenset(types), choices=choices)


def check_id(conversation_id: object) -> int:
    """Return the id of a conversation as a plain int: a subclass, such as an enum, may have a text of its own.

    Raises:
        RequestError: The value cannot be an id.
    """
    if not is_id(conversation_id):
        raise RequestError("conversation_id: expected a positive int of at most 64 bits")
    return int(conversation_id)


def reference(value: Any) -> Any:
    """Return a plain id as a reference. Any other value is returned as it is, and `convert_request` checks it."""
    return EntityRef(id=int(value)) if isinstance(value, int) and not isinstance(value, bool) else value


def references(values: Any) -> Any:
    """Return a list or tuple with its plain ids as references. Any other value is returned as it is."""
    if not isinstance(values, (list, tuple)):
        return values
    return [reference(value) for value in cast("Sequence[Any]", values)]


def convert_request(conversation_id: int, body: ConvertConversation) -> Request[Conversation]:
    """Build the request that converts a conversation.

    Its response is decoded only if it is about this conversation: a connection may hold a response that was meant for
    another request.

    Raises:
        RequestError: An argument cannot be encoded, or has a type that the contract does not describe.
    """
    try:
        request = convert_conversation(conversation_id, body=body)
    except (TypeError, ValueError) as error:
        raise RequestError(f"an argument cannot be sent: {error}") from None
    # Decoding reports every value of an unexpected type, so it is also the check of what goes out.
    ConvertConversation.from_dict(request.body, hook=_reject)
    return decoded_by(request, partial(_decode_own, conversation_id, request.decode))


def _decode_own(
    conversation_id: int, decode: Callable[[Any, Hook], Conversation], payload: Any, hook: Hook
) -> Conversation:
    conversation = decode(payload, hook)
    # The id 0 is Go's zero value, which names no conversation.
    if conversation.id not in (conversation_id, 0):
        raise DecodeError("it is about another conversation")
    return conversation


def _reject(path: str, expected: str, got: str) -> NoReturn:
    argument = re.sub("[A-Z]", lambda letter: f"_{letter[0].lower()}", path)
    model = _models().get(argument.removesuffix("[]"))
    if model is None:
        name = "a mapping"
    elif model is EntityRef:
        name = "an EntityRef or an id"
    else:
        name = f"a {model.__name__}"
    raise RequestError(f"{argument}: expected {expected.replace('object', name)}, got {got}")


@cache
def _models() -> Mapping[str, type]:
    """Return the model of the objects in each argument that has one, as the contract describes them."""
    hints = get_type_hints(ConvertConversation)
    return {name: model for name, hint in hints.items() for model in kind_of(hint).types if attrs.has(model)}


def from_json(name: str, value: Any) -> Any:
    """Return an argument of `convert` from its JSON form, with models for its objects. `convert` checks the rest.

    Args:
        name: The argument.
        value: Its value, as decoded from JSON.

    Raises:
        RequestError: An object has a field that its model does not have.
    """
    if type(value) is list:
        # Models are at most one list deep: convert rejects lists of lists.
        return [from_json(name, each) if type(each) is dict else each for each in cast("Sequence[Any]", value)]
    model = _models().get(name)
    if type(value) is not dict or model is None:
        return cast("Any", value)
    fields = cast("dict[str, Any]", value)
    known = {field.name for field in attrs.fields(model)} - {"additional_properties"}
    if unknown := fields.keys() - known:
        raise RequestError(f"{name}: {unknown_names(f'{model.__name__} field', unknown, known)}")
    return model(**fields)
