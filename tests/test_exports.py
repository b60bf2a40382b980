"""The public names: exactly these names exist, they are documented, and importing them is fast."""

from __future__ import annotations

import ast
import inspect
import json
import subprocess
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import resolve_name
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest

import teamwork_desk
from teamwork_desk import AsyncDesk
from teamwork_desk._version import version as installed_version

PUBLIC = [
    "AsyncDesk",
    "AuthenticationError",
    "ConfigurationError",
    "ConflictError",
    "Contact",
    "Conversation",
    "ConvertedConversation",
    "CustomField",
    "CustomFieldDefinition",
    "CustomFieldMeta",
    "Customer",
    "CustomerRef",
    "DeadlineExceeded",
    "DeskError",
    "EntityRef",
    "Inbox",
    "NotFoundError",
    "NotSentError",
    "OutcomeUnknownError",
    "PermissionDeniedError",
    "RateLimit",
    "RateLimitedError",
    "RequestError",
    "Resource",
    "ResponseDecodeError",
    "RetryPolicy",
    "ServerError",
    "StatusError",
    "Tag",
    "TicketPriority",
    "TicketSource",
    "TicketStatus",
    "TicketType",
    "TransportError",
    "UnprocessableError",
    "User",
    "ValidationError",
]

PACKAGE = Path(teamwork_desk.__file__).parent
COMPANIONS = sorted(path.stem for path in PACKAGE.iterdir() if path.suffix in ("", ".py") and path.stem[0] != "_")
ALLOWED = {
    "backlog": {"_backlog", "_conversations", "_tickets"},  # its public names are defined there
    "cli": {"_arguments", "_checks", "_lookup", "_references", "_values"},
    "fleet": {"_arguments", "_checks"},
    "otel": {"_observe", "_version"},  # it implements the core's observer
    "probe": {"_checks"},
    "testing": {"_arguments", "_values"},
}
"""The private modules that a companion may import, in addition to the public names."""


def test_the_package_exports_exactly_these_names_in_order() -> None:
    assert teamwork_desk.__all__ == PUBLIC == sorted(PUBLIC)


@cache
def fresh_import() -> dict[str, list[str]]:
    """Return the package's names and all loaded modules of an interpreter that imported only the package."""
    script = (
        "import json, sys, teamwork_desk\n"
        "print(json.dumps({'names': sorted(vars(teamwork_desk)), 'modules': sorted(sys.modules)}))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    result: dict[str, list[str]] = json.loads(run.stdout)
    return result


def test_the_package_has_no_other_public_name() -> None:
    assert [name for name in fresh_import()["names"] if not name.startswith("_")] == PUBLIC


@pytest.mark.parametrize(
    "module",
    [
        "dateutil",
        "h2",
        "limits",
        "opentelemetry",
        "pytest",
        "redis",
        "starlette",
        "taskiq",
        "trio",
        "typer",
        "uvicorn",
        *(f"teamwork_desk.{name}" for name in COMPANIONS),
    ],
)
def test_importing_the_package_does_not_import_what_only_some_users_need(module: str) -> None:
    assert module not in fresh_import()["modules"]


def core_modules_used_by(companion: str) -> set[str]:
    """Return the private modules of the core that a companion imports from."""
    used: set[str] = set()
    for path in [PACKAGE / f"{companion}.py", *(PACKAGE / companion).glob("**/*.py")]:
        if path.exists():
            package = ".".join(path.relative_to(PACKAGE.parent).parent.parts)
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.ImportFrom):
                    module = resolve_name("." * node.level + (node.module or ""), package)
                    used.update(f"{module}.{alias.name}" for alias in node.names)
                elif isinstance(node, ast.Import):
                    used.update(alias.name for alias in node.names)
    return {name.split(".")[1] for name in used if name.startswith("teamwork_desk._")} - {"__version__"}


@pytest.mark.parametrize("companion", COMPANIONS)
def test_a_companion_imports_only_public_names_and_its_allowed_modules(companion: str) -> None:
    assert core_modules_used_by(companion) == ALLOWED.get(companion, set())


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_class_is_documented(name: str) -> None:
    public: type = getattr(teamwork_desk, name)
    assert vars(public).get("__doc__")


def public_members(owner: type) -> list[tuple[str, Any]]:
    """Return the public functions and properties that a class itself defines."""
    return [
        (f"{owner.__name__}.{name}", member)
        for name, member in vars(owner).items()
        if not name.startswith("_") and isinstance(member, (FunctionType, property))
    ]


MEMBERS = dict(
    public_members(AsyncDesk)
    + public_members(inspect.get_annotations(AsyncDesk, eval_str=True)["conversations"])
    + public_members(inspect.get_annotations(AsyncDesk, eval_str=True)["files"])
    + public_members(teamwork_desk.Resource)
)


def test_the_client_has_exactly_these_public_members() -> None:
    assert sorted(MEMBERS) == [
        "AsyncDesk.aclose",
        "AsyncDesk.rate_limit",
        "AsyncDesk.send",
        "AsyncDesk.ticket_url",
        "AsyncDesk.with_options",
        "Conversations.convert",
        "Conversations.convert_many",
        "Conversations.get",
        "Conversations.list",
        "Files.upload",
        "Resource.find",
        "Resource.list",
    ]


@pytest.mark.parametrize("name", MEMBERS)
def test_a_member_and_its_arguments_are_documented(name: str) -> None:
    member = MEMBERS[name]
    documentation = inspect.getdoc(member) or ""
    assert documentation
    if isinstance(member, FunctionType):
        for argument in list(inspect.signature(member).parameters)[1:]:
            assert f"    {argument}: " in documentation


def test_the_version_is_that_of_the_distribution() -> None:
    assert teamwork_desk.__version__ == version("teamwork-desk")


@pytest.mark.parametrize("error", [PackageNotFoundError, KeyError])
def test_the_version_is_unknown_without_readable_metadata(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def fail(name: str) -> str:
        raise error(name)

    monkeypatch.setattr("importlib.metadata.version", fail)
    assert installed_version() == "unknown"


@pytest.mark.parametrize("name", ["nothing"])
def test_an_unknown_name_raises_an_attribute_error(name: str) -> None:
    with pytest.raises(AttributeError, match=f"no attribute '{name}'"):
        getattr(teamwork_desk, name)
