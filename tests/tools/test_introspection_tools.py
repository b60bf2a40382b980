"""Tools that read or wrap the package's classes at run time: each of them runs for real.

`make test` does not collect this folder, because the tools live in an environment of their own.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import beartype
import dishka
import fastapi
import fastapi.testclient
import griffe
import pdoc.doc
import pytest
import typeguard
from dependency_injector import containers, providers

import teamwork_desk
from teamwork_desk import AsyncDesk, CustomField, CustomFieldMeta, EntityRef, Inbox
from teamwork_desk.testing import FakeDesk


def a_desk(fake: FakeDesk) -> AsyncDesk:
    return AsyncDesk("https://acme.teamwork.com", token="any", transport=fake.transport)


# Runtime type checkers

PROGRAM = """
import asyncio
from collections import deque

{hook}

from teamwork_desk import AsyncDesk, CustomerRef, CustomField, CustomFieldMeta, EntityRef, Inbox, RetryPolicy
from teamwork_desk import backlog
from teamwork_desk.testing import FakeDesk


async def main() -> None:
    fake = FakeDesk(conversations=range(1, 9))
    fake.inboxes.append(Inbox(id=7, name="Support"))
    async with AsyncDesk(
        "https://acme.teamwork.com", token=lambda: "any", timeout=30, retry=RetryPolicy(settle=(1,)),
        transport=fake.transport,
    ) as desk:
        conversation = await desk.conversations.convert(
            1, agent=EntityRef(id=7), bcc=("jo@example.com",), cc=["jo@example.com"], customer="jo@example.com",
            customfields={{272: 1613}}, edit_method="html", files=deque([7]), inbox=7, message="text",
            notify_customer=False, scheduled_email={{"at": "noon"}}, subject="Refund",
            tags=["billing", 7, EntityRef(id=8)],
        )
        assert conversation.created
        fake.inject("answer lost after the work")
        await desk.with_options(deadline=60).conversations.convert(2, customer=CustomerRef(id=7), tags=())
        jobs = [3, {{"conversation_id": 4, "customfields": [CustomField(id=7, meta=CustomFieldMeta(value="a"))]}}]
        async for outcome in desk.conversations.convert_many(jobs):
            assert outcome.error is None, outcome.error
        async for outcome in backlog.convert_many(desk.conversations.convert, iter([5])):
            assert outcome.error is None, outcome.error
        assert (await desk.conversations.get(1)).ticket_id == conversation.ticket_id
        listed = [each async for each in desk.conversations.list(filter={{"id": {{"$in": [1, 2]}}}}, order_by="id")]
        assert len(listed) == 2
        assert (await desk.inboxes.find("support")).id == 7
        assert (await desk.files.upload(b"text", filename="a.txt")).id
        assert desk.rate_limit is not None
        desk.ticket_url(7)
        fake.assert_converted_once(1, inbox=7)


asyncio.run(main())
print("done")
"""
HOOKS = {
    "typeguard": 'import typeguard; typeguard.install_import_hook(["teamwork_desk", "teamwork_desk_api"])',
    # An int is a float for static type checkers, and so for our hints.
    "beartype": """
