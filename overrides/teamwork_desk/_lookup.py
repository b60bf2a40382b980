"""The lookup of conversations in Desk's listing: a single listing serves all calls that ask at the same time."""

from __future__ import annotations

import copy
import json
from functools import partial
from typing import Any, TypeAlias

import anyio
from attrs import define, field

from teamwork_desk_api.api.conversations.list_conversations import list_conversations
from teamwork_desk_api.models import Conversation
from teamwork_desk_api.types import DecodeError, Hook, Request

from ._call import Call
from ._errors import DeadlineExceeded, DeskError, NotFoundError, StatusError
from ._wire import decoded_by

PAGE_SIZE = 100
"""The most that Desk returns: it clamps a larger page size without an error."""

_SAYS_NOTHING_ABOUT_THE_FILTER = (401, 429)

Found: TypeAlias = dict[int, Conversation]
"""The conversations that a listing shows, by their ids."""


@define
class _Batch:
    """Conversations that are looked up with one listing.

    Attributes:
        ids: Their ids.
        is_done: Whether the listing came, or failed for all of them.
        found: What it shows.
        error: Why it failed.
    """

    ids: set[int] = field(factory=set[int])
    is_done: bool = False
    found: Found = field(factory=dict[int, Conversation])
    error: DeskError | None = None


class Lookup:
    """Gathers the lookups of one client.

    There is no background task. Whoever waits first sends the listing for the whole batch; if that call is cancelled,
    or its deadline passes, the next one does.
    """

    def __init__(self) -> None:
        self._turn = anyio.Lock()
        self._open = _Batch()
        self._is_in_refused = False

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
        found = None if self._is_in_refused else await self._find_in_batch(call, conversation_id)
        if found is None:
            # A listing of many that does not show an id proves nothing, so ask for the id alone.
            found = (await call.send(_strict_listing({conversation_id}))).get(conversation_id)
        if found is None:
            raise not_listed(conversation_id)
        return found if found.ticket_id else None

    async def _find_in_batch(self, call: Call, conversation_id: int) -> Conversation | None:
        batch = self._join(conversation_id)
        async with self._turn:
            # While this call waited, the server may have refused the listing of an earlier batch.
            if not batch.is_done and not self._is_in_refused:
                await self._run(batch, call, conversation_id)
        if batch.error is not None:
            raise _copy_of(batch.error)
        return batch.found.get(conversation_id)

    def _join(self, conversation_id: int) -> _Batch:
        if len(self._open.ids) >= PAGE_SIZE:
            self._open = _Batch()
        self._open.ids.add(conversation_id)
        return self._open

    async def _run(self, batch: _Batch, call: Call, conversation_id: int) -> None:
        if batch is self._open:
            # Whoever asks from now on must not take the response to a request that began before.
            self._open = _Batch()
        try:
            try:
                batch.found = await call.send(_strict_listing(batch.ids))
            except StatusError as error:
                if len(batch.ids) == 1 or error.status_code in _SAYS_NOTHING_ABOUT_THE_FILTER:
                    raise
                # Perhaps the server refuses only a filter with several ids, so ask for the id of this call alone.
                batch.found = await call.send(_strict_listing({conversation_id}))
                self._is_in_refused = error.status_code < 500
        except DeadlineExceeded:
            raise  # This call's deadline says nothing about the others: the next one sends the listing.
        except DeskError as error:
            batch.error = error
        batch.is_done = True


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
    found: Found = {}
    for conversation_id in ids:
        try:
            source = _entry_of(conversation_id, payload)
        except DecodeError:
            if len(ids) == 1:
                raise
            continue
        if source is not None:
            found[conversation_id] = Conversation.from_dict(source, (None, "conversations"), hook)
    return found


def _entry_of(conversation_id: int, payload: Any) -> dict[str, Any] | None:
    try:
        listed: list[dict[str, Any]] = payload["conversations"] or []
        matches = (entry for entry in listed if entry["id"] == conversation_id)
        # If the listing shows the conversation twice, an entry with a ticket counts.
        source = max(matches, key=lambda entry: bool(entry["ticket_id"]), default=None)
        ticket_id = source["ticket_id"] if source else None
    except (KeyError, TypeError):
        raise DecodeError("the listing does not say which ticket the conversation has") from None
    if ticket_id is not None and type(ticket_id) is not int:
        raise DecodeError("the conversation's ticket_id is not an integer")
    return source
