"""The rewriting and the oracle that try the generator on contracts of others. Nothing is downloaded here."""

from __future__ import annotations

import datetime
import importlib
import sys
import uuid
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

pytestmark = pytest.mark.project

ROOT = Path(__file__).resolve().parents[1]


def load(name: str) -> Any:
    """Import a script with its folder on the path, because it imports the others from there."""
    sys.path.insert(0, str(ROOT / "openapi"))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(ROOT / "openapi"))


rewriting, oracle, foreign, speed = map(load, ("foreign_rewrite", "foreign_oracle", "foreign", "foreign_speed"))


def contract(
    schemas: dict[str, Any], operation: dict[str, Any] | None = None, version: str = "3.0.3"
) -> dict[str, Any]:
    return {
        "openapi": version,
        "servers": [{"url": "https://{host}/v1", "variables": {"host": {"default": "example.com"}}}],
        "paths": {"/things/{id}": {"get": operation or {"responses": {"204": {}}}}},
        "components": {"schemas": schemas},
    }


def rewritten(schemas: dict[str, Any], version: str = "3.0.3") -> dict[str, Any]:
    return dict(rewriting.rewrite(contract(schemas, version=version))["components"]["schemas"])


def test_null_is_written_as_in_openapi_3_1() -> None:
    schemas = rewritten(
        {
            "thing": {
                "type": "object",
                "properties": {
                    "text": {"type": "string", "nullable": True},
                    "other": {"allOf": [{"$ref": "#/components/schemas/other"}], "nullable": True},
                    "known": {"type": "string", "enum": ["a", None], "nullable": True},
                },
            },
            "other": {"type": "object", "nullable": True},
        }
    )
    properties = schemas["Thing"]["properties"]
    assert properties["text"] == {"type": ["string", "null"]}
    assert properties["other"] == {"anyOf": [{"allOf": [{"$ref": "#/components/schemas/Other"}]}, {"type": "null"}]}
    assert properties["known"] == {"type": ["string", "null"], "x-extensible-enum": ["a"]}
    assert schemas["Other"] == {"type": "object"}


def test_inline_objects_become_components_and_aliases_disappear() -> None:
    schemas = rewritten(
        {
            "thing": {"properties": {"inner": {"properties": {"id": {"type": "integer"}}}, "list": {"items": {}}}},
            "alias": {"$ref": "#/components/schemas/thing"},
            "ThingInner": {"properties": {"alias": {"$ref": "#/components/schemas/alias", "description": "ignored"}}},
        }
    )
    assert schemas["Thing"]["properties"]["inner"] == {"$ref": "#/components/schemas/ThingInner2"}
    assert schemas["Thing"]["properties"]["list"] == {"type": "array", "items": {}}
    assert schemas["ThingInner"]["properties"]["alias"] == {"$ref": "#/components/schemas/Thing"}
    assert schemas.keys() == {"Thing", "ThingInner", "ThingInner2"}


def test_keywords_beside_a_reference_stay_in_openapi_3_1() -> None:
    other = {"$ref": "#/components/schemas/other", "description": "text"}
    schemas = rewritten({"thing": {"properties": {"other": other}}, "other": {"type": "object"}}, "3.1.0")
    wrapped = {"allOf": [{"$ref": "#/components/schemas/Other"}], "description": "text"}
    assert schemas["Thing"]["properties"]["other"] == wrapped


def test_operations_get_what_they_miss() -> None:
    operation: dict[str, Any] = {
        "parameters": [{"$ref": "#/components/parameters/page"}],
        "responses": {
            "200": {"headers": {}, "links": {}, "content": {"application/json": {}, "text/csv": {}}},
            "default": {},
        },
    }
    raw = contract({}, operation)
    raw["components"]["parameters"] = {
        "page": {"in": "query", "name": "page", "style": "form", "explode": False, "schema": {"type": "integer"}}
    }
    result = rewriting.rewrite(raw)
    assert result["servers"] == [{"url": "https://example.com/v1"}]
    assert result["paths"]["/things/{id}"]["get"] == {
        "operationId": "get_things_id",
        "summary": "get_things_id",
        "security": [{"token": []}],
        "parameters": [{"in": "query", "name": "page", "explode": False, "schema": {"type": "integer"}}],
        "responses": {
            "200": {"description": "200", "content": {"application/json": {}}},
            "4XX": {"description": "default"},
            "5XX": {"description": "default"},
        },
    }


def test_a_part_has_only_the_schemas_that_it_needs() -> None:
    inner = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/a"}}}}
    schemas = {
        "a": {"properties": {"b": {"$ref": "#/components/schemas/b"}}},
        "b": {"type": "object"},
        "c": {"type": "object"},
    }
    raw = contract(schemas, {"responses": {"200": inner}})
    part = rewriting.part_of(rewriting.rewrite(raw), [("/things/{id}", "get")])
    assert part["components"]["schemas"].keys() == {"A", "B"}


def test_samples_take_every_alternative() -> None:
    thing = {
        "type": "object",
        "required": ["id"],
        "properties": {
            "id": {"oneOf": [{"type": "integer"}, {"type": "string"}]},
            "again": {"$ref": "#/components/schemas/thing"},
            "date": {"type": "string", "format": "date", "nullable": True},
        },
        "additionalProperties": {"type": "boolean"},
    }
    raw = contract({"thing": thing})
    samples = [oracle.Sampler(raw, n).value({"$ref": "#/components/schemas/thing"}) for n in range(oracle.SAMPLES)]
    assert {type(sample["id"]) for sample in samples} == {int, str}
    assert {sample.get("date") for sample in samples} == {oracle.NULL, "2024-02-29", None}
    assert samples[-1].keys() == {"id", "key one", "0"}


