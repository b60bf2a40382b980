from __future__ import annotations

import datetime
import uuid as _uuid
from collections.abc import Mapping
from typing import Any, Self

from attrs import field as _field
from attrs import frozen as _frozen

from ..types import At, Hook, decode_datetime, decode_list, decode_object, decode_str, decode_uuid, encode, ignore


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
    """What the contract does not know."""

    @classmethod
    def from_dict(cls, source: Mapping[str, Any], at: At = None, hook: Hook = ignore) -> Self:
        """Read it leniently from what JSON holds; the hook is told of what the contract does not foresee."""
        rest = {**source}
        pop = rest.pop
        return cls(
            dollar=decode_str(pop("$dollar", None), at, "$dollar", hook),
            field_9lives=decode_str(pop("9lives", None), at, "9lives", hook),
            ab=decode_str(pop("a-b", None), at, "a-b", hook),
            a_b=decode_str(pop("a_b", None), at, "a_b", hook),
            additional_properties_=decode_str(pop("additional_properties", None), at, "additional_properties", hook),
            at=decode_str(pop("at", None), at, "at", hook),
            body_=decode_str(pop("body", None), at, "body", hook),
            class_=decode_str(pop("class", None), at, "class", hook),
            cls=decode_str(pop("cls", None), at, "cls", hook),
            datetime_=decode_datetime(pop("datetime", None), at, "datetime", hook),
            decode_=decode_str(pop("decode", None), at, "decode", hook),
            dict_=decode_str(pop("dict", None), at, "dict", hook),
            enum=decode_str(pop("enum", None), at, "enum", hook),
            example=decode_str(pop("example", None), at, "example", hook),
            field=decode_str(pop("field", None), at, "field", hook),
            from_dict_=decode_str(pop("from_dict", None), at, "from_dict", hook),
            hook=decode_str(pop("hook", None), at, "hook", hook),
            ignore_=decode_str(pop("ignore", None), at, "ignore", hook),
            list_=decode_list(pop("list", None), at, "list", hook, decode_str),
            naïve_quoted=decode_str(pop('naïve "quoted"', None), at, 'naïve "quoted"', hook),
            properties=decode_str(pop("properties", None), at, "properties", hook),
            self_=decode_str(pop("self", None), at, "self", hook),
            title=decode_str(pop("title", None), at, "title", hook),
            to_dict_=decode_str(pop("to_dict", None), at, "to_dict", hook),
            type=decode_str(pop("type", None), at, "type", hook),
            uuid=decode_uuid(pop("uuid", None), at, "uuid", hook),
            with_space=decode_str(pop("with space", None), at, "with space", hook),
            x_secret=decode_str(pop("x-secret", None), at, "x-secret", hook),
            additional_properties=rest,
        )

    @classmethod
    def decode(cls, value: Any, at: At, key: str, hook: Hook) -> Self | None:
        """Decode it as a part of something larger."""
        return decode_object(cls.from_dict, value, at, key, hook)

    def to_dict(self) -> dict[str, Any]:
        """Write it as JSON holds it; what is None is left out."""
        encoded: dict[str, Any] = {key: encode(entry) for key, entry in self.additional_properties.items()}
        value: Any
        if (value := self.dollar) is not None:
            encoded["$dollar"] = value if value.__class__ is str else encode(value)
        if (value := self.field_9lives) is not None:
            encoded["9lives"] = value if value.__class__ is str else encode(value)
        if (value := self.ab) is not None:
            encoded["a-b"] = value if value.__class__ is str else encode(value)
        if (value := self.a_b) is not None:
            encoded["a_b"] = value if value.__class__ is str else encode(value)
        if (value := self.additional_properties_) is not None:
            encoded["additional_properties"] = value if value.__class__ is str else encode(value)
        if (value := self.at) is not None:
            encoded["at"] = value if value.__class__ is str else encode(value)
        if (value := self.body_) is not None:
            encoded["body"] = value if value.__class__ is str else encode(value)
        if (value := self.class_) is not None:
            encoded["class"] = value if value.__class__ is str else encode(value)
        if (value := self.cls) is not None:
            encoded["cls"] = value if value.__class__ is str else encode(value)
        if (value := self.datetime_) is not None:
            encoded["datetime"] = encode(value)
        if (value := self.decode_) is not None:
            encoded["decode"] = value if value.__class__ is str else encode(value)
        if (value := self.dict_) is not None:
            encoded["dict"] = value if value.__class__ is str else encode(value)
        if (value := self.enum) is not None:
            encoded["enum"] = value if value.__class__ is str else encode(value)
        if (value := self.example) is not None:
            encoded["example"] = value if value.__class__ is str else encode(value)
        if (value := self.field) is not None:
            encoded["field"] = value if value.__class__ is str else encode(value)
        if (value := self.from_dict_) is not None:
            encoded["from_dict"] = value if value.__class__ is str else encode(value)
        if (value := self.hook) is not None:
            encoded["hook"] = value if value.__class__ is str else encode(value)
        if (value := self.ignore_) is not None:
            encoded["ignore"] = value if value.__class__ is str else encode(value)
        if (value := self.list_) is not None:
            encoded["list"] = encode(value)
        if (value := self.naïve_quoted) is not None:
            encoded['naïve "quoted"'] = value if value.__class__ is str else encode(value)
        if (value := self.properties) is not None:
            encoded["properties"] = value if value.__class__ is str else encode(value)
        if (value := self.self_) is not None:
            encoded["self"] = value if value.__class__ is str else encode(value)
        if (value := self.title) is not None:
            encoded["title"] = value if value.__class__ is str else encode(value)
        if (value := self.to_dict_) is not None:
            encoded["to_dict"] = value if value.__class__ is str else encode(value)
        if (value := self.type) is not None:
            encoded["type"] = value if value.__class__ is str else encode(value)
        if (value := self.uuid) is not None:
            encoded["uuid"] = encode(value)
        if (value := self.with_space) is not None:
            encoded["with space"] = value if value.__class__ is str else encode(value)
        if (value := self.x_secret) is not None:
            encoded["x-secret"] = value if value.__class__ is str else encode(value)
        return encoded
