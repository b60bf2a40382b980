"""The bearer token: the provider is called once, its token is kept, and a 401 causes one more call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from teamwork_desk import AsyncDesk, AuthenticationError, ConfigurationError, NotSentError, RetryPolicy
from teamwork_desk.testing import FakeDesk

ONCE = RetryPolicy(max_attempts=1)


def a_desk(fake: FakeDesk, token: Any) -> AsyncDesk:
    return AsyncDesk("https://acme.teamwork.com", token=token, transport=fake.transport, retry=ONCE, verify_first=False)


def tokens_sent(fake: FakeDesk) -> list[str]:
    return [request.headers["authorization"].removeprefix("Bearer ") for request in fake.requests]


class Provider:
    """Returns one token after the other and counts its calls."""

    def __init__(self, tokens: Iterable[object]) -> None:
        self._tokens = iter(tokens)
        self.calls = 0

    def __call__(self) -> Any:
        self.calls += 1
        token = next(self._tokens)
        if isinstance(token, Exception):
            raise token
        return token


class AsyncProvider(Provider):
    """The same, but other tasks run before it returns."""

    async def __call__(self) -> Any:
        token = super().__call__()
        await anyio.lowlevel.checkpoint()
        return token


PROVIDERS = pytest.mark.parametrize("kind", [Provider, AsyncProvider], ids=["sync", "async"])


# The first call of the provider


@PROVIDERS
async def test_a_provider_is_called_when_first_needed_and_its_token_is_kept(kind: type[Provider]) -> None:
    fake, provider = FakeDesk(token="first"), kind(["first", "second"])
    async with a_desk(fake, provider) as desk:
        assert provider.calls == 0
        for conversation_id in (1, 2, 3):
            await desk.conversations.convert(conversation_id)
    assert provider.calls == 1
    assert tokens_sent(fake) == ["first"] * 3


async def return_later(token: str) -> str:
    return token


@pytest.mark.parametrize(
    "provider",
    [
        lambda: "a-token",
        lambda: return_later("a-token"),
        partial(return_later, "a-token"),
        "a-token".strip,
        Provider(["a-token"] * 9),
    ],
    ids=["lambda", "lambda that returns an awaitable", "partial", "method", "object"],
)
async def test_any_callable_can_be_a_provider(provider: Callable[[], str | Awaitable[str]]) -> None:
    fake = FakeDesk(token="a-token")
    async with a_desk(fake, provider) as desk:
        await desk.conversations.convert(42)
    assert tokens_sent(fake) == ["a-token"]


# One more call of the provider after a 401


@PROVIDERS
async def test_a_rejected_token_is_replaced_by_a_fresh_token(kind: type[Provider]) -> None:
    fake, provider = FakeDesk(token="fresh"), kind(["stale", "fresh", "unused"])
    async with a_desk(fake, provider) as desk:
        await desk.conversations.convert(42)
        await desk.conversations.convert(43)
    assert provider.calls == 2
    # The POST is refused, and the lookup before the next POST already has the fresh token.
    assert tokens_sent(fake) == ["stale", "fresh", "fresh", "fresh"]
    assert [ticket.conversation_id for ticket in fake.tickets] == [42, 43]


async def test_a_fresh_token_that_is_rejected_too_raises_an_authentication_error() -> None:
    fake, provider = FakeDesk(token="another"), Provider(["stale", "fresh", "unused"])
    async with a_desk(fake, provider) as desk:
        with pytest.raises(AuthenticationError) as caught:
            await desk.conversations.convert(42)
    assert provider.calls == 2
    assert tokens_sent(fake) == ["stale", "fresh"]
    assert (caught.value.attempts, caught.value.maybe_applied, caught.value.conversation_id) == (1, False, 42)


async def test_a_provider_that_returns_the_rejected_token_again_causes_no_request() -> None:
    fake, provider = FakeDesk(token="another"), Provider(["stale", "stale", "unused"])
    async with a_desk(fake, provider) as desk:
        with pytest.raises(AuthenticationError) as caught:
            await desk.conversations.convert(42)
    assert provider.calls == 2
    assert tokens_sent(fake) == ["stale"]
    assert caught.value.attempts == 1


async def test_a_rejected_token_that_is_a_string_is_sent_only_once() -> None:
    fake = FakeDesk(token="another")
    async with a_desk(fake, "stale") as desk:
        with pytest.raises(AuthenticationError, match="rejected the token") as caught:
            await desk.conversations.convert(42)
    assert tokens_sent(fake) == ["stale"]
    assert caught.value.attempts == 1


async def test_every_call_may_call_the_provider_again() -> None:
    fake, provider = FakeDesk(token="good"), Provider(["bad", "bad", "worse", "good"])
    async with a_desk(fake, provider) as desk:
        for _ in range(2):
            with pytest.raises(AuthenticationError):
                await desk.conversations.convert(42)
        await desk.conversations.convert(42)
    assert tokens_sent(fake) == ["bad", "bad", "worse", "worse", "good", "good"]


async def test_a_403_does_not_call_the_provider_again() -> None:
    fake, provider = FakeDesk(), Provider(["a-token"])
    fake.fail(status=403)
    async with a_desk(fake, provider) as desk:
        with pytest.raises(Exception, match=" 403: "):
            await desk.conversations.convert(42)
    assert provider.calls == 1


# Concurrent callers

CALLERS = 50


async def convert_all(desk: AsyncDesk) -> None:
    async with anyio.create_task_group() as callers:
        for conversation_id in range(1, CALLERS + 1):
            callers.start_soon(desk.conversations.convert, conversation_id)


async def test_concurrent_callers_share_one_call_of_the_provider() -> None:
    fake, provider = FakeDesk(token="first", rate_limit=1000), AsyncProvider(["first", "unused"])
    async with a_desk(fake, provider) as desk:
        await convert_all(desk)
    assert provider.calls == 1
    assert len(fake.tickets) == CALLERS


async def test_concurrent_callers_with_a_rejected_token_share_one_fresh_token() -> None:
    fake, provider = FakeDesk(token="fresh", rate_limit=1000), AsyncProvider(["stale", "fresh", "unused"])
    async with a_desk(fake, provider) as desk:
        await convert_all(desk)
    assert provider.calls == 2
    assert sorted(ticket.conversation_id for ticket in fake.tickets) == list(range(1, CALLERS + 1))
    assert tokens_sent(fake).count("stale") > 1, "the token of several callers must be rejected"


async def test_cancelling_a_caller_while_the_provider_runs_does_not_affect_other_callers() -> None:
    fake, provider_called, scope = FakeDesk(token="a-token"), anyio.Event(), anyio.CancelScope()
    calls: list[int] = []

    async def provider() -> str:
        calls.append(1)
        if len(calls) == 1:
            provider_called.set()
            await anyio.sleep_forever()
        return "a-token"

    async def call_until_cancelled(desk: AsyncDesk) -> None:
        with scope:
            await desk.conversations.convert(1)

    async with a_desk(fake, provider) as desk, anyio.create_task_group() as callers:
        callers.start_soon(call_until_cancelled, desk)
        await provider_called.wait()
        callers.start_soon(desk.conversations.convert, 2)
        await anyio.lowlevel.checkpoint()
        scope.cancel()
    assert len(calls) == 2
    assert [ticket.conversation_id for ticket in fake.tickets] == [2]


# Providers that fail


class VaultError(Exception):
    pass


@PROVIDERS
async def test_a_providers_error_is_reported_by_class_and_the_next_call_tries_again(kind: type[Provider]) -> None:
    fake, failure = FakeDesk(), VaultError("s3cret")
    async with a_desk(fake, kind([failure, "a-token"])) as desk:
        with pytest.raises(NotSentError, match="VaultError") as caught:
            await desk.conversations.convert(42)
        assert "s3cret" not in str(caught.value)
        assert caught.value.__cause__ is failure
        assert (caught.value.attempts, caught.value.maybe_applied, caught.value.conversation_id) == (0, False, 42)
        assert fake.requests == []
        await desk.conversations.convert(42)
    assert tokens_sent(fake) == ["a-token"]


async def test_a_provider_that_fails_after_a_401_means_that_nothing_was_applied() -> None:
    fake = FakeDesk(token="another")
    async with a_desk(fake, Provider(["stale", VaultError()])) as desk:
        with pytest.raises(AuthenticationError) as caught:
            await desk.conversations.convert(42)
    assert (caught.value.attempts, caught.value.maybe_applied) == (1, False)
    assert isinstance(caught.value.__cause__, NotSentError)
    assert len(fake.requests) == 1


@PROVIDERS
@pytest.mark.parametrize("invalid", [None, 42, b"a-token", "", "two words", "line\n", "tökén", ["a-token"]], ids=repr)
async def test_an_invalid_token_is_rejected_and_not_kept(invalid: object, kind: type[Provider]) -> None:
    fake = FakeDesk()
    async with a_desk(fake, kind([invalid, "a-token"])) as desk:
        with pytest.raises(ConfigurationError, match="token: expected") as caught:
            await desk.conversations.convert(42)
        assert (caught.value.attempts, caught.value.maybe_applied) == (0, False)
        assert fake.requests == []
        await desk.conversations.convert(42)
    assert tokens_sent(fake) == ["a-token"]


async def test_an_invalid_token_after_a_401_is_rejected() -> None:
    fake = FakeDesk(token="another")
    async with a_desk(fake, Provider(["stale", "line\n"])) as desk:
        with pytest.raises(ConfigurationError, match="token: expected") as caught:
            await desk.conversations.convert(42)
    assert (caught.value.attempts, caught.value.maybe_applied) == (1, False)
