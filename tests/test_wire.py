"""JSON in requests and responses: orjson and json give the same bytes, the same values and the same errors."""

from __future__ import annotations

import asyncio
import datetime
import importlib.util
import json
import math
import sys
import time
from functools import reduce
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from teamwork_desk import RequestError, _wire
from teamwork_desk._wire import decode_json, encode_json
from teamwork_desk_api.types import DecodeError

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
TOO_DEEP: Any = reduce(lambda inner, _: [inner], range(100_000), list[Any]())


@pytest.fixture(params=["orjson", "json"], autouse=True)
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "json":
        monkeypatch.setattr(_wire, "orjson", None)
    else:
        pytest.importorskip("orjson")
    return str(request.param)


@given(value=VALUES)
@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
def test_encoded_json_is_decoded_to_the_same_value(value: Any) -> None:
    content = encode_json(value)
    assert decode_json(content) == value
    if content:
        assert json.loads(content) == value


@pytest.mark.parametrize(
    ("body", "content"),
    [
        (None, b""),
        ({}, b"{}"),
        ({"a": "é", "b": [1, 2.5, None]}, '{"a":"é","b":[1,2.5,null]}'.encode()),
        ({"id": 2**70}, b'{"id":1180591620717411303424}'),
        ({1: 2}, b'{"1":2}'),
    ],
)
def test_a_request_body_is_encoded_without_spaces_in_utf_8(body: Any, content: bytes) -> None:
    assert encode_json(body) == content


@pytest.mark.parametrize(
    "body",
    [
        {"a": math.nan},
        {"a": [math.inf]},
        {"a": "\ud800"},
        {"a": object()},
        {"a": {1, 2}},
        {"a": datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC).replace(tzinfo=None)},
        {"a": b"bytes"},
        TOO_DEEP,
    ],
    ids=[
        "NaN",
        "infinity",
        "a lone surrogate",
        "an object",
        "a set",
        "a datetime without a time zone",
        "bytes",
        "too deep",
    ],
)
def test_a_request_body_without_a_json_form_is_rejected(body: Any) -> None:
    with pytest.raises(RequestError, match="no JSON form") as caught:
        encode_json(body)
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (b"", None),
        (b' {"a": 1}\n', {"a": 1}),
        ('{"a": "é"}'.encode("utf-16"), {"a": "é"}),
        (b'"\\ud800"', "\ud800"),
        (b"[1e400]", [math.inf]),
    ],
    ids=["empty", "white space", "UTF-16", "a lone surrogate", "too large"],
)
def test_a_response_body_is_decoded(content: bytes, value: Any) -> None:
    assert decode_json(content) == value


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"<html>", "not JSON"), (b"\xff", "not JSON"), (b'{"a": 1', "not JSON"), (b"[" * 10**4, "nested too deeply")],
    ids=["HTML", "not UTF-8", "cut off", "too deep"],
)
def test_a_response_body_that_is_not_json_is_rejected(content: bytes, reason: str) -> None:
    with pytest.raises(DecodeError, match=reason) as caught:
        decode_json(content)
    assert caught.value.__context__ is None


def test_the_json_module_is_used_if_orjson_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "orjson", None)
    source = importlib.util.spec_from_file_location("teamwork_desk._without_orjson", _wire.__file__)
    assert source is not None
    assert source.loader is not None
    module = importlib.util.module_from_spec(source)
    monkeypatch.setitem(sys.modules, source.name, module)
    source.loader.exec_module(module)
    assert module.orjson is None
    assert module.encode_json({"a": [1]}) == b'{"a":[1]}'


# The clock of a body


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_clock_that_stands_still_until_its_loop_turns_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "time", lambda: 0.0)
    assert _wire.now() < 1
    monkeypatch.setitem(sys.modules, "uvloop", SimpleNamespace(Loop=type(loop)))
    assert _wire.now() >= time.monotonic() - 1


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_system_without_further_clocks_has_the_clock_of_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CLOCK_BOOTTIME", "CLOCK_MONOTONIC"):
        monkeypatch.delattr(time, name, raising=False)
    assert _wire.now() <= asyncio.get_running_loop().time()
