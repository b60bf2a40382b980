"""Walk through a contract, and find the values and references on which no other check can rely."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, TypeAlias, cast

from contract import Node, schemas, target
from keywords import COUNTS, KINDS, LISTS, NUMBERS, OBEYED, OBJECTS, SCHEMA_KINDS, SECTIONS, TEXTS

Path: TypeAlias = tuple[str, ...]
Fault: TypeAlias = tuple[Path, str]


def walk(node: Any, kind: str = "contract", path: Path = ()) -> Iterator[tuple[Path, str, Any]]:
    """Yield everything that the tables describe, with its path and its kind. Examples are skipped: they are data."""
    yield path, kind, node
    if type(node) is not dict:
        return
    for key, value in cast("Node", node).items():
        keyword = KINDS[kind].get(str(key), OBEYED)
        here = (*path, str(key))
        if keyword.kind and keyword.shape is None:
            yield from walk(value, keyword.kind, here)
        elif keyword.kind and type(value) is keyword.shape:
            entries: Any = value
            for name, inner in entries.items() if keyword.shape is dict else enumerate(entries):
                yield from walk(inner, keyword.kind, (*here, str(name)))


def structure_faults(contract: Node) -> Iterator[Fault]:
    """Yield the references that lead nowhere, and the values that are not of the type that the other checks rely on."""
    for path, kind, node in walk(contract):
        if kind == "values" and type(node) is bool:
            continue
        if type(node) is bool and kind in SCHEMA_KINDS:
            yield path, "a boolean schema is not supported"
        elif type(node) is not dict:
            yield path, f"expected an object, got {node!r}"
        else:
            fields = cast("Node", node)
            yield from ((path, f"the key {key!r} is not a text: quote it") for key in fields if type(key) is not str)
            yield from _shape_faults(path, kind, fields)
            if "$ref" in fields and kind != "path":
                yield from ((path, fault) for fault in _ref_faults(contract, kind, fields))


def _shape_faults(path: Path, kind: str, node: Node) -> Iterator[Fault]:
    """Yield the values of keywords that have the wrong type."""
    for key, value in node.items():
        keyword = KINDS[kind].get(str(key), OBEYED)
        here = (*path, str(key))
        is_list = keyword.shape is list or key in LISTS.get(kind, ())
        got = type(cast("object", value))
        is_types = key == "type" and got is list
        if (is_list or keyword.shape) and got is not (list if is_list else dict):
            yield here, f"expected {'a list' if is_list else 'an object'}, got {value!r}"
        elif (key in TEXTS or (key == "type" and not is_types)) and got is not str:
            yield here, f"expected a text, got {value!r}"
        elif key in OBJECTS and got is not dict:
            yield here, f"expected an object, got {value!r}"
        elif key == "examples" and got is not (list if kind in SCHEMA_KINDS else dict):
            yield here, f"expected {'a list' if kind in SCHEMA_KINDS else 'an object'}, got {value!r}"
        elif key in COUNTS and not (got is int and value >= 0):
            yield here, f"expected a whole number that is not negative, got {value!r}"
        elif key in NUMBERS and not _is_limit(key, value):
            yield here, f"expected a number, got {value!r}"
        elif is_types or (is_list and keyword.shape is None):
            items = cast("list[Any]", value)
            is_expected = _is_requirement if key == "security" else _is_text
            yield from ((here, f"unexpected item {item!r}") for item in items if not is_expected(item))
        elif keyword.shape is dict:
            for name in cast("dict[Any, Any]", value):
                if type(name) is not str and not (type(name) is int and keyword.kind == "response"):
                    yield here, f"the key {name!r} is not a text: quote it"
                elif str(name).startswith("x-") and keyword.kind in ("path", "response"):
                    yield (*here, str(name)), "unknown extension"


def _is_text(value: Any) -> bool:
    return type(value) is str


def _is_requirement(value: Any) -> bool:
    """Return whether a value is an alternative of a security: an object with a list of scopes for each scheme."""
    if type(value) is not dict:
        return False
    scopes = [*cast("Node", value).values()]
    return all(type(one) is list and all(map(_is_text, one)) for one in scopes)


def _is_limit(key: str, value: Any) -> bool:
    """Return whether a value fits a keyword for numbers. OpenAPI 3.0 has exclusive limits that are true or false."""
    if type(value) is bool:
        return key.startswith("exclusive")
    return type(value) in (int, float) and math.isfinite(value) and (key != "multipleOf" or value > 0)


def _ref_faults(contract: Node, kind: str, node: Node) -> Iterator[str]:
    prefix = f"#/components/{SECTIONS.get(kind, 'schemas')}/"
    ref = str(node["$ref"])
    if not ref.startswith("#"):
        yield f"the $ref {ref!r} leads to another file"
    elif not ref.startswith(prefix) or "/" in ref.removeprefix(prefix):
        yield f"the $ref {ref!r} does not lead to {prefix}"
    elif target(contract, ref) is None:
        yield f"the $ref {ref!r} leads nowhere"
    if len(node) > 1:
        beside = ", ".join(key for key in node if key != "$ref")
        remedy = "wrap the $ref in allOf" if kind in SCHEMA_KINDS else "remove them"
        yield f"{beside} beside a $ref are dropped: {remedy}"


def circles(contract: Node) -> Iterator[Fault]:
    """Yield the named schemas that contain themselves. A circle through a property is fine, because a value ends it."""
    for name in schemas(contract):
        start = f"#/components/schemas/{name}"
        seen: set[str] = set()
        waiting = [start]
        while waiting:
            refs = {*_direct_refs(target(contract, waiting.pop()))}
            if start in refs:
                yield ("components", "schemas", str(name)), "it contains itself"
                break
            waiting.extend(refs - seen)
            seen |= refs


def _direct_refs(node: Any) -> Iterator[str]:
    """Yield the references of a schema that are not in a property of a model."""
    for path, _, inner in walk(node, "component"):
        is_value = "properties" in path or ("properties" in node and path[:1] == ("additionalProperties",))
        if type(inner) is dict and "$ref" in inner and not is_value:
            yield str(cast("Node", inner)["$ref"])
