"""One attempt of a call: the request goes out over a connection, and its result comes back as a value."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import anyio
import httpx

from teamwork_desk_api.types import Request

from ._auth import Token
from ._connections import Handshake
from ._errors import ConfigurationError, RequestError, scrub
from ._outcome import Exchange, seems_sent
from ._session import Options, Session
from ._wire import Body, build, read


async def attempt(
    session: Session,
    request: Request[Any],
    body: Body | None,
    *,
    token: Token,
    options: Options,
    places: int,
    count: Callable[[], None],
) -> Exchange:
    """Send a request once, and return the result.

    Args:
        session: The state that the client's calls share.
        request: The request.
        body: Its body; None if it has none and changes nothing.
        token: The bearer token.
        options: The options of the call.
        places: How many places of the rate window the request holds. They are left at the end.
        count: Called when the request has a connection.

    Raises:
        ConfigurationError: The client is closed.
        RequestError: The URL is too long.
    """
    timeout, handshake = options.timeout, Handshake()
    handled = sys.exception()  # what the caller handles meanwhile is not ours to change
    response: httpx.Response | None = None
    sent, started = False, anyio.current_time()
    more = {"timeout": timeout.as_dict(), **handshake.extensions(session.origin)}
    try:
        http_request = build(session.origin, request, session.headers, token.value, body=body, extensions=more)
    except RequestError:
        session.pacer.leave(None, started=None, places=places)
        raise
    try:
        async with session.connections.borrow(timeout.pool) as slot:
            count()
            sent = True
            response = await slot.send(http_request)
            if body is not None:
                # A response proves that the request arrived, even if its body was not read.
                body.was_sent = True
            content = await read(response)
        return Exchange(sent=True, status_code=response.status_code, headers=response.headers, content=content)
    except ConfigurationError:
        raise
    except Exception as failure:  # a transport or an event hook may raise anything, and the outcome must be kept
        scrub(failure, http_request, handled)
        if response is None:
            sent = seems_sent(failure) if body is None else body.was_sent
            return Exchange(sent=sent, failure=failure)
        return Exchange(sent=True, status_code=response.status_code, headers=response.headers, failure=failure)
    finally:
        session.pacer.leave(response, started=started if sent else None, places=places)
        await handshake.abandon()
