"""`desk.files.upload`: three steps, of which the second goes to another host, and which are retried as a whole."""

from __future__ import annotations

import io
import os
import re
import socket
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import anyio
import anyio.to_thread
import httpx
import pytest
import trustme
from attrs import frozen
from httpx_aiohttp import AiohttpTransport
from raw_server import RawServer, client_tls, http, hung_up, read_head, read_request, server_tls
from virtual_time import in_virtual_time

from teamwork_desk import (
    AsyncDesk,
    AuthenticationError,
    ConfigurationError,
    DeadlineExceeded,
    DeskError,
    EntityRef,
    NotSentError,
    PermissionDeniedError,
    RateLimitedError,
    RequestError,
    ResponseDecodeError,
    RetryPolicy,
    ServerError,
    StatusError,
    TransportError,
    ValidationError,
    _source,
)
from teamwork_desk._checks import LARGEST_FILE
from teamwork_desk._redaction import HiddenURL
from teamwork_desk._source import Reader, Source
from teamwork_desk.testing import FakeDesk, Fault

DESK = "https://acme.teamwork.com"
AT_ONCE = RetryPolicy(backoff_base=0)
REFERENCE, UPLOAD, CONFIRMATION = ("POST", "/files/ref.json"), ("POST", "/uploads"), ("PATCH", "/files/")
STEPS = [REFERENCE, UPLOAD, CONFIRMATION]
HOSTS = {
    REFERENCE: "step 1 of 3 (reference from acme.teamwork.com)",
    UPLOAD: "step 2 of 3 (form to uploads.example.net)",
    CONFIRMATION: "step 3 of 3 (confirmation to acme.teamwork.com)",
}
PARAMS = {"Content-Type": "application/pdf", "key": "a/key", "policy": "p", "x-amz-date": 20240101}


@pytest.fixture
def fake() -> FakeDesk:
    return FakeDesk()


def a_desk(transport: httpx.AsyncBaseTransport, **options: Any) -> AsyncDesk:
    defaults: dict[str, Any] = {"token": "a-token", "transport": transport, "retry": AT_ONCE}
    return AsyncDesk(DESK, **defaults | options)


def paths(fake: FakeDesk) -> list[str]:
    """The requests of an upload, each by the end of its path."""
    return [request.path.rpartition("/")[2] for request in fake.requests]


# What is uploaded


@pytest.mark.parametrize("kind", ["str", "path", "bytes"])
async def test_a_file_is_uploaded_in_three_steps(kind: str, fake: FakeDesk, tmp_path: Path) -> None:
    path = tmp_path / "invoice 1.pdf"
    path.write_bytes(b"%PDF\r\n--content\r\n")
    async with a_desk(fake.transport) as desk:
        if kind == "bytes":
            reference = await desk.files.upload(path.read_bytes(), filename=path.name)
        else:
            reference = await desk.files.upload(str(path) if kind == "str" else path)
        await desk.conversations.convert(42, files=[reference])
    (file,) = fake.files.values()
    assert reference == EntityRef(id=file.id)
    assert (file.filename, file.mime_type, file.state) == ("invoice 1.pdf", "application/pdf", "active")
    assert file.content == b"%PDF\r\n--content\r\n"
    assert paths(fake)[:3] == ["ref.json", "uploads", f"{file.id}.json"]
    assert fake.requests[0].json["disposition"] == "attachment"
    fake.assert_converted_once(42, files=[reference])


async def test_only_the_signed_form_reaches_the_other_host(fake: FakeDesk) -> None:
    async with a_desk(fake.transport) as desk:
        await desk.files.upload(b"x", filename="a.txt")
    assert sorted(fake.requests[1].headers) == ["content-length", "content-type", "host"]
    assert fake.requests[0].headers["authorization"] == "Bearer a-token"


@pytest.mark.parametrize(
    ("arguments", "filename", "mime_type"),
    [
        ({"filename": "a.png"}, "a.png", "image/png"),
        ({"filename": "a"}, "a", "application/octet-stream"),
        ({"filename": "a.png", "mime_type": "text/x-own; charset=utf-8"}, "a.png", "text/x-own; charset=utf-8"),
        ({"filename": 'Büro "1"\u202f.pdf'}, 'Büro "1"\u202f.pdf', "application/pdf"),
    ],
)
async def test_the_media_type_follows_from_the_name(
    arguments: dict[str, str], filename: str, mime_type: str, fake: FakeDesk
) -> None:
    async with a_desk(fake.transport) as desk:
        await desk.files.upload(b"", **arguments)
    (file,) = fake.files.values()
    assert (file.filename, file.mime_type, file.content) == (filename, mime_type, b"")


class BytesPath:
    def __fspath__(self) -> bytes:
        return b"a.pdf"


