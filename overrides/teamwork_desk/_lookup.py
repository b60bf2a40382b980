"""The lookup of conversations in Desk's listing: a single listing serves all calls that ask at the same time."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from functools import partial
from typing import Any, TypeAlias, cast

import anyio
from attrs import define, field

from teamwork_desk_api.api.conversations.list_conversations import list_conversations
from teamwork_desk_api.models import Conversation
from teamwork_desk_api.types import DecodeError, Hook, Request

from ._call import Call
from ._errors import (
    AuthenticationError,
    DeadlineExceeded,
    DeskError,
    NotFoundError,
    NotSentError,
    RateLimitedError,
    ResponseDecodeError,
    StatusError,
    TransportError,
    ValidationError,
)
from ._observe import never
from ._paging import PAGE_SIZE
from ._session import Options
from ._tickets import read_ticket_id
from ._wire import decoded_by

ALONE_FOR = 300.0
"""Seconds for which lookups go alone after a listing of many failed for a reason that may pass."""

Found: TypeAlias = dict[int, Conversation]
"""The conversations that a listing shows, by their ids."""
Send: TypeAlias = Callable[[Request[Found]], Awaitable[Found]]


@define(eq=False)
class _Batch:
    """Conversations that are looked up with one listing.

    Attributes:
        ids: Their ids.
        is_done: Whether the listing came, or failed.
        found: The conversations that the listing shows.
        error: The reason why the listing failed.
        options: The options of the call for which it failed.
    """

    ids: set[int] = field(factory=set[int])
    is_done: bool = False
    found: Found = field(factory=dict[int, Conversation])
    error: DeskError | None = None
    options: Options | None = None


class Lookup:
    """Gathers the lookups of one client.

    There is no background task. Whoever waits first sends the listing for the whole batch; if that call is cancelled,
    or its deadline passes, the next one does. While it waits for the rate limit, further conversations join its batch,
    and it has the turn of the oldest call that waits for it.
    """

    def __init__(self) -> None:
        self._turn = anyio.Lock()
        self._open = _Batch()
        self._asking: list[Call] = []
        self._leader: Call | None = None
        self._leader_waited = False
        self._alone_until = -math.inf

    def moved(self, seconds: float) -> Lookup:
        """Return a new one for another event loop, whose clock is later by these seconds."""
        other = Lookup()
        other._alone_until = self._alone_until + seconds
        return other

    async def find_converted(self, call: Call, conversation_id: int) -> Conversation | None:
        """Return the conversation if it has a ticket; None if a listing proves that it has none.

        The listing that is used began after this was called.

        Args:
            call: The call that sends the request, if it is this one's turn.
            conversation_id: The conversation.

        Raises:
            NotFoundError: The listing does not show the conversation.
            ResponseDecodeError: The listing does not say whether the conversation has a ticket.
            DeskError: The listing is not available.
        """
        found = await self._find_in_batch(call, conversation_id)
        if found is None:
            # A listing of many that does not show an id proves nothing, so ask for the id alone.
            found = (await call.send(_strict_listing({conversation_id}))).get(conversation_id)
        if found is None:
            raise not_listed(conversation_id)
        return found if found.ticket_id else None

    @property
    def _goes_alone(self) -> bool:
        return anyio.current_time() < self._alone_until

    async def _find_in_batch(self, call: Call, conversation_id: int) -> Conversation | None:
        while not self._goes_alone:
            leader = self._leader or call
            leader.hurry(call)
            call.expect_turn(leader)
            batch = self._join(conversation_id)
            self._asking.append(call)
            call.watch.waits_for_turn = self._leader_waits
            try:
                async with self._turn:
                    call.watch.waits_for_turn = never
                    # While this call waited, the server may have refused the listing of an earlier batch.
                    if not batch.is_done and not self._goes_alone:
                        await self._lead(batch, call, conversation_id)
            finally:
                self._asking.remove(call)
            if batch.error is None:
                return batch.found.get(conversation_id)
            # With the options of another view, such as more attempts, the listing may succeed.
            if batch.options is call.options:
                raise _copy_of(batch.error)
        return None

    def _leader_waits(self) -> bool:
        """Return whether the call that sends the listing waits for the rate limit, or did so when it ended."""
        return self._leader_waited if self._leader is None else self._leader.watch.waits_for_turn()

    def _join(self, conversation_id: int) -> _Batch:
        if len(self._open.ids) >= PAGE_SIZE:
            self._open = _Batch()
        self._open.ids.add(conversation_id)
        return self._open

    async def _lead(self, batch: _Batch, call: Call, conversation_id: int) -> None:
        self._leader = call
        for other in self._asking:
            call.hurry(other)
        try:
            batch.found = await self._list(batch, call, conversation_id)
        except (DeadlineExceeded, RateLimitedError):
            raise  # This says nothing about the others: the next one sends the listing.
        except DeskError as error:
            batch.error, batch.options = error, call.options
        finally:
            self._leader, self._leader_waited = None, call.watch.waits_for_turn()
        batch.is_done = True
        if batch is self._open:
            self._open = _Batch()  # The listing failed before its request was prepared.

    async def _list(self, batch: _Batch, call: Call, conversation_id: int) -> Found:
        def prepare() -> Request[Found]:
            if batch is self._open:
                # Whoever asks from now on must not take the response to a request that began before.
                self._open = _Batch()
            return _strict_listing(batch.ids)

        try:
            return await call.send(_strict_listing(batch.ids), prepare=prepare)
        except (StatusError, TransportError, ResponseDecodeError) as error:
            if len(batch.ids) == 1 or isinstance(error, _SAY_NOTHING_ABOUT_THE_FILTER):
                raise
            if isinstance(error, ValidationError):
                # The server refuses a filter with several ids, so everybody asks alone.
                self._alone_until = math.inf
                return {}
            # Perhaps the server refuses only a filter with several ids, so ask for the id of this call alone.
            found = await call.send(_strict_listing({conversation_id}))
            is_refused = isinstance(error, StatusError) and error.status_code < 500
            self._alone_until = math.inf if is_refused else anyio.current_time() + ALONE_FOR
            return found


async def look_up(send: Send, ids: Sequence[int]) -> AsyncGenerator[tuple[int, Conversation | DeskError]]:
    """Look many conversations up, one listing after the other. `send` is `AsyncDesk.send`.

    Yields:
        Each id with its conversation, if a listing proves whether it has a ticket; otherwise with the reason.

    Raises:
        DeskError: A listing is not available.
    """
    goes_alone = False
    for start in range(0, len(ids), PAGE_SIZE):
        batch, found = ids[start : start + PAGE_SIZE], Found()
        if len(batch) > 1 and not goes_alone:
            try:
                found = await send(_strict_listing(set(batch)))
            except (StatusError, TransportError, ResponseDecodeError) as error:
                if isinstance(error, _SAY_NOTHING_ABOUT_THE_FILTER):
                    raise
                goes_alone = True
        for number in batch:
            result: Conversation | DeskError | None = found.get(number)
            try:
                # A listing of many that does not show an id proves nothing, so ask for the id alone.
                result = result or (await send(_strict_listing({number}))).get(number)
            except ResponseDecodeError as error:
                result = error
            yield number, result or not_listed(number)


_SAY_NOTHING_ABOUT_THE_FILTER = (AuthenticationError, RateLimitedError, NotSentError)


def _copy_of(error: DeskError) -> DeskError:
    """Return a copy, because an exception can be raised in one task only."""
    copied = copy.copy(error)
    copied.__cause__ = error.__cause__
    return copied


def filter_by_ids(ids: set[int]) -> str:
    """Return the listing's filter for some conversations."""
    if len(ids) == 1:
        return json.dumps({"id": {"$eq": next(iter(ids))}}, separators=(",", ":"))
    return json.dumps({"id": {"$in": sorted(ids)}}, separators=(",", ":"))


