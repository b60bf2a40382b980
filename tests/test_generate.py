"""The generator: the package that it writes for a difficult contract, and the contracts that it rejects.

tests/hard_spec/golden is the package of hard.yaml. After a change of the templates, regenerate it and read the diff:

    python openapi/generate.py --contract tests/hard_spec/hard.yaml --package tests/hard_spec/golden/hard_api
"""

from __future__ import annotations

import copy
import datetime
import importlib
import json
import shutil
import subprocess
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from openapi_spec_validator import OpenAPIV31SpecValidator

pytestmark = pytest.mark.project

ROOT = Path(__file__).resolve().parents[1]
HARD = ROOT / "tests" / "hard_spec" / "hard.yaml"
GOLDEN = ROOT / "tests" / "hard_spec" / "golden" / "hard_api"


def load_generate() -> Any:
    """Import generate.py with its folder on the path, because it imports its other modules from there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(ROOT / "openapi"), *sys.path])
        return importlib.import_module("generate")


generate = load_generate()
lint = generate.lint


# The golden package


def test_the_hard_contract_is_valid_openapi() -> None:
    contract = yaml.safe_load(HARD.read_text("utf-8"))
    assert [error.message for error in OpenAPIV31SpecValidator(contract).iter_errors()] == []


@pytest.mark.parametrize("seed", ["1", "2"])
def test_the_output_does_not_depend_on_where_it_is_generated(
    seed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Neither the order of sets nor a ruff configuration above the output folder may change the output.
    monkeypatch.setenv("PYTHONHASHSEED", seed)
    (tmp_path / "ruff.toml").write_text('format.quote-style = "single"\n', "utf-8")
    generate.generate(HARD, tmp_path / "hard_api")
    assert generate.differences(tmp_path / "hard_api", GOLDEN) == [], __doc__


@pytest.mark.parametrize("checker", [("mypy", "--strict"), ("pyright",)], ids=lambda checker: checker[0])
def test_the_golden_package_is_fully_typed(checker: tuple[str, ...]) -> None:
    run = subprocess.run(
        [sys.executable, "-m", *checker, str(GOLDEN)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.fixture
def hard(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The golden package's models."""
    monkeypatch.setattr(sys, "path", [str(GOLDEN.parent), *sys.path])
    return importlib.import_module("hard_api.models")


def operation(hard: Any, tag: str, name: str) -> Any:
    return getattr(importlib.import_module(f"hard_api.api.{tag}.{name}"), name)


def hard_types() -> Any:
    return importlib.import_module("hard_api.types")


class Drift(list[tuple[str, str, str]]):
    """A hook that collects its reports: the path, the expected and the actual JSON type."""

    def __call__(self, path: str, expected: str, got: str) -> None:
        self.append((path, expected, got))


MOMENT = datetime.datetime(2024, 12, 19, 16, 2, 34, tzinfo=datetime.UTC)
KEY = uuid.UUID("6b1b36cb-5f2c-4a5e-8b53-6a0f6ed2d6f2")


def test_values_of_every_kind_are_decoded_and_encoded(hard: Any) -> None:
    tree = {"name": "a", "children": [{"name": "b", "owner": {"owns": {"name": "c"}, "friend": {}}}]}
    payload: dict[str, Any] = {
        "anything": [None, {"a": 1}],
        "boolean": False,
        "integer": 0,
        "number": 1.5,
        "string": "",
        "date": "2024-12-19",
        "moment": "2024-12-19T16:02:34+00:00",
        "uuid": str(KEY),
        "key": str(KEY),
        "old": "old",
        "open": "sideways",
        "level": 3,
        "matrix": [[1, 2.5], []],
        "moments": ["2024-12-19T16:02:34+00:00"],
        "list": {"list": [{"list": []}]},
        "scalar": 1,
        "either": tree,
        "mixed": [tree, 1, True],
        "one_or_many": ["a"],
        "map_or_moment": {"a": [[1]]},
        "grid": {"a": [[1], []]},
        "branches": {"a": tree},
        "shelf": {"width": 1, "left": tree},
        "unknown": {"a": None},
    }
    drift = Drift()
    kinds = hard.Kinds.from_dict(payload, None, drift)
    assert kinds.to_dict() == payload
    assert drift == []
    assert kinds.additional_properties == {"unknown": {"a": None}}
    assert (kinds.date, kinds.moment, kinds.moments) == (datetime.date(2024, 12, 19), MOMENT, [MOMENT])
    assert (kinds.uuid, kinds.key) == (KEY, KEY)
    assert kinds.list_ == hard.List(list_=[hard.List(list_=[])])
    a = hard.Tree(
        name="a", children=[hard.Tree(name="b", owner=hard.Owner(owns=hard.Tree(name="c"), friend=hard.Owner()))]
    )
    assert (kinds.either, kinds.mixed, kinds.branches) == (a, [a, 1, True], {"a": a})
    assert kinds.shelf == hard.Shelf(width=1, additional_properties={"left": a})


@pytest.mark.parametrize(
    ("payload", "report"),
    [
        ({"scalar": []}, ("scalar", "integer or number or string or boolean", "array")),
        ({"either": 1}, ("either", "object or string", "integer")),
        ({"mixed": [1.5]}, ("mixed[]", "object or integer or boolean", "number")),
        ({"mixed": [{"name": 1}]}, ("mixed[].name", "string", "integer")),
        ({"map_or_moment": "soon"}, ("map_or_moment", "date-time", "string")),
        ({"matrix": [[1], ["a"]]}, ("matrix[][]", "number", "string")),
        ({"grid": {"a": [[True]]}}, ("grid.*[][]", "integer", "boolean")),
        ({"branches": {"a": {"owner": {"owns": 1}}}}, ("branches.*.owner.owns", "object", "integer")),
        ({"shelf": {"left": 1}}, ("shelf.*", "object", "integer")),
        ({"date": "soon"}, ("date", "date", "string")),
        ({"uuid": 1}, ("uuid", "uuid", "integer")),
    ],
)
def test_a_value_of_the_wrong_type_is_omitted_and_reported(
    hard: Any, payload: dict[str, Any], report: tuple[str, str, str]
) -> None:
    drift = Drift()
    hard.Kinds.from_dict(payload, None, drift)
    assert drift == [report]


def nested(key: str, inner: dict[str, Any]) -> dict[str, Any]:
    """A tree that contains another tree under a key."""
    values: dict[str, Any] = {"child": inner, "children": [inner], "branches": {"a": inner}, "owner": {"owns": inner}}
    return {key: values[key]}


@pytest.mark.parametrize("key", ["child", "children", "branches", "owner"])
def test_a_response_nested_too_deeply_for_the_stack_is_cut_off_and_reported(hard: Any, key: str) -> None:
    payload: dict[str, Any] = {"name": "leaf"}
    for _ in range(10_000):
        payload = nested(key, payload)
    drift = Drift()
    tree = hard.Tree.from_dict({"name": "root", **payload}, None, drift)
    assert tree.name == "root"
    assert getattr(tree, key)
    assert [(expected, got) for _, expected, got in drift] == [("object with less nesting", "object")]


