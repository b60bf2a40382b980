"""The state that the calls of one client share, and the options of a call."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import cast
from urllib.parse import urlsplit

import httpx
from attrs import frozen

from ._auth import BearerAuth
from ._connections import Connections
from ._errors import ConfigurationError
from ._loops import CallInProgress, Change, ServedLoop
from ._observe import Observer, warn_of_drift
from ._pacing import Pacer
from ._retry import RetryPolicy, RetryQuota

MOST_DRIFT = 200
"""The most kinds of values that are logged because the contract does not describe them: a bound of memory and log."""
SHORTEST_SECRET_HEADER = 16
"""A shorter value of an extra header may be any word, and stays where a response quotes it."""
OWN_HEADERS = (
    *("Accept", "Accept-Encoding", "Authorization", "Connection", "Content-Encoding", "Content-Length", "Content-Type"),
    *("Host", "Transfer-Encoding", "User-Agent"),
)
"""The headers that the client sets, or that say how the body is sent."""
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[!-~]([ !-~]*[!-~])?")


def check_headers(headers: object) -> list[tuple[str, str]]:
    """Return the caller's extra headers. No message quotes a value, because it may be a secret.

    Args:
        headers: The headers; None if there are none.

    Raises:
        ConfigurationError: They are not a mapping, a name or a value is invalid, or the client itself sets the header.
    """
    if headers is None:
        return []
    if not isinstance(headers, Mapping):
        raise ConfigurationError(f"headers: expected a mapping of names to values, got {type(headers).__name__}")
    checked: list[tuple[str, str]] = []
    for name, value in cast("Mapping[object, object]", headers).items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ConfigurationError("headers: expected names of letters, digits and hyphens")
        if name.title() in OWN_HEADERS:
            raise ConfigurationError(f"headers: AsyncDesk sets {name.title()} itself")
        if not isinstance(value, str) or not _VALUE.fullmatch(value):
            raise ConfigurationError(f"headers: the value of {name} must be a non-empty str of visible ASCII")
        checked.append((name, value))
    return checked


@frozen(kw_only=True)
class Options:
    """The options of a call, which `with_options` can change."""

    timeout: httpx.Timeout
    deadline: float
    retry: RetryPolicy


class Session:
    """The connections, the token and the other state that all views of one client share in order to send requests."""

    def __init__(
        self,
        origin: str,
        auth: BearerAuth,
        connections: Connections,
        observer: Observer | None,
        *,
        user_agent: str,
        headers: list[tuple[str, str]],
    ) -> None:
        self.origin = origin
        self.auth = auth
        self.connections = connections
        self.observer = observer
        self.pacer: Pacer = Pacer()
        self.quota: RetryQuota = RetryQuota()
        self.headers: list[tuple[str, str]] = [
            ("Host", urlsplit(origin).netloc),
            ("Accept", "application/json"),
            ("Accept-Encoding", "gzip"),
            ("User-Agent", user_agent),
            *headers,
        ]
        self.secrets: list[str] = [value for _, value in headers if len(value) >= SHORTEST_SECRET_HEADER]
        self._drift: set[tuple[str, str, str, str]] = set()
        self.loop: ServedLoop = connections.loop
        self.loop.on_change(auth.begin_anew)
        self.loop.on_change(self._begin_anew)

    def enter(self, call: CallInProgress) -> Pacer:
        """Begin a call; return the pacer of the event loop that runs now.

        Args:
            call: The call.

        Raises:
            ConfigurationError: The client serves another event loop, which is still running.
        """
        self.loop.begin(call)
        return self.pacer

    def _begin_anew(self, change: Change) -> None:
        self.pacer = self.pacer.moved(change.seconds)

    def report_drift(self, operation: str, path: str, expected: str, got: str) -> None:
        """Log a value that the contract does not describe, once per operation, path and types, up to a limit.

        Args:
            operation: The operation whose response has the value.
            path: Where the value is in the response.
            expected: The JSON type that the contract describes.
            got: The JSON type of the value.
        """
        kind = (operation, path, expected, got)
        if kind in self._drift or len(self._drift) > MOST_DRIFT:
            return
        self._drift.add(kind)
        if len(self._drift) > MOST_DRIFT:
            warn_of_drift("%d kinds of unexpected values were logged: this client logs no more of them", MOST_DRIFT)
        else:
            warn_of_drift("%s: %s: expected %s, got %s", operation, path, expected, got)
