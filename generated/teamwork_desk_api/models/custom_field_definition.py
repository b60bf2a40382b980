from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from attrs import field as _field
from attrs import frozen as _frozen

from ..types import At, Hook, decode_int, decode_object, decode_str, encode, encode_values, ignore


@_frozen(kw_only=True, slots=False)
class CustomFieldDefinition:
    """A custom field of tickets, without a value."""

    id: int | None = None
    """The custom field's id."""
    name: str | None = None
    """The name."""
    agent_label: str | None = None
    """The name that agents see."""
    customer_label: str | None = None
    """The name that customers see."""
    kind: str | None = None
    """The kind of value, such as `text` or `dropdown`."""
    state: Literal["active", "deleted"] | str | None = None
    """Typically `active` or `deleted`."""
    additional_properties: dict[str, Any] = _field(factory=dict[str, Any], repr=False)
    """Properties that the contract does not describe."""

    @classmethod
    def from_dict(cls, source: Mapping[str, Any], at: At = None, hook: Hook = ignore) -> Self:
        """Decode leniently from a JSON object. Values that the contract does not allow are reported to the hook."""
        self = object.__new__(cls)
        # Storing the fields directly takes half the time of calling __init__ with them.
        fields = self.__dict__
        rest = {**source}
        pop = rest.pop
        value: Any
        fields["id"] = (
            value if type(value := pop("id", None)) is int or value is None else decode_int(value, at, "id", hook)
        )
        fields["name"] = (
            value if type(value := pop("name", None)) is str or value is None else decode_str(value, at, "name", hook)
        )
        fields["agent_label"] = (
            value
            if type(value := pop("agentLabel", None)) is str or value is None
            else decode_str(value, at, "agentLabel", hook)
        )
        fields["customer_label"] = (
            value
            if type(value := pop("customerLabel", None)) is str or value is None
            else decode_str(value, at, "customerLabel", hook)
        )
        fields["kind"] = (
            value if type(value := pop("kind", None)) is str or value is None else decode_str(value, at, "kind", hook)
        )
        fields["state"] = (
            value if type(value := pop("state", None)) is str or value is None else decode_str(value, at, "state", hook)
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
        if (value := fields["id"]) is not None:
            encoded["id"] = encode(value)
        if (value := fields["name"]) is not None:
            encoded["name"] = encode(value)
        if (value := fields["agent_label"]) is not None:
            encoded["agentLabel"] = encode(value)
        if (value := fields["customer_label"]) is not None:
            encoded["customerLabel"] = encode(value)
        if (value := fields["kind"]) is not None:
            encoded["kind"] = encode(value)
        if (value := fields["state"]) is not None:
            encoded["state"] = encode(value)
        return encoded
