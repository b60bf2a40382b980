"""The names of inboxes, statuses and other objects in the arguments of `convert`: they are replaced by ids.

The objects of a kind are listed once, before anything is sent, however many names there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias, cast

import attrs

from teamwork_desk import AsyncDesk, NotFoundError, PermissionDeniedError, RequestError, Resource
from teamwork_desk._arguments import NAMED
from teamwork_desk._checks import is_list
from teamwork_desk._references import KINDS, check_name, not_found, the_only, with_name
from teamwork_desk.backlog import Job

from ._jobs import Line

Listed: TypeAlias = Mapping[str, Sequence[Any]]
"""The objects of each kind, by the client's attribute that lists them."""


def kinds_named(arguments: Mapping[str, Any]) -> set[str]:
    """Return the kinds of which some arguments have a name, as the client's attributes."""
    return {NAMED[argument] for argument, value in arguments.items() if argument in NAMED and _has_name(value)}


async def list_kinds(desk: AsyncDesk, kinds: Iterable[str]) -> Listed:
    """List all objects of some kinds.

    Raises:
        DeskError: A listing is not available. Tags may also be words, so nothing depends on their listing.
    """
    listed: dict[str, list[Any]] = {}
    for kind in sorted(kinds):
        resource: Resource[Any] = getattr(desk, kind)
        try:
            listed[kind] = [each async for each in resource.list()]
        except (NotFoundError, PermissionDeniedError):
            if kind != "tags":
                raise
    return listed


def ids_for_names(arguments: Mapping[str, Any], listed: Listed | None) -> dict[str, Any]:
    """Return the arguments of `convert` with ids instead of names.

    A tag that no listed tag has as its name stays a word, because the contract also accepts words.

    Args:
        arguments: The arguments.
        listed: The objects. None, for a dry run, accepts every name, and replaces it by some id.

    Raises:
        NotFoundError: No object has a name.
        RequestError: Several objects have a name, or a name is empty.
    """
    return {
        argument: _replaced(argument, value, listed) if argument in NAMED else value
        for argument, value in arguments.items()
    }


def lines_with_ids(lines: Iterable[Line], listed: Listed | None) -> Iterator[Line]:
    """Yield the lines of a jobs file with ids instead of names. A job with a wrong name becomes a problem.

    Args:
        lines: The lines.
        listed: The objects; None for a dry run.
    """
    for line in lines:
        if line.job is None:
            yield line
            continue
        try:
            job = ids_for_names(line.job, listed)
        except (NotFoundError, RequestError) as error:
            yield attrs.evolve(line, job=None, problem=str(error))
        else:
            yield attrs.evolve(line, job=cast("Job", job))


def _has_name(value: Any) -> bool:
    return isinstance(value, str) or (is_list(value) and any(isinstance(part, str) for part in value))


def _replaced(argument: str, value: Any, listed: Listed | None) -> Any:
    if argument == "tags":
        if isinstance(value, str):
            raise RequestError('tags: expected a list, such as ["vip"]')
        return [_tag(tag, listed or {}) for tag in value] if is_list(value) else value
    if not isinstance(value, str):
        return value
    name, kind = check_name(value, argument), KINDS[NAMED[argument]]
    if listed is None:
        return 1
    objects = listed.get(kind.attribute, ())
    if found := with_name(kind, objects, name):
        return the_only(kind, found, argument).id
    raise not_found(kind, objects, name, argument)


def _tag(tag: Any, listed: Listed) -> Any:
    kind = KINDS["tags"]
    found = with_name(kind, listed.get("tags", ()), tag) if isinstance(tag, str) else []
    return the_only(kind, found, "tags").id if found else tag
