"""Turn a contract into what the generator gets: a copy without the parts that it misreads, and facts that it hides.

openapi-python-client shows its templates neither parameters nor extensions as the contract has them. So the templates
import the facts from a file of their own.
"""

from __future__ import annotations

import json
from typing import Any, cast

from contract import (
    Node,
    bare,
    base_path,
    child,
    children,
    formats,
    is_map,
    json_types,
    operations,
    parameters,
    properties,
    required,
    resolve,
    schemas,
    sent_and_read,
    successes,
    without_null,
)
from keywords import SCHEMA_KINDS
from names import PREFIX, argument_names, field_names
from openapi_python_client.strings import ClassName, PythonIdentifier
from structure import walk


def prepare(contract: Node) -> tuple[Node, str]:
    """Return the contract for the generator, and the template with the facts about it."""
    contract = json.loads(json.dumps(contract, default=str))  # a copy, with texts as keys and without shared parts
    for schema in schemas(contract).values():
        _merge_known_values(contract, schema)
    for _, kind, node in walk(contract):
        if type(node) is dict:  # and not true, which additionalProperties may be
            _clean(contract, kind, cast("Node", node))
    facts = {
        "operations": {
            _function(operation): _operation(contract, item, operation) for *_, item, operation in operations(contract)
        },
        "models": _models(contract),
    }
    for *_, operation in operations(contract):
        operation["responses"] = _one_response(contract, operation)
    base = next(map(base_path, children(contract, "servers")), "")
    contract["paths"] = {base + path: item for path, item in child(contract, "paths").items()}
    return contract, "".join(f"{{% set {name} = {value!r} %}}\n" for name, value in facts.items())


def _clean(contract: Node, kind: str, node: Node) -> None:
    """Remove what would change the code or is only for readers, and write down what would be lost."""
    for key in ("contact", "examples", "externalDocs", "license", "variables"):
        node.pop(key, None)
    if kind in SCHEMA_KINDS:
        # A title would replace the schema's name, and the templates omit a missing value instead of sending a default.
        for key in ("title", "default", "example"):
            node.pop(key, None)
        if "x-extensible-enum" in node:
            # The generator copies an example to wherever the schema is used. So it carries the type of the values.
            node["example"] = f"Literal[{', '.join(map(_literal, node['x-extensible-enum']))}]"
    if kind == "parameter" and "$ref" not in node:
        schema = child(node, "schema")
        described = schema.get("description") or node.get("description") or bare(contract, schema).get("description")
        node["description"] = described or node.get("name")
    if node.get("deprecated") is True and "deprecated" not in node.get("description", "").lower():
        node["description"] = f"Deprecated. {node.get('description', '')}".strip()


def _merge_known_values(contract: Node, schema: Node) -> None:
    """Give a property that parts of allOf describe, too, the known values of all of them."""
    for known in properties(contract, schema).values():
        values = [value for one in known for value in children(one, "x-extensible-enum")]
        if "x-extensible-enum" in known[-1]:
            known[-1]["x-extensible-enum"] = [*dict.fromkeys(values)]


def _literal(value: str | int) -> str:
    return json.dumps(value, ensure_ascii=False)


def _function(operation: Node) -> str:
    return str(PythonIdentifier(operation["operationId"], PREFIX))


def _operation(contract: Node, item: Node, operation: Node) -> Node:
    """Return what the templates need to know about an operation."""
    known = parameters(contract, item, operation)
    schema, may_be_empty = _result(contract, operation)
    result, may_be_null = without_null(contract, schema) if schema else ({}, False)
    types = json_types(contract, result) if schema is not None else ["none"]
    is_model = types == ["object"] and not is_map(contract, result)
    arguments = argument_names((one["in"], one["name"]) for one in known)
    return {
        "arguments": {f"{place} {name}": argument for (place, name), argument in arguments.items()},
        "body_required": resolve(contract, operation.get("requestBody")).get("required") is True,
        "descriptions": {f"{one['in']} {one['name']}": one["description"] for one in known},
        # An array in a query has a parameter for each item, unless the contract says otherwise.
        "repeated": [
            one["name"]
            for one in known
            if one["in"] == "query" and one.get("explode", True) and json_types(contract, one["schema"]) == ["array"]
        ],
        "result": "model" if is_model else types[0],
        "dates": [f"{one['in']} {one['name']}" for one in known if "date" in formats(contract, one["schema"])],
        "optional": (may_be_empty or may_be_null) and types[0] not in ("any", "none"),
        "envelope": bare(contract, result).get("x-envelope", "") if is_model else "",
    }


def _result(contract: Node, operation: Node) -> tuple[Node | None, bool]:
    """Return the schema of an operation's result, None if there is none, and whether a response may have no content."""
    contents = [child(response, "content") for _, response in successes(contract, operation)]
    found = [child(media, "schema") for content in contents for media in content.values()]
    return (found[0] if found else None), len(found) < len(contents)


def _one_response(contract: Node, operation: Node) -> Node:
    """Return the only response that the generator has to know: the client turns all others into errors."""
    schema, _ = _result(contract, operation)
    if schema is None:
        return {"204": {"description": "No content."}}
    result, _ = without_null(contract, schema)
    return {"200": {"description": "The result.", "content": {"application/json": {"schema": result}}}}


def _models(contract: Node) -> dict[str, Node]:
    """Return what the templates need to know about each model."""
    sent, read = sent_and_read(contract)
    return {
        str(ClassName(name, PREFIX)): {
            "is_sent": name in sent,
            "has_other_dates": "date" in formats(contract, schema.get("additionalProperties")),
            "required": sorted(required(contract, schema)) if name in sent - read else [],
            "properties": {
                key: {"name": field, **_property(contract, properties(contract, schema)[key])}
                for key, field in field_names(properties(contract, schema), schemas(contract)).items()
            },
        }
        for name, schema in schemas(contract).items()
    }


def _property(contract: Node, known: list[Node]) -> dict[str, Any]:
    """Return what the templates need to know about a property, of which each part of allOf may say something."""
    descriptions = [one["description"] for one in known if "description" in one]
    referred = [bare(contract, one).get("description", "") for one in known]
    return {
        "description": (descriptions or [one for one in referred if one] or [""])[-1],
        "is_secret": any(one.get("x-secret") for one in known),
        "has_dates": any("date" in formats(contract, one) for one in known),
        "may_be_null": any({"null", "any"} & {*json_types(contract, one)} for one in known),
    }
