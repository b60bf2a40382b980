"""The structure of the core: no module of the engine names conversations, and no module is too long."""

from __future__ import annotations

from pathlib import Path

import pytest

import teamwork_desk
from teamwork_desk import DeskError

PACKAGE = Path(teamwork_desk.__file__).parent
TESTING = sorted((PACKAGE / "testing").glob("_*.py"))
CORE = sorted(path for path in PACKAGE.glob("_*.py") if path.name != "__init__.py")
ENGINE = [
    *("_attempt", "_auth", "_call", "_checks", "_codings", "_connections", "_environment", "_headers", "_loops"),
    *("_observe", "_origin", "_outcome", "_pacing", "_paging", "_problems", "_redaction", "_retry", "_scope"),
    *("_session", "_slots", "_source", "_transports", "_upload", "_values", "_version", "_wire"),
]
"""The modules that serve every operation. `_errors` is not here, because a public attribute names the conversation."""


@pytest.mark.parametrize("module", ENGINE)
def test_the_engine_does_not_know_conversations(module: str) -> None:
    assert "conversation" not in (PACKAGE / f"{module}.py").read_text("utf-8").lower()


@pytest.mark.parametrize("kind", DeskError.__subclasses__())
def test_the_messages_of_the_engine_do_not_name_conversations(kind: type[DeskError]) -> None:
    meanings = [str(getattr(each, "meaning", "")) for each in (kind, *kind.__subclasses__())]
    assert not any("conversation" in meaning for meaning in meanings)


@pytest.mark.parametrize("path", [*CORE, *TESTING], ids=lambda path: path.stem)
def test_no_module_of_the_core_or_of_testing_is_longer_than_300_lines(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= 300
