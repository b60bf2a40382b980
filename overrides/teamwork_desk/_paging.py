"""Listings that come in pages: the request for a page, and the objects of all pages."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Protocol, TypeVar, cast, runtime_checkable

from teamwork_desk_api.models import Pagination
from teamwork_desk_api.types import Request, encode

from ._errors import RequestError
from ._values import check
from ._wire import encode_json

PAGE_SIZE = 100
"""The most that Desk returns: it clamps a larger page size without an error."""


@runtime_checkable
class Page(Protocol):
    """One page of any listing."""

    @property
    def pagination(self) -> Pagination | None: ...


T = TypeVar("T")
P = TypeVar("P", bound=Page)


@runtime_checkable
class ListOperation(Protocol[P]):
    """A generated function that makes the request for a page of a listing."""

    def __call__(
        self,
        *,
        filter: str | None = None,
        order_by: str | None = None,
        order_mode: str | None = None,
        page: int | None = None,
        page_size: int | None = None,
    ) -> Request[P]: ...


def page_request(
    operation: ListOperation[P],
    page: int,
    *,
    filter: Mapping[str, Any] | None = None,
    order_by: str | None = None,
    order_mode: str | None = None,
) -> Request[P]:
    """Return the request for a page.

    Raises:
        RequestError: `filter` is not a mapping with a JSON form, or `order_by` or `order_mode` is not valid text.
    """
    if filter is not None and not isinstance(cast("object", filter), Mapping):
        raise RequestError(
            f'filter: expected a dict with str keys, such as {{"id": {{"$in": [7, 8]}}}}, got {type(filter).__name__}'
        )
    check("filter", filter, Mapping[str, Any] | None)
    check("order_by", order_by, str | None)
    check("order_mode", order_mode, str | None)
    text = None if filter is None else encode_json(encode(filter)).decode()
    return operation(filter=text, order_by=order_by, order_mode=order_mode, page=page, page_size=PAGE_SIZE)


async def objects_of_pages(
    fetch: Callable[[int], Awaitable[P]], listed: Callable[[P], Sequence[T] | None]
) -> AsyncGenerator[T]:
    """Yield the objects of all pages, with one page in memory at a time.

    Args:
        fetch: Returns the page with a number.
        listed: Returns the objects of a page.
    """
    async with aclosing(pages_of_listing(fetch, listed)) as pages:
        async for objects, _ in pages:
            for each in objects:
                yield each


async def pages_of_listing(
    fetch: Callable[[int], Awaitable[P]], listed: Callable[[P], Sequence[T] | None]
) -> AsyncGenerator[tuple[Sequence[T], bool]]:
    """Yield the objects of each page that has some, and whether it is the last page as far as the server says.

    It also stops if the server sends the same page again, because such a listing would never end.

    Args:
        fetch: Returns the page with a number.
        listed: Returns the objects of a page.
    """
    number, before = 1, None
    while True:
        page = await fetch(number)
        objects = listed(page)
        if not objects or (same := _identity(objects)) == before:
            return
        is_last = not _goes_on(page.pagination, number, len(objects))
        yield objects, is_last
        if is_last:
            return
        number += 1
        before = same


def _identity(objects: Sequence[object]) -> object:
    """Return what a page is recognized by: the ids of its objects, because their order and other fields may change."""
    ids = {getattr(each, "id", None) for each in objects}
    return objects if None in ids else ids


def _goes_on(where: Pagination | None, number: int, shown: int) -> bool:
    """Return whether another page follows. Without a statement of the server, a full page may not be the last one."""
    if where is None:
        return shown >= PAGE_SIZE
    if where.page not in (None, number):
        return False
    if where.has_more_pages is not None:
        return where.has_more_pages
    return number < where.pages if where.pages is not None else shown >= PAGE_SIZE
