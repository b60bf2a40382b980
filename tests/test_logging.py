"""The log: a line per call, a line per attempt, a warning if somebody should act, and no secret.

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
from teamwork_desk_api.types import Hook, Request

ORIGIN = "https://acme.teamwork.com"
CONVERT = "/desk/api/v2/conversations/42/convert.json"
LIST = "/desk/api/v2/conversations.json"
QUICK = RetryPolicy(backoff_base=0.001, settle=(0.001,))

on_asyncio = pytest.mark.parametrize("anyio_backend", ["asyncio"])


def a_desk(fake: FakeDesk, **options: Any) -> AsyncDesk:
    defaults: dict[str, Any] = {"token": "t", "transport": fake.transport, "retry": QUICK, "verify_first": False}
    return AsyncDesk(ORIGIN, **defaults | options)


def log_lines(caplog: pytest.LogCaptureFixture, level: int, name: str = "teamwork_desk") -> list[str]:
    """Return the messages with one level, without their durations and the random ids of FakeDesk's errors."""
    lines = [record.getMessage() for record in caplog.records if record.levelno == level and record.name == name]
    return [re.sub(r", \d+\.\d{3} s|(?<=request id )[0-9a-f]{32}", "", line) for line in lines]


# A line per call


@pytest.fixture
def info(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO)
    return caplog


async def test_a_call_logs_one_line(info: pytest.LogCaptureFixture) -> None:
    async with a_desk(FakeDesk()) as desk:
        await desk.conversations.convert(42)
    (record,) = [record for record in info.records if record.name == "teamwork_desk"]
    assert record.levelno == logging.INFO
    assert re.fullmatch(r"convert 42: ok, created, attempts: 1, \d+\.\d{3} s", record.getMessage())


async def test_a_line_says_if_the_conversation_had_its_ticket_before(info: pytest.LogCaptureFixture) -> None:
    async with a_desk(FakeDesk()) as desk:
        for _ in range(2):
            await desk.conversations.convert(42, verify_first=True)
    assert log_lines(info, logging.INFO) == [
        "convert 42: ok, created, attempts: 1",
        "convert 42: ok, not created, attempts: 0",
    ]


async def test_a_line_names_the_operation(info: pytest.LogCaptureFixture) -> None:
    async with a_desk(FakeDesk(conversations=range(1, 151))) as desk:
        await desk.conversations.get(42)
        _ = [conversation async for conversation in desk.conversations.list()]
    assert log_lines(info, logging.INFO) == ["get 42: ok, attempts: 1", *["list: ok, attempts: 1"] * 2]


async def test_a_call_with_retries_logs_one_line(info: pytest.LogCaptureFixture) -> None:
    fake = FakeDesk()
    fake.fail(status=429, headers={"Retry-After": "0"})
    fake.lose_answer("before", method="POST")
    async with a_desk(fake) as desk:
        await desk.conversations.convert(42)
    assert log_lines(info, logging.INFO) == ["convert 42: ok, created, attempts: 3"]


async def test_a_failed_call_logs_the_class_of_its_error(info: pytest.LogCaptureFixture) -> None:
    fake = FakeDesk()
    async with a_desk(fake) as desk:
        for conversation_id in (999, 0):
            with pytest.raises(DeskError):
                await desk.conversations.convert(conversation_id)
    assert log_lines(info, logging.INFO) == [
        "convert 999: NotFoundError, attempts: 1, request id ",
        "convert: RequestError, attempts: 0",
    ]
    assert log_lines(info, logging.WARNING) == [], "an error with a known outcome needs no warning"


# A line per attempt


