"""The faults that FakeDesk can inject, and the queue in which they wait for a request."""

from __future__ import annotations

from typing import Literal, TypeAlias, cast, get_args

import httpx
from attrs import evolve, frozen

from ._responses import FakeResponse, NoResponse, rejection, text_response

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
"""The name of a fault. `FakeDesk.inject` documents what each fault does."""

_FOR_EVERY_METHOD: frozenset[Fault] = frozenset(
    {"connection refused", "rate limited", "maintenance", "token refused", "forbidden"}
)
"""The faults that can happen to every request. All others are about work, so by default they happen to conversions."""

Work: TypeAlias = Literal["never", "now", "later"]
"""Whether and when FakeDesk carries a request out: "later" is after the client has got its response or error."""


@frozen
class InjectedFault:
    """A fault that waits for a request.

    Attributes:
        method: The HTTP method of the requests that the fault can happen to; None for every method.
        path: A part of the path of these requests; an empty text for every path.
        work: Whether and when the request is carried out.
        outcome: The response that the client gets, or why it gets no response. None means the real response, but the
            connection breaks in the middle of its body.
        lasts: How many seconds later the request is carried out, if `work` is "later".
    """

    method: str | None
    work: Work
    outcome: FakeResponse | NoResponse | None
    lasts: float = 0.0
    path: str = ""

    def outcome_for(self, response: FakeResponse | None) -> FakeResponse | NoResponse:
        """Return what the client gets.

        Args:
            response: The real response; None if the request has not been carried out.
        """
        if self.outcome is not None:
            return self.outcome
        # A fault without an outcome is carried out at once, so there is a real response.
        return evolve(cast("FakeResponse", response), cut_off=True)


class Faults:
    """A queue of faults. A request gets the oldest fault whose method and path fit."""

    def __init__(self) -> None:
        self._queue: list[InjectedFault] = []

    def add(self, fault: InjectedFault, times: int) -> None:
        """Add a fault.

        Args:
            fault: The fault.
            times: How many requests it happens to.
        """
        self._queue += [fault] * times

    def take(self, method: str, path: str, *, before_arrival: bool = False) -> InjectedFault | None:
        """Remove the fault that happens to a request from the queue, and return it; None if there is no fault.

        Args:
            method: The request's HTTP method.
            path: The request's path.
            before_arrival: Whether the request has not arrived yet. Then only a refused connection can happen to it,
                and any other fault stays in the queue until the request arrives.
        """
        fault = next((each for each in self._queue if each.method in (None, method) and each.path in path), None)
        if fault is None or (before_arrival and fault.outcome is not NoResponse.REFUSED):
            return None
        self._queue.remove(fault)
        return fault


def fault_by_name(name: Fault, method: str | None, lasts: float, path: str) -> InjectedFault:
    """Return a fault, ready for the queue.

    Args:
        name: The fault's name.
        method: The HTTP method of the requests that the fault can happen to. The default is POST for a fault that is
            about work, and every method for any other fault.
        lasts: How many seconds later the request is carried out, if the fault says "while the work goes on".
        path: A part of the path of the requests that the fault can happen to.

    Raises:
        ValueError: There is no fault of this name.
    """
    if name not in _FAULTS:
        raise ValueError(f"unknown fault: {name!r}; expected one of: {', '.join(map(repr, get_args(Fault)))}")
    work, outcome = _FAULTS[name]
    return InjectedFault(method or (None if name in _FOR_EVERY_METHOD else "POST"), work, outcome, lasts, path)


def _html_response(status: int, text: str, **headers: str) -> FakeResponse:
    """Return a response as a gateway in front of Desk sends it: it is HTML and not JSON."""
    return FakeResponse(status, httpx.Headers({"Content-Type": "text/html", **headers}), f"<h1>{text}</h1>".encode())


# Source: `ratelimit/ratelimiter.go` in Teamwork/middleware. The response has no body.
RATE_LIMITED = FakeResponse(429, httpx.Headers(), b"")
TOKEN_REFUSED = rejection(401, "failed to validate token", code="G401")
_MAINTENANCE = _html_response(503, "Back soon", **{"Retry-After": "5"})
_FORBIDDEN = rejection(403, "the plan does not include this feature", code="E5")
# Source: `rescue/rescue.go` in Teamwork/middleware, which responds to a panic.
_SERVER_ERROR = text_response(500, "Sorry, the server ran into a problem processing this request.")
_GATEWAY_TIMEOUT = _html_response(504, "Gateway Time-out")

_FAULTS: dict[Fault, tuple[Work, FakeResponse | NoResponse | None]] = {
    "connection refused": ("never", NoResponse.REFUSED),
    "rate limited": ("never", RATE_LIMITED),
    "maintenance": ("never", _MAINTENANCE),
    "token refused": ("never", TOKEN_REFUSED),
    "forbidden": ("never", _FORBIDDEN),
    "answer lost before the work": ("never", NoResponse.RESET),
    "answer lost after the work": ("now", NoResponse.RESET),
    "answer lost while the work goes on": ("later", NoResponse.RESET),
    "server error before the work": ("never", _SERVER_ERROR),
    "server error after the work": ("now", _SERVER_ERROR),
    "timeout before the work": ("never", NoResponse.TIMEOUT),
    "timeout after the work": ("now", NoResponse.TIMEOUT),
    "timeout while the work goes on": ("later", NoResponse.TIMEOUT),
    "gateway timeout before the work": ("never", _GATEWAY_TIMEOUT),
    "gateway timeout after the work": ("now", _GATEWAY_TIMEOUT),
    "gateway timeout while the work goes on": ("later", _GATEWAY_TIMEOUT),
    "unreadable answer": ("now", _html_response(200, "Welcome")),
    "answer cut off": ("now", None),
}
