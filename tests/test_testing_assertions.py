"""The assertions of FakeDesk take the arguments of `convert`, and their messages name what differs."""

from __future__ import annotations

from typing import Any, get_type_hints

import pytest

from teamwork_desk import AsyncDesk, CustomerRef, CustomField, CustomFieldMeta, EntityRef
from teamwork_desk._values import kind_of
from teamwork_desk.backlog import ConvertedFields
from teamwork_desk.testing import FakeDesk

ALL_FIELDS: dict[str, Any] = {
    "agent": 1,
    "bcc": ["a@example.com"],
    "cc": ("b@example.com", "c@example.com"),
    "customer": "jo@example.com",
    "customfields": {5: "gold", 272: 1613},
    "edit_method": "markdown",
    "files": [7, EntityRef(id=8)],
    "from_thread_id": 9,
    "from_ticket_id": 10,
    "inbox": EntityRef(id=11, type="inboxes"),
    "message": "Dear Jo",
    "notify_customer": False,
    "parent": 12,
    "priority": 13,
    "scheduled_email": {"at": {"id": 3}},
    "send_from": "desk@example.com",
    "source": 14,
    "status": EntityRef(id=15),
    "subject": "Refund",
    "tags": ["billing", 16],
    "tickettemplate": 17,
    "type": 18,
}


def test_the_test_data_has_every_kind_of_argument_that_convert_takes() -> None:
    hints = get_type_hints(ConvertedFields)
    assert ALL_FIELDS.keys() <= hints.keys()
    assert {kind_of(hints[name]) for name in ALL_FIELDS} == {kind_of(hint) for hint in hints.values()}


async def test_the_assertion_takes_the_same_arguments_as_convert(fake_desk: FakeDesk, desk: AsyncDesk) -> None:
    conversation = await desk.conversations.convert(42, **ALL_FIELDS)
    assert fake_desk.assert_converted_once(42, **ALL_FIELDS).id == conversation.ticket_id
    for name in ALL_FIELDS:
        with pytest.raises(AssertionError, match=f"\n  {name}: expected nothing, got "):
            fake_desk.assert_converted_once(42, **{name: None})


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize(
    "customer", ["jo@example.com", CustomerRef(email="jo@example.com")], ids=["str", "CustomerRef"]
)
async def test_the_address_of_a_customer_is_found_in_both_fields(old: bool, customer: str | CustomerRef) -> None:
    fake = FakeDesk(old_installation=old)
    async with AsyncDesk("https://d.example", token="t", transport=fake.transport) as desk:
        await desk.conversations.convert(42, customer=customer)
    assert fake.tickets[0].body.keys() == ({"email"} if old else {"customer"})
    fake.assert_converted_once(42, customer="jo@example.com")
    fake.assert_converted_once(42, customer=CustomerRef(email="jo@example.com"))
    with pytest.raises(AssertionError, match=r"customer: expected 'al@example.com', got 'jo@example.com'"):
        fake.assert_converted_once(42, customer="al@example.com")
    with pytest.raises(AssertionError, match=r"customer: expected 3, got 'jo@example.com'"):
        fake.assert_converted_once(42, customer=3)


async def test_a_customer_can_be_compared_by_id(fake_desk: FakeDesk, desk: AsyncDesk) -> None:
    await desk.conversations.convert(42, customer=CustomerRef(id=3))
    fake_desk.assert_converted_once(42, customer=3)


async def test_a_customer_with_id_and_address_is_shown_with_both(fake_desk: FakeDesk, desk: AsyncDesk) -> None:
    await desk.conversations.convert(42, customer=3)
    fake_desk.tickets[0].body.update(email="jo@example.com")
    with pytest.raises(AssertionError, match=r"got {'id': 3, 'email': 'jo@example.com'}"):
        fake_desk.assert_converted_once(42, customer="jo@example.com")


