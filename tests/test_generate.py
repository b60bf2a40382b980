"""The generator: the package that it writes for a difficult contract, and the contracts that it rejects.

tests/hard_spec/golden is the package of hard.yaml. After a change of the templates, regenerate it and read the diff:

    python openapi/generate.py --contract tests/hard_spec/hard.yaml --package tests/hard_spec/golden/hard_api
"""

from __future__ import annotations

import copy
import datetime
import importlib
import importlib.util
import json
import shutil
import subprocess
import sys
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml
from openapi_spec_validator import OpenAPIV31SpecValidator

ROOT = Path(__file__).resolve().parents[1]
HARD = ROOT / "tests" / "hard_spec" / "hard.yaml"
GOLDEN = ROOT / "tests" / "hard_spec" / "golden" / "hard_api"


def load_generate() -> Any:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "openapi" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


generate = load_generate()


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
        tree.to_dict()


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
        f"/shelves/a%2Fb%20c/books/7/{KEY}?target=2024-12-19T16%3A02%3A34%2B00%3A00&filter=true&path-segment=1%2C2"
    )
    assert request.decode({"id": 1, "title": "t"}, Drift()) == hard.Novel(id=1, title="t")


def test_a_property_required_through_all_of_is_required(hard: Any) -> None:
    request = operation(hard, "books", "replace_book")("a", "b", KEY, body=hard.Names(), filter=False)
    with pytest.raises(ValueError, match="the response has no usable 'id'"):
        request.decode({"title": "t"}, Drift())


def test_an_envelope_with_quotes_in_its_name_is_removed(hard: Any) -> None:
    request = operation(hard, "search_and_rescue", "target")(body_=1.5)
    assert request.target == "/search?body=1.5"
    assert request.decode({'kinds "all"': {"integer": 1}}, Drift()) == hard.Kinds(integer=1)


@pytest.mark.parametrize("payload", [None, {}, "text"])
def test_an_operation_without_content_ignores_the_response_body(hard: Any, payload: Any) -> None:
    request = operation(hard, "default", "list_")()
    assert (request.method, request.target, request.body) == ("DELETE", "/search", None)
    assert request.decode(payload, Drift()) is None


# Contracts that are rejected

SMALL: dict[str, Any] = yaml.safe_load("""
openapi: 3.1.0
info: { title: Small, version: "1" }
paths:
  /things/{id}:
    get:
      operationId: getThing
      summary: Gets
      security: []
      parameters: [{ name: id, in: path, required: true, schema: { type: integer } }]
      responses:
        "200":
          description: The thing.
          content: { application/json: { schema: { $ref: "#/components/schemas/Thing" } } }
components:
  schemas:
    Thing: { type: object, properties: { id: { type: integer } } }
    Other: { type: object, properties: { id: { type: integer } } }
""")

GET = ("paths", "/things/{id}", "get")
SCHEMAS = ("components", "schemas")
KIND = (*SCHEMAS, "Thing", "properties", "kind")
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
    if path[-1] == "parameters":
        node["parameters"].append(value)
    else:
        node[path[-1]] = value
    return whole


def rejection(scratch: Path, document: dict[str, Any]) -> str:
    """The reason why the generator rejects a contract, or "accepted"."""
    scratch.mkdir()
    (scratch / "contract.yaml").write_text(json.dumps(document), "utf-8")
    try:
        generate.generate(scratch / "contract.yaml", scratch / "package")
    except SystemExit as error:
        return str(error)
    return "accepted"


