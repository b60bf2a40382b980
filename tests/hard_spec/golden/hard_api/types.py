"""The runtime of the generated modules: lenient decoding, encoding, and a request as a value.

A decoder takes a value from JSON, the path of the object that contains it, its key and a hook. A value that the
contract does not allow becomes None and is reported to the hook, so that the rest of the response can still be used.
"""

from __future__ import annotations

import datetime
import enum
import sys
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Generic, TypeAlias, TypeVar, cast
from urllib.parse import quote, urlencode

from attrs import field, frozen

T = TypeVar("T")

Json: TypeAlias = dict[str, Any] | list[Any] | str | int | float | bool | None
"""A value that was decoded from JSON. A value of a subclass of these types does not count."""
At: TypeAlias = tuple[Any, str] | None
"""Where an object or array is in a response: the place of its container, and its own key.

Places are linked tuples, because the path is written out only when an unexpected value is reported. The first part is
a place, too: it is Any because runtime type checkers do not know recursive types.
"""
Hook: TypeAlias = Callable[[str, str, str], None]
"""Called for each value that the contract does not allow: its path, the expected JSON type, the actual JSON type."""
Decoder: TypeAlias = Callable[[Any, At, str, Hook], T | None]
"""Decodes a value, given its container's place, its own key and the hook."""
Model: TypeAlias = Callable[[Mapping[str, Any], At, Hook], T]
"""Decodes an object as a model, given its own place and the hook."""

_MOST_KEYS = 30
"""The most keys of a path in a report: a response may nest objects as deep as it likes. The last keys are shown."""
_LONGEST_PATH = 500
_LONGEST_DATE_TIME = 40
"""Characters. A date-time with nanoseconds and an offset has 35, and dateutil takes long to refuse a longer text."""
_PLAIN = frozenset({bool, float, int, str, type(None)})
_fromisoformat = datetime.datetime.fromisoformat
_JSON_TYPES = {
    bool: "boolean",
    dict: "object",
    float: "number",
    int: "integer",
    list: "array",
    str: "string",
    type(None): "null",
}


class DecodeError(ValueError):
    """A response that cannot be decoded at all. The message never contains a value of the response."""


def _show_path(target: str) -> str:
    return repr(target.partition("?")[0])


@frozen(kw_only=True)
class Request(Generic[T]):
    """A call of an operation, ready to be sent.

    Attributes:
        operation: The operationId.
        method: The HTTP method.
        target: The path and the query, percent-encoded. A repr shows the path only: a query may hold personal data.
        body: The JSON body, or None if the request has no body.
        decode: Turns the JSON of a 2xx response into the result. Raises `DecodeError` if it cannot be decoded.
    """

    operation: str
    method: str
    target: str = field(repr=_show_path)
    body: Any = field(default=None, repr=False)
    decode: Callable[[Any, Hook], T] = field(repr=False)


def complete_init(models: Iterable[Any]) -> None:
    """Let `typing.get_type_hints` and `inspect.signature` evaluate the annotations of `__init__` of models.

    attrs copies the names of the module for `__init__` when it makes the class. The other models are imported after
    that, because models may refer to each other in a circle.

    Args:
        models: The models. Anything else, such as an alias of a type, is left out.
    """
    for model in models:
        if isinstance(model, type):
            names: dict[str, Any] = getattr(vars(model).get("__init__"), "__globals__", {})
            names.update({**vars(sys.modules[model.__module__]), **names})


def ignore(path: str, expected: str, got: str) -> None:
    """Do nothing. This is the default hook."""


def unforeseen(value: Json, at: At, key: str, hook: Hook, expected: str) -> None:
    """Report a value that the contract does not allow to the hook."""
    keys = [key]
    while at is not None and len(keys) < _MOST_KEYS:
        at, key = at
        keys.append(key)
    # The key of an array's item is "[]", which follows the array's name without a dot.
    path = ".".join(reversed(keys)).replace(".[]", "[]")
    hook(path[-_LONGEST_PATH:], expected, _json_type(value))


def _json_type(value: Json) -> str:
    return _JSON_TYPES.get(type(value), "a value")


def decode_any(value: Any, at: At, key: str, hook: Hook) -> Any:
    """Return JSON of any type as it is."""
    return value


def decode_str(value: Any, at: At, key: str, hook: Hook) -> str | None:
    """Decode a string."""
    if value is None or type(value) is str:
        return value
    unforeseen(value, at, key, hook, "string")
    return None