@pytest.mark.parametrize(
    ("argument", "arguments", "message"),
    [
        (b"x", {}, "filename: bytes need a name"),
        (b"x", {"filename": ""}, "filename: expected the name of a file"),
        (b"x", {"filename": "a/b.pdf"}, "filename: expected the name of a file"),
        (b"x", {"filename": "a\nb.pdf"}, "filename: expected the name of a file"),
        (b"x", {"filename": "\udcff.pdf"}, "filename: expected the name of a file"),
        (b"x", {"filename": 7}, "filename: expected the name of a file"),
        (b"x", {"filename": "a.pdf", "mime_type": "pdf"}, "mime_type: expected a media type"),
        (b"x", {"filename": "a.pdf", "mime_type": "a/b\r\nX: y"}, "mime_type: expected a media type"),
        (b"x", {"filename": "a.pdf", "mime_type": 7}, "mime_type: expected a media type"),
        (bytearray(b"x"), {"filename": "a.pdf"}, "path_or_bytes: expected a path"),
        (None, {}, "path_or_bytes: expected a path"),
        (BytesPath(), {}, "path_or_bytes: expected a path"),
        ("nothing.pdf", {}, r"path_or_bytes: the file cannot be read \(FileNotFoundError\)"),
        ("a\0b", {"filename": "a"}, r"path_or_bytes: the file cannot be read \(ValueError\)"),
        (os.curdir, {}, "path_or_bytes: expected a regular file"),
        ("/", {}, "path_or_bytes: the path does not end with a name"),
        (b"x" * (LARGEST_FILE + 1), {"filename": "a"}, r"path_or_bytes: .* at most 20971520 bytes \(20 MB\)"),
    ],
)
async def test_an_invalid_argument_sends_nothing(
    argument: Any, arguments: dict[str, Any], message: str, fake: FakeDesk
) -> None:
    async with a_desk(fake.transport) as desk:
        with pytest.raises(RequestError, match=f"^{message}") as raised:
            await desk.files.upload(argument, **arguments)
    assert (raised.value.attempts, raised.value.maybe_applied) == (0, False)
    assert fake.requests == []


@pytest.mark.parametrize(("size", "is_accepted"), [(LARGEST_FILE, True), (LARGEST_FILE + 1, False)])
async def test_a_file_has_at_most_20_mb(size: int, is_accepted: bool, fake: FakeDesk, tmp_path: Path) -> None:
    with (tmp_path / "large.bin").open("wb") as file:
        file.truncate(size)
    async with a_desk(fake.transport) as desk:
        if is_accepted:
            await desk.files.upload(tmp_path / "large.bin")
            assert fake.files[501].content == bytes(size)
            return
        with pytest.raises(RequestError, match=str(size)):
            await desk.files.upload(tmp_path / "large.bin")
    assert fake.requests == []


# Two hosts behind sockets


@frozen
class Hosts:
    """A Desk and an upload host behind sockets, which share this machine but not the port."""

    desk: RawServer
    uploads: RawServer


def serve_desk(url: str, connection: socket.socket) -> None:
    """Serve the requests to Desk, whose references name this URL."""
    answer = httpx.Response(200, json={"url": url, "params": PARAMS, "file": {"id": 9}}).content
    while True:
        received = read_request(connection)
        body = answer if "ref.json" in received.line else b"{}"
        connection.sendall(http(200, body).replace(b"Connection: close\r\n", b""))


@pytest.fixture
def serve_hosts() -> Iterator[Callable[..., Hosts]]:
    """Start the two hosts. The upload host serves each connection with a function."""
    started: list[RawServer] = []

    def start(serve: Callable[[socket.socket], None], **options: Any) -> Hosts:
        uploads = RawServer(serve, **options).__enter__()
        started.append(uploads)
        desk = RawServer(partial(serve_desk, f"{uploads.url}/bucket?signature=s")).__enter__()
        started.append(desk)
        return Hosts(desk, uploads)

    yield start
    for server in reversed(started):
        server.__exit__(None, None, None)


async def test_the_form_has_the_fields_in_order_and_the_file_last(serve_hosts: Callable[..., Hosts]) -> None:
    bodies: list[tuple[str, bytes]] = []

    def serve(connection: socket.socket) -> None:
        received = read_request(connection)
        bodies.append((received.head, received.body))
        connection.sendall(http(204))

    hosts = serve_hosts(serve)
    async with AsyncDesk(hosts.desk.url, token="t", trust_env=False) as desk:
        await desk.files.upload(b"a\r\nb", filename="a.pdf")
    ((head, body),) = bodies
    assert head.startswith("POST /bucket?signature=s HTTP/1.1\r\n")
    found = re.search("multipart/form-data; boundary=([0-9a-f]{32})\r\n", head)
    assert found
    lines = [f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}' for name, value in PARAMS.items()]
    file = (
        'Content-Disposition: form-data; name="file"; filename="a.pdf"\r\nContent-Type: application/pdf\r\n\r\na\r\nb'
    )
    expected = "".join(f"--{found[1]}\r\n{part}\r\n" for part in [*lines, file]) + f"--{found[1]}--\r\n"
    assert body == expected.encode()