def test_an_object_that_contains_itself_is_rejected(hard: Any) -> None:
    tree = hard.Tree(name="a", children=[])
    tree.children.append(tree)
    with pytest.raises(ValueError, match="contains itself"):
        hard_types().encode(tree)


PYTHON_NAMES = {
    "$dollar": "dollar",
    "9lives": "field_9lives",
    "a-b": "ab",
    "additional_properties": "additional_properties_",
    "body": "body_",
    "class": "class_",
    "datetime": "datetime_",
    "decode": "decode_",
    "dict": "dict_",
    "from_dict": "from_dict_",
    "ignore": "ignore_",
    "list": "list_",
    'naïve "quoted"': "naïve_quoted",
    "self": "self_",
    "to_dict": "to_dict_",
    "with space": "with_space",
    "x-secret": "x_secret",
}
"""The properties of the schema Names that have another name in Python."""


def test_properties_with_similar_or_reserved_names_keep_their_own_values(hard: Any) -> None:
    names: list[str] = [*yaml.safe_load(HARD.read_text("utf-8"))["components"]["schemas"]["Names"]["properties"]]
    payload: dict[str, Any] = {name: f"the {name}" for name in names}
    payload.update({"datetime": MOMENT.isoformat(), "list": ["the list"], "uuid": str(KEY)})
    drift = Drift()
    model = hard.Names.from_dict(payload, None, drift)
    assert drift == []
    assert model.additional_properties == {}
    expected = {**payload, "datetime": MOMENT, "uuid": KEY}
    assert {name: getattr(model, PYTHON_NAMES.get(name, name)) for name in names} == expected
    assert model.to_dict() == payload


def test_secrets_inherited_through_all_of_are_not_in_the_repr(hard: Any) -> None:
    novel = hard.Novel(id=1, pin="hush", password="hush", title="shown", state="lost")
    assert novel.to_dict() == {"id": 1, "pin": "hush", "password": "hush", "title": "shown", "state": "lost"}
    assert "shown" in repr(novel)
    assert "hush" not in repr(novel)


def test_an_operation_whose_parameters_have_reserved_names_builds_its_request(hard: Any) -> None:
    request = operation(hard, "books", "replace_book")(
        "a/b c", 7, KEY, body=hard.Names(type="t"), filter=True, target=MOMENT, path_segment=[1, 2]
    )
    assert (request.operation, request.method, request.body) == ("replace_book", "PUT", {"type": "t"})
    assert request.target == (
        f"/api/shelves/a%2Fb%20c/books/7/{KEY}?target=2024-12-19T16%3A02%3A34%2B00%3A00&filter=true&path-segment=1%2C2"
    )
    assert request.decode({"id": 1, "title": "t"}, Drift()) == hard.Novel(id=1, title="t")


def test_a_property_required_through_all_of_is_required(hard: Any) -> None:
    request = operation(hard, "books", "replace_book")("a", "b", KEY, body=hard.Names(), filter=False)
    with pytest.raises(ValueError, match="the response has no usable 'id'"):
        request.decode({"title": "t"}, Drift())


def test_an_envelope_with_quotes_in_its_name_is_removed(hard: Any) -> None:
    request = operation(hard, "search_and_rescue", "target")(body_=1.5)
    assert request.target == "/api/search?body=1.5"
    assert request.decode({'kinds "all"': {"integer": 1}}, Drift()) == hard.Kinds(integer=1)


@pytest.mark.parametrize("payload", [None, {}, "text"])
def test_an_operation_without_content_ignores_the_response_body(hard: Any, payload: Any) -> None:
    request = operation(hard, "default", "list_")()
    assert (request.method, request.target, request.body) == ("DELETE", "/api/search", None)
    assert request.decode(payload, Drift()) is None


def test_a_map_of_anything_is_decoded_and_encoded_as_a_property(hard: Any) -> None:
    payload: dict[str, Any] = {
        "owners": {"7": {"friend": {}}},
        "shelves": {"red": [{"width": 1}]},
        "moments": {"noon": MOMENT.isoformat()},
        "either": {"a": {"friend": {}}, "b": "text"},
        "nested": {"a": {"7": {}}},
    }
    drift = Drift()
    included = hard.Included.from_dict(payload, None, drift)
    assert drift == []
    assert included.owners == {"7": hard.Owner(friend=hard.Owner())}
    assert included.shelves == {"red": [hard.Shelf(width=1)]}
    assert included.moments == {"noon": MOMENT}
    assert included.either == {"a": hard.Owner(friend=hard.Owner()), "b": "text"}
    assert included.nested == {"a": {"7": hard.Owner()}}
    assert included.to_dict() == payload


def test_a_map_of_models_reports_unexpected_values_and_leaves_them_out(hard: Any) -> None:
    drift = Drift()
    included = hard.Included.from_dict({"owners": {"7": 1, "8": None, "9": {"owns": 1}}, "nested": []}, None, drift)
    assert included == hard.Included(owners={"9": hard.Owner()})
    assert drift == [
        ("owners.*", "object", "integer"),
        ("owners.*", "a value", "null"),
        ("owners.*.owns", "object", "integer"),
        ("nested", "object", "array"),
    ]


def test_an_array_in_a_query_is_repeated_unless_explode_is_false(hard: Any) -> None:
    list_shelves = operation(hard, "default", "list_shelves")
    assert list_shelves(ids=[1, 2], sizes=(3,), colors=["red", "blue"], sort="up").target == (
        "/api/shelves?ids=1&ids=2&sizes=3&colors=red%2Cblue&sort=up"
    )
    assert list_shelves(ids=[], sizes=None).target == "/api/shelves"
    with pytest.raises(ValueError, match="contains a comma"):
        list_shelves(colors=["red,blue"])


def test_a_deprecated_operation_or_parameter_is_documented_as_such(hard: Any) -> None:
    documented = operation(hard, "default", "list_shelves").__doc__
    assert "Lists shelves.\n\n    Deprecated.\n" in documented
    assert "sort: Deprecated." in documented


def test_an_array_is_a_response(hard: Any) -> None:
    request = operation(hard, "default", "list_shelves")()
    drift = Drift()
    assert request.decode([{"width": 1}, None, 2, {"width": "3"}], drift) == [hard.Shelf(width=1), hard.Shelf()]
    assert drift == [
        ("[]", "a value", "null"),
        ("[]", "object", "integer"),
        ("[].width", "integer", "string"),
    ]
    assert request.decode(None, drift) is None
    with pytest.raises(ValueError, match="expected an array, got object"):
        request.decode({}, drift)


