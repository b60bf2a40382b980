"""Check a generated operation against the original contract, by the rules of OpenAPI and JSON Schema.

This module does not know the templates or the rewriting. It derives sample arguments, bodies and responses from the
original contract, and the request that each of them must lead to.
"""

from __future__ import annotations

import contextlib
import datetime
import importlib
import inspect
import typing
import uuid
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import Any, TypeAlias, cast
from urllib.parse import quote, unquote

from foreign_rewrite import IGNORED_HEADERS, Node, Operation, is_list, is_node, operations, resolve, server, words

NULL = object()
"""Null as the value of a property that the contract describes. Models may omit it."""
SAMPLES = 6
"""The number of samples of each schema. Each takes other alternatives, and the last has only required properties."""
_DEEPEST, _MOST_VALUES = 7, 1500
_SIMPLE: dict[str, Sequence[Any]] = {
    "string": ("a b/ü&+?=%\"'", "text", ""),
    "integer": (7, 0, -(2**53)),
    "number": (1.5, 2, -0.25),
    "boolean": (True, False),
    "any": ({"free": [1, None]}, "text", [{"a": 1.5}], True),
}
_FORMATTED = {
    "date": ("2024-02-29",),
    "date-time": ("2024-02-29T12:34:56Z", "2024-02-29T12:34:56.123456+02:00"),
    "uuid": ("f81d4fae-7dec-11d0-a765-00a0c91e6bf6",),
}
_READERS: dict[str, Callable[[str], Any]] = {
    "date": datetime.date.fromisoformat,
    "date-time": datetime.datetime.fromisoformat,
    "uuid": uuid.UUID,
}
_SEPARATORS = {"form": ",", "simple": ",", "spaceDelimited": " ", "pipeDelimited": "|"}


class EndlessError(Exception):
    """A schema has only values that are nested too deeply."""


class Sampler:
    """Makes values that a schema allows. Each place with a choice takes its own alternative."""

    def __init__(self, contract: Node, number: int) -> None:
        self._contract, self._sample = contract, number
        self._only_required = number == SAMPLES - 1
        self._places = self._values = 0

    def choose(self, alternatives: int) -> int:
        """Return the number of an alternative."""
        self._places += 1
        return (self._sample + self._places) % alternatives

    def value(self, schema: Any, depth: int = 0) -> Any:
        """Return a value.

        Raises:
            EndlessError: All values of the schema are nested too deeply.
        """
        self._values += 1
        if depth > _DEEPEST:
            raise EndlessError
        nullable = _is_nullable(self._contract, schema)
        schema = _merged(self._contract, schema)
        kinds = [kind for kind in _types(schema) if kind != "null"]
        if nullable and (not kinds or self.choose(4) == 0):
            return None
        if "const" in schema or "enum" in schema:
            values = [one for one in [schema["const"]] if one is not None] if "const" in schema else schema["enum"]
            known = [one for one in values if one is not None]
            return self._one_of(known) if known else None
        for key in ("oneOf", "anyOf"):
            if key in schema:
                return self._member(schema, key, depth)
        kind = kinds[self.choose(len(kinds))] if kinds else "any"
        if kind in ("array", "object"):
            return self._array(schema, depth) if kind == "array" else self._object(schema, depth)
        simple = _FORMATTED.get(str(schema.get("format"))) if kind == "string" else None
        return self._one_of(simple or _SIMPLE[kind])

    def _one_of(self, values: Sequence[Any]) -> Any:
        return values[self.choose(len(values))]

    def _member(self, schema: Node, key: str, depth: int) -> Any:
        members = [one for one in schema[key] if _types(_merged(self._contract, one)) != ["null"]]
        first = self.choose(len(members))
        rest = {name: value for name, value in schema.items() if name not in ("oneOf", "anyOf")}
        for member in [*members[first:], *members[:first]]:
            try:
                return self.value({"allOf": [member, rest]} if _types(rest) else member, depth)
            except EndlessError:
                continue
        raise EndlessError

    def _array(self, schema: Node, depth: int) -> Any:
        if "prefixItems" in schema:
            return [self.value(one, depth + 1) for one in schema["prefixItems"]]
        try:
            return [self.value(schema.get("items", {}), depth + 1) for _ in range(2 if depth < 3 else 1)]
        except EndlessError:
            return []

    def _object(self, schema: Node, depth: int) -> Any:
        required = schema.get("required", ())
        lean = self._only_required or depth > _DEEPEST - 2 or self._values > _MOST_VALUES
        result: Node = {}
        for name, child in schema.get("properties", {}).items():
            if name in required or not lean:
                try:
                    value = self.value(child, depth + 1)
                except EndlessError:
                    continue
                result[name] = NULL if value is None else value
        others = schema.get("additionalProperties", True)
        if is_node(others) and others:
            with contextlib.suppress(EndlessError):
                result.update({key: self.value(others, depth + 1) for key in ("key one", "0")})
        elif others is not False and not (lean and result) and self.choose(2):
            result["x-unknown"] = [1, {"a": None}]
        return result


