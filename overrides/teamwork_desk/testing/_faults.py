"""The faults by name, and the queue they wait in."""

from __future__ import annotations

from typing import Literal, TypeAlias, cast, get_args

import httpx
from attrs import evolve, frozen

from ._answers import Answer, Silence

Fault: TypeAlias = Literal[
    "connection refused",
    "rate limited",
    "maintenance",
    "token refused",
    "forbidden",
    "answer lost before the work",
    "answer lost after the work",
    "answer lost while the work goes on",
    "server error before the work",
    "server error after the work",
    "timeout before the work",
    "timeout after the work",
    "timeout while the work goes on",
    "gateway timeout before the work",
    "gateway timeout after the work",
    "gateway timeout while the work goes on",
    "unreadable answer",
    "answer cut off",
]
"""What may go wrong with a request; `FakeDesk.inject` tells what each does."""

Work: TypeAlias = Literal["never", "now", "later"]


@frozen
class Injected:
    """A fault that waits for a request.

    Attributes:
        method: The method of the requests it happens to; None for any.
        work: Whether and when the work is done.
        outcome: What goes back; None is the work's own answer, cut off.
        lasts: How many seconds the work goes on, where it is done later.
    """

    method: str | None
    work: Work
    outcome: Answer | Silence | None
    lasts: float = 0.0

    def applied_to(self, answer: Answer | None) -> Answer | Silence:
        """Return what goes back instead of the work's own answer, which is None where it is not done now."""
        return evolve(cast("Answer", answer), cut_off=True) if self.outcome is None else self.outcome


class Faults:
    """A queue: a request meets the oldest fault that is left and fits its method."""

    def __init__(self) -> None:
        self._queue: list[Injected] = []

    def add(self, fault: Injected, times: int) -> None:
        """Let a fault happen to that many requests."""
        self._queue += [fault] * times

    def take(self, method: str, *, before_it_arrives: bool = False) -> Injected | None:
        """Return the fault that a request meets, and let go of it.

        Args:
            method: The request's method.
            before_it_arrives: Whether only a refused connection can happen to it yet.
        """
        fault = next((fault for fault in self._queue if fault.method in (None, method)), None)
        if fault is None or (before_it_arrives and fault.outcome is not Silence.REFUSED):
            return None
        self._queue.remove(fault)
        return fault


def named(name: Fault, method: str | None, lasts: float) -> Injected:
    """Return the fault of this name.

    Raises:
        ValueError: There is none.
    """
    if name not in _FAULTS:
        raise ValueError(f"no fault: {name!r}; there are: {', '.join(map(repr, get_args(Fault)))}")
    work, outcome = _FAULTS[name]
    return Injected(method, work, outcome, lasts)


def _html(status: int, text: str, **headers: str) -> Answer:
    return Answer(status, httpx.Headers({"Content-Type": "text/html", **headers}), f"<h1>{text}</h1>".encode())


RATE_LIMITED = Answer(429, httpx.Headers(), b'{"errors": {"rateLimit": ["is exceeded"]}}')
_MAINTENANCE = _html(503, "Back soon", **{"Retry-After": "5"})
_TOKEN_REFUSED = Answer(401, httpx.Headers(), b'{"errors": {"auth": ["must be a valid bearer token"]}}')
_FORBIDDEN = Answer(403, httpx.Headers(), b'{"errors": {"auth": ["must be allowed to do this"]}}')
_SERVER_ERROR = _html(500, "Internal Server Error")
_GATEWAY_TIMEOUT = _html(504, "Gateway Time-out")

_FAULTS: dict[Fault, tuple[Work, Answer | Silence | None]] = {
    "connection refused": ("never", Silence.REFUSED),
    "rate limited": ("never", RATE_LIMITED),
    "maintenance": ("never", _MAINTENANCE),
    "token refused": ("never", _TOKEN_REFUSED),
    "forbidden": ("never", _FORBIDDEN),
    "answer lost before the work": ("never", Silence.RESET),
    "answer lost after the work": ("now", Silence.RESET),
    "answer lost while the work goes on": ("later", Silence.RESET),
    "server error before the work": ("never", _SERVER_ERROR),
    "server error after the work": ("now", _SERVER_ERROR),
    "timeout before the work": ("never", Silence.TIMEOUT),
    "timeout after the work": ("now", Silence.TIMEOUT),
    "timeout while the work goes on": ("later", Silence.TIMEOUT),
    "gateway timeout before the work": ("never", _GATEWAY_TIMEOUT),
    "gateway timeout after the work": ("now", _GATEWAY_TIMEOUT),
    "gateway timeout while the work goes on": ("later", _GATEWAY_TIMEOUT),
    "unreadable answer": ("now", _html(200, "Welcome")),
    "answer cut off": ("now", None),
}
