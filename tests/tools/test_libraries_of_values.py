"""Values of real libraries as arguments: what type checkers accept is sent as plain JSON, and the rest is refused.

Every value goes to FakeDesk over a real socket.
"""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterator
from typing import Any

import freezegun
import markupsafe
import numpy
import pandas
import pendulum
import pytest

from teamwork_desk import AsyncDesk, CustomerRef, EntityRef, RequestError
from teamwork_desk.backlog import Converted, Failed
from teamwork_desk.testing import FakeDesk

pytestmark = pytest.mark.anyio

BERLIN = "Europe/Berlin"
TABLE = pandas.DataFrame({"id": [1, 2], "subject": ["Refund", None], "cc": ["jo@example.com", "al@example.com"]})

with freezegun.freeze_time("2026-06-01 12:00"):
    FROZEN_NOW = datetime.datetime.now(datetime.UTC)
    FROZEN_DAY = datetime.date.today()  # noqa: DTZ011


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # the server runs on asyncio only


@pytest.fixture
def fake_desk() -> FakeDesk:
    return FakeDesk()


@pytest.fixture
async def desk(fake_desk: FakeDesk) -> AsyncIterator[AsyncDesk]:
    async with fake_desk.serve() as url, AsyncDesk(url, token=markupsafe.Markup("any"), verify_first=False) as desk:
        yield desk


def test_the_values_have_the_types_of_the_libraries() -> None:
    assert type(FROZEN_NOW).__name__ == "FakeDatetime"
    assert type(TABLE["id"][0]).__module__ == "numpy"


TAGS = [{"id": 1}, {"id": 2}]
CC = ["jo@example.com", "al@example.com"]
REAL = numpy.float64(1.5)


