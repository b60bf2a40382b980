"""The gate that every conversion passes right before its request leaves: the ledger must know of it first."""

from __future__ import annotations

import re
from collections.abc import Callable

import httpx

from teamwork_desk import ConfigurationError

_CONVERSION = re.compile(r"/desk/api/v2/conversations/([0-9]+)/convert\.json")


class RefusedError(ConfigurationError):
    """A conversion must not leave. The client passes an error of this kind on at once."""


class Gate:
    """Stops conversions until a run decides about them.

    The client waits for the rate window and for a connection before it calls an event hook. So nothing but the
    connection to Desk is between the gate and the network.

    Args:
        leave: Called with the conversation of each request that converts. It raises a `RefusedError` to stop the
            request. By default, it stops every conversion.

    Attributes:
        leave: The same.
        has_passed: Whether a conversion has passed.
    """

    def __init__(self, leave: Callable[[int], None] | None = None) -> None:
        self.leave = leave or _refuse
        self.has_passed = False

    async def before_request(self, request: httpx.Request) -> None:
        """Let a request pass: this is an event hook of httpx.

        Raises:
            RefusedError: The request must not leave.
        """
        found = _CONVERSION.fullmatch(request.url.path)
        if found and request.method == "POST":
            self.leave(int(found[1]))
            self.has_passed = True


def _refuse(conversation_id: int) -> None:
    raise RefusedError(f"no run has begun to convert conversation {conversation_id}")
