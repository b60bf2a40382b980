"""Report how a change affects callers, and which version it needs: `make diff BASE=<ref>`.

It compares the working tree with a git ref, by default with the last release. The contract is compared by the rules in
this module, and the two Python packages with griffe. `--check` fails if the version in pyproject.toml is too low.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import shutil
import subprocess
import tarfile
import tempfile
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from enum import IntEnum
from pathlib import Path
from typing import Any, cast

import griffe
import yaml
from attrs import evolve, frozen
from contract import ContractError, Node, json_types, load, objects, operations, parameters, resolve, schemas
from generate import differences
from lint import lint
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
GIT = shutil.which("git") or "git"
PACKAGES = {"teamwork_desk": "overrides", "teamwork_desk_api": "generated"}
LIMITS = (
    "maximum",
    "minimum",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "maxLength",
    "minLength",
    "maxItems",
    "minItems",
)
ANY = {"any", "Any"}
"""The types that accept every value, in the contract and in Python."""
WIDER = {"integer": "number", "int": "float"}
"""For each type the type that also accepts all its values."""
NOTHING: frozenset[str] = frozenset()
BOTH_WAYS = frozenset({"sent", "read"})
CALLED = frozenset({"called"})
"""The ways of an operation."""


class Level(IntEnum):
    """How a change affects callers. From 1.0.0 on it is also the part of the version that must increase."""

    NOTHING = 0
    PATCH = 1
    MINOR = 2
    MAJOR = 3


LABELS = {Level.PATCH: "fix", Level.MINOR: "addition", Level.MAJOR: "BREAKING"}


@frozen(order=True)
class Change:
    """A change, and how it affects callers."""

    level: Level
    text: str


@frozen(kw_only=True)
class Fact:
    """The properties of a part of the contract (an operation, parameter, body, response or field), or of a Python name.

    Attributes:
        types: The types that it may have.
        ways: Whether callers send it, read it, or both. It is empty if callers do not see it.
        required: Whether callers must send it, or a response cannot be used without it.
        nullable: Whether it may be null.
        deprecated: Whether it is deprecated.
        values: The values that are known today. It is empty if every value is allowed.
        limits: Its limits, such as a maximum length.
        wire: How a parameter is sent. Callers do not see it.
        envelope: The name under which a response may be wrapped; empty if it is never wrapped, and None if it is not a
            whole response.
        secret: Whether it is left out of every repr.
    """

    types: frozenset[str]
    ways: frozenset[str]
    required: bool = False
    nullable: bool = False
    deprecated: bool = False
    values: frozenset[str] = NOTHING
    limits: frozenset[tuple[str, float]] = frozenset()
    wire: str = ""
    envelope: str | None = None
    secret: bool = False


# The rules


def compare(old: Mapping[str, Fact], new: Mapping[str, Fact]) -> Iterator[Change]:
    """Yield the changes between the facts of two contracts."""
    for name, renamed in _renamed(old, new).items():
        yield Change(Level.MAJOR, f"{name}: renamed to {renamed}; callers use the function of this name")
        # Compare the rest of the operation as if it always had its new name.
        old = {renamed + each[len(name) :] if _owner(each) == name else each: fact for each, fact in old.items()}
    for name in sorted(old.keys() | new.keys()):
        owner = _owner(name)
        if owner != name and (owner in old) != (owner in new):
            continue  # The owner was added or removed, and that change is enough to report.
        before, after = old.get(name), new.get(name)
        if before is None:
            assert after is not None  # noqa: S101 - the name is in at least one of them
            yield _added(name, after)
        elif after is None:
            yield Change(Level.MAJOR if before.ways else Level.PATCH, f"{name}: removed")
        else:
            yield from changes(name, before, after)


def _owner(name: str) -> str:
    """Return the operation or the schema that a name belongs to."""
    return re.split(r"[.( ]", name, maxsplit=1)[0]


def _renamed(old: Mapping[str, Fact], new: Mapping[str, Fact]) -> dict[str, str]:
    """Return the new names of the operations that have another name for the same method and path."""
    added = {fact.types: name for name, fact in new.items() if fact.ways == CALLED and name not in old}
    removed = {name: fact.types for name, fact in old.items() if fact.ways == CALLED and name not in new}
    return {name: added[address] for name, address in removed.items() if address in added}


def _added(name: str, fact: Fact) -> Change:
    if fact.required and "sent" in fact.ways:
        return Change(Level.MAJOR, f"{name}: added, and callers must send it")
    return Change(Level.MINOR if fact.ways else Level.PATCH, f"{name}: added")


def changes(name: str, before: Fact, after: Fact) -> Iterator[Change]:
    """Yield the changes between two facts with the same name."""
    ways = before.ways | after.ways
    if before.types != after.types:
        yield _retyped(name, before.types, after.types, ways)
    if before.nullable != after.nullable:
        text = "may be null" if after.nullable else "is no longer null"
        yield Change(Level.PATCH, f"{name}: {text}; in Python it may be None either way")
    if after.required and not before.required and ways:
        text = "callers must send it" if "sent" in ways else "a response without it cannot be used"
        yield Change(Level.MAJOR, f"{name}: now required; {text}")
    if before.required and not after.required:
        yield Change(Level.MINOR if ways else Level.PATCH, f"{name}: no longer required")
    if before.deprecated != after.deprecated:
        text = "deprecated" if after.deprecated else "no longer deprecated"
        yield Change(Level.MINOR if after.deprecated else Level.PATCH, f"{name}: {text}")
    if gained := after.values - before.values:
        yield Change(Level.MINOR if ways else Level.PATCH, f"{name}: new values {', '.join(sorted(gained))}")
    if lost := before.values - after.values:
        sent = "; callers may send them" if "sent" in ways else ""
        yield Change(Level.MAJOR if sent else Level.PATCH, f"{name}: no longer has {', '.join(sorted(lost))}{sent}")
    yield from _limited(name, dict(before.limits), dict(after.limits), ways)
    if before.wire != after.wire:
        yield Change(Level.PATCH, f"{name}: sent {after.wire} instead of {before.wire}; callers pass the same value")
    yield from _wrapped(name, before.envelope, after.envelope)
    if before.secret != after.secret:
        yield _hidden(name, ways, is_secret=after.secret)


def _wrapped(name: str, before: str | None, after: str | None) -> Iterator[Change]:
    """Yield the changes of an envelope. A response without an envelope is read either way."""
    if before is None or after is None or before == after:
        return
    if before:
        text = f'responses in the envelope "{before}" are no longer read'
        yield Change(Level.MAJOR, f"{name}: {text}, so that calls fail if Desk sends it")
    if after:
        yield Change(Level.PATCH, f'{name}: responses in the envelope "{after}" are read, too')


def _hidden(name: str, ways: frozenset[str], *, is_secret: bool) -> Change:
    """Return the change of a mark for a secret.

    A secret that appears does not break any code. But an application that logs reprs would start to store personal data
    with an update that nobody reads about, so that it is a breaking change.
    """
    if is_secret:
        return Change(Level.PATCH, f"{name}: PRIVACY: now secret; its value is left out of every repr")
    text = "no longer secret; its value appears in reprs, and so in logs and tracebacks of callers"
    return Change(Level.MAJOR if ways else Level.PATCH, f"{name}: PRIVACY: {text}")


def _retyped(name: str, before: frozenset[str], after: frozenset[str], ways: frozenset[str]) -> Change:
    lost = {each for each in before if not _accepts(after, each)}
    gained = {each for each in after if not _accepts(before, each)}
    verb = "changed" if lost and gained else "narrowed" if lost else "widened"
    text = f"{name}: {verb} from {_joined(before)} to {_joined(after)}"
    if lost and "sent" in ways:
        return Change(Level.MAJOR, f"{text}; values that callers send may be rejected")
    if gained and "read" in ways:
        return Change(Level.MAJOR, f"{text}; callers may read values that they do not expect")
    return Change(Level.MINOR if gained and ways else Level.PATCH, text)


def _accepts(types: frozenset[str], value_type: str) -> bool:
    if value_type in types or ANY & types or WIDER.get(value_type) in types:
        return True
    container = re.match(r"(array|map) of (?=\w)", value_type)
    if container is None:
        return False
    prefix = container[0]
    return _accepts(
        frozenset(each.removeprefix(prefix) for each in types if each.startswith(prefix)),
        value_type.removeprefix(prefix),
    )


def _joined(types: frozenset[str]) -> str:
    return " | ".join(sorted(types))


def _limited(
    name: str, before: Mapping[str, float], after: Mapping[str, float], ways: frozenset[str]
) -> Iterator[Change]:
    """Yield the changes of limits. They matter only to callers who send the value."""
    for limit in sorted(before.keys() | after.keys()):
        old, new = before.get(limit), after.get(limit)
        if old == new:
            continue
        # A lower maximum and a higher minimum both narrow the range.
        narrower = old is None or (new is not None and (new < old) == ("max" in limit.lower()))
        level = Level.MAJOR if narrower else Level.MINOR
        verb = "narrowed" if narrower else "widened"
        text = f"{name}: {verb}, {limit} from {old} to {new}"
        yield Change(level if "sent" in ways else Level.PATCH, text)


# The contract


def facts(contract: Node) -> dict[str, Fact]:
    """Flatten a contract into a fact for each name in it, such as `listThings(page)` or `Thing.id`."""
    found: dict[str, Fact] = {}
    results: set[str] = set()
    for address, method, item, operation in operations(contract):
        name = operation["operationId"]
        found[name] = Fact(
            types=frozenset({f"{method.upper()} {address}"}),
            ways=CALLED,
            deprecated=operation.get("deprecated", False),
        )
        for parameter in parameters(contract, item, operation):
            schema = parameter.get("schema", _json_schema(parameter))
            fact = _fact(schema, {"sent"}, parameter)
            found[f"{name}({parameter['name']})"] = evolve(fact, wire=_wire(contract, parameter, schema))
        if "requestBody" in operation:
            body = resolve(contract, operation["requestBody"])
            found[f"{name} body"] = evolve(_fact({}, {"sent"}, body), types=_content_types(body))
        for status, response in _responses(contract, operation):
            # An error becomes an exception, and callers get the result of every success in the same way.
            types = NOTHING if _is_success(status) else _content_types(response)
            found[f"{name} -> {status}"] = Fact(types=types, ways=NOTHING)
        result = frozenset[str]().union(
            *(_content_types(each) for status, each in _responses(contract, operation) if _is_success(status))
        )
        found[f"{name} result"] = Fact(types=result, ways=frozenset({"read"}))
        results |= result
    ways_of = schema_ways(contract)
    for name, schema in schemas(contract).items():
        ways = ways_of.get(name, NOTHING)
        # The values of a map have a fact of their own.
        own = {key: value for key, value in schema.items() if key != "additionalProperties"}
        # The SDK removes the envelope of a whole response, and of nothing else.
        envelope = schema.get("x-envelope", "") if name in results else None
        found[name] = evolve(_fact(own, ways, {}), envelope=envelope)
        for part in (schema, *(part for part in schema.get("allOf", ()) if "$ref" not in part)):
            required = part.get("required", ())
            for field, value in part.get("properties", {}).items():
                found[f"{name}.{field}"] = _fact(value, ways, {"required": field in required})
            if isinstance(part.get("additionalProperties"), dict):
                found[f"{name}.*"] = _fact(part["additionalProperties"], ways, {})
    return found


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


def _wire(contract: Node, parameter: Node, schema: Any) -> str:
    """Describe how a parameter is sent, with the defaults of OpenAPI."""
    place = parameter.get("in", "query")
    style = parameter.get("style", "form" if place in ("query", "cookie") else "simple")
    if {"array", "object"} & set(json_types(contract, schema)):
        parts = "one by one" if parameter.get("explode", style == "form") else "together"
        return f"in the {place} as {style}, its parts {parts}"
    return f"in the {place} as {style}"


def _json_schema(part: Node) -> Any:
    """Return the schema of the JSON content of a part; every value is allowed if it has none."""
    return next((media.get("schema") for kind, media in objects(part.get("content")) if _is_json(kind)), None)


def _content_types(part: Node) -> frozenset[str]:
    """Return the types of a body or of a response. Content that is not JSON has its media type as its type."""
    types = [
        _types(media.get("schema", {})) if _is_json(kind) else frozenset({kind})
        for kind, media in objects(part.get("content"))
    ]
    return frozenset[str]().union(*types) or frozenset({"nothing"})


def _is_json(media_type: str) -> bool:
    return media_type.partition(";")[0].strip().endswith(("/json", "+json"))


def _fact(schema: Any, ways: Iterable[str], holder: Node) -> Fact:
    types, fields = _types(schema), _object(schema)
    return Fact(
        types=types - {"null"},
        ways=frozenset(ways),
        required=holder.get("required", False),
        nullable="null" in types,
        deprecated=bool(fields.get("deprecated", holder.get("deprecated"))),
        values=frozenset(str(value) for _, part in _parts(fields) for value in part.get("x-extensible-enum", ())),
        limits=frozenset(
            (where + limit, part[limit]) for where, part in _parts(fields) for limit in LIMITS if limit in part
        ),
        secret=fields.get("x-secret", False) is True,
    )


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
    schema = _object(schema)
    if "$ref" in schema:
        return frozenset({schema["$ref"].rpartition("/")[2]})
    if "allOf" in schema:
        return frozenset({" & ".join(sorted(_joined(_types(part)) for part in schema["allOf"]))})
    if parts := schema.get("anyOf", schema.get("oneOf")):
        return frozenset[str]().union(*map(_types, parts))
    if "const" in schema:
        return frozenset({json.dumps(schema["const"])})
    kinds = schema.get("type", "any")
    types: set[str] = set()
    for kind in [kinds] if isinstance(kinds, str) else kinds:
        if kind == "array":
            types |= _array_types(schema)
        elif kind == "object" and isinstance(schema.get("additionalProperties"), dict):
            types |= {f"map of {value}" for value in _types(schema["additionalProperties"])}
        else:
            types.add(f"{kind} ({schema['format']})" if kind == "string" and "format" in schema else kind)
    return frozenset(types)


def _array_types(schema: Node) -> set[str]:
    if first := schema.get("prefixItems"):
        others = [f"then {_joined(_types(schema['items']))}"] if "items" in schema else []
        return {f"array of ({', '.join([*(_joined(_types(part)) for part in first), *others])})"}
    return {f"array of {item}" for item in _types(schema.get("items", {}))}


# The Python surface


def python_changes(old: Path, new: Path, ways_of: Mapping[str, frozenset[str]]) -> set[Change]:
    """Return the changes between the packages of two trees.

    griffe finds what was removed or renamed. It does not compare types, so `changes` does.

    Args:
        old: The folder of the old tree.
        new: The folder of the new tree.
        ways_of: For each schema whether callers send it, read it, or both.
    """
    before, after = Surface(old, ways_of), Surface(new, ways_of)
    found = {
        Change(Level.MAJOR, _explained(breakage))
        for path in before.objects.keys() & after.objects.keys()
        for breakage in griffe.find_breaking_changes(before.objects[path], after.objects[path])
    }
    added = after.facts.keys() - before.facts.keys()
    for name, fact in after.facts.items():
        if name not in added:
            found.update(changes(name, before.facts[name], fact))
        # The members of an added class and the parameters of an added function are not reported beside it.
        elif not any(name.startswith((f"{other}.", f"{other}(")) for other in added):
            found.add(Change(Level.MINOR, f"{name}: added"))
    return found


class Surface:
    """The public names of the packages in a tree, and the private classes that occur in public signatures.

    Attributes:
        objects: The packages and the private classes, for griffe.
        facts: A fact for each public name.
    """

    def __init__(self, tree: Path, ways_of: Mapping[str, frozenset[str]]) -> None:
        folders = [tree / folder for folder in PACKAGES.values()]
        loader = griffe.GriffeLoader(search_paths=folders, allow_inspection=False)
        self.objects: dict[str, Any] = {package: loader.load(package, try_relative_path=False) for package in PACKAGES}
        self.facts: dict[str, Fact] = {}
        loader.resolve_aliases()
        self._all = loader.modules_collection
        self._ways_of = ways_of
        for package in PACKAGES:
            self._walk(self.objects[package])

    def _walk(self, holder: Any) -> None:
        """Add a fact for each public member of a package, module or class."""
        for member in holder.members.values():
            if not member.is_public:
                continue
            target = member.final_target if member.is_alias else member
            name = _public_path(target.path)
            if name in self.facts or target.package.path not in PACKAGES:
                continue
            if target.is_attribute:
                ways = self._ways_of.get(holder.name, BOTH_WAYS)
                self.facts[name] = Fact(types=self._types(target.annotation), ways=ways)
            elif target.is_function:
                self.facts[name] = Fact(types=self._types(target.returns), ways=frozenset({"read"}))
                for parameter in target.parameters:
                    types = self._types(parameter.annotation)
                    self.facts[f"{name}({parameter.name})"] = Fact(types=types, ways=frozenset({"sent"}))
            else:
                self.facts[name] = Fact(types=frozenset({target.kind.value}), ways=BOTH_WAYS)
                self._walk(target)

    def _types(self, annotation: Any) -> frozenset[str]:
        """Return the members of an annotation, and add the private classes in it to the surface."""
        for part in annotation.iterate() if isinstance(annotation, griffe.Expr) else ():
            path = part.canonical_path if isinstance(part, griffe.ExprName) else ""
            if path.startswith("teamwork_desk._") and path not in self.objects and self._all[path].is_class:
                self.objects[path] = self._all[path]
                self._walk(self._all[path])
        return members(str(annotation))


def members(annotation: str) -> frozenset[str]:
    """Split a union into its members, also inside a list or another type with a single parameter.

    A literal beside `str` is omitted, because it makes no difference to a type checker.
    """
    parts, depth = [""], 0
    for piece in re.split(r"( \| |[\[\]])", annotation):
        depth += {"[": 1, "]": -1}.get(piece, 0)
        if piece == " | " and depth == 0:
            parts.append("")
        else:
            parts[-1] += piece
    if len(parts) > 1:
        plain = [part for part in parts if "str" not in parts or not part.startswith("Literal[")]
        return frozenset[str]().union(*map(members, plain))
    generic = re.fullmatch(r"([\w.]+)\[([^,]+)\]", annotation)
    return frozenset({f"{generic[1]}[{item}]" for item in members(generic[2])} if generic else {annotation})


def _public_path(path: str) -> str:
    """Remove the private modules from a path, because callers import the name without them."""
    return re.sub(r"\._\w+", "", path)


def _explained(breakage: griffe.Breakage) -> str:
    """Turn the explanation of griffe into a line like those of `changes`, without its Markdown."""
    place, _, what = breakage.explain(griffe.ExplanationStyle.MARKDOWN).removeprefix("- ").partition(": ")
    module = breakage.obj.module.path
    return re.sub("[`*]", "", f"{_public_path(module)}.{place}: {what[:2].lower()}{what[2:]}")


# The version


def needed(released: Version, level: Level) -> Version:
    """Return the lowest version that may contain a change.

    Before 1.0.0 a breaking change needs a minor step, and every other change a patch.
    """
    major, minor, patch = released.major, released.minor, released.micro
    if level is Level.NOTHING:
        return released
    if major == 0:
        return Version(f"0.{minor + 1}.0" if level is Level.MAJOR else f"0.{minor}.{patch + 1}")
    steps = {Level.MAJOR: f"{major + 1}.0.0", Level.MINOR: f"{major}.{minor + 1}.0"}
    return Version(steps.get(level, f"{major}.{minor}.{patch + 1}"))


def version_of(tree: Path) -> Version:
    """Return the version in a tree's pyproject.toml."""
    return Version(tomllib.loads((tree / "pyproject.toml").read_text("utf-8"))["project"]["version"])


