"""The runtime of the generated models: decoding is lenient, and encoding is strict."""

from __future__ import annotations

import datetime
import enum
import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from teamwork_desk_api import models, types
from teamwork_desk_api.api.conversations.convert_conversation import convert_conversation
from teamwork_desk_api.api.conversations.list_conversations import list_conversations
from teamwork_desk_api.models import Conversation, ConversationPage, ConvertConversation, CustomFieldMeta, EntityRef

UTC = datetime.UTC
NOON = datetime.datetime(2024, 12, 19, 12, 0, tzinfo=UTC)


class Drift(list[tuple[str, str, str]]):
    """A hook that collects its reports: the path, the expected and the actual JSON type."""

    def __call__(self, path: str, expected: str, got: str) -> None:
        self.append((path, expected, got))


# Decoding a single value

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
"""Values of each JSON type. No string of them is a date, a date-time or a UUID."""

ACCEPTED = {"boolean": {"boolean"}, "integer": {"integer"}, "number": {"integer", "number"}, "string": {"string"}}
"""The JSON types that each decoder accepts without conversion."""


@pytest.mark.parametrize("expected", DECODERS)
@pytest.mark.parametrize(("got", "value"), [(got, value) for got, values in JSON.items() for value in values])
def test_a_value_of_the_right_type_is_kept_and_any_other_is_reported_once(expected: str, got: str, value: Any) -> None:
    drift = Drift()
    decoded = DECODERS[expected](value, None, "key", drift)
    if got in ACCEPTED.get(expected, ()):
        assert decoded is value
        assert drift == []
    else:
        assert decoded is None
        assert drift == [("key", expected, got)]


@pytest.mark.parametrize("expected", DECODERS)
def test_null_becomes_none_without_a_report(expected: str) -> None:
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
        # datetime.fromisoformat of the oldest supported Python rejects these.
        ("2024-12-19T24:00:00Z", datetime.datetime(2024, 12, 20, tzinfo=UTC)),
        ("2024-12-19T12:00:00z", NOON),
        ("2024-12", datetime.datetime(2024, 12, 1, tzinfo=UTC)),
    ],
)
def test_every_form_of_a_date_time_is_decoded_with_a_time_zone(text: str, moment: datetime.datetime) -> None:
    drift = Drift()
    decoded = types.decode_datetime(text, None, "key", drift)
    assert decoded == moment
    assert decoded is not None
    assert decoded.tzinfo is not None
    assert drift == []


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00", "0001-01-01T00:00:00+00:00"])
def test_the_zero_time_of_go_becomes_none_without_a_report(text: str) -> None:
    drift = Drift()
    assert types.decode_datetime(text, None, "key", drift) is None
    assert drift == []


@pytest.mark.parametrize(
    "text", ["soon", "2024-13-01T00:00:00Z", "2024-12-19T12:00:00 o'clock", "9999-12-31T24:00:00Z"]
)
def test_a_string_that_is_not_a_date_time_is_reported(text: str) -> None:
    drift = Drift()
    assert types.decode_datetime(text, None, "key", drift) is None
    assert drift == [("key", "date-time", "string")]


# Decoding models