def test_a_map_is_a_response(hard: Any) -> None:
    request = operation(hard, "default", "count_words")()
    drift = Drift()
    assert request.decode({"a": [{"width": 1}], "b": 1}, drift) == {"a": [hard.Shelf(width=1)]}
    assert drift == [("*", "array", "integer")]
    with pytest.raises(ValueError, match="expected an object, got null"):
        request.decode(None, drift)


@pytest.mark.parametrize("payload", [None, [1], {"a": None}, "text"])
def test_a_response_without_a_schema_is_returned_as_it_is(hard: Any, payload: Any) -> None:
    assert operation(hard, "default", "get_anything")().decode(payload, Drift()) == payload


def test_a_response_is_none_if_another_status_has_no_content(hard: Any) -> None:
    request = operation(hard, "default", "create_ticket")()
    assert request.body is None
    assert request.decode(None, Drift()) is None
    assert request.decode({"id": 1}, Drift()) == hard.Ticket(id=1)


def test_what_stands_beside_an_envelope_is_not_lost(hard: Any) -> None:
    payload: dict[str, Any] = {
        "meta": [1],
        "ticket": {"id": 1, "included": True, "x": 2},
        "included": {"users": {}},
        "x": None,
    }
    drift = Drift()
    ticket = operation(hard, "default", "create_ticket")().decode(payload, drift)
    rest: dict[str, Any] = {"x": 2, "meta": [1], "../included": {"users": {}}, "../x": None}
    assert ticket == hard.Ticket(id=1, included=True, additional_properties=rest)
    assert drift == []
    assert payload.keys() == {"meta", "ticket", "included", "x"}


def test_a_value_beside_an_envelope_does_not_take_the_place_of_a_missing_property(hard: Any) -> None:
    ticket = operation(hard, "default", "create_ticket")().decode({"ticket": {"id": 1}, "included": [1]}, Drift())
    assert ticket == hard.Ticket(id=1, additional_properties={"../included": [1]})
    assert ticket.to_dict() == {"id": 1, "../included": [1]}


def test_a_datetime_is_not_sent_as_a_date(hard: Any) -> None:
    with pytest.raises(ValueError, match="a date is needed, not a datetime"):
        hard.Kinds(date=MOMENT).to_dict()
    with pytest.raises(ValueError, match="a date is needed, not a datetime"):
        hard.Kinds(days={"a": [MOMENT]}).to_dict()
    with pytest.raises(ValueError, match="a date is needed, not a datetime"):
        hard.Calendar(additional_properties={"a": MOMENT}).to_dict()
    with pytest.raises(ValueError, match="a date is needed, not a datetime"):
        operation(hard, "default", "list_shelves")(days=[MOMENT])
    with pytest.raises(ValueError, match="a datetime is needed, not a date"):
        hard.Kinds(moment=MOMENT.date()).to_dict()
    day = MOMENT.date()
    kinds = hard.Kinds(date=day, days={"a": [day]})
    assert kinds.to_dict() == {"date": "2024-12-19", "days": {"a": ["2024-12-19"]}}
    assert hard.Kinds.from_dict(kinds.to_dict()) == kinds
    calendar = hard.Calendar(name="n", additional_properties={"a": day})
    assert calendar.to_dict() == {"name": "n", "a": "2024-12-19"}
    assert hard.Calendar.from_dict(calendar.to_dict()) == calendar
    assert operation(hard, "default", "list_shelves")(days=[day]).target == "/api/shelves?days=2024-12-19"


def test_the_required_fields_of_a_schema_that_is_only_sent_are_required(hard: Any) -> None:
    with pytest.raises(TypeError, match="title"):
        hard.Order(parent=1, x_y=[])
    order = hard.Order(title="hush", parent=None, x_y=[1])
    assert order.to_dict() == {"title": "hush", "parent": None, "x-y": [1]}
    assert "hush" not in repr(order)
    assert operation(hard, "default", "create_ticket")(body=order).body == order.to_dict()
    # Decoding stays lenient, and a schema that is read requires no arguments.
    drift = Drift()
    assert hard.Order.from_dict({"title": 1, "note": "n"}, None, drift).note == "n"
    assert drift == [("title", "string", "integer")]
    assert hard.Thing() == hard.Thing.from_dict({})


def test_a_body_can_contain_an_explicit_null(hard: Any) -> None:
    order = hard.Order(title="t", parent=1, x_y=[], additional_properties={"note": None, "more": [None]})
    assert order.to_dict() == {"note": None, "more": [None], "title": "t", "parent": 1, "x-y": []}


def test_a_class_is_named_after_its_schema_and_not_after_a_title(hard: Any) -> None:
    assert not hasattr(hard, "AnotherName")


# Contracts that are rejected

SMALL: dict[str, Any] = yaml.safe_load("""
openapi: 3.1.0
info: { title: Small, version: "1" }
paths:
  /things/{id}:
    get:
      operationId: getThing
      summary: Gets
      security: [{ bearer: [] }]
      parameters: [{ name: id, in: path, required: true, schema: { type: integer } }]
      responses:
        "200":
          description: The thing.
          content: { application/json: { schema: { $ref: "#/components/schemas/Thing" } } }
  /things:
    post:
      operationId: makeThing
      summary: Makes
      security: [{ bearer: [] }]
      responses:
        "200":
          description: The thing.
          content: { application/json: { schema: { $ref: "#/components/schemas/Enveloped" } } }
components:
  securitySchemes: { bearer: { type: http, scheme: bearer } }
  schemas:
    Thing: { type: object, properties: { id: { type: integer } } }
    Other: { type: object, properties: { id: { type: integer } } }
    Enveloped: { type: object, x-envelope: thing, properties: { id: { type: integer } } }
    Grid: { type: object, additionalProperties: { type: integer } }
    HttpOther: { type: object, properties: { id: { type: integer } } }
""")

PATH = ("paths", "/things/{id}")
GET = (*PATH, "get")
POST = ("paths", "/things", "post")
SCHEMAS = ("components", "schemas")
PROPERTIES = (*SCHEMAS, "Thing", "properties")
KIND = (*PROPERTIES, "kind")
KIDS = {"$ref": "#/components/schemas/Kids"}
OTHER = {"$ref": "#/components/schemas/Other"}
ITEMS = {"type": "object", "properties": {"a": {"type": "string"}}}


def json_content(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"description": "A response.", "content": {"application/json": {"schema": schema}}}


