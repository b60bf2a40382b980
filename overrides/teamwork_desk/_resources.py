"""`desk.inboxes`, `desk.statuses` and the other listings of objects that a ticket refers to by id: find and list."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, suppress
from typing import Any, Generic, Literal

from attrs import Factory, define

from ._call import Call
from ._errors import UnprocessableError, ValidationError
from ._paging import Page, objects_of_pages, page_request, pages_of_listing
from ._references import Kind, T, check_name, not_found, the_only, with_name
from ._session import Options, Session

MOST_COMPARED = 1000
"""The number of objects after which `find` reads no further page, if the server accepts its filter."""


@define
class _Walk(Generic[T]):
    """What was read of a listing.

    Attributes:
        pages: The objects of each page.
        is_complete: Whether the listing has no further page.
    """

    pages: list[Sequence[T]] = Factory(list[Sequence[T]])
    is_complete: bool = False

    @property
    def objects(self) -> list[T]:
        """All objects that were read."""
        return [each for page in self.pages for each in page]

    def begins_as(self, other: _Walk[T]) -> bool:
        """Return whether another walk, after its first page, has read the same as this walk had then."""
        return self.pages[:1] == other.pages and (self.is_complete and len(self.pages) == 1) == other.is_complete


class Resource(Generic[T]):
    """The objects of one kind that a ticket refers to by id, such as `desk.inboxes`."""

    def __init__(self, session: Session, options: Options, kind: Kind[T, Any]) -> None:
        self._session = session
        self._options = options
        self._kind = kind

    async def find(self, name: str) -> T:
        """Return the object with a name.

        Inboxes are also found by their email address, statuses by their code, custom fields by their labels, and users
        and customers by their main email address or by first and last name. Spaces around the name are ignored. If no
        object has a name that is written exactly like this, upper and lower case are ignored, too. Deleted objects are
        not found.

        Desk filters by the name, which usually takes one request. If that finds nothing, the client reads the listing
        and compares the names itself: up to 1,000 objects, or all of them if Desk rejects the filter. If Desk ignores
        the filter, the listing is read only once.

        Args:
            name: The name.

        Returns:
            The object.

        Raises:
            NotFoundError: No object has this name. The message says which objects there are; of users and customers,
                only how many.
            RequestError: The name is not a str or is empty, and nothing was sent. Or several objects have this name:
                the message says which; of users and customers, it has only the ids.
            DeskError: Any other error of the error tree.
        """
        kind = self._kind
        with Call(self._session, self._options, f"{kind.attribute}.find") as call:
            name = check_name(name)
            query, most = kind.filter_for(name), math.inf
            filtered: _Walk[T] | None = None
            if query is not None:
                # If the server rejects the filter, the client reads the whole listing.
                with suppress(UnprocessableError, ValidationError):
                    filtered = await self._walk(call, query, most=MOST_COMPARED)
                    most = MOST_COMPARED
            if filtered and (found := with_name(kind, filtered.objects, name)):
                return the_only(kind, found)
            walk = await self._walk(call, most=most, known=filtered)
            if found := with_name(kind, walk.objects, name):
                return the_only(kind, found)
            raise not_found(kind, walk.objects, name, is_complete=walk.is_complete)

    async def _walk(
        self, call: Call, query: Mapping[str, Any] | None = None, *, most: float, known: _Walk[T] | None = None
    ) -> _Walk[T]:
        """Read a listing, page by page.

        Args:
            call: The call that sends the requests.
            query: The filter.
            most: The number of objects after which no further page is read.
            known: A walk with a filter. If the first page is the same without the filter, the server ignores filters,
                and this walk is returned.
        """

        async def fetch(number: int) -> Page:
            return await call.send(page_request(self._kind.operation, number, filter=query))

        walk = _Walk[T]()
        async with aclosing(pages_of_listing(fetch, self._kind.listed)) as pages:
            async for page, is_last in pages:
                walk.pages.append(page)
                walk.is_complete = is_last
                if known is not None and known.begins_as(walk):
                    return known
                if sum(map(len, walk.pages)) >= most:
                    return walk
        walk.is_complete = True
        return walk

    async def list(
        self,
        *,
        filter: Mapping[str, Any] | None = None,
        order_by: str | None = None,
        order_mode: Literal["asc", "desc"] | str | None = None,
    ) -> AsyncGenerator[T]:
        """Iterate over the objects, with one page in memory at a time.

        Args:
            filter: Which objects, such as `{"name": {"$contains": "Sup"}}`. Operators: `$eq $ne $lt $lte $gt $gte $in
                $nin $contains $and $or`; fields: `id` and `name`, also `email` of inboxes and users, `code` of
                statuses, `contacts.value` of customers, and `inboxes.id` of types, tags and users. Sources:
                Teamwork/desksdkgo, and `internal/twdesk/` in Teamwork/mcp.
            order_by: The field to sort by.
            order_mode: `"asc"` or `"desc"`. Any other str is sent as it is, and Desk decides.

        Yields:
            Each object.

        Raises:
            RequestError: `filter` is not a mapping with a JSON form, or `order_by` or `order_mode` is not valid text.
            DeskError: Any other error of the error tree.
        """

        async def fetch(number: int) -> Page:
            with Call(self._session, self._options, f"{self._kind.attribute}.list") as call:
                request = page_request(
                    self._kind.operation, number, filter=filter, order_by=order_by, order_mode=order_mode
                )
                return await call.send(request)

        async with aclosing(objects_of_pages(fetch, self._kind.listed)) as listing:
            async for each in listing:
                yield each
