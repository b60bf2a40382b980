"""What a client remembers about conversations: the outcomes that are unknown, and who converts a conversation now."""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol, runtime_checkable
from weakref import WeakValueDictionary

import anyio
from attrs import evolve, frozen

from teamwork_desk_api.models import Conversation

from ._lookup import Lookup
from ._loops import Change, ServedLoop

MOST_UNKNOWN = 10_000
"""Unknown outcomes that are remembered. If there are more, the oldest is forgotten, and every call looks first."""


@frozen(kw_only=True)
class Unknown:
    """The outcome of an earlier call for a conversation: nobody has looked yet what it did.

    Attributes:
        left_at: When the last of these calls ended, by the event loop's clock.
        settle: The longest settling time of these calls, in seconds.
        maybe_applied: Whether a ticket may appear; False if Desk has refused the request.
        is_scheduled: Whether the ticket appears only after a scheduled email, so that its absence proves nothing.
    """

    left_at: float
    settle: float
    maybe_applied: bool
    is_scheduled: bool

    def settles_in(self, settle: float) -> float:
        """Return the seconds until a listing proves that there is no ticket.

        Args:
            settle: The settling time of the call that asks. The longest settling time counts.
        """
        if not self.maybe_applied:
            return 0.0
        return self.left_at + max(settle, self.settle) - anyio.current_time()


@runtime_checkable
class RunningCall(Protocol):
    """A call that converts a conversation now."""

    @property
    def is_unresolved(self) -> bool:
        """Whether its request has left, and its effect is not known yet."""
        ...


class Memory:
    """The state about conversations that all views of one client share."""

    def __init__(self, loop: ServedLoop) -> None:
        self.prefers_deprecated_email = False
        self.lookup: Lookup = Lookup()
        self._locks: WeakValueDictionary[int, anyio.Lock] = WeakValueDictionary()
        self._unknown: dict[int, Unknown] = {}
        # What this client has converted, when, and for how many seconds the listing may not show it.
        # The oldest is removed first. A plain dict passes over all removed keys to find its first one.
        self._converted: OrderedDict[int, tuple[float, float, Conversation]] = OrderedDict()
        # The call that has the lock of each conversation.
        self.running: dict[int, RunningCall] = {}
        self._has_forgotten = False
        loop.on_change(self._begin_anew)

    def _begin_anew(self, change: Change) -> None:
        self.lookup = self.lookup.moved(change.seconds)
        self._locks = WeakValueDictionary()
        self.running = {}
        for conversation_id, (made_at, settle, conversation) in self._converted.items():
            self._converted[conversation_id] = made_at + change.seconds, settle, conversation
        self._unknown = {
            conversation_id: evolve(unknown, left_at=unknown.left_at + change.seconds)
            for conversation_id, unknown in self._unknown.items()
        }

    def lock(self, conversation_id: int) -> anyio.Lock:
        """Return the lock that lets only one call at a time convert a conversation."""
        return self._locks.setdefault(conversation_id, anyio.Lock(fast_acquire=True))

    def unknown(self, conversation_id: int) -> Unknown | None:
        """Return the unknown outcome of the earlier calls for a conversation, if there is one."""
        return self._unknown.get(conversation_id)

    def must_look(self, conversation_id: int) -> bool:
        """Return whether a conversation must be looked up before it is converted, even with `verify_first=False`."""
        return self._has_forgotten or conversation_id in self._unknown

    def leave(self, conversation_id: int, unknown: Unknown) -> None:
        """Remember an unknown outcome, together with those of earlier calls for this conversation."""
        before = self._unknown.pop(conversation_id, unknown)
        self._unknown[conversation_id] = evolve(
            unknown,
            settle=max(before.settle, unknown.settle),
            maybe_applied=before.maybe_applied or unknown.maybe_applied,
            is_scheduled=before.is_scheduled or unknown.is_scheduled,
        )
        if len(self._unknown) > MOST_UNKNOWN:
            del self._unknown[next(iter(self._unknown))]
            self._has_forgotten = True

    def keep(self, conversation_id: int, conversation: Conversation, settle: float) -> None:
        """Remember what this client has converted, because the listing may show it late.

        Args:
            conversation_id: The conversation.
            conversation: The conversation with its ticket.
            settle: The settling time of the call that has converted it, in seconds.
        """
        # The oldest come first, and an expired conversation that stays behind a longer settling time does no harm.
        while self._converted and self.converted(oldest := next(iter(self._converted)), settle) is None:
            del self._converted[oldest]
        self._converted.pop(conversation_id, None)
        self._converted[conversation_id] = anyio.current_time(), settle, conversation

    def converted(self, conversation_id: int, settle: float) -> Conversation | None:
        """Return a conversation that this client has converted a moment ago.

        Args:
            conversation_id: The conversation.
            settle: The settling time of the call that asks. The longest settling time counts.
        """
        if conversation_id not in self._converted:
            return None
        made_at, longest, conversation = self._converted[conversation_id]
        return conversation if anyio.current_time() < made_at + max(longest, settle) else None

    def forget(self, conversation_id: int) -> None:
        """Forget the unknown outcome of a conversation, because a lookup has shown what happened."""
        self._unknown.pop(conversation_id, None)
