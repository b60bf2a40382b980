"""The bearer token: a string, or a provider that is asked for one."""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import anyio
from attrs import field, frozen

from ._errors import ConfigurationError, NotSentError

TokenProvider: TypeAlias = Callable[[], str | Awaitable[str]]

_VISIBLE_ASCII = re.compile(r"[!-~]+")


@frozen
class Token:
    """A token that no repr shows, not even that of a traceback's locals."""

    value: str = field(repr=False)


def check_token(token: object) -> Token:
    """Return the token if it can stand in a header.

    Raises:
        ConfigurationError: It is no string, empty, or holds white space or other than ASCII.
    """
    if not isinstance(token, str) or not _VISIBLE_ASCII.fullmatch(token):
        raise ConfigurationError("the token must be a non-empty string of visible ASCII without white space")
    return Token(token)


class BearerAuth:
    """Holds the token; a provider's is kept until Desk refuses it."""

    def __init__(self, token: str | TokenProvider) -> None:
        static = None if callable(token) else check_token(token)
        self._provider: TokenProvider = token if callable(token) else lambda: token
        self._token = static
        self._refreshing = anyio.Lock()

    def __repr__(self) -> str:
        return "BearerAuth(...)"

    async def token(self, *, refused: Token | None = None) -> Token:
        """Return the token, asking the provider where there is none that Desk may accept.

        Callers who come at the same time share one answer of the provider.

        Args:
            refused: The token that Desk has just refused.

        Raises:
            NotSentError: The provider failed.
            ConfigurationError: The provider returned no usable token.
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
            answer = provider()
            token = await answer if inspect.isawaitable(answer) else answer
        except Exception as error:
            raise NotSentError(f"the token provider failed with {type(error).__name__}") from error
        return check_token(token)