@pytest.mark.parametrize(
    ("argument", "value", "sent"),
    [
        ("subject", numpy.str_("Refund"), "Refund"),
        ("message", markupsafe.Markup("<p>%s</p>") % "<b>", "<p>&lt;b&gt;</p>"),
        ("edit_method", numpy.str_("html"), "html"),
        ("customer", numpy.str_("jo@example.com"), {"email": "jo@example.com"}),
        ("customer", CustomerRef(email=markupsafe.Markup("jo@example.com")), {"email": "jo@example.com"}),
        ("inbox", EntityRef(id=7, type=numpy.str_("inboxes")), {"id": 7, "type": "inboxes"}),
        ("cc", numpy.array(CC), CC),
        ("cc", numpy.array(CC, dtype=object), CC),
        ("cc", TABLE["cc"], CC),
        ("cc", TABLE["cc"].set_axis([7, 8]), CC),
        ("cc", TABLE["cc"].astype("string"), CC),
        ("cc", TABLE["cc"].astype("category"), CC),
        ("cc", pandas.Index(CC), CC),
        ("cc", pandas.array(CC), CC),
        ("bcc", numpy.array([], dtype=str), []),
        ("tags", numpy.array([1, 2]), TAGS),
        ("tags", numpy.array([1, 2], dtype=numpy.uint8), TAGS),
        ("tags", numpy.array(["a", "b"]), ["a", "b"]),
        ("tags", TABLE["id"], TAGS),
        ("tags", TABLE["id"].astype("Int64"), TAGS),
        ("tags", pandas.RangeIndex(1, 3), TAGS),
        ("files", numpy.array([1, 2]), TAGS),
        ("files", TABLE["id"], TAGS),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_an_argument_is_sent_as_plain_json(
    argument: str, value: Any, sent: Any, desk: AsyncDesk, fake_desk: FakeDesk
) -> None:
    await desk.conversations.convert(42, **{argument: value})
    name = "editMethod" if argument == "edit_method" else argument
    assert fake_desk.tickets[0].body == {name: sent}


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (numpy.str_("gold"), "gold"),
        (REAL, 1.5),
        (markupsafe.Markup("<p>"), "<p>"),
        (pandas.Timestamp("2026-06-01 12:00:00.123456789", tz="UTC"), "2026-06-01T12:00:00.123456+00:00"),
        (pandas.Timestamp("2026-06-01 12:00", tz=BERLIN), "2026-06-01T12:00:00+02:00"),
        (pendulum.datetime(2026, 6, 1, 12, tz=BERLIN), "2026-06-01T12:00:00+02:00"),
        (pendulum.date(2026, 6, 1), "2026-06-01"),
        (FROZEN_NOW, "2026-06-01T12:00:00+00:00"),
        (FROZEN_DAY, "2026-06-01"),
        ({"a": [pendulum.datetime(2026, 6, 1)]}, {"a": ["2026-06-01T00:00:00+00:00"]}),
        ({numpy.str_("a"): numpy.array([1, 2]).tolist()}, {"a": [1, 2]}),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_a_value_of_a_custom_field_and_of_a_mapping_is_sent_as_plain_json(
    value: Any, sent: Any, desk: AsyncDesk, fake_desk: FakeDesk
) -> None:
    await desk.conversations.convert(42, customfields={272: value}, scheduled_email={"at": value})
    assert fake_desk.tickets[0].body == {
        "customfields": [{"id": 272, "meta": {"value": sent}}],
        "scheduledEmail": {"at": sent},
    }


AN_ID = "conversation_id: expected a positive int of at most 64 bits"
A_REFERENCE = "inbox: expected an EntityRef or an int"
ADDRESSES = "cc: expected a list or tuple of str"
NONE = "pass None for a missing value"


@pytest.mark.parametrize(
    ("argument", "value", "message"),
    [
        ("conversation_id", numpy.int64(42), f"{AN_ID}, got int64; pass int(...)"),
        ("conversation_id", numpy.float64(42), f"{AN_ID}, got float64; pass int(...)"),
        ("conversation_id", numpy.True_, f"{AN_ID}, got numpy.bool"),
        ("conversation_id", numpy.array([42]), f"{AN_ID}, got ndarray"),
        ("conversation_id", pandas.NA, f"{AN_ID}, got NAType"),
        ("inbox", TABLE["id"][0], f"{A_REFERENCE}, got int64; pass int(...)"),
        ("inbox", numpy.float64(7), f"{A_REFERENCE}, got float64; pass int(...)"),
        ("inbox", numpy.array([7]), f"{A_REFERENCE}, got ndarray"),
        ("inbox", pandas.NA, f"{A_REFERENCE}, got NAType; {NONE}"),
        ("inbox", pandas.NaT, f"{A_REFERENCE}, got NaTType; {NONE}"),
        ("inbox", EntityRef(id=numpy.int64(7)), "inbox.id: expected an int, got int64; pass int(...)"),
        ("customer", CustomerRef(id=numpy.int64(7)), "customer.id: expected an int, got int64; pass int(...)"),
        ("subject", numpy.nan, f"subject: expected a str, got float; {NONE}"),
        ("subject", numpy.bytes_(b"a"), "subject: expected a str, got bytes_"),
        ("notify_customer", numpy.True_, "notify_customer: expected a bool, got numpy.bool; pass bool(...)"),
        ("notify_customer", numpy.array([True]), "notify_customer: expected a bool, got ndarray"),
        ("verify_first", numpy.False_, "verify_first: expected a bool, got numpy.bool; pass bool(...)"),
        ("cc", TABLE, f"{ADDRESSES}, got DataFrame; pass a single column of it"),
        ("cc", numpy.array([CC]), f"{ADDRESSES}, got ndarray; pass a single column of it"),
        ("cc", numpy.array("jo@example.com"), f"{ADDRESSES}, got ndarray; pass a list, also for a single value"),
        ("cc", markupsafe.Markup("a@b.c"), f"{ADDRESSES}, got Markup; pass a list, also for a single value"),
        ("cc", pandas.Series(["a@b.c", None]), "cc[1]: expected a str, got float; leave out missing values"),
        ("files", pandas.array([1, None], dtype="Int64"), "files[1]: expected an EntityRef or an int, got NAType"),
        (
            "tags",
            numpy.array(["2026"], dtype="M8[ns]"),
            "tags[0]: expected an EntityRef, an int or a str, got datetime64",
        ),
        ("customfields", TABLE["id"], "customfields[0]: expected a CustomField, got int"),
        (
            "customfields",
            {numpy.int64(272): 1},
            "customfields: expected positive ints of at most 64 bits as ids, got int64; pass int(...)",
        ),
        ("scheduled_email", TABLE["id"], "scheduled_email: expected a dict with str keys, got Series"),
        ("scheduled_email", {"at": {numpy.int64(1): 1}}, "scheduled_email.at: expected a dict with str keys"),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_a_refusal_names_the_argument_and_what_helps(
    argument: str, value: Any, message: str, desk: AsyncDesk, fake_desk: FakeDesk
) -> None:
    with pytest.raises(RequestError) as caught:
        await desk.conversations.convert(**{"conversation_id": 42, argument: value})
    assert str(caught.value).startswith(message)
    assert fake_desk.requests == []


NAIVE = "the datetime needs a time zone, such as datetime.timezone.utc"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (numpy.int64(1), "int64 has no JSON form; pass .tolist()"),
        (numpy.True_, "numpy.bool has no JSON form; pass .tolist()"),
        (numpy.array([1, 2]), "ndarray has no JSON form; pass .tolist()"),
        (numpy.float64("nan"), "the value has no JSON form"),
        (numpy.datetime64("2026-01-01", "ns"), "the value has no JSON form (it is of the type datetime64)"),
        (pandas.NA, f"NAType has no JSON form; {NONE}"),
        (pandas.NaT, f"NaTType has no JSON form; {NONE}"),
        (pandas.Timestamp("2026-01-01"), NAIVE),
        (pendulum.naive(2026, 1, 1), NAIVE),
        (pendulum.duration(days=1), "the value has no JSON form (it is of the type Duration)"),
        (TABLE["id"], "Series has no JSON form; pass .tolist()"),
        (TABLE, "the value has no JSON form (it is of the type DataFrame)"),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_a_value_without_a_json_form_is_named_with_its_path(
    value: Any, message: str, desk: AsyncDesk, fake_desk: FakeDesk
) -> None:
    for arguments, path in (
        ({"customfields": {272: {"a": [value]}}}, "customfields[272].a[0]"),
        ({"scheduled_email": {"at": value}}, "scheduled_email.at"),
    ):
        with pytest.raises(RequestError) as caught:
            await desk.conversations.convert(42, **arguments)
        assert str(caught.value).startswith(f"{path}: {message}")
    with pytest.raises(RequestError) as caught:
        await anext(desk.conversations.list(filter={"createdAt": {"$gt": value}}))
    assert str(caught.value).startswith(f"filter.createdAt.$gt: {message}")
    assert fake_desk.requests == []


async def test_a_column_of_ids_is_a_backlog(desk: AsyncDesk, fake_desk: FakeDesk) -> None:
    for jobs in (TABLE["id"], numpy.array([3, 4])):
        outcomes = [outcome async for outcome in desk.conversations.convert_many(jobs)]
        assert all(isinstance(outcome, Converted) for outcome in outcomes)
    assert {ticket.conversation_id for ticket in fake_desk.tickets} == {1, 2, 3, 4}


async def test_the_rows_of_a_table_are_jobs_and_a_table_is_not(desk: AsyncDesk, fake_desk: FakeDesk) -> None:
    table = TABLE.rename(columns={"id": "conversation_id"}).drop(columns="cc")
    with pytest.raises(RequestError, match=r"^jobs: expected a list .*, got DataFrame; pass its rows as dicts$"):
        desk.conversations.convert_many(table)
    jobs = table.to_dict("records")
    outcomes = [outcome async for outcome in desk.conversations.convert_many(jobs, concurrency=1)]
    assert isinstance(outcomes[0], Converted)
    assert isinstance(outcomes[1], Failed)
    assert str(outcomes[1].error) == f"subject: expected a str, got float; {NONE}"
    assert fake_desk.tickets[0].body == {"subject": "Refund"}


async def test_a_client_works_while_the_time_is_frozen(desk: AsyncDesk, fake_desk: FakeDesk) -> None:
    with freezegun.freeze_time("2026-06-01 12:00", real_asyncio=True):
        now = datetime.datetime.now(datetime.UTC)
        await desk.conversations.convert(42, scheduled_email={"at": now})
    assert fake_desk.tickets[0].body == {"scheduledEmail": {"at": "2026-06-01T12:00:00+00:00"}}
