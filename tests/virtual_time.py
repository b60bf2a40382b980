"""Virtual time on both backends, for tests in which a deadline passes.

In real time, a busy machine may take longer than a short deadline allows, so that the request is not even sent.
"""

from __future__ import annotations

from typing import Final

import pytest
from trio.testing import MockClock

from teamwork_desk.testing import VirtualTimeLoop

ON_ASYNCIO: Final = pytest.param(("asyncio", {"loop_factory": VirtualTimeLoop}), id="asyncio")
ON_TRIO: Final = pytest.param(("trio", {"clock": MockClock(autojump_threshold=0)}), id="trio")

in_virtual_time = pytest.mark.parametrize("anyio_backend", [ON_ASYNCIO, ON_TRIO])
"""The test waits only for timers: not for a socket, and not for a thread."""