async def test_a_large_file_is_not_held_in_memory(serve_hosts: Callable[..., Hosts], tmp_path: Path) -> None:
    received: list[int] = []

    def serve(connection: socket.socket) -> None:
        length = re.search(r"(?i)content-length: (\d+)", read_head(connection))
        left = int(length[1]) if length else 0
        while left:
            left -= len(connection.recv(65536))
        received.append(left)
        connection.sendall(http(201))

    with (tmp_path / "large.bin").open("wb") as file:
        file.truncate(LARGEST_FILE)
    hosts = serve_hosts(serve)
    async with AsyncDesk(hosts.desk.url, token="t", trust_env=False) as desk:
        await desk.files.upload(b"", filename="warm-up")
        tracemalloc.start()
        try:
            await desk.files.upload(tmp_path / "large.bin")
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert received == [0, 0]
    assert peak < LARGEST_FILE / 5


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("transport", [None, AiohttpTransport])
async def test_the_upload_host_of_a_served_fake_desk_has_another_origin(
    transport: Callable[[], httpx.AsyncBaseTransport] | None, fake: FakeDesk, tmp_path: Path
) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"content" * 100_000)
    async with fake.serve() as url, AsyncDesk(url, token="t", transport=transport and transport()) as desk:
        reference = await desk.files.upload(path)
        again = await desk.files.upload(path)
    assert [fake.files[each.id or 0].content for each in (reference, again)] == [path.read_bytes()] * 2
    assert fake.requests[0].headers["host"] != fake.requests[1].headers["host"]


async def test_the_certificate_of_the_upload_host_is_checked(serve_hosts: Callable[..., Hosts]) -> None:
    ca, other = trustme.CA(), trustme.CA()

    def serve(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(http(204))

    hosts = serve_hosts(serve, tls=server_tls(ca))
    async with AsyncDesk(hosts.desk.url, token="t", trust_env=False, verify=client_tls(ca)) as desk:
        assert await desk.files.upload(b"", filename="a") == EntityRef(id=9)
    async with AsyncDesk(hosts.desk.url, token="t", trust_env=False, verify=client_tls(other)) as desk:
        with pytest.raises(NotSentError, match=r"step 2 of 3 \(form to localhost:\d+\).*certificate") as raised:
            await desk.files.upload(b"", filename="a")
    assert raised.value.attempts == 2


# Retries


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(
    "fault",
    [
        "connection refused",
        "answer lost before the work",
        "answer lost after the work",
        "answer lost while the work goes on",
        "server error before the work",
        "server error after the work",
        "gateway timeout before the work",
        "timeout after the work",
    ],
)
async def test_a_failure_that_may_pass_starts_again(fault: Fault, step: tuple[str, str], fake: FakeDesk) -> None:
    fake.inject(fault, method=step[0], path=step[1])
    async with a_desk(fake.transport) as desk:
        reference = await desk.files.upload(b"content", filename="a.pdf")
    file = fake.files[reference.id or 0]
    assert (file.state, file.content) == ("active", b"content")
    # A request that never left is sent again alone. In any other case, the upload begins with a new reference.
    references = 1 if fault == "connection refused" and step == CONFIRMATION else 2
    if fault == "connection refused" and step == REFERENCE:
        references = 1  # a refused request does not arrive
    assert paths(fake).count("ref.json") == references


@pytest.mark.parametrize("step", [REFERENCE, CONFIRMATION])
async def test_a_response_that_is_cut_off_starts_again(step: tuple[str, str], fake: FakeDesk) -> None:
    fake.inject("answer cut off", method=step[0], path=step[1])
    async with a_desk(fake.transport) as desk:
        reference = await desk.files.upload(b"content", filename="a.pdf")
    assert (fake.files[reference.id or 0].state, paths(fake).count("ref.json")) == ("active", 2)


@pytest.mark.parametrize("fault", ["answer cut off", "unreadable answer"])
async def test_the_body_of_the_upload_hosts_response_does_not_matter(fault: Fault, fake: FakeDesk) -> None:
    fake.inject(fault, path="/uploads")
    async with a_desk(fake.transport) as desk:
        await desk.files.upload(b"content", filename="a.pdf")
    assert paths(fake).count("ref.json") == 1


@pytest.mark.parametrize("step", STEPS, ids=HOSTS.get)
@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("connection refused", NotSentError),
        ("answer lost before the work", TransportError),
        ("server error before the work", ServerError),
        ("gateway timeout before the work", ServerError),
    ],
)
async def test_the_last_failure_names_the_step_and_its_host(
    fault: Fault, kind: type[DeskError], step: tuple[str, str], fake: FakeDesk
) -> None:
    fake.inject(fault, method=step[0], path=step[1], times=2)
    async with a_desk(fake.transport, retry=RetryPolicy(max_attempts=2, backoff_base=0)) as desk:
        with pytest.raises(DeskError, match=f"^upload, {re.escape(HOSTS[step])}: ") as raised:
            await desk.files.upload(b"content", filename="a.pdf")
    assert type(raised.value) is kind
    assert not raised.value.maybe_applied
    assert raised.value.conversation_id is None
    assert not any(file.state == "active" for file in fake.files.values())


