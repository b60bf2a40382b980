"""Every argument of every public callable: a value that its type hint allows, and values that the hint rejects.

A value of a valid type is accepted, or refused with an error that names the argument. A value of another type is always
refused, before a request is sent.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeAlias, Union, get_args, get_origin, get_type_hints

import anyio
import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_values import FLOATS, KINDS, WRONG, Float, Int, Pair, pairs_of

from teamwork_desk import AsyncDesk, ConfigurationError, DeskError, RequestError, RetryPolicy
from teamwork_desk._connections import HttpxOptions
from teamwork_desk._conversations import Conversations
from teamwork_desk._files import Files
from teamwork_desk._resources import Resource
from teamwork_desk._values import type_problem_of
from teamwork_desk.backlog import Job
from teamwork_desk.testing import FakeDesk

Call: TypeAlias = Callable[[AsyncDesk, dict[str, Any]], Coroutine[Any, Any, None]]

URL = "https://acme.teamwork.com"
ONCE = RetryPolicy(max_attempts=1, settle=())
CONTEXT = ssl.create_default_context()
"""Reading the certificates for each client would take most of the time."""


async def construct(_: AsyncDesk, arguments: dict[str, Any]) -> None:
    options: dict[str, Any] = {"url": URL, "token": "any", "verify": CONTEXT, **arguments}
    async with AsyncDesk(**options):
        pass


async def change_options(desk: AsyncDesk, arguments: dict[str, Any]) -> None:
    desk.with_options(**arguments)


async def make_policy(_: AsyncDesk, arguments: dict[str, Any]) -> None:
    RetryPolicy(**arguments)


async def list_conversations(desk: AsyncDesk, arguments: dict[str, Any]) -> None:
    assert [each async for each in desk.conversations.list(**arguments)] == []


async def list_inboxes(desk: AsyncDesk, arguments: dict[str, Any]) -> None:
    assert [each async for each in desk.inboxes.list(**arguments)] == []


async def find(desk: AsyncDesk, arguments: dict[str, Any]) -> None:
    await desk.inboxes.find(**arguments)


async def get(desk: AsyncDesk, arguments: dict[str, Any]) -> None:
    await desk.conversations.get(**arguments)


async def ticket_url(desk: AsyncDesk, arguments: dict[str, Any]) -> None:
    desk.ticket_url(**arguments)


async def upload(desk: AsyncDesk, arguments: dict[str, Any]) -> None:
    options: dict[str, Any] = {"path_or_bytes": b"text", "filename": "a.txt", **arguments}
    await desk.files.upload(**options)


async def convert_a_backlog(desk: AsyncDesk, arguments: dict[str, Any]) -> None:
    job: Any = {"conversation_id": 42, **arguments}
    (outcome,) = [outcome async for outcome in desk.conversations.convert_many([job])]
    if outcome.error is not None:
        raise outcome.error


async def convert_one_at_a_time(desk: AsyncDesk, arguments: dict[str, Any]) -> None:
    assert [outcome.error async for outcome in desk.conversations.convert_many([42], **arguments)] == [None]


RESOURCE: Any = Resource
CALLS: dict[Call, Mapping[str, Any]] = {
    construct: {**get_type_hints(AsyncDesk.__init__), **get_type_hints(HttpxOptions)},
    change_options: get_type_hints(AsyncDesk.with_options),
    make_policy: get_type_hints(RetryPolicy),
    list_conversations: get_type_hints(Conversations.list),
    list_inboxes: get_type_hints(RESOURCE.list),
    find: get_type_hints(RESOURCE.find),
    get: get_type_hints(Conversations.get),
    ticket_url: get_type_hints(AsyncDesk.ticket_url),
    upload: get_type_hints(Files.upload),
    convert_a_backlog: get_type_hints(Job),
    convert_one_at_a_time: get_type_hints(Conversations.convert_many),
}
NOT_VALUES = ("return", "httpx_options", "jobs")
ARGUMENTS = [
    pytest.param(call, argument, hint, id=f"{call.__name__}-{argument}")
    for call, hints in CALLS.items()
    for argument, hint in hints.items()
    if argument not in NOT_VALUES
]


def just(*values: Any) -> st.SearchStrategy[Pair]:
    return st.sampled_from([(value, value) for value in values])


class Name(os.PathLike[str]):
    def __fspath__(self) -> str:
        return "missing/a.txt"


OTHER_KINDS: dict[Any, st.SearchStrategy[Pair]] = {
    bytes: st.binary(max_size=9).map(lambda content: (content, content)),
    float: FLOATS,
    httpx.AsyncBaseTransport: just(httpx.AsyncHTTPTransport(), FakeDesk().transport),
    httpx.Limits: just(httpx.Limits(), httpx.Limits(max_connections=1)),
    httpx.Proxy: just(httpx.Proxy("http://localhost:1")),
    httpx.Timeout: just(httpx.Timeout(5), httpx.Timeout(None)),
    httpx.URL: just(httpx.URL("http://localhost:1"), httpx.URL("a")),
    os.PathLike[str]: just(Path("missing"), Name()),
    RetryPolicy: just(ONCE),
    ssl.SSLContext: just(CONTEXT),
}
KINDS.update(OTHER_KINDS)


def values_of(hint: Any) -> st.SearchStrategy[Any]:
    """Return values for a type hint, without the types for which this module has no values."""
    members = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    return st.one_of([value for member in members for value in _values_of_member(member)])


def _values_of_member(hint: Any) -> list[st.SearchStrategy[Any]]:
    if hint is NoneType:
        return [st.none()]
    if get_origin(hint) is tuple:
        (item, *rest) = get_args(hint)
        return [st.lists(values_of(item), min_size=len(rest), max_size=len(rest) + 1).map(tuple)]
    if get_origin(hint) is Callable:
        return [st.just(str)]
    if get_origin(hint) is list:
        return [st.lists(values_of(*get_args(hint)), max_size=2)]
    if get_origin(hint) is Mapping and get_args(hint)[1] not in (Any, str):
        return [st.dictionaries(st.sampled_from(["all://", "a", "request"]), values_of(get_args(hint)[1]), max_size=2)]
    return [pairs_of(hint).map(lambda pair: pair[0])]


def respond(request: httpx.Request) -> httpx.Response:
    if "/convert.json" in request.url.path:
        return httpx.Response(200, json={"id": int(request.url.path.split("/")[-2]), "ticket_id": 7})
    if "/files/" in request.url.path:
        body = {"file": {"id": 5}, "params": {"key": "k"}, "url": "https://uploads.example.net/form"}
        return httpx.Response(200, json=body)
    return httpx.Response(200, json={})


def outcome_of(call: Call, arguments: dict[str, Any]) -> tuple[DeskError | None, list[httpx.Request]]:
    """Return the error of a call, and the requests that were sent."""
    requests: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return respond(request)

    async def main() -> DeskError | None:
        transport = httpx.MockTransport(handle)
        async with AsyncDesk(URL, token="any", transport=transport, retry=ONCE, verify_first=False) as desk:
            try:
                await call(desk, arguments)
            except DeskError as error:
                return error
        return None

    return anyio.run(main), requests


@pytest.mark.filterwarnings("ignore:email=:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:`cert=|`verify=:DeprecationWarning")  # httpx warns, and still reads them
@pytest.mark.parametrize(("call", "argument", "hint"), ARGUMENTS)
@settings(max_examples=6)
@given(data=st.data())
def test_a_value_of_a_valid_type_is_accepted_or_the_error_names_the_argument(
    call: Call, argument: str, hint: Any, data: st.DataObject
) -> None:
    error, requests = outcome_of(call, {argument: data.draw(values_of(hint))})
    if isinstance(error, (ConfigurationError, RequestError)):
        assert argument in str(error)
        assert requests == []


OTHERS: list[Any] = [*WRONG, 7, Int(7), Float(7), "text", [7], ["text"], {"a": 7}, {7: 7}, (), None, print, type]


@pytest.mark.filterwarnings("ignore:email=:DeprecationWarning")
@pytest.mark.parametrize(("call", "argument", "hint"), ARGUMENTS)
def test_a_value_of_another_type_is_refused_by_name(call: Call, argument: str, hint: Any) -> None:
    # A policy also accepts a list of pauses.
    wrong = [
        value
        for value in OTHERS
        if type_problem_of(argument, value, hint) and not (argument == "settle" and isinstance(value, list))
    ]
    assert wrong
    for value in wrong:
        error, requests = outcome_of(call, {argument: value})
        assert isinstance(error, (ConfigurationError, RequestError)), value
        assert str(error).startswith((f"{argument}:", f"{argument}.", f"{argument}[")), (value, error)
        assert requests == []
