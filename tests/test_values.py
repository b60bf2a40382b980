"""Values that type checkers accept are accepted at run time, and are sent as the plain values that they are.

Values that type checkers reject are rejected before anything is sent, with a message that fits the type hint.
"""

from __future__ import annotations

import datetime
import enum
import json
import math
from collections import OrderedDict, UserDict, UserList, UserString, defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from types import MappingProxyType, NoneType, SimpleNamespace, UnionType
from typing import Any, Literal, SupportsIndex, Union, get_args, get_origin, get_type_hints

import anyio
import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teamwork_desk import (
    AsyncDesk,
    ConfigurationError,
    CustomerRef,
    CustomField,
    CustomFieldMeta,
    EntityRef,
    RequestError,
    RetryPolicy,
    _wire,
)
from teamwork_desk._conversations import ConvertedFields
from teamwork_desk._values import SequenceNotStr, problem_of
from teamwork_desk.backlog import Job, convert_many
from teamwork_desk.testing import FakeDesk

HINTS = get_type_hints(ConvertedFields)

NAIVE = datetime.datetime(2026, 1, 1)  # noqa: DTZ001 - a time without a time zone


class Number(enum.IntEnum):
    SEVEN = 7


class Word(str, enum.Enum):  # noqa: UP042 - its text differs from its value, unlike that of a StrEnum
    HTML = "html"


class Int(int):
    """Its text is not its value."""

    def __repr__(self) -> str:
        return "an id"

    __str__ = __repr__


class Str(str):
    """Its text is not its value, as with a class for safe HTML."""

    __slots__ = ()

    def __str__(self) -> str:
        return "something else"


class Float(float):
    pass


class Moment(datetime.datetime):
    """Its ISO form differs, as with the classes of some libraries for dates."""

    def isoformat(self, *_: Any, **__: Any) -> str:
        return "later"


INTS: list[Callable[[int], int]] = [int, Int, lambda value: Number.SEVEN if value == 7 else Int(value)]
STRS: list[Callable[[str], str]] = [str, Str, lambda value: Word.HTML if value == "html" else Str(value)]
SEQUENCES: list[Callable[[list[Any]], Any]] = [list, tuple, deque, UserList, type("Items", (list,), {})]
MAPPINGS: list[Callable[[dict[Any, Any]], Any]] = [
    dict,
    OrderedDict,
    UserDict,
    MappingProxyType,
    lambda value: defaultdict(int, value),
]

Pair = tuple[Any, Any]
"""A value, and the plain value that is sent for it."""
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=9)


def pairs_of(hint: Any) -> st.SearchStrategy[Pair]:
    """Return pairs for a type hint, with subclasses of its types."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return st.one_of([pairs_of(each) for each in inner if each is not NoneType])
    if origin is Literal:
        return pairs_of(str)
    if origin in (Sequence, SequenceNotStr):
        return st.tuples(st.sampled_from(SEQUENCES), st.lists(pairs_of(*inner), max_size=3)).map(
            lambda drawn: (drawn[0]([value for value, _ in drawn[1]]), [plain for _, plain in drawn[1]])
        )
    if origin is Mapping:
        return st.tuples(
            st.sampled_from(MAPPINGS),
            st.dictionaries(st.integers(1, 9) if inner[0] is int else text, pairs_of(inner[1]), min_size=1, max_size=3),
        ).map(
            lambda drawn: (
                drawn[0]({wrapped(key): value for key, (value, _) in drawn[1].items()}),
                {key: plain for key, (_, plain) in drawn[1].items()},
            )
        )
    return KINDS[hint]


def wrapped(key: Any) -> Any:
    return Int(key) if isinstance(key, int) else Str(key)


INT = st.tuples(st.sampled_from(INTS), st.integers(1, 2**63 - 1) | st.just(7)).map(
    lambda drawn: (drawn[0](drawn[1]), drawn[1])
)
STR = st.tuples(st.sampled_from(STRS), text | st.just("html")).map(lambda drawn: (drawn[0](drawn[1]), drawn[1]))
FLOATS: st.SearchStrategy[Pair] = st.one_of(
    st.floats().map(lambda value: (Float(value), value)), st.integers(-1, 99).map(lambda value: (Int(value), value))
)
NOON = datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.UTC)
JSON: st.SearchStrategy[Pair] = st.one_of(
    INT,
    STR,
    st.floats(allow_nan=False, allow_infinity=False).map(lambda value: (Float(value), value)),
    st.sampled_from([(Moment(2026, 1, 1, 12, tzinfo=datetime.UTC), NOON.isoformat()), (NOON.date(), "2026-01-01")]),
    st.lists(STR, max_size=2).map(lambda drawn: (tuple(value for value, _ in drawn), [plain for _, plain in drawn])),
    st.dictionaries(text, INT, max_size=2).map(
        lambda drawn: (
            OrderedDict((Str(key), value) for key, (value, _) in drawn.items()),
            {key: plain for key, (_, plain) in drawn.items()},
        )
    ),
)
KINDS: dict[Any, st.SearchStrategy[Pair]] = {
    Any: JSON,
    bool: st.booleans().map(lambda value: (value, value)),
    int: INT,
    str: STR,
    EntityRef: st.tuples(INT, STR).map(
        lambda drawn: (EntityRef(id=drawn[0][0], type=drawn[1][0]), EntityRef(id=drawn[0][1], type=drawn[1][1]))
    ),
    CustomerRef: INT.map(lambda drawn: (CustomerRef(id=drawn[0]), CustomerRef(id=drawn[1]))),
    CustomField: st.tuples(INT, JSON).map(
        lambda drawn: (
            CustomField(id=drawn[0][0], meta=CustomFieldMeta(value=drawn[1][0])),
            CustomField(id=drawn[0][1], meta=CustomFieldMeta(value=drawn[1][1])),
        )
    ),
}


class Recorder:
    """A server on a real socket: it records the body of each conversion."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.bodies.append(request.content)
        return httpx.Response(200, json={"id": 42, "ticket_id": 7})


