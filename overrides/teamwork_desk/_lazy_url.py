"""The URL of a request, without parsing it."""

from __future__ import annotations

from typing import Any

import httpx


class LazyURL(httpx.URL):
    """A URL that is parsed where more is asked of it than sending takes: parsing costs a thirtieth of a call or more.

    Args:
        origin: The origin.
        target: The path and the query, percent-encoded.
    """

    def __init__(self, origin: httpx.URL, target: str) -> None:
        self._origin = origin
        self._target = target

    def __getattr__(self, name: str) -> Any:
        # Whatever httpx.URL would have set; a copy that is being made has nothing to parse yet.
        if "_target" in vars(self):
            vars(self).update(vars(httpx.URL(str(self))))
        return object.__getattribute__(self, name)

    @property
    def raw_scheme(self) -> bytes:
        return self._origin.raw_scheme

    @property
    def raw_host(self) -> bytes:
        return self._origin.raw_host

    @property
    def port(self) -> int | None:
        return self._origin.port

    @property
    def raw_path(self) -> bytes:
        return self._target.encode("ascii")

    def __str__(self) -> str:
        return f"{self._origin}{self._target}"
