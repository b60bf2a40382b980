"""Tools that read classes at run time can read ours: mocks, evaluated type hints, signatures, help and attrs."""

from __future__ import annotations

import importlib
import inspect
import io
import pkgutil
import subprocess
import sys
import typing
from collections.abc import Iterator
from contextlib import redirect_stdout
from types import ModuleType
from typing import Any
from unittest.mock import AsyncMock, create_autospec, patch

import attrs
import pytest

import teamwork_desk
import teamwork_desk_api
from teamwork_desk import AsyncDesk, ConvertedConversation, CustomField, EntityRef

# What a module defines


def modules_of(package: ModuleType) -> Iterator[ModuleType]:
    yield package
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not found.name.endswith("__main__"):
            yield importlib.import_module(found.name)


def is_public(path: str) -> bool:
    return not any(name.startswith("_") and not name.startswith("__") for name in path.split("."))


def definitions() -> dict[str, Any]:
    """Return the classes and functions that the public modules show, and the members of these classes, by path."""
    found: dict[str, Any] = {}
    for module in [*modules_of(teamwork_desk), *modules_of(teamwork_desk_api)]:
        for name, each in vars(module).items():
            path = f"{module.__name__}.{name}"
            is_ours = str(getattr(each, "__module__", "")).startswith("teamwork_desk")
            if is_ours and is_public(path) and (inspect.isclass(each) or inspect.isfunction(each)):
                found[path] = each
                found.update(members_of(path, each))
    for attribute in typing.get_type_hints(AsyncDesk).values():
        kind = typing.get_origin(attribute) or attribute
        found.update(members_of(f"AsyncDesk.{kind.__name__}", kind))
    # Several modules show the same class. Keep its shortest path.
    shortest = {each: path for path, each in sorted(found.items(), key=lambda item: -len(item[0]))}
    return {path: each for each, path in shortest.items()}


def members_of(path: str, owner: Any) -> Iterator[tuple[str, Any]]:
    for name, member in vars(owner).items() if inspect.isclass(owner) else ():
        function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
        if inspect.isfunction(function) and is_public(f"{path}.{name}"):
            yield f"{path}.{name}", function


DEFINITIONS = definitions()
CLASSES = {path: each for path, each in DEFINITIONS.items() if inspect.isclass(each)}


def test_the_search_finds_the_public_names() -> None:
    assert len(DEFINITIONS) > 200
    names = ("teamwork_desk.AsyncDesk.with_options", "AsyncDesk.Conversations.convert", "AsyncDesk.Resource.find")
    assert {*names, "teamwork_desk.fleet.Fleet.enqueue", "teamwork_desk.testing.FakeDesk.fail"} <= DEFINITIONS.keys()


@pytest.mark.parametrize("path", DEFINITIONS)
def test_the_type_hints_can_be_evaluated(path: str) -> None:
    hints = typing.get_type_hints(DEFINITIONS[path], include_extras=True)
    assert not any(isinstance(hint, (str, typing.ForwardRef)) for hint in hints.values())


@pytest.mark.parametrize("path", DEFINITIONS)
def test_the_signature_can_be_read(path: str) -> None:
    definition = DEFINITIONS[path]
    if inspect.isclass(definition) and (issubclass(definition, dict) or definition.__init__ in BUILTIN):
        return  # Python itself has no signature for these.
    inspect.signature(definition, eval_str=True)


BUILTIN = (Exception.__init__, ValueError.__init__, RuntimeError.__init__, object.__init__)


@pytest.mark.parametrize("path", [path for path in CLASSES if attrs.has(CLASSES[path])])
def test_the_fields_of_a_class_of_attrs_have_resolvable_types(path: str) -> None:
    model: Any = CLASSES[path]
    fields = {field.name for field in attrs.fields(model)}
    assert fields <= typing.get_type_hints(CLASSES[path]).keys()


@pytest.mark.parametrize("model", [CustomField, EntityRef, ConvertedConversation])
def test_the_hints_of_a_model_and_of_its_constructor_agree(model: type) -> None:
    hints = typing.get_type_hints(model)
    constructor = typing.get_type_hints(model.__init__)  # type: ignore[misc]
    assert {**constructor, "return": None} == {**hints, "return": None}


@pytest.mark.parametrize("path", CLASSES)
def test_help_can_be_shown(path: str) -> None:
    with redirect_stdout(io.StringIO()) as output:
        help(CLASSES[path])
    assert CLASSES[path].__name__ in output.getvalue()


def test_importing_the_package_still_does_not_import_asyncio() -> None:
    script = "import sys, teamwork_desk; sys.exit('asyncio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


# Mocks

NAMES = [name for name in typing.get_type_hints(AsyncDesk) if name not in ("conversations", "files")]


@pytest.fixture(params=["class", "instance"])
def spec(request: pytest.FixtureRequest, desk: AsyncDesk) -> Any:
    """The client's class, and a client: `create_autospec` accepts both."""
    return AsyncDesk if request.param == "class" else desk


async def test_a_mock_of_the_client_has_its_attributes_and_async_methods(spec: Any) -> None:
    mock = create_autospec(spec)
    methods = [mock.conversations.convert, mock.conversations.get, mock.files.upload, mock.send, mock.aclose]
    methods += [getattr(mock, name).find for name in NAMES]
    assert all(isinstance(method, AsyncMock) for method in methods)
    mock.conversations.convert.return_value = ConvertedConversation(id=42, ticket_id=7)
    assert (await mock.conversations.convert(42, inbox=7)).ticket_id == 7
    mock.conversations.convert.assert_awaited_once_with(42, inbox=7)
    mock.conversations.list.return_value.__aiter__.return_value = [1, 2]
    assert [each async for each in mock.conversations.list(filter={})] == [1, 2]


async def test_a_mock_of_the_client_rejects_what_the_client_does_not_have(spec: Any) -> None:
    mock = create_autospec(spec)
    with pytest.raises(TypeError, match="unexpected keyword argument"):
        await mock.conversations.convert(42, inboxes=7)
    with pytest.raises(AttributeError):
        _ = mock.inbox
    with pytest.raises(AttributeError):
        _ = mock.conversations.convrt


async def test_a_mock_of_the_class_makes_mocks_of_clients() -> None:
    with patch("teamwork_desk.AsyncDesk", autospec=True) as mock:
        async with teamwork_desk.AsyncDesk("https://acme.teamwork.com", token="any") as desk:
            assert desk is mock.return_value.__aenter__.return_value
        await mock.return_value.inboxes.find("Support")
    mock.return_value.inboxes.find.assert_awaited_once_with("Support")
    with pytest.raises(TypeError):
        create_autospec(AsyncDesk)("https://acme.teamwork.com", "a token without its name")


async def test_each_client_has_attributes_of_its_own(desk: AsyncDesk) -> None:
    view = desk.with_options()
    for name, hint in typing.get_type_hints(AsyncDesk).items():
        first, second = getattr(desk, name), getattr(view, name)
        assert first is not second
        assert type(first) is (typing.get_origin(hint) or hint)