@pytest.mark.parametrize(
    ("expected", "got", "faults"),
    [
        ({"a": oracle.NULL, "b": [1, None]}, {"b": [1, None]}, []),
        ({"a": "2024-02-29T12:00:00Z"}, {"a": "2024-02-29T13:00:00+01:00"}, []),
        ({"a": 1}, {}, [".a is lost"]),
        ({}, {"a": None}, [".a is added"]),
        ([1, None], [1], [" has 1 items instead of 2"]),
        ([True], [1], ["[] is 1 instead of True"]),
    ],
)
def test_differences(expected: Any, got: Any, faults: list[str]) -> None:
    assert [*oracle.differences(expected, got)] == faults


@pytest.mark.parametrize(
    ("parameter", "value", "pairs"),
    [
        ({}, [1, 2], [("p", "1"), ("p", "2")]),
        ({"explode": False}, [1, 2], [("p", "1,2")]),
        ({"style": "pipeDelimited"}, [1, 2], [("p", "1|2")]),
        ({"style": "deepObject"}, {"a": True}, [("p[a]", "true")]),
        ({}, 1.5, [("p", "1.5")]),
    ],
)
def test_pairs_of_a_query(parameter: dict[str, Any], value: Any, pairs: list[tuple[str, str]]) -> None:
    assert oracle.query_of({"name": "p", "schema": {}, **parameter}, value) == pairs


OPERATION: dict[str, Any] = {
    "parameters": [
        {"in": "path", "name": "id", "required": True, "schema": {"type": "string", "format": "uuid"}},
        {"in": "query", "name": "tags", "schema": {"type": "array", "items": {"type": "string"}}},
        {"in": "query", "name": "from-date", "schema": {"type": "string", "format": "date"}},
    ],
    "responses": {"200": {"content": {"application/json": {"schema": {"properties": {"id": {"type": "integer"}}}}}}},
}


def as_it_is(value: Any, hook: Any = None) -> Any:
    return value


def lossy(value: Any, hook: Any) -> Any:
    return {}


def complaining(value: Any, hook: Any) -> Any:
    hook("id", "string", "integer")
    return value


def failing(value: Any, hook: Any) -> Any:
    raise ZeroDivisionError


def generated(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> Any:
    """Return a function as the generator should make it, with changes that make it wrong."""
    types = ModuleType("foreign_fake.types")
    vars(types)["encode"] = as_it_is
    monkeypatch.setitem(sys.modules, "foreign_fake", ModuleType("foreign_fake"))
    monkeypatch.setitem(sys.modules, "foreign_fake.types", types)

    def get_thing(id: uuid.UUID, *, tags: list[str] | None = None, from_date: datetime.date | None = None) -> Any:
        query = {"tags": tags, "from-date": from_date}
        request: dict[str, Any] = {
            "method": "GET",
            "target": f"/v1/things/{id}?{oracle_query(query, changes.get('separator', '&tags='))}",
            "body": None,
            "decode": as_it_is,
        }
        return SimpleNamespace(**{**request, **changes})

    get_thing.__module__ = "foreign_fake"
    return get_thing


def oracle_query(query: dict[str, Any], separator: str) -> str:
    texts = {
        name: separator.join(map(oracle.quote, value)) for name, value in query.items() if name == "tags" and value
    }
    return "&".join(f"{name}={value}" for name, value in {**query, **texts}.items() if value is not None)


def test_a_right_function_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    assert oracle.wrongs(contract({}, OPERATION), ("/things/{id}", "get"), generated(monkeypatch)) == []


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"method": "POST"}, "the method is POST"),
        ({"separator": ","}, "the query is"),
        ({"target": "/things/1"}, "the path is"),
        ({"body": {}}, "there is a body: {}"),
        ({"decode": lossy}, "response.id is lost"),
        ({"decode": complaining}, "id is reported"),
        ({"decode": failing}, "ZeroDivisionError"),
    ],
)
def test_a_wrong_function_is_found(monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], fault: str) -> None:
    wrongs = oracle.wrongs(contract({}, OPERATION), ("/things/{id}", "get"), generated(monkeypatch, **changes))
    assert any(fault in wrong for wrong in wrongs), wrongs


def test_a_parameter_that_was_dropped_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    operation: dict[str, Any] = {
        **OPERATION,
        "parameters": [*OPERATION["parameters"], {"in": "header", "name": "X-Key", "schema": {}}],
    }
    wrongs = oracle.wrongs(contract({}, operation), ("/things/{id}", "get"), generated(monkeypatch))
    assert wrongs == ["the header parameter X-Key has no argument"]


@pytest.mark.parametrize(
    "reason",
    [
        "a.json breaks these rules:\ncomponents/schemas/A/properties/b: the format 'x' is not supported",
        "components/schemas/Other/allOf/0: the format 'y' is not supported",
    ],
)
def test_equal_refusals_are_counted_together(reason: str) -> None:
    assert foreign.cause(reason) == "the format … is not supported"


def test_the_goals_are_compared_with_the_median() -> None:
    row = speed.line("petstore", {"decode": [0.9, 0.3, 0.5], "encode": [1.2, 1.1, 0.4]})
    assert row == "| petstore | 3 | 0.50 (0.30 to 0.90) | yes | 1.10 (0.40 to 1.20) | no |"
