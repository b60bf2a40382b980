"""The email fallback: which of the two email fields has the customer's address, and when the other field is tried."""

from __future__ import annotations

import linecache
import logging
import warnings
from collections import Counter
from functools import partial
from typing import Any, cast

import anyio
import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teamwork_desk import (
    AsyncDesk,
    AuthenticationError,
    CustomerRef,
    EntityRef,
    PermissionDeniedError,
    RequestError,
    RetryPolicy,
    StatusError,
    ValidationError,
)
from teamwork_desk._email_fallback import (
    EmailFallback,
    resolve_customer,
    says_customer_is_missing,
    with_deprecated_email,
)
from teamwork_desk.testing import FakeDesk
from teamwork_desk_api.api.conversations.convert_conversation import convert_conversation
from teamwork_desk_api.models import ConvertConversation

JO = "jo@example.com"
MO = "mo@example.com"
MUST_BE_SET = {"errors": {"customer": ["must be set"]}}
MALFORMED = {"errors": {"email": ["must be a valid email address"]}}
NO_PAUSES = RetryPolicy(backoff_base=0, settle=())


def a_desk(fake: FakeDesk, email_fallback: EmailFallback = "auto", token: Any = "a-token", **options: Any) -> AsyncDesk:
    return AsyncDesk(
        "https://acme.teamwork.com",
        token=token,
        transport=fake.transport,
        email_fallback=email_fallback,
        retry=NO_PAUSES,
        **options,
        verify_first=False,
    )


def sent(fake: FakeDesk) -> list[Any]:
    """Return the bodies of the convert requests."""
    return [request.json for request in fake.requests if request.method == "POST"]


# The customer that the two arguments name


@pytest.mark.parametrize(
    ("customer", "email", "expected"),
    [
        (None, None, None),
        (7, None, CustomerRef(id=7)),
        (JO, None, CustomerRef(email=JO)),
        (CustomerRef(id=7), None, CustomerRef(id=7)),
        (CustomerRef(email=JO), None, CustomerRef(email=JO)),
        (None, JO, CustomerRef(email=JO)),
        (JO, JO, CustomerRef(email=JO)),
        (CustomerRef(email=JO), JO, CustomerRef(email=JO)),
        (
            CustomerRef(email=JO, additional_properties={"firstName": "Jo"}),
            None,
            CustomerRef(email=JO, additional_properties={"firstName": "Jo"}),
        ),
    ],
    ids=repr,
)
def test_the_two_arguments_resolve_to_one_customer(
    customer: CustomerRef | int | str | None, email: str | None, expected: CustomerRef | None
) -> None:
    assert resolve_customer(customer, email) == expected


@pytest.mark.parametrize(
    ("customer", "email", "message"),
    [
        (CustomerRef(id=7, email=JO), None, "customer: .* not both"),
        (CustomerRef(id=7, email=JO), JO, "customer: .* not both"),
        (CustomerRef(id=7, additional_properties={"email": JO}), None, "customer: .* not both"),
        (CustomerRef(), None, "customer: pass"),
        (CustomerRef(), JO, "customer: pass"),
        (7, JO, "email: omit it"),
        (CustomerRef(id=7), JO, "email: omit it"),
        (CustomerRef(id=7), "", "email: omit it"),
        (JO, MO, "email: it differs"),
        (CustomerRef(email=JO), MO, "email: it differs"),
        (JO, JO.upper(), "email: it differs"),
        (JO, "", "email: it differs"),
        (True, None, "customer: .* got bool"),
        (7.0, None, "customer: .* got float"),
        (EntityRef(id=7), None, "customer: .* got EntityRef"),
        ({"email": JO}, None, "customer: .* got dict"),
        ([JO], None, "customer: .* got list"),
    ],
    ids=repr,
)
def test_no_customer_or_two_customers_are_rejected_with_the_arguments_name(
    customer: Any, email: str | None, message: str
) -> None:
    with pytest.raises(RequestError, match=f"^{message}") as caught:
        resolve_customer(customer, email)
    assert JO not in str(caught.value)


