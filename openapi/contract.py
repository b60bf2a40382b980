"""Read a contract, and look things up in it: references, JSON types and the properties of a model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias, cast

import yaml

Node: TypeAlias = dict[str, Any]
Json: TypeAlias = "Node | list[Any] | str | int | float | bool | None"

METHODS = ("get", "put", "post", "delete", "patch")
ANNOTATIONS = frozenset(
    {"title", "description", "$comment", "default", "deprecated", "example", "examples", "externalDocs", "x-secret"}
)
"""The keywords that may stand beside allOf, anyOf or oneOf, because they do not describe the value's type."""


class ContractError(ValueError):
    """A contract that cannot be read or used. The message is a line for each fault."""


class _Loader(yaml.SafeLoader):
    """A loader that rejects duplicate keys, of which YAML would silently keep the last."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.value in seen and key_node.tag != "tag:yaml.org,2002:merge":
                raise yaml.constructor.ConstructorError(
                    None, None, f"duplicate key {key_node.value!r}", key_node.start_mark
                )
            if isinstance(key_node.value, str):
                seen.add(key_node.value)
        return node


def load(path: Path) -> Node:
    """Read a contract.

    Raises:
        ContractError: The file cannot be read, or it is not a YAML object.
    """
    try:
        contract = yaml.load(path.read_text("utf-8"), _Loader)  # noqa: S506 - a subclass of the safe loader
        # It refuses an object that contains itself, and a text with half of a surrogate pair.
        json.dumps(contract, default=str, ensure_ascii=False).encode()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{path.name}:{mark.line + 1}:{mark.column + 1}" if mark else path.name
        reason = f"{place}: {error.problem}"
    except (yaml.YAMLError, RecursionError, TypeError, ValueError) as error:
        reason = f"{path.name}: {' '.join(str(error).split())}"
    except OSError as error:
        reason = f"{path}: {error.strerror}"
    else:
        if type(contract) is dict:
            return cast("Node", contract)
        reason = f"{path.name}: a contract is a YAML object"
    raise ContractError(reason)


def operations(contract: Node) -> Iterator[tuple[str, str, Node, Node]]:
    """Yield every operation, as its path, method, path item and itself."""
    for path, item in objects(contract.get("paths")):
        for method in METHODS:
            if method in item:
                yield path, method, item, child(item, method)


def base_path(server: Node) -> str:
    """Return the path of a server's URL, which comes before the path of every operation."""
    _, scheme, rest = str(server.get("url", "")).rpartition("://")
    return ("/" + rest.partition("/")[2] if scheme else rest).rstrip("/")


def objects(node: Any) -> Iterator[tuple[str, Node]]:
    """Yield the objects among the values of an object, with their keys."""
    if type(node) is dict:
        for key, entry in cast("Node", node).items():
            if type(entry) is dict:
                yield str(key), cast("Node", entry)


def child(node: Node, *keys: str) -> Node:
    """Return the object at a path of keys; an empty object if it is missing."""
    for key in keys:
        found = node.get(key)
        node = cast("Node", found) if type(found) is dict else {}
    return node


def children(node: Node, key: str) -> list[Any]:
    """Return the list at a key; an empty list if it is missing."""
    found: list[Any] | None = node.get(key)
    return found if type(found) is list else []


def schemas(contract: Node) -> Node:
    """Return the named schemas."""
    return child(contract, "components", "schemas")


def parameters(contract: Node, item: Node, operation: Node) -> list[Node]:
    """Return the parameters of an operation: its own, and those of its path that it does not replace."""
    found: dict[tuple[Any, Any], Node] = {}
    for parameter in [*children(item, "parameters"), *children(operation, "parameters")]:
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
    members = [member for key in ("allOf", "anyOf", "oneOf") for member in children(schema, key)]
    is_wrapper = (
        len(members) == 1 and "$ref" in members[0] and not schema.keys() - ANNOTATIONS - {"allOf", "anyOf", "oneOf"}
    )
    return members[0] if is_wrapper else None


def own_types(schema: Node) -> list[str]:
    """Return the JSON types that a schema names itself."""
    return [schema["type"]] if type(schema.get("type")) is str else children(schema, "type")


