"""How a change of the contract or of the packages affects callers, and which version it needs."""

from __future__ import annotations

import copy
import importlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.version import Version

pytestmark = pytest.mark.project

ROOT = Path(__file__).resolve().parents[1]


def load(name: str) -> Any:
    """Import a script with its folder on the path, because it imports its other modules from there."""
    sys.path.insert(0, str(ROOT / "openapi"))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(ROOT / "openapi"))


diff, packages = load("diff"), load("diff_packages")
NOTHING, PATCH, MINOR, MAJOR = diff.Level

CONTRACT = """
servers: [{ url: "https://example.com/v1" }]
security: [{ key: [] }]
paths:
  /things/{id}.json:
    summary: A thing.
    description: A thing of things.
    servers: [{ url: "https://example.com" }]
    parameters: [{ $ref: "#/components/parameters/Shared" }]
    put:
      operationId: putThing
      parameters:
        - { name: id, in: path, required: true, schema: { type: integer, minimum: 1 } }
        - { name: page, in: query, schema: { type: integer } }
        - { name: ids, in: query, explode: false, schema: { type: array, items: { type: integer } } }
      requestBody: { required: true, content: { application/json: { schema: { $ref: "#/components/schemas/Sent" } } } }
      responses:
        "200": { content: { application/json: { schema: { $ref: "#/components/schemas/Read" } } } }
        "400": { $ref: "#/components/responses/Invalid" }
  /things.json:
    get:
      operationId: listThings
      responses: { "200": { content: { application/json: { schema: { $ref: "#/components/schemas/Only" } } } } }
components:
  securitySchemes: { key: { type: http, scheme: bearer }, same: { type: http, scheme: bearer } }
  parameters:
    Shared: { name: shared, in: query, schema: { type: integer } }
  responses:
    Invalid: { content: { application/json: { schema: { $ref: "#/components/schemas/Errors" } } } }
  schemas:
    Sent:
      type: object
      properties:
        both: { allOf: [{ $ref: "#/components/schemas/Both" }] }
        field: { type: string, maxLength: 9, minLength: 2, x-extensible-enum: [a, b] }
        list: { type: array, items: { type: string } }
        words: { type: array, x-secret: true, items: { type: string, x-extensible-enum: [a], maxLength: 9 } }
        pair: { type: array, prefixItems: [{ type: string }, { type: integer }] }
        map: { type: object, additionalProperties: { type: string } }
        kind: { $ref: "#/components/schemas/Kind" }
    Kind: { type: string, x-extensible-enum: [a, b] }
    Only: { type: object, properties: { example: { $ref: "#/components/schemas/Item" } } }
    Read:
      type: object
      x-envelope: read
      required: [id]
      properties:
        id: { type: [integer, "null"], x-secret: true }
        field: { type: [string, "null"], maxLength: 9, x-extensible-enum: [a, b] }
        both: { anyOf: [{ $ref: "#/components/schemas/Both" }, { type: "null" }] }
        items: { type: [array, "null"], items: { $ref: "#/components/schemas/Item" } }
    Both: { type: object, properties: { field: { type: string } } }
    Item: { type: object, additionalProperties: { type: string } }
    Errors: { type: object, properties: { field: { type: string, x-secret: true } } }
    Unused: { type: object, properties: { field: { type: string } } }
"""

SENT, READ = ("components", "schemas", "Sent"), ("components", "schemas", "Read")
JSON = "application/json"
BOTH, ERRORS = ("components", "schemas", "Both", "properties"), ("components", "schemas", "Errors", "properties")
PUT, LIST = ("paths", "/things/{id}.json", "put"), ("paths", "/things.json", "get")
SCHEMAS = ("components", "schemas")
REMOVED = object()
"""Removes the value at a path."""
IDS, BODY, OK = (*PUT, "parameters", 2), (*PUT, "requestBody"), (*PUT, "responses", "200")
SHARED, INVALID = ("components", "parameters", "Shared"), ("components", "responses", "Invalid", "content", JSON)
JSON_200, WORDS, PAIR = (*OK, "content", JSON), (*SENT, "properties", "words"), (*SENT, "properties", "pair")
LIST_OF_READ = {"type": "array", "items": {"$ref": "#/components/schemas/Read"}}
OWN = {"name": "shared", "in": "query", "schema": {"type": "string"}}
"""A parameter of an operation that replaces one of its path."""