def contract(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """The small contract with a value added at a path."""
    whole = copy.deepcopy(SMALL)
    node: Any = whole
    for key in path[:-1]:
        node = node[key]
    if path == PARAMETER:
        node["parameters"].append(value)
    else:
        node[path[-1]] = value
    return whole


PARAMETER = (*GET, "parameters")
QUERY: dict[str, Any] = {"name": "q", "in": "query", "schema": {"type": "string"}}
RESPONSES = (*GET, "responses")
BODY = (*POST, "requestBody")
COMPONENTS = ("components",)
JSON_OF_OTHER = {"application/json": {"schema": OTHER}}
THING = {"$ref": "#/components/schemas/Thing"}
DONE = {"responses": {"204": {"description": "d"}}}
NAMED: dict[str, Any] = {"operationId": "other", "summary": "s", "security": [{"bearer": []}]}
CLOSED = "kind/enum: a closed enum"
NO_EFFECT = "has an effect only on"
ITEM = {"type": "string"}
MOMENTS = {"type": "string", "format": "date-time"}
KEYWORDS: list[tuple[str, Any, str]] = [
    ("nullable", True, "it belongs to OpenAPI 3.0"),
    ("readOnly", True, "not supported: make a schema for requests"),
    ("writeOnly", True, "not supported: make a schema for requests"),
    ("contentEncoding", "base64", "not supported: the text is not decoded"),
    ("contentSchema", {}, "not supported: the text is not decoded"),
    ("discriminator", {"propertyName": "a"}, "not supported: JSON types"),
    ("xml", {"name": "a"}, "not supported"),
    ("not", {}, "not supported: no type"),
    ("if", {}, "not supported: no type"),
    ("then", {}, "not supported: no type"),
    ("else", {}, "not supported: no type"),
    ("contains", {}, "not supported: no type"),
    ("propertyNames", {}, "not supported: no type"),
    ("prefixItems", [], "not supported"),
    ("patternProperties", {}, "not supported"),
    ("dependentSchemas", {}, "not supported"),
    ("unevaluatedProperties", False, "not supported"),
    ("unevaluatedItems", False, "not supported"),
    ("$defs", {}, "not supported"),
    ("$id", "a", "not supported"),
    ("$anchor", "a", "not supported"),
    ("$dynamicRef", "#a", "not supported"),
    ("minLenght", 1, "unknown keyword"),
    ("x-secrets", True, "unknown extension"),
    ("x-envelope", "e", "it has an effect only on a named schema"),
]
"""Keywords of a property: the keyword, its value and the reason why it is rejected."""
PARAMETER_KEYWORDS: list[tuple[str, Any, str]] = [
    ("content", {}, "/content: not supported"),
    ("allowReserved", True, "/allowReserved: not supported"),
    ("allowEmptyValue", True, "/allowEmptyValue: not supported"),
    ("style", "deepObject", ": the style 'deepObject' is not supported"),
    ("x-secret", True, "/x-secret: unknown extension"),
]
"""The same for a parameter."""

REJECTED: dict[str, tuple[tuple[str, ...], Any, str]] = {
    # Schemas: keywords.
    "enum": (KIND, {"type": "string", "enum": ["a"]}, CLOSED),
    "enum called enum": ((*PROPERTIES, "enum"), {"type": "string", "enum": ["a"]}, "properties/enum/enum: a closed"),
    "enum in properties": ((*PROPERTIES, "properties"), {"type": "string", "enum": ["a"]}, "properties/enum: a closed"),
    "const": (KIND, {"const": "a"}, "kind/const: a closed enum"),
    **{
        keyword: (KIND, {"type": "string", keyword: value}, f"kind/{keyword}: {reason}")
        for keyword, value, reason in KEYWORDS
    },
    # Schemas: types.
    "boolean schema": (KIND, True, "Thing/properties/kind: a boolean schema"),
    "boolean items": (KIND, {"type": "array", "items": True}, "kind/items: a boolean schema"),
    "schema that is a text": (KIND, "string", "Thing/properties/kind: expected an object, got 'string'"),
    "properties in a list": ((*SCHEMAS, "Other"), {"properties": []}, "Other/properties: expected an object, got []"),
    "unknown type": (KIND, {"type": "text"}, "kind: unknown type 'text'"),
    "only null": (KIND, {"type": "null"}, "kind: a value that is always null"),
    "array without items": (KIND, {"type": "array"}, "kind: items belong to type: array"),
    "items without a type": (KIND, {"items": {"type": "string"}}, "kind: items belong to type: array"),
    "inline object": (KIND, {"type": "object"}, "Thing/properties/kind: inline object"),
    "inline object that may be null": (KIND, {"type": ["object", "null"]}, "kind: inline object"),
    "inline object without a type": (KIND, {"properties": {}}, "Thing/properties/kind: inline object"),
    "inline object in an array": (KIND, {"type": "array", "items": ITEMS}, "kind/items: inline object"),
    "inline object in a response": (
        (*RESPONSES, "200"),
        json_content(ITEMS),
        "responses/200/content/application/json/schema: inline object",
    ),
    "inline object in a shared response": (
        (*COMPONENTS, "responses"),
        {"Shared": json_content(ITEMS)},
        "components/responses/Shared/content/application/json/schema: inline object",
    ),
    "object that may be null": (
        (*SCHEMAS, "Maybe"),
        {"type": ["object", "null"], "properties": {}},
        "Maybe: an object that may have another type",
    ),
    "closed object": (
        (*SCHEMAS, "Closed"),
        {**ITEMS, "additionalProperties": False},
        "Closed/additionalProperties: false",
    ),
    "map without a type": (KIND, {"additionalProperties": {}}, "kind: additionalProperties have an effect only"),
    "required that is no list": (
        KIND,
        {"type": "string", "required": True},
        "kind/required: expected a list, got True",
    ),
    "required without properties": (KIND, {"required": ["a"]}, "kind: required has an effect only"),
    "required property that is missing": (
        (*SCHEMAS, "Other"),
        {**ITEMS, "required": ["b"]},
        "Other: required names 'b', which is not a property",
    ),
    "default in a response": (KIND, {"type": "string", "default": "a"}, "kind: default has no effect in a response"),
    "typed format without a type": (KIND, {"format": "date"}, "kind: the format 'date' has an effect only on a string"),
    "binary": (KIND, {"type": "string", "format": "binary"}, "kind: the format 'binary' is not supported"),
    "password": (KIND, {"type": "string", "format": "password"}, "kind: the format 'password' is not supported"),
    "map that contains itself": (
        (*SCHEMAS, "Kids"),
        {"type": "object", "additionalProperties": KIDS},
        "Kids: it contains",
    ),
    "array that contains itself": ((*SCHEMAS, "Kids"), {"type": "array", "items": KIDS}, "Kids: it contains itself"),
    "allOf that contains itself": ((*SCHEMAS, "Kids"), {"allOf": [KIDS, ITEMS]}, "Kids: it contains itself"),
    # Schemas: references, allOf and unions.
    "properties beside a $ref": (KIND, {**OTHER, "description": "d"}, "kind: description beside a $ref are dropped"),
    "reference to nowhere": (
        KIND,
        {"$ref": "#/components/schemas/No"},
        "kind: the $ref '#/components/schemas/No' leads",
    ),
    "reference to a file": (KIND, {"$ref": "other.yaml#/Other"}, "kind: the $ref 'other.yaml#/Other' leads to another"),
    "reference to a part": (
        KIND,
        {"$ref": "#/components/schemas/Other/properties/id"},
        "does not lead to #/components",
    ),
    "reference to another section": (PARAMETER, OTHER, "parameters/1: the $ref '#/components/schemas/Other' does not"),
    "alias": ((*SCHEMAS, "Alias"), {"allOf": [OTHER], "description": "d"}, "schemas/Alias: alias"),
    "alias by reference": ((*SCHEMAS, "Alias"), OTHER, "schemas/Alias: alias"),
    "alias of a response": (
        (*COMPONENTS, "responses"),
        {"A": {"$ref": "#/components/responses/A"}},
        "responses/A: alias",
    ),
    "allOf of two": (KIND, {"allOf": [OTHER, THING]}, "kind: allOf of anything but a single $ref"),
    "allOf of a text": (KIND, {"allOf": [{"type": "string"}]}, "kind: allOf of anything but a single $ref"),
    "allOf of a map with types": (
        (*SCHEMAS, "Heir"),
        {"allOf": [{"$ref": "#/components/schemas/Grid"}, ITEMS]},
        "Heir: allOf of '#/components/schemas/Grid', whose additionalProperties are not inherited",
    ),
    "allOf of an enveloped schema": (
        (*SCHEMAS, "Heir"),
        {"allOf": [{"$ref": "#/components/schemas/Enveloped"}, ITEMS]},
        "Heir: allOf of '#/components/schemas/Enveloped', whose x-envelope is not inherited",
    ),
    "allOf in a part of allOf": (
        (*SCHEMAS, "Heir"),
        {"allOf": [OTHER, {"allOf": [THING]}]},
        "Heir/allOf/1/allOf: it is",
    ),
    "properties beside anyOf": (
        (*SCHEMAS, "Both"),
        {"anyOf": [OTHER, {"type": "string"}], "properties": {}},
        "schemas/Both: properties beside anyOf",
    ),
    "anyOf beside oneOf": (KIND, {"anyOf": [OTHER], "oneOf": [OTHER]}, "kind: anyOf beside oneOf"),
    "two models": (KIND, {"anyOf": [OTHER, THING]}, "kind: ambiguous union: several members have the JSON type object"),
    "string or moment": (
        KIND,
        {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "string", "format": "date-time"}]}},
        "kind/items: ambiguous union: several members have the JSON type string",
    ),
    "integer or number": (KIND, {"anyOf": [{"type": "integer"}, {"type": "number"}]}, "kind: ambiguous union"),
    "anything or string": (KIND, {"anyOf": [{}, {"type": "string"}]}, "kind: union with a member of any type"),
    "one part of allOf and properties": (
        (*SCHEMAS, "Heir"),
        {"allOf": [OTHER], "properties": {"a": {"type": "string"}}},
        "schemas/Heir: alias of another schema, whose own keys are dropped",
    ),
    "parts that differ": (
        (*SCHEMAS, "Heir"),
        {"allOf": [OTHER, {"type": "object", "properties": {"id": {"type": "string"}}}]},
        "schemas/Heir: allOf whose parts describe the property 'id' differently",
    ),
    "required keys of a map": (
        (*SCHEMAS, "Map"),
        {"type": "object", "required": ["a"], "additionalProperties": True},
        "schemas/Map: required has an effect only",
    ),
    "type twice": (KIND, {"type": ["null", "null"]}, "kind: type has 'null' twice"),
    "type that is empty": (KIND, {"type": []}, "kind: type is empty"),
    "boolean in quotes": (
        (*GET, "parameters"),
        {"name": "q", "in": "query", "explode": "false", "schema": {"type": "string"}},
        "explode: expected true or false",
    ),
    # Values of keywords.
    **{
        f"{keyword} of {value!r}": (KIND, {"type": "string", keyword: value}, f"kind/{keyword}: expected {expected}")
        for keyword, value, expected in (
            ("minLength", "x", "a whole number that is not negative, got 'x'"),
            ("maxItems", -1, "a whole number that is not negative, got -1"),
            ("maxLength", True, "a whole number that is not negative, got True"),
            ("maximum", "9", "a number, got '9'"),
            ("minimum", True, "a number, got True"),
            ("multipleOf", 0, "a number, got 0"),
            ("exclusiveMinimum", float("nan"), "a number, got nan"),
            ("pattern", 1, "a text, got 1"),
            ("title", {}, "a text, got {}"),
            ("uniqueItems", "yes", "true or false"),
            ("externalDocs", "https://example.com", "an object"),
            ("examples", {"a": 1}, "a list"),
            ("dependentRequired", ["a"], "an object"),
        )
    },
    "union in a part of allOf that is no list": (
        (*SCHEMAS, "Heir"),
        {"allOf": [OTHER, {"anyOf": 1}]},
        "Heir/allOf/1/anyOf: expected a list, got 1",
    ),
    "scopes that are no list": (
        (*GET, "security"),
        [{"bearer": "read"}],
        "security: unexpected item {'bearer': 'read'}",
    ),
    "dates and date-times": (
        KIND,
        {"anyOf": [{"type": "string", "format": "date"}, {"type": "array", "items": MOMENTS}]},
        "kind: dates and date-times in the same value",
    ),
    # Names.
    "two properties with one name in Python": (
        (*SCHEMAS, "Other"),
        {"type": "object", "properties": {"from_dict": ITEM, "from_dict_": ITEM}},
        "Other: the properties 'from_dict' and 'from_dict_' would have the same name in Python: from_dict_",
    ),
    "three properties with similar names": (
        (*SCHEMAS, "Other"),
        {"type": "object", "properties": {"a-b": ITEM, "a_b": ITEM, "ab": ITEM}},
        "Other: the properties 'a-b' and 'ab' would have the same name in Python: ab",
    ),
    "two properties with one name through allOf": (
        (*SCHEMAS, "Heir"),
        {"allOf": [THING, {"type": "object", "properties": {"id_": {"type": "integer"}, "type_": ITEM, "type": ITEM}}]},
        "Heir: the properties 'type_' and 'type' would have the same name in Python: type",
    ),
    "two parameters with one name after the generator's renaming": (
        (*PATH, "parameters"),
        [{**QUERY, "name": "id"}, {**QUERY, "name": "id_path"}],
        "the parameters 'id_path' and 'id' would have the same name in Python",
    ),
    "property with a newline": ((*PROPERTIES, "a\nb"), ITEM, "Thing: the name 'a\\nb' has a control character"),
    "property with a separator": (
        (*PROPERTIES, "a\u2028b"),
        ITEM,
        "Thing: the name 'a\\u2028b' has a control character",
    ),
    "property with a newline in a part of allOf": (
        (*SCHEMAS, "Heir"),
        {"allOf": [OTHER, {"type": "object", "properties": {"a\nb": ITEM}}]},
        "Heir: the name 'a\\nb' has a control character",
    ),
    # Python reads these names as other names: the micro sign becomes a Greek letter, and the ordinal sign an o.
    "property with a micro sign": ((*PROPERTIES, "µs"), ITEM, "Thing: the name 'µs' has a character that Python"),
    "parameter with an ordinal sign": (PARAMETER, {**QUERY, "name": "nº"}, "get: the name 'nº' has a character"),
    "schema with an ordinal sign": ((*SCHEMAS, "Nº"), ITEMS, "schemas/Nº: the name 'Nº' has a character that Python"),
    "operation with an ordinal sign": ((*GET, "operationId"), "getNº", "get: the name 'get_nº' has a character"),
    "tag with an ordinal sign": ((*GET, "tags"), ["nº"], "get: the name 'nº' has a character that Python replaces"),
    "parameter with a newline": (PARAMETER, {**QUERY, "name": "a\nb"}, "get: the name 'a\\nb' has a control character"),
    "envelope with a newline": (
        (*SCHEMAS, "Enveloped", "x-envelope"),
        "a\n",
        "Enveloped: the name 'a\\n' has a control character",
    ),
    "long schema": ((*SCHEMAS, "Long" * 60), {"type": "object"}, "the name is too long for a file"),
    "long operation": ((*GET, "operationId"), "long" * 60, "get/operationId: the name is too long for a file"),
    "long tag": ((*GET, "tags"), ["ü" * 120], "get/tags: the name is too long for a file"),
    # Missing keywords.
    "no info": (("info",), None, "info: expected an object"),
    "no title": (("info",), {"version": "1"}, "info: an info needs title"),
    "no version": (("info",), {"title": "t"}, "info: an info needs version"),
    "version that is a number": (("info", "version"), 1.0, "info/version: expected a text, got 1.0"),
    "server without a URL": (("servers",), [{}], "servers/0: a server needs url"),
    "tag without a name": (("tags",), [{}], "tags/0: a tag needs name"),
    "response without a description": ((*RESPONSES, "404"), {}, "responses/404: a response needs description"),
    "parameter without a name": (PARAMETER, {"in": "query", "schema": ITEM}, "parameters/1: a parameter needs name"),
    "body without content": (BODY, {"required": True}, "post/requestBody: a body needs content"),
    # Paths.
    "variable that is no parameter": (
        ("paths", "/things/{id}/{at}"),
        SMALL["paths"]["/things/{id}"],
        "the variable 'at' of",
    ),
    "variable with a dot": (
        ("paths", "/things/{id.x}"),
        SMALL["paths"]["/things/{id}"],
        "the variable 'id.x' of the path has other characters than letters",
    ),
    "variable twice": (("paths", "/{id}/{id}"), SMALL["paths"]["/things/{id}"], "the path has the variable 'id' twice"),
    "parameter that is not in the path": (
        (*GET, "parameters"),
        {"name": "at", "in": "path", "required": True, "schema": {"type": "integer"}},
        "the parameter 'at' is not in the path",
    ),
    "two parameters with one name in Python": (
        (*GET, "parameters"),
        {"name": "id_", "in": "query", "schema": {"type": "integer"}},
        "the parameters 'id' and 'id_' would have the same name in Python",
    ),
    "function that is called as a decoder": ((*GET, "operationId"), "decodeStr", "uses the name decode_str itself"),
    "path with a query": (("paths", "/a?b=1"), SMALL["paths"]["/things/{id}"], "paths//a?b=1: a path starts with /"),
    **{
        f"path with {segment}": (("paths", f"/a/{segment}/b"), SMALL["paths"]["/things"], "b: a segment . or .. in")
        for segment in (".", "..", "%2e%2E")
    },
    "path without a slash": (("paths", "a"), SMALL["paths"]["/things/{id}"], "paths/a: a path starts with /"),
    "server with a query": (
        ("servers",),
        [{"url": "https://a.example.com/b?c=1"}],
        "servers: a server's URL with a query",
    ),
    "operation without a token": ((*GET, "security"), [], "get: an operation needs security: the client sends"),
    "operation with or without a token": ((*GET, "security"), [{}, {"bearer": []}], "get: an operation needs security"),
    # Our extensions.
    "secret that is not a property": ((*SCHEMAS, "Pin"), {"type": "string", "x-secret": True}, "Pin/x-secret: it has"),
    "null in an array": (
        KIND,
        {"type": "array", "items": {"type": ["string", "null"]}},
        "kind/items: an array or a map with null in it is not supported",
    ),
    "null in a map": (
        (*SCHEMAS, "Map"),
        {"type": "object", "additionalProperties": {"anyOf": [OTHER, {"type": "null"}]}},
        "Map/additionalProperties: an array or a map with null in it is not supported",
    ),
    "secret items": (
        KIND,
        {"type": "array", "items": {"type": "string", "x-secret": True}},
        "kind/items/x-secret: it has an effect only on a property",
    ),
    "secret that is false": (
        KIND,
        {"type": "string", "x-secret": False},
        "kind: x-secret has no other value than true",
    ),
    "known values of a number": (
        KIND,
        {"type": "number", "x-extensible-enum": [1.5]},
        f"kind: x-extensible-enum {NO_EFFECT}",
    ),
    "known values that are no list": (KIND, {"type": "string", "x-extensible-enum": "a"}, "needs a list of values"),
    "known value of more than 64 bits": (
        KIND,
        {"type": "integer", "x-extensible-enum": [2**63]},
        "kind: x-extensible-enum needs integers of at most 64 bits",
    ),
    "known values of another type": (KIND, {"type": "string", "x-extensible-enum": [True]}, "needs a list of values"),
    "envelope of no response": ((*SCHEMAS, "Else"), {**ITEMS, "x-envelope": "e"}, f"Else: x-envelope {NO_EFFECT}"),
    "envelope of an array": (
        (*SCHEMAS, "Things"),
        {"type": "array", "items": THING, "x-envelope": "things"},
        f"Things: x-envelope {NO_EFFECT} an object with properties",
    ),
    "envelope of a map": (
        (*SCHEMAS, "Things"),
        {"type": "object", "x-envelope": "things"},
        f"Things: x-envelope {NO_EFFECT} an object with properties",
    ),
    "envelope that is a property": ((*SCHEMAS, "Thing", "x-envelope"), "id", "Thing: x-envelope names 'id'"),
    "envelope without a name": ((*SCHEMAS, "Thing", "x-envelope"), True, "Thing: x-envelope needs the name"),
    "extension of a path": (("paths", "x-path"), {}, "paths/x-path: unknown extension"),
    "extension of an operation": ((*GET, "x-retry"), True, "get/x-retry: unknown extension"),
    "extension of a response": ((*RESPONSES, "x-error"), {}, "responses/x-error: unknown extension"),
    # Parameters.
    **{
        f"parameter with {keyword}": (PARAMETER, {**QUERY, keyword: value}, f"get/parameters/1{reason}")
        for keyword, value, reason in PARAMETER_KEYWORDS
    },
    "parameter without a schema": (
        PARAMETER,
        {"name": "filter", "in": "query"},
        "parameters/1: a parameter without a schema",
    ),
    "header": (PARAMETER, {**QUERY, "in": "header"}, "get/parameters/1: a parameter in 'header'"),
    "cookie": (PARAMETER, {**QUERY, "in": "cookie"}, "get/parameters/1: a parameter in 'cookie'"),
    "header of a path": (
        (*PATH, "parameters"),
        [{**QUERY, "in": "header"}],
        "{id}/parameters/0: a parameter in 'header'",
    ),
    "shared header": (
        (*COMPONENTS, "parameters"),
        {"Tenant": {**QUERY, "in": "header"}},
        "components/parameters/Tenant: a parameter in 'header'",
    ),
    "object in a query": (PARAMETER, {**QUERY, "schema": OTHER}, "get/parameters/1: a parameter that is not a scalar"),
    "null in a query": (PARAMETER, {**QUERY, "schema": {"type": ["string", "null"]}}, "a parameter that may be null"),
    "parameter twice": (PARAMETER, {"name": "id", "in": "path", "required": True, "schema": {}}, "'id' is there twice"),
    "parameter of a path twice": ((*PATH, "parameters"), [QUERY, QUERY], "get: the parameter 'q' is there twice"),
    # Operations and bodies.
    "operation without a name": (
        ("paths", "/other"),
        {"get": {"summary": "s", "security": [{"bearer": []}], **DONE}},
        "needs operationId",
    ),
    "operation without security": (
        ("paths", "/other"),
        {"get": {"operationId": "o", "summary": "s", **DONE}},
        "needs security",
    ),
    "unknown security": ((*GET, "security"), [{"basic": []}], "get: the security scheme 'basic' is not described"),
    "one function for two": (
        ("paths", "/other"),
        {"get": {**NAMED, **DONE, "operationId": "get_thing"}},
        "/other/get: it would have the same function name as get /things/{id}: get_thing",
    ),
    "second tag": ((*GET, "tags"), ["a", "b"], "get: a second tag is dropped"),
    **{
        f"{method} method": ((*PATH, method), {**NAMED, **DONE}, f"{{id}}/{method}: the method is not supported")
        for method in ("head", "options", "trace")
    },
    "servers of a path": ((*PATH, "servers"), [{"url": "/"}], "{id}/servers: not supported"),
    "servers of an operation": ((*GET, "servers"), [{"url": "/"}], "get/servers: not supported"),
    "callbacks": ((*GET, "callbacks"), {}, "get/callbacks: not supported"),
    "body of a GET": ((*GET, "requestBody"), {"content": JSON_OF_OTHER}, "get: a GET with a requestBody"),
    "multipart": (
        BODY,
        {"content": {"multipart/form-data": {"schema": OTHER}}},
        "the content type multipart/form-data",
    ),
    "body of no schema": (BODY, {"content": {"application/json": {}}}, "post: requestBody: it has no schema"),
    "body of an array": (
        BODY,
        {"content": {"application/json": {"schema": {"type": "array", "items": OTHER}}}},
        "post: requestBody: a body that is not a $ref to a schema with properties",
    ),
    "encoding of a body": (
        BODY,
        {"content": {"application/json": {"schema": OTHER, "encoding": {}}}},
        "requestBody/content/application/json/encoding: not supported",
    ),
    # Responses.
    "default response": ((*RESPONSES, "default"), {"description": "Whatever."}, "responses: the status default"),
    "redirection": ((*RESPONSES, "302"), {"description": "Elsewhere."}, "responses: the status 302 is not supported"),
    "no success": (RESPONSES, {"404": {"description": "No."}}, "responses: a response with a status of 2xx is missing"),
    "two responses": ((*RESPONSES, "202"), json_content(OTHER), "responses: the 2xx responses have different schemas"),
    "text as a response": ((*RESPONSES, "200"), json_content({"type": "string"}), "a response of the type string"),
    "bytes": (
        (*RESPONSES, "200"),
        {"description": "d", "content": {"application/octet-stream": {}}},
        "responses/200: the content type application/octet-stream is not supported",
    ),
    "response with headers": ((*RESPONSES, "200", "headers"), {"A": {}}, "responses/200/headers: not supported"),
    "response with links": ((*RESPONSES, "200", "links"), {"A": {}}, "responses/200/links: not supported"),
    "status with a missing response": (
        (*RESPONSES, "404"),
        {"$ref": "#/components/responses/No"},
        "responses/404: the $ref '#/components/responses/No' leads nowhere",
    ),
    # The contract as a whole.
    "OpenAPI 2": (("openapi",), "2.0", "openapi: the version 2.0 is not supported"),
    "Swagger": (("swagger",), "2.0", "swagger: unknown keyword"),
    "webhooks": (("webhooks",), {}, "webhooks: not supported"),
    "dialect": (("jsonSchemaDialect",), "a", "jsonSchemaDialect: not supported"),
    "servers that differ": (
        ("servers",),
        [{"url": "/v1"}, {"url": "/v2"}],
        "servers: servers whose URLs have different",
    ),
    "api key": (
        (*COMPONENTS, "securitySchemes"),
        {"key": {"type": "apiKey", "name": "key", "in": "query"}},
        "components/securitySchemes/key/type: not supported: the client sends a bearer token",
    ),
    "basic": (
        (*COMPONENTS, "securitySchemes"),
        {"basic": {"type": "http", "scheme": "basic"}},
        "components/securitySchemes/basic/scheme: not supported: the client sends a bearer token",
    ),
    "shared headers": ((*COMPONENTS, "headers"), {}, "components/headers: not supported"),
    "name in use": ((*SCHEMAS, "Mapping"), ITEMS, "schemas/Mapping: the generated code uses the name Mapping itself"),
    "field with the name of a type": (
        PROPERTIES,
        {"Any": {"type": "string"}, "any": {"type": "string"}, "Any_": {"type": "string"}},
        "Thing: the properties 'Any' and 'Any_' would have the same name in Python: Any_",
    ),
    "one module for two": ((*SCHEMAS, "HTTPOther"), ITEMS, "HTTPOther: it would have the same module as HttpOther"),
}


