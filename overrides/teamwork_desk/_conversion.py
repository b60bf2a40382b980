"""One conversion: the lookup, the request, the verification, and the retry with the deprecated email field."""

from __future__ import annotations

import math
from weakref import WeakValueDictionary

import anyio
from attrs import frozen

from teamwork_desk_api.models import Conversation
from teamwork_desk_api.types import Request

from ._call import Call
from ._checks import is_id
from ._email_fallback import EmailFallback, says_customer_is_missing, with_deprecated_email
from ._errors import ConflictError, DeskError, NotFoundError, OutcomeUnknownError, ValidationError
from ._lookup import Lookup
from ._observe import warn
from ._outcome import Effect
from ._session import Options, Session

_MEANINGS = {
    NotFoundError: "Desk does not know conversation {id}",
    ConflictError: "the state of conversation {id} does not allow it",
}


@frozen(kw_only=True)
class ConversationOptions(Options):
    """The options of a call that is about conversations."""

    email_fallback: EmailFallback


class Memory:
    """The state about conversations that all views of one client share."""

    def __init__(self) -> None:
        self.prefers_deprecated_email = False
        self.lookup: Lookup = Lookup()
        self._locks: WeakValueDictionary[int, anyio.Lock] = WeakValueDictionary()
        self._settled_at: dict[int, float] = {}
        # Conversations whose ticket may appear at any time: the outcome of a scheduled email is unknown.
        self.scheduled: set[int] = set()

    def lock(self, conversation_id: int) -> anyio.Lock:
        """Return the lock that lets only one call at a time look a conversation up and convert it."""
        return self._locks.setdefault(conversation_id, anyio.Lock(fast_acquire=True))

    def leave_unsettled(self, conversation_id: int, seconds: float) -> None:
        """Remember that a ticket of the conversation may still appear for this many seconds."""
        now = anyio.current_time()
        self._settled_at = {other: time for other, time in self._settled_at.items() if time > now}
        self._settled_at[conversation_id] = max(now + seconds, self._settled_at.get(conversation_id, now))

    def is_unsettled(self, conversation_id: int) -> bool:
        """Return whether the ticket of an earlier call with an unknown outcome may still appear."""
        return self._settled_at.get(conversation_id, -math.inf) > anyio.current_time()


def subject_of(conversation_id: object) -> int | None:
    """Return the id that logs, spans and errors name; None for an invalid id, because it may be personal data."""
    return int(conversation_id) if is_id(conversation_id) else None


