"""How a change affects callers: the rules by which two contracts, or two packages, are compared."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from enum import IntEnum

from attrs import evolve, frozen

ANY = {"any", "Any"}
"""The types that accept every value, in the contract and in Python."""
WIDER = {"integer": "number", "int": "float"}
"""For each type the type that also accepts all its values."""
NOTHING: frozenset[str] = frozenset()
BOTH_WAYS = frozenset({"sent", "read"})
CALLED = frozenset({"called"})
"""The ways of an operation."""
ANYBODY = "no token"
"""The security of an operation that anybody may call."""


class Level(IntEnum):
    """How a change affects callers. From 1.0.0 on it is also the part of the version that must increase."""

    NOTHING = 0
    PATCH = 1
    MINOR = 2
    MAJOR = 3


@frozen(order=True)
class Change:
    """A change, and how it affects callers."""

    level: Level
    text: str


@frozen(order=True)
class Name:
    """The name of a part of the contract.

    An operation and a schema may have the same name, and a schema may be called `Thing.id` beside a schema `Thing` with
    a property `id`. So the text of a name is not enough to distinguish two parts.

    Attributes:
        owner: The operation or the schema that the part belongs to.
        is_operation: Whether the owner is an operation.
        part: The part, as it is written after its owner, such as `(page)` or `.id`; empty for the owner itself.
        place: Where a parameter is sent, such as "query"; empty for every other part.
    """

    owner: str
    is_operation: bool
    part: str = ""
    place: str = ""

    def __str__(self) -> str:
        return self.owner + self.part

    def with_place(self) -> str:
        """Return the text for an operation that sends another parameter of the same name in another place."""
        return f"{self.owner}{self.part.removesuffix(')')} in {self.place})"


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
        limits: Its limits, such as a maximum length or a pattern. A limit that is only on or off is true.
        wire: How a parameter is sent. Callers do not see it.
        envelope: The name under which a response may be wrapped; empty if it is never wrapped, and None if it is not a
            whole response.
        secret: Whether it is left out of every repr.
        security: What each alternative of an operation's security asks for.
    """

    types: frozenset[str]
    ways: frozenset[str]
    required: bool = False
    nullable: bool = False
    deprecated: bool = False
    values: frozenset[str] = NOTHING
    limits: frozenset[tuple[str, float | str]] = frozenset()
    wire: str = ""
    envelope: str | None = None
    secret: bool = False
    security: frozenset[str] = NOTHING


def compare(old: Mapping[Name, Fact], new: Mapping[Name, Fact]) -> Iterator[Change]:
    """Yield the changes between the facts of two contracts."""
    for name, renamed in _renamed(old, new).items():
        yield Change(Level.MAJOR, f"{name}: renamed to {renamed}; callers use the function of this name")
        # Compare the rest of the operation as if it always had its new name.
        old = {evolve(each, owner=renamed.owner) if _owner(each) == name else each: old[each] for each in old}
    moved = _moved(old, new)
    old = {moved.get(name, name): fact for name, fact in old.items()}
    names = sorted(old.keys() | new.keys())
    places = Counter(evolve(name, place="") for name in names)
    for name in names:
        owner = _owner(name)
        if owner != name and (owner in old) != (owner in new):
            continue  # The owner was added or removed, and that change is enough to report.
        text = str(name) if places[evolve(name, place="")] == 1 else name.with_place()
        before, after = old.get(name), new.get(name)
        if before is None:
            assert after is not None  # noqa: S101 - the name is in at least one of them
            yield _added(text, after)
        elif after is None:
            yield Change(Level.MAJOR if before.ways else Level.PATCH, f"{text}: removed")
        else:
            yield from changes(text, before, after)


def _owner(name: Name) -> Name:
    """Return the name of the operation or the schema that a part belongs to."""
    return Name(name.owner, name.is_operation)


def _renamed(old: Mapping[Name, Fact], new: Mapping[Name, Fact]) -> dict[Name, Name]:
    """Return the new names of the operations that have another name for the same method and path."""
    added = {fact.types: name for name, fact in new.items() if fact.ways == CALLED and name not in old}
    removed = {name: fact.types for name, fact in old.items() if fact.ways == CALLED and name not in new}
    return {name: added[address] for name, address in removed.items() if address in added}


def _moved(old: Mapping[Name, Fact], new: Mapping[Name, Fact]) -> dict[Name, Name]:
    """Return the new names of the parameters that are sent in another place. Callers pass them in the same way."""
    added = {evolve(name, place=""): name for name in new if name.place and name not in old}
    removed = {name: evolve(name, place="") for name in old if name.place and name not in new}
    return {name: added.pop(bare) for name, bare in removed.items() if bare in added}


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
    if before.security != after.security:
        yield _secured(name, before.security, after.security)


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


def _secured(name: str, before: frozenset[str], after: frozenset[str]) -> Change:
    """Return the change of an operation's security, which breaks calls if a token is no longer enough."""
    text = f"{name}: needs {' or '.join(sorted(after))} instead of {' or '.join(sorted(before))}"
    if before <= after or ANYBODY in after:
        return Change(Level.MINOR, text)
    return Change(Level.MAJOR, f"{text}; the tokens of callers may be rejected")


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
    name: str, before: Mapping[str, float | str], after: Mapping[str, float | str], ways: frozenset[str]
) -> Iterator[Change]:
    """Yield the changes of limits. They matter only to callers who send the value."""
    for limit in sorted(before.keys() | after.keys()):
        old, new = before.get(limit), after.get(limit)
        if old == new:
            continue
        verb = _effect(limit, old, new)
        level = Level.MINOR if verb == "widened" else Level.MAJOR
        text = f"{name}: {verb}, {limit} from {old} to {new}"
        yield Change(level if "sent" in ways else Level.PATCH, text)


def _effect(limit: str, old: float | str | None, new: float | str | None) -> str:
    """Return how another limit affects the range of values."""
    if old is None or new is None:
        return "narrowed" if old is None else "widened"
    kind = limit.rpartition(".")[2].lower()
    if isinstance(old, str) or isinstance(new, str) or not kind.startswith(("max", "min", "exclusive")):
        return "changed"  # Values that fit one pattern need not fit another.
    # A lower maximum and a higher minimum both narrow the range.
    return "narrowed" if (new < old) == ("max" in kind) else "widened"
