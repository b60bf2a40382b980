"""What is wrong with Redis: an error of redis-py in words, and whether waiting can help."""

from __future__ import annotations

import asyncio
import logging
import random
import re
import socket
import ssl
import time
from collections.abc import Iterator
from typing import Final

from attrs import define, field, frozen
from redis import exceptions

from .. import ConfigurationError

FIRST_PAUSE: Final = 1.0
"""How many seconds a worker waits after Redis failed. The pause doubles while Redis fails."""
LONGEST_PAUSE: Final = 15.0
"""How many seconds a worker waits at most before it tries Redis again."""
QUIET: Final = 60.0
"""For how many seconds a worker does not log the same failure again."""

logger = logging.getLogger("teamwork_desk.fleet")

_PASSING: Final = {
    "BUSY": "it runs a script that does not end",
    "CLUSTERDOWN": "its cluster is down",
    "LOADING": "it is loading its data",
    "MASTERDOWN": "it is a replica that has lost its primary",
    "MISCONF": "it cannot write its data to the disk",
    "NOGROUP": "the queue's stream or consumer group does not exist",
    "NOREPLICAS": "it has fewer replicas than it needs to accept a write",
    "OOM": "its memory is full (maxmemory)",
    "READONLY": "it is a replica, which accepts no write",
    "TRYAGAIN": "its cluster is moving keys",
    "UNBLOCKED": "it has become a replica, or has lost the queue's stream",
}
_LASTING: Final = {
    "ASK": "it runs in cluster mode, which is not supported",
    "CROSSSLOT": "it runs in cluster mode, which is not supported",
    "DENIED": "it runs in protected mode, and accepts local connections only",
    "MOVED": "it runs in cluster mode, which is not supported",
    "NOPERM": "the user of redis_url lacks a permission",
    "WRONGPASS": "it rejects the user name or the password of redis_url, or needs one",
    "WRONGTYPE": "a key of the queue holds a value of another program: choose another name for the queue",
}
_CODES: Final[dict[type[Exception], str]] = {
    # redis-py removes the code from the text of these errors.
    exceptions.MovedError: "MOVED",
    exceptions.AskError: "ASK",
    exceptions.AuthenticationError: "WRONGPASS",
    exceptions.AuthenticationWrongNumberOfArgsError: "WRONGPASS",
    exceptions.AuthorizationError: "WRONGPASS",
    exceptions.BusyLoadingError: "LOADING",
    exceptions.ClusterCrossSlotError: "CROSSSLOT",
    exceptions.MasterDownError: "MASTERDOWN",
    exceptions.ClusterDownError: "CLUSTERDOWN",
    exceptions.NoPermissionError: "NOPERM",
    exceptions.OutOfMemoryError: "OOM",
    exceptions.ReadOnlyError: "READONLY",
    exceptions.TryAgainError: "TRYAGAIN",
}


@frozen
class Fault:
    """An error of Redis in words.

    Attributes:
        words: What is wrong. It never quotes Redis or redis-py, whose texts may contain a password or a job's data.
        passes: Whether it may be gone without a change of the configuration, as after a failover.
    """

    words: str
    passes: bool


def explain(error: Exception) -> Fault:
    """Say in words what is wrong with Redis."""
    if isinstance(error, ConfigurationError):
        return Fault(str(error), passes=False)
    code = _code(error)
    if code in _PASSING:
        return Fault(f"Redis does not serve the queue: {_PASSING[code]} ({code})", passes=True)
    if code in _LASTING:
        return Fault(f"Redis does not serve the queue: {_LASTING[code]} ({code})", passes=False)
    if isinstance(error, exceptions.InvalidResponse):
        return Fault("redis_url: the server does not speak the protocol of Redis", passes=False)
    if isinstance(error, (exceptions.ConnectionError, exceptions.TimeoutError)):
        return _explain_connection(error)
    return Fault(f"Redis does not serve the queue ({code or type(error).__name__})", passes=True)


def _code(error: Exception) -> str:
    """Return the code of an error reply, such as READONLY; empty if the error is not a reply."""
    for kind, code in _CODES.items():
        if isinstance(error, kind):
            return code
    if not isinstance(error, exceptions.ResponseError):
        return ""
    # Before version 7, Redis quotes the error of a command in a script: "ERR Error running script ...: -READONLY ...".
    words = re.findall(r"(?:^|[ -])([A-Z]{3,})(?= )", str(error))
    known = [word for word in words if word in _PASSING or word in _LASTING]
    return known[0] if known else ""


def _explain_connection(error: Exception) -> Fault:
    """Say why there is no connection. redis-py wraps the error of the operating system or of TLS."""
    for reason in _causes(error):
        if isinstance(reason, ssl.SSLCertVerificationError):
            return Fault(
                f"redis_url: the certificate of Redis is not valid: {reason.verify_message}; for a CA of your own, "
                "add ?ssl_ca_certs=<file>",
                passes=False,
            )
        if isinstance(reason, ssl.SSLError):
            # The end of a connection during the handshake may also be a failover.
            passes = isinstance(reason, ssl.SSLEOFError)
            return Fault(f"redis_url: TLS failed ({reason.reason}): is it the port for TLS?", passes=passes)
        if isinstance(reason, (FileNotFoundError, PermissionError)):
            return Fault("redis_url: a socket or a file of certificates cannot be opened", passes=True)
        if isinstance(reason, socket.gaierror):
            return Fault("Redis cannot be reached: the name of the host is not known", passes=True)
        if isinstance(reason, OSError):
            return Fault(f"Redis cannot be reached ({type(reason).__name__})", passes=True)
    return Fault(f"Redis cannot be reached ({type(error).__name__})", passes=True)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield what led to an error, without the error."""
    reason = error.__cause__ or error.__context__
    while reason is not None:
        yield reason
        reason = reason.__cause__ or reason.__context__


@define
class Trouble:
    """How long a worker waits while Redis fails, and how often it says so."""

    _pause: float = field(default=FIRST_PAUSE, init=False)
    _last: float | None = field(default=None, init=False)
    _logged_at: dict[str, float] = field(factory=dict[str, float], init=False)
    _since: float | None = field(default=None, init=False)

    async def wait(self, error: Exception) -> None:
        """Log an error of Redis, and wait. The same error is logged once in `QUIET` seconds."""
        now, fault = time.monotonic(), explain(error)
        if self._last is None or now - self._last > QUIET:
            self._pause = FIRST_PAUSE
        if now - self._logged_at.get(fault.words, -QUIET) >= QUIET:
            self._logged_at = {
                fault.words: now,
                **{words: at for words, at in self._logged_at.items() if now - at < QUIET},
            }
            self._since = now if self._since is None else self._since
            if fault.passes:
                logger.warning("%s; the worker tries again until it works", fault.words)
            else:
                logger.error("%s; the worker tries again, but somebody must correct this", fault.words)
        # The pauses are random, so that the workers do not all come back at the same moment.
        await asyncio.sleep(self._pause * random.uniform(0.5, 1))
        self._last = time.monotonic()
        self._pause = min(self._pause * 2, LONGEST_PAUSE)

    def end(self) -> None:
        """Log that Redis works again, if its failure was logged."""
        if self._since is not None:
            logger.info("Redis serves the queue again, after %.0f s", time.monotonic() - self._since)
            self._since = None
