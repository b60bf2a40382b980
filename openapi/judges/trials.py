"""The calls that Prism judges, and the responses that they must get: all of it derives from the contract."""

from __future__ import annotations

import datetime
import inspect
import sys
import uuid
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, cast, get_args, get_type_hints

from attrs import evolve, frozen
from openapi_python_client.strings import PythonIdentifier

from teamwork_desk import AsyncDesk, OutcomeUnknownError, Resource
from teamwork_desk._references import KINDS

sys.path.append(str(Path(__file__).resolve().parents[1]))
from contract import Node, json_types, objects, operations, parameters, properties, required, resolve

JSON = "application/json"
DEEPEST = 3
"""The levels of a sample. Below them an object has its required properties only, because schemas may be circular."""
FORMATS = {
    "date": "2024-12-19",
    "date-time": "2024-12-19T16:02:34Z",
    "email": "jo@example.com",
    "uri": "https://example.com",
    "uuid": "7d444840-9dc0-11d1-b245-5ffdce74fad2",
}
PARSERS: dict[str, Callable[[str], Any]] = {
    "date": datetime.date.fromisoformat,
    "date-time": datetime.datetime.fromisoformat,
    "uuid": uuid.UUID,
}
"""The formats for which a generated function takes another type than the JSON."""
WRONG: dict[str, Any] = {"boolean": True, "string": "text", "integer": 7, "array": [], "object": {}}
"""A value of each JSON type, for the fields that must not have this type."""


@frozen(kw_only=True)
class Operation:
    """An operation of the contract.

    Attributes:
        name: The operationId.
        address: The method and the path.
        function: The generated function.
        parameters: Its parameters, with those of its path, without references.
        body: The JSON content of its body; None if it has no such body.
        responses: Its responses by status, without references.
    """

    name: str
    address: str
    function: Callable[..., Any]
    parameters: list[Node]
    body: Node | None
    responses: dict[str, Node]


def operations_of(contract: Node) -> list[Operation]:
    """Return the operations of a contract."""
    return [
        Operation(
            name=operation["operationId"],
            address=f"{method.upper()} {path}",
            function=_function_of(operation),
            parameters=parameters(contract, item, operation),
            body=json_content(resolve(contract, operation.get("requestBody", {}))),
            responses={str(status): resolve(contract, each) for status, each in operation["responses"].items()},
        )
        for path, method, item, operation in operations(contract)
    ]


def _function_of(operation: Node) -> Callable[..., Any]:
    # The names are the generator's own.
    name = PythonIdentifier(operation["operationId"], "field_")
    tag = PythonIdentifier(operation.get("tags", ["default"])[0], "tag")
    function: Callable[..., Any] = getattr(import_module(f"teamwork_desk_api.api.{tag}.{name}"), name)
    return function


def json_content(part: Node) -> Node | None:
    """Return the JSON content of a body or of a response; None if it has none."""
    return next((media for kind, media in objects(part.get("content")) if kind.partition(";")[0] == JSON), None)


# Trials


@frozen
class Trial:
    """A call, and the expected verdict of Prism.

    Attributes:
        name: The name of the trial, for the report.
        call: Makes the call.
        rejected_part: The part of the request for which Prism must reject it, or None if it must accept the request.
        rejection: The response with which Prism must reject it.
        is_example: Whether it sends the example of an operation.
    """

    name: str
    call: Callable[[], Awaitable[Any]]
    rejected_part: str | None = None
    rejection: Rejection | None = None
    is_example: bool = False


@frozen
class Rejection:
    """The response to a request that breaks the contract.

    Attributes:
        status: The status: 400 if the contract describes it, and otherwise Prism's own 422.
        errors: The reasons by field, from the contract's example; None if it has no such example.
    """

    status: int
    errors: Any


def rejection_of(operation: Operation) -> Rejection:
    """Return the response with which Prism rejects a request of an operation."""
    for status in ("422", "400"):
        if status in operation.responses:
            content = json_content(operation.responses[status]) or {}
            example = example_of(content)
            errors = cast("Node", example).get("errors") if isinstance(example, dict) else None
            return Rejection(int(status), errors if isinstance(errors, dict) else None)
    return Rejection(422, None)


