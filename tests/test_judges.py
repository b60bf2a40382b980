"""The judges of the contract, without the parts that need Node: `make contract` runs those."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import hooks
import httpx
import judge
import pytest
import yaml
from attrs import evolve
from openapi_schema_validator import OAS31Validator
from schemathesis.core.failures import AcceptedNegativeData
from schemathesis.openapi.checks import RejectedPositiveData, UndefinedStatusCode
from trials import (
    Operation,
    Rejection,
    body_fields,
    example_of,
    method_trials,
    operation_trials,
    operations_of,
    rejection_of,
    sample,
    wrong_values,
)

from teamwork_desk import (
    AsyncDesk,
    DeskError,
    NotFoundError,
    RetryPolicy,
    TransportError,
    UnprocessableError,
    ValidationError,
)
from teamwork_desk.testing import FakeDesk

pytestmark = pytest.mark.project

ROOT = Path(__file__).resolve().parents[1]
JUDGES = ROOT / "openapi" / "judges"
CONTRACT: dict[str, Any] = yaml.safe_load((ROOT / "openapi" / "desk.yaml").read_text("utf-8"))
RULESET: dict[str, Any] = yaml.safe_load((JUDGES / "spectral.yaml").read_text("utf-8"))
BAD = (JUDGES / "bad.yaml").read_text("utf-8")


def test_bad_yaml_has_a_fault_for_every_rule_of_ours() -> None:
    assert {rule for _, rule in judge.expected_findings(BAD)} == judge.own_rules(RULESET)


def test_every_rule_of_ours_is_an_error() -> None:
    assert {RULESET["rules"][name]["severity"] for name in judge.own_rules(RULESET)} == {"error"}


def test_the_expected_findings_are_read_from_the_comments() -> None:
    text = "# one two\na: 1 # three four\nb: '#five'\n  # six\nc: 2 # seven\n"
    assert judge.expected_findings(text) == {(2, "three"), (2, "four"), (5, "seven")}


def test_missed_faults_and_wrong_reports_are_named() -> None:
    assert list(judge.misfires({(1, "a")}, {(1, "a")})) == []
    assert list(judge.misfires({(1, "a"), (2, "b")}, {(1, "a"), (3, "a")})) == [
        "bad.yaml, line 2: b misses the fault",
        "bad.yaml, line 3: a reports a fault, but there is none",
    ]


def test_the_packages_are_pinned_without_the_url_of_a_registry() -> None:
    pins: dict[str, str] = json.loads((JUDGES / "package.json").read_text("utf-8"))["dependencies"]
    lock = json.loads((JUDGES / "package-lock.json").read_text("utf-8"))
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in pins.values())
    assert lock["packages"][""]["dependencies"] == pins
    assert not [name for name, package in lock["packages"].items() if "resolved" in package]
    assert all("integrity" in package for name, package in lock["packages"].items() if name)


# The trials for Prism

METHODS_OF_ANOTHER_METHOD = {"convert_many"}
"""They send what another method sends."""


def a_desk(fake: FakeDesk) -> AsyncDesk:
    retry = RetryPolicy(max_attempts=1, settle=())
    return AsyncDesk("https://acme.teamwork.com", token="any", transport=fake.transport, retry=retry)


async def test_there_is_a_trial_for_every_operation_and_every_body_field() -> None:
    async with a_desk(FakeDesk()) as desk:
        tried = {trial.name: trial.rejected_part for trial in operation_trials(CONTRACT, desk)}
    expected: dict[str, str | None] = {}
    for operation in operations_of(CONTRACT):
        expected[operation.name] = None
        for field, schema in body_fields(CONTRACT, operation).items():
            expected[f"{operation.name} with {field}"] = None
            if wrong_values(CONTRACT, schema):
                expected[f"{operation.name} with a wrong {field}"] = f"request/body/{field}"
    assert tried == expected
    assert tried.keys() >= {"listConversations", "convertConversation", "convertConversation with a wrong subject"}


async def test_there_is_a_trial_for_every_method_and_every_field_of_convert() -> None:
    async with a_desk(FakeDesk()) as desk:
        tried = {trial.name.partition(" ")[0] for trial in method_trials(CONTRACT, desk)}
        names = {trial.name for trial in method_trials(CONTRACT, desk)}
        resources = {name: getattr(desk, name) for name in dir(desk) if not name.startswith("_")}
    methods = {
        f"{name}.{method}"
        for name, resource in resources.items()
        if type(resource).__module__.startswith("teamwork_desk.") and not hasattr(resource, "__attrs_attrs__")
        for method in dir(resource)
        if not method.startswith("_") and callable(getattr(resource, method))
    }
    assert {method for method in methods if method.rpartition(".")[2] not in METHODS_OF_ANOTHER_METHOD} == tried
    for field in CONTRACT["components"]["schemas"]["ConvertConversation"]["properties"]:
        assert f"conversations.convert with {field}" in names


def test_a_sample_is_valid_for_its_schema_and_a_wrong_value_is_not() -> None:
    for operation in operations_of(CONTRACT):
        for field, schema in body_fields(CONTRACT, operation).items():
            assert is_valid(sample(CONTRACT, schema), schema), field
            for wrong in wrong_values(CONTRACT, schema):
                assert not is_valid(wrong, schema), field


def is_valid(value: Any, schema: Any) -> bool:
    validator: Any = OAS31Validator({**schema, "components": CONTRACT["components"]})
    return bool(validator.is_valid(value))


THING = {"type": "object", "properties": {"id": {"type": "integer"}, "name": {"type": "string"}}}
TREE = {"type": "object", "properties": {"child": {"$ref": "#/components/schemas/Tree"}}}
SMALL: Any = {"components": {"schemas": {"Thing": THING, "Tree": TREE}}}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string"}, "text"),
        ({"type": ["string", "null"], "format": "date-time"}, "2024-12-19T16:02:34Z"),
        ({"type": ["null", "string"]}, "text"),
        ({"type": "string", "format": "date"}, "2024-12-19"),
        ({"type": "string", "x-extensible-enum": ["html", "markdown"]}, "html"),
        ({"type": "string", "minLength": 6}, "textxx"),
        ({"type": "string", "maxLength": 2}, "te"),
        ({"type": "string", "example": "Jo"}, "Jo"),
        ({"type": "string", "examples": ["Jo"]}, "Jo"),
        ({"const": 7}, 7),
        ({"type": "number"}, 1),
        ({"type": "integer", "minimum": 5}, 5),
        ({"type": "integer", "maximum": 0}, 0),
        ({"type": "boolean"}, True),
        ({"description": "Anything."}, "text"),
        ({"type": "array", "items": {"anyOf": [{"type": "integer"}, {"type": "string"}]}}, [1]),
        ({"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}]}, ["text", 1]),
        ({"type": "array"}, ["text"]),
        ({"oneOf": [{"type": "null"}, {"type": "integer"}]}, 1),
        ({"allOf": [{"$ref": "#/components/schemas/Thing"}]}, {"id": 1}),
        ({"allOf": [{"$ref": "#/components/schemas/Thing"}, {"required": ["name"]}]}, {"name": "text"}),
        ({"$ref": "#/components/schemas/Tree"}, {"child": {"child": {"child": {}}}}),
        ({"type": "object", "additionalProperties": True}, {"any": "text"}),
        ({"type": "object", "additionalProperties": {"$ref": "#/components/schemas/Thing"}}, {"any": {"id": 1}}),
    ],
)
def test_a_sample_of_each_kind_of_schema(schema: Any, value: Any) -> None:
    assert sample(SMALL, schema) == value


@pytest.mark.parametrize(
    ("schema", "values"),
    [
        ({"type": "string"}, [True]),
        ({"type": "boolean"}, ["text"]),
        ({"type": ["boolean", "string"]}, [7]),
        ({"type": ["boolean", "string", "number"]}, [list[Any]()]),
        ({"anyOf": [{"type": "boolean"}, {"$ref": "#/components/schemas/Thing"}]}, ["text"]),
        ({"description": "Anything."}, list[Any]()),
    ],
)
def test_a_wrong_value_of_each_kind_of_schema(schema: Any, values: list[Any]) -> None:
    assert wrong_values(SMALL, schema) == values


@pytest.mark.parametrize(
    ("holder", "example"),
    [
        ({"example": 1, "examples": {"a": {"value": 2}}}, 1),
        ({"examples": {"a": {"value": 2}, "b": {"value": 3}}}, 2),
        ({"examples": [4, 5]}, 4),
        ({"schema": {}}, None),
    ],
)
def test_the_first_example_counts(holder: Any, example: Any) -> None:
    assert example_of(holder) == example


def operation_with(responses: Any) -> Operation:
    return Operation(name="a", address="GET /", function=print, parameters=[], body=None, responses=responses)


def errors(example: Any) -> Any:
    return {"content": {"application/json": {"example": example}}}


@pytest.mark.parametrize(
    ("responses", "rejection"),
    [
        ({"400": errors({"errors": {"a": ["must be set"]}})}, Rejection(400, {"a": ["must be set"]})),
        ({"400": errors([{"id": 1}])}, Rejection(400, None)),
        ({"400": {"description": "Plain."}}, Rejection(400, None)),
        ({"400": {}, "422": {}}, Rejection(422, None)),
        ({"404": {}}, Rejection(422, None)),
    ],
)
def test_the_contract_says_how_a_wrong_request_is_rejected(responses: Any, rejection: Rejection) -> None:
    assert rejection_of(operation_with(responses)) == rejection


@pytest.mark.parametrize(
    ("rejection", "error", "expected"),
    [
        (None, None, True),
        (None, ValidationError("", status_code=400), False),
        (Rejection(400, None), None, False),
        (Rejection(400, None), ValidationError("", status_code=400), True),
        (Rejection(400, {"a": ["b"]}), ValidationError("", status_code=400, errors={"a": ["b"]}), True),
        (Rejection(400, {"a": ["b"]}), ValidationError("", status_code=400), False),
        (Rejection(422, None), ValidationError("", status_code=400), False),
        (Rejection(400, None), TransportError("lost"), False),
    ],
    ids=repr,
)
async def test_a_trial_ends_as_the_contract_says_or_is_a_finding(
    rejection: Rejection | None, error: DeskError | None, *, expected: bool
) -> None:
    async with a_desk(FakeDesk()) as desk:
        trial = evolve(next(iter(operation_trials(CONTRACT, desk))), rejection=rejection)
    assert judge.is_as_expected(trial, error) is expected


def test_the_violations_are_in_a_header_or_in_the_body_of_a_422() -> None:
    header = json.dumps([{"location": ["request", "body", "files", "0"]}, {"location": ["request", "query", "page"]}])
    assert judge.violations_of([header], None) == ["request/body/files", "request/query/page"]
    body = json.dumps({"validation": [{"location": ["body", "text"]}]}).encode()
    error = UnprocessableError("", status_code=422, body=body)
    assert judge.violations_of(["[]"], error) == ["request/body/text"]
    assert judge.violations_of(["[]"], ValidationError("", status_code=400, body=body)) == []


# FakeDesk

ignore_deprecation = pytest.mark.filterwarnings("ignore:email= is deprecated")


@ignore_deprecation
async def test_fake_desk_serves_every_method() -> None:
    async with a_desk(FakeDesk()) as desk:
        assert await judge.missing_methods(CONTRACT, desk) == []


@ignore_deprecation
@pytest.mark.parametrize("missing", [NotFoundError, None])
async def test_what_fake_desk_does_not_serve_is_named(missing: type | None) -> None:
    async def respond(request: httpx.Request) -> httpx.Response:
        is_unknown = missing is not None and request.url.path.endswith("/conversations.json")
        return httpx.Response(404 if is_unknown else 500, json={"errors": {}})

    transport = httpx.MockTransport(respond)
    retry = RetryPolicy(max_attempts=1, on_unknown="raise", settle=())
    async with AsyncDesk("https://acme.teamwork.com", token="any", transport=transport, retry=retry) as desk:
        operations = await judge.missing_operations(CONTRACT, desk)
        methods = await judge.missing_methods(CONTRACT, desk)
    assert operations == (["listConversations"] if missing else [])
    assert any(text.startswith("conversations.list: FakeDesk responds with 404") for text in methods) is bool(missing)


# The filter for schemathesis


def failure(kind: Any) -> Any:
    return kind.__new__(kind)


@pytest.mark.parametrize(
    ("kind", "status", "reasons", "body", "known"),
    [
        (UndefinedStatusCode, 401, None, None, True),
        (UndefinedStatusCode, 404, None, None, True),
        (UndefinedStatusCode, 500, None, None, False),
        (UndefinedStatusCode, 204, None, None, False),
        (RejectedPositiveData, 400, ["must be set", "must be one of ‘a, b’"], None, True),
        (RejectedPositiveData, 400, ["must be a valid email address"], None, True),
        (RejectedPositiveData, 400, ["must be a string"], None, False),
        (RejectedPositiveData, 400, ["must be set", "must be a list"], None, False),
        (RejectedPositiveData, 400, [], None, False),
        (RejectedPositiveData, 422, None, None, False),
        (AcceptedNegativeData, 200, None, {"tags": None}, True),
        (AcceptedNegativeData, 200, None, {"customer": {"id": None}}, True),
        (AcceptedNegativeData, 200, None, {"files": [{"id": 1, "type": None}]}, True),
        (AcceptedNegativeData, 200, None, {"tags": [None]}, False),
        (AcceptedNegativeData, 200, None, {"tags": "a"}, False),
        (AcceptedNegativeData, 200, None, None, False),
        (ValueError, 200, None, None, False),
    ],
)
def test_known_behaviour_of_desk_is_not_a_finding(
    kind: type, status: int, reasons: list[str] | None, body: Any, known: bool
) -> None:
    payload = None if reasons is None else {"errors": {"field": reasons}}
    assert hooks.is_known(failure(kind), status, payload, body) is known


@pytest.mark.parametrize(
    ("query", "known"),
    [
        ({"page": "9" * 19}, True),
        ({"page": 10**18}, True),
        ({"page": "9" * 18}, False),
        ({"page": "x" * 19}, False),
        ({}, False),
    ],
)
def test_a_number_that_is_too_large_for_desk_may_be_rejected(query: dict[str, Any], *, known: bool) -> None:
    payload = {"errors": {"page": ["must be a whole number"]}}
    assert hooks.is_known(failure(RejectedPositiveData), 400, payload, None, query) is known


def test_a_rejection_in_another_shape_is_a_finding() -> None:
    for payload in ({"errors": [{"detail": "must be set"}]}, {"error": "no"}, ["no"], None):
        assert hooks.is_known(failure(RejectedPositiveData), 400, payload, None) is False


@pytest.mark.parametrize(("sent", "is_finding"), [("text/plain", False), (None, False), ("application/json", True)])
def test_plain_text_is_a_finding_only_for_a_request_whose_body_is_json(sent: str | None, *, is_finding: bool) -> None:
    request = SimpleNamespace(headers={"Content-Type": sent} if sent else {})
    response = SimpleNamespace(status_code=400, headers={"content-type": ["text/plain"]}, request=request)
    assert hooks.keep(None, failure(RejectedPositiveData), None, response) is is_finding


# Node


@pytest.mark.parametrize(
    ("version", "enough"), [("v18.0.0", True), ("v20.20.2", True), ("v16.20.0", False), ("v8.1.0", False), ("", False)]
)
def test_a_version_of_node_is_new_enough(version: str, enough: bool) -> None:
    assert judge.is_new_enough(version) is enough


def test_without_node_a_single_line_says_what_to_install() -> None:
    command: list[str | Path] = [sys.executable, JUDGES / "judge.py"]
    run = subprocess.run(command, env={"PATH": ""}, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr.splitlines() == [judge.NEEDS_NODE]