def not_listed(conversation_id: int) -> NotFoundError:
    """Return the error for a conversation that the listing does not show."""
    return NotFoundError(f"the listing does not show conversation {conversation_id}", status_code=404)


def _strict_listing(ids: set[int]) -> Request[Found]:
    page_size = PAGE_SIZE if len(ids) > 1 else None
    listing = list_conversations(filter=filter_by_ids(ids), page_size=page_size)
    return decoded_by(listing, partial(_decode_strictly, ids))


def _decode_strictly(ids: set[int], payload: Any, hook: Hook) -> Found:
    """Decode the conversations in a listing, but be strict about tickets: a wrong None would convert one twice."""
    try:
        sources = _sources(ids, payload["conversations"] or [], has_more_pages=_has_more_pages(payload))
    except (KeyError, TypeError):
        raise DecodeError("the listing does not say which ticket the conversation has") from None
    return {number: Conversation.from_dict(source, (None, "conversations"), hook) for number, source in sources.items()}


def _has_more_pages(payload: dict[str, Any]) -> bool:
    """Return whether a listing says that it is not complete: in `pagination`, or in `meta.page` as newer APIs do."""
    pagination, meta = _object(payload, "pagination"), _object(payload, "meta")
    said = pagination.get("hasMorePages"), _object(meta, "page").get("hasMore")
    return any(value not in (None, False) for value in said)


def _object(source: dict[str, Any], name: str) -> dict[str, Any]:
    value = source.get(name)
    return cast("dict[str, Any]", value) if type(value) is dict else {}


def _sources(ids: set[int], listed: list[Any], *, has_more_pages: bool) -> dict[int, dict[str, Any]]:
    """Return the entries of some conversations. A listing may be long, so it is read once.

    An entry with a ticket always counts. An entry without a ticket counts only if the listing is complete and shows
    nothing but these conversations. Otherwise Desk has not applied the filter, and may show a second entry later.

    Raises:
        DecodeError: The entry of the only id is not usable. An unusable entry among many is left out.
        KeyError: The listing is not usable.
        TypeError: The listing is not usable.
    """
    found: dict[int, dict[str, Any]] = {}
    without_ticket: dict[int, dict[str, Any]] = {}
    shows_others = False
    for entry in listed:
        try:
            number = entry["id"]
            if type(number) is not int or number not in ids:
                shows_others = True
                continue
            ticket_id = read_ticket_id(entry["ticket_id"])
        except (DecodeError, KeyError, TypeError):
            if len(ids) == 1:
                raise
            continue
        # If the listing shows the conversation twice, an entry with a ticket counts.
        if ticket_id is not None:
            found[number] = {**entry, "ticket_id": ticket_id}
        else:
            without_ticket[number] = entry
    if not (has_more_pages or shows_others):
        return without_ticket | found
    if len(ids) == 1 and without_ticket.keys() - found.keys():
        raise DecodeError("the listing shows other conversations, or has more pages, so that it proves nothing")
    return found
