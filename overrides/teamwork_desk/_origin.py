"""The origin of an installation, from its URL."""

from __future__ import annotations

import ipaddress
import re

import httpx

from ._errors import ConfigurationError

API_PATH = "/desk/api/v2"
_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+")


def parse_origin(url: object) -> str:
    """Return the origin of an installation's URL.

    Raises:
        ConfigurationError: The URL is not just an origin, or plain http would send the token unencrypted.
    """
    try:
        parsed = httpx.URL(url) if isinstance(url, str) else httpx.URL()
        port = parsed.port
    except (httpx.InvalidURL, ValueError):
        raise ConfigurationError("url: expected a valid URL") from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ConfigurationError("url: expected an origin such as https://acme.teamwork.com")
    if parsed.userinfo or parsed.query or parsed.fragment:
        raise ConfigurationError("url: expected an origin, without user, query or fragment")
    if parsed.path.rstrip("/") not in ("", API_PATH):
        raise ConfigurationError(f"url: expected an origin, with or without {API_PATH}")
    if parsed.scheme == "http" and not is_loopback(parsed.host):
        raise ConfigurationError("url: plain http would send the token unencrypted; use https")
    host = parsed.raw_host.decode()
    if not _HOST.fullmatch(host) or (port is not None and not 0 < port < 65536):
        raise ConfigurationError("url: its host or port is invalid")
    return f"{parsed.scheme}://{f'[{host}]' if ':' in host else host}{f':{port}' if port else ''}"


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine, so that nobody can read plain http on the way."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
