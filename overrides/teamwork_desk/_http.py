"""The one path that every request takes: pace, authenticate, attempt, classify, back off or stop."""

from __future__ import annotations

import json
import logging
import random
import time
import zlib
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias, TypeVar
from urllib.parse import urlsplit

import anyio
import httpx
from attrs import evolve, field, frozen

from teamwork_desk_api.models import Validator
from teamwork_desk_api.types import DecodeError, Request

from ._auth import BearerAuth, Token
from ._connections import Connections, Handshake
from ._email_fallback import EmailFallback
from ._errors import (
    ConfigurationError,
    DeadlineExceeded,
    DeskError,
    NotSentError,
    OutcomeUnknownError,
    RequestError,
    ResponseDecodeError,
    TransportError,
    scrub,
    status_error,
)
from ._pacing import Pacer, RateLimit
from ._retry import (
    Effect,
    RetryPolicy,
    RetryQuota,
    effect_of_failure,
    effect_of_status,
    is_permanent,
    retry_after,
    seems_sent,
)

T = TypeVar("T")

MAX_ANSWER_BYTES = 16 * 1024 * 1024
"""A page of 100 conversations has about 200 KB."""
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
"""They change nothing (RFC 9110, 9.2.1), so they may always be sent again."""

logger = logging.getLogger("teamwork_desk")
drift_logger = logging.getLogger("teamwork_desk.drift")


@frozen(kw_only=True)
class Settings:
    """What `with_options` can change."""

    timeout: httpx.Timeout
    deadline: float
    retry: RetryPolicy
    email_fallback: EmailFallback


class Session:
    """What all views of one client share."""

    def __init__(self, origin: str, auth: BearerAuth, connections: Connections, user_agent: str) -> None:
        self.origin = origin
        self.auth = auth
        self.connections = connections
        self.pacer = Pacer()
        self.quota = RetryQuota()
        self.prefers_deprecated_email = False
        self.headers = [
            ("Host", urlsplit(origin).netloc),
            ("Accept", "application/json"),
            ("Accept-Encoding", "gzip"),
            ("User-Agent", user_agent),
        ]
        self._drift: set[tuple[str, str, str]] = set()

    def report_drift(self, path: str, expected: str, got: str) -> None:
        """Log, once per path and kind, a value that the contract does not foresee."""
        if (path, expected, got) not in self._drift:
            self._drift.add((path, expected, got))
            drift_logger.warning("%s: expected %s, got %s", path, expected, got)


class _Body(httpx.AsyncByteStream):
    """A request's body that notes when the transport reads it: from then on the request may have left.

    An attempt can read it once, so no transport can send it again on its own.
    """

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.was_read = False

    def __len__(self) -> int:
        return len(self._content)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if self.was_read:
            raise StopAsyncIteration
        self.was_read = True
        return self._content


@frozen(kw_only=True)
class _Exchange:
    """What came of one attempt: an answer, a failure, or an answer whose body failed."""

    sent: bool
    status_code: int | None = None
    headers: httpx.Headers = field(factory=httpx.Headers)
    content: bytes = field(default=b"", repr=False)
    failure: Exception | None = None

    @property
    def effect(self) -> Effect:
        if self.status_code is not None:
            return effect_of_status(self.status_code, has_retry_after=self.retry_after is not None)
        return effect_of_failure(self.failure, sent=self.sent)

    @property
    def retry_after(self) -> float | None:
        return retry_after(self.headers, time.time())

    @property
    def pause_asked_for(self) -> float | None:
        if self.retry_after is None and self.status_code == 429:
            limit = RateLimit.from_headers(self.headers)
            return limit.resets_in(self.headers) if limit else None
        return self.retry_after


