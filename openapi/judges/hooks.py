"""Filter the findings of schemathesis: ignore what Desk is known to do although the contract does not describe it.

These are the statuses of HTTP itself, the rules of the Validator, and the way in which Go reads null.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, cast

import schemathesis
from schemathesis.core.failures import AcceptedNegativeData
from schemathesis.openapi.checks import RejectedPositiveData, UndefinedStatusCode

HTTP_STATUSES = frozenset({401, 404, 405, 429})
"""Statuses that any operation may return. The contract describes only an operation's success and its Validator."""
RULES = re.compile(
    r"must be set|must be a valid email address|must be a valid filter|must be one of ‘.*’"
    r"|must be shorter than \d+ characters"
)
"""The Validator's reasons for rejecting a value of the right type."""


WHOLE = "must be a whole number"


def is_known(
    failure: object, status: int, payload: Any, body: object, query: Mapping[str, object] = MappingProxyType({})
) -> bool:
    """Return whether a finding is known behaviour of Desk, which the contract does not describe.

    Args:
        failure: What schemathesis found.
        status: The status of the response.
        payload: The JSON of the response, if the status is 400.
        body: The body of the request.
        query: The query of the request.
    """
    if isinstance(failure, UndefinedStatusCode):
        return status in HTTP_STATUSES
    if isinstance(failure, RejectedPositiveData) and status == 400:
        reasons = list(reasons_of(payload))
        return bool(reasons) and all(
            RULES.fullmatch(reason) or (reason == WHOLE and is_too_large(query.get(field))) for field, reason in reasons
        )
    # Go treats null like a missing field, so Desk accepts it.
    return isinstance(failure, AcceptedNegativeData) and has_null_field(body)


def reasons_of(payload: Any) -> Iterator[tuple[str, str]]:
    """Yield the fields and the reasons in a response of the Validator."""
    errors = cast("dict[str, Any]", payload).get("errors") if isinstance(payload, dict) else None
    for field, reasons in cast("dict[str, Any]", errors).items() if isinstance(errors, dict) else ():
        yield from ((field, str(reason)) for reason in reasons)


def is_too_large(value: object) -> bool:
    """Return whether a value of a query is a number that does not fit into an int64, as all those of 18 digits do."""
    return re.fullmatch(r"[0-9]{19,}", str(value)) is not None


def has_null_field(body: object) -> bool:
    """Return whether a field of an object, or of an object inside it, is null."""
    if isinstance(body, dict):
        return any(value is None or has_null_field(value) for value in cast("dict[str, object]", body).values())
    return isinstance(body, list) and any(map(has_null_field, cast("list[object]", body)))


def is_json(content_type: str) -> bool:
    """Return whether a Content-Type is JSON."""
    return content_type.startswith("application/json")


def keep(_context: object, failure: object, case: Any, response: Any) -> bool:
    """Keep the findings that are not known behaviour of Desk."""
    if response.status_code == 400 and not is_json(response.headers.get("content-type", [""])[0]):
        # Desk rejects a body of another content type in plain text, before the Validator reads it.
        return is_json(response.request.headers.get("Content-Type", ""))
    payload = response.json() if response.status_code == 400 else None
    return not is_known(failure, response.status_code, payload, case.body, case.query or {})


schemathesis.hook("filter_failure")(keep)  # pyright: ignore[reportUnknownMemberType]
