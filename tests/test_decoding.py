"""Reading leniently and writing strictly: the runtime that the generated models stand on."""

from __future__ import annotations

import datetime
import enum
import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from teamwork_desk_api import models, types
from teamwork_desk_api.api.conversations.convert_conversation import convert_conversation
from teamwork_desk_api.api.conversations.list_conversations import list_conversations
from teamwork_desk_api.models import Conversation, ConversationPage, ConvertConversation, CustomField, EntityRef

UTC = datetime.UTC
NOON = datetime.datetime(2024, 12, 19, 12, 0, tzinfo=UTC)


class Drift(list[tuple[str, str, str]]):
    """A hook that remembers what it is told."""

    def __call__(self, path: str, expected: str, got: str) -> None:
        self.append((path, expected, got))


# One value

DECODERS: dict[str, types.Decoder[Any]] = {
    "boolean": types.decode_bool,
    "date": types.decode_date,
    "date-time": types.decode_datetime,
    "integer": types.decode_int,
    "number": types.decode_float,
    "string": types.decode_str,
    "uuid": types.decode_uuid,
}

JSON: dict[str, list[Any]] = {
    "array": [[], ["2024-12-19"]],
    "boolean": [True, False],
    "integer": [0, 1],
    "number": [0.0, 1.5],
    "object": [{}, {"id": 1}],
    "string": ["", "abc", "1", "true"],
}
"""Values of each JSON type, none of them a date, a date-time or a UUID."""

ACCEPTED = {"boolean": {"boolean"}, "integer": {"integer"}, "number": {"integer", "number"}, "string": {"string"}}
"""The JSON types that each decoder takes as they are."""


@pytest.mark.parametrize("expected", DECODERS)
@pytest.mark.parametrize(("got", "value"), [(got, value) for got, values in JSON.items() for value in values])
def test_a_value_is_kept_as_it_is_or_becomes_none_and_is_told_once(expected: str, got: str, value: Any) -> None:
    drift = Drift()
    decoded = DECODERS[expected](value, None, "key", drift)
    if got in ACCEPTED.get(expected, ()):
        assert decoded is value
        assert drift == []
    else:
        assert decoded is None
        assert drift == [("key", expected, got)]


@pytest.mark.parametrize("expected", DECODERS)
def test_null_is_none_and_not_told(expected: str) -> None:
    drift = Drift()
    assert DECODERS[expected](None, None, "key", drift) is None
    assert drift == []


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-12-19T12:00:00Z", NOON),
        ("2024-12-19T12:00:00.000Z", NOON),
        ("2024-12-19T12:00:00.123456789Z", NOON.replace(microsecond=123456)),
        ("2024-12-19T14:00:00+02:00", NOON),
        ("2024-12-19T12:00:00+00", NOON),
        ("2024-12-19 12:00:00Z", NOON),
        ("20241219T120000Z", NOON),
        ("2024-12-19T12:00:00", NOON),
        ("2024-12-19", NOON.replace(hour=0)),
        # What datetime.fromisoformat of the oldest Python refuses.
        ("2024-12-19T24:00:00Z", datetime.datetime(2024, 12, 20, tzinfo=UTC)),
        ("2024-12-19T12:00:00z", NOON),
        ("2024-12", datetime.datetime(2024, 12, 1, tzinfo=UTC)),
    ],
)
def test_every_legal_form_of_a_moment_is_read_and_has_a_zone(text: str, moment: datetime.datetime) -> None:
    drift = Drift()
    decoded = types.decode_datetime(text, None, "key", drift)
    assert decoded == moment
    assert decoded is not None
    assert decoded.tzinfo is not None
    assert drift == []


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00", "0001-01-01T00:00:00+00:00"])
def test_the_zero_time_of_go_is_none_and_not_told(text: str) -> None:
    drift = Drift()
    assert types.decode_datetime(text, None, "key", drift) is None
    assert drift == []


@pytest.mark.parametrize(
    "text", ["soon", "2024-13-01T00:00:00Z", "2024-12-19T12:00:00 o'clock", "9999-12-31T24:00:00Z"]
)
def test_what_is_no_moment_is_told(text: str) -> None:
    drift = Drift()
    assert types.decode_datetime(text, None, "key", drift) is None
    assert drift == [("key", "date-time", "string")]


# Whole models