def sent(arguments: Mapping[str, Any], conversation_id: int = 42) -> bytes:
    """Return the body that is sent for arguments of `convert`."""
    recorder = Recorder()

    async def main() -> None:
        transport = httpx.MockTransport(recorder)
        async with AsyncDesk("https://a.example", token="any", transport=transport, verify_first=False) as desk:
            await desk.conversations.convert(conversation_id, **arguments)

    anyio.run(main)
    return recorder.bodies[0]


@pytest.mark.parametrize("argument", HINTS)
@settings(max_examples=12)
@given(data=st.data())
def test_a_value_of_a_subclass_is_sent_as_the_plain_value(argument: str, data: st.DataObject) -> None:
    value, plain = data.draw(pairs_of(HINTS[argument]))
    assert problem_of(argument, value, HINTS[argument]) is None
    # orjson and json write some floats differently, and orjson does not encode subclasses of float.
    assert json.loads(sent({argument: value}, Int(42))) == json.loads(sent({argument: plain}))


@given(JSON)
@settings(max_examples=50)
def test_json_is_the_same_with_and_without_orjson(pair: Pair) -> None:
    value, plain = pair
    encoded = [_wire.encode_json({"a": each}) for each in (value, plain)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_wire, "orjson", None)
        encoded += [_wire.encode_json({"a": each}) for each in (value, plain)]
    assert [json.loads(each) for each in encoded] == [{"a": plain}] * 4


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # the server runs on asyncio only
async def test_subclasses_reach_a_server_as_plain_json() -> None:
    fake = FakeDesk(conversations=[Number.SEVEN, 8, 9], token=Word.HTML)
    fake.fail(status=Int(503), body=MappingProxyType({"a": Word.HTML}), headers=OrderedDict({"Retry-After": "0"}))
    async with fake.serve() as url, AsyncDesk(Str(url), token=Word.HTML, timeout=Float(9), deadline=Int(60)) as desk:
        tags: deque[EntityRef | int | str] = deque([Word.HTML, Number.SEVEN])
        await desk.conversations.convert(
            Number.SEVEN, inbox=Number.SEVEN, message=Str("<p>"), tags=tags, edit_method=Word.HTML, files=range(1, 3)
        )
        assert fake.tickets[0].body == {
            "inbox": {"id": 7},
            "message": "<p>",
            "tags": ["html", {"id": 7}],
            "editMethod": "html",
            "files": [{"id": 1}, {"id": 2}],
        }
        fake.assert_converted_once(Number.SEVEN, tags=tags, inbox=Number.SEVEN, message=Str("<p>"))
        jobs: list[Job | int] = [Int(8), {"conversation_id": Int(9), "subject": Str("a")}]
        outcomes = [outcome async for outcome in desk.with_options(deadline=Int(9)).conversations.convert_many(jobs)]
        assert all(outcome.error is None and type(outcome.conversation_id) is int for outcome in outcomes)
        query: Mapping[str, Any] = MappingProxyType({Str("id"): UserDict({"$in": (Number.SEVEN, Int(8))})})
        listed = desk.conversations.list(filter=query, order_by=Str("id"), order_mode=Str("asc"))
        assert {conversation.id async for conversation in listed} == {7, 8}
        assert (await desk.conversations.get(Number.SEVEN)).id == 7
        uploaded = await desk.files.upload(type("Bytes", (bytes,), {})(b"a"), filename=Word.HTML, mime_type=Str("a/b"))
        assert fake.files[uploaded.id or 0].filename == "html"
        assert desk.ticket_url(Number.SEVEN).endswith("/tickets/7")


