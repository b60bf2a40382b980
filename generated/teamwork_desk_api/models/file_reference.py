from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from attrs import field as _field
from attrs import frozen as _frozen

from ..types import (
    At,
    Hook,
    decode_int,
    decode_map,
    decode_object,
    decode_str,
    decode_union,
    encode,
    encode_values,
    ignore,
)


@_frozen(kw_only=True, slots=False)
class FileReference:
    """Where and how to upload the bytes of a file."""

    url: str | None = _field(default=None, repr=False)
    """Where to upload the bytes."""
    params: UploadForm | None = _field(default=None, repr=False)
    """The fields of the form that uploads the bytes. They are signed."""
    file: File | None = None
    """The file."""
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
        fields["url"] = (
            value if type(value := pop("url", None)) is str or value is None else decode_str(value, at, "url", hook)
        )
        fields["params"] = (
            None
            if (value := pop("params", None)) is None
            else decode_map(
                value,
                at,
                "params",
                hook,
                lambda value, at, key, hook: decode_union(value, at, key, hook, {str: decode_str, int: decode_int}),
            )
        )
        fields["file"] = (
            None if (value := pop("file", None)) is None else decode_object(File.from_dict, value, at, "file", hook)
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
        if (value := fields["url"]) is not None:
            encoded["url"] = value if type(value) is str else encode(value)
        if (value := fields["params"]) is not None:
            encoded["params"] = encode(value)
        if (value := fields["file"]) is not None:
            encoded["file"] = value.to_dict() if type(value) is File else encode(value)
        return encoded


from .file import File
from .upload_form import UploadForm
