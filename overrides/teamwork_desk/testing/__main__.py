"""Run a fake Teamwork Desk from the command line: `python -m teamwork_desk.testing --port 8080`."""

from __future__ import annotations

import argparse
import asyncio
import sys
from contextlib import suppress
from typing import get_args

from . import FakeDesk
from ._limiter import LimiterName
from ._responses import ErrorShape


async def _serve(fake: FakeDesk, host: str, port: int, upload_port: int, token: str) -> None:
    """Serve a FakeDesk until the process is interrupted.

    Args:
        fake: The FakeDesk.
        host: The address to listen on.
        port: The port to listen on.
        upload_port: The port of the upload host.
        token: The token in the command that is printed as an example.
    """
    async with fake.serve(host=host, port=port, upload_port=upload_port) as url:
        convert = f"{url}/desk/api/v2/conversations/42/convert.json"
        print(  # noqa: T201
            f"A fake Teamwork Desk listens on {url}, with conversations 1 to 100. Ctrl-C stops it. Try:",
            f"  curl -H 'Authorization: Bearer {token}' -H 'Content-Type: application/json' -d '{{}}' {convert}",
            sep="\n",
            flush=True,
        )
        await asyncio.Event().wait()


def _main() -> str | None:
    parser = argparse.ArgumentParser(
        prog="python -m teamwork_desk.testing",
        description="Run a fake Teamwork Desk.",
        epilog="Example: python -m teamwork_desk.testing --port 8080",
    )
    parser.add_argument("--port", type=int, default=8080, help="the port to listen on; 0 chooses a free port")
    parser.add_argument(
        "--upload-port", type=int, default=0, help="the port of the upload host; the default is a free port"
    )
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on")
    parser.add_argument("--token", help="the only bearer token that is accepted; without it, any token is accepted")
    parser.add_argument("--rate-limit", type=int, default=120, help="requests per minute")
    parser.add_argument(
        "--limiter",
        choices=get_args(LimiterName),
        default="sliding log",
        help="how requests are counted and reported; the default is Teamwork's own way",
    )
    parser.add_argument(
        "--error-shape",
        choices=get_args(ErrorShape),
        default="map",
        help="list rejected fields as a map or as objects; Desk sends both",
    )
    parser.add_argument("--refuse-in", action="store_true", help="reject a filter with $in")
    parser.add_argument(
        "--old-installation", action="store_true", help="know only the deprecated email field, and not customer.email"
    )
    options = parser.parse_args()
    fake = FakeDesk(
        token=options.token,
        rate_limit=options.rate_limit,
        limiter=options.limiter,
        old_installation=options.old_installation,
        error_shape=options.error_shape,
        refuse_in=options.refuse_in,
    )
    try:
        with suppress(KeyboardInterrupt):
            asyncio.run(_serve(fake, options.host, options.port, options.upload_port, options.token or "any"))
    except (ImportError, OSError, OverflowError) as error:
        # The extra is missing, the port is in use, or the number cannot be a port. A message is enough for these.
        return str(error)
    return None


sys.exit(_main())