@pytest.mark.parametrize(
    ("step", "status", "kind"),
    [
        (REFERENCE, 400, ValidationError),
        (REFERENCE, 401, AuthenticationError),
        (REFERENCE, 303, StatusError),
        (UPLOAD, 202, StatusError),
        (UPLOAD, 307, StatusError),
        (UPLOAD, 400, StatusError),
        (UPLOAD, 401, StatusError),
        (UPLOAD, 403, StatusError),
        (UPLOAD, 501, ServerError),
        (CONFIRMATION, 400, ValidationError),
        (CONFIRMATION, 403, PermissionDeniedError),
        (CONFIRMATION, 303, StatusError),
    ],
)
async def test_a_rejection_is_final(
    step: tuple[str, str], status: int, kind: type[StatusError], fake: FakeDesk
) -> None:
    headers = {"Location": "https://elsewhere.example.com/", "x-amz-request-id": "R1"}
    fake.fail(status=status, method=step[0], path=step[1], headers=headers, body="<Key>k</Key>")
    async with a_desk(fake.transport) as desk:
        with pytest.raises(StatusError, match=f"^upload, {re.escape(HOSTS[step])}: .*{status}") as raised:
            await desk.files.upload(b"content", filename="a.pdf")
    error = raised.value
    assert (type(error), error.status_code, error.maybe_applied) == (kind, status, False)
    assert len(fake.requests) == error.attempts == STEPS.index(step) + 1
    if step == UPLOAD:
        assert (error.from_desk, error.body, error.request_id, dict(error.headers)) == (False, b"", "R1", {})


@pytest.mark.parametrize("step", [UPLOAD, REFERENCE])
async def test_a_pause_that_the_server_asks_for_is_obeyed(step: tuple[str, str], fake: FakeDesk) -> None:
    fake.fail(status=503, method=step[0], path=step[1], headers={"Retry-After": "300"})
    async with a_desk(fake.transport) as desk:
        with pytest.raises(ServerError) as raised:
            await desk.files.upload(b"content", filename="a.pdf")
    assert raised.value.headers["retry-after"] == "300"
    assert len(fake.requests) == STEPS.index(step) + 1


async def test_a_confirmation_that_desk_refuses_for_now_is_sent_again_alone(fake: FakeDesk) -> None:
    fake.fail(status=429, method="PATCH", headers={"Retry-After": "0"})
    async with a_desk(fake.transport) as desk:
        await desk.files.upload(b"content", filename="a.pdf")
    assert paths(fake) == ["ref.json", "uploads", "501.json", "501.json"]


async def test_a_rejected_token_is_renewed_within_a_step(fake: FakeDesk) -> None:
    tokens = iter(["old", "new"])
    fake.inject("token refused", method="PATCH")
    async with a_desk(fake.transport, token=lambda: next(tokens)) as desk:
        await desk.files.upload(b"content", filename="a.pdf")
    assert fake.requests[-1].headers["authorization"] == "Bearer new"
    assert paths(fake).count("ref.json") == 1


async def test_all_retries_of_an_upload_count_together(fake: FakeDesk) -> None:
    fake.inject("server error before the work", path="/files/ref.json")
    fake.inject("server error before the work", path="/uploads")
    fake.inject("server error before the work", path="/files/", method="PATCH")
    async with a_desk(fake.transport, retry=RetryPolicy(max_attempts=3, backoff_base=0)) as desk:
        with pytest.raises(ServerError, match="step 3") as raised:
            await desk.files.upload(b"content", filename="a.pdf")
    assert raised.value.attempts == len(fake.requests) == 6


async def test_uploads_that_fail_use_up_the_clients_quota_of_retries(fake: FakeDesk) -> None:
    fake.fail(status=500, path="/uploads", times=1000)
    async with a_desk(fake.transport, retry=RetryPolicy(max_attempts=51, backoff_base=0)) as desk:
        attempts: list[int] = []
        for _ in range(3):
            with pytest.raises(ServerError) as raised:
                await desk.files.upload(b"content", filename="a.pdf")
            attempts.append(raised.value.attempts)
    assert attempts == [102, 102, 2]


async def test_a_rate_limit_that_stays_used_up_is_an_error(fake: FakeDesk) -> None:
    fake.fail(status=429, path="/files/ref.json", headers={"Retry-After": "0"}, times=4)
    async with a_desk(fake.transport) as desk:
        with pytest.raises(RateLimitedError, match="step 1"):
            await desk.files.upload(b"content", filename="a.pdf")


async def test_a_provider_that_fails_is_asked_once(fake: FakeDesk) -> None:
    calls: list[int] = []

    def token() -> str:
        calls.append(1)
        raise ValueError

    async with a_desk(fake.transport, token=token) as desk:
        with pytest.raises(NotSentError, match=r"step 1.*provider"):
            await desk.files.upload(b"content", filename="a.pdf")
    assert (calls, fake.requests) == ([1], [])


async def test_the_bytes_do_not_count_for_the_rate_limit(fake: FakeDesk) -> None:
    async with a_desk(fake.transport) as desk:
        for _ in range(5):
            await desk.files.upload(b"content", filename="a.pdf")
        assert desk.rate_limit
        assert desk.rate_limit.limit - desk.rate_limit.remaining == 10


class Slow(httpx.AsyncBaseTransport):
    """A transport whose upload host never responds."""

    def __init__(self, fake: FakeDesk) -> None:
        self._fake = fake
        self.reached = anyio.Event()
        self.is_closed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/uploads":
            self.reached.set()
            await anyio.sleep_forever()
        return await self._fake.transport.handle_async_request(request)

    async def aclose(self) -> None:
        self.is_closed = True


