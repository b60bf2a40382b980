"""The one path that every request takes: pace, authenticate, attempt, classify, back off or stop."""

from __future__ import annotations

import math
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias, TypeVar
from urllib.parse import urlsplit
from weakref import WeakValueDictionary

import anyio
import httpx
from attrs import frozen

from teamwork_desk_api.types import DecodeError, Request

from ._auth import BearerAuth, Token
from ._connections import Connections, Handshake
from ._email_fallback import EmailFallback
from ._errors import ConfigurationError, DeadlineExceeded, DeskError, OutcomeUnknownError, ResponseDecodeError, scrub
from ._exchange import Body, Exchange, decode_json, encode_json, error_of, is_safe, name_of, read
from ._lazy_url import LazyURL
from ._observe import Observer, Watch, warn_of_drift
from ._pacing import Pacer
from ._retry import Effect, RetryPolicy, RetryQuota, is_permanent, seems_sent

T = TypeVar("T")


@frozen(kw_only=True)
class Settings:
    """What `with_options` can change."""

    timeout: httpx.Timeout
    deadline: float
    retry: RetryPolicy
    email_fallback: EmailFallback


class Session:
    """What all views of one client share."""

    def __init__(
        self, origin: str, auth: BearerAuth, connections: Connections, observer: Observer | None, user_agent: str
    ) -> None:
        self.origin = origin
        self.url: httpx.URL = httpx.URL(origin)
        self.auth = auth
        self.connections = connections
        self.observer = observer
        self.pacer: Pacer = Pacer()
        self.quota: RetryQuota = RetryQuota()
        self.prefers_deprecated_email = False
        self.headers: list[tuple[str, str]] = [
            ("Host", urlsplit(origin).netloc),
            ("Accept", "application/json"),
            ("Accept-Encoding", "gzip"),
            ("User-Agent", user_agent),
        ]
        self._drift: set[tuple[str, str, str]] = set()
        self._locks: WeakValueDictionary[int, anyio.Lock] = WeakValueDictionary()
        self._settled_at: dict[int, float] = {}

    def lock(self, conversation_id: int) -> anyio.Lock:
        """Return the lock under which one call at a time looks at a conversation and converts it."""
        return self._locks.setdefault(conversation_id, anyio.Lock(fast_acquire=True))

    def leave_unsettled(self, conversation_id: int, seconds: float) -> None:
        """Note that what a call may have done to a conversation can show for so long after it."""
        now = anyio.current_time()
        self._settled_at = {one: time for one, time in self._settled_at.items() if time > now}
        self._settled_at[conversation_id] = max(now + seconds, self._settled_at.get(conversation_id, now))

    def is_unsettled(self, conversation_id: int) -> bool:
        """Whether what an earlier call may have done to a conversation may not show yet."""
        return self._settled_at.get(conversation_id, -math.inf) > anyio.current_time()

    def report_drift(self, path: str, expected: str, got: str) -> None:
        """Log, once per path and kind, a value that the contract does not foresee."""
        if (path, expected, got) not in self._drift:
            self._drift.add((path, expected, got))
            warn_of_drift("%s: expected %s, got %s", path, expected, got)