def changed(*changes: tuple[tuple[Any, ...], Any]) -> Any:
    """The contract with values set or removed at paths."""
    contract = yaml.safe_load(CONTRACT)
    for (*path, last), value in changes:
        node = contract
        for key in path:
            node = node[key]
        if value is REMOVED:
            del node[last]
        elif last == "+":
            node.append(value)
        else:
            node[last] = value
    return contract


SENT_FIELD, READ_FIELD = (*SENT, "properties", "field"), (*READ, "properties", "field")
TABLE: list[tuple[str, Any, str, Any]] = [
    # Operations
    ("operation added", ((*LIST[:2], "put"), {"operationId": "new", "responses": {}}), "new: added", MINOR),
    ("operation removed", (LIST, REMOVED), "listThings: removed", MAJOR),
    ("operation deprecated", ((*LIST, "deprecated"), True), "listThings: deprecated", MINOR),
    ("operation renamed", ((*LIST, "operationId"), "other"), "listThings: renamed to other", MAJOR),
    ("host of the server", (("servers", 0, "url"), "https://other.example.com/v1/"), "", None),
    (
        "security narrowed",
        ((*LIST, "security"), [{"key": ["write"]}]),
        "listThings: needs bearer token for write instead of bearer token; the tokens of callers may be rejected",
        MAJOR,
    ),
    ("security widened", ((*LIST, "security"), [{"key": []}, {"key": ["read"]}]), "listThings: needs bearer", MINOR),
    ("security optional", ((*LIST, "security"), [{}]), "listThings: needs no token instead of bearer token", MINOR),
    ("security with another name", ((*LIST, "security"), [{"same": []}]), "", None),
    # Parameters
    ("parameter removed", ((*PUT, "parameters", 1), REMOVED), "putThing(page): removed", MAJOR),
    ("parameter required", ((*PUT, "parameters", 1, "required"), True), "putThing(page): now required", MAJOR),
    ("parameter optional", ((*PUT, "parameters", 0, "required"), False), "putThing(id): no longer required", MINOR),
    ("parameter added", ((*LIST, "parameters"), [{"name": "a", "schema": {}}]), "listThings(a): added", MINOR),
    (
        "required parameter added",
        ((*LIST, "parameters"), [{"name": "a", "required": True, "schema": {}}]),
        "listThings(a): added, and callers must send it",
        MAJOR,
    ),
    ("parameter narrowed", ((*PUT, "parameters", 0, "schema", "minimum"), 2), "putThing(id): narrowed, minimum", MAJOR),
    ("parameter widened", ((*PUT, "parameters", 0, "schema", "minimum"), 0), "putThing(id): widened, minimum", MINOR),
    ("parameter exploded", ((*IDS, "explode"), True), "putThing(ids): sent in the query as form, its parts one", PATCH),
    ("parameter joined", ((*IDS, "style"), "pipeDelimited"), "putThing(ids): sent in the query as pipe", PATCH),
    ("shared parameter narrowed", ((*SHARED, "schema", "maximum"), 9), "putThing(shared): narrowed, maximum", MAJOR),
    ("shared parameter removed", ((*PUT[:2], "parameters"), REMOVED), "putThing(shared): removed", MAJOR),
    ("shared parameter replaced", ((*PUT, "parameters", "+"), OWN), "putThing(shared): changed from integer", MAJOR),
    ("parameter unbound", ((*PUT, "parameters", 0, "schema", "minimum"), REMOVED), "putThing(id): widened", MINOR),
    # Bodies and responses
    ("body removed", ((*PUT, "requestBody"), REMOVED), "putThing body: removed", MAJOR),
    ("response changed", ((*PUT, "responses", "200"), {}), "putThing result: changed from Read to nothing", MAJOR),
    ("response is a list", ((*JSON_200, "schema"), LIST_OF_READ), "putThing result: changed from Read to array", MAJOR),
    ("response is text", ((*OK, "content"), {"text/csv": {}}), "putThing result: changed from Read to text/csv", MAJOR),
    ("body is text", ((*BODY, "content"), {"text/csv": {}}), "putThing body: changed from Sent to text/csv", MAJOR),
    ("body optional", ((*BODY, "required"), False), "putThing body: no longer required", MINOR),
    ("error removed", ((*PUT, "responses", "400"), REMOVED), "putThing -> 400: removed", PATCH),
    ("error added", ((*PUT, "responses", "404"), {}), "putThing -> 404: added", PATCH),
    ("error changed", ((*INVALID, "schema"), {}), "putThing -> 400: widened from Errors to any", PATCH),
    # Schemas
    ("envelope removed", ((*READ, "x-envelope"), REMOVED), 'Read: responses in the envelope "read" are no', MAJOR),
    ("envelope added to a result", ((*SCHEMAS, "Only", "x-envelope"), "only"), "Only: responses in the", PATCH),
    ("envelope added to a part", ((*SCHEMAS, "Item", "x-envelope"), "item"), "", None),
    ("schema added", ((*SCHEMAS, "New"), {"type": "object", "properties": {"a": {}}}), "New: added", PATCH),
    ("unused schema removed", ((*SCHEMAS, "Unused"), REMOVED), "Unused: removed", PATCH),
    ("error's field removed", ((*ERRORS, "field"), REMOVED), "Errors.field: removed", PATCH),
    ("map's values changed", ((*SCHEMAS, "Item", "additionalProperties"), {}), "Item values: widened", MAJOR),
    ("map's values of any type", ((*SCHEMAS, "Item", "additionalProperties"), True), "Item values: widened", MAJOR),
    ("read values typed", ((*READ, "additionalProperties"), {"type": "integer"}), "Read values: narrowed", PATCH),
    ("sent values typed", ((*SENT, "additionalProperties"), {"type": "integer"}), "Sent values: narrowed from", MAJOR),
    ("sent values of any type", ((*SENT, "additionalProperties"), True), "", None),
    # Fields that callers send
    ("sent added", ((*SENT, "properties", "new"), {"type": "string"}), "Sent.new: added", MINOR),
    ("sent removed", (SENT_FIELD, REMOVED), "Sent.field: removed", MAJOR),
    ("sent changed", ((*SENT_FIELD, "type"), "integer"), "Sent.field: changed from string to integer", MAJOR),
    ("sent widened", ((*SENT_FIELD, "type"), ["string", "integer"]), "Sent.field: widened", MINOR),
    ("sent to any", ((*SENT_FIELD, "type"), REMOVED), "Sent.field: widened from string to any", MINOR),
    (
        "sent narrowed",
        ((*SENT, "properties", "list", "items"), {"type": "string", "format": "uuid"}),
        "Sent.list",
        MAJOR,
    ),
    ("sent nullable", ((*SENT_FIELD, "type"), ["string", "null"]), "Sent.field: may be null", PATCH),
    ("sent required", ((*SENT, "required"), ["field"]), "Sent.field: now required; callers must send it", MAJOR),
    ("sent deprecated", ((*SENT_FIELD, "deprecated"), True), "Sent.field: deprecated", MINOR),
    ("sent value added", ((*SENT_FIELD, "x-extensible-enum"), ["a", "b", "c"]), "Sent.field: new values c", MINOR),
    ("sent value removed", ((*SENT_FIELD, "x-extensible-enum"), ["a"]), "Sent.field: no longer has b; callers", MAJOR),
    ("sent shorter", ((*SENT_FIELD, "maxLength"), 8), "Sent.field: narrowed, maxLength from 9 to 8", MAJOR),
    ("sent longer", ((*SENT_FIELD, "maxLength"), 10), "Sent.field: widened, maxLength from 9 to 10", MINOR),
    ("sent bound", ((*SENT, "properties", "list", "maxItems"), 3), "Sent.list: narrowed, maxItems from None", MAJOR),
    ("sent properties counted", ((*SENT, "minProperties"), 1), "Sent: narrowed, minProperties from None to 1", MAJOR),
    ("read limit", ((*READ_FIELD, "pattern"), "a"), "Read.field: narrowed, pattern", PATCH),
    ("a limit that is off", ((*SENT, "properties", "list", "uniqueItems"), False), "", None),
    ("sent item's value removed", ((*WORDS, "items", "x-extensible-enum"), []), "Sent.words: no longer has a", MAJOR),
    ("sent item shorter", ((*WORDS, "items", "maxLength"), 3), "Sent.words: narrowed, items.maxLength", MAJOR),
    ("sent tuple changed", ((*PAIR, "prefixItems", 0, "type"), "boolean"), "Sent.pair: changed from array of (", MAJOR),
    ("sent map changed", ((*SENT, "properties", "map", "additionalProperties"), {}), "Sent.map: widened", MINOR),
    ("sent map of any", ((*SENT, "properties", "map", "additionalProperties"), REMOVED), "Sent.map: widened", MINOR),
    (
        "named value removed",
        ((*SCHEMAS, "Kind", "x-extensible-enum"), ["a"]),
        "Sent.kind: no longer has b; callers",
        MAJOR,
    ),
    ("sent secret", ((*SENT_FIELD, "x-secret"), True), "Sent.field: PRIVACY: now secret", PATCH),
    ("sent secret removed", ((*WORDS, "x-secret"), REMOVED), "Sent.words: PRIVACY: no longer secret; its", MAJOR),
    # Fields that callers read
    ("read secret removed", ((*READ, "properties", "id", "x-secret"), REMOVED), "Read.id: PRIVACY: no longer", MAJOR),
    ("error's secret removed", ((*ERRORS, "field", "x-secret"), REMOVED), "Errors.field: PRIVACY: no longer", PATCH),
    ("read added", ((*READ, "properties", "new"), {"type": "string"}), "Read.new: added", MINOR),
    ("read removed", (READ_FIELD, REMOVED), "Read.field: removed", MAJOR),
    ("read changed", ((*READ_FIELD, "type"), ["integer", "null"]), "Read.field: changed", MAJOR),
    ("read widened", ((*READ_FIELD, "type"), ["string", "integer", "null"]), "Read.field: widened", MAJOR),
    ("read to number", ((*READ, "properties", "id", "type"), ["number", "null"]), "Read.id: widened", MAJOR),
    ("read never null", ((*READ_FIELD, "type"), "string"), "Read.field: is no longer null", PATCH),
    ("read required", ((*READ, "required"), ["id", "field"]), "Read.field: now required; a response without", MAJOR),
    ("read optional", ((*READ, "required"), []), "Read.id: no longer required", MINOR),
    ("read value added", ((*READ_FIELD, "x-extensible-enum"), ["a", "b", "c"]), "Read.field: new values c", MINOR),
    ("read value removed", ((*READ_FIELD, "x-extensible-enum"), ["a"]), "Read.field: no longer has b", PATCH),
    ("read shorter", ((*READ_FIELD, "maxLength"), 8), "Read.field: narrowed, maxLength", PATCH),
    # Fields of a schema that callers send and read
    ("both widened", ((*BOTH, "field", "type"), ["string", "integer"]), "Both.field: widened", MAJOR),
    ("both required", ((*SCHEMAS, "Both", "required"), ["field"]), "Both.field: now required; callers must", MAJOR),
]


