"""AsyncDesk: its options, how it is opened and closed, and the parts that every request has."""

from __future__ import annotations

import copy
import gc
import json
import math
import pickle
import traceback
import warnings
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import httpx
import pytest

from teamwork_desk import (
    AsyncDesk,
    ConfigurationError,
    DeadlineExceeded,
    RequestError,
    RetryPolicy,
    ServerError,
    StatusError,
    ValidationError,
)
from teamwork_desk.testing import FakeDesk
from teamwork_desk_api.api.conversations.list_conversations import list_conversations

URL = "https://acme.teamwork.com"
TOKEN = "tkn.v1_a-token"
ONCE = RetryPolicy(max_attempts=1)


def a_desk(**options: Any) -> AsyncDesk:
    """Build a client that never retries, from defaults and the given options."""
    defaults: dict[str, Any] = {
        "url": URL,
        "token": TOKEN,
        "transport": FakeDesk().transport,
        "retry": ONCE,
        "verify_first": False,
    }
    return AsyncDesk(**defaults | options)


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEAMWORK_DESK_URL", raising=False)
    monkeypatch.delenv("TEAMWORK_DESK_TOKEN", raising=False)


# The URL


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://acme.teamwork.com", "https://acme.teamwork.com"),
        ("https://acme.teamwork.com/", "https://acme.teamwork.com"),
        ("https://acme.teamwork.com/desk/api/v2", "https://acme.teamwork.com"),
        ("https://acme.teamwork.com/desk/api/v2/", "https://acme.teamwork.com"),
        ("https://acme.eu.teamwork.com", "https://acme.eu.teamwork.com"),
        ("https://api.teamwork.com", "https://api.teamwork.com"),
        ("HTTPS://ACME.Teamwork.COM", "https://acme.teamwork.com"),
        ("https://acme.teamwork.com:443", "https://acme.teamwork.com"),
        ("https://desk.example.com:8443", "https://desk.example.com:8443"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
        ("https://192.0.2.7", "https://192.0.2.7"),
        ("https://[2001:db8::7]:8443/", "https://[2001:db8::7]:8443"),
        ("http://localhost", "http://localhost"),
        ("http://localhost:80", "http://localhost"),
        ("http://localhost:8080/desk/api/v2", "http://localhost:8080"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://127.1.2.3", "http://127.1.2.3"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
async def test_an_origin_is_accepted_and_normalised(url: str, origin: str) -> None:
    seen: list[str] = []

    def respond(request: httpx.Request) -> httpx.Response:
        seen.extend([str(request.url), request.headers["host"]])
        return httpx.Response(200, json={"conversations": [{"id": 42}]})

    async with a_desk(url=url, transport=httpx.MockTransport(respond)) as desk:
        await desk.send(list_conversations())
        assert repr(desk) == f"AsyncDesk({origin!r})"
    assert seen == [f"{origin}/desk/api/v2/conversations.json", origin.partition("://")[2]]


@pytest.mark.parametrize(
    "url",
    [
        "",
        " ",
        "acme",
        "acme.teamwork.com",
        "acme.teamwork.com:443",
        "//acme.teamwork.com",
        "/desk/api/v2",
        "https://",
        "https:///desk/api/v2",
        "https:acme.teamwork.com",
        "ftp://acme.teamwork.com",
        "file:///etc/passwd",
        " https://acme.teamwork.com",
        "https://acme .teamwork.com",
        "https://acme.teamwork.com\n",
        "https://acme.teamwork.com\r\nX-Evil: 1",
        "https://acme.teamwork.com:port",
        "https://acme.teamwork.com:99999",
        "https://[::1",
        "https://acme.teamwork.com/desk",
        "https://acme.teamwork.com/desk/api/v1",
        "https://acme.teamwork.com/desk/api/v2/conversations.json",
        "https://acme.teamwork.com?page=1",
        "https://acme.teamwork.com/#top",
        # Plain HTTP is allowed only to a loopback address.
        "http://acme.teamwork.com",
        "http://192.168.1.7",
        "http://0.0.0.0",
        "http://[::2]",
        "http://127.0.0.1.example.com",
        "http://localhost.example.com",
        "http://localhost@example.com",
        # Only a str is a URL.
        42,
        b"https://acme.teamwork.com",
        httpx.URL("https://acme.teamwork.com"),
    ],
    ids=repr,
)
def test_a_url_that_is_not_an_origin_is_rejected(url: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^url: "):
        a_desk(url=url)


@pytest.mark.parametrize(
    "url",
    [
        "https://jo:s3cret@acme.teamwork.com",
        "https://s3cret@acme.teamwork.com",
        "https://:s3cret@acme.teamwork.com",
        "http://jo:s3cret@localhost",
        "https://jo:s3cret",
        "https://jo:s3cret@acme.teamwork.com:port",
        "https://acme.teamwork.com?token=s3cret",
        "https://acme.teamwork.com#s3cret",
        "https://acme.teamwork.com/s3cret",
        "s3cret",
        "https://s3cret\n",
        "s3cret://acme.teamwork.com",
    ],
)
def test_a_rejected_url_is_not_quoted_in_the_error(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        a_desk(url=url)
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))


# The token


@pytest.mark.parametrize(
    "token",
    [
        "",
        " ",
        "\t",
        "two words",
        " leading",
        "trailing ",
        "line\n",
        "a\r\nX-Evil: 1",
        "nul\0",
        "del\x7f",
        "tökén",
        "a\u2028b",
        42,
        b"bytes",
        True,
        ["list"],
    ],
    ids=repr,
)
def test_a_token_that_cannot_be_a_header_value_is_rejected(token: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEAMWORK_DESK_TOKEN", "not-this-token")
    with pytest.raises(ConfigurationError, match=r"^token: expected") as caught:
        a_desk(token=token)
    if isinstance(token, str) and token.strip():
        assert token not in str(caught.value)


@pytest.mark.parametrize("token", ["a", "tkn.v1_aB-9/+=~", "!" * 4096])
async def test_any_visible_ascii_text_can_be_a_token(token: str) -> None:
    fake = FakeDesk(token=token)
    async with a_desk(transport=fake.transport, token=token) as desk:
        await desk.conversations.get(42)
    assert fake.requests[0].headers["authorization"] == f"Bearer {token}"


# The environment


async def test_url_and_token_are_read_from_the_environment_if_they_are_omitted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEAMWORK_DESK_URL", "https://env.teamwork.com/desk/api/v2")
    monkeypatch.setenv("TEAMWORK_DESK_TOKEN", "from-the-environment")
    fake = FakeDesk(token="from-the-environment")
    async with AsyncDesk(transport=fake.transport) as desk:
        await desk.conversations.get(42)
    assert fake.requests[0].headers["host"] == "env.teamwork.com"


async def test_arguments_take_precedence_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEAMWORK_DESK_URL", "https://env.teamwork.com")
    monkeypatch.setenv("TEAMWORK_DESK_TOKEN", "from-the-environment")
    fake = FakeDesk(token=TOKEN)
    async with a_desk(transport=fake.transport) as desk:
        await desk.conversations.get(42)
    assert fake.requests[0].headers["host"] == "acme.teamwork.com"


@pytest.mark.parametrize(
    ("missing", "variable"), [("url", "TEAMWORK_DESK_URL"), ("token", "TEAMWORK_DESK_TOKEN")], ids=str
)
def test_an_error_names_the_missing_argument_and_its_environment_variable(missing: str, variable: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{missing}: .*{variable}"):
        a_desk(**{missing: None})


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("TEAMWORK_DESK_URL", "", "TEAMWORK_DESK_URL: "),
        ("TEAMWORK_DESK_URL", "acme", "TEAMWORK_DESK_URL: "),
        ("TEAMWORK_DESK_TOKEN", "", "TEAMWORK_DESK_TOKEN: "),
        ("TEAMWORK_DESK_TOKEN", "a-token\n", "TEAMWORK_DESK_TOKEN: "),
    ],
    ids=repr,
)
def test_values_from_the_environment_are_checked_like_arguments(
    variable: str, value: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEAMWORK_DESK_URL", URL)
    monkeypatch.setenv("TEAMWORK_DESK_TOKEN", TOKEN)
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError, match=f"^{message}"):
        AsyncDesk()


# The options

INVALID_SECONDS = [0, -1, -0.5, math.nan, math.inf, True, "30", 1j]
INVALID_OPTIONS: list[tuple[str, Any]] = [
    *(("timeout", value) for value in INVALID_SECONDS),
    *(("deadline", value) for value in INVALID_SECONDS),
    *(("retry", value) for value in [3, True, {"max_attempts": 3}, RetryPolicy]),
    *(("email_fallback", value) for value in ["sometimes", "Auto", "", True, 1]),
]


@pytest.mark.parametrize(("name", "value"), INVALID_OPTIONS)
def test_an_invalid_option_is_rejected_by_name(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"^{name}: "):
        a_desk(**{name: value})


@pytest.mark.parametrize("name", ["timeout", "deadline", "retry", "email_fallback"])
def test_none_is_not_a_valid_option(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{name}: "):
        a_desk(**{name: None})


@pytest.mark.parametrize(("name", "value"), INVALID_OPTIONS)
async def test_a_view_checks_its_options_like_the_client(name: str, value: Any) -> None:
    async with a_desk() as desk:
        with pytest.raises(ConfigurationError, match=f"^{name}: "):
            desk.with_options(**{name: value})


@pytest.mark.parametrize("transport", [None, FakeDesk().transport], ids=["own connections", "own transport"])
@pytest.mark.parametrize("name", ["verfy", "base_url", "auth", "headers", "cookies", "follow_redirects"])
def test_an_option_that_httpx_must_not_get_is_rejected_by_name(name: str, transport: Any) -> None:
    with pytest.raises(ConfigurationError, match=name):
        a_desk(transport=transport, **{name: False})


@pytest.mark.parametrize(
    ("given", "connect", "read"),
    [(5, 5.0, 5.0), (0.5, 0.5, 0.5), (httpx.Timeout(7, connect=2), 2.0, 7.0), (httpx.Timeout(None), None, None)],
    ids=str,
)
async def test_the_timeout_reaches_the_transport(given: Any, connect: float | None, read: float | None) -> None:
    seen: list[Any] = []

    def respond(request: httpx.Request) -> httpx.Response:
        seen.append(request.extensions["timeout"])
        return httpx.Response(200, json={"conversations": [{"id": 42}]})

    async with a_desk(timeout=given, transport=httpx.MockTransport(respond)) as desk:
        await desk.conversations.get(42)
    assert [(phases["connect"], phases["read"]) for phases in seen] == [(connect, read)]


async def test_event_hooks_are_called() -> None:
    seen: list[object] = []

    async def record_event(event: httpx.Request | httpx.Response) -> None:
        seen.append(type(event))

    async with a_desk(event_hooks={"request": [record_event], "response": [record_event]}) as desk:
        await desk.conversations.get(42)
    assert seen == [httpx.Request, httpx.Response]


# Views


async def test_a_view_has_its_own_settings_and_does_not_change_the_clients() -> None:
    fake = FakeDesk()
    async with a_desk(transport=fake.transport) as desk:
        view = desk.with_options(retry=RetryPolicy(max_attempts=3, backoff_base=0))
        for client, attempts in ((view, 3), (desk, 1)):
            fake.fail(status=500, times=attempts)
            with pytest.raises(ServerError) as caught:
                await client.conversations.get(42)
            assert caught.value.attempts == attempts


async def test_a_view_keeps_the_settings_that_it_does_not_change() -> None:
    fake = FakeDesk(old_installation=True)
    async with a_desk(transport=fake.transport, email_fallback="never", retry=ONCE) as desk:
        view = desk.with_options(timeout=5).with_options(deadline=3)
        with pytest.raises(ValidationError):
            await view.conversations.convert(42, customer="jo@example.com")
        fake.fail(status=503, headers={"Retry-After": "9"})
        with pytest.raises(DeadlineExceeded):
            await view.with_options(retry=RetryPolicy()).conversations.get(42)


async def test_a_view_shares_the_token() -> None:
    provided: list[str] = []

    def provider() -> str:
        provided.append(TOKEN)
        return TOKEN

    async with a_desk(token=provider) as desk:
        await desk.conversations.get(42)
        await desk.with_options(deadline=60).conversations.get(42)
    assert provided == [TOKEN]


async def test_a_view_shares_the_pacing() -> None:
    fake = FakeDesk(rate_limit=1)
    async with a_desk(transport=fake.transport, deadline=9) as desk:
        view = desk.with_options(email_fallback="never")
        assert desk.rate_limit is None
        await view.conversations.get(42)
        assert desk.rate_limit is not None
        assert desk.rate_limit is view.rate_limit
        with pytest.raises(DeadlineExceeded, match="rate limit"):
            await desk.conversations.get(42)
    assert len(fake.requests) == 1


@pytest.mark.parametrize("closes", ["client", "view"])
@pytest.mark.parametrize("transport", [None, FakeDesk().transport], ids=["own connections", "own transport"])
async def test_a_client_and_its_views_are_closed_together(transport: Any, closes: str) -> None:
    desk = a_desk(transport=transport)
    view = desk.with_options(deadline=60)
    await (desk if closes == "client" else view).aclose()
    for client in (desk, view):
        with pytest.raises(ConfigurationError, match="closed"):
            await client.conversations.get(42)


async def test_a_view_has_the_class_of_its_client() -> None:
    class OurDesk(AsyncDesk):
        pass

    async with OurDesk(URL, token=TOKEN) as desk:
        assert type(desk.with_options(deadline=60)) is OurDesk


# Opening and closing


async def test_entering_returns_the_client_and_leaving_closes_it() -> None:
    desk = a_desk()
    async with desk as entered:
        assert entered is desk
        await desk.conversations.get(42)
    with pytest.raises(ConfigurationError, match="closed"):
        await desk.conversations.get(42)


async def test_a_plain_with_is_refused_with_words_that_help() -> None:
    async with a_desk() as desk:
        plain: Any = desk
        with pytest.raises(TypeError, match=r"use `async with`.*docs/pages/sync\.md"), plain:
            raise AssertionError


async def test_leaving_with_an_error_closes_the_client_and_raises_the_error() -> None:
    desk = a_desk()
    with pytest.raises(ZeroDivisionError):
        async with desk:
            raise ZeroDivisionError
    with pytest.raises(ConfigurationError, match="closed"):
        await desk.conversations.get(42)


@pytest.mark.parametrize("transport", [None, FakeDesk().transport], ids=["own connections", "own transport"])
async def test_a_closed_client_sends_nothing_and_may_be_closed_again(transport: Any) -> None:
    desk = a_desk(transport=transport)
    await desk.aclose()
    await desk.aclose()
    with pytest.raises(ConfigurationError, match="closed") as caught:
        await desk.conversations.convert(42)
    assert (caught.value.attempts, caught.value.maybe_applied, caught.value.conversation_id) == (0, False, 42)


def resource_warnings_of(drop: Callable[[], object]) -> list[str]:
    """Return the messages of the ResourceWarnings that appear when `drop` drops the last reference to a client."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        drop()
        gc.collect()
    return [str(warning.message) for warning in caught if warning.category is ResourceWarning]


@pytest.mark.parametrize("transport", [None, FakeDesk().transport], ids=["own connections", "own transport"])
def test_a_client_that_is_never_closed_warns_when_it_is_garbage_collected(transport: Any) -> None:
    assert resource_warnings_of(lambda: a_desk(transport=transport)) == [f"unclosed AsyncDesk({URL!r})"]


async def test_a_closed_client_is_garbage_collected_without_a_warning() -> None:
    desks = [a_desk()]
    await desks[0].aclose()
    assert resource_warnings_of(desks.clear) == []


async def test_a_view_is_garbage_collected_without_a_warning() -> None:
    async with a_desk() as desk:
        assert resource_warnings_of(lambda: desk.with_options(deadline=60)) == []


def test_a_view_that_outlives_its_client_keeps_the_connections_and_warns_itself() -> None:
    views: list[AsyncDesk] = []
    assert resource_warnings_of(lambda: views.append(a_desk().with_options(deadline=60))) == []
    assert resource_warnings_of(views.clear) == [f"unclosed AsyncDesk({URL!r})"]


def test_a_client_with_a_rejected_option_is_garbage_collected_without_a_warning() -> None:
    def build_with_an_invalid_option() -> None:
        with pytest.raises(ConfigurationError):
            a_desk(deadline=0)

    assert resource_warnings_of(build_with_an_invalid_option) == []


@pytest.mark.parametrize("duplicate", [pickle.dumps, copy.copy, copy.deepcopy])
async def test_a_client_cannot_be_pickled_or_copied(duplicate: Callable[[object], object]) -> None:
    async with a_desk() as desk:
        for client in (desk, desk.with_options(deadline=60)):
            with pytest.raises(TypeError, match="AsyncDesk"):
                duplicate(client)


async def test_the_repr_shows_only_the_origin() -> None:
    async with a_desk() as desk:
        assert repr(desk) == str(desk) == f"AsyncDesk({URL!r})"


# The requests


async def test_a_convert_request_is_as_the_contract_describes_it() -> None:
    fake = FakeDesk()
    async with a_desk(transport=fake.transport) as desk:
        await desk.conversations.convert(
            42, subject="Rückzahlung", customer="jo@example.com", inbox=7, tags=["billing"], notify_customer=False
        )
    (request,) = fake.requests
    body = {
        "customer": {"email": "jo@example.com"},
        "inbox": {"id": 7},
        "notifyCustomer": False,
        "subject": "Rückzahlung",
        "tags": ["billing"],
    }
    assert (request.method, request.path, request.query) == ("POST", "/desk/api/v2/conversations/42/convert.json", {})
    assert request.json == body
    assert dict(request.headers) == {
        "host": "acme.teamwork.com",
        "accept": "application/json",
        "accept-encoding": request.headers["accept-encoding"],
        "user-agent": f"teamwork-desk/{version('teamwork-desk')}",
        "content-type": "application/json",
        "content-length": str(len(json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode())),
        "authorization": f"Bearer {TOKEN}",
    }


async def test_a_listing_request_has_no_body() -> None:
    fake = FakeDesk()
    async with a_desk(transport=fake.transport) as desk:
        await desk.conversations.get(42)
    (request,) = fake.requests
    assert (request.method, request.path) == ("GET", "/desk/api/v2/conversations.json")
    assert request.query == {"filter": '{"id":{"$eq":42}}'}
    assert dict(request.headers) == {
        "host": "acme.teamwork.com",
        "accept": "application/json",
        "accept-encoding": request.headers["accept-encoding"],
        "user-agent": f"teamwork-desk/{version('teamwork-desk')}",
        "authorization": f"Bearer {TOKEN}",
    }


@pytest.mark.parametrize("cookie", ["session=1", "session=1; Domain=acme.teamwork.com; Path=/", "session=1; Secure"])
async def test_a_cookie_is_never_sent_back(cookie: str) -> None:
    fake = FakeDesk()
    fake.fail(status=503, headers={"Set-Cookie": cookie, "Retry-After": "0"})
    async with a_desk(transport=fake.transport, retry=RetryPolicy(backoff_base=0)) as desk:
        await desk.conversations.get(42)
    assert [request.headers.get("cookie") for request in fake.requests] == [None, None]


async def test_a_redirect_is_not_followed() -> None:
    fake = FakeDesk()
    fake.fail(status=307, headers={"Location": "https://elsewhere.example.com/"})
    async with a_desk(transport=fake.transport, retry=RetryPolicy(settle=())) as desk:
        with pytest.raises(StatusError, match=" 307: "):
            await desk.conversations.convert(42)
    assert [(request.method, request.headers["host"]) for request in fake.requests] == [
        ("POST", "acme.teamwork.com"),
        ("GET", "acme.teamwork.com"),
    ]


# The page of a ticket


async def test_the_address_of_a_ticket_is_that_of_its_page() -> None:
    async with AsyncDesk("https://acme.teamwork.com/desk/api/v2", token="t") as desk:
        assert desk.ticket_url(1_000_001) == "https://acme.teamwork.com/desk/tickets/1000001"


@pytest.mark.parametrize("ticket_id", [0, -1, True, None, "7", 7.0, 2**64])
async def test_only_the_id_of_a_ticket_has_an_address(ticket_id: Any) -> None:
    async with AsyncDesk("https://acme.teamwork.com", token="t") as desk:
        with pytest.raises(RequestError, match="ticket_id: expected a positive int"):
            desk.ticket_url(ticket_id)