BROKEN_RULES: dict[str, tuple[tuple[str, ...], Any, str]] = {
    "closed enum": (KIND, {"type": "string", "enum": ["a"]}, "Thing/properties/kind: a closed enum"),
    "closed enum called enum": (
        (*SCHEMAS, "Thing", "properties", "enum"),
        {"type": "string", "enum": ["a"]},
        "properties/enum: a closed enum",
    ),
    "closed enum in properties": (
        (*SCHEMAS, "Thing", "properties", "properties"),
        {"type": "string", "enum": ["a"]},
        "properties/properties: a closed enum",
    ),
    "inline object": (KIND, {"type": "object"}, "Thing/properties/kind: inline object"),
    "inline object that may be null": (KIND, {"type": ["object", "null"]}, "kind: inline object"),
    "inline object without a type": (KIND, {"properties": {}}, "Thing/properties/kind: inline object"),
    "inline object in an array": (KIND, {"type": "array", "items": ITEMS}, "kind/items: inline object"),
    "inline object in a response": (
        (*GET, "responses", "200"),
        json_content(ITEMS),
        "responses/200/content/application/json/schema: inline object",
    ),
    "properties beside a $ref": (
        KIND,
        {**OTHER, "description": "d"},
        "Thing/properties/kind: properties beside a $ref",
    ),
    "alias": ((*SCHEMAS, "Alias"), {"allOf": [OTHER], "x-envelope": "e"}, "schemas/Alias: alias"),
    "properties beside anyOf": (
        (*SCHEMAS, "Both"),
        {"anyOf": [OTHER, {"type": "string"}], "properties": {}},
        "schemas/Both: properties beside anyOf",
    ),
    "secret that is not a property": (
        (*SCHEMAS, "Pin"),
        {"type": "string", "x-secret": True},
        "schemas/Pin: x-secret has an effect only on a property",
    ),
    "secret items": (
        KIND,
        {"type": "array", "items": {"type": "string", "x-secret": True}},
        "kind/items: x-secret has an effect only on a property",
    ),
    "array in a query that is not explode false": (
        (*GET, "parameters"),
        {"name": "ids", "in": "query", "schema": {"type": "array", "items": {"type": "integer"}}},
        "get/parameters/1: an array in a query",
    ),
    "parameter without a schema": (
        (*GET, "parameters"),
        {"name": "filter", "in": "query", "content": {"application/json": {"schema": {}}}},
        "get/parameters/1: a parameter without a schema",
    ),
    "parameter with a style": (
        (*GET, "parameters"),
        {"name": "q", "in": "query", "style": "form", "schema": {"type": "string"}},
        "get/parameters/1: the style of a parameter",
    ),
    "operation without a name": (
        ("paths", "/other"),
        {"get": {"summary": "s", "security": [], "responses": {"204": {"description": "d"}}}},
        "paths//other/get: an operation needs operationId",
    ),
    "operation without security": (
        ("paths", "/other"),
        {"get": {"operationId": "other", "summary": "s", "responses": {"204": {"description": "d"}}}},
        "paths//other/get: an operation needs security",
    ),
}


@pytest.mark.parametrize("name", BROKEN_RULES)
def test_a_contract_that_breaks_a_rule_is_rejected(name: str, tmp_path: Path) -> None:
    path, value, message = BROKEN_RULES[name]
    assert message in rejection(tmp_path / "scratch", contract(path, value))


def test_all_broken_rules_are_reported_together() -> None:
    document = contract(KIND, {"type": "object"})
    document["paths"]["/things/{id}"]["get"].pop("operationId")
    assert generate.lint(document) == [
        "paths//things/{id}/get: an operation needs operationId",
        "components/schemas/Thing/properties/kind: inline object: make it a named component",
    ]


def test_examples_are_not_checked_as_schemas() -> None:
    assert generate.lint(contract(KIND, {"example": {"enum": ["a"], "type": "object", "$ref": "#"}})) == []


