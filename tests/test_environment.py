"""An error about the environment names the variable and what is wrong with its value, but shows no password."""

from __future__ import annotations

import importlib.util
import os
import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from teamwork_desk import AsyncDesk, ConfigurationError, _environment
from teamwork_desk._environment import explained

URL = "https://acme.teamwork.com"
OPENS_NOTHING = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
NAMES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
VARIABLES = (
    *NAMES,
    *map(str.lower, NAMES),
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "TEAMWORK_DESK_URL",
    "TEAMWORK_DESK_TOKEN",
)


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def problem_of(**options: Any) -> str:
    """Return the message of the error that the constructor raises with these options."""
    with pytest.raises(ConfigurationError) as caught:
        AsyncDesk(URL, token="t", **options)
    assert (caught.value.__context__, caught.value.__cause__) == (None, None)
    return str(caught.value)


async def opens(**options: Any) -> None:
    async with AsyncDesk(URL, token="t", **options):
        pass


# Proxies

SCHEMES = "expected a proxy with the scheme http, https, socks5 or socks5h"
NO_URL = "expected the URL of a proxy, such as http://proxy.example.com:8080"
BAD = {
    "ftp://proxy.example.com": f"{SCHEMES}, not ftp",
    "socks4://proxy.example.com:1080": f"{SCHEMES}, not socks4",
    "ftp://jo:hunter2@proxy.example.com": f"{SCHEMES}, not ftp",
    "hunter2-secret://proxy.example.com": SCHEMES,
    "http://": "the URL of the proxy has no host",
    "http://jo:hunter2@": "the URL of the proxy has no host",
    "http://proxy.example.com:port": NO_URL,
    "http://jo:hunter2/@proxy.example.com": NO_URL,
    "jo:hunter2/@proxy.example.com": NO_URL,
    "socks5://jo:hunter2@proxy.example.com": 'a SOCKS proxy needs another package: pip install "httpx[socks]"',
    "socks5h://proxy.example.com": 'a SOCKS proxy needs another package: pip install "httpx[socks]"',
}


@pytest.fixture
def without_socksio(monkeypatch: pytest.MonkeyPatch) -> None:
    def find_nothing(name: str) -> None: ...

    monkeypatch.setattr(importlib.util, "find_spec", find_nothing)


@pytest.mark.usefixtures("without_socksio")
@pytest.mark.parametrize("variable", [name for name in VARIABLES[:8] if name.lower() != "no_proxy"])
@pytest.mark.parametrize("value", BAD)
def test_an_invalid_proxy_is_named_by_its_variable(variable: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, value)
    assert problem_of() == f"{variable}: {BAD[value]}"


async def test_a_variable_that_is_not_used_is_not_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "ftp://proxy.example.com")
    await opens(trust_env=False, verify=OPENS_NOTHING)
    await opens(proxy="http://proxy.example.com", verify=OPENS_NOTHING)
    await opens(transport=httpx.MockTransport(lambda _: httpx.Response(200)))
    monkeypatch.setenv("NO_PROXY", "localhost, *")
    await opens(verify=OPENS_NOTHING)


@pytest.mark.usefixtures("without_socksio")
@pytest.mark.parametrize("value", [value for value in BAD if "://" in value])
def test_an_invalid_option_proxy_is_named(value: str) -> None:
    assert problem_of(proxy=value) == f"proxy: {BAD[value]}"


def test_an_invalid_url_as_the_option_proxy_is_named() -> None:
    assert problem_of(proxy=httpx.URL("ftp://jo:hunter2@proxy.example.com")) == f"proxy: {SCHEMES}, not ftp"


def test_the_variable_in_lower_case_wins_and_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example.com")
    monkeypatch.setenv("https_proxy", "ftp://proxy.example.com")
    assert (problem_of()).startswith("https_proxy: ")


def test_the_proxy_of_the_system_is_named_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_environment, "getproxies", lambda: {"https": "ftp://proxy.example.com"})
    assert (problem_of()).startswith("the proxy settings of the system: expected a proxy")


