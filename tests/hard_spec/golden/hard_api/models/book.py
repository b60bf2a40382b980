from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from attrs import field as _field
from attrs import frozen as _frozen

from ..types import At, Hook, decode_int, decode_object, decode_str, encode, encode_values, ignore

_KNOWN = frozenset({"id", "pin", "state", "pages", "password"})


@_frozen(kw_only=True, slots=False)
class Book:
    """Book"""

    id: int | None = None
    pin: str | None = _field(default=None, repr=False)
    state: Literal["new", "used"] | str | None = None
    pages: int | None = None
    password: str | None = _field(default=None, repr=False)
    additional_properties: dict[str, Any] = _field(factory=dict[str, Any], repr=False)
    """Properties that the contract does not describe."""

    @classmethod
    def from_dict(cls, source: Mapping[str, Any], at: At = None, hook: Hook = ignore) -> Self:
        """Decode leniently from a JSON object. Values that the contract does not allow are reported to the hook."""
        self = cls.__new__(cls)
        # The values are checked where they are, and only some are replaced: an __init__ would take twice as long.
        fields = self.__dict__
        fields.update(source)
        get = fields.get
        value: Any
        if type(value := get("id")) is not int:
            fields["id"] = None if value is None else decode_int(value, at, "id", hook)
        if type(value := get("pin")) is not str:
            fields["pin"] = None if value is None else decode_str(value, at, "pin", hook)
        if type(value := get("state")) is not str:
            fields["state"] = None if value is None else decode_str(value, at, "state", hook)
        if type(value := get("pages")) is not int:
            fields["pages"] = None if value is None else decode_int(value, at, "pages", hook)
        if type(value := get("password")) is not str:
            fields["password"] = None if value is None else decode_str(value, at, "password", hook)
        rest: dict[str, Any] = {} if len(fields) == 5 else {key: fields.pop(key) for key in source if key not in _KNOWN}
        fields["additional_properties"] = rest
        return self

    @classmethod
    def decode(cls, value: Any, at: At, key: str, hook: Hook) -> Self | None:
        """Decode a nested object, or report it to the hook if it is not an object."""
        return decode_object(cls.from_dict, value, at, key, hook)

    def to_dict(self) -> dict[str, Any]:
        """Turn the model into a plain JSON object. Fields that are None are omitted."""
        encoded: dict[str, Any] = encode_values(rest) if (rest := self.additional_properties) else {}
        value: Any
        if (value := self.id) is not None:
            encoded["id"] = value if type(value) is int else encode(value)
        if (value := self.pin) is not None:
            encoded["pin"] = value if type(value) is str else encode(value)
        if (value := self.state) is not None:
            encoded["state"] = value if type(value) is str else encode(value)
        if (value := self.pages) is not None:
            encoded["pages"] = value if type(value) is int else encode(value)
        if (value := self.password) is not None:
            encoded["password"] = value if type(value) is str else encode(value)
        return encoded