class Call:
    """One call of a user: its deadline, its attempts, and what they may have done.

    As a context manager it bounds what it holds by the deadline, and completes the errors that leave it.
    """

    def __init__(self, session: Session, settings: Settings, *, conversation_id: int | None = None) -> None:
        self.attempts = 0
        self._session = session
        self._settings = settings
        self._conversation_id = conversation_id
        self._deadline = anyio.current_time() + settings.deadline
        self._scope = anyio.CancelScope(deadline=self._deadline)
        self._unsettled = False
        self._body: _Body | None = None

    def __enter__(self) -> Self:
        self._scope.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> Literal[False]:
        if self._scope.__exit__(kind, error, traceback) and error is not None:
            error = self.expired()
        if isinstance(error, DeskError):
            error.attempts, error.maybe_applied = self.attempts, self.maybe_applied
            error.conversation_id = self._conversation_id
            if error.__cause__ is None:
                error.__context__ = None
            # The frames below hold the token and the body, and crash reporters print locals.
            raise error.with_traceback(None)
        if error is not None and self.maybe_applied:
            logger.warning("interrupted: it is unknown whether conversation %s was converted", self._conversation_id)
        return False

    @property
    def maybe_applied(self) -> bool:
        """Whether something that was sent may have had an effect."""
        return self._unsettled or (self._body is not None and self._body.was_read)

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
        body = _Body(encode_json(request.body))
        safe = request.method in SAFE_METHODS
        if not safe:
            self._body = body
        token = await session.auth.token()
        may_reauthenticate = True
        retries = 0
        while True:
            exchange = await self._attempt(request, body, token)
            error = _error_of(request, exchange)
            if error is None:
                try:
                    result = request.decode(_json(exchange.content) if exchange.content else None, session.report_drift)
                except DecodeError as unreadable:
                    error = ResponseDecodeError(
                        f"{_name(request)} succeeded, but its answer is unreadable: {unreadable}"
                    )
                else:
                    session.quota.give_back(retries)
                    return result
            if not safe and exchange.effect in (Effect.ENDED, Effect.RUNNING, Effect.APPLIED):
                found = await self._verify(look, exchange.effect, error)
                if found is not None:
                    session.quota.give_back(retries)
                    return found
            self._unsettled = body.was_read = False
            if exchange.status_code == 401 and may_reauthenticate:
                may_reauthenticate = False
                refused, token = token, await session.auth.token(refused=token)
                if token != refused:
                    continue
            if exchange.effect is Effect.FINAL or isinstance(error, ResponseDecodeError) or is_permanent(error):
                raise error
            retries += 1
            await self._back_off(exchange, error, retries)

    async def _attempt(self, request: Request[Any], body: _Body, token: Token) -> _Exchange:
        session, timeout, handshake = self._session, self._settings.timeout, Handshake()
        extensions: dict[str, Any] = {"timeout": timeout.as_dict()}
        if session.origin.startswith("https:"):
            extensions["trace"] = handshake.trace
        http_request = httpx.Request(
            request.method,
            session.origin + request.target,
            headers=[*session.headers, *_content_headers(body), ("Authorization", f"Bearer {token.value}")],
            # Without a body there must be no stream: the aiohttp transport would send it in chunks.
            stream=body if self._body is body else None,
            extensions=extensions,
        )
        await session.pacer.enter(self._deadline)
        answer: httpx.Response | None = None
        try:
            async with session.connections.borrow(timeout.pool) as client:
                self.attempts += 1
                answer = await client.send(http_request, stream=True)
                content = await _read(answer)
            return _Exchange(sent=True, status_code=answer.status_code, headers=answer.headers, content=content)
        except ConfigurationError:
            raise
        except Exception as failure:  # whatever a transport or an event hook raises: what was sent must be told
            scrub(failure, http_request)
            if answer is None:
                sent = body.was_read if self._body is body else seems_sent(failure)
                return _Exchange(sent=sent, failure=failure)
            return _Exchange(sent=True, status_code=answer.status_code, headers=answer.headers, failure=failure)
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
        self._unsettled = True
        policy, quota = self._settings.retry, self._session.quota
        unknown = error
        if effect is not Effect.APPLIED:
            unknown = self._outcome_unknown(str(error))
            unknown.__cause__ = error
        if look is None or policy.on_unknown == "raise":
            raise unknown
        for pause in (0.0, *policy.settle):
            await self._pause(pause, error)
            if not quota.spend():
                raise unknown
            remaining = evolve(self._settings, deadline=self._deadline - anyio.current_time())
            try:
                with Call(self._session, remaining, conversation_id=self._conversation_id) as looking:
                    found = await look(looking)
            except DeskError as blind:
                raise unknown from blind
            quota.give_back(1)
            if found is not None:
                return found
        if effect is not Effect.ENDED:
            raise unknown
        return None

    async def _back_off(self, exchange: _Exchange, error: DeskError, retries: int) -> None:
        """Pause before the next attempt; raise the error where there must be none."""
        policy, session = self._settings.retry, self._session
        asked_for = exchange.pause_asked_for or 0.0
        if asked_for > policy.max_retry_after:
            raise error
        pause = asked_for + policy.backoff(retries, random.random())
        if exchange.status_code == 429:
            session.pacer.hold(pause)
        if retries >= policy.max_attempts or not session.quota.spend():
            raise error
        await self._pause(pause, error)

    async def _pause(self, seconds: float, error: DeskError) -> None:
        if anyio.current_time() + seconds > self._deadline:
            raise self.expired(f"a pause of {seconds:.1f} s does not fit") from error
        if seconds:
            await anyio.sleep(seconds)

    def _outcome_unknown(self, reason: str) -> OutcomeUnknownError:
        subject = (
            f"conversation {self._conversation_id} was converted" if self._conversation_id else "it was carried out"
        )
        return OutcomeUnknownError(f"it is unknown whether {subject}: {reason}; look before you call again")


