"""The listing of conversations: filter, order, page and fields."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from ._answers import Answer, decode, invalid, json_answer
from ._filter import FILTERABLE, compile_filter, sort_key
from ._validator import each, one_of, page_number

MAX_PAGE_SIZE = 100
DEFAULT_PAGE_SIZE = 50
INCLUDABLE = ("contacts", "conversationmessages", "customers", "users", "all")


def page_of(conversations: Iterable[Mapping[str, Any]], arguments: Mapping[str, str]) -> Answer:
    """Answer with the page that the query asks for, or say what is wrong with the query."""
    order_by, order_mode = arguments.get("orderBy", "id"), arguments.get("orderMode", "asc")
    problems = [
        *one_of(FILTERABLE, "orderBy", order_by),
        *one_of(("asc", "desc"), "orderMode", order_mode),
        *each(partial(one_of, INCLUDABLE), "includes", _words(arguments.get("includes"))),
        *(problem for name in ("page", "pageSize") for problem in page_number(name, arguments.get(name, "1"))),
    ]
    found: list[Mapping[str, Any]] = []
    try:
        matches = compile_filter(decode(arguments.get("filter", "{}").encode()))
        found = [one for one in conversations if matches(one)]
    except (ValueError, RecursionError):
        problems.append(("filter", "must be a valid filter"))
    if problems:
        return invalid(problems)
    found.sort(key=partial(sort_key, order_by), reverse=order_mode == "desc")
    page = int(arguments.get("page", 1))
    size = min(int(arguments.get("pageSize", DEFAULT_PAGE_SIZE)), MAX_PAGE_SIZE)
    pages = math.ceil(len(found) / size)
    shown = found[(page - 1) * size : page * size]
    if fields := _words(arguments.get("fields")):
        shown = [{name: value for name, value in one.items() if name in {"id", *fields}} for one in shown]
    more = page < pages
    pagination = {"records": len(found), "pageSize": size, "pages": pages, "page": page, "hasMorePages": more}
    return json_answer(
        200, {"conversations": shown or None, "included": {}, "pagination": pagination, "meta": {"page": {}}}
    )


def _words(text: str | None) -> list[str]:
    return [word for word in (text or "").split(",") if word]
