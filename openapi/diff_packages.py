"""Compare the Python packages of two trees, for callers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import griffe
from diff_rules import BOTH_WAYS, Change, Fact, Level, changes

PACKAGES = {"teamwork_desk": "overrides", "teamwork_desk_api": "generated"}


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
