"""The arguments of `convert`: ids become references, and JSON becomes models."""

from __future__ import annotations

import enum
from typing import Any

import pytest

from teamwork_desk import AsyncDesk, CustomerRef, CustomField, CustomFieldMeta, EntityRef, RequestError, Resource, User
from teamwork_desk._arguments import check_arguments, check_id, custom_fields, from_json, reference, references
from teamwork_desk.backlog import ConvertedFields
from teamwork_desk.testing import FakeDesk


class Status(enum.IntEnum):
    NONE = 0
    SOLVED = 7


class IntSubclass(int):
    pass


# Ids


@pytest.mark.parametrize("value", [1, 42, 2**63 - 1, Status.SOLVED, IntSubclass(42)], ids=repr)
def test_a_positive_int_of_at_most_64_bits_is_a_conversation_id(value: object) -> None:
    check_id(value)


@pytest.mark.parametrize(
    "value", [0, -1, 2**63, True, False, Status.NONE, IntSubclass(0), 42.0, "42", b"42", None, [42]], ids=repr
)
def test_any_other_value_is_rejected_as_a_conversation_id(value: object) -> None:
    with pytest.raises(
        RequestError,
        match=r"^conversation_id: expected a positive int of at most 64 bits(, got \w+(; pass int\(\.\.\.\))?)?$",
    ):
        check_id(value)


def test_the_error_does_not_quote_the_value_that_is_not_an_id() -> None:
    with pytest.raises(RequestError) as caught:
        check_id("jo@example.com")
    assert "jo@example.com" not in str(caught.value)


# References


@pytest.mark.parametrize("value", [7, Status.SOLVED, IntSubclass(7)], ids=repr)
def test_an_int_becomes_a_reference_with_a_plain_int(value: int) -> None:
    built = reference(value)
    assert built == EntityRef(id=7)
    # A subclass of int may have its own __str__ or JSON form, so the id must be an exact int.
    assert type(built.id) is int


@pytest.mark.parametrize(
    "value", [True, False, None, "7", "billing", 7.0, [7], {"id": 7}, EntityRef(id=7), CustomerRef(id=7)], ids=repr
)
def test_any_other_value_is_not_changed_into_a_reference(value: object) -> None:
    assert reference(value) is value


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], []),
        ((), []),
        ([7, "billing", EntityRef(id=8)], [EntityRef(id=7), "billing", EntityRef(id=8)]),
        ((7, Status.SOLVED, IntSubclass(7)), [EntityRef(id=7)] * 3),
        ([True, None, [7]], [True, None, [7]]),
    ],
    ids=repr,
)
def test_the_ids_in_a_list_or_tuple_become_references(values: Any, expected: list[object]) -> None:
    assert references(values) == expected


def test_the_list_of_the_caller_is_not_changed() -> None:
    values = [7]
    assert references(values) == [EntityRef(id=7)]
    assert values == [7]


@pytest.mark.parametrize("values", [None, 7, True, "billing", b"7", {7}, {7: 8}, iter([7]), EntityRef(id=7)], ids=type)
def test_any_value_but_a_list_or_tuple_is_returned_unchanged(values: object) -> None:
    assert references(values) is values


# Custom fields


def test_a_mapping_from_ids_to_values_becomes_custom_fields() -> None:
    built = custom_fields({272: 1613, IntSubclass(273): "gold", Status.SOLVED: False, 9: None})
    assert built == [
        CustomField(id=272, meta=CustomFieldMeta(value=1613)),
        CustomField(id=273, meta=CustomFieldMeta(value="gold")),
        CustomField(id=7, meta=CustomFieldMeta(value=False)),
    ]
    assert [type(field.id) for field in built] == [int] * 3


def test_a_mapping_whose_values_are_all_none_is_omitted_from_the_request() -> None:
    assert custom_fields({9: None}) is None
    assert custom_fields({}) == []


@pytest.mark.parametrize("fields", [None, "gold", 7, {7}, CustomField(id=7)], ids=repr)
def test_any_value_but_a_mapping_or_list_is_returned_as_it_is(fields: object) -> None:
    assert custom_fields(fields) is fields


# JSON


@pytest.mark.parametrize(
    ("argument", "value", "expected"),
    [
        ("subject", "Refund", "Refund"),
        ("subject", None, None),
        ("notify_customer", False, False),
        ("inbox", 7, 7),
        ("inbox", {"id": 7, "type": "inboxes"}, EntityRef(id=7, type="inboxes")),
        ("inbox", {}, EntityRef()),
        ("customer", "jo@example.com", "jo@example.com"),
        ("customer", {"email": "jo@example.com"}, CustomerRef(email="jo@example.com")),
        ("customer", {"id": 7}, CustomerRef(id=7)),
        ("cc", ["jo@example.com"], ["jo@example.com"]),
        ("files", [7, {"id": 8}], [7, EntityRef(id=8)]),
        ("tags", ["billing", 7, {"id": 8}], ["billing", 7, EntityRef(id=8)]),
        ("tags", [["billing"], [{"id": 8}]], [["billing"], [{"id": 8}]]),
        (
            "customfields",
            [{"id": 7, "meta": {"value": {"a": [1]}}}, {"id": 8}, {"id": 9, "meta": None}],
            [CustomField(id=7, meta=CustomFieldMeta(value={"a": [1]})), CustomField(id=8), CustomField(id=9)],
        ),
        ("customfields", {"272": 1613, "273": {"a": [1]}, "9": None}, {272: 1613, 273: {"a": [1]}, 9: None}),
        ("customfields", {}, {}),
        ("customfields", [], []),
        ("customfields", "gold", "gold"),
        ("scheduled_email", {"at": "noon", "to": {"id": 7}}, {"at": "noon", "to": {"id": 7}}),
    ],
    ids=str,
)
def test_an_object_in_json_becomes_the_model_of_its_argument(argument: str, value: Any, expected: Any) -> None:
    converted = from_json(argument, value)
    assert converted == expected
    assert type(converted) is type(expected)