class Call:
    """One call of a user: its deadline, its attempts, and what they may have done.

    As a context manager it bounds what it holds by the deadline, and completes the errors that leave it.
    """

    def __init__(
        self,
        session: Session,
        settings: Settings,
        operation: str,
        conversation_id: int | None = None,
        *,
        part_of: Call | None = None,
    ) -> None:
        self.attempts = 0
        self._session = session
        self._settings = settings
        # What is no id is refused later, and may be anything: it is not to be shown.
        is_id = isinstance(conversation_id, int) and conversation_id.bit_length() < 64
        self._conversation_id = conversation_id if is_id else None
        self._is_part = part_of is not None
        self._watch: Watch = part_of._watch if part_of else Watch(session.observer, operation, self._conversation_id)
        self._deadline: float = part_of._deadline if part_of else self._watch.began + settings.deadline
        self._scope = anyio.CancelScope(deadline=self._deadline)
        self._body: Body | None = None
        self._retries = 0
        self._may_reauthenticate = True

    def __enter__(self) -> Self:
        self._scope.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> Literal[False]:
        is_expired = True
        with suppress(ExceptionGroup):  # on trio, what else failed in a group that the deadline cancelled
            is_expired = self._scope.__exit__(kind, error, traceback)
        if is_expired and error is not None:
            # It becomes the context of what is raised in its place, and its frames go with it.
            error.__traceback__ = error.__context__ = error.__cause__ = None
            error = self.expired()
        if error is not None and self.maybe_applied and self._conversation_id is not None:
            self._session.leave_unsettled(self._conversation_id, sum(self._settings.retry.settle))
        if not self._is_part:
            self._watch.ended(error, self.attempts, maybe_applied=error is not None and self.maybe_applied)
        if isinstance(error, DeskError):
            error.attempts, error.maybe_applied = self.attempts, self.maybe_applied
            error.conversation_id = self._conversation_id
            if error.__cause__ is None:
                error.__context__ = None
            # The frames below hold the token and the body, and crash reporters print locals.
            raise error.with_traceback(None)
        return False

    @property
    def maybe_applied(self) -> bool:
        """Whether something that was sent may have had an effect."""
        return self._body is not None and self._body.was_read

    def expired(self, reason: str = "time ran out") -> DeskError:
        """Return the error for a deadline that is not met."""
        reason = f"{reason}, with a deadline of {self._settings.deadline:.3g} s"
        return self._outcome_unknown(reason) if self.maybe_applied else DeadlineExceeded(reason)

    async def send(self, request: Request[T], *, look: Look[T] | None = None) -> T:
        """Send a request until its outcome is known, within the retry policy.

        Args:
            request: The request.
            look: Finds out whether the request was carried out: returns its result if so, None if not.

        Returns:
            What the answer says, or what `look` found.

        Raises:
            DeskError: As the error tree says.
        """
        session = self._session
        body = Body(encode_json(request.body))
        safe = is_safe(request)
        if not safe:
            self._body = body
        token = await session.auth.token()
        while True:
            began = anyio.current_time()
            try:
                exchange = await self._attempt(request, body, token)
            except BaseException as interruption:  # the deadline's, or the caller's; trio may wrap it in a group
                if not isinstance(interruption, Exception):
                    self._watch.attempted(request, Exchange(sent=safe or body.was_read), began)
                raise
            self._watch.attempted(request, exchange, began)
            error = error_of(request, exchange)
            if error is None:
                try:
                    result = request.decode(decode_json(exchange.content), session.report_drift)
                except DecodeError as unreadable:
                    error = ResponseDecodeError(
                        f"{name_of(request)} succeeded, but its answer is unreadable: {unreadable}"
                    )
                else:
                    session.quota.give_back(self._retries)
                    return result
            if not safe and exchange.effect in (Effect.ENDED, Effect.RUNNING, Effect.APPLIED):
                found = await self._verify(look, exchange.effect, error)
                if found is not None:
                    session.quota.give_back(self._retries)
                    return found
            body.was_read = False
            if exchange.status_code == 401 and self._may_reauthenticate:
                self._may_reauthenticate = False
                refused, token = token, await session.auth.token(refused=token)
                if token != refused:
                    continue
            if exchange.effect is Effect.FINAL or isinstance(error, ResponseDecodeError) or is_permanent(error):
                raise error
            await self._back_off(exchange, error)

    async def look(self, look: Look[T]) -> T | None:
        """Look what became of a request, in a call of its own that ends when this one does."""
        with Call(self._session, self._settings, "look", self._conversation_id, part_of=self) as looking:
            return await look(looking)

    async def look_first(self, conversation_id: int, look: Look[T]) -> T | None:
        """Look what became of the calls before this one, and again while what they may have done may not show yet."""
        found = await self.look(look)
        for pause in self._settings.retry.settle:
            if found is not None or not self._session.is_unsettled(conversation_id):
                break
            await self._pause("settling", pause)
            found = await self.look(look)
        return found

    async def _attempt(self, request: Request[Any], body: Body, token: Token) -> Exchange:
        session, timeout, handshake = self._session, self._settings.timeout, Handshake()
        extensions: dict[str, Any] = {"timeout": timeout.as_dict()}
        if session.origin.startswith("https:"):
            extensions["trace"] = handshake.trace
        http_request = httpx.Request(
            request.method,
            session.url,
            headers=[*session.headers, *body.headers, ("Authorization", f"Bearer {token.value}")],
            # Without a body there must be no stream: the aiohttp transport would send it in chunks.
            stream=body if self._body is body else None,
            extensions=extensions,
        )
        http_request.url = LazyURL(session.url, request.target)
        self._watch.waited("rate limit", await session.pacer.enter(self._deadline))
        answer: httpx.Response | None = None
        try:
            async with session.connections.borrow(timeout.pool) as slot:
                self.attempts += 1
                answer = await slot.send(http_request)
                body.was_read = True  # to send it or not: an answer says that the request has arrived
                content = await read(answer)
            return Exchange(sent=True, status_code=answer.status_code, headers=answer.headers, content=content)
        except ConfigurationError:
            raise
        except Exception as failure:  # whatever a transport or an event hook raises: what was sent must be told
            scrub(failure, http_request)
            if answer is None:
                sent = body.was_read if self._body is body else seems_sent(failure)
                return Exchange(sent=sent, failure=failure)
            return Exchange(sent=True, status_code=answer.status_code, headers=answer.headers, failure=failure)
        finally:
            session.pacer.leave(None if answer is None else answer.headers)
            await handshake.abandon()

    async def _verify(self, look: Look[T] | None, effect: Effect, error: DeskError) -> T | None:
        """Look whether the request was carried out, and again after each pause: the server may finish late.

        Returns:
            The result; None where the request has ended and did nothing.

        Raises:
            ResponseDecodeError: It was applied, and nothing is found of it.
            OutcomeUnknownError: Anything else is unknown.
        """
        policy, quota = self._settings.retry, self._session.quota
        unknown = error
        if effect is not Effect.APPLIED:
            unknown = self._outcome_unknown(str(error))
            unknown.__cause__ = error
        if look is None or policy.on_unknown == "raise":
            raise unknown
        for looks, pause in enumerate((0.0, *policy.settle)):
            await self._pause("settling", pause, error)
            # The first look is free: retries that failed are no reason not to know.
            if looks and not quota.spend():
                raise unknown
            try:
                found = await self.look(look)
            except DeskError as blind:
                raise unknown from blind
            quota.give_back(min(looks, 1))
            if found is not None:
                return found
        if effect is not Effect.ENDED:
            raise unknown
        return None

    async def _back_off(self, exchange: Exchange, error: DeskError) -> None:
        """Pause before the next attempt; raise the error where there must be none."""
        policy, session = self._settings.retry, self._session
        self._retries += 1
        asked_for = exchange.pause_asked_for or 0.0
        if asked_for > policy.max_retry_after:
            raise error
        pause = asked_for + policy.backoff(self._retries, random.random())
        if exchange.status_code == 429:
            session.pacer.hold(pause)
        if self._retries >= policy.max_attempts:
            raise error
        self._check_fits(pause, error)
        if not session.quota.spend():
            raise error
        await self._pause("back-off", pause, error)

    def _check_fits(self, pause: float, error: DeskError | None) -> None:
        if anyio.current_time() + pause > self._deadline:
            raise self.expired(f"a pause of {pause:.1f} s does not fit") from error

    async def _pause(self, reason: str, seconds: float, error: DeskError | None = None) -> None:
        self._check_fits(seconds, error)
        if seconds:
            await anyio.sleep(seconds)
            self._watch.waited(reason, seconds)

    def _outcome_unknown(self, reason: str) -> OutcomeUnknownError:
        subject = (
            f"conversation {self._conversation_id} was converted" if self._conversation_id else "it was carried out"
        )
        return OutcomeUnknownError(f"it is unknown whether {subject}: {reason}; look before you call again")


Look: TypeAlias = Callable[[Call], Awaitable[T | None]]