UNSUPPORTED: dict[str, tuple[tuple[str, ...], Any, str]] = {
    "const": (KIND, {"const": "a"}, "ConstProperty at Thing.kind"),
    "binary": (KIND, {"type": "string", "format": "binary"}, "FileProperty at Thing.kind"),
    "two models": (
        KIND,
        {"anyOf": [OTHER, {"$ref": "#/components/schemas/Thing"}]},
        "ambiguous union at Thing.kind",
    ),
    "string or moment": (
        KIND,
        {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "string", "format": "date-time"}]}},
        "ambiguous union at Thing.kind",
    ),
    "integer or number": (KIND, {"type": ["integer", "number"]}, "ambiguous union at Thing.kind"),
    "anything or string": (KIND, {"anyOf": [{}, {"type": "string"}]}, "AnyProperty in a union at Thing.kind"),
    "map that contains itself": (
        (*SCHEMAS, "Kids"),
        {"type": "object", "additionalProperties": {"$ref": "#/components/schemas/Kids"}},
        "map that contains itself at Thing.kids",
    ),
    "closed object": (
        (*SCHEMAS, "Closed"),
        {**ITEMS, "additionalProperties": False},
        "additionalProperties: false at Closed",
    ),
    "allOf of a titled schema": (
        (*SCHEMAS, "Heir"),
        {"allOf": [{"$ref": "#/components/schemas/Titled"}, {"properties": {"b": {"type": "string"}}}]},
        "allOf of an alias or a titled schema at Titled",
    ),
    "name in use": ((*SCHEMAS, "Mapping"), ITEMS, "the schema name at Mapping"),
    "one module for two schemas": ((*SCHEMAS, "HTTPOther"), ITEMS, "one module for two schemas at HTTPOther"),
    "one function for two operations": (
        ("paths", "/other"),
        {
            "get": {
                "operationId": "get_thing",
                "summary": "s",
                "security": [],
                "responses": {"204": {"description": "d"}},
            }
        },
        "one function name for two operations at get_thing",
    ),
    "multipart body": (
        (*GET, "requestBody"),
        {"content": {"multipart/form-data": {"schema": OTHER}}},
        "multipart body at Other",
    ),
    "body that is not JSON": (
        (*GET, "requestBody"),
        {"content": {"application/x-www-form-urlencoded": {"schema": OTHER}}},
        "body that is not JSON at get_thing",
    ),
    "body without a model": (
        (*GET, "requestBody"),
        {"content": {"application/json": {"schema": {"type": "array", "items": OTHER}}}},
        "body without a model at get_thing",
    ),
    "header parameter": (
        (*GET, "parameters"),
        {"name": "X-Tenant", "in": "header", "schema": {"type": "string"}},
        "header parameter at get_thing",
    ),
    "cookie parameter": (
        (*GET, "parameters"),
        {"name": "tenant", "in": "cookie", "schema": {"type": "string"}},
        "cookie parameter at get_thing",
    ),
    "object in a query": (
        (*GET, "parameters"),
        {"name": "filter", "in": "query", "schema": OTHER},
        "a parameter that is not a scalar or a list of scalars at get_thing.filter",
    ),
    "default response": (
        (*GET, "responses", "default"),
        {"description": "Whatever."},
        "default response at get_thing",
    ),
    "array as a response": (
        (*GET, "responses", "200"),
        json_content({"type": "array", "items": OTHER}),
        "a 2xx response that is not one model at get_thing",
    ),
    "anything as a response": (
        (*GET, "responses", "200"),
        json_content({}),
        "a 2xx response that is not one model at get_thing",
    ),
    "two responses": (
        (*GET, "responses", "202"),
        json_content(OTHER),
        "a 2xx response that is not one model at get_thing",
    ),
    "reference to nowhere": (KIND, {"$ref": "#/components/schemas/Nowhere"}, '"$ref": "#/components/schemas/Nowhere"'),
}

COMPANIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "map that contains itself": (
        "Thing",
        {"type": "object", "properties": {"kids": {"$ref": "#/components/schemas/Kids"}}},
    ),
    "allOf of a titled schema": ("Titled", {**ITEMS, "title": "Else"}),
    "one module for two schemas": ("HttpOther", ITEMS),
}
"""The additional schema that some cases need."""


@pytest.fixture(scope="module")
def rejections(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The reason for rejecting each unsupported contract. They run in parallel, because each takes about a second."""
    scratch = tmp_path_factory.mktemp("rejections")

    def reject(name: str) -> str:
        path, value, _ = UNSUPPORTED[name]
        document = contract(path, value)
        document["components"]["schemas"].update([COMPANIONS[name]] if name in COMPANIONS else [])
        return rejection(scratch / name, document)

    with ThreadPoolExecutor() as pool:
        return dict(zip(UNSUPPORTED, pool.map(reject, UNSUPPORTED), strict=True))


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_an_unsupported_construct_is_rejected_with_its_place(name: str, rejections: dict[str, str]) -> None:
    message = UNSUPPORTED[name][2]
    if name == "reference to nowhere":  # The generator finds this error itself, and its message contains more.
        assert message in rejections[name]
    else:
        assert rejections[name] == message


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


@pytest.mark.parametrize("case", [BROKEN_RULES["closed enum"], UNSUPPORTED["const"]], ids=["lint", "template"])
def test_a_failed_generation_does_not_change_the_package(
    case: tuple[tuple[str, ...], Any, str], package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, value, message = case
    faulty = tmp_path / "faulty.yaml"
    faulty.write_text(json.dumps(contract(path, value)), "utf-8")
    with pytest.raises(SystemExit, match=message):
        run_main(monkeypatch, package, contract=faulty)
    assert generate.differences(package, GOLDEN) == []
