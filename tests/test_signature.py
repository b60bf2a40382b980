"""The arguments of `convert` and the contract: every field has one, and arrives under its name."""

from __future__ import annotations

import inspect
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest
import yaml

from teamwork_desk import AsyncDesk, CustomerRef, CustomField, EntityRef, RequestError
from teamwork_desk._conversations import Conversations
from teamwork_desk.testing import FakeDesk
from teamwork_desk_api.models import ConvertConversation

CONTRACT = yaml.safe_load((Path(__file__).parents[1] / "openapi" / "desk.yaml").read_text("utf-8"))
PROPERTIES: dict[str, Any] = CONTRACT["components"]["schemas"]["ConvertConversation"]["properties"]
REFERENCES = ["agent", "inbox", "parent", "priority", "source", "status", "tickettemplate", "type"]


def snake_case(name: str) -> str:
    return re.sub(r"[A-Z]", lambda letter: f"_{letter[0].lower()}", name)


ARGUMENTS = {snake_case(name): name for name in PROPERTIES}


# The signature


def test_the_arguments_are_the_contracts_fields_and_the_two_of_our_own() -> None:
    fields = {name: inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None) for name in sorted(ARGUMENTS)}
    self, conversation_id, *keywords, verify_first = (
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in inspect.signature(Conversations.convert).parameters.values()
    )
    assert {parameter.name: parameter for parameter in keywords} == fields
    assert [parameter.name for parameter in keywords] == list(fields), "in order of the alphabet"
    assert self.name == "self"
    assert conversation_id == inspect.Parameter("conversation_id", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    assert verify_first == inspect.Parameter("verify_first", inspect.Parameter.KEYWORD_ONLY, default=False)


def test_the_generated_model_has_the_same_fields() -> None:
    assert {field.name for field in attrs.fields(ConvertConversation)} - {"additional_properties"} == set(ARGUMENTS)


def test_every_argument_is_typed_and_documented_in_its_order() -> None:
    parameters = [name for name in inspect.signature(Conversations.convert).parameters if name != "self"]
    _, _, sections = inspect.cleandoc(Conversations.convert.__doc__ or "").partition("\nArgs:\n")
    arguments, _, _ = sections.partition("\n\n")
    assert re.findall(r"^    (\w+): \S", arguments, re.MULTILINE) == parameters
    assert Conversations.convert.__annotations__.keys() == {*parameters, "return"}


# On the wire


def a_desk(fake: FakeDesk) -> AsyncDesk:
    return AsyncDesk("https://acme.teamwork.com", token="a-token", transport=fake.transport)


async def sent_for(**arguments: Any) -> Any:
    """Return the JSON that arrives."""
    fake = FakeDesk()
    async with a_desk(fake) as desk:
        await desk.conversations.convert(42, **arguments)
    (request,) = fake.requests
    return request.json


FULL_REFERENCE = EntityRef(id=7, type="users", delete=False, meta={"a": [1]})
FULL_REFERENCE_JSON = {"id": 7, "type": "users", "delete": False, "meta": {"a": [1]}}
WIRE: list[tuple[str, Any, Any]] = [
    *((name, 7, {"id": 7}) for name in REFERENCES),
    *((name, EntityRef(id=7), {"id": 7}) for name in REFERENCES),
    *((name, FULL_REFERENCE, FULL_REFERENCE_JSON) for name in REFERENCES),
    ("bcc", ["jo@example.com"], ["jo@example.com"]),
    ("bcc", ("jo@example.com", "mo@example.com"), ["jo@example.com", "mo@example.com"]),
    ("bcc", [], []),
    ("cc", ["jo@example.com"], ["jo@example.com"]),
    ("cc", ("jo@example.com", "mo@example.com"), ["jo@example.com", "mo@example.com"]),
    ("cc", [], []),
    ("customer", 7, {"id": 7}),
    ("customer", "jo@example.com", {"email": "jo@example.com"}),
    ("customer", CustomerRef(id=7), {"id": 7}),
    ("customer", CustomerRef(email="jo@example.com"), {"email": "jo@example.com"}),
    ("customfields", [CustomField(id=7, value={"a": [None, 1.5]})], [{"id": 7, "value": {"a": [None, 1.5]}}]),
    ("customfields", (CustomField(id=7, value=False),), [{"id": 7, "value": False}]),
    ("customfields", [], []),
    ("edit_method", "markdown", "markdown"),
    ("files", [7, EntityRef(id=8)], [{"id": 7}, {"id": 8}]),
    ("files", (7,), [{"id": 7}]),
    ("files", [], []),
    ("from_thread_id", 7, 7),
    ("from_ticket_id", 7, 7),
    ("message", "Grüße\n\U0001f600", "Grüße\n\U0001f600"),
    ("message", "", ""),
    ("notify_customer", True, True),
    ("notify_customer", False, False),
    ("scheduled_email", {"at": "noon", "to": [None, {"b": 1}]}, {"at": "noon", "to": [None, {"b": 1}]}),
    ("scheduled_email", {}, {}),
    ("send_from", "desk@example.com", "desk@example.com"),
    ("subject", "Refund", "Refund"),
    ("tags", ["billing", 7, EntityRef(id=8)], ["billing", {"id": 7}, {"id": 8}]),
    ("tags", ("billing",), ["billing"]),
    ("tags", [], []),
]


@pytest.mark.parametrize(("argument", "value", "expected"), WIRE)
async def test_an_argument_arrives_alone_under_its_contract_name(argument: str, value: Any, expected: Any) -> None:
    assert await sent_for(**{argument: value}) == {ARGUMENTS[argument]: expected}


async def test_the_deprecated_argument_arrives_as_the_customers() -> None:
    with pytest.deprecated_call():
        assert await sent_for(email="jo@example.com") == {"customer": {"email": "jo@example.com"}}


def test_the_table_has_every_argument() -> None:
    assert {argument for argument, _, _ in WIRE} | {"email"} == set(ARGUMENTS)


async def test_all_arguments_arrive_together() -> None:
    values = {argument: value for argument, value, _ in WIRE}
    assert await sent_for(**values) == {ARGUMENTS[argument]: expected for argument, _, expected in WIRE}


async def test_what_is_none_is_left_out() -> None:
    assert await sent_for(**dict.fromkeys(ARGUMENTS)) == {}


# Before the wire


def wrong(value: Any) -> Any:
    """Hide a type from the type checkers."""
    return value


LOOP: dict[str, Any] = {}
LOOP["itself"] = LOOP
NO_REFERENCE: list[Any] = [True, "7", 7.0, [7], b"7", object(), EntityRef(id=wrong("7")), EntityRef(id=True)]
NO_ADDRESSES: list[Any] = ["jo@example.com", b"a", 7, [7], [None], ["a", None], [["a"]], {"a"}, {"a": "b"}, iter("a")]
NO_TEXT: list[Any] = [True, 7, 7.5, ["x"], b"x", object()]
NO_NUMBER: list[Any] = [True, "7", 7.5, [7], EntityRef(id=7)]
WRONG: dict[str, list[Any]] = {
    **{name: [*NO_REFERENCE, EntityRef(meta=wrong(7))] for name in REFERENCES},
    "bcc": NO_ADDRESSES,
    "cc": NO_ADDRESSES,
    "customer": [True, 7.0, ["a"], {"email": "a"}, EntityRef(id=7), CustomerRef(id=wrong("7"))],
    "customfields": [
        *["x", 7, [7], ["x"], [None], CustomField(id=7), [CustomField(id=wrong("7"))]],
        *[[CustomField(id=7, value=value)] for value in (object(), Decimal(1), float("nan"), {1, 2})],
    ],
    "edit_method": NO_TEXT,
    "email": NO_TEXT,
    "files": ["x", 7, True, ["7"], [True], [7.0], [None], [[7]], {7}, EntityRef(id=7), iter([7])],
    "from_thread_id": NO_NUMBER,
    "from_ticket_id": NO_NUMBER,
    "message": [*NO_TEXT, "\ud800"],
    "notify_customer": [0, 1, "yes", "", [True]],
    "scheduled_email": ["x", 7, True, ["x"], {"a": object()}, {"a": float("inf")}, {(1, 2): 3}, LOOP],
    "send_from": NO_TEXT,
    "subject": NO_TEXT,
    "tags": ["billing", b"billing", 7, [True], [7.5], [None], [["x"]], {"x"}, {"x": 1}, EntityRef(id=7), iter("x")],
}


def test_every_argument_has_wrong_values() -> None:
    assert WRONG.keys() == ARGUMENTS.keys()


@pytest.mark.parametrize(
    ("argument", "value"),
    [(argument, value) for argument, values in WRONG.items() for value in values],
    ids=lambda value: re.sub(" at 0x[0-9a-f]+", "", repr(value)),
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_a_wrong_value_is_refused_before_anything_is_sent(argument: str, value: Any) -> None:
    fake = FakeDesk()
    async with a_desk(fake) as desk:
        with pytest.raises(RequestError) as refused:
            await desk.conversations.convert(42, **{argument: value})
    assert fake.requests == []
    assert (refused.value.attempts, refused.value.maybe_applied, refused.value.conversation_id) == (0, False, 42)


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        ({"subject": 7}, "subject: expected string, got integer"),
        ({"notify_customer": "yes"}, "notify_customer: expected boolean, got string"),
        ({"inbox": True}, "inbox: expected an EntityRef or an id, got boolean"),
        ({"cc": "jo@example.com"}, "cc: expected array, got string"),
        ({"files": [7, "8"]}, "files[]: expected an EntityRef or an id, got string"),
        ({"tags": [7.5]}, "tags[]: expected an EntityRef or an id or string, got number"),
        ({"customfields": [7]}, "customfields[]: expected a CustomField, got integer"),
        ({"scheduled_email": "tomorrow"}, "scheduled_email: expected a mapping, got string"),
        ({"customer": CustomerRef(email=wrong(7))}, "customer.email: expected string, got integer"),
    ],
    ids=str,
)
async def test_a_refusal_names_the_path_and_both_types(arguments: dict[str, Any], path: str) -> None:
    async with a_desk(FakeDesk()) as desk:
        with pytest.raises(RequestError, match=f"^{re.escape(path)}$"):
            await desk.conversations.convert(42, **arguments)


@pytest.mark.parametrize("conversation_id", [0, -1, True, "42", 42.0, None, [42], "42/../43"], ids=repr)
async def test_what_is_no_conversation_id_is_refused_before_anything_is_sent(conversation_id: Any) -> None:
    fake = FakeDesk()
    async with a_desk(fake) as desk:
        for call in (desk.conversations.convert, desk.conversations.get):
            with pytest.raises(RequestError, match=r"^conversation_id: "):
                await call(conversation_id)
    assert fake.requests == []