Look: TypeAlias = Callable[[Call], Awaitable[T | None]]


def _name(request: Request[Any]) -> str:
    return f"{request.method} {request.target.partition('?')[0]}"


def _content_headers(body: _Body) -> list[tuple[str, str]]:
    if not len(body):
        return []
    return [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]


def encode_json(body: Any) -> bytes:
    """Encode what goes out as JSON; None is nothing.

    Raises:
        RequestError: It has no JSON form.
    """
    if body is None:
        return b""
    try:
        return json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        reason = type(error).__name__
    # Outside the handler: the original holds the text it could not encode.
    raise RequestError(f"the arguments have no JSON form ({reason}): use plain values, finite numbers and valid text")


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except RecursionError:
        reason = "it is nested too deeply"
    except ValueError:
        reason = "it is no JSON"
    # Outside the handler: the original holds the whole answer.
    raise DecodeError(reason)


async def _read(answer: httpx.Response) -> bytes:
    """Read a body within bounds: httpx's own decoding has none, and a few KB of gzip may hold gigabytes."""
    if answer.is_stream_consumed:
        return answer.content  # a transport that answers from memory, such as httpx.MockTransport
    content = bytearray()
    is_too_large = False
    try:
        async for chunk in answer.aiter_raw():
            if is_too_large:
                break
            content += chunk
            if len(content) > MAX_ANSWER_BYTES:
                is_too_large = True
                # The next read fails, so that httpx's generators end in order.
                await answer.aclose()
    except httpx.TransportError:
        if not is_too_large:
            raise
    finally:
        await answer.aclose()
    if is_too_large:
        raise DecodeError(f"it is larger than {MAX_ANSWER_BYTES} bytes")
    encoding = answer.headers.get("content-encoding", "identity").strip().lower()
    if encoding == "identity":
        return bytes(content)
    if encoding != "gzip":
        raise DecodeError("it has a content encoding that was not asked for")
    decompressor = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        decompressed = decompressor.decompress(content, MAX_ANSWER_BYTES)
    except zlib.error:
        raise DecodeError("it is no gzip") from None
    if not decompressor.eof:
        raise DecodeError(f"it is cut off, or larger than {MAX_ANSWER_BYTES} bytes")
    return decompressed


def _error_of(request: Request[Any], exchange: _Exchange) -> DeskError | None:
    """Return the error for an exchange; None for a success whose body was received."""
    name, failure, status = _name(request), exchange.failure, exchange.status_code
    reason = _reason(failure)
    error: DeskError
    if status is None and not exchange.sent:
        error = NotSentError(f"{name} was not sent: {reason}")
    elif status is None:
        error = TransportError(f"{name} was sent, and no answer came: {reason}")
    elif not 200 <= status < 300:
        error = status_error(
            f"{name} was answered with {status}",
            status_code=status,
            headers=exchange.headers,
            body=exchange.content,
            errors=_field_errors(exchange.content),
            retry_after=exchange.pause_asked_for,
            rate_limit=RateLimit.from_headers(exchange.headers),
        )
    elif failure is None:
        return None
    elif request.method in SAFE_METHODS:
        error = TransportError(f"{name} was answered, and the answer did not come whole: {reason}")
    else:
        error = ResponseDecodeError(f"{name} succeeded, and the answer did not come whole: {reason}")
    error.__cause__ = failure
    return error


def _reason(failure: BaseException | None) -> str:
    """Name a failure, and what the first of its causes says that has something to say."""
    name = type(failure).__name__
    if not isinstance(failure, (httpx.RequestError, DecodeError)):
        return name  # an event hook's own: its text is not ours to show
    cause: BaseException | None = failure
    while cause is not None and not (isinstance(cause, (httpx.RequestError, DecodeError, OSError)) and str(cause)):
        cause = cause.__cause__ or cause.__context__
    return f"{name}: {cause}" if cause else name


def _field_errors(content: bytes) -> dict[str, list[str]]:
    try:
        return Validator.from_dict(_json(content)).errors or {}
    except (DecodeError, TypeError):
        return {}
