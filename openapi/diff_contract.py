"""Flatten a contract into facts that can be compared.

References to everything but objects are followed first, and so are the parts of allOf: callers do not see whether a
parameter or a text has a name of its own in the contract, or which part of a model a property comes from. A named
object is compared by its name, because it is a class or an alias in Python.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, cast

from attrs import evolve
from contract import (
    Node,
    bare,
    base_path,
    child,
    children,
    json_types,
    objects,
    operations,
    parameters,
    properties,
    required,
    resolve,
    schemas,
)
from diff_rules import ANYBODY, CALLED, NOTHING, Fact, Name

LIMITS = (
    "maximum",
    "minimum",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "maxLength",
    "minLength",
    "maxItems",
    "minItems",
    "maxProperties",
    "minProperties",
    "multipleOf",
    "pattern",
    "uniqueItems",
)


def facts(contract: Node) -> dict[Name, Fact]:
    """Flatten a contract into a fact for each name in it, such as `listThings(page)` or `Thing.id`."""
    found: dict[Name, Fact] = {}
    results: set[str] = set()
    base = next(map(base_path, children(contract, "servers")), "")
    for path, method, item, operation in operations(contract):
        name = Name(operation["operationId"], is_operation=True)
        found[name] = Fact(
            types=frozenset({f"{method.upper()} {base}{path}"}),
            ways=CALLED,
            deprecated=operation.get("deprecated", False),
            security=_security(contract, operation),
        )
        for parameter in parameters(contract, item, operation):
            schema = _expanded(contract, parameter.get("schema", _json_schema(parameter)))
            fact = _fact([schema], {"sent"}, parameter)
            key = evolve(name, part=f"({parameter['name']})", place=_place(parameter))
            found[key] = evolve(fact, wire=_wire(contract, parameter, schema))
        if "requestBody" in operation:
            body = resolve(contract, operation["requestBody"])
            found[evolve(name, part=" body")] = evolve(_fact([], {"sent"}, body), types=_content_types(contract, body))
        for status, response in _responses(contract, operation):
            # An error becomes an exception, and callers get the result of every success in the same way.
            types = NOTHING if _is_success(status) else _content_types(contract, response)
            found[evolve(name, part=f" -> {status}")] = Fact(types=types, ways=NOTHING)
        successes = [response for status, response in _responses(contract, operation) if _is_success(status)]
        result = frozenset[str]().union(*(_content_types(contract, response) for response in successes))
        found[evolve(name, part=" result")] = Fact(types=result, ways=frozenset({"read"}))
        results |= result
    ways_of = schema_ways(contract)
    for schema_name, schema in schemas(contract).items():
        if json_types(contract, schema) == ["object"]:
            # The SDK removes the envelope of a whole response, and of nothing else.
            envelope = schema.get("x-envelope", "") if schema_name in results else None
            name = Name(schema_name, is_operation=False)
            found.update(_object_facts(contract, name, schema, ways_of.get(schema_name, NOTHING), envelope))
    return found


def _object_facts(
    contract: Node, name: Name, schema: Node, ways: frozenset[str], envelope: str | None
) -> Iterator[tuple[Name, Fact]]:
    """Yield the facts of a named object: its own, those of its properties, and that of its other values."""
    is_deprecated = schema.get("deprecated", False)
    limits = frozenset(_limits(schema))
    yield (
        name,
        Fact(types=frozenset({"object"}), ways=ways, deprecated=is_deprecated, envelope=envelope, limits=limits),
    )
    names = required(contract, schema)
    for field, described in properties(contract, schema).items():
        yield (
            evolve(name, part=f".{field}"),
            _fact([_expanded(contract, one) for one in described], ways, {"required": field in names}),
        )
    # Every object has other values, of any type unless the contract says otherwise.
    yield evolve(name, part=" values"), _fact([_expanded(contract, schema.get("additionalProperties"))], ways, {})


def schema_ways(contract: Node) -> dict[str, frozenset[str]]:
    """Return for each schema whether callers send it, read it, or both. Errors are not read: they become exceptions."""
    found: dict[str, frozenset[str]] = {}
    for _, _, item, operation in operations(contract):
        sent: list[Any] = [parameters(contract, item, operation), operation.get("requestBody")]
        read = [response for status, response in _responses(contract, operation) if _is_success(status)]
        _mark_schemas(contract, sent, frozenset({"sent"}), found)
        _mark_schemas(contract, read, frozenset({"read"}), found)
    prefix = "#/components/schemas/"
    return {ref.removeprefix(prefix): ways for ref, ways in found.items() if ref.startswith(prefix)}


def _responses(contract: Node, operation: Node) -> Iterator[tuple[str, Node]]:
    for status, response in operation.get("responses", {}).items():
        yield str(status), resolve(contract, response)


def _is_success(status: str) -> bool:
    return status.startswith("2")


def _mark_schemas(contract: Node, node: Any, ways: frozenset[str], found: dict[str, frozenset[str]]) -> None:
    """Add the ways to every reference in a part of the contract, and to those in the components that it leads to."""
    if isinstance(node, list):
        for part in cast("Any", node):
            _mark_schemas(contract, part, ways, found)
    elif isinstance(node, dict):
        for key, part in cast("dict[str, Any]", node).items():
            if key == "$ref":
                # A component that already has these ways is not visited again, so a circle of schemas ends.
                if not ways <= found.get(part, NOTHING):
                    found[part] = found.get(part, NOTHING) | ways
                    _mark_schemas(contract, resolve(contract, node), ways, found)
            elif key == "properties":
                _mark_schemas(contract, [*part.values()], ways, found)  # A property may be called "example".
            elif key not in ("default", "example", "examples"):
                _mark_schemas(contract, part, ways, found)


def _security(contract: Node, operation: Node) -> frozenset[str]:
    """Describe what each alternative of an operation's security asks for. Callers do not see the names of schemes."""
    schemes = child(contract, "components", "securitySchemes")
    found: set[str] = set()
    for alternative in children({**contract, **operation}, "security"):
        tokens = [
            " ".join([str(schemes.get(name, {}).get("scheme", name)), "token", *(f"for {scope}" for scope in scopes)])
            for name, scopes in alternative.items()
        ]
        found.add(" and ".join(sorted(tokens)) or ANYBODY)
    return frozenset(found or {ANYBODY})


