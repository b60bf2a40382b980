"""FakeDesk as an httpx transport, which needs no network."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import cast

import httpx

from ._faults import Faults
from ._responses import Handler, NoResponse


class Transport(httpx.AsyncBaseTransport):
    """Passes the requests of a client to a handler, and returns its responses or raises the errors of a connection.

    Args:
        handle: The handler.
        faults: The queue of faults. The transport itself takes a refused connection from it, because such a request
            never arrives at the handler.
    """

    def __init__(self, handle: Handler, faults: Faults) -> None:
        self._handle = handle
        self._faults = faults

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Return the response to a request.

        Raises:
            httpx.TransportError: The connection fails, because a fault says so.
        """
        if self._faults.take(request.method, request.url.path, before_arrival=True):
            raise httpx.ConnectError("FakeDesk refused the connection", request=request)
        # Read the stream itself, as a connection does. `request.aread()` would store the body, and a client that sends
        # the same request again would then work with FakeDesk and fail with a real connection.
        body = b"".join([chunk async for chunk in cast("httpx.AsyncByteStream", request.stream)])
        url = request.url
        response = self._handle(request.method, url.path, url.query.decode("ascii"), request.headers, body)
        if response is NoResponse.TIMEOUT:
            raise httpx.ReadTimeout("FakeDesk did not respond in time", request=request)
        if isinstance(response, NoResponse):
            raise httpx.ReadError("FakeDesk lost the response", request=request)
        stream = _HalfOfBody(response.body) if response.cut_off else httpx.ByteStream(response.body)
        return httpx.Response(response.status, headers=response.headers, stream=stream)


class _HalfOfBody(httpx.AsyncByteStream):
    """Half of a body, followed by the error of a connection that breaks."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._body[: len(self._body) // 2]
        raise httpx.RemoteProtocolError("FakeDesk cut the response off")
