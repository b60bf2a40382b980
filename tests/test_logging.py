"""The log: a line per call, a line per attempt, a warning where somebody should look, and no secret.

Every secret here holds the word `s3cret`, so that one search finds them all; a filter's value is `s3lected`.
"""

from __future__ import annotations

import contextlib
import io
import logging
import re
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Any, Literal

import anyio
import httpx
import pytest

from teamwork_desk import (
    AsyncDesk,
    ConfigurationError,
    DeskError,
    OutcomeUnknownError,
    RetryPolicy,
)
from teamwork_desk._observe import log_to_stderr
from teamwork_desk.testing import FakeDesk

ORIGIN = "https://acme.teamwork.com"
CONVERT = "/desk/api/v2/conversations/42/convert.json"
LIST = "/desk/api/v2/conversations.json"
QUICK = RetryPolicy(backoff_base=0.001, settle=(0.001,))

on_asyncio = pytest.mark.parametrize("anyio_backend", ["asyncio"])


def a_desk(fake: FakeDesk, **options: Any) -> AsyncDesk:
    defaults: dict[str, Any] = {"token": "t", "transport": fake.transport, "retry": QUICK}
    return AsyncDesk(ORIGIN, **defaults | options)


def told(caplog: pytest.LogCaptureFixture, level: int, name: str = "teamwork_desk") -> list[str]:
    """The lines of one level, without how long it took."""
    lines = [it.getMessage() for it in caplog.records if it.levelno == level and it.name == name]
    return [re.sub(r", \d+\.\d{3} s$", "", line) for line in lines]


# A line per call


@pytest.fixture
def info(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO)
    return caplog


async def test_a_call_is_one_line(info: pytest.LogCaptureFixture) -> None:
    async with a_desk(FakeDesk()) as desk:
        await desk.conversations.convert(42)
    (record,) = [record for record in info.records if record.name == "teamwork_desk"]
    assert record.levelno == logging.INFO
    assert re.fullmatch(r"convert 42: ok, attempts: 1, \d+\.\d{3} s", record.getMessage())


async def test_each_kind_of_call_names_itself(info: pytest.LogCaptureFixture) -> None:
    async with a_desk(FakeDesk(conversations=range(1, 151))) as desk:
        await desk.conversations.get(42)
        _ = [conversation async for conversation in desk.conversations.list()]
    assert told(info, logging.INFO) == ["get 42: ok, attempts: 1", *["list: ok, attempts: 1"] * 2]


async def test_a_call_that_is_sent_again_is_one_line_still(info: pytest.LogCaptureFixture) -> None:
    fake = FakeDesk()
    fake.fail(status=429, headers={"Retry-After": "0"})
    fake.lose_answer("before", method="POST")
    async with a_desk(fake) as desk:
        await desk.conversations.convert(42)
    assert told(info, logging.INFO) == ["convert 42: ok, attempts: 3"]


async def test_a_call_that_fails_says_with_what(info: pytest.LogCaptureFixture) -> None:
    fake = FakeDesk()
    async with a_desk(fake) as desk:
        for conversation_id in (999, 0):
            with pytest.raises(DeskError):
                await desk.conversations.convert(conversation_id)
    assert told(info, logging.INFO) == [
        "convert 999: NotFoundError, attempts: 1",
        "convert: RequestError, attempts: 0",
    ]
    assert told(info, logging.WARNING) == [], "what is raised and known needs nobody else"


# A line per attempt


async def test_an_attempt_is_a_line_at_debug(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    fake = FakeDesk()
    fake.lose_answer("after", method="POST")
    async with a_desk(fake) as desk:
        await desk.conversations.convert(42)
    assert told(caplog, logging.DEBUG) == [
        f"convert 42: POST {CONVERT}: ReadError (unknown: the request has ended)",
        f"convert 42: GET {LIST}: 200 (applied)",
    ]
    assert told(caplog, logging.INFO) == ["convert 42: ok, attempts: 1"]


async def test_below_the_level_nothing_is_formatted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "teamwork_desk")
    async with a_desk(FakeDesk()) as desk:
        await desk.conversations.convert(42)
    assert caplog.records == []


# A warning where somebody should look


async def test_an_unknown_outcome_is_a_warning(info: pytest.LogCaptureFixture) -> None:
    fake = FakeDesk()
    fake.lose_answer("after", method="POST")
    fake.fail(status=403, method="GET")
    async with a_desk(fake) as desk:
        with pytest.raises(OutcomeUnknownError) as raised:
            await desk.conversations.convert(42)
    assert told(info, logging.WARNING) == [f"convert 42: {raised.value}"]
    assert told(info, logging.INFO) == ["convert 42: OutcomeUnknownError, attempts: 1"]


