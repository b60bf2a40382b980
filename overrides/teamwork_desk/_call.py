"""One call of any operation: its attempts, the pauses between them, and what happens after each."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeAlias, TypeVar

import anyio

from teamwork_desk_api.types import DecodeError, Request

from ._attempt import attempt
from ._auth import Token
from ._errors import (
    DeadlineExceeded,
    DeskError,
    NotSentError,
    OutcomeUnknownError,
    ResponseDecodeError,
    drop_frames,
)
from ._headers import retry_after
from ._observe import always, never
from ._outcome import Effect, Exchange, error_of, is_idempotent, is_safe, may_be_repeated, unreadable
from ._scope import Scope
from ._wire import Body, decode_json, encode_json

T = TypeVar("T")

Verify: TypeAlias = Callable[[Effect, DeskError], Awaitable[T | None]]
"""Finds out whether a request was carried out.

It takes what the attempt may have done and the error that says so. It returns the request's result, or None if the
request has ended and did nothing, and raises an error if it cannot find out: an `OutcomeUnknownError`, unless the
server has refused the request and the lookup had no turn.
"""


class Call(Scope):
    """One call: within its scope, it sends requests until their outcome is known.

    The arguments are those of the scope.
    """

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
        failed: DeskError | None = None
        while True:
            # The lookup of another call may have got a new token meanwhile.
            token = await session.auth.token()
            # Each attempt has its own body, because the body records whether this attempt was sent.
            body = self._unresolved = None if content is None else content.copy(self._latest)
            try:
                await self._wait_for_turn()
            except DeadlineExceeded as late:
                expired = self.outcome_unknown(str(late)) if self.is_response_lost else late
                raise expired from failed  # the failure that made this attempt necessary
            # The place of the request is taken, so nothing may wait until the attempt begins.
            request = request if prepare is None else prepare()
            exchange = await self._watched_attempt(request, body, token)
            ended = anyio.current_time()
            error = failed = error_of(request, exchange, session.origin)
            if error is None:
                try:
                    result = request.decode(
                        decode_json(exchange.content), partial(session.report_drift, request.operation)
                    )
                except DecodeError as reason:
                    error = self.unreadable(request, reason)
                else:
                    self.succeeded()
                    self.is_response_lost = False
                    return result
            effect, was_sent = exchange.effect, body is not None and body.was_sent
            if was_sent and effect.is_unknown and is_idempotent(request):
                # Nobody has to find out what it did, because a repetition has the same result.
                self.is_response_lost = True
            elif was_sent and effect.is_unknown:
                found = await self._find_out(verify, exchange, error, body)
                if found is not None:
                    return found
            self._unresolved = None
            self.was_refused = was_sent and (effect is Effect.REFUSED or exchange.status_code == 401)
            if not await self._renew(token, exchange, error):
                failed = self._with_lost_response(effect, error)
                if not may_be_repeated(effect, error):
                    raise failed
                asked_for = retry_after(exchange.headers, time.time())
                waited = anyio.current_time() - ended  # while the outcome was looked up
                await self.back_off(failed, asked_for, waited, is_paced=exchange.status_code == 429)
            # Nothing is sent again only because of a response: a gateway may refuse what the server has carried out.
            if was_sent and not effect.is_unknown:
                found = await self._find_out(verify, exchange, error, body)
                if found is not None:
                    return found
                self.was_refused = False

    def _with_lost_response(self, effect: Effect, error: DeskError) -> DeskError:
        """Return the error for an attempt, which is another one if an earlier response was lost.

        A status such as 404 remains what it is, because it says what the object is like now.
        """
        if not self.is_response_lost or effect is Effect.FINAL or isinstance(error, ResponseDecodeError):
            return error
        unknown = self.outcome_unknown(str(error))
        unknown.__cause__ = error
        return unknown

    async def _renew(self, token: Token, exchange: Exchange, error: DeskError) -> bool:
        """Ask for a new token after the first 401, and return whether there is one."""
        if exchange.status_code != 401 or not self._whole.may_reauthenticate:
            return False
        self._whole.may_reauthenticate = False
        try:
            return await self.session.auth.token(refused=token) != token
        except NotSentError as failure:
            # The provider failed, but a request was sent, and the server has rejected it.
            raise error from failure

    async def _find_out(
        self, verify: Verify[T] | None, exchange: Exchange, error: DeskError, body: Body | None
    ) -> T | None:
        """Return what a request did that was sent; None if it did nothing."""
        effect, policy = exchange.effect, self.options.retry
        unknown = error
        if effect is not Effect.APPLIED:
            unknown = self.outcome_unknown(str(error))
            unknown.__cause__ = error
        if verify is None or policy.on_unknown == "raise":
            if effect.is_unknown:
                raise unknown
            return None
        if effect is Effect.ENDED:
            # The server is not ready for a lookup before. A pause that is too long would hide what can be found out.
            asked_for = retry_after(exchange.headers, time.time()) or 0.0
            if asked_for <= policy.max_retry_after and anyio.current_time() + asked_for < self._deadline:
                await self.pause("back-off", asked_for, error)
        try:
            found = await verify(effect, unknown)
        except OutcomeUnknownError:
            self._unresolved = body
            raise
        if found is not None:
            self.session.quota.give_back(self._retries)
        return found

    async def _wait_for_turn(self) -> None:
        enter = self.pacer.enter(self._number, self._deadline, longest_margin=self._margin, places=self.places)
        self.watch.waits_for_turn = always
        self.watch.waited("rate limit", await enter)
        self.watch.waits_for_turn = never

    async def _watched_attempt(self, request: Request[Any], body: Body | None, token: Token) -> Exchange:
        """Make one attempt, and report its result."""
        began, handled = anyio.current_time(), sys.exception()
        try:
            exchange = await attempt(self, request, body, token)
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

    async def back_off(
        self, error: DeskError, asked_for: float | None, waited: float = 0.0, *, is_paced: bool = False
    ) -> None:
        """Pause before the call tries again, or raise the error if it must not try again.

        Args:
            error: The error of the last attempt.
            asked_for: The seconds for which the server asked.
            waited: The seconds that have passed since the last attempt.
            is_paced: Whether the pacer limits the retries of all calls together, so that they need no quota.
        """
        policy = self.options.retry
        self._retries += 1
        if (asked_for or 0.0) > policy.max_retry_after or self._retries >= policy.max_attempts:
            raise error
        if is_paced and asked_for is None:
            return  # The pacer lets the next attempt start when Desk can accept it.
        seconds = max(0.0, (asked_for or 0.0) - waited) + policy.backoff(self._retries, random.random())
        self._check_fits(seconds, error)
        if not is_paced and not self.session.quota.spend():
            raise error
        await self.pause("back-off", seconds, error)

    def succeeded(self) -> None:
        """Return the cost of the retries to the quota: an operation of several requests may override this."""
        self.session.quota.give_back(self._retries)

    def unreadable(self, request: Request[Any], reason: DecodeError) -> DeskError:
        """Return the error for a success whose response cannot be used: an operation may override this."""
        return unreadable(request, reason)
