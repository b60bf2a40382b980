"""What the generated modules stand on: lenient decoding, encoding, and a request as a value.

A decoder takes a value from JSON, the object it stands in, its key and a hook. A value that the contract does not
foresee becomes None and is told to the hook, so that an answer is never lost to it.
"""

from __future__ import annotations

import datetime
import enum
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, TypeAlias, TypeVar, cast
from urllib.parse import quote, urlencode

from attrs import field, frozen

T = TypeVar("T")

At: TypeAlias = "tuple[At, str] | None"
"""An object or array in an answer: the one that holds it, and its key. Linked, so that a path is only made when told."""
Hook: TypeAlias = Callable[[str, str, str], None]
"""Is told of a value that the contract does not foresee: its path, the JSON type expected, the JSON type got."""
Decoder: TypeAlias = Callable[[Any, At, str, Hook], T | None]

_PLAIN = frozenset({bool, float, int, str})
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
    """An answer that cannot be read at all; the message never holds a value of it."""


@frozen(kw_only=True)
class Request(Generic[T]):
    """One call of an operation, ready to be sent.

    Attributes:
        operation: The operationId.
        method: The HTTP method.
        target: The path and the query, percent-encoded.
        body: What is sent as JSON, or None for no body.
        decode: Turns the JSON of a 2xx answer into the result. Raises `DecodeError` if the answer cannot be read.
    """

    operation: str
    method: str
    target: str
    body: Any = field(default=None, repr=False)
    decode: Callable[[Any, Hook], T] = field(repr=False)


def ignore(path: str, expected: str, got: str) -> None:
    """Take note of nothing: the default hook."""


def unforeseen(value: Any, at: At, key: str, hook: Hook, expected: str) -> None:
    """Tell the hook of a value that the contract does not foresee."""
    keys = [key]
    while at is not None:
        at, key = at
        keys.append(key)
    hook(".".join(reversed(keys)).replace(".[]", "[]"), expected, _json_type(value))


def _json_type(value: Any) -> str:
    return _JSON_TYPES.get(value.__class__, "a value")


def decode_any(value: Any, at: At, key: str, hook: Hook) -> Any:
    """Decode JSON of any kind."""
    return value


def decode_str(value: Any, at: At, key: str, hook: Hook) -> str | None:
    """Decode a string."""
    if value is None or value.__class__ is str:
        return value
    unforeseen(value, at, key, hook, "string")
    return None


def decode_int(value: Any, at: At, key: str, hook: Hook) -> int | None:
    """Decode an integer; a boolean is none."""
    if value is None or value.__class__ is int:
        return value
    unforeseen(value, at, key, hook, "integer")
    return None


def decode_float(value: Any, at: At, key: str, hook: Hook) -> float | None:
    """Decode a number; a boolean is none."""
    if value is None or value.__class__ is float or value.__class__ is int:
        return value
    unforeseen(value, at, key, hook, "number")
    return None


def decode_bool(value: Any, at: At, key: str, hook: Hook) -> bool | None:
    """Decode a boolean."""
    if value is None or value.__class__ is bool:
        return value
    unforeseen(value, at, key, hook, "boolean")
    return None


def decode_datetime(value: Any, at: At, key: str, hook: Hook) -> datetime.datetime | None:
    """Decode a date-time: UTC where it names no zone, None for Go's zero time."""
    if value is None:
        return None
    try:
        moment = _fromisoformat(value)
    except (TypeError, ValueError):
        from dateutil.parser import isoparse  # noqa: PLC0415 (slow to import, rarely needed)

        try:
            moment = isoparse(value)
        except Exception:  # isoparse raises whatever its helpers raise
            unforeseen(value, at, key, hook, "date-time")
            return None
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


def decode_object(
    model: Callable[[Mapping[str, Any], At, Hook], T], value: Any, at: At, key: str, hook: Hook
) -> T | None:
    """Decode an object as a model; what is nested too deeply for the stack is unforeseen."""
    if value.__class__ is not dict:
        if value is not None:
            unforeseen(value, at, key, hook, "object")
        return None
    try:
        return model(value, (at, key), hook)
    except RecursionError:
        unforeseen(value, at, key, hook, "object of less depth")
        return None


