"""The values that the type hint of an argument allows, and what is wrong with a value, in Python's words."""

from __future__ import annotations

import math
from collections import UserString
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, Protocol, TypeVar, Union, cast, get_args, get_origin, get_type_hints, runtime_checkable

import attrs

from teamwork_desk_api.types import encode

from ._checks import how_to_pass_an_int, name_only, type_name
from ._errors import RequestError
from ._wire import encode_json

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

_NOT_SEQUENCES = (str, int, bytes, bytearray, memoryview, UserString, Mapping)
"""Types of single values and of mappings. Some have the methods of a sequence, and for int the decision is fast."""
_DEEPEST_PATH = 10
"""A value may contain itself, so that its path has no end."""
_PLAIN_VALUES = "plain values, finite numbers and valid text"
_PLAIN_DTYPES = frozenset("bfiuU")
"""The kinds of numpy's types whose values `tolist` makes plain: bool, float, int and str. A date may become an int."""


@runtime_checkable
class SequenceNotStr(Protocol[T_co]):
    """A list, a tuple or another sequence, but not a str: `cc="a@b.c"` would be five addresses of one letter each."""

    def __contains__(self, value: object, /) -> bool: ...
    def __getitem__(self, index: int, /) -> T_co: ...
    def __iter__(self) -> Iterator[T_co]: ...
    def __len__(self) -> int: ...


def with_evaluated_hints(cls: type[T]) -> type[T]:
    """Evaluate the annotations of `__init__` of a class of attrs that inherits fields from another module.

    attrs copies them as text, which only the module of the base class can evaluate.
    """
    vars(cls)["__init__"].__annotations__.update(get_type_hints(cls))
    return cls


def is_sequence(value: object) -> bool:
    """Return whether a value is a sequence of other values. A str and bytes are single values."""
    if isinstance(value, (list, tuple)):
        return True
    # The check of the protocol is slow, so it comes after that of the types.
    return not isinstance(value, _NOT_SEQUENCES) and isinstance(value, SequenceNotStr) and dimensions(value) == 1


def dimensions(value: Any) -> int:
    """Return the number of dimensions of an array or a table of numpy or pandas; 1 for any other value.

    A loop over a table yields the names of its columns, so that a table must not pass for a sequence.
    """
    return getattr(value, "ndim", 1)


def _is_plain_array(value: object) -> bool:
    """Return whether `tolist` makes plain values of an array or a number of numpy or pandas."""
    return getattr(getattr(value, "dtype", None), "kind", None) in _PLAIN_DTYPES


def plain_items(values: Any) -> Any:
    """Return an array of numpy or pandas as a list of plain values. Any other value is returned as it is."""
    return values.tolist() if _is_plain_array(values) else values


def as_list(values: Any) -> Any:
    """Return a sequence as a list. Any other value is returned as it is."""
    return [*plain_items(values)] if is_sequence(values) else values


def as_dict(values: Any) -> Any:
    """Return a mapping as a dict. Any other value is returned as it is."""
    mapping: Any = values
    return {**mapping} if isinstance(values, Mapping) else values


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


def check(argument: str, value: object, hint: Any) -> None:
    """Check the value of an argument against its type hint.

    Raises:
        RequestError: The hint does not allow the value. The message never quotes the value.
    """
    if problem := problem_of(argument, value, hint):
        raise RequestError(problem)


def problem_of(path: str, value: Any, hint: Any) -> str | None:
    """Return what is wrong with a value, such as `cc[1]: expected a str, got int`; None if its hint allows it.

    Args:
        path: The argument, or the path of a value in it.
        value: The value.
        hint: The type hint, as `typing.get_type_hints` returns it.
    """
    problem = type_problem_of(path, value, hint)
    if problem or value is None:
        return problem
    return _problem_inside(path, value, next(member for member in _members(hint) if _fits(value, member)))


def type_problem_of(path: str, value: Any, hint: Any) -> str | None:
    """Return what is wrong with the type of a value, whatever is inside of the value; None if its hint allows it."""
    members = _members(hint)
    if any(_fits(value, member) for member in members) or (value is None and NoneType in members):
        return None
    return f"{path}: expected {_named(members)}, got {type_name(value)}{advice(value, members)}"


