"""Look things up in a contract: references, JSON types and the properties of a model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias, cast

Node: TypeAlias = dict[str, Any]

METHODS = ("get", "put", "post", "delete", "patch")
ANNOTATIONS = frozenset(
    {"title", "description", "$comment", "default", "deprecated", "example", "examples", "externalDocs", "x-secret"}
)
"""The keywords of a schema that may stand beside allOf, anyOf or oneOf: they do not describe its type."""


def operations(contract: Node) -> Iterator[tuple[str, str, Node, Node]]:
    """Yield every operation, as its path, method, path item and itself."""
    for path, item in objects(contract.get("paths")):
        for method in METHODS:
            for name, operation in objects({method: item.get(method)}):
                yield path, name, item, operation


def objects(node: Any) -> Iterator[tuple[str, Node]]:
    """Yield the objects among the values of an object, with their keys."""
    if type(node) is dict:
        for key, child in cast("Node", node).items():
            if type(child) is dict:
                yield str(key), cast("Node", child)


def schemas(contract: Node) -> Node:
    """Return the named schemas."""
    components: Node = contract.get("components") or {}
    return components.get("schemas") or {}


def parameters(contract: Node, item: Node, operation: Node) -> list[Node]:
    """Return the parameters of an operation: its own, and those of its path that it does not replace."""
    found: dict[tuple[Any, Any], Node] = {}
    for parameter in [*item.get("parameters", []), *operation.get("parameters", [])]:
        parameter = resolve(contract, parameter)  # noqa: PLW2901
        found[parameter.get("in"), parameter.get("name")] = parameter
    return [*found.values()]


def resolve(contract: Node, node: Any) -> Node:
    """Follow the references of a node to the end. A reference that leads nowhere becomes an empty object."""
    for _ in range(100):
        if type(node) is not dict:
            return {}
        if "$ref" not in node:
            return cast("Node", node)
        node = target(contract, node["$ref"])
    return {}


def target(contract: Node, ref: Any) -> Any:
    """Return what a reference leads to, or None."""
    node: Any = contract
    for key in str(ref).removeprefix("#/").split("/"):
        node = cast("Node", node).get(key) if type(node) is dict else None
    return node


def bare(contract: Node, schema: Any) -> Node:
    """Follow the references of a schema to the end, also those that are wrapped in order to describe them."""
    for _ in range(100):
        schema = resolve(contract, schema)
        inner = wrapped(schema)
        if inner is None:
            return cast("Node", schema)
        schema = inner
    return {}


def wrapped(schema: Node) -> Node | None:
    """Return the reference that a schema only describes, or None if the schema is more than a wrapper."""
    members = [member for key in ("allOf", "anyOf", "oneOf") for member in schema.get(key) or ()]
    is_wrapper = (
        len(members) == 1 and "$ref" in members[0] and not schema.keys() - ANNOTATIONS - {"allOf", "anyOf", "oneOf"}
    )
    return members[0] if is_wrapper else None


def json_types(contract: Node, schema: Any) -> list[str]:
    """Return the JSON types of a schema's values. A schema that allows every type has the type "any"."""
    schema = bare(contract, schema)
    members = [*(schema.get("anyOf") or ()), *(schema.get("oneOf") or ())]
    if members:
        return [found for member in members for found in json_types(contract, member)]
    if "type" in schema:
        return [*schema["type"]] if type(schema["type"]) is list else [schema["type"]]
    return ["object"] if "properties" in schema or "allOf" in schema else ["any"]


def properties(contract: Node, schema: Any) -> dict[str, list[Node]]:
    """Return the properties of a model. A property has several schemas if parts of allOf describe it, too."""
    found: dict[str, list[Node]] = {}
    schema = resolve(contract, schema)
    for part in schema.get("allOf") or ():
        for name, known in properties(contract, part).items():
            found.setdefault(name, []).extend(known)
    for name, own in objects(schema.get("properties")):
        found.setdefault(str(name), []).append(own)
    return found


def required(contract: Node, schema: Any) -> set[str]:
    """Return the names of the properties that a model requires, also through allOf."""
    schema = resolve(contract, schema)
    return {*(schema.get("required") or ())}.union(*(required(contract, part) for part in schema.get("allOf") or ()))
