"""One attempt of a call: the request goes out over a connection, and its result comes back as a value."""

from __future__ import annotations

import sys
from typing import Any

import anyio
import httpx

from teamwork_desk_api.types import Request

from ._auth import Token
from ._connections import Handshake
from ._errors import ConfigurationError, RequestError
from ._outcome import Exchange, seems_sent
from ._redaction import scrub, without
from ._scope import Scope
from ._wire import Body, build, read


async def attempt(call: Scope, request: Request[Any], body: Body | None, token: Token) -> Exchange:
    """Send a request once, and return the result.

    Args:
        call: The call. Its place of the rate window is left at the end.
        request: The request.
        body: Its body; None if it has none and changes nothing.
        token: The bearer token.

    Raises:
        ConfigurationError: The client is closed, or serves another event loop.
        RequestError: The URL is too long.
    """
    session, timeout, handshake = call.session, call.options.timeout, Handshake()
    handled = sys.exception()  # what the caller handles meanwhile is not ours to change
    response: httpx.Response | None = None
    sent, started = False, anyio.current_time()
    more = {"timeout": timeout.as_dict(), **handshake.extensions(session.origin)}
    try:
        http_request = build(session.origin, request, session.headers, token.value, body=body, extensions=more)
    except RequestError:
        call.pacer.leave(None, started=None, places=call.places)
        raise
    try:
        if body is not None and call not in session.loop.calls:
            # Another call may have done it meanwhile: its lookup came before that.
            raise ConfigurationError(
                "the event loop of this call stood still while the client served another; nothing was sent, call again"
            )
        async with session.connections.borrow(timeout.pool, call) as slot:
            call.attempts += 1
            sent = True
            response = await slot.send(http_request)
            if body is not None:
                # A response proves that the request arrived, even if its body was not read.
                body.was_sent = True
            content = await read(response)
        headers, content = without((token.value, *session.secrets), response, content)
        return Exchange(sent=True, status_code=response.status_code, headers=headers, content=content)
    except ConfigurationError:
        raise
    except Exception as failure:  # a transport or an event hook may raise anything, and the outcome must be kept
        failed = scrub(failure, http_request, handled)
        if response is None:
            sent = seems_sent(failed) if body is None else body.was_sent
            return Exchange(sent=sent, failure=failed)
        headers, _ = without((token.value, *session.secrets), response, b"")
        return Exchange(sent=True, status_code=response.status_code, headers=headers, failure=failed)
    finally:
        call.pacer.leave(response, started=started if sent else None, places=call.places)
        await handshake.abandon()
