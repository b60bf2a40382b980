"""What schemathesis is told of Desk beyond the contract: what HTTP itself answers, the Validator's rules, Go's null."""

from __future__ import annotations

import re
from typing import Any, cast

import schemathesis
from schemathesis.core.failures import AcceptedNegativeData
from schemathesis.openapi.checks import RejectedPositiveData, UndefinedStatusCode

HTTP_ANSWERS = frozenset({401, 404, 405, 429})
"""They say nothing of an operation: the contract names its success and its Validator only."""
RULES = re.compile(
    r"must be set|must be a valid email address|must be a valid filter|must be one of '.*'|cannot be '.*'"
    r"|must be shorter than \d+ characters"
)
"""What the Validator refuses although its type is right, in its own words."""


def is_foreseen(failure: object, status: int, answer: Any, body: object) -> bool:
    """Tell whether a finding is none.

    Args:
        failure: What schemathesis found.
        status: The answer's status.
        answer: The answer's JSON, if the status is 400.
        body: The request's body.
    """
    if isinstance(failure, UndefinedStatusCode):
        return status in HTTP_ANSWERS
    if isinstance(failure, RejectedPositiveData) and status == 400:
        reasons = [reason for reasons in answer["errors"].values() for reason in reasons]
        return bool(reasons) and all(RULES.fullmatch(reason) for reason in reasons)
    # Go reads null as if the field were left out.
    return isinstance(failure, AcceptedNegativeData) and has_null_field(body)


def has_null_field(body: object) -> bool:
    """Tell whether a field of an object, or of one within, is null."""
    if isinstance(body, dict):
        return any(value is None or has_null_field(value) for value in cast("dict[str, object]", body).values())
    return isinstance(body, list) and any(map(has_null_field, cast("list[object]", body)))


def keep(_context: object, failure: object, case: Any, response: Any) -> bool:
    """Keep what is not foreseen."""
    answer = response.json() if response.status_code == 400 else None
    return not is_foreseen(failure, response.status_code, answer, case.body)


schemathesis.hook("filter_failure")(keep)  # pyright: ignore[reportUnknownMemberType]