@in_virtual_time
async def test_a_deadline_limits_the_whole_upload(fake: FakeDesk) -> None:
    async with a_desk(Slow(fake)) as desk:
        with pytest.raises(DeadlineExceeded, match=re.escape(HOSTS[UPLOAD])) as raised:
            await desk.with_options(deadline=0.1).files.upload(b"content", filename="a.pdf")
    assert not raised.value.maybe_applied


# A file that changes


class Meddling(httpx.AsyncBaseTransport):
    """A transport that changes something while the first step is under way."""

    def __init__(self, fake: FakeDesk, meddle: Callable[[], object]) -> None:
        self._fake = fake
        self._meddle = meddle

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("ref.json"):
            self._meddle()
        return await self._fake.transport.handle_async_request(request)


def becomes_a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("meddle", "message"),
    [
        (partial(Path.write_bytes, data=b"longer content"), "changed its size"),
        (partial(Path.write_bytes, data=b"short"), "changed its size"),
        (partial(Path.write_bytes, data=b""), "changed its size"),
        (Path.unlink, "cannot be read any more"),
        pytest.param(
            becomes_a_pipe,
            "cannot be read any more",
            marks=pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no pipes among its files"),
        ),
    ],
)
async def test_a_file_that_changes_is_an_error(
    meddle: Callable[[Path], object], message: str, fake: FakeDesk, tmp_path: Path
) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"content")
    async with a_desk(Meddling(fake, lambda: meddle(path))) as desk:
        with pytest.raises(RequestError, match=f"^path_or_bytes: the file .*{message}"):
            await desk.files.upload(path)
    assert paths(fake) == ["ref.json"]
    assert fake.files[501].content is None


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a file that cannot be read after it was opened")
async def test_a_file_that_cannot_be_read_to_the_end_is_an_error(fake: FakeDesk) -> None:
    async with a_desk(fake.transport) as desk:
        with pytest.raises(RequestError, match="cannot be read any more"):
            await desk.files.upload("/proc/self/mem")


class Hanging(io.BytesIO):
    """A file of a mount that is broken."""

    def __init__(self) -> None:
        super().__init__(b"content")
        self.reached, self.goes_on, self.was_closed = threading.Event(), threading.Event(), threading.Event()

    def hang(self) -> None:
        self.reached.set()
        assert self.goes_on.wait(60), "nobody gave the file up"

    def read(self, size: int | None = -1, /) -> bytes:
        self.hang()
        return super().read(size)

    def close(self) -> None:
        assert self.goes_on.is_set(), "closing a file waits for its reader"
        super().close()
        self.was_closed.set()


async def cancel_when_it_hangs(file: Hanging, path: Path, fake: FakeDesk) -> None:
    """Cancel an upload while a thread hangs, as the deadline does."""
    async with a_desk(fake.transport) as desk, anyio.create_task_group() as tasks:
        tasks.start_soon(desk.files.upload, path)
        assert await anyio.to_thread.run_sync(file.reached.wait, 60)
        tasks.cancel_scope.cancel()
    assert not file.goes_on.is_set()
    file.goes_on.set()


@pytest.mark.parametrize("hangs", ["open", "read"])
async def test_a_file_that_hangs_does_not_outlast_its_call(
    hangs: str, fake: FakeDesk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = Hanging()

    def open_file(path: str) -> io.BytesIO:
        if hangs == "open":
            file.hang()
        return file

    monkeypatch.setattr(_source, "open_file", open_file)
    path = tmp_path / "a.txt"
    path.write_bytes(b"content")
    await cancel_when_it_hangs(file, path, fake)
    assert await anyio.to_thread.run_sync(file.was_closed.wait, 60), "the thread must close the file when it goes on"


async def test_a_file_whose_size_cannot_be_found_out_does_not_outlast_its_call(
    fake: FakeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = Hanging()

    def hangs(source: Source) -> None:
        file.hang()

    monkeypatch.setattr(Source, "_stat", hangs)
    await cancel_when_it_hangs(file, Path("a.txt"), fake)
    assert not fake.requests


def test_a_reader_that_is_closed_opens_no_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"content")
    reader = Reader(None, str(path))
    reader.close()
    assert not reader.open()


# References that cannot be used


def reference(**changes: Any) -> dict[str, Any]:
    return {"url": "https://uploads.example.net/s3cret", "params": PARAMS, "file": {"id": 9}, **changes}


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (reference(url="http://uploads.example.net/s3cret"), "url: expected https"),
        (reference(url="http://169.254.169.254/s3cret"), "url: expected https"),
        (reference(url="http://localhost.example.com/s3cret"), "url: expected https"),
        (reference(url="ftp://uploads.example.net/s3cret"), "url: expected https"),
        (reference(url="file:///etc/s3cret"), "url: expected a valid URL"),
        (reference(url="https://jo:s3cret@uploads.example.net/"), "url: expected a URL without a user"),
        (reference(url="https://"), "url: expected a valid URL"),
        (reference(url="//uploads.example.net/s3cret"), "url: expected https"),
        (reference(url="s3cret"), "url: expected a valid URL"),
        (reference(url="https://uploads.example.net:0/s3cret"), "url: expected a valid URL"),
        (reference(url="https://uploads.example.net:99999/s3cret"), "url: expected a valid URL"),
        (reference(url="https://uploads.example.net:s3cret/"), "url: expected a valid URL"),
        (reference(url="https://s3cret\r\nX: y/"), "url: expected a valid URL"),
        (reference(url="https://x/" + "s3cret" * 20_000), "url: expected a valid URL"),
        (reference(url=7), "no usable 'url'"),
        (reference(url=None), "no usable 'url'"),
        (reference(params=None), "no usable 'params'"),
        (reference(params=["s3cret"]), "no usable 'params'"),
        (reference(params={"s3cret": None}), "params: expected valid texts and ints"),
        (reference(params={"key": {"s3cret": 1}}), "params: expected valid texts and ints"),
        (reference(file=None), "no usable 'file'"),
        (reference(file={"id": 0}), "file.id: expected a positive int"),
        (reference(file={"id": "s3cret"}), "file.id: expected a positive int"),
        ({"url": "https://s3cret.example.net/"}, ""),
        (["s3cret"], ""),
    ],
)
async def test_a_reference_that_cannot_be_used_is_an_error(answer: Any, message: str) -> None:
    requests: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(200, json=answer)

    async with a_desk(httpx.MockTransport(handle)) as desk:
        with pytest.raises(ResponseDecodeError, match=f"^upload, step 1 of 3 .*{re.escape(message)}") as raised:
            await desk.files.upload(b"content", filename="a.pdf")
    assert len(requests) == 1
    assert "s3cret" not in f"{raised.value}{raised.value.__cause__!r}"
    assert not raised.value.maybe_applied