class Silent(httpx.AsyncBaseTransport):
    """Reads a request and never answers."""

    def __init__(self) -> None:
        self.reached = anyio.Event()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        self.reached.set()
        await anyio.sleep_forever()
        raise AssertionError


async def cancel(desk: AsyncDesk, transport: Silent, **arguments: Any) -> None:
    async def call() -> None:
        await desk.conversations.convert(42, **arguments)

    async with anyio.create_task_group() as calls:
        calls.start_soon(call)
        await transport.reached.wait()
        calls.cancel_scope.cancel()


async def test_a_conversion_that_is_cancelled_is_a_warning(info: pytest.LogCaptureFixture) -> None:
    transport = Silent()
    async with a_desk(FakeDesk(), transport=transport) as desk:
        await cancel(desk, transport)
    assert told(info, logging.WARNING) == ["convert 42: interrupted: its outcome is unknown"]
    assert told(info, logging.INFO) == ["convert 42: cancelled, attempts: 1"]


async def test_an_attempt_that_is_interrupted_is_a_line_too(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    transport = Silent()
    async with a_desk(FakeDesk(), transport=transport) as desk:
        await cancel(desk, transport)
    (line,) = told(caplog, logging.DEBUG)
    assert line == f"convert 42: POST {CONVERT}: interrupted (unknown: the request may still be running)"


async def test_the_email_fallback_is_one_warning_a_client(info: pytest.LogCaptureFixture) -> None:
    async with a_desk(FakeDesk(old_installation=True)) as desk:
        await desk.conversations.convert(42, customer="jo@example.com")
        await desk.conversations.convert(43, customer="jo@example.com")
    (line,) = told(info, logging.WARNING)
    assert line == "this installation does not know customer.email: the deprecated email field is sent instead"
    assert told(info, logging.INFO) == ["convert 42: ok, attempts: 2", "convert 43: ok, attempts: 1"]


async def test_what_the_contract_does_not_foresee_is_one_warning_a_client(info: pytest.LogCaptureFixture) -> None:
    fake = FakeDesk()
    fake.fail(status=200, body={"id": 42, "state": 7}, times=2)
    async with a_desk(fake) as desk:
        await desk.conversations.convert(42)
        await desk.conversations.convert(42)
    assert told(info, logging.WARNING, "teamwork_desk.drift") == ["state: expected string, got integer"]
    assert told(info, logging.WARNING) == []


# TEAMWORK_DESK_LOG


@pytest.fixture
def unhandled(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Takes all handlers away, as in a process that sets up no logging; a test calls it, since pytest adds its own."""
    root, ours = logging.getLogger(), logging.getLogger("teamwork_desk")
    level = ours.level

    def take_away() -> None:
        monkeypatch.setattr(root, "handlers", [])
        monkeypatch.setattr(ours, "handlers", [])

    yield take_away
    ours.setLevel(level)


async def test_a_level_in_the_environment_logs_to_stderr(
    unhandled: Callable[[], None], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    unhandled()
    monkeypatch.setenv("TEAMWORK_DESK_LOG", "debug")
    for _ in range(2):
        async with a_desk(FakeDesk()) as desk:
            await desk.conversations.convert(42)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4, "one handler, however many clients"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d [\d:,]+ DEBUG teamwork_desk: convert 42: POST .+ s", lines[0])
    assert re.fullmatch(r"\d{4}-\d\d-\d\d [\d:,]+ INFO teamwork_desk: convert 42: ok, attempts: 1, .+ s", lines[1])


@pytest.mark.parametrize(("level", "lines"), [("INFO", 1), ("Warning", 0), ("error", 0)])
async def test_a_level_holds_back_what_is_below_it(
    level: str,
    lines: int,
    unhandled: Callable[[], None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unhandled()
    monkeypatch.setenv("TEAMWORK_DESK_LOG", level)
    async with a_desk(FakeDesk()) as desk:
        await desk.conversations.convert(42)
    assert len(capsys.readouterr().err.splitlines()) == lines


@pytest.mark.parametrize("of", ["", "teamwork_desk"], ids=["the root", "the package"])
async def test_where_something_handles_the_log_nothing_is_added(
    of: str, unhandled: Callable[[], None], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    unhandled()
    monkeypatch.setenv("TEAMWORK_DESK_LOG", "info")
    own = io.StringIO()
    logging.getLogger(of).addHandler(handler := logging.StreamHandler(own))
    async with a_desk(FakeDesk()) as desk:
        await desk.conversations.convert(42)
    assert logging.getLogger(of).handlers == [handler]
    assert own.getvalue().startswith("convert 42: ok")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("value", [None, ""])
def test_without_a_level_the_log_is_left_alone(
    value: str | None, unhandled: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    unhandled()
    monkeypatch.delenv("TEAMWORK_DESK_LOG", raising=False)
    if value is not None:
        monkeypatch.setenv("TEAMWORK_DESK_LOG", value)
    ours = logging.getLogger("teamwork_desk")
    before = ours.level
    log_to_stderr()
    assert (ours.level, ours.hasHandlers()) == (before, False)


@pytest.mark.parametrize("value", ["verbose", "10", "critical", "debug ", "NOTSET"])
def test_another_level_is_refused(value: str, unhandled: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    unhandled()
    monkeypatch.setenv("TEAMWORK_DESK_LOG", value)
    with pytest.raises(ConfigurationError, match="TEAMWORK_DESK_LOG: expected debug, info, warning or error"):
        a_desk(FakeDesk())
    assert logging.getLogger("teamwork_desk").handlers == []


# No secret

SECRET = "s3cret"
SELECTED = "s3lected"
TOKEN = f"tkn-{SECRET}"
ADDRESS = f"jo.{SECRET}@example.com"
ARGUMENTS: dict[str, Any] = {
    "cc": [f"cc.{ADDRESS}"],
    "customer": ADDRESS,
    "message": f"a {SECRET} message",
    "subject": f"a {SECRET} subject",
}
QUOTED = {"errors": {"cc": [ADDRESS]}, "message": SECRET, "token": TOKEN}


def answered(status: int, body: Any = QUOTED, times: int = 9) -> Callable[[FakeDesk], None]:
    headers = {"Retry-After": "0"} if status in (429, 503) else {}
    return lambda fake: fake.fail(status=status, headers=headers, body=body, times=times)


def lost(when: Literal["before", "after"], look: int | None = None) -> Callable[[FakeDesk], None]:
    def inject(fake: FakeDesk) -> None:
        fake.lose_answer(when, method="POST")
        if look is not None:
            fake.fail(status=look, body=QUOTED, times=9, method="GET")

    return inject


FAULTS: dict[str, Callable[[FakeDesk], None]] = {
    "none": lambda fake: None,
    **{str(status): answered(status) for status in (302, 400, 401, 403, 404, 409, 422, 429, 500, 503, 504)},
    "400 of an old installation": answered(400, {"errors": {"customer": ["must be set"]}, "message": ADDRESS}, 1),
    "an unreadable answer": answered(200, f"<p>{QUOTED}"),
    "an answer without an id": answered(200),
    "an answer of other types": answered(200, {"id": 42, "state": [ADDRESS], "subject": {SECRET: SECRET}}),
    "lost before the work": lost("before"),
    "lost after the work": lost("after"),
    "lost, and the look is refused": lost("after", 403),
    "lost, and the look is unreadable": lost("after", 200),
}


@contextlib.asynccontextmanager
async def desk_over(way: str, fake: FakeDesk) -> AsyncGenerator[AsyncDesk]:
    """A client over a transport in memory, over connections of its own, or over a whole httpx client."""
    if way == "memory":
        async with a_desk(fake, token=TOKEN) as desk:
            yield desk
        return
    options: dict[str, Any] = {"event_hooks": {"request": []}} if way == "client" else {}
    async with (
        fake.serve() as url,
        AsyncDesk(url, token=TOKEN, retry=QUICK, deadline=20, trust_env=False, **options) as desk,
    ):
        yield desk


async def call(desk: AsyncDesk, **arguments: Any) -> DeskError | None:
    try:
        await desk.conversations.convert(42, **arguments)
    except DeskError as error:
        return error
    return None


def shown(caplog: pytest.LogCaptureFixture, secret: str) -> set[str]:
    """The client's loggers whose records hold a secret; the server's may."""
    records = [it for it in caplog.records if not it.name.startswith("uvicorn")]
    return {it.name for it in records if secret in f"{it.getMessage()} {it.args!r} {it.exc_info!r}"}


@on_asyncio
@pytest.mark.parametrize("way", ["memory", "connection", "client"])
@pytest.mark.parametrize("inject", FAULTS.values(), ids=FAULTS)
async def test_no_record_shows_a_token_an_address_or_a_text(
    inject: Callable[[FakeDesk], None], way: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    fake = FakeDesk(token=TOKEN)
    inject(fake)
    async with desk_over(way, fake) as desk:
        await call(desk, **ARGUMENTS)
        await call(desk, verify_first=True, **ARGUMENTS)
    assert told(caplog, logging.DEBUG), "the client's own lines are among them"
    if way != "memory":
        assert any(record.name.startswith("httpcore") for record in caplog.records), "and so are the connection's"
    assert shown(caplog, SECRET) == set()


@on_asyncio
@pytest.mark.parametrize(("way", "names"), [("memory", set[str]()), ("connection", set[str]()), ("client", {"httpx"})])
@pytest.mark.parametrize("status", [200, 403])
async def test_a_filter_is_in_the_address_and_so_in_the_line_of_a_whole_httpx_client(
    status: int, way: str, names: set[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    fake = FakeDesk()
    if status != 200:
        fake.fail(status=status)
    async with desk_over(way, fake) as desk:
        with contextlib.suppress(DeskError):
            _ = [it async for it in desk.conversations.list(filter={"token": {"$eq": SELECTED}}, order_by="id")]
    assert fake.requests[0].query["filter"] == '{"token":{"$eq":"s3lected"}}'
    assert shown(caplog, SELECTED) == names


WRONG: dict[str, dict[str, Any]] = {
    "an address for a list": {"cc": ADDRESS},
    "a text for a reference": {"inbox": SECRET},
    "a customer as a dict": {"customer": {"email": ADDRESS}},
    "no text": {"message": SECRET.encode()},
}


@pytest.mark.parametrize("arguments", WRONG.values(), ids=WRONG)
async def test_a_refused_argument_is_not_shown(arguments: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with a_desk(FakeDesk()) as desk:
        assert await call(desk, **arguments) is not None
    assert told(caplog, logging.INFO) == ["convert 42: RequestError, attempts: 0"]
    assert shown(caplog, SECRET) == set()


@pytest.mark.parametrize("operation", ["convert", "get"])
async def test_an_id_that_is_none_is_not_shown(operation: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with a_desk(FakeDesk()) as desk:
        with pytest.raises(DeskError) as raised:
            await getattr(desk.conversations, operation)(ADDRESS)
    assert told(caplog, logging.INFO) == [f"{operation}: RequestError, attempts: 0"]
    assert shown(caplog, SECRET) == set()
    assert raised.value.conversation_id is None


async def test_a_cancelled_conversion_shows_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    transport = Silent()
    async with a_desk(FakeDesk(), token=TOKEN, transport=transport) as desk:
        await cancel(desk, transport, **ARGUMENTS)
    assert told(caplog, logging.WARNING)
    assert shown(caplog, SECRET) == set()


@pytest.mark.parametrize("raise_exceptions", [True, False])
async def test_a_filter_that_raises_loses_no_outcome(
    raise_exceptions: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def broken(record: logging.LogRecord) -> bool:
        raise RuntimeError(SECRET)

    monkeypatch.setattr(logging, "raiseExceptions", raise_exceptions)
    loggers = [logging.getLogger(name) for name in ("teamwork_desk", "teamwork_desk.drift")]
    caplog.set_level(logging.DEBUG, "teamwork_desk")
    for one in loggers:
        one.addFilter(broken)
    try:
        fake = FakeDesk(old_installation=True)
        fake.add_conversation(42, contact=None, numMessages="many")
        async with AsyncDesk("https://acme.teamwork.com", token="t", transport=fake.transport) as desk:
            conversation = await desk.conversations.convert(42, customer="jo@example.com")
        assert fake.assert_converted_once(42).id == conversation.ticket_id
    finally:
        for one in loggers:
            one.removeFilter(broken)
    told = capsys.readouterr().err
    assert ("teamwork_desk: logging failed with RuntimeError" in told) is raise_exceptions
    assert SECRET not in told


async def test_a_closed_stderr_loses_no_outcome(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    closed, logger = io.StringIO(), logging.getLogger("teamwork_desk")
    closed.close()
    monkeypatch.setattr("sys.stderr", closed)
    caplog.set_level(logging.DEBUG, "teamwork_desk")
    handler = logging.StreamHandler()
    logger.addHandler(handler)
    try:
        fake = FakeDesk()
        async with a_desk(fake) as desk:
            conversation = await desk.conversations.convert(42)
        assert fake.assert_converted_once(42).id == conversation.ticket_id
    finally:
        logger.removeHandler(handler)