@pytest.mark.parametrize(
    "value", ["http://proxy.example.com:8080", "proxy.example.com:8080", "jo:pw@proxy.example.com"]
)
async def test_a_valid_proxy_is_accepted(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", value)
    await opens(verify=OPENS_NOTHING)


# NO_PROXY: httpx2 skips the entries that it cannot read

only_httpx = pytest.mark.skipif(httpx.__name__ != "httpx", reason="httpx2 accepts every value of NO_PROXY")


@only_httpx
@pytest.mark.parametrize("variable", ["NO_PROXY", "no_proxy"])
@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("fd00::/8", "the IPv6 network fd00::/8"),
        ("localhost, 10.0.0.0/8, ::1, fe80::/10", "the IPv6 network fe80::/10"),
        ("[::1]:8080", "the host [::1]:8080"),
        ("example.com:port", "the host example.com:port"),
        ("http://jo:hunter2/@example.com", "a host"),
    ],
)
async def test_a_host_that_httpx_cannot_read_is_named(
    variable: str, value: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example.com:8080")
    monkeypatch.setenv(variable, value)
    problem = problem_of(verify=OPENS_NOTHING)
    assert problem == f"{variable}: httpx cannot read {shown}; remove it, or pass trust_env=False"
    await opens(trust_env=False, verify=OPENS_NOTHING)


@pytest.mark.parametrize(
    "value", ["localhost,127.0.0.1,::1", "10.0.0.0/8, .example.com, *.example.com", ",", "https://x"]
)
async def test_a_valid_no_proxy_is_accepted(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example.com:8080")
    monkeypatch.setenv("NO_PROXY", value)
    await opens(verify=OPENS_NOTHING)


def test_an_invalid_mount_is_named() -> None:
    problem = problem_of(mounts={"https://x:port": None})
    assert problem == "proxy, mounts: expected valid URLs, also in the environment"


# Certificates


@pytest.fixture(scope="module")
def pem() -> bytes:
    return trustme.CA().cert_pem.bytes()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, 'the file "{path}" does not exist'),
        ("a directory", '"{path}" is a directory; set SSL_CERT_DIR for a directory'),
        (b"", 'the file "{path}" is empty'),
        (b"no PEM", 'the file "{path}" holds no certificate in PEM form'),
        (b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", "its certificates cannot be read"),
    ],
    ids=["missing", "a directory", "empty", "no PEM", "broken PEM"],
)
async def test_an_invalid_ssl_cert_file_is_named(
    content: bytes | str | None, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ca.pem"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content:
        path.mkdir()
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    assert (problem_of()).startswith(f"SSL_CERT_FILE: {problem.format(path=path)}")
    # The variable is not used with these options.
    await opens(trust_env=False)
    await opens(verify=OPENS_NOTHING)
    await opens(transport=httpx.MockTransport(lambda _: httpx.Response(200)))


def test_the_certificates_are_read_for_a_proxy_beside_a_transport(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/missing/ca.pem")
    transport = httpx.MockTransport(lambda _: httpx.Response(200))
    problem = problem_of(transport=transport, proxy="http://proxy.example.com")
    assert problem == 'SSL_CERT_FILE: the file "/missing/ca.pem" does not exist'


def test_a_file_that_cannot_be_read_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/dev/null/ca.pem")
    assert problem_of() == 'SSL_CERT_FILE: the file "/dev/null/ca.pem" cannot be read: NotADirectoryError'


async def test_an_invalid_ssl_cert_dir_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ca.pem").touch()
    for value in (str(tmp_path / "missing"), str(tmp_path / "ca.pem"), str(tmp_path), "/missing:/missing too"):
        monkeypatch.setenv("SSL_CERT_DIR", value)
        problem = problem_of()
        assert problem.startswith("SSL_CERT_DIR: expected a directory with a certificate in a file with a name such as")
        assert problem.endswith(f'"{value}" is not such a directory')
        await opens(trust_env=False)


async def test_valid_certificates_are_accepted(pem: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "5ed36f99.0").write_bytes(pem)
    monkeypatch.setenv("SSL_CERT_DIR", os.pathsep.join(["/missing", str(tmp_path)]))
    await opens()
    monkeypatch.setenv("SSL_CERT_DIR", "/missing")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "5ed36f99.0"))
    await opens()  # httpx reads only the first of the two
    monkeypatch.setenv("SSL_CERT_FILE", "")
    monkeypatch.setenv("SSL_CERT_DIR", "")
    await opens()


# Our own variables


@pytest.mark.parametrize(
    ("variable", "value", "problem"),
    [
        ("TEAMWORK_DESK_URL", "", "expected an origin such as https://acme.teamwork.com"),
        ("TEAMWORK_DESK_URL", "http://acme.teamwork.com", "plain http would send the token unencrypted; use https"),
        ("TEAMWORK_DESK_TOKEN", "", "expected a str of visible ASCII, without white space"),
    ],
)
def test_an_invalid_variable_of_our_own_is_named(
    variable: str, value: str, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEAMWORK_DESK_URL", URL)
    monkeypatch.setenv("TEAMWORK_DESK_TOKEN", "t")
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError) as caught:
        AsyncDesk()
    assert str(caught.value) == f"{variable}: {problem}"


def test_a_missing_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match=r"^url: pass it, or set TEAMWORK_DESK_URL$"):
        AsyncDesk()
    with pytest.raises(ConfigurationError, match=r"^token: pass it, or set TEAMWORK_DESK_TOKEN$"):
        AsyncDesk(URL)


def test_the_names_of_the_variables_are_those_that_python_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("Https_Proxy", "ftp://proxy.example.com")
    assert problem_of().startswith("Https_Proxy: ")


def test_any_other_error_of_httpx_is_passed_on_with_its_text() -> None:
    assert str(explained(ValueError("unknown"), {})) == "httpx rejected an option: unknown"
