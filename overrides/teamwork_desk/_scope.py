"""The scope of a call: its deadline, its pauses, what its requests may have done, and the errors that leave it."""

from __future__ import annotations

from contextlib import suppress
from types import TracebackType
from typing import Literal, Self

import anyio

from ._errors import DeadlineExceeded, DeskError, OutcomeUnknownError, complete
from ._observe import Watch
from ._session import Options, Session
from ._wire import Body, now


class Scope:
    """The scope of one call: its deadline, and what its requests may have done.

    As a context manager it enforces the deadline on the code inside, and completes the errors that leave it.

    Args:
        session: The state that the client's calls share.
        options: The options of this call.
        operation: The name of the operation, for logs and spans.
        subject: The id of the object that the call is about, for logs, spans and errors.
        part_of: The call that this call is a part of. The two share a deadline, a log line and a span, but the part
            counts its own attempts, and its errors are about its own requests only.
        places: How many places of the rate window a request holds.
    """

    def __init__(
        self,
        session: Session,
        options: Options,
        operation: str,
        *,
        subject: int | None = None,
        part_of: Scope | None = None,
        places: int = 1,
    ) -> None:
        self.attempts = 0
        self.session = session
        self.options = options
        self._subject = subject
        self._is_part = part_of is not None
        self.pacer = session.enter(self)
        self._number: int = part_of._number if part_of else self.pacer.number_call()
        self.places = places
        self.watch: Watch = part_of.watch if part_of else Watch(session.observer, operation, subject)
        self._deadline: float = part_of._deadline if part_of else self.watch.began + options.deadline
        self._margin = options.deadline / 10
        self._scope = anyio.CancelScope(deadline=self._deadline)
        # No body leaves later than this. The loop's own clock may stand still, so the body has another clock.
        self._latest = now() + self._deadline - anyio.current_time()
        # The body of the last attempt while its effect is not known; None if the request changes nothing.
        self._unresolved: Body | None = None
        # Whether an attempt of an idempotent request may have been carried out, and no later attempt has succeeded.
        self.is_response_lost = False
        # Whether the server has refused an attempt, and nobody has looked yet whether that is true.
        self.was_refused = False
        self._retries: int = 0
        self._request_id: str | None = None
        # A call asks once for a new token, its parts included.
        self._whole: Scope = part_of or self
        self.may_reauthenticate = True

    def __enter__(self) -> Self:
        self._scope.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> Literal[False]:
        is_expired = True
        self.session.loop.calls.discard(self)
        # On trio, the scope raises a group if other tasks also failed while the deadline cancelled them.
        with suppress(ExceptionGroup):
            is_expired = self._scope.__exit__(kind, error, traceback)
        if is_expired and error is not None:
            # The cancellation becomes the context of the new error, so its frames would leave the call with it.
            error.__traceback__ = error.__context__ = error.__cause__ = None
            error = self.expired()
        if error is not None:
            self.abandon()
        if not self._is_part:
            unknown = error is not None and self.maybe_applied
            self.watch.ended(error, self.attempts, self._request_id, maybe_applied=unknown)
        if isinstance(error, DeskError):
            complete(error, attempts=self.attempts, maybe_applied=self.maybe_applied, subject=self._subject)
            error.request_id = error.request_id or self._request_id
            if error.__cause__ is None:
                error.__context__ = None
            # Drop the frames below: they hold the token and the body, and crash reporters print local variables.
            del traceback  # The frame of this method would keep them.
            raise error.with_traceback(None)
        return False

    def abandon(self) -> None:
        """Remember the outcome if it is unknown, because the call ends without a result."""
        if self.is_unresolved or self.was_refused:
            self.leave_unknown(maybe_applied=self.is_unresolved)

    def leave_unknown(self, *, maybe_applied: bool) -> None:
        """Remember that nobody has looked what the last request did: an operation may override this.

        Args:
            maybe_applied: Whether it may have been carried out; False if the server has refused it.
        """

    @property
    def is_unresolved(self) -> bool:
        """Whether a request has left, and its effect is not known yet."""
        return self.is_response_lost or (self._unresolved is not None and self._unresolved.was_sent)

    @property
    def maybe_applied(self) -> bool:
        """Whether a request may have changed something, and its effect is not known: an operation may override this."""
        return self.is_unresolved

    def outcome_unknown(self, reason: str) -> OutcomeUnknownError:
        """Return the error for a request whose outcome is unknown: a subclass may name its object."""
        return OutcomeUnknownError(f"it is unknown whether the request was carried out: {reason}")

    def expired(self, pause: float | None = None) -> DeskError:
        """Return the error for a deadline that has passed, or that would pass during a pause of this many seconds."""
        deadline = f"the deadline of {self.options.deadline:.3g} s"
        reason = f"{deadline} passed" if pause is None else f"a pause of {pause:.1f} s does not fit into {deadline}"
        # A call that was refused has spent its time on the rate limit, too.
        retry_after = (pause or 0.0) if self.watch.waits_for_turn() or self._whole.was_refused else None
        return self.outcome_unknown(reason) if self.maybe_applied else DeadlineExceeded(reason, retry_after=retry_after)

    def expect_turn(self, other: Scope) -> None:
        """Raise `DeadlineExceeded` if the other call, which this one waits for, has no turn before this deadline."""
        self.pacer.expect_turn(other._number, self._deadline, self._margin)

    def hurry(self, other: Scope) -> None:
        """Have the turn of an older call that waits for the result of this one."""
        self._number = self.pacer.hurry(self._number, other._number)

    async def pause(self, reason: str, seconds: float, error: BaseException | None = None) -> None:
        """Wait within the deadline.

        Args:
            reason: Why, for spans: `"back-off"` or `"settling"`.
            seconds: How long.
            error: The error that made the pause necessary.

        Raises:
            DeadlineExceeded: The pause does not fit into the deadline, and nothing was sent.
            OutcomeUnknownError: The pause does not fit into the deadline, and a request may have been carried out.
        """
        self._check_fits(seconds, error)
        if seconds:
            await anyio.sleep(seconds)
            self.watch.waited(reason, seconds)

    def _check_fits(self, seconds: float, error: BaseException | None) -> None:
        if anyio.current_time() + seconds > self._deadline or now() + seconds > self._latest:
            raise self.expired(seconds) from error