@pytest.mark.parametrize(("change", "text", "level"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_a_change_of_the_contract_is_reported_with_its_level(change: Any, text: str, level: Any) -> None:
    old, new = yaml.safe_load(CONTRACT), changed(change)
    found = list(diff.compare(diff.facts(old), diff.facts(new)))
    if level is None:
        assert found == []
        return
    assert [each.text for each in found if each.text.startswith(text)], found
    assert [each.level for each in found] == [level]


def test_another_path_of_the_server_is_a_change_of_every_operation() -> None:
    new = changed((("servers", 0, "url"), "https://example.com/v2"))
    found = list(diff.compare(diff.facts(yaml.safe_load(CONTRACT)), diff.facts(new)))
    assert [(each.level, each.text) for each in found] == [
        (MINOR, "listThings: changed from GET /v1/things.json to GET /v2/things.json"),
        (MINOR, "putThing: changed from PUT /v1/things/{id}.json to PUT /v2/things/{id}.json"),
    ]


def test_a_part_of_the_contract_that_gets_a_name_of_its_own_does_not_affect_callers() -> None:
    page = {"name": "page", "in": "query", "schema": {"$ref": "#/components/schemas/Page"}}
    text = yaml.safe_load(CONTRACT)["components"]["schemas"]["Sent"]["properties"]["field"]
    new = changed(
        (("components", "parameters", "Page"), page),
        ((*PUT, "parameters", 1), {"$ref": "#/components/parameters/Page"}),
        ((*SCHEMAS, "Page"), {"type": "integer"}),
        ((*SCHEMAS, "Text"), text),
        (SENT_FIELD, {"allOf": [{"$ref": "#/components/schemas/Text"}], "description": "A text."}),
        ((*WORDS, "items"), {"$ref": "#/components/schemas/Word"}),
        ((*SCHEMAS, "Word"), {"type": "string", "x-extensible-enum": ["a"], "maxLength": 9}),
    )
    assert list(diff.compare(diff.facts(yaml.safe_load(CONTRACT)), diff.facts(new))) == []
    narrower = changed((("components", "parameters", "Shared", "schema"), {"$ref": "#/components/schemas/Kind"}))
    found = list(diff.compare(diff.facts(new), diff.facts(narrower)))
    assert "putThing(shared): changed from integer to string; values that callers send may be rejected" in {
        each.text for each in found
    }


def reported(old: Any, new: Any) -> list[tuple[Any, str]]:
    """The changes between two contracts, with their levels."""
    return [(each.level, each.text) for each in diff.compare(diff.facts(old), diff.facts(new))]


PARAMETER = (*PUT, "parameters", 1, "schema")
LIMITS: list[tuple[Any, Any, str, str]] = [
    (SENT_FIELD, ("pattern", "a", "b"), "Sent.field", "changed"),
    (PARAMETER, ("multipleOf", 2, 3), "putThing(page)", "changed"),
    ((*SENT, "properties", "map"), ("minProperties", 1, 2), "Sent.map", "narrowed"),
    ((*SENT, "properties", "map"), ("maxProperties", 2, 1), "Sent.map", "narrowed"),
    (SENT, ("maxProperties", 2, 1), "Sent", "narrowed"),
    ((*SENT, "properties", "map", "additionalProperties"), ("pattern", "a", "b"), "Sent.map", "changed"),
    ((*SENT, "properties", "list"), ("uniqueItems", False, True), "Sent.list", "narrowed"),
    (SENT, ("dependentRequired", {"list": ["map"]}, {"list": ["map", "pair"]}), "Sent", "narrowed"),
    ((*SENT, "properties", "map"), ("dependentRequired", {}, {"a": ["b"]}), "Sent.map", "narrowed"),
]
"""A schema, a keyword with two values, and how the second value is reported after the first."""


@pytest.mark.parametrize(("place", "limit", "name", "verb"), LIMITS, ids=[f"{row[1][0]} {row[2]}" for row in LIMITS])
def test_a_limit_that_rejects_what_callers_send_is_a_breaking_change(
    place: Any, limit: tuple[str, Any, Any], name: str, verb: str
) -> None:
    keyword, looser, tighter = limit
    old, new = changed(((*place, keyword), looser)), changed(((*place, keyword), tighter))
    plain = yaml.safe_load(CONTRACT)
    for before, after, expected in ((old, new, verb), (plain, new, "narrowed")):
        found = reported(before, after)
        assert {level for level, _ in found} == {MAJOR}, found
        assert all(text.startswith(f"{name}: {expected}, ") and keyword in text for _, text in found), found
    found = reported(new, plain)
    assert {level for level, _ in found} == {MINOR}, found
    assert all(text.startswith(f"{name}: widened, ") for _, text in found), found


def test_an_operation_and_a_schema_with_the_same_name_are_compared_separately() -> None:
    old = changed(((*LIST, "operationId"), "Only"))
    new = changed(((*LIST, "operationId"), "Only"), ((*LIST, "deprecated"), True))
    new["paths"]["/all.json"] = new["paths"].pop("/things.json")
    assert reported(old, new) == [
        (MINOR, "Only: changed from GET /v1/things.json to GET /v1/all.json"),
        (MINOR, "Only: deprecated"),
    ]
    # The properties belong to the schema, which stays when the operation is renamed or removed.
    field = ((*SCHEMAS, "Only", "properties", "example"), REMOVED)
    for name in ("Only", "Other"):
        assert (MAJOR, "Only.example: removed") in reported(old, changed(((*LIST, "operationId"), name), field))
    assert (MAJOR, "Only.example: removed") in reported(old, changed((LIST, REMOVED), field))


@pytest.mark.parametrize("untyped", [True, {}, REMOVED], ids=["true", "empty", "missing"])
@pytest.mark.parametrize("holder", [SENT, (*SENT, "properties", "map")], ids=["schema", "property"])
def test_a_type_for_the_values_of_a_sent_map_narrows_it_and_its_removal_widens_it(untyped: Any, holder: Any) -> None:
    typed = changed(((*holder, "additionalProperties"), {"type": "integer"}))
    # The value is set first, because REMOVED needs a value to remove.
    any_value = changed(((*holder, "additionalProperties"), True), ((*holder, "additionalProperties"), untyped))
    assert [(level, "narrowed from" in text) for level, text in reported(any_value, typed)] == [(MAJOR, True)]
    assert [(level, "widened from" in text) for level, text in reported(typed, any_value)] == [(MINOR, True)]


def test_parameters_with_the_same_name_in_two_places_are_compared_separately() -> None:
    path = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
    query = {"name": "id", "in": "query", "required": True, "schema": {"type": "integer", "minimum": 1}}
    new = changed(((*PUT, "parameters", 0), path), ((*PUT, "parameters", "+"), query))
    assert [text for _, text in reported(yaml.safe_load(CONTRACT), new)] == [
        "putThing(id in path): changed from integer to string; values that callers send may be rejected",
        "putThing(id in path): widened, minimum from 1 to None",
        "putThing(id in query): added, and callers must send it",
    ]
    moved = changed(((*PUT, "parameters", 0), query))
    assert reported(yaml.safe_load(CONTRACT), moved) == [
        (PATCH, "putThing(id): sent in the query as form instead of in the path as simple; callers pass the same value")
    ]


def test_a_schema_that_is_named_like_a_property_of_another_is_compared_separately() -> None:
    extra = ((*SCHEMAS, "Read.id"), {"type": "object", "properties": {"a": {"type": "string"}}})
    types = ((*READ, "properties", "id", "type"), "string")
    found = reported(changed(extra), changed(extra, types))
    assert (MAJOR, "Read.id: changed from integer to string; callers may read values that they do not expect") in found
    without = ((*SCHEMAS, "Read.id"), {"type": "object"})
    assert reported(changed(extra), changed(without)) == [(PATCH, "Read.id.a: removed")]


def test_properties_that_move_to_a_part_of_all_of_stay_the_same_for_callers() -> None:
    old = yaml.safe_load(CONTRACT)
    fields = old["components"]["schemas"]["Read"]["properties"]
    rest = {name: fields[name] for name in fields if name != "id"}
    parts = [{"$ref": "#/components/schemas/Base"}, {"type": "object", "properties": rest}]
    new = changed(
        ((*SCHEMAS, "Base"), {"type": "object", "properties": {"id": fields["id"]}}),
        (READ, {"x-envelope": "read", "allOf": parts, "required": ["id"]}),
    )
    found = list(diff.compare(diff.facts(old), diff.facts(new)))
    assert [(each.level, each.text) for each in found] == [(MINOR, "Base: added")]
    # What the base or another part says about a property is a change of the model.
    changes = copy.deepcopy(new)
    parts = changes["components"]["schemas"]["Read"]["allOf"]
    parts[1]["required"] = ["items"]
    parts[1]["properties"]["id"] = {"type": ["integer", "null"]}
    changes["components"]["schemas"]["Base"]["properties"]["id"].pop("x-secret")
    found = list(diff.compare(diff.facts(new), diff.facts(changes)))
    assert {(each.level, each.text.partition(":")[0]) for each in found} == {
        (MAJOR, "Base.id"),
        (MAJOR, "Read.id"),
        (MAJOR, "Read.items"),
    }
    assert "Read.items: now required; a response without it cannot be used" in {each.text for each in found}


def test_an_envelope_that_gets_another_name_is_a_breaking_change() -> None:
    found = list(diff.compare(diff.facts(yaml.safe_load(CONTRACT)), diff.facts(changed(((*READ, "x-envelope"), "it")))))
    assert [(each.level, each.text) for each in found] == [
        (MAJOR, 'Read: responses in the envelope "read" are no longer read, so that calls fail if Desk sends it'),
        (PATCH, 'Read: responses in the envelope "it" are read, too'),
    ]


def test_another_status_of_the_same_result_does_not_affect_callers() -> None:
    new = yaml.safe_load(CONTRACT)
    responses = new["paths"]["/things/{id}.json"]["put"]["responses"]
    responses["201"] = responses.pop("200")
    found = list(diff.compare(diff.facts(yaml.safe_load(CONTRACT)), diff.facts(new)))
    assert {(each.level, each.text) for each in found} == {
        (PATCH, "putThing -> 200: removed"),
        (PATCH, "putThing -> 201: added"),
    }


def test_the_changes_of_an_operation_with_another_name_are_reported_under_the_new_name() -> None:
    new = changed(((*PUT, "operationId"), "setThing"), ((*PUT, "parameters", 1, "required"), True))
    found = list(diff.compare(diff.facts(yaml.safe_load(CONTRACT)), diff.facts(new)))
    assert [(each.level, each.text) for each in found] == [
        (MAJOR, "putThing: renamed to setThing; callers use the function of this name"),
        (MAJOR, "setThing(page): now required; callers must send it"),
    ]


def test_a_change_of_a_description_does_not_affect_callers() -> None:
    new = changed(
        ((*READ_FIELD, "description"), "A field."), ((*LIST, "summary"), "Lists."), ((*PUT[:2], "summary"), "It.")
    )
    assert list(diff.compare(diff.facts(yaml.safe_load(CONTRACT)), diff.facts(new))) == []


def test_schemas_that_callers_send_and_schemas_that_they_read() -> None:
    ways = diff.schema_ways(yaml.safe_load(CONTRACT))
    assert ways == {
        **{name: {"sent"} for name in ("Sent", "Kind")},
        **{name: {"read"} for name in ("Read", "Item", "Only")},
        "Both": {"sent", "read"},
    }


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        ("int", {"int"}),
        ("int | None", {"int", "None"}),
        ("list[int | str] | None", {"list[int]", "list[str]", "None"}),
        ("dict[str, int | str]", {"dict[str, int | str]"}),
        ("Literal['a', 'b'] | str | None", {"str", "None"}),
        ("Literal['a', 'b']", {"Literal['a', 'b']"}),
        ("datetime.datetime", {"datetime.datetime"}),
        ("None", {"None"}),
    ],
)
def test_members_splits_an_annotation(annotation: str, expected: set[str]) -> None:
    assert packages.members(annotation) == expected