# The body with the deprecated field


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (ConvertConversation(), None),
        (ConvertConversation(customer=CustomerRef(id=7)), None),
        (ConvertConversation(customer=CustomerRef(email=JO)), ConvertConversation(email=JO)),
        (
            ConvertConversation(subject="Refund", customer=CustomerRef(email=JO), cc=[MO]),
            ConvertConversation(subject="Refund", email=JO, cc=[MO]),
        ),
    ],
    ids=["no customer", "by id", "by email", "with other fields"],
)
def test_only_the_address_moves_to_the_deprecated_field(
    body: ConvertConversation, expected: ConvertConversation | None
) -> None:
    request = convert_conversation(42, body=body)
    assert with_deprecated_email(request) == (expected and convert_conversation(42, body=expected))


# Field errors that mean that the customer is missing


@pytest.mark.parametrize(
    ("errors", "missing"),
    [
        ({"customer": ["must be set"]}, True),
        ({"customer.id": ["must be set"]}, True),
        ({"customer.email": ["must be set"]}, True),
        ({"email": ["must be set"]}, True),
        ({"customer.id": ["must be set"], "customer.email": ["must be set"]}, True),
        ({"customer": ["must be set", "must be set"]}, True),
        ({"customer": ["must be set"], "subject": ["must be shorter than 256 characters"]}, True),
        ({}, False),
        ({"customer": []}, False),
        ({"customer.email": ["must be a valid email address"]}, False),
        ({"email": ["must be a valid email address"]}, False),
        ({"customer": ["must be set"], "customer.email": ["must be a valid email address"]}, False),
        ({"customer": ["must be set", "cannot be ‘id and email’"]}, False),
        ({"customer": ["must be a whole number"]}, False),
        ({"customer": ["must be set to a known customer"]}, False),
        ({"subject": ["must be set"]}, False),
        ({"cc": ["must be set"]}, False),
        ({"customer.phone": ["must be set"]}, False),
        ({"customers": ["must be set"]}, False),
    ],
    ids=str,
)
def test_only_must_be_set_at_a_customer_field_means_that_the_customer_is_missing(
    errors: dict[str, list[str]], missing: bool
) -> None:
    assert says_customer_is_missing(errors) is missing


# The field that is sent

NEW: dict[str, Any] = {"customer": {"email": JO}}
OLD: dict[str, Any] = {"email": JO}


@pytest.mark.parametrize(
    ("old_installation", "mode", "first_call", "second_call"),
    [
        (False, "auto", [NEW], [NEW]),
        (False, "always", [OLD], [OLD]),
        (False, "never", [NEW], [NEW]),
        (True, "auto", [NEW, OLD], [OLD]),
        (True, "always", [OLD], [OLD]),
    ],
)
async def test_each_mode_sends_the_field_that_it_documents(
    old_installation: bool, mode: EmailFallback, first_call: list[Any], second_call: list[Any]
) -> None:
    fake = FakeDesk(old_installation=old_installation)
    async with a_desk(fake, mode) as desk:
        conversation = await desk.conversations.convert(42, customer=JO)
        assert (sent(fake), len(fake.tickets)) == (first_call, 1)
        assert conversation.ticket_id == fake.tickets[0].id
        await desk.conversations.convert(43, customer=JO)
        assert (sent(fake), len(fake.tickets)) == (first_call + second_call, 2)


async def test_without_a_fallback_the_error_of_an_old_installation_is_raised() -> None:
    fake = FakeDesk(old_installation=True)
    async with a_desk(fake, "never") as desk:
        for _ in range(2):
            with pytest.raises(ValidationError, match="customer must be set") as caught:
                await desk.conversations.convert(42, customer=JO)
            assert (caught.value.attempts, caught.value.maybe_applied) == (1, False)
    assert sent(fake) == [NEW, NEW]


@pytest.mark.parametrize("mode", ["auto", "always", "never"])
async def test_a_customer_given_by_id_is_never_sent_in_the_deprecated_field(mode: EmailFallback) -> None:
    fake = FakeDesk()
    fake.fail(status=400, body=MUST_BE_SET)
    async with a_desk(fake, mode) as desk:
        with pytest.raises(ValidationError):
            await desk.conversations.convert(42, customer=7)
    assert sent(fake) == [{"customer": {"id": 7}}]