def _members(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def _is_sequence_hint(hint: Any) -> bool:
    return get_origin(hint) in (list, Sequence, SequenceNotStr)


def _fits(value: object, hint: Any) -> bool:
    """Return whether a value is of a type, whatever is inside of it."""
    if hint is Any:
        return True
    if _is_sequence_hint(hint):
        return is_sequence(value)
    if get_origin(hint) is Literal:
        return isinstance(value, str) and value in get_args(hint)
    if isinstance(value, bool):
        return hint is bool  # bool is a subclass of int, but True is not a number
    return isinstance(value, (int, float) if hint is float else get_origin(hint) or hint)


def _problem_inside(path: str, value: Any, hint: Any) -> str | None:
    """Return what is wrong inside a value of the right type."""
    problems: Iterable[str | None] = ()
    if _is_sequence_hint(hint):
        (item,) = get_args(hint)
        problems = (problem_of(f"{path}[{index}]", each, item) for index, each in enumerate(plain_items(value)))
    elif attrs.has(hint):
        hints = _hints_of(value)
        problems = (problem_of(f"{path}.{name}", getattr(value, name), hints[name]) for name in _fields_of(hint))
    elif not _has_json_form(value):
        return _without_json_form(path, value)
    return next(filter(None, problems), None)


def _hints_of(model: object) -> dict[str, Any]:
    return get_type_hints(type(model))


@cache
def _fields_of(model: type) -> tuple[str, ...]:
    return tuple(field.name for field in attrs.fields(model))


def _has_json_form(value: object) -> bool:
    try:
        encode_json(encode(value))
    except (TypeError, ValueError):
        return False
    return True


def _without_json_form(path: str, value: object, depth: int = 0) -> str:
    """Return the path of the innermost part that has no JSON form, and what is wrong with it."""
    kind, parts = type_name(value), cast("Iterable[tuple[str, Any]]", ())
    if isinstance(value, Mapping):
        mapping = cast("Mapping[object, object]", value)
        parts = ((f"{path}.{name_only(key)}", part) for key, part in mapping.items())
        if depth < _DEEPEST_PATH and not all(isinstance(key, str) for key in mapping):
            return f"{path}: expected a dict with str keys"
    elif isinstance(value, (list, tuple)):
        items = cast("Sequence[Any]", value)
        parts = ((f"{path}[{index}]", part) for index, part in enumerate(items))
    for where, part in parts if depth < _DEEPEST_PATH else ():
        if not _has_json_form(part):
            return _without_json_form(where, part, depth + 1)
    if isinstance(value, datetime) and value.tzinfo is None and not _is_missing(value):
        return f"{path}: the datetime needs a time zone, such as datetime.timezone.utc"
    if instead := _in_json(value):
        return f"{path}: {kind} has no JSON form; pass {instead}"
    got = "" if isinstance(value, (str, float, Mapping, list)) else f" (it is of the type {kind})"
    return f"{path}: the value has no JSON form{got}: use {_PLAIN_VALUES}"


def _in_json(value: Any) -> str | None:
    """Return what to pass instead of a value without a JSON form, if that is plain from its type."""
    if isinstance(value, (str, bytes, float, Mapping)):
        return None
    if _is_missing(value):
        return "None for a missing value"
    if _is_plain_array(value):
        return ".tolist()"
    return "list(...)" if isinstance(value, Iterable) and dimensions(value) == 1 else None


def _named(members: tuple[Any, ...]) -> str:
    return _either([_NAMES.get(get_origin(member), _name)(member) for member in members if member is not NoneType])


def _either(names: Sequence[str]) -> str:
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _name(hint: Any) -> str:
    name: str = hint.__name__
    return f"{'an' if name[0] in 'aeiouAEIO' else 'a'} {name}"


def _name_of_sequence(hint: Any) -> str:
    names = [_NAMES.get(get_origin(item), _name)(item).partition(" ")[2] for item in _members(*get_args(hint))]
    return f"a list or tuple of {_either(names)}"


def _name_of_mapping(hint: Any) -> str:
    key, _ = get_args(hint)
    return f"a dict with {key.__name__} keys"


def _name_of_literal(hint: Any) -> str:
    return _either([f'"{choice}"' for choice in get_args(hint)])


_NAMES: Mapping[Any, Callable[[Any], str]] = {
    **dict.fromkeys((list, Sequence, SequenceNotStr), _name_of_sequence),
    **dict.fromkeys((dict, Mapping), _name_of_mapping),
    Literal: _name_of_literal,
}


def _is_missing(value: object) -> bool:
    """Return whether a value stands for a missing value, as NaN and the values `NA` and `NaT` of pandas do."""
    return type(value).__name__ in ("NAType", "NaTType") or (isinstance(value, float) and math.isnan(value))


def advice(value: Any, members: tuple[Any, ...]) -> str:
    """Return how to make a value fit one of several types, if that is plain from the value's type."""
    if _is_missing(value):
        return "; pass None for a missing value" if NoneType in members else "; leave out missing values"
    if any(map(_is_sequence_hint, members)):
        return _advice_on_sequences(value)
    if bool in members and type_name(value).startswith("numpy.bool"):
        return "; pass bool(...)"
    if any(map(attrs.has, members)) and hasattr(value, "id"):
        return "; pass its id"
    return how_to_pass_an_int(value) if int in members else ""


def _advice_on_sequences(value: object) -> str:
    if attrs.has(type(value)) or isinstance(value, (str, int)) or dimensions(value) == 0:
        return "; pass a list, also for a single value"
    if isinstance(value, Mapping):
        return ""
    if dimensions(value) > 1:
        return "; pass a single column of it"
    return "; pass list(...)" if isinstance(value, Iterable) else ""
