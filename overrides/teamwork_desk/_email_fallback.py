"""The rules for the customer and the deprecated email field, as pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from types import NoneType
from typing import Literal, TypeAlias, TypeVar, cast

from attrs import evolve

from teamwork_desk_api.models import CustomerRef
from teamwork_desk_api.types import Request

from ._checks import type_name
from ._errors import RequestError
from ._values import advice

T = TypeVar("T")

EmailFallback: TypeAlias = Literal["auto", "always", "never"]

_CUSTOMER_FIELDS = frozenset({"customer", "customer.id", "customer.email", "email"})


def resolve_customer(customer: CustomerRef | int | str | None, email: str | None) -> CustomerRef | None:
    """Return the customer that the two arguments name; None if both are None.

    Args:
        customer: The customer, an id, or an email address.
        email: The deprecated argument.

    Raises:
        RequestError: `customer` has a wrong type, names no customer or has both an id and an address, or `email` names
            another customer.
    """
    match customer:
        case int() if not isinstance(customer, bool):
            customer = CustomerRef(id=customer)
        case str():
            customer = CustomerRef(email=customer)
        case CustomerRef():
            if {"email", "id"} <= _named_by(customer):
                raise RequestError("customer: pass an id or an email address, not both")
            if not _named_by(customer):
                raise RequestError("customer: pass an id or an email address")
        case None:
            pass
        case _:
            raise RequestError(
                f"customer: expected a CustomerRef, an int (an id) or a str (an email address), "
                f"got {type_name(customer)}{advice(customer, (CustomerRef, int, str, NoneType))}"
            )
    if email is None:
        return customer
    if not isinstance(cast("object", email), str):
        raise RequestError(f"email: expected a str, got {type_name(email)}{advice(email, (str, NoneType))}")
    if customer is None:
        return CustomerRef(email=email)
    if customer.id is not None:
        raise RequestError("email: omit it, because customer is already given by its id")
    if customer.email is not None and customer.email != email:
        raise RequestError("email: it differs from customer.email; omit it")
    return evolve(customer, email=email)


def _named_by(customer: CustomerRef) -> set[str]:
    declared = {name for name in ("email", "id") if getattr(customer, name) is not None}
    return declared | customer.additional_properties.keys()


def with_deprecated_email(request: Request[T]) -> Request[T] | None:
    """Return the request with the address in the deprecated field; None if the request has no address."""
    email = request.body.get("customer", {}).get("email")
    if email is None:
        return None
    rest = {name: value for name, value in request.body.items() if name != "customer"}
    return evolve(request, body={**rest, "email": email})


def says_customer_is_missing(errors: Mapping[str, list[str]]) -> bool:
    """Return whether a 400 says that the customer is missing, as an installation without `customer.email` does.

    Desk says "must be set" about a missing value (source: Teamwork's `validate` package). About a malformed address it
    says "must be a valid email address", and the deprecated field would not make the address valid.

    Args:
        errors: The reasons by field.
    """
    reasons = [reason for field, reasons in errors.items() if field in _CUSTOMER_FIELDS for reason in reasons]
    return bool(reasons) and all(reason == "must be set" for reason in reasons)
