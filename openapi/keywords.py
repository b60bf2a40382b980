"""The keywords of OpenAPI 3.1 and of JSON Schema 2020-12 that a contract may use, by the kind of object they stand in.

A keyword that is not in the tables is rejected, so that nothing is dropped in silence.
"""

from __future__ import annotations

from typing import Any

from attrs import evolve, frozen
from contract import METHODS


@frozen
class Keyword:
    """The support for a keyword.

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
        **{key: evolve(keyword, refusal="it is dropped in a part of allOf") for key, keyword in SCHEMA.items()},
        **dict.fromkeys(("$ref", "required"), OBEYED),
        **dict.fromkeys(("$comment", "title", "description"), HARMLESS),
        "type": refused("a part of allOf is an object", "object"),
        "properties": named("property"),
    },
    "property": {**SCHEMA, "deprecated": OBEYED, "x-secret": OBEYED},
    # The schema of a parameter, a body or a response, and the schemas in arrays, maps and unions.
    **dict.fromkeys(("schema", "items", "values", "member"), SCHEMA),
}
BOOLEANS = frozenset({"deprecated", "explode", "required", "uniqueItems"})
COUNTS = frozenset({"maxLength", "minLength", "maxItems", "minItems", "maxProperties", "minProperties"})
NUMBERS = frozenset({"multipleOf", "maximum", "minimum", "exclusiveMaximum", "exclusiveMinimum"})
SCHEMA_KINDS = ("component", "part", "property", "schema", "items", "values", "member")
LISTS = {**dict.fromkeys(SCHEMA_KINDS, ("required",)), "contract": ("security",), "operation": ("security", "tags")}
"""The other keywords of each kind whose value is a list."""
TEXTS = frozenset(
    {"$comment", "$ref", "bearerFormat", "contentMediaType", "description", "format", "in", "name", "openapi"}
    | {"operationId", "pattern", "scheme", "style", "summary", "termsOfService", "title", "url", "version"}
)
"""The keywords whose value is a text."""
OBJECTS = frozenset({"contact", "dependentRequired", "externalDocs", "license", "variables"})
"""The other keywords whose value is an object."""
NEEDED = {
    "contract": ("info",),
    "info": ("title", "version"),
    "server": ("url",),
    "tag": ("name",),
    "parameter": ("name", "in"),
    "body": ("content",),
    "response": ("description",),
    "security scheme": ("type", "scheme"),
}
"""The keywords that each kind of object needs."""
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