def test_a_policy_accepts_subclasses() -> None:
    pauses = type("Pauses", (tuple,), {})((Int(1), Float(2)))
    assert RetryPolicy(max_attempts=Number.SEVEN, backoff_base=Int(1), on_unknown="verify", settle=pauses).settle == (
        1,
        2,
    )


# What is rejected

WORDS: dict[Any, str] = {int: "int", str: "str", bool: "bool"}


def names_in(hint: Any) -> set[str]:
    """Return the names that a message about a type hint must contain."""
    inner = get_args(hint)
    if get_origin(hint) is Literal:
        return {f'"{choice}"' for choice in inner}
    if get_origin(hint) in (Sequence, SequenceNotStr):
        return {"list", "tuple"}.union(*map(names_in, inner))
    if get_origin(hint) is Mapping:
        return {"dict", WORDS[inner[0]]}
    if inner:
        return {name for each in inner for name in names_in(each)}
    name = WORDS.get(hint) or str(hint.__name__)
    return {name} - {"NoneType"}


class NumpyInt:
    """An integer that is not an int, as in numpy."""

    def __index__(self) -> int:
        return 7


def anything(value: Any) -> Any:
    """Hide a type from the type checkers."""
    return value


class Array(UserList[Any]):
    """An array or a table, as in numpy and pandas. tests/tools has the real ones."""

    def __init__(self, values: Iterable[Any], *, kind: str = "O", ndim: int = 1) -> None:
        super().__init__(values)
        self.dtype = SimpleNamespace(kind=kind)
        self.ndim = ndim

    def tolist(self) -> list[Any]:
        return [int(each) if isinstance(each, SupportsIndex) else each for each in self]

    def to_dict(self) -> dict[str, Any]:
        return dict.fromkeys(map(str, self))


MISSING = type("NAType", (), {})()
numpy_bool = type("bool", (), {"__module__": "numpy"})()


def test_an_array_of_integers_is_sent_as_ints() -> None:
    numbers = Array([NumpyInt(), NumpyInt()], kind="i")
    assert json.loads(sent({"tags": numbers})) == {"tags": [{"id": 7}, {"id": 7}]}


WRONG: list[Any] = [object(), 7.5, True, b"a", NumpyInt(), {1}, (each for each in [1]), iter(["a"]), 1j, "\ud800"]