def decode_int(value: Any, at: At, key: str, hook: Hook) -> int | None:
    """Decode an integer. A boolean is not an integer, although bool is a subclass of int."""
    if value is None or type(value) is int:
        return value
    unforeseen(value, at, key, hook, "integer")
    return None


def decode_float(value: Any, at: At, key: str, hook: Hook) -> float | None:
    """Decode a number. A boolean is not a number, although bool is a subclass of int."""
    if value is None or type(value) is float or type(value) is int:
        return value
    unforeseen(value, at, key, hook, "number")
    return None


def decode_bool(value: Any, at: At, key: str, hook: Hook) -> bool | None:
    """Decode a boolean."""
    if value is None or type(value) is bool:
        return value
    unforeseen(value, at, key, hook, "boolean")
    return None


def decode_datetime(value: Any, at: At, key: str, hook: Hook) -> datetime.datetime | None:
    """Decode a date-time. Without a time zone it is UTC, and Go's zero time is None."""
    if value is None:
        return None
    try:
        moment = _fromisoformat(value)
    except (TypeError, ValueError):
        if type(value) is not str or len(value) > _LONGEST_DATE_TIME:
            unforeseen(value, at, key, hook, "date-time")
            return None
        from dateutil.parser import isoparse  # noqa: PLC0415 - it is slow to import and rarely needed

        try:
            moment = isoparse(value)
        except Exception:  # isoparse does not document which exceptions it raises
            unforeseen(value, at, key, hook, "date-time")
            return None
    # Go writes a time that was never set as 0001-01-01T00:00:00Z.
    if moment.year == 1:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=datetime.timezone.utc)


def decode_date(value: Any, at: At, key: str, hook: Hook) -> datetime.date | None:
    """Decode a date."""
    if value is None:
        return None
    try:
        return datetime.date.fromisoformat(value)
    except (TypeError, ValueError):
        unforeseen(value, at, key, hook, "date")
        return None


def decode_uuid(value: Any, at: At, key: str, hook: Hook) -> uuid.UUID | None:
    """Decode a UUID."""
    if value is None:
        return None
    try:
        return uuid.UUID(value)
    except (AttributeError, TypeError, ValueError):
        unforeseen(value, at, key, hook, "uuid")
        return None


def decode_object(model: Model[T], value: Json, at: At, key: str, hook: Hook) -> T | None:
    """Decode an object as a model. An object that is nested too deeply for the stack is reported as unexpected."""
    if type(value) is not dict:
        if value is not None:
            unforeseen(value, at, key, hook, "object")
        return None
    try:
        return model(value, (at, key), hook)
    except RecursionError:
        unforeseen(value, at, key, hook, "object with less nesting")
        return None


def decode_list(value: Json, at: At, key: str, hook: Hook, item: Decoder[T]) -> list[T] | None:
    """Decode an array. Items that are null or unexpected are left out."""
    if type(value) is not list:
        if value is not None:
            unforeseen(value, at, key, hook, "array")
        return None
    # Most arrays hold values that need no conversion. Checking their types together is much faster than decoding each.
    if item is decode_any or _UNCONVERTED.get(item, _NOTHING).issuperset(map(type, value)):
        return list(value)
    return decode_items(value, (at, key), hook, item)


def decode_items(values: Iterable[Any], at: At, hook: Hook, item: Decoder[T]) -> list[T]:
    """Decode the items of an array. Items that are null or unexpected are left out, unless any value is allowed."""
    if item is decode_any:
        return list(values)
    items: list[T] = []
    # A loop is faster than a comprehension here: before Python 3.12 a comprehension is a function call of its own.
    for entry in values:
        if (decoded := item(entry, at, "[]", hook)) is not None:
            items.append(decoded)
        elif entry is None:
            unforeseen(None, at, "[]", hook, "a value")
    return items


def decode_list_of_objects(model: Model[T], value: Json, at: At, key: str, hook: Hook) -> list[T] | None:
    """Decode an array of objects as models. Items that are null or unexpected are left out."""
    if type(value) is not list:
        if value is not None:
            unforeseen(value, at, key, hook, "array")
        return None
    inner: At = (at, key)
    place: At = (inner, "[]")
    items: list[T] = []
    entry: Json
    for entry in value:
        if type(entry) is dict:
            try:
                items.append(model(entry, place, hook))
            except RecursionError:
                unforeseen(entry, inner, "[]", hook, "object with less nesting")
        else:
            unforeseen(entry, inner, "[]", hook, "object" if entry is not None else "a value")
    return items


