"""The state that the calls of one client share, and the options of a call."""

from __future__ import annotations

from urllib.parse import urlsplit

import httpx
from attrs import frozen

from ._auth import BearerAuth
from ._connections import Connections
from ._loops import CallInProgress, Change, ServedLoop
from ._observe import Observer, warn_of_drift
from ._pacing import Pacer
from ._retry import RetryPolicy, RetryQuota

MOST_DRIFT = 200
"""The most kinds of values that are logged because the contract does not describe them: a bound of memory and log."""


@frozen(kw_only=True)
class Options:
    """The options of a call, which `with_options` can change."""

    timeout: httpx.Timeout
    deadline: float
    retry: RetryPolicy


class Session:
    """The connections, the token and the other state that all views of one client share in order to send requests."""

    def __init__(
        self, origin: str, auth: BearerAuth, connections: Connections, observer: Observer | None, user_agent: str
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
        ]
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