TOLD: list[tuple[dict[str, Any], list[tuple[str, str, str]]]] = [
    ({"id": "hush"}, [("id", "integer", "string")]),
    ({"id": True}, [("id", "integer", "boolean")]),
    ({"ticket_id": 1.5}, [("ticket_id", "integer", "number")]),
    ({"token": 1}, [("token", "string", "integer")]),
    ({"createdAt": 1734624154}, [("createdAt", "date-time", "integer")]),
    ({"contact": []}, [("contact", "object", "array")]),
    ({"contact": {"isMain": "hush"}}, [("contact.isMain", "boolean", "string")]),
    ({"contact": {"createdBy": {"id": "hush"}}}, [("contact.createdBy.id", "integer", "string")]),
    ({"contact": {"createdBy": {"type": 1.5}}}, [("contact.createdBy.type", "string or integer", "number")]),
    ({"contact": {"createdBy": {"meta": "hush"}}}, [("contact.createdBy.meta", "object", "string")]),
    ({"messages": {}}, [("messages", "array", "object")]),
    ({"messages": [{"id": "hush"}, {"id": 2}]}, [("messages[].id", "integer", "string")]),
    ({"messages": ["hush"]}, [("messages[]", "object", "string")]),
    ({"messages": [None, {"id": 2}]}, [("messages[]", "a value", "null")]),
    (
        {"filter_args": {"ids": [1, "hush", None]}},
        [("filter_args.ids[]", "integer", "string"), ("filter_args.ids[]", "a value", "null")],
    ),
    ({"filter_args": {"aggregate": {"Distinct": 1}}}, [("filter_args.aggregate.Distinct", "boolean", "integer")]),
]


@pytest.mark.parametrize(("payload", "told"), TOLD)
def test_what_the_contract_does_not_foresee_is_told_by_path_and_never_by_value(
    payload: dict[str, Any], told: list[tuple[str, str, str]]
) -> None:
    drift = Drift()
    conversation = Conversation.from_dict({"state": "active", **payload}, None, drift)
    assert drift == told
    assert "hush" not in repr(drift)
    assert conversation.state == "active"


def test_an_unforeseen_value_costs_nothing_but_itself() -> None:
    conversation = Conversation.from_dict(
        {"id": 1, "token": 5, "contact": {"id": "x", "value": "jo@example.com"}, "messages": [None, 7, {"id": 2}]}
    )
    assert conversation == Conversation(
        id=1, contact=models.Contact(value="jo@example.com"), messages=[EntityRef(id=2)]
    )


@pytest.mark.parametrize(
    ("value", "expected"), [("users", "users"), (0, 0), (None, None), (True, None), ([], None), ({}, None)]
)
def test_a_union_takes_each_of_its_types(value: Any, expected: Any) -> None:
    drift = Drift()
    assert EntityRef.from_dict({"type": value}, None, drift).type == expected
    assert len(drift) == (value is not None and expected is None)


def test_a_list_of_a_union_takes_each_of_its_types() -> None:
    drift = Drift()
    body = ConvertConversation.from_dict({"tags": ["billing", {"id": 3}, 5]}, None, drift)
    assert body.tags == ["billing", EntityRef(id=3)]
    assert drift == [("tags[]", "object or string", "integer")]


def test_a_map_keeps_its_keys_and_the_values_that_fit() -> None:
    drift = Drift()
    validator = models.Validator.from_dict(
        {"errors": {"customer.email": ["must be set"], "inbox": "must be set", "tags": None}}, None, drift
    )
    assert validator.errors == {"customer.email": ["must be set"]}
    assert drift == [("errors.*", "array", "string")]


# Whole answers


def decode_convert(payload: Any, hook: types.Hook = types.ignore) -> Conversation:
    return convert_conversation(42, body=ConvertConversation()).decode(payload, hook)


@pytest.mark.parametrize(
    "payload",
    [
        {"id": 42, "ticket_id": 7},
        {"conversation": {"id": 42, "ticket_id": 7}, "included": {}},
    ],
    ids=["bare", "enveloped"],
)
def test_an_answer_is_read_bare_and_in_its_envelope(payload: Any) -> None:
    assert decode_convert(payload) == Conversation(id=42, ticket_id=7)


