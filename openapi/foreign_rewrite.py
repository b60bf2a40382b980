"""Rewrite a contract that we did not write into the form that the generator accepts.

The rewriting is mechanical and the same for all contracts, and it changes nothing that goes over the wire:

- nullable schemas of OpenAPI 3.0 allow null as in 3.1, and a $ref with other keywords is wrapped in allOf;
- inline objects become named components, and references to an alias lead to what the alias stands for;
- closed enums and closed objects are opened, as our own contract has them;
- names are made unique, and a missing operationId, summary or security is added;
- what only documents is removed: examples, defaults, callbacks, links, headers of responses, extensions of vendors,
  parts of allOf with a description only, allowEmptyValue, and the formats other than dates and UUIDs;
- a default response beside a 2xx response describes errors, so it becomes 4XX and 5XX;
- where JSON is offered, our client uses it, so other content types are removed;
- the first of several servers is chosen, with the default values of its variables.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, TypeAlias, TypeGuard
from urllib.parse import unquote

Node: TypeAlias = "dict[str, Any]"
Operation: TypeAlias = "tuple[str, str]"
"""A path and a method."""

METHODS = ("get", "put", "post", "delete", "patch", "head", "options", "trace")
FORMATS = ("date", "date-time", "uuid")
SCHEMA_NOTES = frozenset(
    {"$comment", "title", "default", "deprecated", "discriminator", "example", "examples", "externalDocs", "format"}
    | {"contentEncoding", "contentMediaType", "enum", "nullable", "readOnly", "writeOnly", "xml"}
)
"""The keywords of schemas that are removed. Those of them that mean something are rewritten first."""
IGNORED_HEADERS = ("accept", "authorization", "content-type")
"""The header parameters that have no effect, according to OpenAPI."""


def is_node(value: Any) -> TypeGuard[Node]:
    """Return whether a value is an object."""
    return isinstance(value, dict)


def is_list(value: Any) -> TypeGuard[list[Any]]:
    """Return whether a value is an array."""
    return isinstance(value, list)


def words(text: str) -> str:
    """Return a name in the form in which two names are compared."""
    return "".join(re.findall("[a-z0-9]+", text.lower()))


def pascal(text: str) -> str:
    """Return a text as the name of a schema."""
    name = "".join(word[:1].upper() + word[1:] for word in re.findall("[A-Za-z0-9]+", text))
    return name if name[:1].isalpha() else f"Schema{name}"


def resolve(contract: Node, node: Any) -> Any:
    """Follow references until there is something else.

    Raises:
        LookupError: A reference leads nowhere, to another file, or back to itself.
    """
    seen: set[str] = set()
    while is_node(node) and isinstance(node.get("$ref"), str):
        ref: str = node["$ref"]
        if ref in seen or not ref.startswith("#/"):
            raise LookupError(f"the $ref {ref!r} leads to no other part of the contract")
        seen.add(ref)
        node = contract
        for key in ref[2:].split("/"):
            name = unquote(key).replace("~1", "/").replace("~0", "~")
            node = node[int(name)] if is_list(node) else node[name]
    return node


def operations(contract: Node) -> dict[Operation, Node]:
    """Return the operations, each with the parameters of its path and without references to other components."""
    found: dict[Operation, Node] = {}
    for path, unresolved in contract.get("paths", {}).items():
        item = resolve(contract, unresolved)
        for method in METHODS:
            if method not in item:
                continue
            parameters = [resolve(contract, one) for key in (item, item[method]) for one in key.get("parameters", ())]
            operation = {
                **item[method],
                "parameters": [*{(one["in"], one["name"]): one for one in parameters}.values()],
            }
            operation["responses"] = {
                str(status): resolve(contract, response)
                for status, response in item[method].get("responses", {}).items()
                if not str(status).startswith("x-")
            }
            if "requestBody" in operation:
                operation["requestBody"] = resolve(contract, operation["requestBody"])
            if "servers" in item:
                operation.setdefault("servers", item["servers"])
            found[path, method] = operation
    return found


def rewrite(contract: Node) -> Node:
    """Return the contract as the generator accepts it."""
    return _Rewriter(contract).contract()


def part_of(contract: Node, chosen: Iterable[Operation]) -> Node:
    """Return a rewritten contract with only some of its operations and the schemas that they need."""
    paths: Node = {}
    for path, method in chosen:
        paths.setdefault(path, {})[method] = contract["paths"][path][method]
    schemas = contract["components"]["schemas"]
    needed: set[str] = set()
    waiting: list[Any] = [paths]
    while waiting:
        names = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(waiting.pop())))
        waiting += [schemas[name] for name in names - needed]
        needed |= names
    kept = {name: schema for name, schema in schemas.items() if name in needed}
    return {**contract, "paths": paths, "components": {**contract["components"], "schemas": kept}}


class _Rewriter:
    def __init__(self, contract: Node) -> None:
        self._raw = contract
        self._is_old = str(contract["openapi"]).startswith("3.0")
        self._taken: set[str] = set()
        self._schemas: Node = {}
        raw: Node = contract.get("components", {}).get("schemas", {})
        self._names = {f"#/components/schemas/{name}": self._unique(pascal(name)) for name in raw}
        self._named = {id(schema): self._names[f"#/components/schemas/{name}"] for name, schema in raw.items()}

    def contract(self) -> Node:
        for schema in self._raw.get("components", {}).get("schemas", {}).values():
            if self._end_of_aliases(schema)[0] is schema:
                # Whether null is allowed is repeated at every reference, because an object has no other type.
                self._schemas[self._named[id(schema)]] = self._schema(schema, self._named[id(schema)])[0]
        paths: Node = {}
        ids: set[str] = set()
        for (path, method), operation in operations(self._raw).items():
            paths.setdefault(path, {})[method] = self._operation(path, method, operation, ids)
        info = {key: str(self._raw.get("info", {}).get(key, "x")) for key in ("title", "version")}
        schemes = {"token": {"type": "http", "scheme": "bearer"}}
        return {
            "openapi": "3.1.0",
            "info": info,
            "servers": [{"url": server(self._raw)}],
            "paths": paths,
            "components": {"schemas": self._schemas, "securitySchemes": schemes},
        }

    def _unique(self, name: str) -> str:
        number = 1
        while words(unique := name if number == 1 else f"{name}{number}") in self._taken:
            number += 1
        self._taken.add(words(unique))
        return unique

    def _operation(self, path: str, method: str, operation: Node, ids: set[str]) -> Node:
        name = "_".join(re.findall("[A-Za-z0-9]+", operation.get("operationId") or f"{method} {path}"))
        while words(name) in ids:
            name += "_2"
        ids.add(words(name))
        dropped = ("callbacks", "examples", "externalDocs")
        kept = {key: value for key, value in operation.items() if not key.startswith("x-") and key not in dropped}
        statuses = [status for status in operation["responses"] if status != "default"]
        has_success = any(status.startswith("2") for status in statuses)
        responses: Node = {}
        for status, response in operation["responses"].items():
            content = self._content(response, pascal(f"{name} response {status}"))
            for key in (status,) if status != "default" or not has_success else ("4XX", "5XX"):
                responses.setdefault(key, {"description": response.get("description", status), **content})
        rewritten: Node = {
            **kept,
            "operationId": name,
            "summary": str(operation.get("summary") or name),
            "security": [{"token": []}],
            "parameters": [
                self._parameter(one, pascal(f"{name} {one['name']}"))
                for one in operation["parameters"]
                if one["in"] != "header" or one["name"].lower() not in IGNORED_HEADERS
            ],
            "responses": responses,
        }
        if body := operation.get("requestBody"):
            content = self._content(body, pascal(f"{name} body"))
            rewritten["requestBody"] = {**content, "required": body.get("required", False)}
        return rewritten

    def _content(self, holder: Node, owner: str) -> Node:
        """Return the content of a body or a response."""
        if not holder.get("content"):
            return {}
        content: Node = {}
        offered = holder["content"]
        for media_type, media in offered.items():
            if "application/json" in offered and media_type != "application/json":
                continue
            kept = {key: value for key, value in media.items() if key == "encoding"}
            content[media_type] = (
                {**kept, "schema": self._inline(media["schema"], owner)} if "schema" in media else kept
            )
        return {"content": content}

    def _parameter(self, parameter: Node, owner: str) -> Node:
        usual_style = "form" if parameter["in"] in ("query", "cookie") else "simple"
        usual: Node = {"style": usual_style, "allowReserved": False}
        usual["explode"] = parameter.get("style", usual_style) == "form"
        dropped = ("allowEmptyValue", "example", "examples", "schema")
        kept = {
            key: value
            for key, value in parameter.items()
            if not key.startswith("x-") and key not in dropped and not (key in usual and usual[key] == value)
        }
        return {**kept, "schema": self._inline(parameter["schema"], owner)} if "schema" in parameter else kept

    def _inline(self, node: Any, owner: str) -> Any:
        """Return a schema for a place where no object may be written, only a reference to it."""
        schema, null = self._schema(node, owner)
        if is_node(schema) and _is_object(schema):
            name = self._unique(owner)
            self._schemas[name] = schema
            schema = {"$ref": f"#/components/schemas/{name}"}
        return _with_null(schema, null)

    def _end_of_aliases(self, node: Any) -> tuple[Any, bool]:
        """Follow components that only stand for another component. Return the end, and whether null is allowed."""
        null = False
        for _ in range(20):
            single = node if "$ref" in node else _only_part(node)
            null = null or _allows_null(node)
            if "$ref" not in single or single["$ref"] not in self._names:
                break
            node = self._raw["components"]["schemas"][single["$ref"].rpartition("/")[2]]
        return node, null

    def _reference(self, node: Node) -> tuple[Any, bool]:
        end, null = self._end_of_aliases(node)
        if id(end) not in self._named:
            # The reference leads to another place than the named schemas, so the schema gets a name.
            null = null or _allows_null(end := resolve(self._raw, end))
        if (key := id(end)) not in self._named:
            self._named[key] = name = self._unique(pascal(node["$ref"].rpartition("/")[2]))
            self._schemas[name] = self._schema(end, name)[0]
        return {"$ref": f"#/components/schemas/{self._named[key]}"}, null

    def _schema(self, node: Any, owner: str) -> tuple[Any, bool]:
        """Return a schema without null, and whether null is allowed."""
        if not is_node(node):
            return ({} if node is True else node), False
        if "$ref" in node:
            reference, null = self._reference({"$ref": node["$ref"]})
            beside = {key: value for key, value in node.items() if key not in ("$ref", *SCHEMA_NOTES)}
            if self._is_old or not beside or set(reference) != {"$ref"}:
                return reference, null
            return {"allOf": [reference], **self._schema(beside, owner)[0]}, null
        null = _allows_null(node)
        single = _only_part(node)
        if single is not node and not (is_node(single) and "$ref" in single):
            schema, inner_null = self._schema(single, owner)
            return schema, null or inner_null
        schema = {key: value for key, value in node.items() if key not in SCHEMA_NOTES and not key.startswith("x-")}
        if is_list(types := schema.get("type")):
            rest = [one for one in types if one != "null"] or ["null"]
            schema["type"] = rest[0] if len(rest) == 1 else rest
        if node.get("format") in FORMATS and schema.get("type") == "string":
            schema["format"] = node["format"]
        _open_enum(node, schema)
        self._children(schema, owner)
        return schema, null

    def _children(self, schema: Node, owner: str) -> None:
        if "properties" in schema:
            schema.setdefault("type", "object")
            schema["properties"] = {
                key: self._inline(child, owner + pascal(key)) for key, child in schema["properties"].items()
            }
        if "items" in schema:
            schema.setdefault("type", "array")
            schema["items"] = self._inline(schema["items"], f"{owner}Item")
        if "additionalProperties" in schema:
            if schema["additionalProperties"] in (True, False, {}):
                del schema["additionalProperties"]
            else:
                schema["additionalProperties"] = self._inline(schema["additionalProperties"], f"{owner}Value")
        for key in ("anyOf", "oneOf"):
            if key in schema:
                schema[key] = [self._inline(one, f"{owner}Member{number}") for number, one in enumerate(schema[key], 1)]
        if "allOf" in schema:
            parts = [self._schema(part, f"{owner}Part")[0] for part in schema["allOf"]]
            schema["allOf"] = [part for part in parts if part.keys() - {"description"}]


def server(contract: Node) -> str:
    """Return the URL of the first server."""
    servers: list[Node] = contract.get("servers") or [{"url": "/"}]
    first = servers[0]
    url: str = first["url"]
    for name, variable in first.get("variables", {}).items():
        url = url.replace("{" + name + "}", str(variable.get("default", "")))
    return url


def _only_part(node: Node) -> Any:
    """Return the only part of allOf, anyOf or oneOf if the schema says nothing else, and otherwise the schema."""
    used = [key for key in ("allOf", "anyOf", "oneOf") if len(node.get(key, ())) == 1]
    beside = [key for key in node if key not in SCHEMA_NOTES and not key.startswith("x-") and key != "description"]
    return node[used[0]][0] if beside == used and len(used) == 1 else node


def _allows_null(node: Node) -> bool:
    in_type = is_list(node.get("type")) and "null" in node["type"] and len(node["type"]) > 1
    return node.get("nullable") is True or in_type or (node.get("type") is None and None in (node.get("enum") or ()))


def _is_object(schema: Node) -> bool:
    """Return whether a schema needs a name: it is an object, or it consists of several parts."""
    single = len(schema.get("allOf", ())) == 1 and "$ref" in schema["allOf"][0] and "properties" not in schema
    return "properties" in schema or schema.get("type") == "object" or ("allOf" in schema and not single)


def _with_null(schema: Any, null: bool) -> Any:
    if not null or not schema:
        return schema
    if isinstance(schema.get("type"), str):
        return {**schema, "type": [schema["type"], "null"]}
    if is_list(schema.get("type")):
        return {**schema, "type": [*schema["type"], "null"]}
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return {**schema, key: [*schema[key], {"type": "null"}]}
    return {"anyOf": [schema, {"type": "null"}]}


def _open_enum(node: Node, schema: Node) -> None:
    """Replace a closed enum by the known values, or by the type alone where known values are not supported."""
    values = [node["const"]] if "const" in node else node.get("enum")
    if values is None:
        return
    kinds: set[Any] = {type(value) for value in values if value is not None}
    names = {frozenset({str}): "string", frozenset({int}): "integer", frozenset({bool}): "boolean"}
    schema.setdefault("type", names.get(frozenset(kinds), ""))
    if not schema["type"]:
        schema.update(enum=values)
        del schema["type"]
        return
    if schema["type"] in ("string", "integer") and "format" not in schema and len(kinds) == 1:
        schema["x-extensible-enum"] = [value for value in dict.fromkeys(values) if value is not None]
    schema.pop("const", None)