def operation_trials(contract: Node, desk: AsyncDesk) -> Iterator[Trial]:
    """Yield a trial of every operation with its examples, and of every body field with a right and a wrong value."""
    for operation in operations_of(contract):
        name, arguments = operation.name, example_arguments(contract, operation)
        yield Trial(name, partial(_send, desk, operation, arguments), is_example=True)
        rejection = rejection_of(operation)
        for field, schema in body_fields(contract, operation).items():
            right, attribute = body_with(contract, operation, field)
            yield Trial(f"{name} with {field}", partial(_send, desk, operation, {**arguments, "body": right}))
            for value in wrong_values(contract, schema):
                body = evolve(right, **{attribute: value})
                call = partial(_send, desk, operation, {**arguments, "body": body})
                # The field is set by its Python name, and Prism reports it by its name in the contract.
                yield Trial(f"{name} with a wrong {field}", call, f"request/body/{field}", rejection)


async def _send(desk: AsyncDesk, operation: Operation, arguments: dict[str, Any]) -> None:
    await desk.send(operation.function(**arguments))


def method_trials(contract: Node, desk: AsyncDesk) -> Iterator[Trial]:
    """Yield a trial of every method that is written by hand. A new method needs a line here."""
    yield from _convert_trials(contract, desk)
    yield Trial("conversations.get", partial(desk.conversations.get, 42))
    listing = desk.conversations.list(filter={"id": {"$eq": 42}}, order_by="createdAt", order_mode="asc")
    yield Trial("conversations.list", partial(read_all, listing))
    for attribute in KINDS:
        listing = getattr(desk, attribute).list(filter={"id": {"$eq": 42}}, order_by="id", order_mode="asc")
        yield Trial(f"{attribute}.list", partial(read_all, listing))
        yield Trial(f"{attribute}.find", partial(_find, desk, attribute))
    yield Trial("files.upload", partial(desk.files.upload, b"bytes", filename="invoice.pdf"))


def _convert_trials(contract: Node, desk: AsyncDesk) -> Iterator[Trial]:
    """Yield a trial of `convert` with each field of the body.

    Each converts another conversation: while an outcome is unknown, the client does not convert the conversation again.
    No trial looks the conversation up first, because the mock's listing shows the conversation of the example only.
    """
    (convert,) = (each for each in operations_of(contract) if each.name == "convertConversation")
    old = desk.with_options(email_fallback="always")
    name = "conversations.convert"
    yield Trial(f"{name} on an old installation", partial(_convert, old, 42, customer="jo@example.com"))
    for number, field in enumerate(body_fields(contract, convert), 43):
        body, attribute = body_with(contract, convert, field)
        arguments = {attribute: getattr(body, attribute), "verify_first": False}
        yield Trial(f"{name} with {field}", partial(_convert, desk, number, **arguments))


async def _convert(desk: AsyncDesk, conversation_id: int, **arguments: Any) -> None:
    try:
        await desk.conversations.convert(conversation_id, **arguments)
    except OutcomeUnknownError as error:
        # The mock responds with the example of the API page, whose ticket_id is 0. The SDK takes no such response for a
        # success, and this trial is about the request.
        if "names no ticket" not in str(error):
            raise


async def _find(desk: AsyncDesk, attribute: str) -> None:
    """Find the first object that is listed."""
    resource: Resource[Any] = getattr(desk, attribute)
    listed = [each async for each in resource.list()]
    await resource.find(next(filter(None, KINDS[attribute].names(listed[0]))))


async def read_all(listing: Any) -> None:
    """Read a listing to its end."""
    async for _ in listing:
        pass


# Values


def example_of(holder: Node) -> Any:
    """Return the first example of a parameter, of a schema or of content; None if it has none."""
    if "example" in holder:
        return holder["example"]
    examples: Any = holder.get("examples")
    if isinstance(examples, dict):  # of a parameter or of content
        return next((each.get("value") for _, each in objects(cast("Any", examples))), None)
    return cast("list[Any]", examples)[0] if examples else None


