"""The arguments of `convert` and the contract: each field has an argument, and is sent under its own name.

The values to try depend on a field's kind in the contract, so that a new field of a known kind needs no line here.
"""

from __future__ import annotations

import enum
import inspect
import re
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any

import attrs
import pytest
import yaml

from teamwork_desk import AsyncDesk, CustomerRef, CustomField, CustomFieldMeta, EntityRef, RequestError
from teamwork_desk._conversations import Conversations
from teamwork_desk.testing import FakeDesk
from teamwork_desk_api.models import ConvertConversation

CONTRACT = yaml.safe_load((Path(__file__).parents[1] / "openapi" / "desk.yaml").read_text("utf-8"))
PROPERTIES: dict[str, Any] = CONTRACT["components"]["schemas"]["ConvertConversation"]["properties"]


def snake_case(name: str) -> str:
    return re.sub(r"[A-Z]", lambda letter: f"_{letter[0].lower()}", name)


def kind_of(schema: dict[str, Any]) -> str:
    """Name what a field takes, such as `list of EntityRef or string`."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "allOf" in schema:
        return kind_of(schema["allOf"][0])
    if "anyOf" in schema:
        return " or ".join(kind_of(part) for part in schema["anyOf"])
    if schema["type"] == "array":
        return f"list of {kind_of(schema['items'])}"
    return str(schema["type"])


ARGUMENTS = {snake_case(name): name for name in PROPERTIES}
KINDS = {snake_case(name): kind_of(schema) for name, schema in PROPERTIES.items()}
DEPRECATED = {snake_case(name) for name, schema in PROPERTIES.items() if schema.get("deprecated")}
CURRENT = [argument for argument in ARGUMENTS if argument not in DEPRECATED]


# The signature


def test_the_arguments_are_the_fields_of_the_contract_and_two_of_the_sdk() -> None:
    fields = {name: inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None) for name in sorted(ARGUMENTS)}
    self, conversation_id, *keywords, verify_first = (
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in inspect.signature(Conversations.convert).parameters.values()
    )
    assert {parameter.name: parameter for parameter in keywords} == fields
    assert [parameter.name for parameter in keywords] == list(fields), "in alphabetical order"
    assert self.name == "self"
    assert conversation_id == inspect.Parameter("conversation_id", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    assert verify_first == inspect.Parameter("verify_first", inspect.Parameter.KEYWORD_ONLY, default=None)


def test_the_generated_model_has_the_same_fields() -> None:
    assert {field.name for field in attrs.fields(ConvertConversation)} - {"additional_properties"} == set(ARGUMENTS)


def test_each_argument_has_a_type_and_a_description_in_the_same_order() -> None:
    parameters = [name for name in inspect.signature(Conversations.convert).parameters if name != "self"]
    _, _, sections = inspect.cleandoc(Conversations.convert.__doc__ or "").partition("\nArgs:\n")
    arguments, _, _ = sections.partition("\n\n")
    assert re.findall(r"^    (\w+): \S", arguments, re.MULTILINE) == parameters
    assert Conversations.convert.__annotations__.keys() == {*parameters, "return"}


# The request that is sent


def a_desk(fake: FakeDesk) -> AsyncDesk:
    return AsyncDesk("https://acme.teamwork.com", token="a-token", transport=fake.transport, verify_first=False)


async def sent_for(**arguments: Any) -> Any:
    """Return the JSON body that reaches Desk."""
    fake = FakeDesk(conversations=[42])
    async with a_desk(fake) as desk:
        await desk.conversations.convert(42, **arguments)
    (request,) = fake.requests
    return request.json


class Field(enum.IntEnum):
    TIER = 7


TIER_JSON = [{"id": 7, "meta": {"value": {"a": [None, 1.5]}}}]
FULL_REFERENCE = EntityRef(id=7, type="users", delete=False, meta={"a": [1]})
FULL_REFERENCE_JSON = {"id": 7, "type": "users", "delete": False, "meta": {"a": [1]}}
VALUES: dict[str, list[tuple[Any, Any]]] = {
    "CustomerRef": [
        (7, {"id": 7}),
        ("jo@example.com", {"email": "jo@example.com"}),
        (CustomerRef(id=7), {"id": 7}),
        (CustomerRef(email="jo@example.com"), {"email": "jo@example.com"}),
    ],
    "EntityRef": [(7, {"id": 7}), (EntityRef(id=7), {"id": 7}), (FULL_REFERENCE, FULL_REFERENCE_JSON)],
    "ScheduledEmail": [
        ({"at": "noon", "to": [None, {"b": 1}]}, {"at": "noon", "to": [None, {"b": 1}]}),
        ({}, {}),
    ],
    "boolean": [(True, True), (False, False)],
    "integer": [(7, 7), (0, 0)],
    "list of CustomField": [
        ({272: 1613, 273: "gold"}, [{"id": 272, "meta": {"value": 1613}}, {"id": 273, "meta": {"value": "gold"}}]),
        ({Field.TIER: {"a": [None, 1.5]}, 8: None, 9: ""}, [*TIER_JSON, {"id": 9, "meta": {"value": ""}}]),
        (MappingProxyType({7: False}), [{"id": 7, "meta": {"value": False}}]),
        ({}, []),
        ([CustomField(id=7, meta=CustomFieldMeta(value={"a": [None, 1.5]}))], TIER_JSON),
        ((CustomField(id=Field.TIER, meta=CustomFieldMeta(value={"a": [None, 1.5]})),), TIER_JSON),
        ([CustomField(id=7)], [{"id": 7}]),
        ([], []),
    ],
    "list of EntityRef": [([7, EntityRef(id=8)], [{"id": 7}, {"id": 8}]), ((7,), [{"id": 7}]), ([], [])],
    "list of EntityRef or string": [
        (["billing", 7, EntityRef(id=8)], ["billing", {"id": 7}, {"id": 8}]),
        (("billing",), ["billing"]),
        ([], []),
    ],
    # Desk takes only email addresses in some of these fields, and any text in the others.
    "list of string": [
        (["jo@example.com"], ["jo@example.com"]),
        (("jo@example.com", "mo@example.com"), ["jo@example.com", "mo@example.com"]),
        ([], []),
    ],
    "string": [(text, text) for text in ("Grüße\n\U0001f600", "", "jo@example.com")],
}
"""For each kind of a field, the values that its argument takes, and what is sent for them."""


def values_of(argument: str) -> list[tuple[Any, Any]]:
    choices: list[str] | None = PROPERTIES[ARGUMENTS[argument]].get("x-extensible-enum")
    return [(choice, choice) for choice in choices] if choices else VALUES[KINDS[argument]]


@pytest.mark.parametrize(
    ("argument", "value", "expected"),
    [(argument, value, expected) for argument in CURRENT for value, expected in values_of(argument)],
)
async def test_an_argument_is_sent_alone_under_its_name_in_the_contract(
    argument: str, value: Any, expected: Any
) -> None:
    assert await sent_for(**{argument: value}) == {ARGUMENTS[argument]: expected}


async def test_the_deprecated_email_is_sent_as_the_email_of_the_customer() -> None:
    assert {"email"} == DEPRECATED
    with pytest.deprecated_call():
        assert await sent_for(email="jo@example.com") == {"customer": {"email": "jo@example.com"}}


@pytest.mark.parametrize("index", [0, -1])
async def test_all_arguments_are_sent_together(index: int) -> None:
    pairs = {argument: values_of(argument)[index] for argument in CURRENT}
    sent = await sent_for(**{argument: value for argument, (value, _) in pairs.items()})
    assert sent == {ARGUMENTS[argument]: expected for argument, (_, expected) in pairs.items()}


async def test_arguments_that_are_none_are_omitted() -> None:
    assert await sent_for(**dict.fromkeys(ARGUMENTS)) == {}


# Arguments that are rejected before anything is sent


def wrong(value: Any) -> Any:
    """Hide a type from the type checkers."""
    return value


LOOP: dict[str, Any] = {}
LOOP["itself"] = LOOP
WRONG_VALUES: dict[str, list[Any]] = {
    "CustomerRef": [True, 7.0, ["a"], {"email": "a"}, EntityRef(id=7), CustomerRef(id=wrong("7"))],
    "EntityRef": [
        *[True, "7", 7.0, [7], b"7", object()],
        *[EntityRef(id=wrong("7")), EntityRef(id=True), EntityRef(meta=wrong(7))],
    ],
    "ScheduledEmail": ["x", 7, True, ["x"], {"a": object()}, {"a": float("inf")}, {(1, 2): 3}, LOOP],
    "boolean": [0, 1, "yes", "", [True]],
    "integer": [True, "7", 7.5, [7], EntityRef(id=7)],
    "list of CustomField": [
        *["x", 7, [7], ["x"], [None], {7}, CustomField(id=7), [CustomField(id=7, meta=wrong(7))]],
        *[{key: 1613} for key in (wrong("7"), 0, -1, 2**63, True, 7.0, None)],
        *[[CustomField(id=wrong("7"))], [CustomField(id=0)], [CustomField()]],
        *[{7: value} for value in (object(), Decimal(1), float("nan"), {1, 2}, "\ud800", LOOP)],
        *[[CustomField(id=7, meta=CustomFieldMeta(value=value))] for value in (object(), float("inf"))],
    ],
    "list of EntityRef": ["x", 7, True, ["7"], [True], [7.0], [None], [[7]], {7}, EntityRef(id=7), iter([7])],
    "list of EntityRef or string": [
        *["billing", b"billing", 7, [True], [7.5], [None], [["x"]], {"x"}, {"x": 1}, EntityRef(id=7), iter("x")],
    ],
    "list of string": [
        *["jo@example.com", b"a", 7, [7], [None], ["a", None], [["a"]], {"a"}, {"a": "b"}, iter("a")],
    ],
    "string": [True, 7, 7.5, ["x"], b"x", object(), "\ud800"],
}
"""For each kind of a field, values that its argument does not take."""


@pytest.mark.parametrize(
    ("argument", "value"),
    [(argument, value) for argument, kind in KINDS.items() for value in WRONG_VALUES[kind]],
    ids=lambda value: re.sub(" at 0x[0-9a-f]+", "", repr(value)),
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_a_wrong_value_is_rejected_before_anything_is_sent(argument: str, value: Any) -> None:
    fake = FakeDesk(conversations=[42])
    async with a_desk(fake) as desk:
        with pytest.raises(RequestError) as rejected:
            await desk.conversations.convert(42, **{argument: value})
    assert fake.requests == []
    assert (rejected.value.attempts, rejected.value.maybe_applied, rejected.value.conversation_id) == (0, False, 42)


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        ({"subject": 7}, "subject: expected a str, got int"),
        ({"notify_customer": "yes"}, "notify_customer: expected a bool, got str"),
        ({"inbox": True}, "inbox: expected an EntityRef or an int, got bool"),
        (
            {"cc": "jo@example.com"},
            "cc: expected a list or tuple of str, got str; pass a list, also for a single value",
        ),
        ({"files": [7, "8"]}, "files[1]: expected an EntityRef or an int, got str"),
        ({"tags": [7.5]}, "tags[0]: expected an EntityRef, an int or a str, got float"),
        ({"customfields": [7]}, "customfields[0]: expected a CustomField, got int"),
        ({"customfields": {7: 1, 0: 1}}, "customfields: expected positive ints of at most 64 bits as ids, got 0"),
        ({"customfields": {"tier": 1}}, "customfields: expected positive ints of at most 64 bits as ids, got str"),
        (
            {"customfields": [CustomField()]},
            "customfields: expected positive ints of at most 64 bits as ids, got NoneType",
        ),
        (
            {"customfields": {7: 1, 8: b"gold"}},
            "customfields[8]: the value has no JSON form (it is of the type bytes): use plain values, finite numbers "
            "and valid text",
        ),
        (
            {"customfields": [CustomField(id=7, meta=wrong("gold"))]},
            "customfields[0].meta: expected a CustomFieldMeta, got str",
        ),
        ({"scheduled_email": "tomorrow"}, "scheduled_email: expected a dict with str keys, got str"),
        ({"inbox": EntityRef(meta=wrong(7))}, "inbox.meta: expected a dict with str keys, got int"),
        ({"customer": CustomerRef(email=wrong(7))}, "customer.email: expected a str, got int"),
    ],
    ids=str,
)
async def test_the_error_names_the_path_and_both_types(arguments: dict[str, Any], path: str) -> None:
    async with a_desk(FakeDesk(conversations=[42])) as desk:
        with pytest.raises(RequestError, match=f"^{re.escape(path)}$"):
            await desk.conversations.convert(42, **arguments)


@pytest.mark.parametrize("conversation_id", [0, -1, True, "42", 42.0, None, [42], "42/../43"], ids=repr)
async def test_an_invalid_conversation_id_is_rejected_before_anything_is_sent(conversation_id: Any) -> None:
    fake = FakeDesk(conversations=[42])
    async with a_desk(fake) as desk:
        for call in (desk.conversations.convert, desk.conversations.get):
            with pytest.raises(RequestError, match=r"^conversation_id: "):
                await call(conversation_id)
    assert fake.requests == []
