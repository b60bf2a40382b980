"""How a listing filters and sorts its objects."""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, cast

_Condition = Callable[[Mapping[str, Any]], bool]
"""Returns whether an object matches."""


def compile_filter(query: Any, *, fields: Collection[str], refused: Collection[str] = ()) -> _Condition:
    """Turn a filter into a function that returns whether an object matches it.

    Args:
        query: The filter, decoded from JSON.
        fields: The fields that a filter may have.
        refused: Operators that are treated like unknown operators.

    Raises:
        ValueError: Desk does not know such a filter.
    """
    if type(query) is not dict:
        raise ValueError("a filter must be an object")
    conditions: list[_Condition] = []
    for key, value in cast("dict[str, Any]", query).items():
        if key in ("$and", "$or") and type(value) is list:
            combine = all if key == "$and" else any
            parts = [compile_filter(part, fields=fields, refused=refused) for part in cast("Sequence[Any]", value)]
            conditions.append(partial(_combined, combine, parts))
        elif key in fields and type(value) is dict:
            for name, operand in cast("dict[str, Any]", value).items():
                if name not in _OPERATORS or name in refused or (name in ("$in", "$nin") and type(operand) is not list):
                    raise ValueError("unknown operator or operand")
                conditions.append(partial(_compared, key, _OPERATORS[name], _comparable(key, operand)))
        else:
            raise ValueError("unknown field or operator")
    return partial(_combined, all, conditions)


_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "$eq": operator.eq,
    "$ne": operator.ne,
    "$lt": operator.lt,
    "$lte": operator.le,
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$contains": operator.contains,
    "$in": lambda value, operand: value in operand,
    "$nin": lambda value, operand: value not in operand,
}


def _combined(combine: Callable[[Iterable[bool]], bool], conditions: list[_Condition], each: Mapping[str, Any]) -> bool:
    return combine(condition(each) for condition in conditions)


def _compared(name: str, compare: Callable[[Any, Any], bool], operand: Any, each: Mapping[str, Any]) -> bool:
    value = _comparable(name, each.get(name))
    # A field such as "inboxes.id" has several values, and it is enough if one of them matches.
    values = cast("Sequence[Any]", value) if isinstance(value, list) else [value]
    try:
        return any(compare(part, operand) for part in values)
    except TypeError:
        # The two values have no order, such as null and a number: then the object does not match.
        return False


def _comparable(name: str, value: Any) -> Any:
    """Return a value in a form in which it can be compared: the text of a date as a datetime.

    Args:
        name: The name of the field; a field whose name ends with "At" is a date.
        value: The value, or a list of values.
    """
    if isinstance(value, list):
        return [_comparable(name, item) for item in cast("Sequence[Any]", value)]
    if name.endswith("At") and isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            return value
        # A date without a time zone is UTC. Without a zone, it could not be compared with the others.
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return value


def sort_key(name: str, each: Mapping[str, Any]) -> tuple[str, Any]:
    """Return the key that sorts an object by a field.

    The key begins with the type of the value, because values of different types, such as null and a number, have no
    order. Null comes first.
    """
    value = _comparable(name, each.get(name))
    return ("" if value is None else type(value).__name__, value)
