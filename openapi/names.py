"""The names in Python that the generated code uses for the names in a contract."""

from __future__ import annotations

from collections.abc import Iterable

from openapi_python_client.strings import ClassName, PythonIdentifier

PREFIX = "field_"
"""What openapi-python-client puts before a name that is not a Python identifier."""
RESERVED = frozenset({"Any", "At", "Hook", "Literal", "Mapping", "Request", "Self", "TypeAlias"})
"""The names that the generated modules use themselves."""
_DEFINED = frozenset({"from_dict", "to_dict", "decode", "additional_properties", "body", "ignore"})
"""The names that the generated code defines itself."""
_UNUSED = frozenset(
    {"all", "any", "filter", "format", "hash", "input", "iter", "map", "max", "min", "next", "object", "open"}
    | {"property", "range", "set", "slice", "sum", "type", "vars", "zip"}
)
"""The builtins that no generated code uses where a property's name would hide them."""


def field_names(names: Iterable[str], schemas: Iterable[str]) -> dict[str, str]:
    """Return the name in Python of each property of a model.

    Args:
        names: The properties of the model.
        schemas: The names of all schemas. A field with the name of a class would hide it from the types of the fields.
    """
    types = RESERVED.union(str(ClassName(str(name), PREFIX)) for name in schemas)
    plain = {name: str(PythonIdentifier(name, PREFIX)) for name in names}
    taken = [*plain.values()]
    # Names such as `aB` and `a_b`, which would be the same in snake case, keep their own spelling.
    fields = {
        name: _usable(one if taken.count(one) == 1 else PythonIdentifier(name, PREFIX, skip_snake_case=True))
        for name, one in plain.items()
    }
    return {name: f"{field}_" if field in types else field for name, field in fields.items()}


def argument_names(parameters: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Return the name in Python of each parameter of an operation, which is given as its place and its name."""
    places = [*parameters]
    names = [name for _, name in places]
    found: dict[tuple[str, str], str] = {}
    for place, name in places:
        identifier = PythonIdentifier(name, PREFIX)
        # openapi-python-client adds the place to equal names, and to the names that it uses itself.
        if names.count(name) > 1 or identifier in ("client", "url"):
            identifier = PythonIdentifier(f"{identifier}_{place}", PREFIX)
        found[place, name] = _usable(identifier)
    return found


def _usable(identifier: str) -> str:
    """Return a name that does not hide what the generated code needs.

    openapi-python-client renames everything that is named after a builtin, such as `type_`. That is undone where
    nothing would be hidden.
    """
    bare = identifier.removesuffix("_")
    if bare in _DEFINED:
        return f"{bare}_"
    return bare if bare in _UNUSED else identifier
