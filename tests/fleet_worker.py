"""The module that `taskiq worker fleet_worker:broker` runs. Environment variables hold the URLs of Redis and Desk."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping

from teamwork_desk import AsyncDesk, RetryPolicy
from teamwork_desk.fleet import EventHooks, Fleet

RETRY = RetryPolicy(backoff_base=0.05, settle=(0.05, 0.1))


def make_fleet(environment: Mapping[str, str]) -> Fleet:
    """Build the fleet that these environment variables describe."""
    urls: dict[str, str] = json.loads(environment["FLEET_DESKS"])

    def open_desk(account: str, event_hooks: EventHooks) -> AsyncDesk:
        token = f"token-of-{account}"
        return AsyncDesk(urls[account], token=token, timeout=1, retry=RETRY, trust_env=False, event_hooks=event_hooks)

    return Fleet(environment["FLEET_REDIS"], open_desk, rate=environment["FLEET_RATE"], deadline=4, settle=1.5)


if "FLEET_REDIS" in os.environ:
    broker = make_fleet(os.environ).broker
