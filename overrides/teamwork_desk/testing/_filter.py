"""The filter of a listing, and its order."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

FILTERABLE = ("contactId", "createdAt", "deletedAt", "id", "state", "ticket_id", "token", "updatedAt")

_Test = Callable[[Mapping[str, Any]], bool]


def compile_filter(query: Any) -> _Test:
    """Turn a decoded filter into a test of one conversation.

    Raises:
        ValueError: It is no filter that Desk knows.
    """
    if query.__class__ is not dict:
        raise ValueError("a filter is an object")
    tests: list[_Test] = []
    for key, value in query.items():
        if key in ("$and", "$or") and value.__class__ is list:
            tests.append(partial(_combined, all if key == "$and" else any, [compile_filter(part) for part in value]))
        elif key in FILTERABLE and value.__class__ is dict:
            for name, operand in value.items():
                if name not in _OPERATORS or (name in ("$in", "$nin") and operand.__class__ is not list):
                    raise ValueError("unknown operator or operand")
                tests.append(partial(_compared, key, _OPERATORS[name], _comparable(key, operand)))
        else:
            raise ValueError("unknown field or operator")
    return partial(_combined, all, tests)


_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "$eq": operator.eq,
    "$ne": operator.ne,
    "$lt": operator.lt,
    "$lte": operator.le,
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$in": lambda value, operand: value in operand,
    "$nin": lambda value, operand: value not in operand,
}


def _combined(combine: Callable[[Iterable[bool]], bool], tests: list[_Test], conversation: Mapping[str, Any]) -> bool:
    return combine(test(conversation) for test in tests)


def _compared(name: str, holds: Callable[[Any, Any], bool], operand: Any, conversation: Mapping[str, Any]) -> bool:
    try:
        return holds(_comparable(name, conversation.get(name)), operand)
    except TypeError:  # no order between the two, such as null and a number
        return False


def _comparable(name: str, value: Any) -> Any:
    if value.__class__ is list:
        return [_comparable(name, item) for item in value]
    if name.endswith("At") and isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            return value
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return value


def sort_key(name: str, conversation: Mapping[str, Any]) -> tuple[str, Any]:
    """Order values of one type among each other: null has no order with anything."""
    value = _comparable(name, conversation.get(name))
    return ("" if value is None else type(value).__name__, value)
