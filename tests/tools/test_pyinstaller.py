"""PyInstaller packs a service into one program, which needs no Python and no packages."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from installed import copy_required, lay_out, run
from packaging.requirements import Requirement

from teamwork_desk import __version__

pytest.importorskip("PyInstaller")

SERVICE = """
import asyncio
import teamwork_desk
from teamwork_desk import AsyncDesk
from teamwork_desk.testing import FakeDesk

async def main():
    fake = FakeDesk()
    async with AsyncDesk("https://acme.teamwork.com", token="a-token", transport=fake.transport) as desk:
        conversation = await desk.conversations.convert(42)
        print(conversation.ticket_id == fake.tickets[0].id, teamwork_desk.__version__)
    async with AsyncDesk("https://acme.teamwork.com", token="a-token"):
        pass  # its certificates were read

asyncio.run(main())
"""


@pytest.mark.timeout(900)
@pytest.mark.parametrize("has_metadata", [True, False], ids=["with the metadata", "without the metadata"])
def test_a_packed_service_calls_desk(has_metadata: bool, wheel: Path, tmp_path: Path) -> None:
    site = lay_out(wheel, tmp_path / "site")
    copy_required([Requirement("pyinstaller")], site)
    if not has_metadata:
        (metadata,) = site.glob("teamwork_desk-*.dist-info")
        shutil.rmtree(metadata)
    (tmp_path / "service.py").write_text(SERVICE, "utf-8")
    build = ("-m", "PyInstaller", "--onefile", "--log-level", "ERROR", "service.py")
    run(sys.executable, "-S", *build, cwd=tmp_path, PYTHONPATH=str(site))
    version = __version__ if has_metadata else "unknown"
    assert run("/usr/bin/env", "-i", tmp_path / "dist" / "service", cwd=tmp_path) == f"True {version}\n"