@pytest.mark.parametrize("url", ["http://127.0.0.1:7/u", "http://[::1]/u", "http://localhost/u", "https://10.0.0.1/u"])
async def test_plain_http_goes_to_this_machine_only_if_desk_is_there_too(url: str) -> None:
    hosts: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        hosts.append(request.headers["host"])
        return httpx.Response(200, json=reference(url=url))

    transport = httpx.MockTransport(handle)
    async with AsyncDesk("http://localhost:7", token="any", transport=transport) as desk:
        await desk.files.upload(b"content", filename="a.pdf")
    assert hosts[1] == httpx.URL(url).netloc.decode()
    if url.startswith("http:"):
        async with a_desk(transport) as desk:
            with pytest.raises(ResponseDecodeError, match="url: expected https"):
                await desk.files.upload(b"content", filename="a.pdf")


# Connections


async def test_a_redirect_is_not_followed(serve_hosts: Callable[..., Hosts]) -> None:
    def serve(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(http(307, b"", "Location: /elsewhere"))

    hosts = serve_hosts(serve)
    async with AsyncDesk(hosts.desk.url, token="t", trust_env=False) as desk:
        with pytest.raises(StatusError, match=r"step 2.*307"):
            await desk.files.upload(b"content", filename="a.pdf")
    assert hosts.uploads.connections == 1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lists the open files of a process")
async def test_a_cancelled_upload_closes_its_file_and_its_connection(
    serve_hosts: Callable[..., Hosts], tmp_path: Path
) -> None:
    reached, has_hung_up = threading.Event(), list[bool]()

    def serve(connection: socket.socket) -> None:
        read_head(connection)
        reached.set()
        # The rest of the form stays in the buffers of the two sockets.
        while not (connection.recv(1) == b"" or hung_up(connection, 5)):
            pass
        has_hung_up.append(True)

    def open_files() -> list[str]:
        folder = Path("/proc/self/fd")
        return [str(each.readlink()) for each in folder.iterdir() if each.is_symlink()]

    path = tmp_path / "large.bin"
    with path.open("wb") as file:
        file.truncate(LARGEST_FILE)
    hosts = serve_hosts(serve)
    async with AsyncDesk(hosts.desk.url, token="t", trust_env=False) as desk, anyio.create_task_group() as tasks:
        tasks.start_soon(desk.files.upload, path)
        await anyio.to_thread.run_sync(reached.wait)
        assert str(path) in open_files()
        tasks.cancel_scope.cancel()
    assert str(path) not in open_files()


@in_virtual_time
async def test_the_callers_transport_is_used_and_stays_open(fake: FakeDesk) -> None:
    transport = Slow(fake)
    async with a_desk(transport, deadline=0.1) as desk:
        with pytest.raises(DeadlineExceeded):
            await desk.files.upload(b"content", filename="a.pdf")
        assert not transport.is_closed
        await desk.conversations.get(42)
    assert transport.is_closed


@pytest.mark.parametrize("option", ["mounts", "event_hooks", "proxy"])
async def test_the_options_of_the_client_hold_for_the_upload_host(option: str, fake: FakeDesk) -> None:
    seen: list[str] = []

    async def hook(request: httpx.Request) -> None:
        seen.append(request.url.host)

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.host)
        return httpx.Response(204)

    def serve(connection: socket.socket) -> None:
        seen.append(read_request(connection).line)

    with RawServer(serve) as proxy:
        options: dict[str, Any] = {
            "mounts": {"all://uploads.example.net": httpx.MockTransport(handle), "all://nowhere": None},
            "event_hooks": {"request": [hook]},
            "proxy": proxy.url,
        }
        async with a_desk(fake.transport, **{option: options[option]}, retry=RetryPolicy(max_attempts=1)) as desk:
            try:
                await desk.files.upload(b"content", filename="a.pdf")
            except DeskError as error:
                assert option in ("mounts", "proxy"), error  # noqa: PT017 - the confirmation or the proxy rejects it
    assert {
        "mounts": seen == ["uploads.example.net"],
        "event_hooks": seen == ["acme.teamwork.com", "uploads.example.net", "acme.teamwork.com"],
        "proxy": seen[:1] == ["CONNECT acme.teamwork.com:443 HTTP/1.1"],
    }[option]