REPORTED: list[tuple[dict[str, Any], list[tuple[str, str, str]]]] = [
    ({"id": "hush"}, [("id", "integer", "string")]),
    ({"id": True}, [("id", "integer", "boolean")]),
    ({"ticket_id": 1.5}, [("ticket_id", "integer", "number")]),
    ({"token": 1}, [("token", "string", "integer")]),
    # This text is too long for a date-time, so dateutil does not get it.
    ({"createdAt": f"2024-12-19T16:02:34.{'0' * 60}x"}, [("createdAt", "date-time", "string")]),
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


@pytest.mark.parametrize(("payload", "reports"), REPORTED)
def test_an_unexpected_value_is_reported_by_its_path_and_never_by_its_value(
    payload: dict[str, Any], reports: list[tuple[str, str, str]]
) -> None:
    drift = Drift()
    conversation = Conversation.from_dict({"state": "active", **payload}, None, drift)
    assert drift == reports
    assert "hush" not in repr(drift)
    assert conversation.state == "active"


def test_an_unexpected_value_does_not_affect_the_other_values() -> None:
    conversation = Conversation.from_dict(
        {"id": 1, "token": 5, "contact": {"id": "x", "value": "jo@example.com"}, "messages": [None, 7, {"id": 2}]}
    )
    assert conversation == Conversation(
        id=1, contact=models.Contact(value="jo@example.com"), messages=[EntityRef(id=2)]
    )


@pytest.mark.parametrize(
    ("value", "expected"), [("users", "users"), (0, 0), (None, None), (True, None), ([], None), ({}, None)]
)
def test_a_union_accepts_each_of_its_types(value: Any, expected: Any) -> None:
    drift = Drift()
    assert EntityRef.from_dict({"type": value}, None, drift).type == expected
    assert len(drift) == (value is not None and expected is None)


def test_a_list_of_a_union_accepts_each_of_its_types() -> None:
    drift = Drift()
    body = ConvertConversation.from_dict({"tags": ["billing", {"id": 3}, 5]}, None, drift)
    assert body.tags == ["billing", EntityRef(id=3)]
    assert drift == [("tags[]", "object or string", "integer")]


def test_a_map_keeps_the_entries_whose_values_have_the_right_type() -> None:
    drift = Drift()
    validator = models.Validator.from_dict(
        {"errors": {"customer.email": ["must be set"], "inbox": "must be set", "tags": None}}, None, drift
    )
    assert validator.errors == {"customer.email": ["must be set"]}
    assert drift == [("errors.*", "array", "string"), ("errors.*", "a value", "null")]


# Decoding whole responses


def decode_convert(payload: Any, hook: types.Hook = types.ignore) -> Conversation:
    return convert_conversation(42, body=ConvertConversation()).decode(payload, hook)


@pytest.mark.parametrize(
    ("payload", "rest"),
    [
        ({"id": 42, "ticket_id": 7}, {}),
        ({"conversation": {"id": 42, "ticket_id": 7}}, {}),
        ({"conversation": {"id": 42, "ticket_id": 7}, "included": {"users": {}}}, {"included": {"users": {}}}),
    ],
    ids=["bare", "enveloped", "enveloped beside others"],
)
def test_a_response_is_decoded_with_and_without_its_envelope(payload: Any, rest: dict[str, Any]) -> None:
    assert decode_convert(payload) == Conversation(id=42, ticket_id=7, additional_properties=rest)


def test_a_reported_path_does_not_depend_on_the_envelope() -> None:
    payload = {"id": 42, "contact": {"createdBy": {"id": "x"}}}
    bare, enveloped = Drift(), Drift()
    decode_convert(payload, bare)
    decode_convert({"conversation": payload}, enveloped)
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
        ({}, "the response has no usable 'id'"),
        ({"id": None}, "the response has no usable 'id'"),
        ({"id": "hush"}, "the response has no usable 'id'"),
        ({"conversation": None}, "the response has no usable 'id'"),
        ({"conversation": {}}, "the response has no usable 'id'"),
        ({"conversation": [{"id": 42}]}, "the response has no usable 'id'"),
        ({"errors": {"hush": ["hush"]}}, "the response has no usable 'id'"),
    ],
)
def test_a_response_without_a_conversation_raises_a_decode_error(payload: Any, message: str) -> None:
    with pytest.raises(types.DecodeError) as raised:
        decode_convert(payload)
    assert str(raised.value) == message


def test_any_object_is_decoded_as_a_page() -> None:
    decode = list_conversations().decode
    assert decode({}, types.ignore) == ConversationPage()
    assert decode({"conversations": None}, types.ignore) == ConversationPage()
    assert decode({"conversations": [{"id": 1}]}, types.ignore).conversations == [Conversation(id=1)]
    with pytest.raises(types.DecodeError, match="expected an object, got array"):
        decode([{"id": 1}], types.ignore)


# Decoding random JSON

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


@given(payload=conversations)
def test_decoding_never_raises_for_an_object_and_keeps_every_unknown_field(payload: dict[str, Any]) -> None:
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


def test_decoding_does_not_change_its_source() -> None:
    payload = {"id": 1, "contact": {"id": 2}, "new": 3}
    before = json.dumps(payload)
    Conversation.from_dict(payload)
    assert json.dumps(payload) == before


# Encoding


class Colour(str, enum.Enum):  # noqa: UP042 - str() of its members is not their value, unlike a StrEnum's
    RED = "red"


class Shape(enum.StrEnum):
    ROUND = "round"


class Level(enum.IntEnum):
    HIGH = 3


class Markup(str):
    """A string class that does not return its own text from `str()`, as some template engines have it."""

    __slots__ = ()

    def __str__(self) -> str:
        return "escaped"


class ObjectId(int):
    """An id class whose `str()` and `int()` are not its number."""

    def __str__(self) -> str:
        return "ObjectId"

    def __int__(self) -> int:
        return 0


class Ratio(float):
    def __float__(self) -> float:
        return 0.0


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
def test_a_value_is_encoded_as_plain_json(value: Any, encoded: Any) -> None:
    written = CustomFieldMeta(value=value).to_dict()
    assert written == {"value": encoded}
    assert json.loads(json.dumps(written)) == written