async def test_both_requests_have_the_other_fields() -> None:
    fake = FakeDesk(old_installation=True)
    async with a_desk(fake) as desk:
        await desk.conversations.convert(42, customer=JO, subject="Refund", cc=[MO], notify_customer=False)
    rest = {"subject": "Refund", "cc": [MO], "notifyCustomer": False}
    assert sent(fake) == [{**NEW, **rest}, {**OLD, **rest}]


async def test_a_list_that_the_caller_changes_during_the_call_changes_neither_request() -> None:
    fake, cc = FakeDesk(old_installation=True), [MO]

    async def change(_: httpx.Request) -> None:
        cc.append("another@example.com")

    async with a_desk(fake, event_hooks={"request": [change]}) as desk:
        await desk.conversations.convert(42, customer=JO, cc=cc)
    assert sent(fake) == [{**NEW, "cc": [MO]}, {**OLD, "cc": [MO]}]


@pytest.mark.parametrize("status", [400, 409, 422])
async def test_any_other_error_response_is_raised_without_a_fallback(status: int) -> None:
    fake = FakeDesk()
    fake.fail(status=status, body=MALFORMED)
    async with a_desk(fake) as desk:
        with pytest.raises(Exception, match=f" {status}: "):
            await desk.conversations.convert(42, customer=JO)
    assert sent(fake) == [NEW]


async def test_must_be_set_in_a_response_other_than_400_causes_no_fallback() -> None:
    fake = FakeDesk()
    fake.fail(status=422, body=MUST_BE_SET)
    async with a_desk(fake) as desk:
        with pytest.raises(Exception, match=" 422: "):
            await desk.conversations.convert(42, customer=JO)
    assert sent(fake) == [NEW]


async def test_a_malformed_address_is_not_sent_again() -> None:
    fake = FakeDesk()
    async with a_desk(fake) as desk:
        with pytest.raises(ValidationError) as caught:
            await desk.conversations.convert(42, customer="jo at example")
    assert caught.value.errors == {"customer.email": ["must be a valid email address"]}
    assert sent(fake) == [{"customer": {"email": "jo at example"}}]


async def test_the_first_error_is_raised_if_both_fields_are_rejected() -> None:
    fake = FakeDesk()
    fake.fail(status=400, body=MUST_BE_SET, headers={"X-Request-Id": "first"}, method="POST")
    fake.fail(status=400, body=MALFORMED, headers={"X-Request-Id": "second"}, method="POST")
    async with a_desk(fake) as desk:
        with pytest.raises(ValidationError) as caught:
            await desk.conversations.convert(42, customer=JO)
        assert sent(fake) == [NEW, OLD]
        assert (caught.value.request_id, caught.value.errors) == ("first", MUST_BE_SET["errors"])
        assert (caught.value.attempts, caught.value.maybe_applied, caught.value.conversation_id) == (2, False, 42)
        await desk.conversations.convert(42, customer=JO)
    assert sent(fake) == [NEW, OLD, NEW], "a fallback that was rejected too is not remembered"


async def test_another_error_of_the_second_request_is_raised_and_nothing_is_remembered() -> None:
    fake = FakeDesk()
    fake.fail(status=400, body=MUST_BE_SET, method="POST")
    fake.fail(status=403, method="POST")
    async with a_desk(fake) as desk:
        with pytest.raises(PermissionDeniedError) as caught:
            await desk.conversations.convert(42, customer=JO)
        assert caught.value.attempts == 2
        await desk.conversations.convert(42, customer=JO)
    assert sent(fake) == [NEW, OLD, NEW]


async def test_the_second_request_is_not_sent_again_when_its_response_is_lost() -> None:
    fake = FakeDesk()
    fake.fail(status=400, body=MUST_BE_SET, method="POST")
    fake.lose_answer("after", method="POST")
    async with a_desk(fake) as desk:
        conversation = await desk.conversations.convert(42, customer=JO)
    assert sent(fake) == [NEW, OLD]
    assert [ticket.id for ticket in fake.tickets] == [conversation.ticket_id]