def decode_map(value: Json, at: At, key: str, hook: Hook, item: Decoder[T]) -> dict[str, T] | None:
    """Decode an object whose keys are data. Values that are null or unexpected are left out."""
    if type(value) is not dict:
        if value is not None:
            unforeseen(value, at, key, hook, "object")
        return None
    return decode_values(value, (at, key), hook, item)


def decode_values(values: Mapping[str, Any], at: At, hook: Hook, item: Decoder[T]) -> dict[str, T]:
    """Decode the values of an object whose keys are data. Values that are null or unexpected are left out."""
    if item is decode_any or _UNCONVERTED.get(item, _NOTHING).issuperset(map(type, values.values())):
        return {**values}
    entries: dict[str, T] = {}
    for name, entry in values.items():
        if (decoded := item(entry, at, "*", hook)) is not None:
            entries[name] = decoded
        elif entry is None:
            unforeseen(None, at, "*", hook, "a value")
    return entries


def decode_map_of_objects(model: Model[T], value: Json, at: At, key: str, hook: Hook) -> dict[str, T] | None:
    """Decode an object whose values are models. Values that are null or unexpected are left out."""
    if type(value) is not dict:
        if value is not None:
            unforeseen(value, at, key, hook, "object")
        return None
    inner: At = (at, key)
    place: At = (inner, "*")
    entries: dict[str, T] = {}
    entry: Json
    for name, entry in value.items():
        if type(entry) is dict:
            try:
                entries[name] = model(entry, place, hook)
            except RecursionError:
                unforeseen(entry, inner, "*", hook, "object with less nesting")
        else:
            unforeseen(entry, inner, "*", hook, "a value" if entry is None else "object")
    return entries


def decode_union(value: Json, at: At, key: str, hook: Hook, members: Mapping[type, Decoder[Any]]) -> Any:
    """Decode a value that may have several JSON types, with the decoder for its actual type."""
    if value is None:
        return None
    decode = members.get(type(value))
    if decode is None:
        unforeseen(value, at, key, hook, " or ".join(_JSON_TYPES[member] for member in members))
        return None
    return decode(value, at, key, hook)


_NOTHING: frozenset[type] = frozenset()
_UNCONVERTED: dict[Any, frozenset[type]] = {
    decode_bool: frozenset({bool}),
    decode_float: frozenset({float, int}),
    decode_int: frozenset({int}),
    decode_str: frozenset({str}),
}
"""The types of the values that a decoder returns as they are."""


def expect_array(payload: Json) -> list[Any]:
    """Return a response that is an array.

    Raises:
        DecodeError: It is not an array.
    """
    if type(payload) is not list:
        raise DecodeError(f"expected an array, got {_json_type(payload)}")
    return payload


def expect_object(payload: Json) -> dict[str, Any]:
    """Return a response that is an object.

    Raises:
        DecodeError: It is not an object.
    """
    if type(payload) is not dict:
        raise DecodeError(f"expected an object, got {_json_type(payload)}")
    return payload


def decode_answer(
    model: Model[T],
    payload: Json,
    hook: Hook,
    *,
    envelope: str,
    declared: Collection[str] = (),
    required: Iterable[str],
) -> T:
    """Decode a whole response, with or without its envelope.

    The values beside the envelope become additional properties. A name that the object has itself, or that the
    contract declares for it, gets the prefix "../".

    Raises:
        DecodeError: The response is not an object, or it lacks a required property.
    """
    inner = whole = expect_object(payload)
    if envelope and type(whole.get(envelope)) is dict:
        inner = {**whole}.pop(envelope)
    elif envelope and envelope in whole:
        unforeseen(whole[envelope], None, envelope, hook, "object")
    decoded = model(inner, None, hook)
    for name in required:
        if getattr(decoded, name) is None:
            raise DecodeError(f"the response has no usable {name!r}")
    if inner is not whole and len(whole) > 1:
        rest: dict[str, Any] = vars(decoded)["additional_properties"]
        for name, value in whole.items():
            if name != envelope:
                rest[f"../{name}" if name in inner or name in declared else name] = value
    return decoded


