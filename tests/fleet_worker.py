"""The module that `taskiq worker fleet_worker:broker` runs. Environment variables hold the URLs of Redis and Desk."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from teamwork_desk import AsyncDesk, RetryPolicy
from teamwork_desk.fleet import EventHooks, Fleet

RETRY = RetryPolicy(backoff_base=0.05, settle=(0.05, 0.1))


def stop_once() -> None:
    """Stop this process, as a debugger or a frozen container does, and record its id in a file, but only once."""
    record = Path(os.environ["FLEET_STOP_BEFORE_BODY"])
    if not record.exists():
        record.write_text(str(os.getpid()))
        os.kill(os.getpid(), signal.SIGSTOP)


async def stop_before_body(request: httpx.Request) -> None:
    """Stop the process right before the transport takes the body of a conversion.

    The fleet has renewed the lease before that, because this hook runs after the hook of the fleet.
    """
    other = request.extensions.get("trace")

    async def trace(event: str, info: Mapping[str, Any]) -> None:
        if other is not None:
            await other(event, info)
        if event == "http11.send_request_body.started":
            stop_once()

    if request.method == "POST":
        request.extensions["trace"] = trace


async def stamp(request: httpx.Request) -> None:
    """Note when the request is sent, because a busy machine may let it arrive later, together with others."""
    request.headers["X-Sent-At"] = str(time.time())


def make_fleet(environment: Mapping[str, str]) -> Fleet:
    """Build the fleet that these environment variables describe."""
    urls: dict[str, str] = json.loads(environment["FLEET_DESKS"])
    deadline = float(environment.get("FLEET_DEADLINE", "4"))

    def open_desk(account: str, event_hooks: EventHooks) -> AsyncDesk:
        hooks = [*event_hooks["request"], stamp]
        if "FLEET_STOP_BEFORE_BODY" in os.environ:
            hooks.append(stop_before_body)
        return AsyncDesk(
            urls[account],
            token=f"token-of-{account}",
            timeout=deadline / 4,
            retry=RETRY,
            trust_env=False,
            event_hooks={"request": hooks},
        )

    return Fleet(environment["FLEET_REDIS"], open_desk, rate=environment["FLEET_RATE"], deadline=deadline, settle=1.5)


if "FLEET_REDIS" in os.environ:
    broker = make_fleet(os.environ).broker