async def test_what_replaces_the_method_of_httpx_sees_all_requests_of_an_upload(fake: FakeDesk) -> None:
    async def send(client: httpx.AsyncClient, request: httpx.Request, **_: Any) -> httpx.Response:
        seen.append(request.url.host)
        is_form = request.url.host == "uploads.example.net"
        return httpx.Response(204) if is_form else await fake.transport.handle_async_request(request)

    seen: list[str] = []
    async with a_desk(fake.transport) as desk:
        with mock.patch("httpx.AsyncClient.send", send), pytest.raises(ValidationError):
            await desk.files.upload(b"content", filename="a.pdf")
    assert seen == ["acme.teamwork.com", "uploads.example.net", "acme.teamwork.com"]


async def test_a_closed_client_uploads_nothing(fake: FakeDesk) -> None:
    desk = a_desk(fake.transport)
    await desk.aclose()
    with pytest.raises(ConfigurationError, match="closed"):
        await desk.files.upload(b"content", filename="a.pdf")


async def test_a_client_that_is_closed_meanwhile_sends_no_form(fake: FakeDesk) -> None:
    async def close(request: httpx.Request) -> None:
        if request.url.path.endswith("ref.json"):
            await desk.aclose()

    desk = a_desk(fake.transport, event_hooks={"request": [close]})
    with pytest.raises(ConfigurationError, match=f"^upload, {re.escape(HOSTS[UPLOAD])}: this AsyncDesk is closed"):
        await desk.files.upload(b"content", filename="a.pdf")
    assert paths(fake) == ["ref.json"]