def test_a_path_is_the_same_bare_and_in_an_envelope() -> None:
    answer = {"id": 42, "contact": {"createdBy": {"id": "x"}}}
    bare, enveloped = Drift(), Drift()
    decode_convert(answer, bare)
    decode_convert({"conversation": answer}, enveloped)
    assert bare == enveloped == [("contact.createdBy.id", "integer", "string")]


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (None, "expected an object, got null"),
        ([], "expected an object, got array"),
        ([{"id": 42}], "expected an object, got array"),
        ("hush", "expected an object, got string"),
        (42, "expected an object, got integer"),
        (True, "expected an object, got boolean"),
        ({}, "the answer has no usable 'id'"),
        ({"id": None}, "the answer has no usable 'id'"),
        ({"id": "hush"}, "the answer has no usable 'id'"),
        ({"conversation": None}, "the answer has no usable 'id'"),
        ({"conversation": {}}, "the answer has no usable 'id'"),
        ({"conversation": [{"id": 42}]}, "the answer has no usable 'id'"),
        ({"errors": {"hush": ["hush"]}}, "the answer has no usable 'id'"),
    ],
)
def test_an_answer_without_a_conversation_cannot_be_read(payload: Any, message: str) -> None:
    with pytest.raises(types.DecodeError) as raised:
        decode_convert(payload)
    assert str(raised.value) == message


def test_a_page_needs_nothing_but_to_be_an_object() -> None:
    decode = list_conversations().decode
    assert decode({}, types.ignore) == ConversationPage()
    assert decode({"conversations": None}, types.ignore) == ConversationPage()
    assert decode({"conversations": [{"id": 1}]}, types.ignore).conversations == [Conversation(id=1)]
    with pytest.raises(types.DecodeError, match="expected an object, got array"):
        decode([{"id": 1}], types.ignore)


# Any JSON at all

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
KNOWN = {
    *("contact", "contactId", "createdAt", "createdBy", "deletedAt", "deletedBy", "filter_args", "id", "messages"),
    *("socket_id", "state", "ticket_id", "token", "updatedAt", "updatedBy", "users"),
}
"""The fields of a conversation; all others are unknown."""

conversations = st.dictionaries(st.sampled_from(sorted(KNOWN)) | st.text(), json_values, max_size=8)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(payload=conversations)
def test_no_object_makes_decoding_raise_and_no_unknown_field_is_lost(payload: dict[str, Any]) -> None:
    drift = Drift()
    conversation = Conversation.from_dict(payload, None, drift)
    encoded = conversation.to_dict()
    known = payload.keys() - conversation.additional_properties.keys()
    assert {key: encoded[key] for key in conversation.additional_properties} == {
        key: value for key, value in payload.items() if key not in known
    }
    assert known <= KNOWN
    again = Drift()
    assert Conversation.from_dict(encoded, None, again) == conversation
    assert again == []


def test_unknown_fields_are_kept_at_every_depth() -> None:
    payload = {
        "id": 1,
        "new": [1, None, {"a": None}],
        "gone": None,
        "contact": {"new": {"a": 1}, "createdBy": {"id": 2, "new": False}},
        "messages": [{"id": 3, "new": "x"}],
    }
    conversation = Conversation.from_dict(payload)
    assert conversation.additional_properties == {"new": [1, None, {"a": None}], "gone": None}
    assert conversation.to_dict() == payload


def test_decoding_leaves_its_source_as_it_is() -> None:
    payload = {"id": 1, "contact": {"id": 2}, "new": 3}
    before = json.dumps(payload)
    Conversation.from_dict(payload)
    assert json.dumps(payload) == before


# Writing


class Colour(str, enum.Enum):  # noqa: UP042 (its str() is not its value, as a StrEnum's is)
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        ("a", "a"),
        (1, 1),
        (1.5, 1.5),
        (False, False),
        (NOON, "2024-12-19T12:00:00+00:00"),
        (datetime.date(2024, 12, 19), "2024-12-19"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Colour.RED, "red"),
        (Level.HIGH, 3),
        ((1, None, [NOON]), [1, None, ["2024-12-19T12:00:00+00:00"]]),
        ({"a": None, "b": EntityRef(id=1)}, {"a": None, "b": {"id": 1}}),
    ],
)
def test_a_value_is_written_as_json_holds_it(value: Any, encoded: Any) -> None:
    written = CustomField(id=1, value=value).to_dict()
    assert written == {"id": 1, "value": encoded}
    assert json.loads(json.dumps(written)) == written


def test_what_is_none_is_left_out_and_what_is_false_is_not() -> None:
    body = ConvertConversation(notify_customer=False, subject="", from_thread_id=0, tags=[], inbox=EntityRef())
    assert body.to_dict() == {"notifyCustomer": False, "subject": "", "fromThreadId": 0, "tags": [], "inbox": {}}