@pytest.mark.parametrize("name", REJECTED)
def test_a_construct_that_is_not_supported_is_rejected_with_its_place(name: str) -> None:
    path, value, message = REJECTED[name]
    faults = lint(contract(path, value))
    assert [fault for fault in faults if message in fault], faults


def test_the_small_contract_is_accepted() -> None:
    assert lint(SMALL) == []


@pytest.mark.parametrize("name", ["Any", "Literal", "Mapping", "Self", "Other"])
def test_a_field_does_not_hide_a_type_that_the_fields_of_its_model_need(name: str) -> None:
    document = contract(PROPERTIES, {key: {"type": "string"} for key in (name, name.lower())})
    assert lint(document) == []
    properties = {name: f"{name}_", name.lower(): "self_" if name == "Self" else name.lower()}
    _, facts = generate.prepare(document)
    for key, field in properties.items():
        assert f"{key!r}: {{'name': {field!r}, " in facts


def test_all_faults_are_reported_together() -> None:
    document = contract(KIND, {"type": "object"})
    document["paths"]["/things/{id}"]["get"].pop("operationId")
    assert lint(document) == [
        "components/schemas/Thing/properties/kind: inline object: make it a named component",
        "paths//things/{id}/get: an operation needs operationId",
    ]


def test_examples_are_not_checked_as_schemas() -> None:
    assert lint(contract(KIND, {"example": {"enum": ["a"], "type": "object", "$ref": "#"}})) == []