def example_arguments(contract: Node, operation: Operation) -> dict[str, Any]:
    """Return the arguments for a generated function from the examples of its operation, or from its schemas."""
    names = {name.rstrip("_"): name for name in inspect.signature(operation.function).parameters}
    arguments: dict[str, Any] = {}
    for parameter in operation.parameters:
        bare = PythonIdentifier(parameter["name"], "field_").rstrip("_")
        # The generator adds the place if two parameters have the same name.
        name = names.get(bare) or names[f"{bare}_{parameter['in']}"]
        schema = resolve(contract, parameter.get("schema", {}))
        example = example_of(parameter)
        arguments[name] = _argument(schema, sample(contract, schema) if example is None else example)
    if operation.body is not None:
        example = example_of(operation.body)
        if example is None:
            example = sample(contract, operation.body.get("schema", {}))
        arguments["body"] = _body_model(operation).from_dict(example)
    return arguments


def _argument(schema: Node, value: Any) -> Any:
    parse = PARSERS.get(schema.get("format", ""))
    return parse(value) if parse and isinstance(value, str) else value


def _body_model(operation: Operation) -> Any:
    hint = get_type_hints(operation.function)["body"]
    return next(iter(get_args(hint)), hint)  # the hint of a body that is not required is a union with None


def body_fields(contract: Node, operation: Operation) -> dict[str, Node]:
    """Return the schemas of the fields of an operation's body by their names."""
    if operation.body is None:
        return {}
    return {name: found[-1] for name, found in properties(contract, operation.body.get("schema", {})).items()}


def body_with(contract: Node, operation: Operation, field: str) -> tuple[Any, str]:
    """Return a body with a single field and the required ones, and the Python name of the field."""
    fields = body_fields(contract, operation)
    assert operation.body is not None  # noqa: S101 - it has fields
    needed = required(contract, operation.body.get("schema", {})) - {field}
    others = {name: sample(contract, schema) for name, schema in fields.items() if name in needed}
    body = _body_model(operation).from_dict({**others, field: sample(contract, fields[field])})
    before = cast("dict[str, Any]", _body_model(operation).from_dict(others).__dict__)
    values = cast("dict[str, Any]", body.__dict__)
    (attribute,) = (name for name, value in values.items() if value != before[name])
    return body, attribute


def wrong_values(contract: Node, schema: Any) -> list[Any]:
    """Return a value that a schema does not allow; nothing if it allows every value."""
    allowed = {"integer" if kind == "number" else kind for kind in json_types(contract, schema)}
    return [] if "any" in allowed else [value for kind, value in WRONG.items() if kind not in allowed][:1]


def sample(contract: Node, schema: Any, depth: int = 0) -> Any:
    """Return a value that is valid for a schema. An object has its required properties, or its first property."""
    schema = resolve(contract, schema)
    example = example_of(schema)
    if example is not None:
        return example
    if "allOf" in schema and properties(contract, schema):
        return _object(contract, schema, depth)
    for key in ("allOf", "anyOf", "oneOf"):
        if key in schema:
            parts = [part for part in schema[key] if json_types(contract, part) != ["null"]]
            return sample(contract, parts[0], depth) if parts else None
    return schema["const"] if "const" in schema else _typed_sample(contract, schema, depth)


def _typed_sample(contract: Node, schema: Node, depth: int) -> Any:
    kinds = schema.get("type", "object" if "properties" in schema else "string")
    match kinds if isinstance(kinds, str) else next(kind for kind in kinds if kind != "null"):
        case "object":
            return _object(contract, schema, depth)
        case "array":
            first = [sample(contract, part, depth + 1) for part in schema.get("prefixItems", ())]
            return first or [sample(contract, schema.get("items", {}), depth + 1)] * max(1, schema.get("minItems", 1))
        case "boolean":
            return True
        case "integer" | "number":
            return min(max(1, schema.get("minimum", 1)), schema.get("maximum", sys.maxsize))
        case _:
            text = FORMATS.get(schema.get("format", ""), (schema.get("x-extensible-enum") or ["text"])[0])
            return text[: schema.get("maxLength", len(text))].ljust(schema.get("minLength", 0), "x")


def _object(contract: Node, schema: Node, depth: int) -> dict[str, Any]:
    fields, names = properties(contract, schema), required(contract, schema)
    if not names and depth < DEEPEST:
        names = set([*fields][:1])
    found = {name: sample(contract, fields[name][-1], depth + 1) for name in fields if name in names}
    values = schema.get("additionalProperties", not fields)
    if found or fields or values is False or depth >= DEEPEST:
        return found
    return {"any": sample(contract, values if isinstance(values, dict) else {}, depth + 1)}
