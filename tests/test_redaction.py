"""No token, no address and no message text appears in a log, a repr, the text of an error, a traceback or a pickle.

Every secret here holds the word `s3cret`, so that one search finds them all.
"""

from __future__ import annotations

import asyncio
import copy
import inspect
import json
import logging
import pickle
import socket
import ssl
import threading
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import anyio
import httpx
import pytest
from httpx_aiohttp import AiohttpTransport
from raw_server import PATIENCE, RawServer, http, hung_up, read_head, read_request
from virtual_time import in_time_that_leaps, in_virtual_time, leaping

from teamwork_desk import (
    AsyncDesk,
    AuthenticationError,
    ConfigurationError,
    ConflictError,
    Contact,
    CustomerRef,
    CustomField,
    CustomFieldMeta,
    DeadlineExceeded,
    DeskError,
    NotSentError,
    OutcomeUnknownError,
    PermissionDeniedError,
    RateLimitedError,
    RequestError,
    ResponseDecodeError,
    RetryPolicy,
    ServerError,
    StatusError,
    TransportError,
    ValidationError,
)
from teamwork_desk._auth import BearerAuth, check_token
from teamwork_desk._call import Call
from teamwork_desk._checks import unknown_names
from teamwork_desk._conversations import Conversations
from teamwork_desk._errors import causes
from teamwork_desk._redaction import scrub
from teamwork_desk._scope import Scope
from teamwork_desk._wire import decode_json, encode_json
from teamwork_desk.testing import FakeDesk
from teamwork_desk_api.api.conversations.convert_conversation import convert_conversation
from teamwork_desk_api.api.conversations.list_conversations import list_conversations
from teamwork_desk_api.models import ConvertConversation
from teamwork_desk_api.types import DecodeError

SECRET = "s3cret"
TOKEN = f"tkn-{SECRET}"
ADDRESS = f"jo.{SECRET}@example.com"
ARGUMENTS: dict[str, Any] = {
    "bcc": [f"bcc.{ADDRESS}"],
    "cc": [f"cc.{ADDRESS}"],
    "customer": ADDRESS,
    "customfields": {7: f"a {SECRET} value"},
    "message": f"a {SECRET} message",
    "send_from": f"from.{ADDRESS}",
    "subject": f"a {SECRET} subject",
}
# With a scheduled email, the absence of a ticket proves nothing, so that several errors cannot occur.
SCHEDULED: dict[str, Any] = {**ARGUMENTS, "scheduled_email": {"to": ADDRESS}}
NO_PAUSES = RetryPolicy(max_attempts=2, backoff_base=0, settle=(0,))
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def a_desk(fake: FakeDesk, **options: Any) -> AsyncDesk:
    defaults: dict[str, Any] = {"token": TOKEN, "transport": fake.transport, "retry": NO_PAUSES, "verify_first": False}
    return AsyncDesk("https://acme.teamwork.com", **defaults | options)


# The search


