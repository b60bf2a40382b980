"""The bearer token: a string, or a provider that returns one."""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import anyio
from attrs import field, frozen

from ._errors import ConfigurationError, NotSentError
from ._loops import Change

TokenProvider: TypeAlias = Callable[[], str | Awaitable[str]]

_VISIBLE_ASCII = re.compile(r"[!-~]+")


@frozen
class Token:
    """A token that its repr hides, also among the local variables of a traceback."""

    value: str = field(repr=False)


def check_token(token: object) -> Token:
    """Return the token if it is valid in a header.

    Raises:
        ConfigurationError: It is not a string, it is empty, or it holds white space or characters outside ASCII.
    """
    if not isinstance(token, str) or not _VISIBLE_ASCII.fullmatch(token):
        got = "" if isinstance(token, str) else f", got {type(token).__name__}"
        raise ConfigurationError(f"token: expected a str of visible ASCII, without white space{got}")
    return Token(str.__str__(token))  # the text of an enum member, such as "Tokens.DESK", is not its value


class BearerAuth:
    """Holds the token. A token from a provider is kept until Desk rejects it."""

    def __init__(self, token: str | TokenProvider) -> None:
        static = None if callable(token) else check_token(token)
        self._provider: TokenProvider = token if callable(token) else lambda: token
        self._token = static
        self._refreshing = anyio.Lock()

    def __repr__(self) -> str:
        return "BearerAuth(...)"

    def begin_anew(self, change: Change) -> None:  # noqa: ARG002 - every change has the same effect
        """Keep the token on a new event loop, but not the lock."""
        self._refreshing = anyio.Lock()

    async def token(self, *, refused: Token | None = None) -> Token:
        """Return the token, and call the provider if there is no token yet or Desk rejected it.

        Callers that ask at the same time share one call of the provider.

        Args:
            refused: The token that Desk has just rejected.

        Raises:
            NotSentError: The provider failed.
            ConfigurationError: The provider returned an invalid token.
        """
        if self._token is not None and self._token != refused:
            return self._token
        async with self._refreshing:
            if self._token is None or self._token == refused:
                self._token = await self._ask(self._provider)
            return self._token

    @staticmethod
    async def _ask(provider: TokenProvider) -> Token:
        try:
            result = provider()
            token = await result if inspect.isawaitable(result) else result
        except Exception as error:
            raise NotSentError(f"the token provider failed with {type(error).__name__}") from error
        return check_token(token)