from beartype import BeartypeConf
from beartype.claw import beartype_packages
beartype_packages(("teamwork_desk", "teamwork_desk_api"), conf=BeartypeConf(is_pep484_tower=True))
""",
}


@pytest.mark.parametrize("tool", HOOKS)
def test_a_runtime_type_checker_finds_nothing_wrong_in_the_package(tool: str, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.format(hook=HOOKS[tool]), "utf-8")
    run = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, check=False, timeout=250)
    assert (run.returncode, run.stdout) == (0, "done\n"), run.stderr
    assert run.stderr == ""


@typeguard.typechecked
async def convert_with_typeguard(desk: AsyncDesk, tags: list[EntityRef], inbox: Inbox) -> int | None:
    fields = [CustomField(id=7, meta=CustomFieldMeta(value="gold"))]
    return (await desk.conversations.convert(42, inbox=inbox.id, tags=tags, customfields=fields)).ticket_id


@beartype.beartype
async def convert_with_beartype(desk: AsyncDesk, tags: list[EntityRef], inbox: Inbox) -> int | None:
    fields = [CustomField(id=7, meta=CustomFieldMeta(value="gold"))]
    return (await desk.conversations.convert(42, inbox=inbox.id, tags=tags, customfields=fields)).ticket_id


@pytest.mark.parametrize("convert", [convert_with_typeguard, convert_with_beartype])
def test_a_function_of_a_service_may_be_checked_at_run_time(convert: Any) -> None:
    fake = FakeDesk()

    async def main() -> None:
        async with a_desk(fake) as desk:
            assert await convert(desk, [EntityRef(id=8)], Inbox(id=7)) == fake.tickets[0].id
            with pytest.raises((typeguard.TypeCheckError, beartype.roar.BeartypeCallHintParamViolation)):
                await convert(desk.conversations, [], Inbox(id=7))

    anyio.run(main)
    fake.assert_converted_once(42, inbox=7, tags=[8])


# Dependency injectors


async def convert_for(desk: AsyncDesk, conversation_id: int) -> int | None:
    return (await desk.conversations.convert(conversation_id)).ticket_id


class Service:
    """A class of a service, which gets its client from a dependency injector."""

    def __init__(self, desk: AsyncDesk) -> None:
        self.desk = desk


def test_dishka_provides_a_client_by_its_type() -> None:
    fake = FakeDesk()

    class Clients(dishka.Provider):
        service = dishka.provide(Service, scope=dishka.Scope.APP)

        @dishka.provide(scope=dishka.Scope.APP)
        async def desk(self) -> AsyncIterator[AsyncDesk]:
            async with a_desk(fake) as desk:
                yield desk

    async def main() -> None:
        container = dishka.make_async_container(Clients())
        service = await container.get(Service)
        assert service.desk is await container.get(AsyncDesk)
        await convert_for(service.desk, 42)
        await container.close()

    anyio.run(main)
    fake.assert_converted_once(42)


def test_dependency_injector_builds_a_client_from_its_class() -> None:
    fake = FakeDesk()

    class Container(containers.DeclarativeContainer):
        desk = providers.Singleton(
            AsyncDesk, "https://acme.teamwork.com", token="any", transport=providers.Object(fake.transport)
        )
        service = providers.Factory(Service, desk=desk)

    async def main() -> None:
        container = Container()
        await convert_for(container.service().desk, 42)
        await container.desk().aclose()

    anyio.run(main)
    fake.assert_converted_once(42)


def test_fastapi_injects_a_client_by_its_type() -> None:
    fake = FakeDesk()
    app = fastapi.FastAPI()

    async def open_desk() -> AsyncIterator[AsyncDesk]:
        async with a_desk(fake) as desk:
            yield desk

    @app.post("/{conversation_id}")
    async def convert(
        conversation_id: int,
        desk: AsyncDesk = fastapi.Depends(open_desk),  # noqa: B008
    ) -> int | None:
        return await convert_for(desk, conversation_id)

    with fastapi.testclient.TestClient(app) as client:
        response = client.post("/42")
    assert response.json() == fake.tickets[0].id


# Documentation tools


def test_sphinx_documents_the_client_with_its_signatures(tmp_path: Path) -> None:
    (tmp_path / "conf.py").write_text(
        "extensions = ['sphinx.ext.autodoc', 'sphinx.ext.napoleon']\nautodoc_typehints = 'description'\n", "utf-8"
    )
    (tmp_path / "index.rst").write_text(
        "API\n===\n\n"
        ".. automodule:: teamwork_desk\n   :members:\n   :imported-members:\n\n"
        ".. autoclass:: teamwork_desk._conversations.Conversations\n   :members:\n\n"
        ".. automodule:: teamwork_desk.backlog\n   :members:\n   :imported-members:\n   :noindex:\n\n"
        ".. automodule:: teamwork_desk.testing\n   :members:\n   :imported-members:\n",
        "utf-8",
    )
    command = [sys.executable, "-m", "sphinx", "-q", "-b", "text", str(tmp_path), str(tmp_path / "out")]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=250)
    assert run.returncode == 0, run.stderr
    for problem in ("Cannot resolve", "Failed to get", "autodoc: failed"):
        assert problem not in run.stderr, run.stderr
    text = " ".join((tmp_path / "out" / "index.txt").read_text("utf-8").split())
    assert "class teamwork_desk.AsyncDesk(url=None, *, token=None, timeout=30.0" in text
    assert "async convert(conversation_id, *, agent=None, bcc=None" in text
    assert "* **inbox** (*EntityRef** | **int** | **None*)" in text
    assert "class teamwork_desk.CustomField(*, id=None, meta=None" in text


def test_pdoc_reads_every_public_name() -> None:
    for name in ("teamwork_desk", "teamwork_desk.backlog", "teamwork_desk.testing"):
        module = pdoc.doc.Module(sys.modules.get(name) or __import__(name, fromlist=["_"]))
        for public in getattr(sys.modules[name], "__all__", ()):
            assert module.get(public) is not None, public
    client = pdoc.doc.Module(teamwork_desk).get("AsyncDesk")
    assert isinstance(client, pdoc.doc.Class)
    assert "token: str | Callable[[], str | Awaitable[str]] | None = None" in str(client.get("__init__").signature)


def test_griffe_reads_the_signatures_from_the_source() -> None:
    client = griffe.load("teamwork_desk", resolve_aliases=True, resolve_external=False)["AsyncDesk"]
    assert [parameter.name for parameter in client["with_options"].parameters][1:3] == ["timeout", "deadline"]
    assert client["conversations"].docstring.value == "Chats with customers, which can become tickets."
