"""One call of any operation: its deadline, its attempts, its pauses, and the errors that leave it."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias, TypeVar

import anyio
import httpx

from teamwork_desk_api.types import DecodeError, Request

from ._auth import Token
from ._connections import Handshake
from ._errors import (
    ConfigurationError,
    DeadlineExceeded,
    DeskError,
    OutcomeUnknownError,
    RequestError,
    ResponseDecodeError,
    complete,
    drop_frames,
    scrub,
)
from ._headers import retry_after
from ._observe import Watch, always, never
from ._outcome import Effect, Exchange, error_of, is_permanent, is_safe, seems_sent, unreadable
from ._session import Options, Session
from ._wire import Body, build, decode_json, encode_json, read

T = TypeVar("T")

Verify: TypeAlias = Callable[[Effect, DeskError], Awaitable[T | None]]
"""Finds out whether a request was carried out.

It takes what the attempt may have done and the error that says so. It returns the request's result, or None if the
request has ended and did nothing, and raises an error if it cannot find out.
"""


class Call:
    """One call: its deadline, its attempts, and what they may have done.

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
        part_of: Call | None = None,
        places: int = 1,
    ) -> None:
        self.attempts = 0
        self.session = session
        self.options = options
        self._subject = subject
        self._is_part = part_of is not None
        self._number: int = part_of._number if part_of else session.pacer.number_call()
        self._places = places
        self.watch: Watch = part_of.watch if part_of else Watch(session.observer, operation, subject)
        self._deadline: float = part_of._deadline if part_of else self.watch.began + options.deadline
        self._margin = options.deadline / 10
        self._scope = anyio.CancelScope(deadline=self._deadline)
        # The body of the last attempt while its effect is not known; None if the request changes nothing.
        self._unresolved: Body | None = None
        self._retries = 0
        self._request_id: str | None = None
        self._may_reauthenticate = True

    def __enter__(self) -> Self:
        self._scope.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> Literal[False]:
        is_expired = True
        # On trio, the scope raises a group if other tasks also failed while the deadline cancelled them.
        with suppress(ExceptionGroup):
            is_expired = self._scope.__exit__(kind, error, traceback)
        if is_expired and error is not None:
            # The cancellation becomes the context of the new error, so its frames would leave the call with it.
            error.__traceback__ = error.__context__ = error.__cause__ = None
            error = self.expired()
        if error is not None and self.maybe_applied:
            self.leave_unknown()
        if not self._is_part:
            unknown = error is not None and self.maybe_applied
            self.watch.ended(error, self.attempts, self._request_id, maybe_applied=unknown)
        if isinstance(error, DeskError):
            complete(error, attempts=self.attempts, maybe_applied=self.maybe_applied, subject=self._subject)
            error.request_id = error.request_id or self._request_id
            if error.__cause__ is None:
                error.__context__ = None
            # Drop the frames below: they hold the token and the body, and crash reporters print local variables.
            raise error.with_traceback(None)
        return False

    def leave_unknown(self) -> None:
        """Remember that the outcome is unknown: an operation may override this."""

    @property
    def maybe_applied(self) -> bool:
        """Whether a request of this call may have changed something, and its effect is not known."""
        return self._unresolved is not None and self._unresolved.was_sent

    def outcome_unknown(self, reason: str) -> OutcomeUnknownError:
        """Return the error for a request whose outcome is unknown: a subclass may name its object."""
        return OutcomeUnknownError(f"it is unknown whether the request was carried out: {reason}")

    def expired(self, pause: float | None = None) -> DeskError:
        """Return the error for a deadline that has passed, or that would pass during a pause of this many seconds."""
        deadline = f"the deadline of {self.options.deadline:.3g} s"
        reason = f"{deadline} passed" if pause is None else f"a pause of {pause:.1f} s does not fit into {deadline}"
        retry_after = 0.0 if self.watch.waits_for_turn() else None
        return self.outcome_unknown(reason) if self.maybe_applied else DeadlineExceeded(reason, retry_after=retry_after)

    def expect_turn(self, other: Call) -> None:
        """Raise `DeadlineExceeded` if the other call, which this one waits for, has no turn before this deadline."""
        self.session.pacer.expect_turn(other._number, self._deadline, self._margin)

    def hurry(self, other: Call) -> None:
        """Have the turn of an older call that waits for the result of this one."""
        self._number = self.session.pacer.hurry(self._number, other._number)

    async def send(
        self, request: Request[T], *, verify: Verify[T] | None = None, prepare: Callable[[], Request[T]] | None = None
    ) -> T:
        """Send a request until its outcome is known, within the retry policy.

        Args:
            request: The request.
            verify: Finds out whether the request was carried out; without it, an unknown outcome is an error.
            prepare: Returns the request when it is about to start, if it may still change while it waits for its turn.

        Returns:
            The decoded response, or what `verify` found.

        Raises:
            DeskError: The request failed; the error tree names the reasons.
        """
        session = self.session
        # Keep the encoded body wrapped: a traceback with local variables would show plain bytes.
        content = None if is_safe(request) else Body(encode_json(request.body))
        token = await session.auth.token()
        failed: DeskError | None = None
        while True:
            # Each attempt has its own body, because the body records whether this attempt was sent.
            body = self._unresolved = None if content is None else content.copy()
            try:
                await self._wait_for_turn()
            except DeadlineExceeded as late:
                raise late from failed  # the failure that made this attempt necessary
            # The place of the request is taken, so nothing may wait until the attempt begins.
            request = request if prepare is None else prepare()
            exchange = await self._watched_attempt(request, body, token)
            error = failed = error_of(request, exchange, secret=token.value)
            if error is None:
                try:
                    result = request.decode(decode_json(exchange.content), session.report_drift)
                except DecodeError as reason:
                    error = unreadable(request, reason)
                else:
                    session.quota.give_back(self._retries)
                    return result
            if body is not None and exchange.effect.is_unknown:
                found = await self._find_out(verify, exchange.effect, error)
                if found is not None:
                    session.quota.give_back(self._retries)
                    return found
            self._unresolved = None
            if exchange.status_code == 401 and self._may_reauthenticate:
                self._may_reauthenticate = False
                refused, token = token, await session.auth.token(refused=token)
                if token != refused:
                    continue
            if exchange.effect is Effect.FINAL or isinstance(error, ResponseDecodeError) or is_permanent(error):
                raise error
            await self._back_off(exchange, error)

    async def _find_out(self, verify: Verify[T] | None, effect: Effect, error: DeskError) -> T | None:
        unknown = error
        if effect is not Effect.APPLIED:
            unknown = self.outcome_unknown(str(error))
            unknown.__cause__ = error
        if verify is None or self.options.retry.on_unknown == "raise":
            raise unknown
        return await verify(effect, unknown)

    async def _wait_for_turn(self) -> None:
        enter = self.session.pacer.enter(self._number, self._deadline, longest_margin=self._margin, places=self._places)
        self.watch.waits_for_turn = always
        self.watch.waited("rate limit", await enter)
        self.watch.waits_for_turn = never

    async def _watched_attempt(self, request: Request[Any], body: Body | None, token: Token) -> Exchange:
        """Make one attempt, and report its result."""
        began, handled = anyio.current_time(), sys.exception()
        try:
            exchange = await self._attempt(request, body, token)
        except BaseException as interruption:
            # The deadline or the caller cancelled the attempt. Trio may wrap the cancellation in a group.
            if not isinstance(interruption, Exception):
                self.watch.attempted(request, Exchange(sent=body is None or body.was_sent), began)
            # Drop the frames below: those of the transport hold the token, and those of `read` hold the response.
            drop_frames(interruption, handled)
            raise
        self.watch.attempted(request, exchange, began)
        self._request_id = exchange.request_id or self._request_id
        return exchange

    async def _attempt(self, request: Request[Any], body: Body | None, token: Token) -> Exchange:
        session, timeout, handshake = self.session, self.options.timeout, Handshake()
        handled = sys.exception()  # what the caller handles meanwhile is not ours to change
        response: httpx.Response | None = None
        sent, started = False, anyio.current_time()
        more = {"timeout": timeout.as_dict(), **handshake.extensions(session.origin)}
        try:
            http_request = build(session.origin, request, session.headers, token.value, body=body, extensions=more)
        except RequestError:
            session.pacer.leave(None, started=None, places=self._places)
            raise
        try:
            async with session.connections.borrow(timeout.pool) as slot:
                self.attempts += 1
                sent = True
                response = await slot.send(http_request)
                if body is not None:
                    # A response proves that the request arrived, even if its body was not read.
                    body.was_sent = True
                content = await read(response)
            return Exchange(sent=True, status_code=response.status_code, headers=response.headers, content=content)
        except ConfigurationError:
            raise
        except Exception as failure:  # a transport or an event hook may raise anything, and the outcome must be kept
            scrub(failure, http_request, handled)
            if response is None:
                sent = seems_sent(failure) if body is None else body.was_sent
                return Exchange(sent=sent, failure=failure)
            return Exchange(sent=True, status_code=response.status_code, headers=response.headers, failure=failure)
        finally:
            session.pacer.leave(response, started=started if sent else None, places=self._places)
            await handshake.abandon()

    async def _back_off(self, exchange: Exchange, error: DeskError) -> None:
        """Pause before the next attempt, or raise the error if there must be no further attempt."""
        policy, session = self.options.retry, self.session
        self._retries += 1
        asked_for = retry_after(exchange.headers, time.time())
        if (asked_for or 0.0) > policy.max_retry_after or self._retries >= policy.max_attempts:
            raise error
        if exchange.status_code == 429 and asked_for is None:
            return  # The pacer lets the next attempt start when Desk can accept it.
        seconds = (asked_for or 0.0) + policy.backoff(self._retries, random.random())
        self._check_fits(seconds, error)
        # After a 429, the pacer limits the retries of all calls together, so that they need no quota.
        if exchange.status_code != 429 and not session.quota.spend():
            raise error
        await self.pause("back-off", seconds, error)

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
        if anyio.current_time() + seconds > self._deadline:
            raise self.expired(seconds) from error