def _wire(contract: Node, parameter: Node, schema: Any) -> str:
    """Describe how a parameter is sent, with the defaults of OpenAPI."""
    place = _place(parameter)
    style = parameter.get("style", "form" if place in ("query", "cookie") else "simple")
    if {"array", "object"} & set(json_types(contract, schema)):
        parts = "one by one" if parameter.get("explode", style == "form") else "together"
        return f"in the {place} as {style}, its parts {parts}"
    return f"in the {place} as {style}"


def _place(parameter: Node) -> str:
    return str(parameter.get("in", "query"))


def _json_schema(part: Node) -> Any:
    """Return the schema of the JSON content of a part; every value is allowed if it has none."""
    return next((media.get("schema") for kind, media in objects(part.get("content")) if _is_json(kind)), None)


def _content_types(contract: Node, part: Node) -> frozenset[str]:
    """Return the types of a body or of a response. Content that is not JSON has its media type as its type."""
    types = [
        _types(_expanded(contract, media.get("schema", {}))) if _is_json(kind) else frozenset({kind})
        for kind, media in objects(part.get("content"))
    ]
    return frozenset[str]().union(*types) or frozenset({"nothing"})


def _is_json(media_type: str) -> bool:
    return media_type.partition(";")[0].strip().endswith(("/json", "+json"))