def test_a_client_uploads_on_several_event_loops_in_turn(serve_hosts: Callable[..., Hosts]) -> None:
    def serve(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(http(204))

    hosts = serve_hosts(serve)
    desk = AsyncDesk(hosts.desk.url, token="t", trust_env=False)

    async def upload() -> EntityRef:
        return await desk.files.upload(b"content", filename="a.pdf")

    for backend in ("asyncio", "asyncio", "trio"):
        assert anyio.run(upload, backend=backend) == EntityRef(id=9)
    anyio.run(desk.aclose)


async def test_an_upload_counts_as_a_connection_of_the_client(serve_hosts: Callable[..., Hosts]) -> None:
    lock = threading.Lock()

    def serve(connection: socket.socket) -> None:
        assert lock.acquire(blocking=False), "two uploads at once"
        read_request(connection)
        lock.release()
        connection.sendall(http(204))

    hosts, limits = serve_hosts(serve), httpx.Limits(max_connections=1)
    desk = AsyncDesk(hosts.desk.url, token="t", limits=limits, trust_env=False)
    async with desk, anyio.create_task_group() as tasks:
        for _ in range(4):
            tasks.start_soon(partial(desk.files.upload, b"content", filename="a.pdf"))
    assert hosts.uploads.connections == 4


# The upload host of FakeDesk


def form_of(fake: FakeDesk, **changes: Any) -> dict[str, Any]:
    file = next(iter(fake.files.values()))
    return {"data": file.params, "files": {"file": ("a.pdf", b"content")}, **changes}


FORMS: dict[str, Callable[[FakeDesk], dict[str, Any]]] = {
    "another method": lambda fake: {"method": "PUT", **form_of(fake)},
    "another host": lambda fake: {"url": "https://elsewhere.example.net/uploads", **form_of(fake)},
    "a token": lambda fake: form_of(fake, headers={"Authorization": "Bearer t"}),
    "a cookie": lambda fake: form_of(fake, headers={"Cookie": "a=b"}),
    "no form": lambda fake: {"content": b"content"},
    "an unknown key": lambda fake: form_of(fake, data={"key": "x"}),
    "a changed field": lambda fake: form_of(fake, data={**fake.files[501].params, "policy": "x"}),
    "a field less": lambda fake: form_of(fake, data={"key": fake.files[501].params["key"]}),
    "another order": lambda fake: form_of(fake, data=dict(reversed(fake.files[501].params.items()))),
    "another name of the file": lambda fake: form_of(fake, files={"content": b"content"}),
    "no name": lambda fake: {
        "headers": {"Content-Type": "multipart/form-data; boundary=b"},
        "content": b"--b\r\n\r\n\r\n--b--\r\n",
    },
    "a boundary that is too long": lambda fake: {
        "headers": {"Content-Type": f"multipart/form-data; boundary={'b' * 71}"},
        "content": written_by_hand(fake, b"b" * 71),
    },
    "no boundary": lambda fake: {"headers": {"Content-Type": "multipart/form-data"}, "content": b"----\r\n"},
    "no part": lambda _: {"headers": {"Content-Type": "multipart/form-data; boundary=b"}, "content": b"--b--\r\n"},
    "an incomplete form": lambda fake: {
        "headers": {"Content-Type": "multipart/form-data; boundary=b"},
        "content": b"--b\r\n",
    },
    "an unknown length": lambda fake: {
        "headers": {"Content-Type": "multipart/form-data; boundary=b", "Content-Length": "1"},
        "content": b"--b--\r\n",
    },
}


@pytest.mark.parametrize("form", [pytest.param(form, id=name) for name, form in FORMS.items()])
async def test_the_upload_host_accepts_only_the_signed_form(
    form: Callable[[FakeDesk], dict[str, Any]], fake: FakeDesk
) -> None:
    async with httpx.AsyncClient(transport=fake.transport, headers={"Authorization": "Bearer t"}) as client:
        announcement = {"type": "attachment", "filename": "a.pdf", "mimeType": "a/b", "disposition": "attachment"}
        answer = (await client.post(f"{DESK}/desk/api/v2/files/ref.json", json=announcement)).json()
        arguments: dict[str, Any] = {"method": "POST", "url": answer["url"], **form(fake)}
        async with httpx.AsyncClient(transport=fake.transport) as other:
            response = await other.request(**arguments)
        assert (response.status_code, fake.files[501].content) == (403, None)
        early = await client.patch(f"{DESK}/desk/api/v2/files/501.json")
        assert (early.status_code, early.json()) == (400, {"errors": {"file": ["must be uploaded"]}})
        converted = await client.post(
            f"{DESK}/desk/api/v2/conversations/42/convert.json", json={"files": [{"id": 501}]}
        )
        assert (converted.status_code, converted.json()) == (
            400,
            {"errors": {"files[0].id": ["must be an uploaded file"]}},
        )
        for method, path, status in (("PATCH", "999", 404), ("GET", "501", 405), ("GET", "ref", 405)):
            assert (await client.request(method, f"{DESK}/desk/api/v2/files/{path}.json")).status_code == status


def written_by_hand(fake: FakeDesk, boundary: bytes, before: bytes = b"", after: bytes = b"") -> bytes:
    """Return a form with this boundary, and with text before and after it."""
    lines = [(b'name="%b"' % name.encode(), value.encode()) for name, value in fake.files[501].params.items()]
    parts = [*lines, (b'name="file"; filename="a.pdf"', b"a\r\n--b\r\n")]
    body = b"".join(
        b"--%b \t\r\nContent-Disposition: form-data; %b\r\n\r\n%b\r\n" % (boundary, *part) for part in parts
    )
    return before + body + b"--%b--" % boundary + after


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/form-data; boundary=" + "-" * 24 + "d74496d66958873e", b"-" * 24 + b"d74496d66958873e"),  # curl
        ('Multipart/Form-Data; charset=utf-8; Boundary="a b\'()+_,-./:=?"', b"a b'()+_,-./:=?"),
        ("multipart/form-data;boundary=" + "x" * 70, b"x" * 70),
    ],
)
@pytest.mark.parametrize(("before", "after"), [(b"", b"\r\n"), (b"a\r\n", b"\r\nb"), (b"\r\n", b"")])
async def test_the_upload_host_accepts_every_boundary_of_rfc_2046(
    content_type: str, boundary: bytes, before: bytes, after: bytes, fake: FakeDesk
) -> None:
    async with httpx.AsyncClient(transport=fake.transport, headers={"Authorization": "Bearer t"}) as client:
        announcement = {"type": "attachment", "filename": "a.pdf", "mimeType": "a/b", "disposition": "attachment"}
        url = (await client.post(f"{DESK}/desk/api/v2/files/ref.json", json=announcement)).json()["url"]
    async with httpx.AsyncClient(transport=fake.transport, headers={"Content-Type": content_type}) as other:
        response = await other.post(url, content=written_by_hand(fake, boundary, before, after))
    assert (response.status_code, fake.files[501].content) == (201, b"a\r\n--b\r\n")


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ([], ["body"]),
        ({}, ["filename", "mimeType", "type", "disposition"]),
        ({"type": "x", "filename": 7, "mimeType": "", "disposition": "attachment"}, ["filename", "mimeType", "type"]),
    ],
)
async def test_fake_desk_checks_what_is_announced(body: Any, fields: list[str], fake: FakeDesk) -> None:
    async with httpx.AsyncClient(transport=fake.transport, headers={"Authorization": "Bearer t"}) as client:
        response = await client.post(f"{DESK}/desk/api/v2/files/ref.json", json=body)
    assert (response.status_code, list(response.json()["errors"])) == (400, fields)


async def test_the_repr_of_a_file_hides_what_is_personal_or_signed(fake: FakeDesk) -> None:
    async with a_desk(fake.transport) as desk:
        await desk.files.upload(b"s3cret", filename="s3cret.pdf")
    assert repr(fake.files) == "{501: UploadedFile(id=501, mime_type='application/pdf', state='active')}"


def test_the_repr_of_a_signed_url_shows_its_origin_only() -> None:
    assert repr(HiddenURL("https://uploads.example.com/a?signature=hush")) == "HiddenURL('https://uploads.example.com')"
