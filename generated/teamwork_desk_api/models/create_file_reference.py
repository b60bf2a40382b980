from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from attrs import field as _field
from attrs import frozen as _frozen

from ..types import At, Hook, decode_object, decode_str, encode, encode_values, ignore


@_frozen(kw_only=True, slots=False)
class CreateFileReference:
    """A file that is to be uploaded."""

    type: Literal["attachment"] | str
    """Always `attachment`."""
    filename: str = _field(repr=False)
    """The file's name."""
    mime_type: str
    """The file's media type, such as `application/pdf`."""
    disposition: Literal["attachment", "attachment-inline"] | str
    """Whether the file is attached, or shown in the message."""
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
        fields["type"] = (
            value if type(value := pop("type", None)) is str or value is None else decode_str(value, at, "type", hook)
        )
        fields["filename"] = (
            value
            if type(value := pop("filename", None)) is str or value is None
            else decode_str(value, at, "filename", hook)
        )
        fields["mime_type"] = (
            value
            if type(value := pop("mimeType", None)) is str or value is None
            else decode_str(value, at, "mimeType", hook)
        )
        fields["disposition"] = (
            value
            if type(value := pop("disposition", None)) is str or value is None
            else decode_str(value, at, "disposition", hook)
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
        if (value := fields["type"]) is not None:
            encoded["type"] = value if type(value) is str else encode(value)
        if (value := fields["filename"]) is not None:
            encoded["filename"] = value if type(value) is str else encode(value)
        if (value := fields["mime_type"]) is not None:
            encoded["mimeType"] = value if type(value) is str else encode(value)
        if (value := fields["disposition"]) is not None:
            encoded["disposition"] = value if type(value) is str else encode(value)
        return encoded
