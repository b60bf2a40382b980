"""The contract: it is valid, it agrees with the API page, and the generated models cover all of it."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from contract import json_types, operations, properties, resolve
from openapi_python_client.strings import ClassName
from openapi_schema_validator import OAS31Validator, oas31_format_checker
from openapi_spec_validator import OpenAPIV31SpecValidator
from referencing import Registry
from referencing.jsonschema import DRAFT202012, SchemaRegistry
from trials import example_of, sample

from teamwork_desk_api import models
from teamwork_desk_api.models import Conversation, ConvertConversation

CONTRACT: dict[str, Any] = yaml.safe_load(
    (Path(__file__).resolve().parents[1] / "openapi" / "desk.yaml").read_text("utf-8")
)
SCHEMAS: dict[str, Any] = CONTRACT["components"]["schemas"]
CONVERT: dict[str, Any] = CONTRACT["paths"]["/desk/api/v2/conversations/{id}/convert.json"]["post"]
EXAMPLE: dict[str, Any] = CONVERT["responses"]["200"]["content"]["application/json"]["example"]
"""The example of a response on the API page."""

BODY_FIELDS = [
    *("agent", "bcc", "cc", "customer", "customfields", "editMethod", "email", "files", "fromThreadId", "fromTicketId"),
    *("inbox", "message", "notifyCustomer", "parent", "priority", "scheduledEmail", "sendFrom", "source", "status"),
    *("subject", "tags", "tickettemplate", "type"),
]
"""The body fields on the API page."""

MOMENT = datetime.datetime(2024, 12, 19, 16, 2, 34, 102_000, tzinfo=datetime.UTC)
"""The time of every field in the example."""

PYTHON_NAMES = {
    "Distinct": "distinct",
    "Field": "field",
    "Operation": "operation",
    "bulkDryExecute": "bulk_dry_execute",
    "contactId": "contact_id",
    "createdAt": "created_at",
    "createdBy": "created_by",
    "deletedAt": "deleted_at",
    "deletedBy": "deleted_by",
    "isMain": "is_main",
    "orderBy": "order_by",
    "orderMode": "order_mode",
    "pageOffset": "page_offset",
    "pageSize": "page_size",
    "skipAggregation": "skip_aggregation",
    "updatedAt": "updated_at",
    "updatedBy": "updated_by",
}
"""The properties of a response that have another name in Python."""


class Drift(list[tuple[str, str, str]]):
    """A hook that collects its reports: the path, the expected and the actual JSON type."""

    def __call__(self, path: str, expected: str, got: str) -> None:
        self.append((path, expected, got))


def children(node: Any) -> list[tuple[str, Any]]:
    """The parts of a JSON value, with their keys or indices."""
    if isinstance(node, dict):
        return list(cast("dict[str, Any]", node).items())
    return [(str(index), child) for index, child in enumerate(cast("Any", node))] if isinstance(node, list) else []


def walk(node: Any, path: tuple[str, ...] = (), *, names: bool = False) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every object of the contract that follows the rules of OpenAPI, with its path. An example is data.

    The keys of `properties` and `schemas` are names, so that a property may be called `enum` or `example`.
    """
    if isinstance(node, dict) and not names:
        yield path, cast("dict[str, Any]", node)
    for key, child in children(node):
        if names or key not in ("default", "example", "examples"):
            yield from walk(child, (*path, key), names=not names and key in ("properties", "schemas"))


def with_strings(node: Any, change: Callable[[str], str]) -> Any:
    """The same JSON value with every string in it changed."""
    if isinstance(node, dict):
        return {key: with_strings(child, change) for key, child in children(cast("Any", node))}
    if isinstance(node, list):
        return [with_strings(child, change) for _, child in children(cast("Any", node))]
    return change(node) if isinstance(node, str) else node


def test_the_contract_is_valid_openapi() -> None:
    assert [error.message for error in OpenAPIV31SpecValidator(CONTRACT).iter_errors()] == []


# The example on the API page


def assert_found(value: Any, decoded: Any, path: str) -> None:
    """Assert that every part of a JSON value is decoded under its attribute."""
    if isinstance(decoded, datetime.datetime):
        assert (value, decoded) == ("2024-12-19T16:02:34.102Z", MOMENT), path
    elif isinstance(value, list):
        assert len(decoded) == len(cast("Any", value)), path
        for (index, child), item in zip(children(cast("Any", value)), decoded, strict=True):
            assert_found(child, item, f"{path}[{index}]")
    elif hasattr(decoded, "from_dict"):
        assert decoded.additional_properties == {}, f"{path} has properties that the contract does not describe"
        for key, child in children(value):
            assert_found(child, getattr(decoded, PYTHON_NAMES.get(key, key)), f"{path}.{key}")
    else:
        assert (decoded, type(decoded)) == (value, type(value)), path


def test_the_example_of_the_page_is_decoded_field_by_field() -> None:
    drift = Drift()
    conversation = Conversation.from_dict(EXAMPLE, None, drift)
    assert drift == []
    assert_found(EXAMPLE, conversation, "conversation")
    assert isinstance(conversation.contact, models.Contact)
    assert isinstance(conversation.contact.filter_args, models.FilterArgs)
    assert conversation.contact.filter_args.aggregate == models.Aggregate(
        distinct=True, field="string", operation="string"
    )
    assert conversation.users == [
        models.EntityRef(delete=True, id=0, meta={"additionalProp": "Unknown Type: any"}, type=0)
    ]
    assert conversation.deleted_at == MOMENT


def test_the_example_of_the_page_is_the_same_after_decoding_and_encoding() -> None:
    # Python writes a time in microseconds with an offset, and the page in milliseconds with a Z.
    encoded = Conversation.from_dict(EXAMPLE).to_dict()
    assert with_strings(encoded, lambda text: text.replace("000+00:00", "Z")) == EXAMPLE


