from __future__ import annotations

import datetime
import uuid as _uuid
from collections.abc import Mapping
from typing import Any, Self

from attrs import field as _field
from attrs import frozen as _frozen

from ..types import (
    At,
    Hook,
    decode_datetime,
    decode_list,
    decode_object,
    decode_str,
    decode_uuid,
    encode,
    encode_datetime,
    encode_values,
    ignore,
)


@_frozen(kw_only=True, slots=False)
class Names:
    """Names"""

    dollar: str | None = None
    field_9lives: str | None = None
    ab: str | None = None
    a_b: str | None = None
    additional_properties_: str | None = None
    at: str | None = None
    body_: str | None = None
    class_: str | None = None
    cls: str | None = None
    datetime_: datetime.datetime | None = None
    decode_: str | None = None
    dict_: str | None = None
    enum: str | None = None
    example: str | None = None
    field: str | None = _field(default=None, repr=False)
    from_dict_: str | None = None
    hook: str | None = None
    ignore_: str | None = None
    list_: list[str] | None = None
    naïve_quoted: str | None = None
    properties: str | None = None
    self_: str | None = None
    title: str | None = None
    to_dict_: str | None = None
    type: str | None = None
    uuid: _uuid.UUID | None = None
    with_space: str | None = None
    x_secret: str | None = None
    additional_properties: dict[str, Any] = _field(factory=dict[str, Any], repr=False)
    """Properties that the contract does not describe. None is sent as null, while a field that is None is omitted."""

    @classmethod
    def from_dict(cls, source: Mapping[str, Any], at: At = None, hook: Hook = ignore) -> Self:
        """Decode leniently from a JSON object. Values that the contract does not allow are reported to the hook."""
        self = object.__new__(cls)
        # Storing the fields directly takes half the time of calling __init__ with them.
        fields = self.__dict__
        rest = {**source}
        pop = rest.pop
        value: Any
        fields["dollar"] = (
            value
            if type(value := pop("$dollar", None)) is str or value is None
            else decode_str(value, at, "$dollar", hook)
        )
        fields["field_9lives"] = (
            value
            if type(value := pop("9lives", None)) is str or value is None
            else decode_str(value, at, "9lives", hook)
        )
        fields["ab"] = (
            value if type(value := pop("a-b", None)) is str or value is None else decode_str(value, at, "a-b", hook)
        )
        fields["a_b"] = (
            value if type(value := pop("a_b", None)) is str or value is None else decode_str(value, at, "a_b", hook)
        )
        fields["additional_properties_"] = (
            value
            if type(value := pop("additional_properties", None)) is str or value is None
            else decode_str(value, at, "additional_properties", hook)
        )
        fields["at"] = (
            value if type(value := pop("at", None)) is str or value is None else decode_str(value, at, "at", hook)
        )
        fields["body_"] = (
            value if type(value := pop("body", None)) is str or value is None else decode_str(value, at, "body", hook)
        )
        fields["class_"] = (
            value if type(value := pop("class", None)) is str or value is None else decode_str(value, at, "class", hook)
        )
        fields["cls"] = (
            value if type(value := pop("cls", None)) is str or value is None else decode_str(value, at, "cls", hook)
        )
        fields["datetime_"] = (
            None if (value := pop("datetime", None)) is None else decode_datetime(value, at, "datetime", hook)
        )
        fields["decode_"] = (
            value
            if type(value := pop("decode", None)) is str or value is None
            else decode_str(value, at, "decode", hook)
        )
        fields["dict_"] = (
            value if type(value := pop("dict", None)) is str or value is None else decode_str(value, at, "dict", hook)
        )
        fields["enum"] = (
            value if type(value := pop("enum", None)) is str or value is None else decode_str(value, at, "enum", hook)
        )
        fields["example"] = (
            value
            if type(value := pop("example", None)) is str or value is None
            else decode_str(value, at, "example", hook)
        )
        fields["field"] = (
            value if type(value := pop("field", None)) is str or value is None else decode_str(value, at, "field", hook)
        )
        fields["from_dict_"] = (
            value
            if type(value := pop("from_dict", None)) is str or value is None
            else decode_str(value, at, "from_dict", hook)
        )
        fields["hook"] = (
            value if type(value := pop("hook", None)) is str or value is None else decode_str(value, at, "hook", hook)
        )
        fields["ignore_"] = (
            value
            if type(value := pop("ignore", None)) is str or value is None
            else decode_str(value, at, "ignore", hook)
        )
        fields["list_"] = (
            None if (value := pop("list", None)) is None else decode_list(value, at, "list", hook, decode_str)
        )
        fields["naïve_quoted"] = (
            value
            if type(value := pop('naïve "quoted"', None)) is str or value is None
            else decode_str(value, at, 'naïve "quoted"', hook)
        )
        fields["properties"] = (
            value
            if type(value := pop("properties", None)) is str or value is None
            else decode_str(value, at, "properties", hook)
        )
        fields["self_"] = (
            value if type(value := pop("self", None)) is str or value is None else decode_str(value, at, "self", hook)
        )
        fields["title"] = (
            value if type(value := pop("title", None)) is str or value is None else decode_str(value, at, "title", hook)
        )
        fields["to_dict_"] = (
            value
            if type(value := pop("to_dict", None)) is str or value is None
            else decode_str(value, at, "to_dict", hook)
        )
        fields["type"] = (
            value if type(value := pop("type", None)) is str or value is None else decode_str(value, at, "type", hook)
        )
        fields["uuid"] = None if (value := pop("uuid", None)) is None else decode_uuid(value, at, "uuid", hook)
        fields["with_space"] = (
            value
            if type(value := pop("with space", None)) is str or value is None
            else decode_str(value, at, "with space", hook)
        )
        fields["x_secret"] = (
            value
            if type(value := pop("x-secret", None)) is str or value is None
            else decode_str(value, at, "x-secret", hook)
        )
        fields["additional_properties"] = rest
        return self

    @classmethod
    def decode(cls, value: Any, at: At, key: str, hook: Hook) -> Self | None:
        """Decode a nested object, or report it to the hook if it is not an object."""
        return decode_object(cls.from_dict, value, at, key, hook)

    def to_dict(self) -> dict[str, Any]:
        """Turn the model into a plain JSON object. Fields that are None are omitted."""
        fields = self.__dict__
        value: Any
        encoded: dict[str, Any] = encode_values(rest) if (rest := fields["additional_properties"]) else {}
        if (value := fields["dollar"]) is not None:
            encoded["$dollar"] = value if type(value) is str else encode(value)
        if (value := fields["field_9lives"]) is not None:
            encoded["9lives"] = value if type(value) is str else encode(value)
        if (value := fields["ab"]) is not None:
            encoded["a-b"] = value if type(value) is str else encode(value)
        if (value := fields["a_b"]) is not None:
            encoded["a_b"] = value if type(value) is str else encode(value)
        if (value := fields["additional_properties_"]) is not None:
            encoded["additional_properties"] = value if type(value) is str else encode(value)
        if (value := fields["at"]) is not None:
            encoded["at"] = value if type(value) is str else encode(value)
        if (value := fields["body_"]) is not None:
            encoded["body"] = value if type(value) is str else encode(value)
        if (value := fields["class_"]) is not None:
            encoded["class"] = value if type(value) is str else encode(value)
        if (value := fields["cls"]) is not None:
            encoded["cls"] = value if type(value) is str else encode(value)
        if (value := fields["datetime_"]) is not None:
            encoded["datetime"] = encode_datetime(value)
        if (value := fields["decode_"]) is not None:
            encoded["decode"] = value if type(value) is str else encode(value)
        if (value := fields["dict_"]) is not None:
            encoded["dict"] = value if type(value) is str else encode(value)
        if (value := fields["enum"]) is not None:
            encoded["enum"] = value if type(value) is str else encode(value)
        if (value := fields["example"]) is not None:
            encoded["example"] = value if type(value) is str else encode(value)
        if (value := fields["field"]) is not None:
            encoded["field"] = value if type(value) is str else encode(value)
        if (value := fields["from_dict_"]) is not None:
            encoded["from_dict"] = value if type(value) is str else encode(value)
        if (value := fields["hook"]) is not None:
            encoded["hook"] = value if type(value) is str else encode(value)
        if (value := fields["ignore_"]) is not None:
            encoded["ignore"] = value if type(value) is str else encode(value)
        if (value := fields["list_"]) is not None:
            encoded["list"] = encode(value)
        if (value := fields["naïve_quoted"]) is not None:
            encoded['naïve "quoted"'] = value if type(value) is str else encode(value)
        if (value := fields["properties"]) is not None:
            encoded["properties"] = value if type(value) is str else encode(value)
        if (value := fields["self_"]) is not None:
            encoded["self"] = value if type(value) is str else encode(value)
        if (value := fields["title"]) is not None:
            encoded["title"] = value if type(value) is str else encode(value)
        if (value := fields["to_dict_"]) is not None:
            encoded["to_dict"] = value if type(value) is str else encode(value)
        if (value := fields["type"]) is not None:
            encoded["type"] = value if type(value) is str else encode(value)
        if (value := fields["uuid"]) is not None:
            encoded["uuid"] = encode(value)
        if (value := fields["with_space"]) is not None:
            encoded["with space"] = value if type(value) is str else encode(value)
        if (value := fields["x_secret"]) is not None:
            encoded["x-secret"] = value if type(value) is str else encode(value)
        return encoded