@pytest.mark.parametrize(
    ("released", "level", "least"),
    [
        ("0.1.4", NOTHING, "0.1.4"),
        ("0.1.4", PATCH, "0.1.5"),
        ("0.1.4", MINOR, "0.1.5"),
        ("0.1.4", MAJOR, "0.2.0"),
        ("1.2.3", NOTHING, "1.2.3"),
        ("1.2.3", PATCH, "1.2.4"),
        ("1.2.3", MINOR, "1.3.0"),
        ("1.2.3", MAJOR, "2.0.0"),
    ],
)
def test_the_lowest_version_that_a_change_needs(released: str, level: Any, least: str) -> None:
    assert diff.needed(Version(released), level) == Version(least)


@pytest.mark.parametrize(
    ("version", "enough"),
    [("1.3.0", True), ("1.3.0rc1", True), ("2.0.0", True), ("1.2.9", False), ("1.3.0.dev1", True)],
)
def test_a_version_is_high_enough_for_a_change(version: str, enough: bool) -> None:
    assert diff.is_high_enough(Version(version), Version("1.3.0")) is enough


# The Python surface

BEFORE = """
from ._private import Part as _Part, Options
__all__ = ["Client"]
class Client:
    part: _Part
    name: str | None
    _hidden: int
    def call(self, first: int, *, second: str | None = None, options: Options) -> str: ...
    def leave(self) -> None: ...
"""
PRIVATE = """
class Part:
    def turn(self, way: str) -> None: ...
class Options:
    fast: bool
"""