async def test_both_requests_share_the_attempts_of_the_call() -> None:
    fake = FakeDesk()
    fake.fail(status=425, times=3, method="POST")
    fake.fail(status=400, body=MUST_BE_SET, method="POST")
    fake.fail(status=425, times=3, method="POST")
    async with a_desk(fake) as desk:
        with pytest.raises(StatusError, match=" 425: ") as caught:
            await desk.conversations.convert(42, customer=JO)
    assert caught.value.attempts == NO_PAUSES.max_attempts + 1


async def test_both_requests_share_the_single_fresh_token_of_the_call() -> None:
    fake, tokens = FakeDesk(), iter(["first", "second", "third"])
    fake.fail(status=401, method="POST")
    fake.fail(status=400, body=MUST_BE_SET, method="POST")
    fake.fail(status=401, method="POST")
    async with a_desk(fake, token=lambda: next(tokens)) as desk:
        with pytest.raises(AuthenticationError) as caught:
            await desk.conversations.convert(42, customer=JO)
    assert (caught.value.attempts, next(tokens)) == (3, "third")


# The fallback is remembered


@pytest.mark.parametrize("falls_back_first", ["client", "view"])
async def test_a_client_and_its_views_share_the_remembered_fallback(falls_back_first: str) -> None:
    fake = FakeDesk(old_installation=True)
    async with a_desk(fake) as desk:
        view = desk.with_options(deadline=60)
        first, second = (desk, view) if falls_back_first == "client" else (view, desk)
        await first.conversations.convert(42, customer=JO)
        await second.conversations.convert(43, customer=JO)
    assert sent(fake) == [NEW, OLD, OLD]


async def test_another_client_does_not_share_the_remembered_fallback() -> None:
    fake = FakeDesk(old_installation=True)
    async with a_desk(fake) as first, a_desk(fake) as second:
        await first.conversations.convert(42, customer=JO)
        await second.conversations.convert(43, customer=JO)
    assert sent(fake) == [NEW, OLD, NEW, OLD]


async def test_a_view_that_never_falls_back_ignores_the_remembered_fallback() -> None:
    fake = FakeDesk(old_installation=True)
    async with a_desk(fake) as desk:
        await desk.conversations.convert(42, customer=JO)
        with pytest.raises(ValidationError):
            await desk.with_options(email_fallback="never").conversations.convert(43, customer=JO)
    assert sent(fake) == [NEW, OLD, NEW]


async def test_concurrent_calls_that_all_fall_back_log_a_single_warning(caplog: pytest.LogCaptureFixture) -> None:
    fake = FakeDesk(old_installation=True)
    arrivals, all_arrived = iter(range(5)), anyio.Event()

    async def wait_for_each_other(request: httpx.Request) -> None:
        if next(arrivals, 4) == 4:
            all_arrived.set()
        await all_arrived.wait()

    async with a_desk(fake, event_hooks={"request": [wait_for_each_other]}) as desk:
        async with anyio.create_task_group() as calls:
            for conversation_id in range(5):
                calls.start_soon(partial(desk.conversations.convert, 1 + conversation_id, customer=JO))
        await desk.conversations.convert(42, customer=JO)
    assert Counter(map(str, sent(fake))) == {str(NEW): 5, str(OLD): 6}
    assert len(fake.tickets) == 6
    records = [record for record in caplog.records if record.name.startswith("teamwork_desk")]
    assert [(record.levelno, "customer.email" in record.message) for record in records] == [(logging.WARNING, True)]


@pytest.mark.parametrize(("old_installation", "mode"), [(False, "auto"), (False, "always"), (True, "always")], ids=str)
async def test_nothing_is_logged_without_a_fallback(
    old_installation: bool, mode: EmailFallback, caplog: pytest.LogCaptureFixture
) -> None:
    async with a_desk(FakeDesk(old_installation=old_installation), mode) as desk:
        await desk.conversations.convert(42, customer=JO)
    assert [record for record in caplog.records if record.name.startswith("teamwork_desk")] == []