def _expanded(contract: Node, schema: Any) -> Any:
    """Return a schema in which only references to named objects are left."""
    if not isinstance(schema, dict):
        return schema
    node = cast("Node", schema)
    if "$ref" in node:
        found = bare(contract, node)
        return node if json_types(contract, found) == ["object"] else _expanded(contract, found)
    result = {**node}
    for key in ("items", "additionalProperties"):
        if key in node:
            result[key] = _expanded(contract, node[key])
    for key in ("allOf", "anyOf", "oneOf", "prefixItems"):
        if key in node:
            result[key] = [_expanded(contract, part) for part in children(node, key)]
    return result


def _fact(described: list[Any], ways: Iterable[str], holder: Node) -> Fact:
    """Return the fact of a value, of which each part of allOf may say something."""
    schema = _object(described[0] if len(described) == 1 else {"allOf": described})
    types = _types(schema)
    parts = [*_parts(schema)]
    own = [part for where, part in parts if not where]
    return Fact(
        types=types - {"null"},
        ways=frozenset(ways),
        required=holder.get("required", False),
        nullable="null" in types,
        deprecated=any(part.get("deprecated") for part in (holder, *own)),
        values=frozenset(str(value) for _, part in parts for value in part.get("x-extensible-enum", ())),
        limits=frozenset(limit for where, part in parts for limit in _limits(part, where)),
        secret=any(part.get("x-secret") is True for part in own),
    )


def _limits(schema: Node, where: str = "") -> Iterator[tuple[str, float | str]]:
    """Yield the limits of a schema, but not those of the schemas in it. A limit that is false has no effect."""
    yield from ((where + limit, schema[limit]) for limit in LIMITS if schema.get(limit, False) is not False)
    for name, needed in child(schema, "dependentRequired").items():
        yield from ((f"{where}dependentRequired.{name}.{other}", True) for other in needed)


def _object(schema: Any) -> Node:
    """Return a schema as an object: `true` is a schema, too, and allows every value."""
    return cast("Node", schema) if isinstance(schema, dict) else {}


def _parts(schema: Node, where: str = "") -> Iterator[tuple[str, Node]]:
    """Yield a schema and the schemas in it, such as that of an array's items, with a prefix for their limits."""
    yield where, schema
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from _parts(schema[key], f"{where}{key}.")
    for key in ("allOf", "anyOf", "oneOf", "prefixItems"):
        for part in schema.get(key, ()):
            yield from _parts(_object(part), f"{where}{key}." if key == "prefixItems" else where)


def _types(schema: Any) -> frozenset[str]:
    """Return the types of an expanded schema."""
    schema = _object(schema)
    if "$ref" in schema:
        return frozenset({schema["$ref"].rpartition("/")[2]})
    if "allOf" in schema:
        described = {_types(part) for part in schema["allOf"]}
        if len(described) == 1:
            return described.pop()
        return frozenset({" & ".join(sorted(" | ".join(sorted(types)) for types in described))})
    if parts := schema.get("anyOf", schema.get("oneOf")):
        return frozenset[str]().union(*map(_types, parts))
    if "const" in schema:
        return frozenset({json.dumps(schema["const"])})
    kinds = schema.get("type", "any")
    types: set[str] = set()
    for kind in [kinds] if isinstance(kinds, str) else kinds:
        if kind == "array":
            types |= _array_types(schema)
        elif kind == "object" and "properties" not in schema:
            types |= {f"map of {value}" for value in _types(schema.get("additionalProperties"))}
        else:
            types.add(f"{kind} ({schema['format']})" if kind == "string" and "format" in schema else kind)
    return frozenset(types)


def _array_types(schema: Node) -> set[str]:
    if first := schema.get("prefixItems"):
        others = [f"then {_joined(schema['items'])}"] if "items" in schema else []
        return {f"array of ({', '.join([*map(_joined, first), *others])})"}
    return {f"array of {item}" for item in _types(schema.get("items", {}))}


def _joined(schema: Any) -> str:
    return " | ".join(sorted(_types(schema)))