UNREADABLE = {
    "syntax": ("openapi: 3.1.0\npaths: {\n", "contract.yaml:3:1: expected the node content"),
    "circle": ("a: &a\n  b: *a\n", "contract.yaml: Circular reference detected"),
    "key that is a list": ("? [a, b]\n: c\n", "contract.yaml: unhashable type"),
    "date that does not exist": ("a: 2024-02-30\n", "contract.yaml: day is out of range for month"),
    "half of a character": ('a: "\\ud800"\n', "contract.yaml: 'utf-8' codec can't encode character"),
    "duplicate key": ("paths: {}\ninfo: {}\npaths: {}\n", "contract.yaml:3:1: duplicate key 'paths'"),
    "text": ("hello", "contract.yaml: a contract is a YAML object"),
    "key that is not a text": ("openapi: 3.1.0\npaths: { no: {} }\n", "paths: the key False is not a text: quote it"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_contract_that_cannot_be_read_is_one_line_with_the_place(name: str, tmp_path: Path) -> None:
    text, message = UNREADABLE[name]
    (tmp_path / "contract.yaml").write_text(text, "utf-8")
    with pytest.raises(SystemExit) as stopped:
        generate.generate(tmp_path / "contract.yaml", tmp_path / "package")
    assert message in str(stopped.value)
    assert stopped.value.__cause__ is None


def test_a_contract_that_is_missing_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"^/.*no\.yaml: No such file or directory$"):
        generate.generate(tmp_path / "no.yaml", tmp_path / "package")


def test_schemas_that_are_nested_too_deeply_are_one_line(tmp_path: Path) -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(200):
        schema = {"type": "array", "items": schema}
    (tmp_path / "contract.yaml").write_text(json.dumps(contract(KIND, schema)), "utf-8")
    with pytest.raises(SystemExit, match=r"^the schemas of the contract are nested too deeply"):
        generate.generate(tmp_path / "contract.yaml", tmp_path / "package")


def test_a_contract_without_schemas_is_fully_typed(tmp_path: Path) -> None:
    document = contract(("components", "schemas"), {})
    document["paths"] = {"/things": {"delete": {**NAMED, **DONE}}}
    (tmp_path / "contract.yaml").write_text(json.dumps(document), "utf-8")
    generate.generate(tmp_path / "contract.yaml", tmp_path / "package")
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--cache-dir", "cache", "package"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_known_values_that_the_type_of_a_map_of_models_cannot_quote_are_one_line(tmp_path: Path) -> None:
    values = {"anyOf": [OTHER, {"type": "string", "x-extensible-enum": ["it's"]}]}
    document = contract((*SCHEMAS, "Moods"), {"type": "object", "additionalProperties": values})
    document["components"]["schemas"]["Thing"]["properties"]["moods"] = {"$ref": "#/components/schemas/Moods"}
    (tmp_path / "contract.yaml").write_text(json.dumps(document), "utf-8")
    with pytest.raises(SystemExit, match=r"^known values with an apostrophe, .* in a map, at Moods$"):
        generate.generate(tmp_path / "contract.yaml", tmp_path / "package")


def test_what_only_documents_does_not_reach_the_generator() -> None:
    document = contract(("info", "license"), {})
    document["components"]["examples"] = {"a": 1}
    document["servers"] = [{"url": "/v1", "variables": {"a": 1}}]
    document["components"]["schemas"]["Thing"].update(externalDocs={}, properties={"examples": ITEM})
    assert lint(document) == []
    prepared, _ = importlib.import_module("prepare").prepare(document)
    assert prepared["info"] == SMALL["info"]
    assert prepared["servers"] == [{"url": "/v1"}]
    assert "examples" not in prepared["components"]
    assert prepared["components"]["schemas"]["Thing"] == {"type": "object", "properties": {"examples": ITEM}}


# Replacing and checking the package


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return Path(shutil.copytree(GOLDEN, tmp_path / "hard_api", ignore=shutil.ignore_patterns("__pycache__")))


def run_main(monkeypatch: pytest.MonkeyPatch, package: Path, *options: str, contract: Path = HARD) -> None:
    """Run the generator as the command line does."""
    arguments = ["generate.py", "--contract", str(contract), "--package", str(package), *options]
    monkeypatch.setattr(sys, "argv", arguments)
    generate.main()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use the golden package as the output of the generator, which is slow. A test above proves that they are equal."""

    def copy_golden(contract: Path, output: Path) -> None:
        assert contract == HARD
        shutil.copytree(GOLDEN, output)

    monkeypatch.setattr(generate, "generate", copy_golden)


def edit(package: Path) -> str:
    (package / "models" / "tree.py").write_text("# edited\n", "utf-8")
    return "models/tree.py"


def remove(package: Path) -> str:
    (package / "types.py").unlink()
    return "types.py"


def add(package: Path) -> str:
    (package / "api" / "stray.py").touch()
    return "api/stray.py"


@pytest.mark.usefixtures("quick")
def test_a_package_that_is_up_to_date_passes_the_check(
    package: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "types.pyc").touch()
    run_main(monkeypatch, package, "--check")
    assert capsys.readouterr().out == "hard_api: up to date\n"


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("change", [edit, remove, add])
def test_the_check_names_a_changed_file_and_a_regeneration_undoes_the_change(
    change: Any, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = change(package)
    with pytest.raises(SystemExit, match=rf"\n{name}$"):
        run_main(monkeypatch, package, "--check")
    assert generate.differences(package, GOLDEN) == [name]
    run_main(monkeypatch, package)
    assert generate.differences(package, GOLDEN) == []


def test_a_failed_generation_does_not_change_the_package(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, value, message = REJECTED["enum"]
    faulty = tmp_path / "faulty.yaml"
    faulty.write_text(json.dumps(contract(path, value)), "utf-8")
    with pytest.raises(SystemExit, match=message):
        run_main(monkeypatch, package, contract=faulty)
    assert generate.differences(package, GOLDEN) == []