# The body


def test_the_body_has_every_field_of_the_page() -> None:
    # The contract may have further fields, from other sources than the page.
    assert SCHEMAS["ConvertConversation"]["properties"].keys() >= set(BODY_FIELDS)


@pytest.mark.parametrize("field", BODY_FIELDS)
def test_a_field_of_the_body_is_sent_under_its_own_name(field: str) -> None:
    schema = SCHEMAS["ConvertConversation"]["properties"][field]
    values: dict[str, Any] = {"string": "a", "integer": 7, "boolean": False, "array": [{"id": 7}]}
    value: Any = values.get(schema.get("type"), {"id": 7})
    if schema.get("items") == {"type": "string"}:
        value = ["a"]
    drift = Drift()
    body = ConvertConversation.from_dict({field: value}, None, drift)
    assert drift == []
    assert body.additional_properties == {}
    assert body.to_dict() == {field: value}


def test_of_the_body_of_convert_the_email_and_nothing_else_is_deprecated() -> None:
    deprecated = [path for path, node in walk(CONTRACT) if node.get("deprecated")]
    assert [path for path in deprecated if "ConvertConversation" in path] == [
        ("components", "schemas", "ConvertConversation", "properties", "email")
    ]


# The contract's own rules


def response_schemas() -> set[str]:
    """The schemas that a response refers to, directly or through other schemas."""
    seen: set[str] = set()

    def follow(node: Any) -> None:
        for _, child in walk(node):
            reference = child.get("$ref")
            if reference is not None and reference not in seen:
                seen.add(reference)
                follow(resolve(CONTRACT, child))

    for _, _, _, operation in operations(CONTRACT):
        for response in operation["responses"].values():
            follow(response)
    return {name for name in SCHEMAS if f"#/components/schemas/{name}" in seen}


def model_of(schema: str) -> Any:
    """The generated class of a schema: the generator chooses its name."""
    return getattr(models, ClassName(schema, "field_"))


def own_properties(schema: str) -> dict[str, Any]:
    """The properties of a schema and of the parts of its allOf."""
    return {name: found[-1] for name, found in properties(CONTRACT, SCHEMAS[schema]).items()}


def may_be_null(schema: dict[str, Any]) -> bool:
    return bool({"any", "null"} & set(json_types(CONTRACT, schema)))


def test_every_property_of_a_response_may_be_null_unless_it_is_required() -> None:
    reachable = response_schemas()
    assert {"Conversation", "Contact", "EntityRef", "ConversationPage", "Pagination", "Validator"} <= reachable
    assert [
        f"{name}.{key}"
        for name in reachable
        for key, schema in own_properties(name).items()
        if not may_be_null(schema) and key not in SCHEMAS[name].get("required", ())
    ] == []


@pytest.mark.parametrize("name", sorted(name for name in response_schemas() if own_properties(name)))
def test_a_response_of_nulls_equals_an_empty_one_without_a_report(name: str) -> None:
    drift = Drift()
    nulls = model_of(name).from_dict(dict.fromkeys(own_properties(name)), None, drift)
    assert nulls == model_of(name).from_dict({})
    assert drift == []


def test_no_schema_is_closed() -> None:
    assert [path for path, node in walk(CONTRACT) if "enum" in node] == []
    assert [path for path, node in walk(CONTRACT) if node.get("additionalProperties") is False] == []


# Secrets

SECRETS = [
    (path[2], path[-1])
    for path, node in walk(CONTRACT)
    if node.get("x-secret") and path[:2] == ("components", "schemas") and path[-2] == "properties"
]


def test_every_secret_is_a_marked_property() -> None:
    assert len(SECRETS) == sum(1 for _, node in walk(CONTRACT) if node.get("x-secret"))
    assert {
        ("Contact", "value"),
        ("Conversation", "token"),
        ("ConvertConversation", "bcc"),
        ("ConvertConversation", "cc"),
        ("ConvertConversation", "email"),
        ("ConvertConversation", "message"),
        ("ConvertConversation", "subject"),
        ("CustomFieldMeta", "value"),
        ("CustomerRef", "email"),
    } <= set(SECRETS)


@pytest.mark.parametrize(("schema", "name"), SECRETS)
def test_a_secret_is_decoded_but_not_in_the_repr(schema: str, name: str) -> None:
    kind = model_of(schema)
    model = kind.from_dict({name: sample(CONTRACT, own_properties(schema)[name])})
    assert model.to_dict().keys() == {name}
    assert kind.from_dict(model.to_dict()) == model
    assert repr(model) == repr(kind.from_dict({}))
    assert repr(model).startswith(f"{kind.__name__}(")


def test_unknown_properties_are_not_in_the_repr() -> None:
    assert "hush" not in repr(Conversation.from_dict({"unknown": "hush"}))


# Examples

EXAMPLES = [
    (path, example_of(node), node.get("schema", node)) for path, node in walk(CONTRACT) if example_of(node) is not None
]


@pytest.mark.parametrize(("path", "example", "schema"), EXAMPLES, ids=["/".join(path) for path, _, _ in EXAMPLES])
def test_an_example_is_valid(path: tuple[str, ...], example: Any, schema: Any) -> None:
    def absolute(text: str) -> str:
        return f"urn:contract{text}" if text.startswith("#/components/schemas/") else text

    contract = DRAFT202012.create_resource(with_strings(CONTRACT, absolute))
    registry: SchemaRegistry = Registry[Any]().with_resource("urn:contract", contract)
    validator = OAS31Validator(with_strings(schema, absolute), registry=registry, format_checker=oas31_format_checker)
    assert [error.message for error in validator.iter_errors(example)] == []
