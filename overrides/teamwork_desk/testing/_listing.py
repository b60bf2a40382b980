"""A listing: it filters, sorts, cuts into pages and selects fields."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from typing import Any

from attrs import frozen

from ._filter import compile_filter, sort_key
from ._responses import ErrorShape, FakeResponse, decode_json, json_response, validation_error
from ._validator import each, one_of, page_number

MAX_PAGE_SIZE = 100
DEFAULT_PAGE_SIZE = 50


@frozen
class Listing:
    """What is particular to the listing of one kind of objects.

    Attributes:
        key: The key of the list in the response.
        fields: The fields that a filter and the order may have.
        includable: The related objects that `includes` may have.
    """

    key: str
    fields: Collection[str]
    includable: Collection[str] = ()


CONVERSATIONS = Listing(
    "conversations",
    ("contactId", "createdAt", "deletedAt", "id", "state", "ticket_id", "token", "updatedAt"),
    ("contacts", "conversationmessages", "customers", "users", "all"),
)


def page_response(
    listing: Listing,
    objects: Iterable[Mapping[str, Any]],
    arguments: Mapping[str, str],
    *,
    refused_operators: Collection[str],
    error_shape: ErrorShape,
    searched: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict,
) -> FakeResponse:
    """Return the page that a query asks for, or the reasons why the query is invalid.

    Args:
        listing: The listing.
        objects: All objects, as they are in the response.
        arguments: The parameters of the query.
        refused_operators: Operators that a filter must not have.
        error_shape: How the reasons are listed.
        searched: Returns the fields of an object that a filter compares, if they differ from the object's own.
    """
    order_by, order_mode = arguments.get("orderBy", "id"), arguments.get("orderMode", "asc")
    problems = [
        *one_of(listing.fields, "orderBy", order_by),
        *one_of(("asc", "desc"), "orderMode", order_mode),
        *each(partial(one_of, listing.includable), "includes", _words(arguments.get("includes"))),
        *(problem for name in ("page", "pageSize") for problem in page_number(name, arguments.get(name, "1"))),
    ]
    found: list[Mapping[str, Any]] = []
    try:
        query = decode_json(arguments.get("filter", "{}").encode())
        matches = compile_filter(query, fields=listing.fields, refused=refused_operators)
        found = [each for each in objects if matches(searched(each))]
    except (ValueError, RecursionError):
        problems.append(("filter", "must be a valid filter"))
    if problems:
        return validation_error(problems, error_shape)
    found.sort(key=lambda each: sort_key(order_by, searched(each)), reverse=order_mode == "desc")
    page = int(arguments.get("page", 1))
    # Desk reduces a larger page size without an error.
    size = min(int(arguments.get("pageSize", DEFAULT_PAGE_SIZE)), MAX_PAGE_SIZE)
    pages = math.ceil(len(found) / size)
    shown = found[(page - 1) * size : page * size]
    if fields := _words(arguments.get("fields")):
        # The id is always there, even if the query does not ask for it.
        names = {"id", *fields}
        shown = [{name: each[name] for name in each if name in names} for each in shown]
    has_more = page < pages
    pagination = {"records": len(found), "pageSize": size, "pages": pages, "page": page, "hasMorePages": has_more}
    # Desk sends null instead of an empty list.
    return json_response(
        200, {listing.key: shown or None, "included": {}, "pagination": pagination, "meta": {"page": {}}}
    )


def _words(text: str | None) -> list[str]:
    """Split a parameter at its commas."""
    return [word for word in (text or "").split(",") if word]
