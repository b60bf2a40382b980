from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from attrs import field as _field
from attrs import frozen as _frozen

from ..types import (
    At,
    Hook,
    decode_bool,
    decode_float,
    decode_int,
    decode_object,
    decode_str,
    encode,
    encode_values,
    ignore,
)


@_frozen(kw_only=True, slots=False)
class Many:
    """Many"""

    field0: int | None = None
    field1: str | None = None
    field2: bool | None = None
    field3: float | None = None
    field4: int | None = None
    field5: str | None = None
    field6: bool | None = None
    field7: float | None = None
    field8: int | None = None
    field9: str | None = None
    field10: bool | None = None
    field11: float | None = None
    field12: int | None = None
    field13: str | None = None
    field14: bool | None = None
    field15: float | None = None
    field16: int | None = None
    field17: str | None = None
    field18: bool | None = None
    field19: float | None = None
    field20: int | None = None
    field21: str | None = None
    field22: bool | None = None
    field23: float | None = None
    field24: int | None = None
    field25: str | None = None
    field26: bool | None = None
    field27: float | None = None
    field28: int | None = None
    field29: str | None = None
    field30: bool | None = None
    field31: float | None = None
    field32: int | None = None
    field33: str | None = None
    field34: bool | None = None
    field35: float | None = None
    field36: int | None = None
    field37: str | None = None
    field38: bool | None = None
    field39: float | None = None
    field40: int | None = None
    field41: str | None = None
    field42: bool | None = None
    field43: float | None = None
    field44: int | None = None
    field45: str | None = None
    field46: bool | None = None
    field47: float | None = None
    field48: int | None = None
    field49: str | None = None
    field50: bool | None = None
    field51: float | None = None
    field52: int | None = None
    field53: str | None = None
    field54: bool | None = None
    field55: float | None = None
    field56: int | None = None
    field57: str | None = None
    field58: bool | None = None
    field59: float | None = None
    field60: int | None = None
    field61: str | None = None
    field62: bool | None = None
    field63: float | None = None
    field64: int | None = None
    field65: str | None = None
    field66: bool | None = None
    field67: float | None = None
    field68: int | None = None
    field69: str | None = None
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
        fields["field0"] = (
            value
            if type(value := pop("field0", None)) is int or value is None
            else decode_int(value, at, "field0", hook)
        )
        fields["field1"] = (
            value
            if type(value := pop("field1", None)) is str or value is None
            else decode_str(value, at, "field1", hook)
        )
        fields["field2"] = (
            value
            if type(value := pop("field2", None)) is bool or value is None
            else decode_bool(value, at, "field2", hook)
        )
        fields["field3"] = (
            value
            if type(value := pop("field3", None)) is float or type(value) is int or value is None
            else decode_float(value, at, "field3", hook)
        )
        fields["field4"] = (
            value
            if type(value := pop("field4", None)) is int or value is None
            else decode_int(value, at, "field4", hook)
        )
        fields["field5"] = (
            value
            if type(value := pop("field5", None)) is str or value is None
            else decode_str(value, at, "field5", hook)
        )
        fields["field6"] = (
            value
            if type(value := pop("field6", None)) is bool or value is None
            else decode_bool(value, at, "field6", hook)
        )
        fields["field7"] = (
            value
            if type(value := pop("field7", None)) is float or type(value) is int or value is None
            else decode_float(value, at, "field7", hook)
        )
        fields["field8"] = (
            value
            if type(value := pop("field8", None)) is int or value is None
            else decode_int(value, at, "field8", hook)
        )
        fields["field9"] = (
            value
            if type(value := pop("field9", None)) is str or value is None
            else decode_str(value, at, "field9", hook)
        )
        fields["field10"] = (
            value
            if type(value := pop("field10", None)) is bool or value is None
            else decode_bool(value, at, "field10", hook)
        )
        fields["field11"] = (
            value
            if type(value := pop("field11", None)) is float or type(value) is int or value is None
            else decode_float(value, at, "field11", hook)
        )
        fields["field12"] = (
            value
            if type(value := pop("field12", None)) is int or value is None
            else decode_int(value, at, "field12", hook)
        )
        fields["field13"] = (
            value
            if type(value := pop("field13", None)) is str or value is None
            else decode_str(value, at, "field13", hook)
        )
        fields["field14"] = (
            value
            if type(value := pop("field14", None)) is bool or value is None
            else decode_bool(value, at, "field14", hook)
        )
        fields["field15"] = (
            value
            if type(value := pop("field15", None)) is float or type(value) is int or value is None
            else decode_float(value, at, "field15", hook)
        )
        fields["field16"] = (
            value
            if type(value := pop("field16", None)) is int or value is None
            else decode_int(value, at, "field16", hook)
        )
        fields["field17"] = (
            value
            if type(value := pop("field17", None)) is str or value is None
            else decode_str(value, at, "field17", hook)
        )
        fields["field18"] = (
            value
            if type(value := pop("field18", None)) is bool or value is None
            else decode_bool(value, at, "field18", hook)
        )
        fields["field19"] = (
            value
            if type(value := pop("field19", None)) is float or type(value) is int or value is None
            else decode_float(value, at, "field19", hook)
        )
        fields["field20"] = (
            value
            if type(value := pop("field20", None)) is int or value is None
            else decode_int(value, at, "field20", hook)
        )
        fields["field21"] = (
            value
            if type(value := pop("field21", None)) is str or value is None
            else decode_str(value, at, "field21", hook)
        )
        fields["field22"] = (
            value
            if type(value := pop("field22", None)) is bool or value is None
            else decode_bool(value, at, "field22", hook)
        )
        fields["field23"] = (
            value
            if type(value := pop("field23", None)) is float or type(value) is int or value is None
            else decode_float(value, at, "field23", hook)
        )
        fields["field24"] = (
            value
            if type(value := pop("field24", None)) is int or value is None
            else decode_int(value, at, "field24", hook)
        )
        fields["field25"] = (
            value
            if type(value := pop("field25", None)) is str or value is None
            else decode_str(value, at, "field25", hook)
        )
        fields["field26"] = (
            value
            if type(value := pop("field26", None)) is bool or value is None
            else decode_bool(value, at, "field26", hook)
        )
        fields["field27"] = (
            value
            if type(value := pop("field27", None)) is float or type(value) is int or value is None
            else decode_float(value, at, "field27", hook)
        )
        fields["field28"] = (
            value
            if type(value := pop("field28", None)) is int or value is None
            else decode_int(value, at, "field28", hook)
        )
        fields["field29"] = (
            value
            if type(value := pop("field29", None)) is str or value is None
            else decode_str(value, at, "field29", hook)
        )
        fields["field30"] = (
            value
            if type(value := pop("field30", None)) is bool or value is None
            else decode_bool(value, at, "field30", hook)
        )
        fields["field31"] = (
            value
            if type(value := pop("field31", None)) is float or type(value) is int or value is None
            else decode_float(value, at, "field31", hook)
        )
        fields["field32"] = (
            value
            if type(value := pop("field32", None)) is int or value is None
            else decode_int(value, at, "field32", hook)
        )
        fields["field33"] = (
            value
            if type(value := pop("field33", None)) is str or value is None
            else decode_str(value, at, "field33", hook)
        )
        fields["field34"] = (
            value
            if type(value := pop("field34", None)) is bool or value is None
            else decode_bool(value, at, "field34", hook)
        )
        fields["field35"] = (
            value
            if type(value := pop("field35", None)) is float or type(value) is int or value is None
            else decode_float(value, at, "field35", hook)
        )
        fields["field36"] = (
            value
            if type(value := pop("field36", None)) is int or value is None
            else decode_int(value, at, "field36", hook)
        )
        fields["field37"] = (
            value
            if type(value := pop("field37", None)) is str or value is None
            else decode_str(value, at, "field37", hook)
        )
        fields["field38"] = (
            value
            if type(value := pop("field38", None)) is bool or value is None
            else decode_bool(value, at, "field38", hook)
        )
        fields["field39"] = (
            value
            if type(value := pop("field39", None)) is float or type(value) is int or value is None
            else decode_float(value, at, "field39", hook)
        )
        fields["field40"] = (
            value
            if type(value := pop("field40", None)) is int or value is None
            else decode_int(value, at, "field40", hook)
        )
        fields["field41"] = (
            value
            if type(value := pop("field41", None)) is str or value is None
            else decode_str(value, at, "field41", hook)
        )
        fields["field42"] = (
            value
            if type(value := pop("field42", None)) is bool or value is None
            else decode_bool(value, at, "field42", hook)
        )
        fields["field43"] = (
            value
            if type(value := pop("field43", None)) is float or type(value) is int or value is None
            else decode_float(value, at, "field43", hook)
        )
        fields["field44"] = (
            value
            if type(value := pop("field44", None)) is int or value is None
            else decode_int(value, at, "field44", hook)
        )
        fields["field45"] = (
            value
            if type(value := pop("field45", None)) is str or value is None
            else decode_str(value, at, "field45", hook)
        )
        fields["field46"] = (
            value
            if type(value := pop("field46", None)) is bool or value is None
            else decode_bool(value, at, "field46", hook)
        )
        fields["field47"] = (
            value
            if type(value := pop("field47", None)) is float or type(value) is int or value is None
            else decode_float(value, at, "field47", hook)
        )
        fields["field48"] = (
            value
            if type(value := pop("field48", None)) is int or value is None
            else decode_int(value, at, "field48", hook)
        )
        fields["field49"] = (
            value
            if type(value := pop("field49", None)) is str or value is None
            else decode_str(value, at, "field49", hook)
        )
        fields["field50"] = (
            value
            if type(value := pop("field50", None)) is bool or value is None
            else decode_bool(value, at, "field50", hook)
        )
        fields["field51"] = (
            value
            if type(value := pop("field51", None)) is float or type(value) is int or value is None
            else decode_float(value, at, "field51", hook)
        )
        fields["field52"] = (
            value
            if type(value := pop("field52", None)) is int or value is None
            else decode_int(value, at, "field52", hook)
        )
        fields["field53"] = (
            value
            if type(value := pop("field53", None)) is str or value is None
            else decode_str(value, at, "field53", hook)
        )
        fields["field54"] = (
            value
            if type(value := pop("field54", None)) is bool or value is None
            else decode_bool(value, at, "field54", hook)
        )
        fields["field55"] = (
            value
            if type(value := pop("field55", None)) is float or type(value) is int or value is None
            else decode_float(value, at, "field55", hook)
        )
        fields["field56"] = (
            value
            if type(value := pop("field56", None)) is int or value is None
            else decode_int(value, at, "field56", hook)
        )
        fields["field57"] = (
            value
            if type(value := pop("field57", None)) is str or value is None
            else decode_str(value, at, "field57", hook)
        )
        fields["field58"] = (
            value
            if type(value := pop("field58", None)) is bool or value is None
            else decode_bool(value, at, "field58", hook)
        )
        fields["field59"] = (
            value
            if type(value := pop("field59", None)) is float or type(value) is int or value is None
            else decode_float(value, at, "field59", hook)
        )
        fields["field60"] = (
            value
            if type(value := pop("field60", None)) is int or value is None
            else decode_int(value, at, "field60", hook)
        )
        fields["field61"] = (
            value
            if type(value := pop("field61", None)) is str or value is None
            else decode_str(value, at, "field61", hook)
        )
        fields["field62"] = (
            value
            if type(value := pop("field62", None)) is bool or value is None
            else decode_bool(value, at, "field62", hook)
        )
        fields["field63"] = (
            value
            if type(value := pop("field63", None)) is float or type(value) is int or value is None
            else decode_float(value, at, "field63", hook)
        )
        fields["field64"] = (
            value
            if type(value := pop("field64", None)) is int or value is None
            else decode_int(value, at, "field64", hook)
        )
        fields["field65"] = (
            value
            if type(value := pop("field65", None)) is str or value is None
            else decode_str(value, at, "field65", hook)
        )
        fields["field66"] = (
            value
            if type(value := pop("field66", None)) is bool or value is None
            else decode_bool(value, at, "field66", hook)
        )
        fields["field67"] = (
            value
            if type(value := pop("field67", None)) is float or type(value) is int or value is None
            else decode_float(value, at, "field67", hook)
        )
        fields["field68"] = (
            value
            if type(value := pop("field68", None)) is int or value is None
            else decode_int(value, at, "field68", hook)
        )
        fields["field69"] = (
            value
            if type(value := pop("field69", None)) is str or value is None
            else decode_str(value, at, "field69", hook)
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
        if (value := fields["field0"]) is not None:
            encoded["field0"] = value if type(value) is int else encode(value)
        if (value := fields["field1"]) is not None:
            encoded["field1"] = value if type(value) is str else encode(value)
        if (value := fields["field2"]) is not None:
            encoded["field2"] = value if type(value) is bool else encode(value)
        if (value := fields["field3"]) is not None:
            encoded["field3"] = value if type(value) is float else encode(value)
        if (value := fields["field4"]) is not None:
            encoded["field4"] = value if type(value) is int else encode(value)
        if (value := fields["field5"]) is not None:
            encoded["field5"] = value if type(value) is str else encode(value)
        if (value := fields["field6"]) is not None:
            encoded["field6"] = value if type(value) is bool else encode(value)
        if (value := fields["field7"]) is not None:
            encoded["field7"] = value if type(value) is float else encode(value)
        if (value := fields["field8"]) is not None:
            encoded["field8"] = value if type(value) is int else encode(value)
        if (value := fields["field9"]) is not None:
            encoded["field9"] = value if type(value) is str else encode(value)
        if (value := fields["field10"]) is not None:
            encoded["field10"] = value if type(value) is bool else encode(value)
        if (value := fields["field11"]) is not None:
            encoded["field11"] = value if type(value) is float else encode(value)
        if (value := fields["field12"]) is not None:
            encoded["field12"] = value if type(value) is int else encode(value)
        if (value := fields["field13"]) is not None:
            encoded["field13"] = value if type(value) is str else encode(value)
        if (value := fields["field14"]) is not None:
            encoded["field14"] = value if type(value) is bool else encode(value)
        if (value := fields["field15"]) is not None:
            encoded["field15"] = value if type(value) is float else encode(value)
        if (value := fields["field16"]) is not None:
            encoded["field16"] = value if type(value) is int else encode(value)
        if (value := fields["field17"]) is not None:
            encoded["field17"] = value if type(value) is str else encode(value)
        if (value := fields["field18"]) is not None:
            encoded["field18"] = value if type(value) is bool else encode(value)
        if (value := fields["field19"]) is not None:
            encoded["field19"] = value if type(value) is float else encode(value)
        if (value := fields["field20"]) is not None:
            encoded["field20"] = value if type(value) is int else encode(value)
        if (value := fields["field21"]) is not None:
            encoded["field21"] = value if type(value) is str else encode(value)
        if (value := fields["field22"]) is not None:
            encoded["field22"] = value if type(value) is bool else encode(value)
        if (value := fields["field23"]) is not None:
            encoded["field23"] = value if type(value) is float else encode(value)
        if (value := fields["field24"]) is not None:
            encoded["field24"] = value if type(value) is int else encode(value)
        if (value := fields["field25"]) is not None:
            encoded["field25"] = value if type(value) is str else encode(value)
        if (value := fields["field26"]) is not None:
            encoded["field26"] = value if type(value) is bool else encode(value)
        if (value := fields["field27"]) is not None:
            encoded["field27"] = value if type(value) is float else encode(value)
        if (value := fields["field28"]) is not None:
            encoded["field28"] = value if type(value) is int else encode(value)
        if (value := fields["field29"]) is not None:
            encoded["field29"] = value if type(value) is str else encode(value)
        if (value := fields["field30"]) is not None:
            encoded["field30"] = value if type(value) is bool else encode(value)
        if (value := fields["field31"]) is not None:
            encoded["field31"] = value if type(value) is float else encode(value)
        if (value := fields["field32"]) is not None:
            encoded["field32"] = value if type(value) is int else encode(value)
        if (value := fields["field33"]) is not None:
            encoded["field33"] = value if type(value) is str else encode(value)
        if (value := fields["field34"]) is not None:
            encoded["field34"] = value if type(value) is bool else encode(value)
        if (value := fields["field35"]) is not None:
            encoded["field35"] = value if type(value) is float else encode(value)
        if (value := fields["field36"]) is not None:
            encoded["field36"] = value if type(value) is int else encode(value)
        if (value := fields["field37"]) is not None:
            encoded["field37"] = value if type(value) is str else encode(value)
        if (value := fields["field38"]) is not None:
            encoded["field38"] = value if type(value) is bool else encode(value)
        if (value := fields["field39"]) is not None:
            encoded["field39"] = value if type(value) is float else encode(value)
        if (value := fields["field40"]) is not None:
            encoded["field40"] = value if type(value) is int else encode(value)
        if (value := fields["field41"]) is not None:
            encoded["field41"] = value if type(value) is str else encode(value)
        if (value := fields["field42"]) is not None:
            encoded["field42"] = value if type(value) is bool else encode(value)
        if (value := fields["field43"]) is not None:
            encoded["field43"] = value if type(value) is float else encode(value)
        if (value := fields["field44"]) is not None:
            encoded["field44"] = value if type(value) is int else encode(value)
        if (value := fields["field45"]) is not None:
            encoded["field45"] = value if type(value) is str else encode(value)
        if (value := fields["field46"]) is not None:
            encoded["field46"] = value if type(value) is bool else encode(value)
        if (value := fields["field47"]) is not None:
            encoded["field47"] = value if type(value) is float else encode(value)
        if (value := fields["field48"]) is not None:
            encoded["field48"] = value if type(value) is int else encode(value)
        if (value := fields["field49"]) is not None:
            encoded["field49"] = value if type(value) is str else encode(value)
        if (value := fields["field50"]) is not None:
            encoded["field50"] = value if type(value) is bool else encode(value)
        if (value := fields["field51"]) is not None:
            encoded["field51"] = value if type(value) is float else encode(value)
        if (value := fields["field52"]) is not None:
            encoded["field52"] = value if type(value) is int else encode(value)
        if (value := fields["field53"]) is not None:
            encoded["field53"] = value if type(value) is str else encode(value)
        if (value := fields["field54"]) is not None:
            encoded["field54"] = value if type(value) is bool else encode(value)
        if (value := fields["field55"]) is not None:
            encoded["field55"] = value if type(value) is float else encode(value)
        if (value := fields["field56"]) is not None:
            encoded["field56"] = value if type(value) is int else encode(value)
        if (value := fields["field57"]) is not None:
            encoded["field57"] = value if type(value) is str else encode(value)
        if (value := fields["field58"]) is not None:
            encoded["field58"] = value if type(value) is bool else encode(value)
        if (value := fields["field59"]) is not None:
            encoded["field59"] = value if type(value) is float else encode(value)
        if (value := fields["field60"]) is not None:
            encoded["field60"] = value if type(value) is int else encode(value)
        if (value := fields["field61"]) is not None:
            encoded["field61"] = value if type(value) is str else encode(value)
        if (value := fields["field62"]) is not None:
            encoded["field62"] = value if type(value) is bool else encode(value)
        if (value := fields["field63"]) is not None:
            encoded["field63"] = value if type(value) is float else encode(value)
        if (value := fields["field64"]) is not None:
            encoded["field64"] = value if type(value) is int else encode(value)
        if (value := fields["field65"]) is not None:
            encoded["field65"] = value if type(value) is str else encode(value)
        if (value := fields["field66"]) is not None:
            encoded["field66"] = value if type(value) is bool else encode(value)
        if (value := fields["field67"]) is not None:
            encoded["field67"] = value if type(value) is float else encode(value)
        if (value := fields["field68"]) is not None:
            encoded["field68"] = value if type(value) is int else encode(value)
        if (value := fields["field69"]) is not None:
            encoded["field69"] = value if type(value) is str else encode(value)
        return encoded