def _types(schema: Node) -> list[str]:
    """Return the JSON types that a schema names or means."""
    if "type" in schema:
        return [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
    for key, kind in (("properties", "object"), ("additionalProperties", "object"), ("items", "array")):
        if key in schema:
            return [kind]
    return []


def _is_nullable(contract: Node, schema: Any) -> bool:
    schema = resolve(contract, schema)
    if not is_node(schema):
        return False
    if schema.get("nullable") is True or "null" in _types(schema) or None in (schema.get("enum") or ()):
        return True
    if any(_is_nullable(contract, one) for key in ("oneOf", "anyOf") for one in schema.get(key, ())):
        return True
    parts = schema.get("allOf", ())
    return bool(parts) and "type" not in schema and all(_is_nullable(contract, one) for one in parts)


def _is_old(contract: Node) -> bool:
    """Return whether keywords beside a $ref are ignored, as in OpenAPI 3.0."""
    return str(contract["openapi"]).startswith("3.0")


def _merged(contract: Node, schema: Any, depth: int = 0) -> Node:
    """Return a schema that says what a schema and all parts of its allOf say."""
    if depth > 30:
        raise EndlessError
    if is_node(schema) and "$ref" in schema and len(schema) > 1 and not _is_old(contract):
        schema = {**schema, "allOf": [{"$ref": schema["$ref"]}, *schema.get("allOf", ())]}
        del schema["$ref"]
    schema = resolve(contract, schema)
    if not is_node(schema):
        return {}
    result: Node = {}
    for part in [*(_merged(contract, one, depth + 1) for one in schema.get("allOf", ())), schema]:
        properties: Node = dict(result.get("properties", {}))
        for name, child in part.get("properties", {}).items():
            properties[name] = {"allOf": [properties[name], child]} if name in properties else child
        required = [*result.get("required", ()), *part.get("required", ())]
        result.update({key: value for key, value in part.items() if key not in ("allOf", "nullable")})
        result.update({"properties": properties} if properties else {})
        result.update({"required": required} if required else {})
    return result


def wire(value: Any) -> Any:
    """Return a sample as JSON."""
    if is_node(value):
        return {key: wire(child) for key, child in value.items()}
    if is_list(value):
        return [wire(child) for child in value]
    return None if value is NULL else value


def differences(expected: Any, got: Any, path: str = "") -> Iterator[str]:
    """Yield where a value differs from a sample. A point in time may be written differently."""
    if is_node(expected) and is_node(got):
        wanted, found = expected, got
        for key in wanted.keys() | found.keys():
            if key not in wanted:
                yield f"{path}.{key} is added"
            elif key in found:
                yield from differences(wanted[key], found[key], f"{path}.{key}")
            elif wanted[key] is not NULL:
                yield f"{path}.{key} is lost"
    elif is_list(expected) and is_list(got):
        items, results = expected, got
        if len(items) != len(results):
            yield f"{path} has {len(results)} items instead of {len(items)}"
        for item, result in zip(items, results, strict=False):
            yield from differences(item, result, f"{path}[]")
    elif not _same(wire(expected), got):
        yield f"{path} is {got!r} instead of {wire(expected)!r}"


def _same(expected: Any, got: Any) -> bool:
    if isinstance(expected, str) and isinstance(got, str):
        return expected == got or (_moment(expected) is not None and _moment(expected) == _moment(got))
    return expected == got and isinstance(expected, bool) == isinstance(got, bool)


def _moment(text: str) -> datetime.datetime | None:
    try:
        return datetime.datetime.fromisoformat(text)
    except ValueError:
        return None


Pairs: TypeAlias = "list[tuple[str, str]]"


def text_of(value: Any) -> str:
    """Return a scalar as it stands in a URL."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def query_of(parameter: Node, value: Any) -> Pairs:
    """Return the pairs that a parameter adds to a query.

    Raises:
        LookupError: This module does not know the style, so it cannot check the parameter.
    """
    name, style = parameter["name"], parameter.get("style", "form")
    explode = parameter.get("explode", style == "form")
    if "schema" not in parameter:
        raise LookupError("a parameter with content")
    if style == "deepObject" and is_node(value):
        return [(f"{name}[{key}]", text_of(one)) for key, one in value.items()]
    if is_list(value) and explode:
        return [(name, text_of(one)) for one in value]
    if is_list(value) and style in _SEPARATORS:
        return [(name, _SEPARATORS[style].join(map(text_of, value)))]
    if is_node(value) or style != "form":
        raise LookupError(f"a parameter of the style {style}")
    return [(name, text_of(value))]


def segment_of(parameter: Node, value: Any) -> str:
    """Return what a parameter puts into the path, before percent-encoding.

    Raises:
        LookupError: This module does not know the style, so it cannot check the parameter.
    """
    if parameter.get("style", "simple") != "simple" or is_node(value) or "schema" not in parameter:
        raise LookupError("a path parameter of another style than simple")
    return ",".join(map(text_of, value)) if is_list(value) else text_of(value)


def argument_of(schema: Node, value: Any) -> Any:
    """Return a sample as the argument that a caller passes."""
    if is_list(value):
        return [argument_of(schema.get("items", {}), one) for one in value]
    reader = _READERS.get(str(schema.get("format")))
    return reader(value) if reader and isinstance(value, str) else value


def wrongs(contract: Node, operation: Operation, function: Callable[..., Any]) -> list[str]:
    """List the faults of the generated function of an operation."""
    try:
        return sorted({*_Check(contract, operation, function).run()})
    except Exception as error:
        return [f"{type(error).__name__}: {str(error)[:200]}"]


class _Check:
    def __init__(self, contract: Node, operation: Operation, function: Callable[..., Any]) -> None:
        self._contract = contract
        self._path, self._method = operation
        self._operation = operations(contract)[operation]
        self._function = function
        self._types = importlib.import_module(f"{function.__module__.partition('.')[0]}.types")
        self._drift: list[str] = []

    def run(self) -> Iterator[str]:
        if self._operation.get("servers", self._contract.get("servers")) != self._contract.get("servers"):
            yield "the operation has a server of its own"
        for number in range(SAMPLES):
            yield from self._request(number)
            yield from self._response(number)
        yield from self._drift

    def _hook(self, path: str, expected: str, got: str) -> None:
        self._drift.append(f"{path} is reported: {got} instead of {expected}")

    def _request(self, number: int) -> Iterator[str]:
        sampler = Sampler(self._contract, number)
        arguments = dict(inspect.signature(self._function).parameters)
        passed: Node = {}
        path, query = self._path, cast("Pairs", [])
        for one in self._operation["parameters"]:
            if one["in"] == "header" and one["name"].lower() in IGNORED_HEADERS:
                continue
            keyword = _argument_name(one, arguments)
            if keyword is None or one["in"] not in ("path", "query"):
                yield f"the {one['in']} parameter {one['name']} has no argument"
                continue
            optional = arguments.pop(keyword).default is None
            if optional == bool(one.get("required")):
                yield f"the parameter {one['name']} is {'optional' if optional else 'required'}"
            if not one.get("required") and number == SAMPLES - 1:
                continue
            schema = _merged(self._contract, one.get("schema", {}))
            value = wire(sampler.value(schema))
            if value in (None, []) or (one["in"] == "path" and value == "") or (is_list(value) and None in value):
                value = [self._plain(schema)] if is_list(value) else self._plain(schema)
            passed[keyword] = argument_of(schema, value)
            if one["in"] == "path":
                path = path.replace("{" + one["name"] + "}", quote(segment_of(one, value), safe=""))
            else:
                query += query_of(one, value)
        body = yield from self._body(sampler, number, arguments, passed)
        yield from (f"the argument {name} has no parameter" for name in arguments)
        request = self._function(**passed)
        yield from self._target_faults(request.target, path, query)
        if request.method != self._method.upper():
            yield f"the method is {request.method}"
        if body is NULL:
            if request.body is not None:
                yield f"there is a body: {request.body!r}"
        else:
            yield from (f"body{fault}" for fault in differences(body, request.body))

    def _plain(self, schema: Node) -> Any:
        schema = _merged(self._contract, schema.get("items", {})) if "array" in _types(schema) else schema
        return next(iter(schema.get("enum", ())), _FORMATTED.get(str(schema.get("format")), ("x",))[0])

    def _body(
        self, sampler: Sampler, number: int, arguments: dict[str, inspect.Parameter], passed: Node
    ) -> Generator[str, None, Any]:
        """Add the argument for the body, and return the body that must be sent, or NULL."""
        described = self._operation.get("requestBody")
        if not described:
            return NULL
        argument = arguments.pop("body", None)
        media = _json_media(described)
        if argument is None or media is None:
            yield "the body has no argument" if argument is None else "the body is not JSON"
            return NULL
        if number == SAMPLES - 1 and argument.default is None:
            return NULL
        expected = sampler.value(media.get("schema", {}))
        hint = typing.get_type_hints(self._function)["body"]
        model = next((one for one in (hint, *typing.get_args(hint)) if hasattr(one, "from_dict")), None)
        is_model = model and is_node(expected)
        passed["body"] = model.from_dict(wire(expected), None, self._hook) if model and is_model else wire(expected)
        return expected

    def _target_faults(self, target: str, path: str, query: Pairs) -> Iterator[str]:
        got_path, _, got_query = target.partition("?")
        base = server(self._contract)
        base = ("/" + base.partition("://")[2].partition("/")[2] if "://" in base else base).rstrip("/")
        got_segments, segments = ([*map(unquote, one.split("/"))] for one in (got_path, base + path))
        if len(got_segments) != len(segments) or not all(map(_same_text, segments, got_segments)):
            yield f"the path is {got_path!r} instead of {base + path!r}"
        pairs = [one.partition("=") for one in got_query.split("&") if one]
        got = sorted(((unquote(name), unquote(value)) for name, _, value in pairs), key=_name)
        query = sorted(query, key=_name)
        if [*map(_name, got)] != [*map(_name, query)] or not all(
            _same_text(a[1], b[1]) for a, b in zip(got, query, strict=True)
        ):
            yield f"the query is {got!r} instead of {query!r}"

    def _response(self, number: int) -> Iterator[str]:
        responses = self._operation["responses"]
        successes = [one for status, one in responses.items() if status.startswith("2")]
        for response in successes or [one for status, one in responses.items() if status == "default"]:
            request = self._function(**self._least())
            media = _json_media(response)
            if not response.get("content"):
                request.decode(None, self._hook)
                continue
            if media is None:
                yield "a response that is not JSON is ignored"
                continue
            expected = Sampler(self._contract, number).value(media.get("schema", {}))
            result = request.decode(wire(expected), self._hook)
            for fault in differences(NULL if expected is None else expected, self._types.encode(result)):
                yield f"response{fault}"

    def _least(self) -> Node:
        """Return the required arguments, for a request of which only the response is checked."""
        return {
            name: 1
            for name, parameter in inspect.signature(self._function).parameters.items()
            if parameter.default is inspect.Parameter.empty
        }


def _name(pair: tuple[str, str]) -> str:
    return pair[0]


def _same_text(left: str, right: str) -> bool:
    """Compare texts of a URL. A number or a point in time may be written differently."""
    if _same(left, right):
        return True
    try:
        return float(left) == float(right)
    except ValueError:
        return False


def _argument_name(parameter: Node, arguments: Iterable[str]) -> str | None:
    """Find the argument of a parameter: its name is the parameter's, as far as Python allows."""
    name = words(parameter["name"])
    wanted = (name, f"{name}{parameter['in']}", f"field{name}")
    return next((one for want in wanted for one in arguments if words(one) == want), None)


def _json_media(holder: Node) -> Any:
    for media_type, media in holder.get("content", {}).items():
        essence = media_type.partition(";")[0].strip().lower()
        if essence == "application/json" or essence.endswith("+json"):
            return media
    return None
