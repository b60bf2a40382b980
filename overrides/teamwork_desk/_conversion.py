"""One conversion: the lookup, the request, the verification, and the retry with the deprecated email field."""

from __future__ import annotations

import math
from typing import Any

import anyio
from attrs import frozen

from teamwork_desk_api.models import Conversation
from teamwork_desk_api.types import DecodeError, Request

from ._call import Call
from ._checks import is_id
from ._email_fallback import EmailFallback, says_customer_is_missing, with_deprecated_email
from ._errors import (
    AuthenticationError,
    ConfigurationError,
    ConflictError,
    DeadlineExceeded,
    DeskError,
    NotFoundError,
    OutcomeUnknownError,
    PermissionDeniedError,
    RateLimitedError,
    ResponseDecodeError,
    StatusError,
    ValidationError,
)
from ._memory import Memory, Unknown
from ._observe import warn
from ._outcome import Effect
from ._session import Options, Session
from ._tickets import ConvertedConversation, NoTicketError, converted, with_ticket
from ._values import with_evaluated_hints

_MEANINGS = {
    NotFoundError: "Desk does not know conversation {id}",
    ConflictError: "the state of conversation {id} does not allow it",
}
_NO_PROOF = (NotFoundError, PermissionDeniedError, ResponseDecodeError)
"""Errors of a lookup that a caller who knows the conversation can do without."""


@with_evaluated_hints
@frozen(kw_only=True)
class ConversationOptions(Options):
    """The options of a call that is about conversations."""

    email_fallback: EmailFallback
    verify_first: bool


def subject_of(conversation_id: object) -> int | None:
    """Return the id that logs, spans and errors name; None for an invalid id, because it may be personal data."""
    return int(conversation_id) if is_id(conversation_id) else None


def _had_no_turn(failure: DeskError) -> bool:
    """Return whether a lookup was not sent, or was sent too early: then it says nothing about the conversation."""
    if isinstance(failure, DeadlineExceeded):
        return failure.retry_after is not None
    return isinstance(failure, (ConfigurationError, RateLimitedError))


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

    def unreadable(self, request: Request[Any], reason: DecodeError) -> DeskError:
        """Return the error for a success whose response names no ticket, or cannot be read."""
        if isinstance(reason, NoTicketError):
            return self.outcome_unknown(f"Desk reported a success, but {reason}")
        return super().unreadable(request, reason)

    @property
    def maybe_applied(self) -> bool:
        """Whether a request of this call, or of another one whose outcome is not known, may make a ticket."""
        if super().maybe_applied:
            return True
        if self._subject is None:
            return False
        earlier, running = self._memory.unknown(self._subject), self._memory.running.get(self._subject)
        return (earlier is not None and earlier.maybe_applied) or (running is not None and running.is_unresolved)

    def leave_unknown(self, *, maybe_applied: bool) -> None:
        """Remember that nobody has looked what the last request did."""
        if not maybe_applied and self.options.retry.on_unknown == "raise":
            return  # The caller wants no lookups, and sends again what Desk has refused.
        unknown = Unknown(
            left_at=anyio.current_time(),
            settle=self._settle,
            maybe_applied=maybe_applied,
            is_scheduled=maybe_applied and self._is_scheduled,
        )
        self._memory.leave(self._id, unknown)

    @property
    def _settle(self) -> float:
        return sum(self.options.retry.settle)

    async def convert(self, request: Request[Conversation], *, verify_first: bool) -> ConvertedConversation:
        """Convert the conversation, and return it.

        Args:
            request: The request that converts it.
            verify_first: Whether to look the conversation up first, and to return it if it has a ticket already.

        Raises:
            DeskError: The conversion failed, or its outcome is unknown.
        """
        # Calls for one conversation run one after the other: otherwise each of them could make a ticket.
        memory = self._memory
        async with memory.lock(self._id):
            memory.running[self._id] = self
            try:
                if verify_first or memory.must_look(self._id):
                    found = memory.converted(self._id, self._settle) or await self._look_first()
                    if found is not None:
                        return self._ended(found, created=False)
                conversation = await self._convert(with_ticket(request))
            finally:
                # If the loop of this call stood still, another call may run for this conversation now.
                if memory.running.get(self._id) is self:
                    del memory.running[self._id]
            memory.keep(self._id, conversation, self._settle)
            return self._ended(conversation, created=True)

    def _ended(self, conversation: Conversation, *, created: bool) -> ConvertedConversation:
        self.watch.created = created
        return converted(conversation, created=created)

    async def _look(self, *, places: int = 1) -> Conversation | None:
        """Look the conversation up in a call of its own, which shares the deadline of this call."""
        with Call(self.session, self.options, "look", subject=self._id, part_of=self, places=places) as looking:
            return await self._memory.lookup.find_converted(looking, self._id)

    async def _look_first(self) -> Conversation | None:
        """Look the conversation up before anything is sent, until the ticket of an earlier call would be there.

        Raises:
            OutcomeUnknownError: The outcome of an earlier call is still unknown.
            DeskError: The lookup failed, and nothing was sent.
        """
        earlier = self._memory.unknown(self._id)
        pauses = iter(self.options.retry.settle)
        while True:
            settles_in = earlier.settles_in(self._settle) if earlier else 0.0
            try:
                # The conversion needs a place of the rate window, too.
                found = await self._look(places=2)
            except DeskError as failure:
                self._explain(failure)
                raise
            if found is None and settles_in > 0:
                await self.pause("settling", min(settles_in, next(pauses, math.inf)))
                continue
            if found is None and earlier is not None and earlier.is_scheduled:
                raise self.outcome_unknown("an earlier request scheduled an email, and its ticket appears later")
            self._memory.forget(self._id)
            return found

    def _explain(self, failure: DeskError) -> None:
        """Complete the error of a lookup that failed before anything was sent.

        Raises:
            OutcomeUnknownError: The outcome of an earlier call stays unknown because of it.
        """
        if _had_no_turn(failure):
            return
        if self.maybe_applied:
            raise self.outcome_unknown(f"an earlier request may have done it, and now {failure}") from failure
        if isinstance(failure, _NO_PROOF) and not (isinstance(failure, StatusError) and not failure.from_desk):
            failure.args = (
                f"{failure}; so it is not known whether the conversation has a ticket, and nothing was sent; "
                "check the id, or, if you know that it has no ticket, convert it with verify_first=False",
            )

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
        self.was_refused = True
        if self.options.retry.on_unknown == "verify":
            # Nothing is sent again only because of a response.
            try:
                found = await self._look()
            except DeskError as failure:
                if _had_no_turn(failure):
                    raise
                raise first from failure
            if found is not None:
                return found
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
        # Desk says that it has refused the request, so one lookup is enough to check that.
        settle = self.options.retry.settle if effect.is_unknown else ()
        for lookups, pause in enumerate((0.0, *settle)):
            await self.pause("settling", pause, failed)
            # The first lookup skips the quota: an exhausted quota must not hide an outcome.
            if lookups and not quota.spend():
                raise unknown
            try:
                # A request that was refused will be sent again, and needs a place of the rate window, too.
                found = await self._look(places=1 if effect.is_unknown else 2)
            except DeskError as failure:
                if not effect.is_unknown and (_had_no_turn(failure) or isinstance(failure, AuthenticationError)):
                    raise
                raise unknown from failure
            quota.give_back(min(lookups, 1))
            if found is not None:
                return found
        # With a scheduled email, the ticket appears only after the email was sent, so its absence proves nothing.
        if effect in (Effect.RUNNING, Effect.APPLIED) or (effect.is_unknown and self._is_scheduled):
            raise unknown
        return None