@pytest.mark.parametrize(
    "same",
    [
        {5: "gold", 272: {"id": 3}},
        {272: {"id": 3}, 5: "gold", 9: None},
        [
            CustomField(id=272, meta=CustomFieldMeta(value={"id": 3})),
            CustomField(id=5, meta=CustomFieldMeta(value="gold")),
        ],
    ],
    ids=["in order", "in another order", "as models"],
)
async def test_custom_fields_are_compared_by_their_ids(fake_desk: FakeDesk, desk: AsyncDesk, same: Any) -> None:
    await desk.conversations.convert(42, customfields={5: "gold", 272: {"id": 3}})
    fake_desk.assert_converted_once(42, customfields=same)
    others: list[tuple[Any, str]] = [({5: "gold", 272: 3}, "{5: 'gold', 272: 3}"), ([], "{}")]
    for other, shown in others:
        with pytest.raises(AssertionError) as caught:
            fake_desk.assert_converted_once(42, customfields=other)
        assert f"\n  customfields: expected {shown}, got {{5: 'gold', 272: {{'id': 3}}}}" in str(caught.value)


async def test_custom_fields_with_other_data_are_compared_as_they_are(fake_desk: FakeDesk, desk: AsyncDesk) -> None:
    for conversation_id, field in enumerate(
        [
            CustomField(id=5),
            CustomField(id=5, meta=CustomFieldMeta(value=1, additional_properties={"a": 1})),
            CustomField(id=5, meta=CustomFieldMeta(value=1), additional_properties={"a": 1}),
        ],
        1,
    ):
        await desk.conversations.convert(conversation_id, customfields=[field])
        fake_desk.assert_converted_once(conversation_id, customfields=[field])
        with pytest.raises(AssertionError, match=r"expected {5: 1}, got \[{'"):
            fake_desk.assert_converted_once(conversation_id, customfields={5: 1})


async def test_each_difference_is_reported_on_a_line_of_its_own(fake_desk: FakeDesk, desk: AsyncDesk) -> None:
    await desk.conversations.convert(42, subject="Refund", message="Dear Jo,\nsorry", tags=["billing", 3])
    with pytest.raises(AssertionError) as caught:
        fake_desk.assert_converted_once(42, subject="Refund", message="Dear Al", tags=["billing"], inbox=7)
    assert str(caught.value).splitlines() == [
        "conversation 42 was converted once, but:",
        "  message: expected 'Dear Al', got 'Dear Jo,\\nsorry'",
        "  tags: expected ['billing'], got ['billing', 3]",
        "  inbox: expected 7, got nothing",
    ]


async def test_long_texts_are_compared_line_by_line(fake_desk: FakeDesk, desk: AsyncDesk) -> None:
    await desk.conversations.convert(42, message="Dear Jo,\nwe refund 20 EUR.\nYours")
    with pytest.raises(AssertionError) as caught:
        fake_desk.assert_converted_once(42, message="Dear Jo,\nwe refund 25 EUR.\nYours\n")
    assert str(caught.value).splitlines() == [
        "conversation 42 was converted once, but:",
        "  message: expected (-), got (+)",
        "      Dear Jo,",
        "    - we refund 25 EUR.",
        "    ?            ^",
        "    + we refund 20 EUR.",
        "    ?            ^",
        "      Yours",
        "    -",
    ]


async def test_the_message_says_how_often_a_conversation_was_converted(fake_desk: FakeDesk, desk: AsyncDesk) -> None:
    with pytest.raises(AssertionError) as caught:
        fake_desk.assert_converted_once(42)
    assert str(caught.value) == "expected conversation 42 to be converted once, got not at all"
    fake_desk.assert_not_converted(42)
    for conversation_id in (42, 9, 42, 7, 42, 9):
        await desk.conversations.convert(conversation_id, verify_first=False)
    with pytest.raises(AssertionError) as caught:
        fake_desk.assert_converted_once(42, subject="not compared")
    assert str(caught.value).splitlines() == [
        "expected conversation 42 to be converted once, got 3 times",
        "  conversation 7: once",
        "  conversation 9: 2 times",
    ]
    with pytest.raises(AssertionError, match=r"^expected conversation 7 not to be converted, got once$"):
        fake_desk.assert_not_converted(7)
    with pytest.raises(AssertionError, match=r"^expected conversation 9 not to be converted, got 2 times$"):
        fake_desk.assert_not_converted(9)


@pytest.mark.parametrize("name", ["subjct", "email", "verify_first", "editMethod"])
def test_a_field_that_convert_does_not_have_is_rejected(name: str) -> None:
    with pytest.raises(TypeError, match=rf"convert\(\) has no such field: {name}"):
        FakeDesk().assert_converted_once(42, **{name: "x"})  # type: ignore[arg-type]