def reachable(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and everything that led to it, including what `from None` hides."""
    found: list[BaseException] = [error]
    for current in found:
        yield current
        members: tuple[BaseException, ...] = getattr(current, "exceptions", ())
        others = (current.__cause__, current.__context__, *members)
        found += [other for other in others if other and not any(other is known for known in found)]


def held_by(value: object, seen: dict[int, object]) -> Iterator[str]:
    """Yield every text that an object holds in its attributes, slots and containers, at any depth."""
    if id(value) in seen or isinstance(value, (type, int, float, type(None))):
        return
    seen[id(value)] = value
    if isinstance(value, (str, bytes, bytearray)):
        yield value if isinstance(value, str) else bytes(value).decode("latin-1")
        return
    if isinstance(value, Mapping):
        parts = [part for entry in cast("Mapping[object, object]", value).items() for part in entry]
    elif isinstance(value, (list, tuple, set, frozenset)):
        parts = list(cast("list[object]", value))
    else:
        slots = [slot for kind in type(value).__mro__ for slot in vars(kind).get("__slots__", ())]
        parts = [getattr(value, name, None) for name in [*slots, "__dict__"]]
    for part in parts:
        yield from held_by(part, seen)


def shown_by(error: BaseException) -> Iterator[tuple[str, str]]:
    """Yield each text that an error shows if it is printed, formatted, pickled or walked, with its place."""
    yield "traceback", "".join(traceback.format_exception(error))
    for current in reachable(error):
        name = type(current).__name__
        yield f"str of {name}", str(current)
        yield f"repr of {name}", repr(current)
        # Only these attributes keep what a response said, and they do so on purpose.
        state = {key: value for key, value in vars(current).items() if key not in ("body", "detail", "errors", "title")}
        yield f"attributes of {name}", "\n".join(held_by([current.args, state], {}))
        for frame in traceback.StackSummary.extract(traceback.walk_tb(current.__traceback__), capture_locals=True):
            # The frames of the caller hold the caller's own arguments, so they are skipped. So does the frame of
            # convert until it has made a request from its arguments.
            is_rejected = isinstance(current, RequestError) and frame.name == Conversations.convert.__name__
            if frame.filename != __file__ and not is_rejected:
                yield f"locals of {frame.name} under {name}", str(frame.locals)
    if isinstance(error, DeskError):
        twin = copy.copy(error)
        if isinstance(twin, StatusError):
            twin.body, twin.errors, twin.title, twin.detail = b"", {}, None, None
        yield "pickle", pickle.dumps(twin).decode("latin-1")


def logged(caplog: pytest.LogCaptureFixture) -> Iterator[tuple[str, str]]:
    """Yield the message and the arguments of every log record."""
    for record in caplog.records:
        yield f"log of {record.name}", record.getMessage()
        yield f"arguments of a log of {record.name}", repr(record.args)


def leaks(*shown: Iterator[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(place, text) for texts in shown for place, text in texts if SECRET in text]


@pytest.fixture(autouse=True)
def log_everything(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)


def fail_with_a_secret_in(place: str) -> None:
    header = f"Bearer {TOKEN}" if place == "local" else ""
    error = httpx.ReadError(TOKEN if place == "message" else f"{len(header)} letters")
    if place == "request":
        error.request = httpx.Request("GET", "https://acme.teamwork.com", headers={"Authorization": f"Bearer {TOKEN}"})
    if place == "body":
        error.request = httpx.Request("POST", "https://acme.teamwork.com", json={"email": ADDRESS})
    if place == "context":
        error.__context__ = ValueError({"email": [ADDRESS]})
    if place == "note":
        error.add_note(TOKEN)
    raise error


@pytest.mark.parametrize("place", ["message", "request", "body", "context", "note", "local"])
def test_the_search_finds_a_secret_in_every_place(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(httpx.ReadError) as raised:
        fail_with_a_secret_in(place)
    monkeypatch.setitem(globals(), "__file__", "elsewhere")
    assert leaks(shown_by(raised.value))


# Successful calls


async def test_a_conversion_shows_nothing(caplog: pytest.LogCaptureFixture) -> None:
    fake = FakeDesk(token=TOKEN, old_installation=True)
    fake.add_conversation(42, token=SECRET, socket_id=SECRET, contact={"id": 1, "type": "email", "value": ADDRESS})
    async with a_desk(fake) as desk:
        conversation = await desk.conversations.convert(42, **SCHEDULED)
        listed = [await desk.conversations.get(42)] + [found async for found in desk.conversations.list()]
        assert SECRET not in repr([desk, desk.conversations, desk.with_options(deadline=9), conversation, listed])
        assert SECRET not in f"{desk} {conversation}"
    assert SECRET not in repr([fake, fake.requests, fake.tickets])
    assert leaks(logged(caplog)) == []


PERSONAL: dict[str, Any] = {
    **SCHEDULED,
    "customer": CustomerRef(email=ADDRESS),
    "customfields": [CustomField(id=7, meta=CustomFieldMeta(value=SECRET))],
    "email": ADDRESS,
}
BODY = ConvertConversation(**PERSONAL)


@pytest.mark.parametrize(
    "value",
    [
        CustomerRef(email=ADDRESS),
        CustomerRef(id=7, additional_properties={"phone": SECRET}),
        CustomField(id=7, meta=CustomFieldMeta(value=SECRET)),
        Contact(value=ADDRESS),
        BODY,
        convert_conversation(42, body=BODY),
        list_conversations(filter=ADDRESS),
        BearerAuth(TOKEN),
        check_token(TOKEN),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_that_holds_a_secret_does_not_show_it(value: object) -> None:
    assert SECRET in "\n".join(held_by(value, {})), "the value must hold the secret"
    assert SECRET not in f"{value!r} {value}"


async def test_what_the_contract_does_not_expect_in_a_response_is_logged_without_its_values(
    caplog: pytest.LogCaptureFixture,
) -> None:
    fake = FakeDesk()
    odd = {
        "id": 42,
        "state": {SECRET: ADDRESS},
        "createdAt": ADDRESS,
        "users": [ADDRESS],
        "contact": ADDRESS,
        "x": SECRET,
        "ticket_id": 7,
    }
    fake.fail(status=200, body=odd)
    async with a_desk(fake) as desk:
        assert SECRET not in repr(await desk.conversations.convert(42))
    assert len([record for record in caplog.records if record.name == "teamwork_desk.drift"]) == 4
    assert leaks(logged(caplog)) == []


# Error responses of Desk and of gateways


def fault(**fault: Any) -> Callable[[FakeDesk], None]:
    def inject(fake: FakeDesk) -> None:
        fake.fail(**fault)

    return inject


def lose_response(when: Any, *then: Callable[[FakeDesk], None], times: int = 1) -> Callable[[FakeDesk], None]:
    def inject(fake: FakeDesk) -> None:
        fake.lose_answer(when, method="POST", times=times)
        for inject_next in then:
            inject_next(fake)

    return inject


QUOTED = json.dumps({"message": ARGUMENTS["message"], "email": ADDRESS, "token": TOKEN})
REASONS = {"customer.email": [f"cannot be '{ADDRESS}'"], "cc[0]": [f"cc.{ADDRESS} bounced"]}

RESPONSES: dict[str, tuple[Callable[[FakeDesk], None], type[DeskError]]] = {
    "400 with reasons that quote values": (fault(status=400, body={"errors": REASONS}), ValidationError),
    "400 with objects that quote values": (
        fault(status=400, body={"errors": [{"detail": f"{ADDRESS} bounced", "source": "cc", "title": ADDRESS}]}),
        ValidationError,
    ),
    "409 with an object that quotes a value": (
        fault(status=409, body={"errors": {"detail": f"cannot be \u2018{SECRET}\u2019", "code": "E1"}}),
        ConflictError,
    ),
    "400 without reasons": (fault(status=400, body=QUOTED), ValidationError),
    "401": (fault(status=401, body=QUOTED), AuthenticationError),
    "403": (fault(status=403, body=QUOTED), PermissionDeniedError),
    "429": (fault(status=429, body=QUOTED, headers={"Retry-After": "300"}), RateLimitedError),
    "429 with a pause that exceeds the deadline": (
        fault(status=429, body=QUOTED, headers={"Retry-After": "99"}),
        DeadlineExceeded,
    ),
    "500 until the last attempt": (fault(status=500, body=QUOTED, times=2, method="POST"), ServerError),
    "504": (fault(status=504, body=QUOTED), OutcomeUnknownError),
    "success that is not JSON": (fault(status=200, body=f"<p>{QUOTED}"), ResponseDecodeError),
    "success that is cut off": (fault(status=200, body=QUOTED[:-1]), ResponseDecodeError),
    "success that is a list": (fault(status=200, body=f"[{QUOTED}]"), ResponseDecodeError),
    "success without an id": (fault(status=200, body=QUOTED), ResponseDecodeError),
    "success with another id": (fault(status=200, body={"id": ADDRESS}), ResponseDecodeError),
    "success that is not gzip": (
        fault(status=200, body=QUOTED, headers={"Content-Encoding": "gzip"}),
        ResponseDecodeError,
    ),
    "every response is lost": (lose_response("before", times=2), TransportError),
    "lost response, rejected lookup": (lose_response("after", fault(status=403, body=QUOTED)), OutcomeUnknownError),
    "lost response, lookup that is not JSON": (
        lose_response("after", fault(status=200, body=QUOTED[1:])),
        OutcomeUnknownError,
    ),
    "lost response, lookup with another type of id": (
        lose_response("after", fault(status=200, body={"conversations": [{"id": 42, "ticket_id": ADDRESS}]})),
        OutcomeUnknownError,
    ),
}


@pytest.mark.parametrize(("inject", "kind"), RESPONSES.values(), ids=RESPONSES)
async def test_a_response_shows_nothing(
    inject: Callable[[FakeDesk], None], kind: type[DeskError], caplog: pytest.LogCaptureFixture
) -> None:
    fake = FakeDesk()
    inject(fake)
    async with a_desk(fake, deadline=60) as desk:
        with pytest.raises(DeskError) as raised:
            await desk.conversations.convert(42, **ARGUMENTS)
    assert type(raised.value) is kind
    assert leaks(shown_by(raised.value), logged(caplog)) == []


# Connections


def responding(response: bytes) -> Callable[[socket.socket], None]:
    """Respond with bytes in which `ECHO` stands for the received request, on one line."""

    def serve(connection: socket.socket) -> None:
        request = read_request(connection)
        lines = [*request.head.splitlines(), request.body.decode()]
        connection.sendall(response.replace(b"ECHO", " ".join(lines).encode()))

    return serve


async def error_over_a_connection(response: bytes) -> DeskError:
    with RawServer(responding(response)) as server:
        async with AsyncDesk(
            server.url, token=TOKEN, retry=NO_PAUSES, verify=NO_TLS, trust_env=False, verify_first=False
        ) as desk:
            with pytest.raises(DeskError) as raised:
                await desk.conversations.convert(42, **ARGUMENTS)
    return raised.value


@pytest.mark.parametrize(
    ("response", "kind"),
    [
        (b"", OutcomeUnknownError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\nECHO", ResponseDecodeError),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nECHO", ResponseDecodeError),
        (b"HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\nECHO", PermissionDeniedError),
    ],
    ids=["no response", "half a body", "not JSON", "an error"],
)
async def test_a_response_over_a_connection_shows_nothing(
    response: bytes, kind: type[DeskError], caplog: pytest.LogCaptureFixture
) -> None:
    error = await error_over_a_connection(response)
    assert type(error) is kind
    assert any(record.name.startswith("httpcore") for record in caplog.records)
    assert leaks(shown_by(error), logged(caplog)) == []


@pytest.mark.parametrize(
    "response",
    [
        b"ECHO\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nECHO\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: ECHO\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nECHO\r\n",
    ],
    ids=["in the status line", "in a header", "in the length", "in a chunk size"],
)
async def test_bytes_that_are_not_http_and_echo_the_request_show_nothing(
    response: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    error = await error_over_a_connection(response)
    assert "RemoteProtocolError" in str(error)
    # The debug log of httpcore quotes the bytes, and the client cannot change that.
    ours = (entry for entry in logged(caplog) if "httpcore" not in entry[0])
    assert leaks(shown_by(error), ours) == []


async def do_nothing(request: httpx.Request) -> None:
    """An event hook that does nothing. With any hook, the requests go through a whole httpx client."""


@pytest.mark.parametrize(
    ("hooks", "loggers"),
    [({}, {"teamwork_desk", "httpcore"}), ({"request": [do_nothing]}, {"teamwork_desk", "httpcore", "httpx"})],
    ids=["a transport", "a client"],
)
async def test_a_conversion_over_a_connection_shows_nothing(
    hooks: dict[str, Any], loggers: set[str], caplog: pytest.LogCaptureFixture
) -> None:
    response = http(200, json.dumps({"id": 42, "ticket_id": 7, "token": SECRET}).encode())
    with RawServer(responding(response)) as server:
        async with AsyncDesk(
            server.url, token=TOKEN, verify=NO_TLS, trust_env=False, event_hooks=hooks, verify_first=False
        ) as desk:
            await desk.conversations.convert(42, **ARGUMENTS)
    assert {record.name.partition(".")[0] for record in caplog.records} >= loggers
    assert leaks(logged(caplog)) == []


async def test_a_refused_connection_shows_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as taken:
        # The socket does not listen, so that a connection is refused, and no other process can take the port.
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        async with AsyncDesk(
            url, token=TOKEN, retry=NO_PAUSES, verify=NO_TLS, trust_env=False, verify_first=False
        ) as desk:
            with pytest.raises(NotSentError) as raised:
                await desk.conversations.convert(42, **ARGUMENTS)
    assert leaks(shown_by(raised.value), logged(caplog)) == []


class Hanging(httpx.AsyncBaseTransport):
    """Reads a request and never responds."""

    def __init__(self) -> None:
        self.reached = anyio.Event()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        async for _ in cast("AsyncIterator[bytes]", request.stream):
            pass
        self.reached.set()
        await anyio.sleep_forever()
        raise AssertionError


@in_virtual_time
async def test_a_deadline_shows_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async with a_desk(FakeDesk(), transport=Hanging(), deadline=0.05) as desk:
        with pytest.raises(OutcomeUnknownError) as raised:
            await desk.conversations.convert(42, **ARGUMENTS)
    assert leaks(shown_by(raised.value), logged(caplog)) == []


@in_time_that_leaps
async def test_a_deadline_while_the_request_is_sent_shows_nothing(caplog: pytest.LogCaptureFixture) -> None:
    reached = threading.Event()

    def serve(connection: socket.socket) -> None:
        read_head(connection)
        connection.recv(1)
        reached.set()
        deadline_passed.wait(PATIENCE)

    deadline_passed = threading.Event()
    with RawServer(serve) as silent:
        async with (
            AsyncDesk(silent.url, token=TOKEN, retry=NO_PAUSES, deadline=10, verify_first=False) as desk,
            leaping(10, when=reached.is_set),
        ):
            with pytest.raises(OutcomeUnknownError) as raised:
                await desk.conversations.convert(42, message=SECRET * 2**20)
            deadline_passed.set()
    assert leaks(shown_by(raised.value), logged(caplog)) == []


async def test_a_cancelled_call_shows_nothing(caplog: pytest.LogCaptureFixture) -> None:
    transport, caught = Hanging(), list[BaseException]()

    async def call(desk: AsyncDesk) -> None:
        try:
            await desk.conversations.convert(42, **ARGUMENTS)
        except BaseException as error:
            caught.append(error)
            raise

    async with a_desk(FakeDesk(), transport=transport) as desk, anyio.create_task_group() as calls:
        calls.start_soon(call, desk)
        await transport.reached.wait()
        calls.cancel_scope.cancel()
    (cancelled,) = caught
    assert any(record.levelno == logging.WARNING and "42" in record.getMessage() for record in caplog.records)
    assert leaks(shown_by(cancelled), logged(caplog)) == []


# Cancellations, over every kind of connection


async def cancel_with_wait_for(call: Coroutine[Any, Any, object], reached: threading.Event) -> None:
    await asyncio.wait_for(call, 0.3)


async def cancel_a_task(call: Coroutine[Any, Any, object], reached: threading.Event) -> None:
    task = asyncio.ensure_future(call)
    await anyio.to_thread.run_sync(reached.wait)
    task.cancel()
    await task


async def fail_next_to_it(call: Coroutine[Any, Any, object], reached: threading.Event) -> None:
    async def await_call() -> None:
        await call

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(await_call)
        await anyio.to_thread.run_sync(reached.wait)
        raise ValueError("another task failed")


async def cancel_a_scope(call: Coroutine[Any, Any, object], reached: threading.Event) -> None:
    async def cancel_when_reached(scope: anyio.CancelScope) -> None:
        await anyio.to_thread.run_sync(reached.wait)
        scope.cancel()

    caught = list[BaseException]()
    async with anyio.create_task_group() as tasks:
        with anyio.CancelScope() as scope:
            tasks.start_soon(cancel_when_reached, scope)
            try:
                await call
            except BaseException as error:
                caught.append(error)
                raise
    raise RuntimeError("the scope was cancelled") from caught[0]


CONNECTIONS: dict[str, Callable[[str], dict[str, Any]]] = {
    "httpx": lambda url: {},
    "a client": lambda url: {"event_hooks": {"request": [do_nothing]}},
    "a client with mounts": lambda url: {"mounts": {"all://": httpx.AsyncHTTPTransport(verify=NO_TLS)}},
    "a proxy": lambda url: {"proxy": url},
    "aiohttp": lambda url: {"transport": AiohttpTransport(verify=NO_TLS)},
    "aiohttp in a client": lambda url: {
        "transport": AiohttpTransport(verify=NO_TLS),
        "event_hooks": {"request": [do_nothing]},
    },
}
ON_ASYNCIO_ONLY = (cancel_with_wait_for, cancel_a_task)


@pytest.mark.parametrize("answers", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"], ids=["silent", "half"])
@pytest.mark.parametrize("options", CONNECTIONS.values(), ids=CONNECTIONS)
@pytest.mark.parametrize("interrupt", [cancel_with_wait_for, cancel_a_task, fail_next_to_it, cancel_a_scope])
async def test_a_cancellation_shows_nothing_over_any_connection(
    interrupt: Callable[[Coroutine[Any, Any, object], threading.Event], Awaitable[None]],
    options: Callable[[str], dict[str, Any]],
    answers: bytes,
    anyio_backend_name: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    reached = threading.Event()

    def serve(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(answers)
        reached.set()
        hung_up(connection, within=20)

    with RawServer(serve) as server:
        chosen = options(server.url)
        if anyio_backend_name == "trio" and (interrupt in ON_ASYNCIO_ONLY or "transport" in chosen):
            pytest.skip("only asyncio has this")
        async with AsyncDesk(server.url, token=TOKEN, verify=NO_TLS, trust_env=False, **chosen) as desk:
            with pytest.raises(BaseException) as raised:  # noqa: PT011 - each way of cancelling raises its own class
                await interrupt(desk.conversations.convert(42, **ARGUMENTS), reached)
    assert leaks(shown_by(raised.value), logged(caplog)) == []


async def fail_as_httpx_does(request: httpx.Request) -> None:
    raise httpx.RequestError("a hook failed", request=request)


async def fail_for_a_status(request: httpx.Request) -> None:
    httpx.Response(500, request=request).raise_for_status()


async def fail_in_a_task(request: httpx.Request) -> None:
    async def fail(header: str) -> None:
        raise ValueError(f"{len(header)} letters")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(fail, request.headers["Authorization"])


async def fail_in_circles(request: httpx.Request) -> None:
    error = ValueError(f"{len(request.headers)} headers")
    raise error from error


@pytest.mark.parametrize("place", ["request", "response"])
@pytest.mark.parametrize("fail", [fail_as_httpx_does, fail_for_a_status, fail_in_a_task, fail_in_circles])
async def test_an_event_hook_that_fails_shows_nothing_of_the_request(
    fail: Callable[[httpx.Request], Awaitable[None]],
    place: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def broken(event: httpx.Request | httpx.Response) -> None:
        await fail(event if isinstance(event, httpx.Request) else event.request)

    async with a_desk(FakeDesk(), event_hooks={place: [broken]}) as desk:
        with pytest.raises(DeskError) as raised:
            await desk.conversations.convert(42, **ARGUMENTS)
    # Drop the caller's own frames, and search the frames of the hook, which are in this file: they hold the request.
    raised.value.__traceback__ = None
    monkeypatch.setitem(globals(), "__file__", "elsewhere")
    assert leaks(shown_by(raised.value), logged(caplog)) == []


# Invalid values from the caller


class Unspeakable:
    """Has no JSON form, and its repr holds a secret."""

    def __repr__(self) -> str:
        return SECRET


INVALID_ARGUMENTS: dict[str, dict[str, Any]] = {
    "another type next to secrets": {"notify_customer": SECRET},
    "a text for a reference": {"inbox": ADDRESS},
    "an address for a list": {"cc": ADDRESS},
    "a customer as a dict": {"customer": {"email": ADDRESS}},
    "two customers": {"customer": CustomerRef(id=7, email=ADDRESS)},
    "bytes": {"message": SECRET.encode()},
    "broken text": {"message": f"{SECRET} \ud800"},
    "no JSON form": {"customfields": {7: Unspeakable()}},
    "a number that is not finite": {"customfields": {7: [SECRET, float("nan")]}},
    "a custom field by its name": {"customfields": {SECRET: 1613}},
    "a key that is not a text": {"scheduled_email": {(SECRET,): 1}},
}


@pytest.mark.parametrize("arguments", INVALID_ARGUMENTS.values(), ids=INVALID_ARGUMENTS)
async def test_a_rejected_argument_shows_nothing(arguments: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    async with a_desk(FakeDesk()) as desk:
        with pytest.raises(RequestError) as raised:
            await desk.conversations.convert(42, **ARGUMENTS | arguments)
    assert leaks(shown_by(raised.value), logged(caplog)) == []


async def test_an_invalid_id_shows_nothing() -> None:
    async with a_desk(FakeDesk()) as desk:
        with pytest.raises(RequestError) as raised:
            await desk.conversations.convert(cast("int", ADDRESS))
    assert SECRET not in "".join(traceback.format_exception(raised.value))


async def test_a_fresh_token_that_is_rejected_shows_nothing(caplog: pytest.LogCaptureFixture) -> None:
    tokens = iter([f"{TOKEN}-1", f"{TOKEN}-2"])
    async with a_desk(FakeDesk(token="another"), token=lambda: next(tokens)) as desk:
        with pytest.raises(AuthenticationError) as raised:
            await desk.conversations.convert(42, **ARGUMENTS)
    assert leaks(shown_by(raised.value), logged(caplog)) == []


@pytest.mark.parametrize("invalid", [f"two {SECRET}", f"{SECRET}\n", SECRET.encode(), [SECRET]], ids=repr)
async def test_an_invalid_token_shows_nothing(invalid: Any, caplog: pytest.LogCaptureFixture) -> None:
    async with a_desk(FakeDesk(), token=lambda: invalid) as desk:
        with pytest.raises(DeskError) as raised:
            await desk.conversations.convert(42, **ARGUMENTS)
    assert leaks(shown_by(raised.value), logged(caplog)) == []


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("TEAMWORK_DESK_TOKEN", f"{TOKEN}\n"),
        ("TEAMWORK_DESK_URL", f"https://jo:{SECRET}@acme.teamwork.com"),
        ("TEAMWORK_DESK_URL", f"https://jo:{SECRET}/@acme.teamwork.com"),
        ("HTTPS_PROXY", f"ftp://jo:{SECRET}@127.0.0.1"),
        ("HTTPS_PROXY", f"http://jo:{SECRET}/@127.0.0.1"),
    ],
)
def test_an_invalid_environment_variable_shows_nothing(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEAMWORK_DESK_TOKEN", TOKEN)
    monkeypatch.setenv("TEAMWORK_DESK_URL", "https://acme.teamwork.com")
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError) as raised:
        AsyncDesk()
    assert leaks(shown_by(raised.value)) == []


class Failing(Hanging):
    """Reads a request, fails with it in a local variable, and hangs while it handles the failure."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        header = request.headers["Authorization"]
        try:
            raise ValueError(f"{len(header)} letters")
        except ValueError:
            return await super().handle_async_request(request)


@in_virtual_time
async def test_a_deadline_shows_nothing_of_the_failure_that_it_interrupts(caplog: pytest.LogCaptureFixture) -> None:
    async with a_desk(FakeDesk(), transport=Failing(), deadline=0.05) as desk:
        with pytest.raises(OutcomeUnknownError) as raised:
            await desk.conversations.convert(42, **ARGUMENTS)
    frames = [frame.name for one in reachable(raised.value) for frame in traceback.extract_tb(one.__traceback__)]
    assert "handle_async_request" not in frames
    assert leaks(shown_by(raised.value), logged(caplog)) == []


@pytest.mark.parametrize(("inject", "kind"), RESPONSES.values(), ids=RESPONSES)
async def test_no_error_and_no_cause_has_frames_of_the_engine(
    inject: Callable[[FakeDesk], None], kind: type[DeskError]
) -> None:
    fake = FakeDesk()
    inject(fake)
    async with a_desk(fake, deadline=60) as desk:
        with pytest.raises(kind) as raised:
            await desk.conversations.convert(42, **ARGUMENTS)
    frames = [frame for one in reachable(raised.value) for frame in traceback.extract_tb(one.__traceback__)]
    # A call raises its error in the __exit__ of its scope, so that this frame is the first.
    engine = {inspect.getfile(Call), inspect.getfile(Scope)}
    assert {frame.name for frame in frames if frame.filename in engine} == {"__exit__"}


async def test_a_call_cancelled_in_its_pause_shows_nothing_of_the_response() -> None:
    fake, caught = FakeDesk(), list[BaseException]()
    fake.fail(status=429, body=QUOTED, headers={"Retry-After": "60"})

    async def call(desk: AsyncDesk) -> None:
        try:
            await desk.conversations.convert(42, **ARGUMENTS)
        except BaseException as error:
            caught.append(error)
            raise

    async with a_desk(fake) as desk, anyio.create_task_group() as calls:
        calls.start_soon(call, desk)
        await anyio.wait_all_tasks_blocked()
        calls.cancel_scope.cancel()
    assert len(fake.requests) == 1
    assert leaks(shown_by(caught[0])) == []


class Receiving(httpx.AsyncBaseTransport):
    """Sends the first part of a response, and never the rest."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        async for _ in cast("httpx.AsyncByteStream", request.stream):
            pass
        return httpx.Response(200, stream=EndlessBody())


class EndlessBody(httpx.AsyncByteStream):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield QUOTED.encode()
        await anyio.sleep_forever()


async def test_a_call_cancelled_while_it_receives_shows_nothing_of_the_response() -> None:
    caught = list[BaseException]()

    async def call(desk: AsyncDesk) -> None:
        try:
            await desk.conversations.convert(42, **ARGUMENTS)
        except BaseException as error:
            caught.append(error)
            raise

    async with a_desk(FakeDesk(), transport=Receiving()) as desk, anyio.create_task_group() as calls:
        calls.start_soon(call, desk)
        await anyio.wait_all_tasks_blocked()
        calls.cancel_scope.cancel()
    assert leaks(shown_by(caught[0])) == []


@pytest.mark.parametrize("body", [{"message": f"{SECRET} \ud800"}, {"value": Unspeakable()}], ids=["text", "object"])
def test_an_error_of_encoding_json_does_not_hold_the_text(body: dict[str, Any]) -> None:
    with pytest.raises(RequestError) as raised:
        encode_json(body)
    assert list(reachable(raised.value)) == [raised.value]


def test_an_error_of_decoding_json_does_not_hold_the_response() -> None:
    with pytest.raises(DecodeError) as raised:
        decode_json(QUOTED[:-1].encode())
    assert list(reachable(raised.value)) == [raised.value]


@pytest.mark.parametrize("quote", ["'{}'", '"{}"', "\u2018{}\u2019", "\u201c{}\u201d"])
async def test_a_reason_that_quotes_a_value_is_not_in_the_message(quote: str, caplog: pytest.LogCaptureFixture) -> None:
    fake = FakeDesk()
    fake.fail(status=400, body={"errors": {"subject": [f"cannot be {quote.format(SECRET)}"]}})
    async with a_desk(fake) as desk:
        with pytest.raises(ValidationError, match="subject") as raised:
            await desk.conversations.convert(42, subject=SECRET)
    assert leaks(shown_by(raised.value), logged(caplog)) == []


async def fail_with_a_secret(*_: object) -> str:
    raise ValueError(SECRET)


async def test_a_message_names_the_exception_of_a_hook_or_a_provider_by_its_class_only(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for options in ({"event_hooks": {"request": [fail_with_a_secret]}}, {"token": fail_with_a_secret}):
        async with a_desk(FakeDesk(), **options) as desk:
            with pytest.raises(NotSentError, match="ValueError") as raised:
                await desk.conversations.convert(42)
        assert SECRET not in str(raised.value)
    assert leaks(logged(caplog)) == []


async def test_a_message_names_a_request_without_its_query(caplog: pytest.LogCaptureFixture) -> None:
    fake = FakeDesk()
    fake.fail(status=403)
    async with a_desk(fake) as desk:
        with pytest.raises(PermissionDeniedError, match=r"GET /desk/api/v2/conversations\.json was") as raised:
            _ = [found async for found in desk.conversations.list(filter={"token": {"$eq": SECRET}})]
    assert SECRET in str(fake.requests[0].query)
    assert SECRET not in f"{raised.value!r}"
    assert leaks(logged(caplog)) == []


@pytest.mark.parametrize("option", ["event_hooks", "mounts", "proxy"])
async def test_the_filter_of_a_listing_is_not_in_the_log_of_httpx(
    option: str, caplog: pytest.LogCaptureFixture
) -> None:
    with RawServer(responding(http(200, b'{"conversations": []}'))) as server:
        options: dict[str, Any] = {
            "event_hooks": {"request": [do_nothing]},
            "mounts": {"all://": httpx.AsyncHTTPTransport(verify=NO_TLS)},
            "proxy": server.url,
        }
        options = {option: options[option]}
        async with AsyncDesk(server.url, token=TOKEN, verify=NO_TLS, trust_env=False, **options) as desk:
            for ours in ({"token": {"$eq": SECRET}}, {"contactId": {"$eq": ADDRESS}}):
                assert [found async for found in desk.conversations.list(filter=ours)] == []
    lines = [record.getMessage() for record in caplog.records if record.name in ("httpx", "httpx2")]
    assert len(lines) == 2
    assert all("conversations.json " in line for line in lines)
    assert leaks(logged(caplog)) == []


async def test_a_query_that_is_not_for_desk_stays_in_the_log_of_httpx(caplog: pytest.LogCaptureFixture) -> None:
    async with (
        AsyncDesk("https://acme.teamwork.com", token=TOKEN),
        httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(200))) as other,
    ):
        await other.get("https://example.com/search?q=desk")
    assert "https://example.com/search?q=desk" in caplog.text


QUOTING = "tkn/v1+s3cret=="


@pytest.mark.parametrize(
    "response",
    [
        http(403, rb'{"errors": [{"detail": "the token tkn\/v1+s3cret== is not allowed"}]}'),
        http(422, rb'{"errors": {"inbox": ["\u0074kn/v1+s3cret== may not use it"]}}'),
        http(404, rb'{"errors": [{"id": "tkn\/v1+s3cret==", "detail": "no"}]}'),
        http(400, b"{}", "X-Request-Id: tkn/v1+s3cret=="),
        http(303, b"", "Location: /login?token=tkn/v1+s3cret=="),
        http(400, rb'not JSON \ "tkn/v1+s3cret=="'),
        http(200, b'{"id": 42, "ticket_id": 7}', "X-Request-Id: tkn/v1+s3cret=="),
    ],
    ids=str,
)
async def test_a_response_that_quotes_the_token_in_any_form_does_not_show_it(
    response: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    error: Exception | None = None
    with RawServer(responding(response)) as server, caplog.at_level(logging.DEBUG, "teamwork_desk"):
        async with AsyncDesk(server.url, token=QUOTING, verify=NO_TLS, trust_env=False, verify_first=False) as desk:
            try:
                await desk.conversations.convert(42)
            except DeskError as failure:
                error = failure
    texts = [record.getMessage() for record in caplog.records if record.name == "teamwork_desk"]
    if error is not None:
        texts += [str(error), repr(error), repr(vars(error)), repr(pickle.dumps(error))]
    assert texts
    assert not [text for text in texts if "s3cret" in text]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize(
    "response", [b"HTTP/1.1 200 OK\r\nECHO\r\n\r\n", b"HTTP/x ECHO\r\n\r\n"], ids=["bad header", "bad status line"]
)
async def test_a_failure_of_aiohttp_does_not_hold_the_request(response: bytes) -> None:
    with RawServer(responding(response)) as server:
        async with AsyncDesk(
            server.url.replace("https", "http"), token=TOKEN, retry=NO_PAUSES, transport=AiohttpTransport()
        ) as desk:
            with pytest.raises(DeskError) as raised:
                await desk.conversations.get(42)
    assert leaks(shown_by(raised.value)) == []
    assert not any(hasattr(each, "request_info") for each in reachable(raised.value))


def test_a_cause_that_holds_the_request_is_dropped() -> None:
    class ResponseError(Exception):
        request_info = TOKEN

    error = httpx.ReadError("broken")
    error.__cause__ = error.__context__ = ResponseError()
    assert scrub(error, httpx.Request("GET", "https://acme.teamwork.com")) is error
    assert causes(error) == [error]


async def test_a_value_in_straight_quotes_is_hidden() -> None:
    fake = FakeDesk()
    fake.fail(status=400, body={"errors": {"message": [f'invalid value "{SECRET} dear Jo" for it']}}, method="POST")
    async with a_desk(fake) as desk:
        with pytest.raises(ValidationError, match="invalid value \\[value\\] for it"):
            await desk.conversations.convert(42, **ARGUMENTS)


def test_a_line_of_httpx_with_named_values_stays_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "httpx"):
        logging.getLogger("httpx").info("%(what)s", {"what": "a line"})
    assert caplog.messages == ["a line"]


async def test_a_pickle_holds_what_desk_responded_and_never_the_token() -> None:
    fake = FakeDesk(token=TOKEN)
    fake.fail(status=400, body={"errors": {"customer": [f"{ADDRESS} bounced"], "cc": [f"sent with {TOKEN}"]}})
    async with a_desk(fake) as desk:
        with pytest.raises(ValidationError) as raised:
            await desk.conversations.convert(42, **ARGUMENTS)
    restored = pickle.loads(pickle.dumps(raised.value))
    assert (restored.body, restored.errors) == (raised.value.body, raised.value.errors)
    assert ADDRESS in restored.errors["customer"][0]
    assert ADDRESS.encode() in restored.body
    assert TOKEN.encode() not in pickle.dumps(raised.value)


def test_a_message_hides_an_argument_name_that_may_be_misplaced_data() -> None:
    assert unknown_names("argument", [ADDRESS, "custmer"], ["customer"]) == (
        "unknown arguments: ..., custmer (did you mean customer?)"
    )


async def test_an_invalid_id_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with a_desk(FakeDesk()) as desk:
        with pytest.raises(RequestError) as raised:
            await desk.conversations.convert(cast("int", ADDRESS))
    assert raised.value.conversation_id is None
    assert leaks(logged(caplog)) == []


@pytest.mark.parametrize("fails", ["not sent", "deadline", "cancelled"])
async def test_the_exception_that_a_caller_handles_keeps_its_frames_and_its_text(fails: str) -> None:
    fake = FakeDesk()
    if fails == "not sent":
        fake.inject("connection refused", times=9)
    transport = fake.transport if fails == "not sent" else Receiving()
    async with a_desk(fake, transport=transport, deadline=0.05 if fails == "deadline" else 60) as desk:
        own = ValueError("the caller's own b'text'")
        try:
            raise own
        except ValueError:
            with anyio.move_on_after(0.05 if fails == "cancelled" else None):
                with pytest.raises(DeskError):
                    await desk.conversations.get(42)
    assert own.__traceback__ is not None
    assert own.args == ("the caller's own b'text'",)


# Uploads


def uploading(respond: Callable[[httpx.Request], httpx.Response]) -> httpx.MockTransport:
    """A Desk whose references are full of secrets, and an upload host that responds with a function."""

    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.host != "acme.teamwork.com":
            return respond(request)
        if request.method == "PATCH":
            return httpx.Response(200, json={})
        params = {"key": f"{SECRET}/{SECRET}.pdf", "policy": f"policy-{SECRET}", "x-amz-signature": f"sig-{SECRET}"}
        url = f"https://uploads.example.net/{SECRET}/path?X-Signature={SECRET}"
        return httpx.Response(200, json={"url": url, "params": params, "file": {"id": 9, "filename": f"{SECRET}.pdf"}})

    return httpx.MockTransport(handle)


def fail_with(error: Callable[[httpx.Request], Exception]) -> Callable[[httpx.Request], httpx.Response]:
    def respond(request: httpx.Request) -> httpx.Response:
        raise error(request)

    return respond


def quoting_response(status: int) -> Callable[[httpx.Request], httpx.Response]:
    headers = {"Location": f"https://uploads.example.net/{SECRET}", "Set-Cookie": SECRET, "x-amz-id-2": SECRET}
    headers |= dict.fromkeys(("x-request-id", "x-amz-request-id", "Retry-After"), f"sig-{SECRET}")
    return lambda request: httpx.Response(status, headers=headers, content=request.content)


UPLOAD_HOSTS: dict[str, tuple[Callable[[httpx.Request], httpx.Response], type[DeskError] | None]] = {
    "accepts": (quoting_response(201), None),
    "redirects": (quoting_response(307), StatusError),
    "rejects": (quoting_response(403), StatusError),
    "fails": (quoting_response(503), ServerError),
    "breaks": (fail_with(lambda request: httpx.ReadError("broken", request=request)), TransportError),
    "breaks and quotes the URL": (fail_with(lambda request: httpx.ReadError(f"GET {request.url}")), TransportError),
    "breaks and quotes the form": (
        fail_with(lambda request: httpx.ConnectError(request.content.decode("latin-1"))),
        TransportError,
    ),
    "raises another error": (fail_with(lambda request: ValueError(request.url, request)), TransportError),
}


@pytest.mark.parametrize(("respond", "kind"), UPLOAD_HOSTS.values(), ids=UPLOAD_HOSTS)
async def test_an_upload_shows_nothing_of_the_signed_form(
    respond: Callable[[httpx.Request], httpx.Response], kind: type[DeskError] | None, caplog: pytest.LogCaptureFixture
) -> None:
    async with a_desk(FakeDesk(), transport=uploading(respond)) as desk:
        if kind is None:
            await desk.files.upload(SECRET.encode(), filename=f"{SECRET}.pdf")
            assert "https://uploads.example.net" in caplog.text
        else:
            with pytest.raises(DeskError, match=r"step 2 of 3 \(form to uploads\.example\.net\)") as raised:
                await desk.files.upload(SECRET.encode(), filename=f"{SECRET}.pdf")
            assert type(raised.value) is kind
            assert leaks(shown_by(raised.value)) == []
            assert SECRET not in f"{vars(raised.value)}"
        assert SECRET not in repr(desk.files)
    assert leaks(logged(caplog)) == []


async def test_a_rejected_file_shows_no_path(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with a_desk(FakeDesk()) as desk:
        with pytest.raises(RequestError) as raised:
            await desk.files.upload(tmp_path / f"{SECRET}.pdf")
    assert leaks(shown_by(raised.value), logged(caplog)) == []


@pytest.mark.parametrize("is_file", [True, False])
@pytest.mark.parametrize("connection", ["httpx", "a client"])
async def test_a_cancelled_upload_shows_nothing(
    connection: str, is_file: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    reached, caught = threading.Event(), list[BaseException]()

    def receive(connection: socket.socket) -> None:
        read_request(connection)
        reached.set()
        hung_up(connection, 20)

    def serve(connection: socket.socket) -> None:
        while True:
            read_request(connection)
            params = {"key": f"key-{SECRET}", "policy": SECRET}
            answer = {"url": f"{uploads.url}/{SECRET}?X-Signature={SECRET}", "params": params, "file": {"id": 9}}
            connection.sendall(http(200, json.dumps(answer).encode()))

    async def upload(desk: AsyncDesk) -> None:
        try:
            if is_file:
                await desk.files.upload(path)
            else:
                await desk.files.upload(SECRET.encode(), filename=f"{SECRET}.pdf")
        except BaseException as error:
            caught.append(error)
            raise

    path = tmp_path / f"{SECRET}.pdf"
    path.write_text(SECRET)
    with RawServer(receive) as uploads, RawServer(serve) as server:
        options = CONNECTIONS[connection](server.url)
        desk = AsyncDesk(server.url, token=TOKEN, verify=NO_TLS, trust_env=False, retry=NO_PAUSES, **options)
        async with desk, anyio.create_task_group() as calls:
            calls.start_soon(upload, desk)
            await anyio.to_thread.run_sync(reached.wait)
            calls.cancel_scope.cancel()
    (cancelled,) = caught
    assert leaks(shown_by(cancelled), logged(caplog)) == []


@pytest.mark.filterwarnings("ignore:`cert=...` is deprecated:DeprecationWarning")  # httpx warns, and still reads it
@pytest.mark.parametrize("option", [{"cert": "/missing"}, {"deadline": 0}, {"limits": 5}], ids=str)
def test_a_rejected_client_leaves_no_secret_in_local_variables(option: dict[str, Any]) -> None:
    secrets = {"token": SECRET, "headers": {"X-Gateway": SECRET}, "proxy": f"http://user:{SECRET}@proxy.example"}
    try:
        AsyncDesk("https://acme.teamwork.com", **{name: secrets.pop(name) for name in [*secrets]}, **option)  # type: ignore[arg-type]
    except ConfigurationError as error:
        frames = traceback.TracebackException.from_exception(error, capture_locals=True)
        assert SECRET not in "".join(frames.format())
    else:
        pytest.fail("the option is invalid")