@pytest.mark.parametrize("value", WRONG, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("argument", HINTS)
async def test_a_message_names_the_argument_and_every_type_of_its_hint(argument: str, value: Any) -> None:
    if isinstance(value, bool) and argument == "notify_customer":
        return
    fake = FakeDesk()
    async with AsyncDesk("https://a.example", token="any", transport=fake.transport) as desk:
        with pytest.raises(RequestError) as caught:
            await desk.conversations.convert(42, **{argument: anything(value)})
    assert fake.requests == []
    message = str(caught.value)
    assert message.startswith((f"{argument}: ", f"{argument}."))
    if isinstance(value, str) and str in get_args(HINTS[argument]):
        assert "valid text" in message
    else:
        assert f", got {type(value).__name__}" in message
        missing = {name for name in names_in(HINTS[argument]) if name not in message}
        assert not missing, message
    for word in ("string", "integer", "boolean", "array", "object ", "number "):
        assert word not in message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cc": (each for each in ["a@b.c"])}, "cc: expected a list or tuple of str, got generator; pass list(...)"),
        ({"tags": {"a"}}, "tags: expected a list or tuple of EntityRef, int or str, got set; pass list(...)"),
        ({"bcc": ["a@b.c", 7]}, "bcc[1]: expected a str, got int"),
        ({"bcc": {"a": 1}.keys()}, "bcc: expected a list or tuple of str, got dict_keys; pass list(...)"),
        ({"inbox": NumpyInt()}, "inbox: expected an EntityRef or an int, got NumpyInt; pass int(...)"),
        ({"edit_method": 7}, 'edit_method: expected "html" or "markdown" or a str, got int'),
        ({"scheduled_email": {"at": {1}}}, "scheduled_email.at: set has no JSON form; pass list(...)"),
        ({"message": "\ud800"}, "message: the value has no JSON form: use plain values, finite numbers and valid text"),
        ({"inbox": 7.0}, "inbox: expected an EntityRef or an int, got float; pass int(...)"),
        ({"inbox": {"id": 7}}, "inbox: expected an EntityRef or an int, got dict"),
        ({"subject": MISSING}, "subject: expected a str, got NAType; pass None for a missing value"),
        ({"cc": ["a@b.c", math.nan]}, "cc[1]: expected a str, got float; leave out missing values"),
        ({"cc": Array([], ndim=2)}, "cc: expected a list or tuple of str, got Array; pass a single column of it"),
        ({"cc": Array([], ndim=0)}, "cc: expected a list or tuple of str, got Array; pass a list, also for a single"),
        ({"notify_customer": numpy_bool}, "notify_customer: expected a bool, got numpy.bool; pass bool(...)"),
        ({"customfields": {7: MISSING}}, "customfields[7]: NAType has no JSON form; pass None for a missing value"),
        ({"customfields": {7: Array([1], kind="i")}}, "customfields[7]: Array has no JSON form; pass .tolist()"),
        ({"customfields": {7: Array([1], ndim=2)}}, "customfields[7]: the value has no JSON form (it is of the type A"),
        ({"scheduled_email": {"at": {(): 1}}}, "scheduled_email.at: expected a dict with str keys"),
        (
            {"customer": CustomerRef(id=anything(NumpyInt()))},
            "customer.id: expected an int, got NumpyInt; pass int(...)",
        ),
        ({"customer": 7.5}, "customer: expected a CustomerRef, an int (an id) or a str (an email address), got float"),
    ],
    ids=lambda value: "" if isinstance(value, str) else next(iter(value)),
)
async def test_a_message_says_what_helps(arguments: dict[str, Any], message: str, desk: AsyncDesk) -> None:
    with pytest.raises(RequestError) as caught:
        await desk.conversations.convert(42, **arguments)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"filter": '{"id": 7}'}, "filter: expected a dict with str keys, such as"),
        ({"filter": {"id": {7}}}, "filter.id: set has no JSON form; pass list(...)"),
        ({"filter": {"id": {"$in": range(2)}}}, "filter.id.$in: range has no JSON form; pass list(...)"),
        (
            {"filter": {"$or": [{"id": 1}, {"id": 1j}]}},
            "filter.$or[1].id: the value has no JSON form (it is of the type complex)",
        ),
        (
            {"filter": {"createdAt": {"$gt": NAIVE}}},
            "filter.createdAt.$gt: the datetime needs a time zone",
        ),
        ({"order_by": 7}, "order_by: expected a str, got int"),
        ({"order_mode": True}, "order_mode: expected a str, got bool"),
        ({"order_by": "\ud800"}, "order_by: the value has no JSON form"),
    ],
    ids=str,
)
async def test_a_listing_rejects_arguments_of_other_types(
    arguments: dict[str, Any], message: str, fake_desk: FakeDesk, desk: AsyncDesk
) -> None:
    for listing in (desk.conversations.list, desk.inboxes.list):
        with pytest.raises(RequestError) as caught:
            _ = [each async for each in listing(**arguments)]
        assert str(caught.value).startswith(message)
    assert fake_desk.requests == []


