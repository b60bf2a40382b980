"""The environment variables that decide how a client connects, and what is wrong with their values.

httpx reads most of these variables, but its errors do not name them, and some wrong values only make every call fail.
"""

from __future__ import annotations

import importlib.util
import ipaddress
import os
import re
import ssl
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.request import getproxies

import httpx

from ._checks import printable
from ._errors import ConfigurationError

T = TypeVar("T")

PROXY_SCHEMES = ("http", "https", "socks5", "socks5h")
_SHOWN_SCHEME = re.compile(r"[a-z][a-z0-9]{1,9}")
_SHOWN_HOST = re.compile(r"[\w.:/*\[\]-]{1,100}", re.ASCII)
"""What may be in a message. A text with other characters may hold a password."""
_HASHED = re.compile(r"[0-9a-f]{8}\.\d+")
"""The name of a certificate in a folder: OpenSSL finds it by this hash only."""


def setting(value: object, argument: str, variable: str, read: Callable[[Any], T]) -> T:
    """Read an argument of the client; if it is None, read the environment variable instead.

    Args:
        value: The argument's value.
        argument: The argument's name, with which the messages of `read` begin.
        variable: The environment variable.
        read: Checks and converts the value.

    Raises:
        ConfigurationError: There is no value, or the value is invalid.
    """
    if value is not None:
        return read(value)
    text = os.environ.get(variable)
    if text is None:
        raise ConfigurationError(f"{argument}: pass it, or set {variable}")
    try:
        return read(text)
    except ConfigurationError as error:
        problem = str(error).removeprefix(f"{argument}: ")
    raise ConfigurationError(f"{variable}: {problem}")


def check_environment(options: Mapping[str, Any], transport: httpx.AsyncBaseTransport | None) -> None:
    """Check the option `proxy`, and the environment variables that httpx reads for these options.

    Args:
        options: The options for httpx.
        transport: The caller's transport, with which httpx reads no variable.

    Raises:
        ConfigurationError: A proxy or a variable with certificates cannot be used.
    """
    proxy, trust_env = options.get("proxy"), options.get("trust_env", True)
    if isinstance(proxy, (str, httpx.URL)):
        _check_proxy("proxy", str(proxy))
    if transport is not None and not proxy:
        return
    if trust_env and not proxy:
        for name, value in _proxies():
            _check_proxy(name, value if "://" in value else f"http://{value}")
    variable = _certificates(options)
    if variable:
        check = _check_folders if variable == "SSL_CERT_DIR" else _check_file
        check(variable, os.environ[variable])


def explained(error: Exception, options: Mapping[str, Any]) -> ConfigurationError:
    """Return our own error for an error that httpx raised when it was given the options.

    Args:
        error: httpx's error. Its text may quote a password if it is about a URL.
        options: The options for httpx.
    """
    if isinstance(error, httpx.InvalidURL):
        return ConfigurationError(_invalid_no_proxy() or "proxy, mounts: expected valid URLs, also in the environment")
    variable = _certificates(options)
    if variable and isinstance(error, ssl.SSLError):
        return ConfigurationError(f"{variable}: its certificates cannot be read: {error}")
    if isinstance(error, OSError) or "null byte" in str(error):  # in a path
        reason = getattr(error, "strerror", None) or error
        return ConfigurationError(f"verify, cert: the certificates cannot be read: {reason}")
    return ConfigurationError(f"httpx rejected an option: {error}")


def _certificates(options: Mapping[str, Any]) -> str | None:
    """Return the variable from which httpx takes the trusted certificates; None if it uses others."""
    if options.get("verify", True) is not True or not options.get("trust_env", True):
        return None
    return next((name for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if os.environ.get(name)), None)


def _check_file(variable: str, value: str) -> None:
    path = Path(value)
    if path.is_dir():
        raise ConfigurationError(f"{variable}: {_quoted(value)} is a directory; set SSL_CERT_DIR for a directory")
    try:
        content = path.read_bytes()
    except (OSError, ValueError) as error:
        problem = (
            "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read: {type(error).__name__}"
        )
    else:
        if b"-----BEGIN " in content:
            return
        problem = "holds no certificate in PEM form" if content else "is empty"
    raise ConfigurationError(f"{variable}: the file {_quoted(value)} {problem}")


def _check_folders(variable: str, value: str) -> None:
    for folder in map(Path, value.split(os.pathsep)):
        try:
            if any(_HASHED.fullmatch(entry.name) for entry in folder.iterdir()):
                return
        except (OSError, ValueError):
            continue
    names = 'a certificate in a file with a name such as 5ed36f99.0, which "openssl rehash" makes'
    raise ConfigurationError(f"{variable}: expected a directory with {names}; {_quoted(value)} is not such a directory")


def _proxies() -> Iterator[tuple[str, str]]:
    """Yield the proxies that httpx takes from the environment, each with the name of its variable."""
    proxies = getproxies()
    if "*" in (host.strip() for host in proxies.get("no", "").split(",")):
        return
    for scheme in ("http", "https", "all"):
        if proxies.get(scheme):
            yield _variable(f"{scheme}_proxy", proxies[scheme]), proxies[scheme]


def _variable(name: str, value: str) -> str:
    """Return the variable that has a value: its name may be in lower or in upper case, and lower case wins."""
    names = [name, name.upper(), *(each for each in os.environ if each.lower() == name)]
    return next((each for each in names if os.environ.get(each) == value), "the proxy settings of the system")


def _check_proxy(name: str, value: str) -> None:
    """Check the URL of a proxy. No message quotes it, because it may hold a password."""
    try:
        url: httpx.URL | None = httpx.URL(value)
        host = url.host if url else ""  # httpx decodes it only now
    except (httpx.InvalidURL, ValueError):
        url, host = None, ""
    if url is None:
        problem = "expected the URL of a proxy, such as http://proxy.example.com:8080"
    elif url.scheme not in PROXY_SCHEMES:
        shown = f", not {url.scheme}" if _SHOWN_SCHEME.fullmatch(url.scheme) else ""
        problem = f"expected a proxy with the scheme {', '.join(PROXY_SCHEMES[:-1])} or {PROXY_SCHEMES[-1]}{shown}"
    elif not host:
        problem = "the URL of the proxy has no host"
    elif url.scheme.startswith("socks") and importlib.util.find_spec("socksio") is None:
        problem = 'a SOCKS proxy needs another package: pip install "httpx[socks]"'
    else:
        return
    raise ConfigurationError(f"{name}: {problem}")


def _invalid_no_proxy() -> str | None:
    """Return a message about the first host in `NO_PROXY` that httpx cannot read; None if there is none."""
    value = getproxies().get("no", "")
    for host in filter(None, map(str.strip, value.split(","))):
        try:
            httpx.URL(_pattern(host))
        except httpx.InvalidURL:
            what = "the IPv6 network" if _is_ipv6(host) else "the host"
            shown = f"{what} {host}" if _SHOWN_HOST.fullmatch(host) else "a host"
            return f"{_variable('no_proxy', value)}: httpx cannot read {shown}; remove it, or pass trust_env=False"
    return None


def _pattern(host: str) -> str:
    """Return the pattern that httpx makes of a host in `NO_PROXY`."""
    if "://" in host:
        return host
    return f"all://[{host}]" if _is_ipv6(host) else f"all://*{host}"


def _is_ipv6(host: str) -> bool:
    try:
        ipaddress.IPv6Address(host.partition("/")[0])
    except ValueError:
        return False
    return True


def _quoted(value: str) -> str:
    return f'"{printable(value)}"'