@pytest.mark.parametrize(
    ("argument", "value", "message"),
    [
        ("inbox", {"idd": 7}, "inbox: unknown EntityRef field: idd (did you mean id?)"),
        ("inbox", {"id": 7, "email": "jo@example.com"}, "inbox: unknown EntityRef field: email"),
        ("customer", {"mail": "jo@example.com"}, "customer: unknown CustomerRef field: mail (did you mean email?)"),
        ("customer", {"jo@example.com": 1, "id": 7, "zip": 1}, "customer: unknown CustomerRef fields: ..., zip"),
        ("tags", ["billing", {"name": "urgent"}], "tags: unknown EntityRef field: name"),
        ("customfields", [{"id": 7}, {"key": 7}], "customfields: unknown CustomField field: key"),
        ("customfields", [{"id": 7, "value": 1613}], "customfields: unknown CustomField field: value"),
        (
            "customfields",
            [{"id": 7, "meta": {"valeu": 1613}}],
            "customfields: unknown CustomFieldMeta field: valeu (did you mean value?)",
        ),
        ("customfields", {"7": 1, "tier": 2}, "customfields: expected the ids of custom fields as keys, got tier"),
        *(
            ("customfields", {key: 1}, "customfields: expected the ids of custom fields as keys, got ...")
            for key in ("", "0", "07", "7 ", "7.0", "-7", "\u0667", "9" * 20, "jo@example.com")
        ),
        ("inbox", {"additional_properties": {}}, "inbox: unknown EntityRef field: additional_properties"),
    ],
    ids=str,
)
def test_an_unknown_field_in_json_is_rejected_by_name(argument: str, value: Any, message: str) -> None:
    with pytest.raises(RequestError) as caught:
        from_json(argument, value)
    assert str(caught.value) == message


@pytest.mark.parametrize("arguments", [{"agent": User(id=2, email="hush")}, {"tags": [User(id=2, email="hush")]}])
async def test_an_object_of_a_listing_is_rejected_as_a_reference(arguments: Any) -> None:
    fake = FakeDesk()
    async with AsyncDesk("https://acme.teamwork.com", token="any", transport=fake.transport) as desk:
        with pytest.raises(RequestError, match=r"expected an EntityRef.*, got User; pass its id$"):
            await desk.conversations.convert(42, **arguments)
    assert fake.requests == []


@pytest.mark.parametrize(
    ("argument", "resource"),
    [
        ("agent", "users"),
        ("inbox", "inboxes"),
        ("priority", "priorities"),
        ("source", "sources"),
        ("status", "statuses"),
        ("tags", "tags"),
        ("type", "types"),
    ],
)
async def test_a_name_is_rejected_with_the_method_that_finds_its_id(argument: str, resource: str) -> None:
    fake = FakeDesk()
    arguments: dict[str, Any] = {argument: "jo@example.com"}
    async with AsyncDesk("https://acme.teamwork.com", token="any", transport=fake.transport) as desk:
        with pytest.raises(RequestError) as caught:
            await desk.conversations.convert(42, **arguments)
        assert isinstance(getattr(desk, resource), Resource)
    if argument == "tags":
        expected = "expected a list or tuple of EntityRef, int or str, got str; "
        expected += "pass [(await desk.tags.find(...)).id], or a list of words"
    else:
        expected = "expected an EntityRef or an int, got str; to find an id by its name: "
        expected += f"(await desk.{resource}.find(...)).id"
    assert str(caught.value) == f"{argument}: {expected}"
    assert fake.requests == []


@pytest.mark.parametrize("argument", ["parent", "tickettemplate"])
async def test_a_str_has_no_hint_if_no_method_finds_its_id(argument: str) -> None:
    arguments: dict[str, Any] = {argument: "x"}
    async with AsyncDesk("https://acme.teamwork.com", token="any", transport=FakeDesk().transport) as desk:
        with pytest.raises(RequestError, match=rf"^{argument}: expected an EntityRef or an int, got str$"):
            await desk.conversations.convert(42, **arguments)


def test_the_arguments_are_checked_without_a_client() -> None:
    check_arguments(
        42, {"inbox": 7, "verify_first": True, "customer": "jo@example.com", "customfields": {7: 1}}, ConvertedFields
    )
    wrong: list[tuple[str, Any]] = [("inbox", "x"), ("verify_first", 1), ("customer", 1.5), ("cc", "a"), ("files", 7)]
    for name, value in wrong:
        with pytest.raises(RequestError, match=rf"^{name}: "):
            check_arguments(42, {name: value}, ConvertedFields)
    with pytest.raises(RequestError, match=r"^conversation_id: "):
        check_arguments(0, {}, ConvertedFields)