SUBCLASSES = [
    (Colour.RED, "red"),
    (Shape.ROUND, "round"),
    (Markup("<p>"), "<p>"),
    (Level.HIGH, 3),
    (ObjectId(7), 7),
    (Ratio(1.5), 1.5),
]


@pytest.mark.parametrize(("value", "plain"), SUBCLASSES)
def test_a_value_of_a_subclass_is_encoded_as_the_plain_value(value: Any, plain: Any) -> None:
    for encoded in (
        types.encode(value),
        types.encode([value])[0],
        types.encode({"key": value})["key"],
        CustomFieldMeta(value=value).to_dict()["value"],
        EntityRef(additional_properties={"new": value}).to_dict()["new"],
    ):
        assert encoded == plain
        assert type(encoded) is type(plain)


def test_an_encoded_body_with_values_of_subclasses_decodes_without_a_report() -> None:
    customer: Any = models.CustomerRef(id=ObjectId(7), email=Markup("jo@example.com"))
    body = ConvertConversation(
        message=Markup("<p>"),
        subject=Shape.ROUND,
        from_thread_id=ObjectId(7),
        customer=customer,
        inbox=EntityRef(id=Level.HIGH, type=Colour.RED),
        tags=[Shape.ROUND, Markup("billing"), EntityRef(id=ObjectId(3))],
    )
    encoded = body.to_dict()
    drift = Drift()
    again = ConvertConversation.from_dict(encoded, None, drift)
    assert drift == []
    assert again.to_dict() == {
        "message": "<p>",
        "subject": "round",
        "fromThreadId": 7,
        "customer": {"id": 7, "email": "jo@example.com"},
        "inbox": {"id": 3, "type": "red"},
        "tags": ["round", "billing", {"id": 3}],
    }


def test_a_value_of_a_subclass_in_a_response_is_not_accepted() -> None:
    # json.loads returns no subclasses. Decoding must not accept them, because it also checks the arguments of a call.
    drift = Drift()
    assert EntityRef.from_dict({"id": Level.HIGH, "type": Colour.RED}, None, drift) == EntityRef()
    assert [path for path, _, _ in drift] == ["id", "type"]


def test_fields_that_are_none_are_omitted_and_fields_that_are_false_are_not() -> None:
    body = ConvertConversation(notify_customer=False, subject="", from_thread_id=0, tags=[], inbox=EntityRef())
    assert body.to_dict() == {"notifyCustomer": False, "subject": "", "fromThreadId": 0, "tags": [], "inbox": {}}


def test_models_are_encoded_at_every_depth() -> None:
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


def bare(value: Any) -> Any:
    return value


def in_a_list(value: Any) -> Any:
    return [value]


def in_an_object(value: Any) -> Any:
    return {"a": value}


@pytest.mark.parametrize("wrap", [bare, in_a_list, in_an_object])
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
def test_a_value_without_a_json_form_is_rejected(
    wrap: Callable[[Any], Any], value: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as raised:
        CustomFieldMeta(value=wrap(value)).to_dict()
    assert str(raised.value) == message


def test_a_value_that_contains_itself_is_rejected() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(ValueError, match="contains itself"):
        CustomFieldMeta(value=endless).to_dict()


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
        (ObjectId(7), "7"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (NOON, "2024-12-19T12%3A00%3A00%2B00%3A00"),
    ],
)
def test_a_value_is_percent_encoded_as_a_single_path_segment(value: Any, segment: str) -> None:
    assert types.path_segment(value) == segment


@pytest.mark.parametrize("value", ["", ".", "..", None])
def test_a_segment_that_would_change_the_path_is_rejected(value: str | None) -> None:
    with pytest.raises(ValueError, match="cannot be a part of a path"):
        types.path_segment(value)


@pytest.mark.parametrize("repeated", [(), ("ids",)])
def test_none_is_not_sent_as_a_text_in_a_list(repeated: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="None cannot be a part of"):
        types.target("/things", {"ids": [1, None]}, repeated)


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
        ({"a": [Markup("<p>"), Level.HIGH]}, "/p?a=%3Cp%3E%2C3"),
        ({"a": NOON}, "/p?a=2024-12-19T12%3A00%3A00%2B00%3A00"),
    ],
)
def test_a_query_is_appended_to_a_path(query: dict[str, Any], target: str) -> None:
    assert types.target("/p", query) == target


def test_the_listing_request_uses_the_names_of_the_contract() -> None:
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


def test_the_repr_of_the_conversion_request_does_not_show_its_body() -> None:
    request = convert_conversation(42, body=ConvertConversation(message="hush", inbox=EntityRef(id=7)))
    assert (request.operation, request.method) == ("convert_conversation", "POST")
    assert request.target == "/desk/api/v2/conversations/42/convert.json"
    assert request.body == {"message": "hush", "inbox": {"id": 7}}
    assert "hush" not in repr(request)