# The deprecated argument


async def test_the_deprecated_argument_is_sent_as_the_customers_email() -> None:
    fake = FakeDesk()
    async with a_desk(fake) as desk:
        with pytest.deprecated_call():
            await desk.conversations.convert(42, email=JO)
    assert sent(fake) == [NEW]


async def test_the_deprecated_argument_falls_back_like_the_customer_argument() -> None:
    fake = FakeDesk(old_installation=True)
    async with a_desk(fake) as desk:
        with pytest.deprecated_call():
            await desk.conversations.convert(42, email=JO)
    assert sent(fake) == [NEW, OLD]


async def test_the_deprecation_warning_points_at_the_line_that_awaits_the_call() -> None:
    async with a_desk(FakeDesk()) as desk:
        with pytest.warns(DeprecationWarning, match="customer=") as caught:
            await desk.conversations.convert(42, email=JO)  # here
    assert [warning.filename for warning in caught] == [__file__]
    assert linecache.getline(__file__, caught[0].lineno).endswith("# here\n")


async def test_there_is_no_warning_without_the_deprecated_argument() -> None:
    async with a_desk(FakeDesk(old_installation=True)) as desk:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            await desk.conversations.convert(42, customer=JO)
    assert caught == []


@pytest.mark.parametrize(
    ("customer", "email"), [(7, JO), (CustomerRef(id=7), JO), (CustomerRef(id=7, email=JO), None), (JO, MO)], ids=repr
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_two_customers_are_rejected_before_anything_is_sent(customer: Any, email: str | None) -> None:
    fake = FakeDesk()
    async with a_desk(fake) as desk:
        with pytest.raises(RequestError) as caught:
            await desk.conversations.convert(42, customer=customer, email=email)
    assert (caught.value.attempts, caught.value.maybe_applied, caught.value.conversation_id) == (0, False, 42)
    assert fake.requests == []


# Any arguments

ADDRESSES = st.sampled_from([JO, MO, "", "no address", "jö@exämple.com"]) | st.emails()
IDS = st.integers(1, 10)
CUSTOMERS = (
    st.none()
    | IDS
    | ADDRESSES
    | st.builds(CustomerRef, id=st.none() | IDS, email=st.none() | ADDRESSES)
    | st.builds(CustomerRef, email=ADDRESSES, additional_properties=st.just({"firstName": "Jo"}))
)


def leaves(value: Any) -> list[Any]:
    """Return the scalars in nested objects."""
    if not isinstance(value, dict):
        return [value]
    return [leaf for entry in cast("dict[str, Any]", value).values() for leaf in leaves(entry)]


@settings(max_examples=60)
@given(
    customer=CUSTOMERS,
    email=st.none() | ADDRESSES,
    mode=st.sampled_from(["auto", "always", "never"]),
    old_installation=st.booleans(),
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_any_arguments_send_at_most_one_customer_and_each_address_once(
    customer: CustomerRef | int | str | None, email: str | None, mode: EmailFallback, old_installation: bool
) -> None:
    customer_reference = customer if isinstance(customer, CustomerRef) else CustomerRef()
    addresses = {value for value in (email, customer_reference.email, customer) if isinstance(value, str)}
    ids = {value for value in (customer_reference.id, customer) if isinstance(value, int)}
    fake = FakeDesk(old_installation=old_installation)
    async with a_desk(fake, mode) as desk:
        try:
            await desk.conversations.convert(42, customer=customer, email=email)
        except RequestError:
            assert len(addresses) + len(ids) != 1 or customer == CustomerRef()
            assert fake.requests == []
        except ValidationError:
            assert fake.tickets == []
    for body in sent(fake):
        assert len(addresses) + len(ids) <= 1
        assert len({"email", "customer"} & body.keys()) <= 1
        assert Counter(leaf for leaf in leaves(body) if leaf != "Jo") == Counter([*addresses, *ids])