def json_types(contract: Node, schema: Any) -> list[str]:
    """Return the JSON types of a schema's values. A schema that allows every type has the type "any"."""
    schema = bare(contract, schema)
    members = [*children(schema, "anyOf"), *children(schema, "oneOf")]
    if members:
        return [found for member in members for found in json_types(contract, member)]
    if "type" in schema:
        return own_types(schema)
    return ["object"] if "properties" in schema or "allOf" in schema else ["any"]


def without_null(contract: Node, schema: Any) -> tuple[Node, bool]:
    """Return a schema without its null, and whether it had one."""
    found = bare(contract, schema)
    if "null" not in json_types(contract, found):
        return cast("Node", schema), False
    if type(found.get("type")) is list:
        types = [kind for kind in own_types(found) if kind != "null"]
        return {**found, "type": types[0] if len(types) == 1 else types}, True
    key = "anyOf" if "anyOf" in found else "oneOf"
    members = [member for member in children(found, key) if json_types(contract, member) != ["null"]]
    return members[0] if len(members) == 1 else {**found, key: members}, True


def properties(contract: Node, schema: Any) -> dict[str, list[Node]]:
    """Return the properties of a model. A property has several schemas if parts of allOf describe it, too."""
    found: dict[str, list[Node]] = {}
    schema = resolve(contract, schema)
    for part in children(schema, "allOf"):
        for name, known in properties(contract, part).items():
            found.setdefault(name, []).extend(known)
    for name, own in child(schema, "properties").items():
        found.setdefault(str(name), []).append(own)
    return found


def required(contract: Node, schema: Any) -> set[str]:
    """Return the names of the properties that a model requires, also through allOf."""
    schema = resolve(contract, schema)
    names: set[str] = {*children(schema, "required")}
    return names.union(*(required(contract, part) for part in children(schema, "allOf")))


def is_map(contract: Node, schema: Any) -> bool:
    """Return whether a schema is an object whose keys are data."""
    found = bare(contract, schema)
    return json_types(contract, found) == ["object"] and not properties(contract, found)


def formats(contract: Node, schema: Any) -> set[str]:
    """Return the formats of a value, and of the values in its arrays, maps and unions, but not those in models."""
    found = bare(contract, schema)
    if properties(contract, found):
        return set()
    inner = [found[key] for key in ("items", "additionalProperties") if key in found]
    inner += [member for key in ("anyOf", "oneOf") for member in children(found, key)]
    own = {found["format"]} if "format" in found and "string" in own_types(found) else set[str]()
    return own.union(*(formats(contract, one) for one in inner))


def sent_and_read(contract: Node) -> tuple[set[str], set[str]]:
    """Return the names of the schemas that requests use, and of those that responses use."""
    sent: set[str] = set()
    read: set[str] = set()
    for _, _, _, operation in operations(contract):
        _collect(contract, operation.get("requestBody"), sent)
        _collect(contract, operation.get("responses"), read)
    return sent, read


def _collect(contract: Node, node: Json, names: set[str]) -> None:
    """Add the names of the schemas that a node refers to, directly or not."""
    if isinstance(node, list):
        for entry in node:
            _collect(contract, entry, names)
    elif isinstance(node, dict):
        ref = node.get("$ref")
        if type(ref) is str and ref.startswith("#/components/"):
            name = ref.rpartition("/")[2]
            is_schema = ref.startswith("#/components/schemas/")
            if not is_schema or name not in names:
                names.update([name] if is_schema else [])
                _collect(contract, target(contract, ref), names)
        for key, entry in node.items():
            if key == "properties":  # a property may be called `example`
                _collect(contract, [*child(node, key).values()], names)
            elif key not in ("example", "examples", "default"):
                _collect(contract, entry, names)


def successes(contract: Node, operation: Node) -> list[tuple[str, Node]]:
    """Return the 2xx responses of an operation, with their statuses."""
    responses = child(operation, "responses").items()
    return [(str(status), resolve(contract, node)) for status, node in responses if str(status)[:1] == "2"]