@pytest.fixture
def trees(tmp_path: Path) -> tuple[Path, Path]:
    """Two trees with the same two packages."""
    for tree in (tmp_path / "old", tmp_path / "new"):
        for package, folder in packages.PACKAGES.items():
            (tree / folder / package).mkdir(parents=True)
            (tree / folder / package / "__init__.py").write_text(BEFORE, "utf-8")
            (tree / folder / package / "_private.py").write_text(PRIVATE, "utf-8")
    return tmp_path / "old", tmp_path / "new"


@pytest.mark.parametrize(
    ("file", "before", "after", "expected"),
    [
        ("__init__", "second: str | None = None, ", "", {("Client.call(second): parameter was removed", MAJOR)}),
        ("__init__", "second: str | None", "second: str | int | None", {("Client.call(second): widened", MINOR)}),
        ("__init__", "second: str | None", "second: Any", {("Client.call(second): widened", MINOR)}),
        ("__init__", "first: int", "first: str", {("Client.call(first): changed from int to str", MAJOR)}),
        ("__init__", "-> str", "-> str | None", {("Client.call: widened from str to None | str", MAJOR)}),
        ("__init__", "name: str | None", "name: str", {("Client.name: narrowed", MAJOR)}),
        ("__init__", "def leave", "def _leave", {("Client.leave: public object was removed", MAJOR)}),
        ("__init__", "_hidden", "_other", set[tuple[str, Any]]()),
        ("__init__", "_hidden: int", "shown: int", {("Client.shown: added", MINOR)}),
        ("_private", "way: str", "way: str, far: int = 1", {("Part.turn(far): added", MINOR)}),
        ("_private", "way: str", "way: int", {("Part.turn(way): changed from str to int", MAJOR)}),
        ("_private", "turn", "roll", {("Part.turn: public object was removed", MAJOR), ("Part.roll: added", MINOR)}),
        ("_private", "fast: bool", "slow: bool", {("Options.fast: public", MAJOR), ("Options.slow: added", MINOR)}),
    ],
)
def test_a_change_of_the_packages_is_reported_with_its_level(
    file: str, before: str, after: str, expected: set[tuple[str, Any]], trees: tuple[Path, Path]
) -> None:
    old, new = trees
    path = new / "overrides" / "teamwork_desk" / f"{file}.py"
    text = path.read_text("utf-8")
    assert before in text
    path.write_text(text.replace(before, after), "utf-8")
    found = packages.python_changes(old, new, {})
    assert len(found) == len(expected), found
    for text, level in expected:
        assert [each for each in found if each.text.startswith(f"teamwork_desk.{text}") and each.level is level], found


