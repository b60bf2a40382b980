"""Find the parts of a contract that the generator would drop, change or misread.

keywords.py says which keywords are supported, and structure.py checks the types of their values.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Any, cast

from contract import (
    ANNOTATIONS,
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
    without_null,
)
from keywords import BOOLEANS, KINDS, NEEDED, NUMBER_FORMATS, SCALARS, SCHEMA_KINDS, TEXT_FORMATS, TYPED_FORMATS, TYPES
from names import PREFIX, RESERVED, argument_names, field_names
from openapi_python_client.strings import ClassName, PythonIdentifier
from structure import Fault, Path, circles, structure_faults, walk

_VARIABLE = re.compile("[A-Za-z_-][A-Za-z0-9_-]*")
_URL_PATH = re.compile(r"(/([A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2}|{[^/{}]+})*)+")


def lint(contract: Node) -> list[str]:
    """List the parts of a contract that the generator would silently drop or change.

    Args:
        contract: The contract.

    Returns:
        A line for each fault, with the path of the part that has it.
    """
    # The other checks follow references, so a reference must lead to something, and not back to itself.
    faults = [*structure_faults(contract)] or [*circles(contract)] or [*_all_faults(contract)]
    return [f"{'/'.join(path)}: {fault}" for path, fault in faults]


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
    if "$ref" not in node:
        article = "an" if kind[0] in "aeiou" else "a"
        yield from (
            (path, f"{article} {kind} needs {key}") for key in NEEDED.get(kind, ()) if node.get(key) in ("", None)
        )
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
    yield from (f"type has {one!r} twice" for one in sorted({*own}) if own.count(one) > 1)
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
    yield from _format_faults(contract, kind, node)
    yield from _composition_faults(contract, kind, node)
    if "x-extensible-enum" in node:
        yield from _enum_faults(node, own)
    if node.get("x-secret", True) is not True:
        yield "x-secret has no other value than true"
    if kind == "component":
        yield from _field_faults(contract, node)
        yield from _envelope_faults(contract, path, node)


def _null_faults(kind: str, types: list[str]) -> Iterator[str]:
    if types == ["null"] and kind != "member":
        yield "a value that is always null is not supported"
    if "null" in types and kind in ("items", "values"):
        yield "an array or a map with null in it is not supported: null would be left out"


def _unknown_required(contract: Node, node: Node) -> list[str]:
    names = required(contract, node) if "properties" in node or "allOf" in node else set[str]()
    return sorted(names - properties(contract, node).keys())


def _format_faults(contract: Node, kind: str, node: Node) -> Iterator[str]:
    name = node.get("format")
    if name in TYPED_FORMATS:
        if "string" not in own_types(node):
            yield f"the format {name!r} has an effect only on a string"
    elif name is not None and name not in TEXT_FORMATS | NUMBER_FORMATS:
        yield f"the format {name!r} is not supported"
    if kind != "component" and {"date", "date-time"} <= formats(contract, node):
        yield "dates and date-times in the same value are not supported: a datetime would be sent for either"


def _composition_faults(contract: Node, kind: str, node: Node) -> Iterator[str]:
    """Yield the faults of allOf, anyOf and oneOf."""
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
    elif expected is int and any(abs(value) >= 2**63 for value in values):
        yield "x-extensible-enum needs integers of at most 64 bits: type checkers know no others"


def _envelope_faults(contract: Node, path: Path, node: Node) -> Iterator[str]:
    if "x-envelope" not in node:
        return
    envelope: Any = node["x-envelope"]
    if type(envelope) is not str or not envelope:
        yield "x-envelope needs the name of a property"
    elif fault := next(_unwritable([envelope]), ""):
        yield fault
    elif envelope in properties(contract, node):
        yield f"x-envelope names {envelope!r}, which is a property of the schema itself"
    if json_types(contract, node) != ["object"] or is_map(contract, node):
        yield "x-envelope has an effect only on an object with properties"
    if node.get("additionalProperties", True) not in (True, {}):
        yield "x-envelope beside typed additionalProperties, which could not hold the other keys of the response"
    ref = {"$ref": "#/" + "/".join(path)}
    results = [result for *_, operation in operations(contract) for result in _results(contract, operation)]
    if not any(without_null(contract, result)[0] == ref for result in results):
        yield "x-envelope has an effect only on a schema that is a response"


# Operations and parameters


def _parameter_faults(contract: Node, node: Node) -> Iterator[str]:
    place = node.get("in")
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
    yield from (
        f"the variable {name!r} of the path has other characters than letters, digits, - and _, or begins with a digit"
        for name in {*variables}
        if not _VARIABLE.fullmatch(name)
    )
    yield from (f"the path has the variable {name!r} twice" for name in {*variables} if variables.count(name) > 1)
    yield from (f"the variable {name!r} of the path is no parameter" for name in {*variables} - known)
    yield from (f"the parameter {name!r} is not in the path" for name in known - {*variables})


def _argument_faults(contract: Node, item: Node, operation: Node) -> Iterator[str]:
    """Yield the parameters that would be the same argument in Python."""
    arguments: dict[str, str] = {}
    known = [(str(node.get("in")), str(node.get("name"))) for node in parameters(contract, item, operation)]
    yield from _unwritable({name for _, name in known})
    yield from _misread({name for _, name in known})
    for (_, name), argument in argument_names(known).items():
        # An underscore at the end makes a name of Python's own usable, so it does not distinguish two names.
        other = arguments.setdefault(argument.rstrip("_"), name)
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
    for owner in (item, operation):
        nodes = [resolve(contract, one) for one in children(owner, "parameters")]
        own = [(node.get("in"), node.get("name")) for node in nodes]
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
        yield "responses: a response with a status of 2xx is missing"
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
        if {".", ".."} & {*url.replace("%2e", ".").replace("%2E", ".").split("/")}:
            yield ("paths", url), "a segment . or .. in a path is not supported: it would change the rest of the path"
    bases = {base_path(server) for server in children(contract, "servers")}
    if any(base and not _URL_PATH.fullmatch(base) for base in bases):
        yield ("servers",), "a server's URL with a query, a fragment or characters to escape is not supported"
    if len(bases) > 1 or any("{" in base for base in bases):
        yield ("servers",), "servers whose URLs have different paths, or a variable in the path, are not supported"


def _name_faults(contract: Node) -> Iterator[Fault]:
    """Yield the schemas and operations whose names in Python clash, are too long, or are used by the generated code."""
    modules: dict[str, str] = {}
    for name in map(str, schemas(contract)):
        class_name = ClassName(name, PREFIX)
        module = PythonIdentifier(class_name, PREFIX)
        here = ("components", "schemas", name)
        yield from ((here, fault) for fault in _misread([name]))
        if class_name in RESERVED:
            yield here, f"the generated code uses the name {class_name} itself"
        if _is_too_long(module):
            yield here, TOO_LONG
        other = modules.setdefault(module, name)
        if other != name:
            yield here, f"it would have the same module as {other}"
    functions: dict[str, str] = {}
    classes = {str(ClassName(name, PREFIX)) for name in map(str, schemas(contract))}
    for path, method, _, operation in operations(contract):
        here = ("paths", path, method)
        name = PythonIdentifier(str(operation.get("operationId")), PREFIX)
        yield from ((here, fault) for fault in _misread([name, *children(operation, "tags")]))
        if name.startswith("decode_") or str(name) in classes:
            yield here, f"the generated code uses the name {name} itself"
        if _is_too_long(name):
            yield (*here, "operationId"), TOO_LONG
        if any(_is_too_long(PythonIdentifier(tag, "tag")) for tag in children(operation, "tags")):
            yield (*here, "tags"), TOO_LONG
        other = functions.setdefault(name, f"{method} {path}")
        if other != f"{method} {path}":
            yield here, f"it would have the same function name as {other}: {name}"


TOO_LONG = "the name is too long for a file"


def _is_too_long(module: str) -> bool:
    """Return whether a module's name is too long for a file or a folder, of which 255 bytes are usual."""
    return len(module.encode()) > 200


def _field_faults(contract: Node, node: Node) -> Iterator[str]:
    """Yield the properties of a model that would have the same name in Python, or whose name cannot be written."""
    names = [*properties(contract, node)]
    yield from _unwritable(names)
    yield from _misread(names)
    fields: dict[str, str] = {}
    for name, field in field_names(names, schemas(contract)).items():
        other = fields.setdefault(field, name)
        if other != name:
            yield f"the properties {other!r} and {name!r} would have the same name in Python: {field}"


def _unwritable(names: Iterable[str]) -> Iterator[str]:
    """Yield the names with characters that the generator would leave out, so that another name would be sent."""
    for name in names:
        if any(unicodedata.category(one)[0] == "C" or unicodedata.category(one) in ("Zl", "Zp") for one in name):
            yield f"the name {name!r} has a control character, which is not supported"


def _misread(names: Iterable[str]) -> Iterator[str]:
    """Yield the names with characters such as the micro sign: Python reads an identifier with them as another one."""
    for name in names:
        identifier = PythonIdentifier(name, PREFIX)
        if unicodedata.normalize("NFKC", identifier) != identifier:
            yield f"the name {name!r} has a character that Python replaces in names, which is not supported"
