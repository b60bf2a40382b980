"""Find what the generator would drop, change or misread in a contract.

The tables name every keyword of OpenAPI 3.1 and of JSON Schema 2020-12 that a contract may use, by the kind of object
that it stands in. A keyword that is not in the table is rejected, so that nothing is dropped in silence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, TypeAlias, cast

from attrs import frozen
from contract import (
    ANNOTATIONS,
    METHODS,
    Node,
    bare,
    base_path,
    child,
    children,
    formats,
    is_map,
    json_types,
    operations,
    own_types,
    parameters,
    properties,
    required,
    resolve,
    schemas,
    sent_and_read,
    successes,
    target,
    without_null,
)
from openapi_python_client.strings import ClassName, PythonIdentifier

Path: TypeAlias = tuple[str, ...]

_URL_PATH = re.compile(r"(/([A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2}|{[^/{}]+})*)+")

PREFIX = "field_"
"""What openapi-python-client puts before a name that is not a Python identifier."""
RESERVED = frozenset({"Any", "At", "Hook", "Literal", "Mapping", "Request", "Self", "TypeAlias"})
"""The names that the generated modules use themselves."""


@frozen
class Keyword:
    """What the generator does with a keyword.

    Attributes:
        refusal: Why the keyword is rejected; empty if it is not.
        allowed: The values that are accepted nevertheless.
        kind: The kind of the objects in the keyword's value, if they are checked as well.
        shape: Whether the value is such an object itself, a list of them, or an object of them with names as keys.
    """

    refusal: str = ""
    allowed: tuple[Any, ...] = ()
    kind: str = ""
    shape: type | None = None


OBEYED = Keyword()
"""The generated code follows it, or a check below accepts only the value that it follows."""
HARMLESS = Keyword()
"""It is for readers, or only the server checks it. It changes neither a type nor how a value is sent and read."""


def holds(kind: str) -> Keyword:
    """Return a keyword whose value is an object."""
    return Keyword(kind=kind)


def each(kind: str) -> Keyword:
    """Return a keyword whose value is a list of objects."""
    return Keyword(kind=kind, shape=list)


def named(kind: str) -> Keyword:
    """Return a keyword whose value is an object of objects, with names as keys."""
    return Keyword(kind=kind, shape=dict)


def refused(reason: str, *allowed: Any) -> Keyword:
    """Return a keyword that is rejected, except for the allowed values."""
    return Keyword(refusal=reason, allowed=allowed)


_UNSUPPORTED = refused("not supported")
_VALIDATION = refused("not supported: no type can express it")
_ONE_DIRECTION = refused("not supported: make a schema for requests and another for responses", False)

SCHEMA: dict[str, Keyword] = {
    "$ref": OBEYED,
    "$comment": HARMLESS,
    **dict.fromkeys(
        ("$anchor", "$defs", "$dynamicAnchor", "$dynamicRef", "$id", "$schema", "$vocabulary"), _UNSUPPORTED
    ),
    # Types.
    "type": OBEYED,
    "format": OBEYED,
    "properties": named("property"),
    "required": OBEYED,
    "additionalProperties": holds("values"),
    "items": holds("items"),
    "allOf": each("part"),
    "anyOf": each("member"),
    "oneOf": each("member"),
    "const": refused("a closed enum rejects new values: use x-extensible-enum"),
    "enum": refused("a closed enum rejects new values: use x-extensible-enum"),
    "nullable": refused("it belongs to OpenAPI 3.0: add null to the type, or to anyOf", False),
    **dict.fromkeys(
        ("prefixItems", "patternProperties", "dependentSchemas", "unevaluatedItems", "unevaluatedProperties"),
        _UNSUPPORTED,
    ),
    **dict.fromkeys(
        ("contains", "maxContains", "minContains", "propertyNames", "not", "if", "then", "else"), _VALIDATION
    ),
    # Only the server checks these.
    **dict.fromkeys(("multipleOf", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum"), HARMLESS),
    **dict.fromkeys(("maxLength", "minLength", "pattern", "maxItems", "minItems", "uniqueItems"), HARMLESS),
    **dict.fromkeys(("maxProperties", "minProperties", "dependentRequired"), HARMLESS),
    # Annotations.
    **dict.fromkeys(("title", "description", "example", "examples", "externalDocs"), HARMLESS),
    "deprecated": refused("it has an effect only on an operation, a parameter, a named schema or a property", False),
    "default": OBEYED,
    "readOnly": _ONE_DIRECTION,
    "writeOnly": _ONE_DIRECTION,
    "contentMediaType": HARMLESS,
    "contentEncoding": refused("not supported: the text is not decoded"),
    "contentSchema": refused("not supported: the text is not decoded"),
    "discriminator": refused("not supported: JSON types distinguish the members of a union"),
    "xml": _UNSUPPORTED,
    # Our own extensions.
    "x-envelope": refused("it has an effect only on a named schema that is a response"),
    "x-extensible-enum": OBEYED,
    "x-secret": refused("it has an effect only on a property"),
}
_MEDIA: dict[str, Keyword] = {
    "schema": holds("schema"),
    "example": HARMLESS,
    "examples": HARMLESS,
    "encoding": _UNSUPPORTED,
}
_DOCUMENTED = {"summary": HARMLESS, "description": HARMLESS, "externalDocs": HARMLESS}

KINDS: dict[str, dict[str, Keyword]] = {
    "contract": {
        "openapi": OBEYED,
        "info": holds("info"),
        "servers": each("server"),
        "paths": named("path"),
        "components": holds("components"),
        "security": OBEYED,
        "tags": each("tag"),
        "externalDocs": HARMLESS,
        "webhooks": _UNSUPPORTED,
        "jsonSchemaDialect": _UNSUPPORTED,
    },
    "info": {
        **dict.fromkeys(("title", "version"), OBEYED),
        **dict.fromkeys(("summary", "description", "termsOfService", "contact", "license"), HARMLESS),
    },
    "server": {"url": OBEYED, "description": HARMLESS, "variables": HARMLESS},
    "tag": {"name": HARMLESS, "description": HARMLESS, "externalDocs": HARMLESS},
    "components": {
        "schemas": named("component"),
        "responses": named("response"),
        "parameters": named("parameter"),
        "requestBodies": named("body"),
        "securitySchemes": named("security scheme"),
        "examples": HARMLESS,
        **dict.fromkeys(("headers", "links", "callbacks", "pathItems"), _UNSUPPORTED),
    },
    "path": {
        **_DOCUMENTED,
        "parameters": each("parameter"),
        **dict.fromkeys(METHODS, holds("operation")),
        **dict.fromkeys(("head", "options", "trace"), refused("the method is not supported")),
        "servers": _UNSUPPORTED,
        "$ref": _UNSUPPORTED,
    },
    "operation": {
        **_DOCUMENTED,
        "operationId": OBEYED,
        "tags": OBEYED,
        "deprecated": OBEYED,
        "security": OBEYED,
        "parameters": each("parameter"),
        "requestBody": holds("body"),
        "responses": named("response"),
        "callbacks": _UNSUPPORTED,
        "servers": _UNSUPPORTED,
    },
    "parameter": {
        "$ref": OBEYED,
        **dict.fromkeys(("name", "in", "required", "description", "deprecated", "explode", "style"), OBEYED),
        "schema": holds("schema"),
        "example": HARMLESS,
        "examples": HARMLESS,
        "content": _UNSUPPORTED,
        "allowReserved": refused("not supported: every value is percent-encoded", False),
        "allowEmptyValue": refused("not supported: a parameter without a value is omitted", False),
    },
    "body": {"$ref": OBEYED, "description": HARMLESS, "required": OBEYED, "content": named("media")},
    "response": {
        "$ref": OBEYED,
        "description": HARMLESS,
        "content": named("media"),
        "headers": _UNSUPPORTED,
        "links": _UNSUPPORTED,
    },
    "media": _MEDIA,
    "security scheme": {
        "type": refused("not supported: the client sends a bearer token", "http"),
        "scheme": refused("not supported: the client sends a bearer token", "bearer", "Bearer"),
        "bearerFormat": HARMLESS,
        "description": HARMLESS,
    },
    "component": {
        **SCHEMA,
        "deprecated": OBEYED,
        "x-envelope": OBEYED,
    },
    "part": {
        **{key: refused("it is dropped in a part of allOf") for key in SCHEMA},
        **dict.fromkeys(("$ref", "required"), OBEYED),
        **dict.fromkeys(("$comment", "title", "description"), HARMLESS),
        "type": refused("a part of allOf is an object", "object"),
        "properties": named("property"),
    },
    "property": {**SCHEMA, "deprecated": OBEYED, "x-secret": OBEYED},
    # The schema of a parameter, a body or a response, and the schemas in arrays, maps and unions.
    **dict.fromkeys(("schema", "items", "values", "member"), SCHEMA),
}
BOOLEANS = frozenset({"deprecated", "explode", "required"})
SCHEMA_KINDS = ("component", "part", "property", "schema", "items", "values", "member")
LISTS = {**dict.fromkeys(SCHEMA_KINDS, ("required",)), "contract": ("security",), "operation": ("security", "tags")}
"""The other keywords of each kind whose value is a list."""
TEXTS = frozenset({"$ref", "name", "in", "operationId", "summary", "description", "format", "style", "url"})
"""The keywords whose value is a text."""
SECTIONS = {"parameter": "parameters", "response": "responses", "body": "requestBodies"}
"""Where the references of each kind must lead; those of all other kinds lead to a schema."""

TYPED_FORMATS = ("date", "date-time", "uuid")
TEXT_FORMATS = frozenset(
    {
        "char",
        "duration",
        "email",
        "hostname",
        "html",
        "idn-email",
        "idn-hostname",
        "ipv4",
        "ipv6",
        "iri",
        "iri-reference",
    }
    | {
        "json-pointer",
        "markdown",
        "regex",
        "relative-json-pointer",
        "time",
        "uri",
        "uri-reference",
        "uri-template",
        "url",
    }
)
NUMBER_FORMATS = frozenset({"int32", "int64", "float", "double"})
SCALARS = ("string", "integer", "number", "boolean")
TYPES = (*SCALARS, "null", "array", "object")


def lint(contract: Node) -> list[str]:
    """List the parts of a contract that the generator would silently drop or change.

    Args:
        contract: The contract.

    Returns:
        A line for each fault, with the path of the part that has it.
    """
    # The other checks follow references, so a reference must lead to something, and not back to itself.
    faults = [*_structure_faults(contract)] or [*_circles(contract)] or [*_all_faults(contract)]
    return [f"{'/'.join(path)}: {fault}" for path, fault in faults]


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


def _structure_faults(contract: Node) -> Iterator[Fault]:
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
        elif is_types or (is_list and keyword.shape is None):
            expected = dict if key == "security" else str
            yield from (
                (here, f"unexpected item {item!r}") for item in cast("list[Any]", value) if type(item) is not expected
            )
        elif keyword.shape is dict:
            for name in cast("dict[Any, Any]", value):
                if type(name) is not str and not (type(name) is int and keyword.kind == "response"):
                    yield here, f"the key {name!r} is not a text: quote it"
                elif str(name).startswith("x-") and keyword.kind in ("path", "response"):
                    yield (*here, str(name)), "unknown extension"


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


def _circles(contract: Node) -> Iterator[Fault]:
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


def _all_faults(contract: Node) -> Iterator[Fault]:
    sent, read = sent_and_read(contract)
    for path, kind, node in walk(contract):
        if type(node) is not dict:
            if node is False:
                yield path, "false is not supported: unknown properties are kept"
            continue
        fields = cast("Node", node)
        yield from _keyword_faults(path, kind, fields)
        if kind in SCHEMA_KINDS:
            yield from ((path, fault) for fault in _null_faults(kind, json_types(contract, fields)))
        if "$ref" in fields:
            if len(path) == 3 and path[0] == "components":
                yield path, "alias of another component: refer to the other directly"
        elif kind in SCHEMA_KINDS:
            is_read = path[2] not in sent - read if path[:2] == ("components", "schemas") else "responses" in path
            for fault in _schema_faults(contract, path, kind, fields, is_read=is_read):
                yield path, fault
        elif kind == "parameter":
            yield from ((path, fault) for fault in _parameter_faults(contract, fields))
    yield from _contract_faults(contract)
    for url, method, item, operation in operations(contract):
        for fault in (
            *_url_faults(contract, url, item, operation),
            *_operation_faults(contract, method, item, operation),
        ):
            yield ("paths", url, method), fault
    yield from _name_faults(contract)


def _keyword_faults(path: Path, kind: str, node: Node) -> Iterator[Fault]:
    for key, value in node.items():
        keyword = KINDS[kind].get(key)
        here = (*path, key)
        if keyword is None:
            yield here, "unknown extension" if key.startswith("x-") else "unknown keyword"
        elif keyword.refusal and not any(
            value is allowed or (value == allowed and type(value) is str) for allowed in keyword.allowed
        ):
            yield here, keyword.refusal
        if key in BOOLEANS and (key != "required" or kind not in SCHEMA_KINDS) and type(value) is not bool:
            yield here, "expected true or false, without quotes"


# Schemas


def _schema_faults(contract: Node, path: Path, kind: str, node: Node, *, is_read: bool) -> Iterator[str]:
    own = own_types(node)
    yield from (f"unknown type {one!r}" for one in own if one not in TYPES)
    if node.get("type") == []:
        yield "type is empty"
    if "object" in own or "properties" in node:
        if kind not in ("component", "part"):
            yield "inline object: make it a named component"
        elif "type" in node and own != ["object"]:
            yield "an object that may have another type: allow the other type where the object is used, with anyOf"
    if "required" in node and kind != "part" and not properties(contract, node):
        yield "required has an effect only on an object with properties"
    if "additionalProperties" in node and "object" not in own and "properties" not in node:
        yield "additionalProperties have an effect only on an object: add type: object"
    if ("items" in node) != ("array" in own):
        yield "items belong to type: array, and an array needs items"
    if kind != "part":
        yield from (f"required names {name!r}, which is not a property" for name in _unknown_required(contract, node))
    if "default" in node and is_read:
        yield "default has no effect in a response: a missing value is None"
    yield from _format_faults(node, own)
    if kind != "component" and {"date", "date-time"} <= formats(contract, node):
        yield "dates and date-times in the same value are not supported: a datetime would be sent for either"
    yield from _composition_faults(contract, kind, node)
    if "x-extensible-enum" in node:
        yield from _enum_faults(node, own)
    if node.get("x-secret", True) is not True:
        yield "x-secret has no other value than true"
    if "x-envelope" in node and kind == "component":
        yield from _envelope_faults(contract, path, node)


def _null_faults(kind: str, types: list[str]) -> Iterator[str]:
    if types == ["null"] and kind != "member":
        yield "a value that is always null is not supported"
    if "null" in types and kind in ("items", "values"):
        yield "an array or a map with null in it is not supported: null would be left out"


def _unknown_required(contract: Node, node: Node) -> list[str]:
    names = required(contract, node) if "properties" in node or "allOf" in node else set[str]()
    return sorted(names - properties(contract, node).keys())


def _format_faults(node: Node, own: list[str]) -> Iterator[str]:
    kind = node.get("format")
    if kind in TYPED_FORMATS:
        if "string" not in own:
            yield f"the format {kind!r} has an effect only on a string"
    elif kind is not None and kind not in TEXT_FORMATS | NUMBER_FORMATS:
        yield f"the format {kind!r} is not supported"


def _composition_faults(contract: Node, kind: str, node: Node) -> Iterator[str]:
    """Yield what is wrong with allOf, anyOf and oneOf."""
    used = [key for key in ("allOf", "anyOf", "oneOf") if key in node]
    if len(used) > 1:
        yield f"{used[0]} beside {used[1]} is not supported"
    if not used:
        return
    is_wrapper = len(node[used[0]]) == 1 and "$ref" in node[used[0]][0]
    beside = [key for key in node if key not in ANNOTATIONS and key not in used]
    if not node[used[0]]:
        yield f"{used[0]} is empty"
    elif is_wrapper and kind == "component":
        yield "alias of another schema, whose own keys are dropped: refer to it directly, or add a second part to allOf"
    elif used == ["allOf"] and kind == "component":
        for part in node["allOf"]:
            yield from _part_faults(contract, node, part)
        for name, described in properties(contract, node).items():
            forms = {(*json_types(contract, one), str(bare(contract, one).get("properties"))) for one in described}
            if len(forms) > 1:
                yield f"allOf whose parts describe the property {name!r} differently is not supported"
    elif used == ["allOf"] and not is_wrapper:
        yield "allOf of anything but a single $ref: make it a named component"
    else:
        yield from (f"{key} beside {used[0]} is dropped" for key in beside)
        if not is_wrapper:
            yield from _union_faults(contract, node)


def _part_faults(contract: Node, node: Node, part: Node) -> Iterator[str]:
    base = resolve(contract, part)
    if json_types(contract, part) != ["object"] or "anyOf" in base or "oneOf" in base:
        yield f"allOf of {part.get('$ref', 'a part')!r}, which is not an object"
    if base.get("additionalProperties", True) not in (True, {}):
        yield f"allOf of {part.get('$ref')!r}, whose additionalProperties are not inherited"
    if "x-envelope" in base and "x-envelope" not in node:
        yield f"allOf of {part.get('$ref')!r}, whose x-envelope is not inherited: repeat it"


def _union_faults(contract: Node, node: Node) -> Iterator[str]:
    """Yield the members of a union that their JSON type does not distinguish."""
    types = json_types(contract, node)
    if "any" in types:
        yield "union with a member of any type"
    kinds = ["number" if one == "integer" else one for one in types if one != "null"]
    if len(kinds) > len({*kinds}):
        yield f"ambiguous union: several members have the JSON type {max(kinds, key=kinds.count)}"


def _enum_faults(node: Node, own: list[str]) -> Iterator[str]:
    values = children(node, "x-extensible-enum")
    kinds = [one for one in own if one != "null"]
    expected = {"string": str, "integer": int}.get(kinds[0]) if len(kinds) == 1 else None
    if expected is None or node.get("format") in TYPED_FORMATS:
        yield "x-extensible-enum has an effect only on a string or an integer"
    elif not values or any(type(value) is not expected for value in values):
        yield f"x-extensible-enum needs a list of values of the type {kinds[0]}"


def _envelope_faults(contract: Node, path: Path, node: Node) -> Iterator[str]:
    envelope: Any = node["x-envelope"]
    if type(envelope) is not str or not envelope:
        yield "x-envelope needs the name of a property"
    elif envelope in properties(contract, node):
        yield f"x-envelope names {envelope!r}, which is a property of the schema itself"
    if node.get("additionalProperties", True) not in (True, {}):
        yield "x-envelope beside typed additionalProperties, which could not hold what stands beside the envelope"
    ref = {"$ref": "#/" + "/".join(path)}
    results = [result for *_, operation in operations(contract) for result in _results(contract, operation)]
    if not any(without_null(contract, result)[0] == ref for result in results):
        yield "x-envelope has an effect only on a schema that is a response"


# Operations and parameters


def _parameter_faults(contract: Node, node: Node) -> Iterator[str]:
    place = node.get("in")
    yield from (f"a parameter needs {key}" for key in ("name", "in") if key not in node)
    if place not in ("query", "path"):
        yield f"a parameter in {place!r} is not supported"
    if "schema" not in node:
        yield "a parameter without a schema is dropped"
        return
    if node.get("style", "form") != "form" and place == "query":
        yield f"the style {node['style']!r} is not supported"
    if node.get("style", "simple") != "simple" and place == "path":
        yield f"the style {node['style']!r} is not supported"
    if place == "path" and node.get("required") is not True:
        yield "a parameter in a path needs required: true"
    types = json_types(contract, node["schema"])
    if "null" in types:
        yield "a parameter that may be null is not supported: null has no form in a URL"
    items = bare(contract, node["schema"]).get("items")
    if types == ["array"] and place == "query":
        types = json_types(contract, items)
    if not {*types} <= {*SCALARS}:
        yield "a parameter that is not a scalar or an array of scalars in a query"


def _url_faults(contract: Node, url: str, item: Node, operation: Node) -> Iterator[str]:
    """Yield the variables of a path that are not exactly one parameter each."""
    variables = re.findall(r"{(.*?)}", url)
    known = {node.get("name") for node in parameters(contract, item, operation) if node.get("in") == "path"}
    yield from (f"the path has the variable {name!r} twice" for name in {*variables} if variables.count(name) > 1)
    yield from (f"the variable {name!r} of the path is no parameter" for name in {*variables} - known)
    yield from (f"the parameter {name!r} is not in the path" for name in known - {*variables})


def _argument_faults(contract: Node, item: Node, operation: Node) -> Iterator[str]:
    """Yield the parameters that would be the same argument in Python."""
    arguments: dict[str, str] = {}
    for name in (str(node.get("name")) for node in parameters(contract, item, operation)):
        # An underscore at the end makes a name of Python's own usable, so it does not distinguish two names.
        other = arguments.setdefault(PythonIdentifier(name, PREFIX).rstrip("_"), name)
        if other != name:
            yield f"the parameters {other!r} and {name!r} would have the same name in Python"


def _operation_faults(contract: Node, method: str, item: Node, operation: Node) -> Iterator[str]:
    yield from (
        f"an operation needs {key}" for key in ("operationId", "summary", "responses") if not operation.get(key)
    )
    security = children({**contract, **operation}, "security")
    if not security or {} in security:
        yield "an operation needs security: the client sends its token with every request"
    schemes = child(contract, "components", "securitySchemes")
    for requirement in security:
        yield from (f"the security scheme {name!r} is not described" for name in requirement if name not in schemes)
    if len(children(operation, "tags")) > 1:
        yield "a second tag is dropped: an operation is in one folder"
    own = [
        (node.get("in"), node.get("name"))
        for node in (resolve(contract, one) for one in children(operation, "parameters"))
    ]
    yield from (f"the parameter {name!r} is there twice" for place, name in {*own} if own.count((place, name)) > 1)
    yield from _argument_faults(contract, item, operation)
    body = operation.get("requestBody")
    if body is not None:
        if method == "get":
            yield "a GET with a requestBody is not supported: the client sends no body with it"
        yield from _body_faults(contract, resolve(contract, body))
    yield from _response_faults(contract, operation)


def _body_faults(contract: Node, body: Node) -> Iterator[str]:
    content = child(body, "content")
    yield from (
        f"requestBody: the content type {kind} is not supported" for kind in content if kind != "application/json"
    )
    schema = child(content, "application/json").get("schema")
    if not content or ("application/json" in content and schema is None):
        yield "requestBody: it has no schema"
    elif schema is not None and (
        "$ref" not in schema or json_types(contract, schema) != ["object"] or is_map(contract, schema)
    ):
        yield "requestBody: a body that is not a $ref to a schema with properties is not supported"


def _response_faults(contract: Node, operation: Node) -> Iterator[str]:
    for status in map(str, child(operation, "responses")):
        is_status = len(status) == 3 and status[0] in "245" and (status[1:] == "XX" or status[1:].isdecimal())
        if not is_status and not status.startswith("x-"):
            yield f"responses: the status {status} is not supported"
    found = successes(contract, operation)
    if not found:
        yield "responses: there is none with a status of 2xx"
    for status, response in found:
        for kind in child(response, "content"):
            if not _is_json(kind):
                yield f"responses/{status}: the content type {kind} is not supported"
        if len(child(response, "content")) > 1:
            yield f"responses/{status}: more than one content type is not supported"
    results = _results(contract, operation)
    if any(result != results[0] for result in results):
        yield "responses: the 2xx responses have different schemas"
    for result in results[:1]:
        bare_result, _ = without_null(contract, result)
        types = json_types(contract, bare_result)
        if types not in (["object"], ["array"], ["any"]):
            yield f"responses: a response of the type {' or '.join(types)} is not supported"
        elif types == ["any"] and "$ref" in bare_result:
            yield "responses: a $ref to a schema of any type is not supported: leave the schema out"


def _is_json(content_type: str) -> bool:
    return content_type.partition(";")[0].strip() == "application/json"


def _results(contract: Node, operation: Node) -> list[Node]:
    """Return the schemas of the 2xx responses that have content. A response of any type has an empty schema."""
    return [
        media.get("schema") or {}
        for _, response in successes(contract, operation)
        for media in child(response, "content").values()
    ]


# The contract as a whole


def _contract_faults(contract: Node) -> Iterator[Fault]:
    version = str(contract.get("openapi"))
    if not version.startswith(("3.0.", "3.1.")):
        yield ("openapi",), f"the version {version} is not supported"
    if not contract.get("paths"):
        yield ("paths",), "there are no operations"
    for url in child(contract, "paths"):
        if not _URL_PATH.fullmatch(url) and not url.startswith("x-"):
            yield ("paths", url), "a path starts with / and has neither a query, a fragment nor characters to escape"
    bases = {base_path(server) for server in children(contract, "servers")}
    if any(base and not _URL_PATH.fullmatch(base) for base in bases):
        yield ("servers",), "a server's URL with a query, a fragment or characters to escape is not supported"
    if len(bases) > 1 or any("{" in base for base in bases):
        yield ("servers",), "servers whose URLs have different paths, or a variable in the path, are not supported"


def _name_faults(contract: Node) -> Iterator[Fault]:
    """Yield the names that two schemas or two operations would share in Python, or that the generated code uses."""
    modules: dict[str, str] = {}
    for name in map(str, schemas(contract)):
        class_name = ClassName(name, PREFIX)
        here = ("components", "schemas", name)
        if class_name in RESERVED:
            yield here, f"the generated code uses the name {class_name} itself"
        other = modules.setdefault(PythonIdentifier(class_name, PREFIX), name)
        if other != name:
            yield here, f"it would have the same module as {other}"
    functions: dict[str, str] = {}
    classes = {str(ClassName(name, PREFIX)) for name in map(str, schemas(contract))}
    for path, method, _, operation in operations(contract):
        name = PythonIdentifier(str(operation.get("operationId")), PREFIX)
        if name.startswith("decode_") or str(name) in classes:
            yield ("paths", path, method), f"the generated code uses the name {name} itself"
        other = functions.setdefault(name, f"{method} {path}")
        if other != f"{method} {path}":
            yield ("paths", path, method), f"it would have the same function name as {other}: {name}"