# The commands, in a repository of their own


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A repository with the files that the commands need, and a single commit."""
    for folder in ("openapi", "generated", "overrides"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("node_modules", "__pycache__"))
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "0.1.0"\n', "utf-8")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "--quiet", "--message", "First")
    return tmp_path


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, check=True)


def run(clone: Path, script: str, *arguments: str) -> tuple[int, str]:
    command: list[str | Path] = [sys.executable, clone / "openapi" / script, *arguments]
    done = subprocess.run(command, cwd=clone, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_a_changed_type_is_reported_before_and_after_regeneration_and_needs_a_version(clone: Path) -> None:
    assert run(clone, "diff.py", "--check") == (
        0,
        "There is no v* tag to compare with: nothing was released yet.\n",
    )
    git(clone, "tag", "v0.1.0")
    status, output = run(clone, "diff.py", "--check")
    assert (status, "The last version is 0.1.0, and no new version is needed" in output) == (0, True), output

    contract = clone / "openapi" / "desk.yaml"
    text = contract.read_text("utf-8")
    before = 'ticket_id:\n          type: [integer, "null"]'
    assert before in text
    contract.write_text(text.replace(before, before.replace("integer", "string")), "utf-8")
    change = "BREAKING  Conversation.ticket_id: changed from integer to string"
    reason = "callers may read values that they do not expect"
    status, output = run(clone, "diff.py")
    assert status == 0
    assert f"{change}; {reason}" in output
    assert "The last version is 0.1.0, and at least 0.2.0 is needed; pyproject.toml has 0.1.0" in output
    assert "Before 1.0.0 a breaking change needs a minor step" in output

    assert run(clone, "generate.py") == (0, "teamwork_desk_api: 1 files changed\n")
    status, output = run(clone, "diff.py", "--check")
    assert status == 1
    assert (
        "teamwork_desk_api.models.conversation.Conversation.ticket_id: changed from None | int to None | str" in output
    )
    assert output.endswith("The version in pyproject.toml is too low for this change.\n")

    (clone / "pyproject.toml").write_text('[project]\nversion = "0.1.1"\n', "utf-8")
    assert run(clone, "diff.py", "--check")[0] == 1
    (clone / "pyproject.toml").write_text('[project]\nversion = "0.2.0"\n', "utf-8")
    assert run(clone, "diff.py", "--check")[0] == 0


def test_a_change_that_callers_do_not_see_needs_a_patch_version(clone: Path) -> None:
    with (clone / "overrides" / "teamwork_desk" / "_auth.py").open("a", encoding="utf-8") as file:
        file.write("\n_NEW = 1\n")
    status, output = run(clone, "diff.py", "HEAD", "--check")
    assert status == 1
    assert output.count("no change for callers") == 2
    assert "at least 0.1.1 is needed" in output


def test_an_unknown_ref_is_rejected_by_name(clone: Path) -> None:
    assert run(clone, "diff.py", "nowhere") == (1, "nowhere is not a commit that contains openapi/desk.yaml\n")
