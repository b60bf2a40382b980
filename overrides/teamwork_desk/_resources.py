"""`desk.inboxes`, `desk.statuses` and the other listings of objects that a ticket refers to by id: find and list."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Generic, Literal

from ._call import Call
from ._errors import UnprocessableError, ValidationError
from ._paging import Page, objects_of_pages, page_request
from ._references import Kind, T, check_name, not_found, the_only, with_name
from ._session import Options, Session

MOST_COMPARED = 1000
"""The most objects that are compared with a name if the server has already filtered by it, and has found nothing."""


class Resource(Generic[T]):
    """The objects of one kind that a ticket refers to by id, such as `desk.inboxes`."""

    def __init__(self, session: Session, options: Options, kind: Kind[T, Any]) -> None:
        self._session = session
        self._options = options
        self._kind = kind

    async def find(self, name: str) -> T:
        """Return the object with a name.

        Inboxes are also found by their email address, statuses by their code, custom fields by their labels, and users
        and customers by their main email address or by first and last name. Spaces around the name do not count, and
        upper and lower case are the same unless an object has exactly this name. An object that is deleted is not
        found.

        Desk filters by the name, which usually takes one request. If that finds nothing, the client reads the listing
        and compares the names itself: up to 1,000 objects, or all of them if Desk rejects the filter.

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
            if query is not None:
                try:
                    found = with_name(kind, await self._read(call, query, most=MOST_COMPARED), name)
                except (UnprocessableError, ValidationError):
                    found = []  # The server does not know this filter.
                else:
                    most = MOST_COMPARED
                if found:
                    return the_only(kind, found)
            objects = await self._read(call, most=most + 1)
            found = with_name(kind, objects, name)
            if found:
                return the_only(kind, found)
            raise not_found(kind, objects, name, is_complete=len(objects) <= most)

    async def _read(self, call: Call, query: Mapping[str, Any] | None = None, *, most: float = math.inf) -> Sequence[T]:
        """Return the objects of a listing; after `most` objects, the rest of the listing is not read."""

        async def fetch(number: int) -> Page:
            return await call.send(page_request(self._kind.operation, number, filter=query))

        objects: list[T] = []
        async with aclosing(objects_of_pages(fetch, self._kind.listed)) as listing:
            async for each in listing:
                objects.append(each)
                if len(objects) >= most:
                    break
        return objects

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
            RequestError: The filter is not a mapping or has no JSON form, or `order_by` or `order_mode` is not valid
                text.
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
