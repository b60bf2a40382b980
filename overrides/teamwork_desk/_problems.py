"""Reads what Desk says about an error, in both of its shapes: a map of field names, and a list of objects."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, cast

from attrs import field, frozen

from teamwork_desk_api.types import DecodeError

from ._checks import LONGEST_TEXT, is_list
from ._wire import decode_json

MOST_REASONS = 100
"""The most reasons that are kept: an error may be kept for long, and it may be one of many."""


@frozen(kw_only=True)
class Problems:
    """What the body of an error response says.

    Attributes:
        is_json: Whether the body is JSON. Desk itself responds with JSON to an unknown path.
        errors: The reasons by field: the first `MOST_REASONS`, each up to `LONGEST_TEXT` characters.
        code: Desk's code of the first error, such as `G401`.
        title: Its title.
        detail: Its explanation.
        id: Its id, which Teamwork's support asks for.
    """

    is_json: bool = False
    errors: dict[str, list[str]] = field(factory=dict[str, list[str]], repr=False)
    code: str | None = None
    title: str | None = None
    detail: str | None = None
    id: str | None = None


def read_problems(content: bytes) -> Problems:
    """Read the body of an error response.

    Desk sends `{"errors": {"customer": ["must be set"]}}` (source: Teamwork's `validate` package), and also
    `{"errors": [{"id", "title", "code", "detail", "source"}]}`, where `errors` may be a single object (source:
    https://apidocs.teamwork.com/guides/spaces/error-codes).

    Args:
        content: The body, which may be anything.
    """
    try:
        payload = decode_json(content) if content else None
    except DecodeError:
        return Problems()
    errors: Any = cast("dict[str, Any]", payload).get("errors") if isinstance(payload, dict) else None
    is_json = bool(content)
    if isinstance(errors, dict) and not _is_object(cast("dict[str, Any]", errors)):
        return Problems(is_json=is_json, errors=_by_field(cast("dict[str, Any]", errors)))
    listed: list[Any] = errors if is_list(errors) else [errors]
    objects = [cast("dict[str, Any]", each) for each in listed if isinstance(each, dict)]
    first: dict[str, Any] = objects[0] if objects else {}
    return Problems(
        is_json=is_json,
        errors=_by_source(objects),
        code=_text(first.get("code")),
        title=_text(first.get("title")),
        detail=_text(first.get("detail")),
        id=_text(first.get("id")),
    )


def _is_object(errors: dict[str, Any]) -> bool:
    """Return whether this is one error object, and not a map from fields to lists of reasons."""
    return any(isinstance(errors.get(name), str) for name in ("code", "detail", "title"))


def _by_field(errors: dict[str, Any]) -> dict[str, list[str]]:
    return _collect(
        (name, reason)
        for name, reasons in errors.items()
        for reason in (reasons if is_list(reasons) else [reasons])
        if isinstance(reason, str)
    )


def _by_source(objects: list[dict[str, Any]]) -> dict[str, list[str]]:
    pairs = ((_source(each.get("source")), _text(each.get("detail")) or _text(each.get("title"))) for each in objects)
    return _collect((source, reason) for source, reason in pairs if source and reason)


def _collect(pairs: Iterator[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, reason in islice(pairs, MOST_REASONS):
        found.setdefault(name[:LONGEST_TEXT], []).append(reason[:LONGEST_TEXT])
    return found


def _source(value: Any) -> str | None:
    """Return the field that an error object names: as text, or as JSON:API's pointer or parameter."""
    if isinstance(value, dict):
        source = cast("dict[str, Any]", value)
        pointer = _text(source.get("pointer"))
        if pointer is None:
            return _text(source.get("parameter"))
        return pointer.removeprefix("/data").removeprefix("/attributes").strip("/").replace("/", ".")
    return _text(value)


def _text(value: Any) -> str | None:
    if isinstance(value, str):
        return value[:LONGEST_TEXT] or None
    return str(value)[:LONGEST_TEXT] if type(value) is int else None