def encode(value: object) -> Any:
    """Turn a value into plain JSON values.

    Raises:
        TypeError: The value has no JSON form.
        ValueError: A datetime has no time zone, or the value contains itself or is nested too deeply.
    """
    kind = type(value)
    if kind in _PLAIN:
        return value
    try:
        encoder = _ENCODERS.get(kind)
        return _encode_other(value) if encoder is None else encoder(value)
    except RecursionError:
        raise ValueError("an object is nested too deeply or contains itself") from None


def _encode_other(value: Any) -> Any:
    # Only a model is a class of attrs: the tables of pandas, for example, also have this method.
    if hasattr(value, "to_dict") and hasattr(value, "__attrs_attrs__"):
        return value.to_dict()
    for kind, encoder in _ENCODERS.items():
        if isinstance(value, kind):
            return encoder(value)
    if isinstance(value, Mapping):
        return encode_values(cast("Mapping[str, Any]", value))
    if isinstance(value, enum.Enum):
        return encode(value.value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def encode_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Turn the values of an object into plain JSON values."""
    if _PLAIN.issuperset(map(type, values.values())):
        return {**values}
    return {key: encode(entry) for key, entry in values.items()}


def _encode_items(values: Collection[Any]) -> list[Any]:
    if _PLAIN.issuperset(map(type, values)):
        return [*values]
    return [encode(entry) for entry in values]


def encode_datetime(value: Any) -> Any:
    """Turn a datetime into a text.

    Raises:
        ValueError: It has no time zone, or it is a date without a time.
    """
    if not isinstance(value, datetime.date):
        return encode(value)
    if not isinstance(value, datetime.datetime):
        raise ValueError("a datetime is needed, not a date")
    if value.tzinfo is None:
        raise ValueError("a datetime needs a time zone")
    return datetime.datetime.isoformat(value)  # a subclass may have a form of its own


def encode_date(value: Any) -> Any:
    """Turn a date, or an array or a map with dates, into plain JSON values.

    Raises:
        ValueError: There is a datetime, which would be sent with its time.
    """
    if isinstance(value, datetime.datetime):
        raise ValueError("a date is needed, not a datetime")
    if isinstance(value, (list, tuple)):
        return [encode_date(item) for item in cast("Iterable[Any]", value)]
    if isinstance(value, Mapping):
        return {key: encode_date(entry) for key, entry in cast("Mapping[str, Any]", value).items()}
    return encode(value)


_ENCODERS: dict[type, Callable[[Any], Any]] = {
    list: _encode_items,
    tuple: _encode_items,
    dict: encode_values,
    datetime.datetime: encode_datetime,
    datetime.date: datetime.date.isoformat,
    uuid.UUID: str,
    # A caller's subclass, such as an IntEnum member or a Markup, becomes the plain value. The methods of the builtin
    # types are called directly, because a subclass may override `__str__` to return something else.
    str: str.__str__,
    int: int.__int__,
    float: float.__float__,
}


def path_segment(value: Any) -> str:
    """Percent-encode a value as a single segment of a path.

    Raises:
        ValueError: The value is None, or it is empty, "." or "..", which would change the rest of the path.
    """
    text = _text(value)
    if text in ("", ".", ".."):
        raise ValueError(f"{text!r} cannot be a part of a path")
    return quote(text, safe="")


def target(path: str, query: Mapping[str, Any], repeated: Iterable[str] = ()) -> str:
    """Join a path and a query. Parameters that are None are omitted.

    Args:
        path: The path.
        query: The parameters. A list is comma-separated.
        repeated: The names of the parameters that are there once for each item of their list instead.

    Raises:
        ValueError: An item of a comma-separated list contains a comma, or an item is None.
    """
    pairs: list[tuple[str, str]] = []
    for name, value in query.items():
        if name in repeated and isinstance(value, (list, tuple)):
            pairs.extend((name, _text(item)) for item in cast("Iterable[Any]", value))
        elif value is not None:
            pairs.append((name, _text(value)))
    return f"{path}?{urlencode(pairs, quote_via=quote)}" if pairs else path


def _text(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        items = [_text(item) for item in cast("Iterable[Any]", value)]
        if any("," in item for item in items):
            raise ValueError("an item of a comma-separated list contains a comma")
        return ",".join(items)
    encoded = encode(value)
    if encoded is None:
        raise ValueError("None cannot be a part of a path or of a list in a query")
    return str(encoded).lower() if isinstance(encoded, bool) else str(encoded)