def test_models_are_written_at_every_depth() -> None:
    body = ConvertConversation(
        customer=models.CustomerRef(email="jo@example.com"),
        tags=["billing", EntityRef(id=3, meta={"a": None})],
        scheduled_email={"at": NOON},
        additional_properties={"new": EntityRef(id=4), "gone": None},
    )
    assert body.to_dict() == {
        "customer": {"email": "jo@example.com"},
        "tags": ["billing", {"id": 3, "meta": {"a": None}}],
        "scheduledEmail": {"at": "2024-12-19T12:00:00+00:00"},
        "new": {"id": 4},
        "gone": None,
    }


def alone(value: Any) -> Any:
    return value


def in_a_list(value: Any) -> Any:
    return [value]


def in_an_object(value: Any) -> Any:
    return {"a": value}


@pytest.mark.parametrize("wrap", [alone, in_a_list, in_an_object])
@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (NOON.replace(tzinfo=None), ValueError, "a datetime needs a time zone"),
        (object(), TypeError, "object has no JSON form"),
        (b"hush", TypeError, "bytes has no JSON form"),
        ({1, 2}, TypeError, "set has no JSON form"),
        (NOON.time(), TypeError, "time has no JSON form"),
    ],
)
def test_what_has_no_json_form_is_refused(
    wrap: Callable[[Any], Any], value: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as raised:
        CustomField(value=wrap(value)).to_dict()
    assert str(raised.value) == message


def test_a_value_that_holds_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(ValueError, match="holds itself"):
        CustomField(value=endless).to_dict()


# Paths and queries


@pytest.mark.parametrize(
    ("value", "segment"),
    [
        (42, "42"),
        ("a b", "a%20b"),
        ("a/b?c#d", "a%2Fb%3Fc%23d"),
        ("../x", "..%2Fx"),
        ("100%", "100%25"),
        ("ü", "%C3%BC"),
        (True, "true"),
        (Colour.RED, "red"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (NOON, "2024-12-19T12%3A00%3A00%2B00%3A00"),
    ],
)
def test_a_value_is_quoted_into_one_segment_of_a_path(value: Any, segment: str) -> None:
    assert types.path_segment(value) == segment


@pytest.mark.parametrize("value", ["", ".", ".."])
def test_a_segment_that_would_lead_elsewhere_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="cannot be a part of a path"):
        types.path_segment(value)


@pytest.mark.parametrize(
    ("query", "target"),
    [
        ({}, "/p"),
        ({"a": None}, "/p"),
        ({"a": 1, "b": None, "c": "x"}, "/p?a=1&c=x"),
        ({"a": True, "b": False}, "/p?a=true&b=false"),
        ({"a": ["x", 1, True]}, "/p?a=x%2C1%2Ctrue"),
        ({"a": []}, "/p?a="),
        ({"a": "b&c=d e+f"}, "/p?a=b%26c%3Dd%20e%2Bf"),
        ({"a b": "ü"}, "/p?a%20b=%C3%BC"),
        ({"a": Colour.RED}, "/p?a=red"),
        ({"a": NOON}, "/p?a=2024-12-19T12%3A00%3A00%2B00%3A00"),
    ],
)
def test_a_query_is_joined_to_a_path(query: dict[str, Any], target: str) -> None:
    assert types.target("/p", query) == target


def test_a_listing_is_asked_for_with_the_names_of_the_contract() -> None:
    request = list_conversations(
        filter='{"id":{"$eq":42}}',
        order_by="createdAt",
        order_mode="desc",
        page=2,
        page_size=100,
        includes=["users", "all"],
        fields=["id"],
    )
    assert (request.operation, request.method, request.body) == ("list_conversations", "GET", None)
    assert request.target == (
        "/desk/api/v2/conversations.json?filter=%7B%22id%22%3A%7B%22%24eq%22%3A42%7D%7D&orderBy=createdAt"
        "&orderMode=desc&page=2&pageSize=100&includes=users%2Call&fields=id"
    )


def test_a_conversion_is_asked_for_with_a_body_that_is_not_shown() -> None:
    request = convert_conversation(42, body=ConvertConversation(message="hush", inbox=EntityRef(id=7)))
    assert (request.operation, request.method) == ("convert_conversation", "POST")
    assert request.target == "/desk/api/v2/conversations/42/convert.json"
    assert request.body == {"message": "hush", "inbox": {"id": 7}}
    assert "hush" not in repr(request)
