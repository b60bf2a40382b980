from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from attrs import field as _field
from attrs import frozen as _frozen

from ..types import At, Hook, decode_object, decode_str, encode, ignore


@_frozen(kw_only=True, slots=False)
class CreateFileReference:
    """A file that is to be uploaded."""

    type: Literal["attachment"] | str | None = None
    """Always `attachment`."""
    filename: str | None = _field(default=None, repr=False)
    """The file's name."""
    mime_type: str | None = None
    """The file's media type, such as `application/pdf`."""
    disposition: Literal["attachment", "attachment-inline"] | str | None = None
    """Whether the file is attached, or shown in the message."""
    additional_properties: dict[str, Any] = _field(factory=dict[str, Any], repr=False)
    """Properties that the contract does not describe."""

    @classmethod
    def from_dict(cls, source: Mapping[str, Any], at: At = None, hook: Hook = ignore) -> Self:
        """Decode leniently from a JSON object. Values that the contract does not allow are reported to the hook."""
        rest = {**source}
        pop = rest.pop
        return cls(
            type=value
            if (value := pop("type", None)) is None or type(value) is str
            else decode_str(value, at, "type", hook),
            filename=value
            if (value := pop("filename", None)) is None or type(value) is str
            else decode_str(value, at, "filename", hook),
            mime_type=value
            if (value := pop("mimeType", None)) is None or type(value) is str
            else decode_str(value, at, "mimeType", hook),
            disposition=value
            if (value := pop("disposition", None)) is None or type(value) is str
            else decode_str(value, at, "disposition", hook),
            additional_properties=rest,
        )

    @classmethod
    def decode(cls, value: Any, at: At, key: str, hook: Hook) -> Self | None:
        """Decode a nested object, or report it to the hook if it is not an object."""
        return decode_object(cls.from_dict, value, at, key, hook)

    def to_dict(self) -> dict[str, Any]:
        """Turn the model into a plain JSON object. Fields that are None are omitted."""
        encoded: dict[str, Any] = {key: encode(entry) for key, entry in self.additional_properties.items()}
        value: Any
        if (value := self.type) is not None:
            encoded["type"] = value if type(value) is str else encode(value)
        if (value := self.filename) is not None:
            encoded["filename"] = value if type(value) is str else encode(value)
        if (value := self.mime_type) is not None:
            encoded["mimeType"] = value if type(value) is str else encode(value)
        if (value := self.disposition) is not None:
            encoded["disposition"] = value if type(value) is str else encode(value)
        return encoded