def decode_list(value: Any, at: At, key: str, hook: Hook, item: Decoder[T]) -> list[T] | None:
    """Decode an array; an item that is null or unforeseen is left out."""
    if value is None:
        return None
    if value.__class__ is not list:
        unforeseen(value, at, key, hook, "array")
        return None
    if item is decode_any:
        return list(value)
    inner = (at, key)
    items: list[T] = []
    for entry in value:
        if (decoded := item(entry, inner, "[]", hook)) is not None:
            items.append(decoded)  # a comprehension is a call of its own before Python 3.12
    if None in value:
        unforeseen(None, inner, "[]", hook, "a value")
    return items


def decode_map(value: Any, at: At, key: str, hook: Hook, item: Decoder[T]) -> dict[str, T] | None:
    """Decode an object whose keys are data; a value that is null or unforeseen is left out."""
    if value is None:
        return None
    if value.__class__ is not dict:
        unforeseen(value, at, key, hook, "object")
        return None
    if item is decode_any:
        return dict(value)
    return decode_values(value, (at, key), hook, item)


def decode_values(values: Mapping[str, Any], at: At, hook: Hook, item: Decoder[T]) -> dict[str, T]:
    """Decode the values of an object whose keys are data; one that is null or unforeseen is left out."""
    return {name: decoded for name, entry in values.items() if (decoded := item(entry, at, "*", hook)) is not None}


def decode_union(value: Any, at: At, key: str, hook: Hook, members: Mapping[type, Decoder[Any]]) -> Any:
    """Decode one of several JSON types."""
    if value is None:
        return None
    decode = members.get(value.__class__)
    if decode is None:
        unforeseen(value, at, key, hook, " or ".join(_JSON_TYPES[member] for member in members))
        return None
    return decode(value, at, key, hook)


def decode_answer(
    model: Callable[[Mapping[str, Any], At, Hook], T],
    payload: Any,
    hook: Hook,
    *,
    envelope: str,
    required: Iterable[str],
) -> T:
    """Decode a whole answer, bare or in its envelope.

    Raises:
        DecodeError: It is no object, or one of the required properties is missing.
    """
    if envelope and payload.__class__ is dict and payload.get(envelope).__class__ is dict:
        payload = payload[envelope]
    if payload.__class__ is not dict:
        raise DecodeError(f"expected an object, got {_json_type(payload)}")
    answer = model(payload, None, hook)
    for name in required:
        if getattr(answer, name) is None:
            raise DecodeError(f"the answer has no usable {name!r}")
    return answer


def encode(value: Any) -> Any:
    """Encode a value as JSON holds it.

    Raises:
        TypeError: It has no JSON form.
        ValueError: A datetime has no zone, or the value holds itself or is nested too deeply.
    """
    if value is None or value.__class__ in _PLAIN:
        return value
    try:
        return _encode(value)
    except RecursionError:
        raise ValueError("an object is nested too deeply, or holds itself") from None


def _encode(value: Any) -> Any:
    if hasattr(value, "to_dict"):
        return value.to_dict()
    if isinstance(value, (list, tuple)):
        return [encode(entry) for entry in cast("Iterable[Any]", value)]
    if isinstance(value, Mapping):
        return {key: encode(entry) for key, entry in cast("Mapping[str, Any]", value).items()}
    if isinstance(value, datetime.datetime) and value.tzinfo is None:
        raise ValueError("a datetime needs a time zone")
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, enum.Enum):
        return encode(value.value)
    if isinstance(value, (str, int, float)):
        return value
    raise TypeError(f"{type(value).__name__} has no JSON form")


def path_segment(value: Any) -> str:
    """Encode a value for one segment of a path.

    Raises:
        ValueError: The path would lead elsewhere.
    """
    text = _text(value)
    if text in ("", ".", ".."):
        raise ValueError(f"{text!r} cannot be a part of a path")
    return quote(text, safe="")


def target(path: str, query: Mapping[str, Any]) -> str:
    """Join a path and a query; what is None is left out, a list is comma-separated."""
    pairs = [(name, _text(value)) for name, value in query.items() if value is not None]
    return f"{path}?{urlencode(pairs, quote_via=quote)}" if pairs else path


def _text(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ",".join(_text(item) for item in cast("Iterable[Any]", value))
    encoded = encode(value)
    return str(encoded).lower() if isinstance(encoded, bool) else str(encoded)
