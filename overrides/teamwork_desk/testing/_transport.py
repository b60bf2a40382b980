"""The fake Desk behind an httpx transport: no network."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import cast

import httpx

from ._answers import Handler, Silence
from ._faults import Faults


class Transport(httpx.AsyncBaseTransport):
    """Carries a client's requests to a handler, and what comes of them back."""

    def __init__(self, handle: Handler, faults: Faults) -> None:
        self._handle = handle
        self._faults = faults

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request, or fail as a connection does."""
        if self._faults.take(request.method, before_it_arrives=True):
            raise httpx.ConnectError("FakeDesk refused the connection", request=request)
        # The stream itself, as a connection reads it: request.aread() would keep the body for another attempt.
        body = b"".join([chunk async for chunk in cast("httpx.AsyncByteStream", request.stream)])
        url = request.url
        answer = self._handle(request.method, url.path, url.query.decode("ascii"), request.headers, body)
        if answer is Silence.TIMEOUT:
            raise httpx.ReadTimeout("FakeDesk did not answer in time", request=request)
        if isinstance(answer, Silence):
            raise httpx.ReadError("FakeDesk lost the answer", request=request)
        stream = _Half(answer.body) if answer.cut_off else httpx.ByteStream(answer.body)
        return httpx.Response(answer.status, headers=answer.headers, stream=stream)


class _Half(httpx.AsyncByteStream):
    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._body[: len(self._body) // 2]
        raise httpx.RemoteProtocolError("FakeDesk cut the answer off")