@pytest.mark.parametrize("jobs", [42, "42", b"42", {"conversation_id": 42}, None], ids=repr)
def test_a_backlog_that_is_not_a_list_of_jobs_is_rejected_at_once(jobs: Any, desk: AsyncDesk) -> None:
    starts: list[Callable[[Any], object]] = [
        desk.conversations.convert_many,
        partial(convert_many, desk.conversations.convert),
    ]
    for start in starts:
        with pytest.raises(RequestError, match=f"^jobs: expected a list .*, got {type(jobs).__name__}$"):
            start(anything(jobs))


def test_a_table_is_not_a_backlog(desk: AsyncDesk) -> None:
    with pytest.raises(RequestError, match=r"^jobs: expected a list .*, got Array; pass its rows as dicts$"):
        desk.conversations.convert_many(Array(["id"], ndim=2))


def test_a_generator_of_pauses_is_rejected() -> None:
    pauses: Iterable[float] = (pause for pause in [1.0])
    with pytest.raises(ConfigurationError, match=r"^settle: expected a tuple of seconds, got generator"):
        RetryPolicy(settle=anything(pauses))


@pytest.mark.parametrize(
    "jobs", [bytearray(b"ab"), memoryview(b"cd"), UserString("11")], ids=lambda jobs: type(jobs).__name__
)
def test_single_values_are_not_iterables_of_jobs(jobs: Any, desk: AsyncDesk) -> None:
    with pytest.raises(RequestError, match=f"^jobs: expected a list .*, got {type(jobs).__name__}$"):
        desk.conversations.convert_many(jobs)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tags": 4}, "tags: expected a list or tuple of EntityRef, int or str, got int"),
        ({"files": 5}, "files: expected a list or tuple of EntityRef or int, got int"),
        ({"subject": UserString("x")}, "subject: expected a str, got UserString"),
        (
            {"scheduled_email": {"at": NAIVE}},
            "scheduled_email.at: the datetime needs a time zone",
        ),
    ],
    ids=str,
)
async def test_a_message_is_about_the_value_that_was_passed(
    arguments: dict[str, Any], message: str, desk: AsyncDesk
) -> None:
    with pytest.raises(RequestError) as caught:
        await desk.conversations.convert(7, **arguments)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("path", ["/tmp/a\\b.txt", "/tmp/", "/tmp/a\0b"])
async def test_a_path_without_a_name_that_can_be_sent_is_named(path: str, desk: AsyncDesk) -> None:
    with pytest.raises(RequestError, match=r"^path_or_bytes: the path does not end with a name that can be sent"):
        await desk.files.upload(path)


async def test_a_media_type_may_have_a_quoted_parameter(desk: AsyncDesk, fake_desk: FakeDesk) -> None:
    await desk.files.upload(b"x", filename="a.txt", mime_type='text/plain; charset="utf-8"')
    (file,) = fake_desk.files.values()
    assert file.mime_type == 'text/plain; charset="utf-8"'


async def test_a_name_that_cannot_be_encoded_is_named(desk: AsyncDesk) -> None:
    with pytest.raises(RequestError, match=r"^name: expected text that UTF-8 can encode$"):
        await desk.inboxes.find("Support\ud800")


@pytest.mark.filterwarnings("ignore:`cert=...` is deprecated:DeprecationWarning")  # httpx warns, and still reads it
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"transport": httpx.HTTPTransport}, "transport: expected an AsyncBaseTransport, got type"),
        ({"limits": 5}, "limits: expected a Limits, got int"),
        ({"mounts": 5}, "mounts: expected a dict with str keys, got int"),
        ({"proxy": 5}, "proxy: expected a URL, a str or a Proxy, got int"),
        ({"proxy": "http://"}, "proxy: the URL of the proxy has no host"),
        ({"trust_env": "no"}, "trust_env: expected a bool, got str"),
        ({"verify": 5}, "verify: expected a SSLContext, a str or a bool, got int"),
        ({"cert": "/missing"}, "verify, cert: the certificates cannot be read: No such file or directory"),
        ({"event_hooks": {"request": print}}, "event_hooks: expected lists of functions, got"),
        ({"token": b"t"}, "token: expected a str of visible ASCII, without white space, got bytes"),
    ],
)
def test_an_option_of_another_type_is_named(options: dict[str, Any], message: str) -> None:
    any_desk: Any = AsyncDesk
    with pytest.raises(ConfigurationError) as caught:
        any_desk("https://acme.teamwork.com", **{"token": "t", **options})
    assert str(caught.value).startswith(message)