class Conversion(Call):
    """The conversion of one conversation: its errors name it, and an unknown outcome is remembered.

    Args:
        session: The state that the client's calls share.
        memory: The state that the client's calls about conversations share.
        options: The options of this call.
        conversation_id: The conversation, which need not be a valid id yet.
    """

    def __init__(self, session: Session, memory: Memory, options: ConversationOptions, conversation_id: int) -> None:
        subject = subject_of(conversation_id)
        super().__init__(session, options, "convert", subject=subject)
        self._id: int = conversation_id if subject is None else subject
        self._memory = memory
        self._email_fallback = options.email_fallback
        self._is_scheduled = False

    def outcome_unknown(self, reason: str) -> OutcomeUnknownError:
        """Return the error for a conversion whose outcome is unknown."""
        return OutcomeUnknownError(
            f"it is unknown whether conversation {self._id} was converted: {reason}; look it up before you call again"
        )

    @property
    def maybe_applied(self) -> bool:
        """Whether a request of this call, or one with a scheduled email before it, may still make a ticket."""
        return super().maybe_applied or self._awaits_scheduled_email

    @property
    def _awaits_scheduled_email(self) -> bool:
        return self._subject in self._memory.scheduled

    def leave_unknown(self) -> None:
        """Remember that a ticket of the conversation may still appear."""
        self._memory.leave_unsettled(self._id, sum(self.options.retry.settle))
        if self._is_scheduled:
            self._memory.scheduled.add(self._id)

    async def convert(self, request: Request[Conversation], *, verify_first: bool) -> Conversation:
        """Convert the conversation, and return it.

        Args:
            request: The request that converts it.
            verify_first: Whether to look the conversation up first, and to return it if it has a ticket already.

        Raises:
            DeskError: The conversion failed, or its outcome is unknown.
        """
        if not verify_first and not self._awaits_scheduled_email:
            return await self._convert(request)
        # Without the lock, two calls could look the conversation up at the same time, and both would convert it.
        async with self._memory.lock(self._id):
            found = await self._look_first()
            if found is not None:
                self._memory.scheduled.discard(self._id)
                return found
            if self._awaits_scheduled_email:
                raise self.outcome_unknown("an earlier request scheduled an email, and its ticket appears later")
            return await self._convert(request)

    async def _look(self, *, places: int = 1) -> Conversation | None:
        """Look the conversation up in a call of its own, which shares the deadline of this call."""
        with Call(self.session, self.options, "look", subject=self._id, part_of=self, places=places) as looking:
            return await self._memory.lookup.find_converted(looking, self._id)

    async def _look_first(self) -> Conversation | None:
        """Look the conversation up, and repeat the lookup while the ticket of an earlier call may still appear."""
        # The conversion needs a place of the rate window, too.
        found = await self._look(places=2)
        for pause in self.options.retry.settle:
            if found is not None or not self._memory.is_unsettled(self._id):
                break
            await self.pause("settling", pause)
            found = await self._look(places=2)
        return found

    async def _convert(self, request: Request[Conversation]) -> Conversation:
        """Send the request, with the customer's address in the field that the installation knows."""
        mode, memory = self._email_fallback, self._memory
        if mode == "always" or (mode == "auto" and memory.prefers_deprecated_email):
            return await self._send(with_deprecated_email(request) or request)
        try:
            return await self._send(request)
        except ValidationError as error:
            deprecated = with_deprecated_email(request)
            if deprecated is None or mode != "auto" or not says_customer_is_missing(error.errors):
                raise
            first = error
        try:
            conversation = await self._send(deprecated)
        except ValidationError:
            raise first from None
        if not memory.prefers_deprecated_email:
            memory.prefers_deprecated_email = True
            warn("this installation does not know customer.email: the deprecated email field is sent instead")
        return conversation

    async def _send(self, request: Request[Conversation]) -> Conversation:
        self._is_scheduled = "scheduledEmail" in request.body
        try:
            return await self.send(request, verify=self._verify)
        except (NotFoundError, ConflictError) as error:
            # The status is about the request, so add what it means for the conversation.
            if error.from_desk:
                error.args = (f"{error}; {_MEANINGS[type(error)].format(id=self._id)}",)
            raise

    async def _verify(self, effect: Effect, unknown: DeskError) -> Conversation | None:
        """Look up whether the conversation was converted, and repeat it after each pause: the server may finish late.

        Returns:
            The conversation if it has a ticket; None if the request has ended without a ticket.

        Raises:
            ResponseDecodeError: The request was carried out, but no lookup shows the ticket.
            OutcomeUnknownError: The outcome cannot be found out.
        """
        quota = self.session.quota
        failed = unknown.__cause__ if isinstance(unknown, OutcomeUnknownError) else unknown
        for lookups, pause in enumerate((0.0, *self.options.retry.settle)):
            await self.pause("settling", pause, failed)
            # The first lookup skips the quota: an exhausted quota must not hide an outcome.
            if lookups and not quota.spend():
                raise unknown
            try:
                found = await self._look()
            except DeskError as failure:
                raise unknown from failure
            quota.give_back(min(lookups, 1))
            if found is not None:
                return found
        # With a scheduled email, the ticket appears only after the email was sent, so its absence proves nothing.
        if effect is not Effect.ENDED or self._is_scheduled:
            raise unknown
        return None