def is_high_enough(version: Version, least: Version) -> bool:
    """Return whether a version, or the release that a pre-release prepares, is high enough."""
    return Version(version.base_version) >= least


def _git(*arguments: str) -> bytes | None:
    """Return what git prints, or None if it fails."""
    run = subprocess.run([GIT, *arguments], cwd=ROOT, capture_output=True, check=False)
    return None if run.returncode else run.stdout


def _print_changes(title: str, found: Iterable[Change]) -> None:
    print(f"\n{title}")
    for change in sorted(found, reverse=True) or [Change(Level.NOTHING, "no change for callers")]:
        print(f"  {LABELS.get(change.level, ''):9} {change.text}")


def report(base: Path) -> bool:
    """Print what changed since an older tree, and return whether the version in pyproject.toml is high enough."""
    if faults := lint(load(ROOT / "openapi" / "desk.yaml")):
        raise SystemExit("\n".join(["desk.yaml breaks these rules:", *faults]))
    old, new = (yaml.safe_load((tree / "openapi" / "desk.yaml").read_text("utf-8")) for tree in (base, ROOT))
    old_ways, new_ways = schema_ways(old), schema_ways(new)
    ways_of = {name: old_ways.get(name, NOTHING) | new_ways.get(name, NOTHING) for name in {**old_ways, **new_ways}}
    in_contract, in_python = set(compare(facts(old), facts(new))), python_changes(base, ROOT, ways_of)
    _print_changes("Changes of the API, in openapi/desk.yaml", in_contract)
    _print_changes("Changes of the Python packages, for callers", in_python)
    touched = any(differences(base / folder, ROOT / folder) for folder in PACKAGES.values())
    level = max([Level.PATCH if touched else Level.NOTHING, *(change.level for change in in_contract | in_python)])
    released, version = version_of(base), version_of(ROOT)
    least = needed(released, level)
    step = f"at least {least} is needed" if least > released else "no new version is needed"
    print(f"\nThe last version is {released}, and {step}; pyproject.toml has {version}.")
    if released.major == 0:
        print("Before 1.0.0 a breaking change needs a minor step, and every other change a patch.")
    return is_high_enough(version, least)


def main() -> None:
    """Compare, and fail with `--check` if the version is too low."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base", nargs="?", help="a git ref; the last v* tag by default")
    parser.add_argument("--check", action="store_true", help="fail if the version in pyproject.toml is too low")
    options = parser.parse_args()
    tag = _git("describe", "--tags", "--abbrev=0", "--match", "v[0-9]*")
    ref: str = options.base or (tag or b"").decode().strip()
    if not ref:
        print("There is no v* tag to compare with: nothing was released yet.")
        return
    archive = _git("archive", ref, "pyproject.toml", "openapi/desk.yaml", *PACKAGES.values())
    if archive is None:
        raise SystemExit(f"{ref} is not a commit that contains openapi/desk.yaml")
    print(f"Changes from {ref} to the working tree")
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            tar.extractall(folder, filter="data")
        try:
            is_enough = report(Path(folder))
        except ContractError as error:
            raise SystemExit(str(error)) from None
        if not is_enough and options.check:
            raise SystemExit("The version in pyproject.toml is too low for this change.")


if __name__ == "__main__":
    main()