async def test_each_attempt_logs_a_line_at_debug(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    fake = FakeDesk()
    fake.lose_answer("after", method="POST")
    async with a_desk(fake) as desk:
        await desk.conversations.convert(42)
    assert log_lines(caplog, logging.DEBUG) == [
        f"convert 42: POST {CONVERT}: ReadError (unknown: the request has ended)",
        f"convert 42: GET {LIST}: 200 (applied)",
    ]
    assert log_lines(caplog, logging.INFO) == ["convert 42: ok, created, attempts: 1"]


async def test_a_successful_call_logs_nothing_at_level_warning(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "teamwork_desk")
    async with a_desk(FakeDesk()) as desk:
        await desk.conversations.convert(42)
    assert caplog.records == []


# Warnings


async def test_an_unknown_outcome_logs_a_warning(info: pytest.LogCaptureFixture) -> None:
    fake = FakeDesk()
    fake.lose_answer("after", method="POST")
    fake.fail(status=403, method="GET")
    async with a_desk(fake) as desk:
        with pytest.raises(OutcomeUnknownError) as raised:
            await desk.conversations.convert(42)
    assert log_lines(info, logging.WARNING) == [f"convert 42: {raised.value}"]
    assert log_lines(info, logging.INFO) == ["convert 42: OutcomeUnknownError, attempts: 1"]


class Silent(httpx.AsyncBaseTransport):
    """Reads a request and never responds."""

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


async def test_a_cancelled_call_logs_a_warning_if_its_request_was_sent(info: pytest.LogCaptureFixture) -> None:
    transport = Silent()
    async with a_desk(FakeDesk(), transport=transport) as desk:
        await cancel(desk, transport)
    assert log_lines(info, logging.WARNING) == ["convert 42: interrupted: its outcome is unknown"]
    assert log_lines(info, logging.INFO) == ["convert 42: cancelled, attempts: 1"]


async def test_an_interrupted_attempt_logs_a_line_at_debug(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    transport = Silent()
    async with a_desk(FakeDesk(), transport=transport) as desk:
        await cancel(desk, transport)
    (line,) = log_lines(caplog, logging.DEBUG)
    assert line == f"convert 42: POST {CONVERT}: interrupted (unknown: the request may still be running)"


async def test_the_email_fallback_logs_one_warning_per_client(info: pytest.LogCaptureFixture) -> None:
    async with a_desk(FakeDesk(old_installation=True)) as desk:
        await desk.conversations.convert(42, customer="jo@example.com")
        await desk.conversations.convert(43, customer="jo@example.com")
    (line,) = log_lines(info, logging.WARNING)
    assert line == "this installation does not know customer.email: the deprecated email field is sent instead"
    assert log_lines(info, logging.INFO) == [
        "convert 42: ok, created, attempts: 2",
        "convert 43: ok, created, attempts: 1",
    ]


async def test_a_value_that_the_contract_does_not_expect_logs_one_warning_per_client(
    info: pytest.LogCaptureFixture,
) -> None:
    fake = FakeDesk()
    fake.fail(status=200, body={"id": 42, "state": 7, "ticket_id": 9}, times=2)
    async with a_desk(fake) as desk:
        await desk.conversations.convert(42)
        await desk.conversations.convert(42)
    assert log_lines(info, logging.WARNING, "teamwork_desk.drift") == [
        "convert_conversation: state: expected string, got integer"
    ]
    assert log_lines(info, logging.WARNING) == []


async def test_a_value_that_two_operations_return_logs_one_warning_for_each(info: pytest.LogCaptureFixture) -> None:
    def report(_: object, hook: Hook) -> None:
        hook("state", "string", "integer")

    async with a_desk(FakeDesk()) as desk:
        for _ in range(2):
            for operation in ("get_thing", "change_thing"):
                await desk.send(Request(operation=operation, method="GET", target=LIST, decode=report))
    assert log_lines(info, logging.WARNING, "teamwork_desk.drift") == [
        "get_thing: state: expected string, got integer",
        "change_thing: state: expected string, got integer",
    ]


# TEAMWORK_DESK_LOG


@pytest.fixture
def remove_handlers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Return a function that removes all handlers, as in a process that sets up no logging.

    A test calls it, because pytest adds its own handlers after the fixtures have run.
    """
    root, ours = logging.getLogger(), logging.getLogger("teamwork_desk")
    level = ours.level

    def remove() -> None:
        monkeypatch.setattr(root, "handlers", [])
        monkeypatch.setattr(ours, "handlers", [])

    yield remove
    ours.setLevel(level)


async def test_a_level_in_the_environment_logs_to_stderr(
    remove_handlers: Callable[[], None], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    remove_handlers()
    monkeypatch.setenv("TEAMWORK_DESK_LOG", "debug")
    for _ in range(2):
        async with a_desk(FakeDesk()) as desk:
            await desk.conversations.convert(42)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4, "several clients share one handler"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d [\d:,]+ DEBUG teamwork_desk: convert 42: POST .+ s", lines[0])
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\d [\d:,]+ INFO teamwork_desk: convert 42: ok, created, attempts: 1, .+ s", lines[1]
    )


@pytest.mark.parametrize(("level", "lines"), [("INFO", 1), ("Warning", 0), ("error", 0)])
async def test_lines_below_the_level_are_not_logged(
    level: str,
    lines: int,
    remove_handlers: Callable[[], None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    remove_handlers()
    monkeypatch.setenv("TEAMWORK_DESK_LOG", level)
    async with a_desk(FakeDesk()) as desk:
        await desk.conversations.convert(42)
    assert len(capsys.readouterr().err.splitlines()) == lines


@pytest.mark.parametrize("logger_name", ["", "teamwork_desk"], ids=["the root", "the package"])
async def test_no_handler_is_added_if_the_log_has_a_handler(
    logger_name: str,
    remove_handlers: Callable[[], None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    remove_handlers()
    monkeypatch.setenv("TEAMWORK_DESK_LOG", "info")
    own = io.StringIO()
    logging.getLogger(logger_name).addHandler(handler := logging.StreamHandler(own))
    async with a_desk(FakeDesk()) as desk:
        await desk.conversations.convert(42)
    assert logging.getLogger(logger_name).handlers == [handler]
    assert own.getvalue().startswith("convert 42: ok")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("value", [None, ""])
def test_the_log_is_not_changed_without_a_level(
    value: str | None, remove_handlers: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    remove_handlers()
    monkeypatch.delenv("TEAMWORK_DESK_LOG", raising=False)
    if value is not None:
        monkeypatch.setenv("TEAMWORK_DESK_LOG", value)
    ours = logging.getLogger("teamwork_desk")
    before = ours.level
    log_to_stderr()
    assert (ours.level, ours.hasHandlers()) == (before, False)


@pytest.mark.parametrize("value", ["verbose", "10", "critical", "debug ", "NOTSET"])
def test_an_unknown_level_is_rejected(
    value: str, remove_handlers: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    remove_handlers()
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


def respond_with(status: int, body: Any = QUOTED, times: int = 9) -> Callable[[FakeDesk], None]:
    headers = {"Retry-After": "0"} if status in (429, 503) else {}
    return lambda fake: fake.fail(status=status, headers=headers, body=body, times=times)


def lose_response(when: Literal["before", "after"], lookup_status: int | None = None) -> Callable[[FakeDesk], None]:
    def inject(fake: FakeDesk) -> None:
        fake.lose_answer(when, method="POST")
        if lookup_status is not None:
            fake.fail(status=lookup_status, body=QUOTED, times=9, method="GET")

    return inject


FAULTS: dict[str, Callable[[FakeDesk], None]] = {
    "none": lambda fake: None,
    **{str(status): respond_with(status) for status in (302, 400, 401, 403, 404, 409, 422, 429, 500, 503, 504)},
    "400 of an old installation": respond_with(400, {"errors": {"customer": ["must be set"]}, "message": ADDRESS}, 1),
    "an unreadable response": respond_with(200, f"<p>{QUOTED}"),
    "a response without an id": respond_with(200),
    "a response with unexpected types": respond_with(200, {"id": 42, "state": [ADDRESS], "subject": {SECRET: SECRET}}),
    "response lost before the work": lose_response("before"),
    "response lost after the work": lose_response("after"),
    "response lost, and the lookup is rejected": lose_response("after", 403),
    "response lost, and the lookup is unreadable": lose_response("after", 200),
}


@contextlib.asynccontextmanager
async def desk_over(way: str, fake: FakeDesk) -> AsyncGenerator[AsyncDesk]:
    """Yield a client with a transport in memory, with its own connections, or with a whole httpx client."""
    if way == "memory":
        async with a_desk(fake, token=TOKEN) as desk:
            yield desk
        return
    options: dict[str, Any] = {"event_hooks": {"request": []}} if way == "client" else {}
    async with (
        fake.serve() as url,
        AsyncDesk(url, token=TOKEN, retry=QUICK, deadline=20, trust_env=False, **options, verify_first=False) as desk,
    ):
        yield desk


async def call(desk: AsyncDesk, **arguments: Any) -> DeskError | None:
    try:
        await desk.conversations.convert(42, **arguments)
    except DeskError as error:
        return error
    return None


def loggers_that_show(caplog: pytest.LogCaptureFixture, secret: str) -> set[str]:
    """Return the names of the loggers whose records hold a secret. The records of the fake's server may hold it."""
    records = [record for record in caplog.records if not record.name.startswith("uvicorn")]
    return {record.name for record in records if secret in f"{record.getMessage()} {record.args!r} {record.exc_info!r}"}


@on_asyncio
@pytest.mark.parametrize("way", ["memory", "connection", "client"])
@pytest.mark.parametrize("inject", FAULTS.values(), ids=FAULTS)
async def test_no_log_record_shows_a_token_an_address_or_a_text(
    inject: Callable[[FakeDesk], None], way: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    fake = FakeDesk(token=TOKEN)
    inject(fake)
    async with desk_over(way, fake) as desk:
        await call(desk, **ARGUMENTS)
        await call(desk, verify_first=True, **ARGUMENTS)
    assert log_lines(caplog, logging.DEBUG), "the client must have logged its own lines"
    if way != "memory":
        assert any(record.name.startswith("httpcore") for record in caplog.records), (
            "the connection must have logged its own lines"
        )
    assert loggers_that_show(caplog, SECRET) == set()


@on_asyncio
@pytest.mark.parametrize("way", ["memory", "connection", "client"])
@pytest.mark.parametrize("status", [200, 403])
async def test_a_filter_is_part_of_the_url_and_no_log_shows_it(
    status: int, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    fake = FakeDesk()
    if status != 200:
        fake.fail(status=status)
    async with desk_over(way, fake) as desk:
        with contextlib.suppress(DeskError):
            _ = [
                conversation
                async for conversation in desk.conversations.list(filter={"token": {"$eq": SELECTED}}, order_by="id")
            ]
    assert fake.requests[0].query["filter"] == '{"token":{"$eq":"s3lected"}}'
    assert loggers_that_show(caplog, SELECTED) == set()


INVALID_ARGUMENTS: dict[str, dict[str, Any]] = {
    "an address for a list": {"cc": ADDRESS},
    "a text for a reference": {"inbox": SECRET},
    "a customer as a dict": {"customer": {"email": ADDRESS}},
    "bytes for a text": {"message": SECRET.encode()},
}


@pytest.mark.parametrize("arguments", INVALID_ARGUMENTS.values(), ids=INVALID_ARGUMENTS)
async def test_a_rejected_argument_is_not_logged(arguments: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with a_desk(FakeDesk()) as desk:
        assert await call(desk, **arguments) is not None
    assert log_lines(caplog, logging.INFO) == ["convert 42: RequestError, attempts: 0"]
    assert loggers_that_show(caplog, SECRET) == set()


@pytest.mark.parametrize("operation", ["convert", "get"])
async def test_a_value_that_is_not_an_id_is_not_logged(operation: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with a_desk(FakeDesk()) as desk:
        with pytest.raises(DeskError) as raised:
            await getattr(desk.conversations, operation)(ADDRESS)
    assert log_lines(caplog, logging.INFO) == [f"{operation}: RequestError, attempts: 0"]
    assert loggers_that_show(caplog, SECRET) == set()
    assert raised.value.conversation_id is None


async def test_a_cancelled_conversion_logs_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    transport = Silent()
    async with a_desk(FakeDesk(), token=TOKEN, transport=transport) as desk:
        await cancel(desk, transport, **ARGUMENTS)
    assert log_lines(caplog, logging.WARNING)
    assert loggers_that_show(caplog, SECRET) == set()


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
    for logger in loggers:
        logger.addFilter(broken)
    try:
        fake = FakeDesk(old_installation=True)
        fake.add_conversation(42, contact=None, numMessages="many")
        async with AsyncDesk(
            "https://acme.teamwork.com", token="t", transport=fake.transport, verify_first=False
        ) as desk:
            conversation = await desk.conversations.convert(42, customer="jo@example.com")
        assert fake.assert_converted_once(42).id == conversation.ticket_id
    finally:
        for logger in loggers:
            logger.removeFilter(broken)
    stderr = capsys.readouterr().err
    assert ("teamwork_desk: logging failed with RuntimeError" in stderr) is raise_exceptions
    assert SECRET not in stderr


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
