"""The judges of the contract, without the parts that need Node: `make contract` runs those."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from openapi_schema_validator import OAS31Validator
from schemathesis.core.failures import AcceptedNegativeData
from schemathesis.openapi.checks import RejectedPositiveData, UndefinedStatusCode

from teamwork_desk import AsyncDesk
from teamwork_desk.testing import FakeDesk

ROOT = Path(__file__).resolve().parents[1]
JUDGES = ROOT / "openapi" / "judges"
CONTRACT: dict[str, Any] = yaml.safe_load((ROOT / "openapi" / "desk.yaml").read_text("utf-8"))
RULESET: dict[str, Any] = yaml.safe_load((JUDGES / "spectral.yaml").read_text("utf-8"))
BAD = (JUDGES / "bad.yaml").read_text("utf-8")


def load(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, JUDGES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


judge = load("judge")
hooks = load("hooks")


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


def is_valid(value: Any, schema: Any) -> bool:
    validator: Any = OAS31Validator({**schema, "components": CONTRACT["components"]})
    return bool(validator.is_valid(value))


async def test_there_is_a_trial_for_every_operation_and_every_body_field() -> None:
    async with AsyncDesk("https://acme.teamwork.com", token="any", transport=FakeDesk().transport) as desk:
        tried = {trial.name: trial.rejected_part for trial in judge.trials(CONTRACT, desk)}
        named = {trial.name for trial in judge.named_trials(CONTRACT, desk)}
    fields = list(CONTRACT["components"]["schemas"]["ConvertConversation"]["properties"])
    assert tried == {
        "convertConversation": None,
        "listConversations": None,
        **{f"convertConversation with {field}": None for field in fields},
        **{f"convertConversation with a wrong {field}": f"request/body/{field}" for field in fields},
    }
    assert named == {
        "conversations.convert on an old installation",
        "conversations.get",
        "conversations.list",
        *(f"conversations.convert with {field}" for field in fields),
    }


def test_a_sample_is_valid_for_its_schema_and_a_wrong_value_is_not() -> None:
    (convert,) = [each for each in judge.operations(CONTRACT) if each["operationId"] == "convertConversation"]
    for field, schema in judge.body_fields(CONTRACT, convert):
        wrong = "text" if schema.get("type") == "boolean" else True
        assert is_valid(judge.sample(CONTRACT, schema), schema), field
        assert not is_valid(wrong, schema), field


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string"}, "text"),
        ({"type": ["string", "null"], "format": "date-time"}, "2024-12-19T16:02:34Z"),
        ({"type": "string", "format": "date"}, "2024-12-19"),
        ({"type": "string", "x-extensible-enum": ["html", "markdown"]}, "html"),
        ({"type": "number"}, 1),
        ({"type": "boolean"}, True),
        ({"description": "Anything."}, "text"),
        ({"type": "array", "items": {"anyOf": [{"type": "integer"}, {"type": "string"}]}}, [1]),
        ({"allOf": [{"$ref": "#/components/schemas/Thing"}]}, {"id": 1}),
        ({"type": "object", "additionalProperties": True}, {"any": "text"}),
    ],
)
def test_a_sample_of_each_kind_of_schema(schema: Any, value: Any) -> None:
    thing = {"type": "object", "properties": {"id": {"type": "integer"}, "name": {"type": "string"}}}
    assert judge.sample({"components": {"schemas": {"Thing": thing}}}, schema) == value


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
