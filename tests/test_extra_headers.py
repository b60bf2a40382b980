"""`AsyncDesk(headers=...)`: headers for a gateway in front of Desk, which may be secrets."""

from __future__ import annotations

import enum
import logging
import traceback
from typing import Any

import httpx
import pytest

from teamwork_desk import AsyncDesk, ConfigurationError, NotFoundError, PermissionDeniedError, RetryPolicy
from teamwork_desk.testing import FakeDesk

SECRET = "s3cret-of-the-gateway"
HEADERS = {"CF-Access-Client-Id": "id.access", "CF-Access-Client-Secret": SECRET}


class Value(str, enum.Enum):  # noqa: UP042 - an older form, whose str() is not its value
    REGION = "eu"


def a_desk(fake: FakeDesk, headers: Any = HEADERS, **options: Any) -> AsyncDesk:
    defaults: dict[str, Any] = {"token": "t", "transport": fake.transport, "retry": RetryPolicy(max_attempts=1)}
    return AsyncDesk("https://acme.teamwork.com", headers=headers, **defaults | options)


async def test_every_request_to_desk_has_them_and_the_host_of_an_upload_does_not() -> None:
    fake, seen = FakeDesk(), list[tuple[str, str | None]]()

    async def look(request: httpx.Request) -> None:
        seen.append((request.url.host, request.headers.get("cf-access-client-secret")))

    async with a_desk(fake, event_hooks={"request": [look]}) as desk:
        await desk.with_options(deadline=60).conversations.convert(1)
        await desk.inboxes.find("Support")
        await desk.files.upload(b"content", filename="a.txt")
    assert {host for host, _ in seen} == {"acme.teamwork.com", "uploads.example.net"}
    assert all(value == (SECRET if host == "acme.teamwork.com" else None) for host, value in seen)


@pytest.mark.parametrize(
    ("headers", "sent"),
    [
        ({"X-Region": Value.REGION}, "eu"),
        ({"x-region": "a value, with spaces"}, "a value, with spaces"),
        (httpx.Headers({"X-Region": "eu"}), "eu"),
        ({}, None),
        (None, None),
    ],
)
async def test_a_mapping_of_texts_is_accepted(headers: Any, sent: str | None) -> None:
    fake = FakeDesk()
    async with a_desk(fake, headers) as desk:
        await desk.conversations.convert(1, verify_first=False)
    assert fake.requests[0].headers.get("x-region") == sent


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ([("X-Region", "eu")], "headers: expected a mapping of names to values, got list"),
        ("X-Region: eu", "headers: expected a mapping of names to values, got str"),
        ({"X Region": "eu"}, "headers: expected names of letters, digits and hyphens"),
        ({"": "eu"}, "headers: expected names of letters, digits and hyphens"),
        ({7: "eu"}, "headers: expected names of letters, digits and hyphens"),
        ({b"X-Region": "eu"}, "headers: expected names of letters, digits and hyphens"),
        *(
            ({"X-Key": value}, "headers: the value of X-Key must be a non-empty str of visible ASCII")
            for value in (f"{SECRET}\r\nX-Other: 1", f"{SECRET}\n", f" {SECRET}", f"ü{SECRET}", "", 7, None, b"eu")
        ),
        *(
            ({name: "x"}, f"headers: AsyncDesk sets {name.title()} itself")
            for name in ("Authorization", "authorization", "ACCEPT", "Content-Type", "content-length", "Host")
        ),
        *(({name: "x"}, f"headers: AsyncDesk sets {name} itself") for name in ("User-Agent", "Transfer-Encoding")),
    ],
)
def test_what_is_invalid_is_refused_without_a_value(headers: Any, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        a_desk(FakeDesk(), headers)
    assert str(caught.value) == message
    assert SECRET not in "".join(traceback.TracebackException.from_exception(caught.value).format())
    assert caught.value.__context__ is None


async def test_no_repr_log_or_error_shows_a_value(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    fake = FakeDesk()
    async with a_desk(fake) as desk:
        fake.fail(status=403, body=f"denied: {SECRET}".encode(), headers={"X-Quoted": SECRET})
        with pytest.raises(PermissionDeniedError) as denied:
            await desk.conversations.get(1)
        with pytest.raises(NotFoundError):
            await desk.conversations.get(404_404)
        shown = [caplog.text, repr(desk), repr(vars(desk)), repr(vars(denied.value)), str(denied.value.body)]
    found = traceback.TracebackException.from_exception(denied.value, capture_locals=True)
    shown += [str(frame.locals) for frame in found.stack if frame.filename != __file__]
    assert not any(SECRET in text for text in shown)
    assert denied.value.body == b"denied: [token]"
