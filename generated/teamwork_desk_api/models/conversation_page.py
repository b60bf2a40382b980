from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from attrs import field as _field
from attrs import frozen as _frozen

from ..types import (
    At,
    Hook,
    decode_any,
    decode_list_of_objects,
    decode_map,
    decode_object,
    encode,
    encode_values,
    ignore,
)


@_frozen(kw_only=True, slots=False)
class ConversationPage:
    """One page of a listing."""

    conversations: list[Conversation] | None = None
    """The conversations; null when there are none."""
    included: JsonObject | None = _field(default=None, repr=False)
    """The related objects that were requested with `includes`."""
    pagination: Pagination | None = None
    """The position of the page in the listing."""
    meta: JsonObject | None = _field(default=None, repr=False)
    """Other data about the page."""
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
        fields["conversations"] = (
            None
            if (value := pop("conversations", None)) is None
            else decode_list_of_objects(Conversation.from_dict, value, at, "conversations", hook)
        )
        fields["included"] = (
            None if (value := pop("included", None)) is None else decode_map(value, at, "included", hook, decode_any)
        )
        fields["pagination"] = (
            None
            if (value := pop("pagination", None)) is None
            else decode_object(Pagination.from_dict, value, at, "pagination", hook)
        )
        fields["meta"] = (
            None if (value := pop("meta", None)) is None else decode_map(value, at, "meta", hook, decode_any)
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
        if (value := fields["conversations"]) is not None:
            encoded["conversations"] = encode(value)
        if (value := fields["included"]) is not None:
            encoded["included"] = encode(value)
        if (value := fields["pagination"]) is not None:
            encoded["pagination"] = encode(value)
        if (value := fields["meta"]) is not None:
            encoded["meta"] = encode(value)
        return encoded


from .conversation import Conversation
from .json_object import JsonObject
from .pagination import Pagination
