"""A release: the reasons to reject it, the files in it, and a whole release of a copy of the repository."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.project

ROOT = Path(__file__).resolve().parents[1]


def load_release() -> Any:
    spec = importlib.util.spec_from_file_location("release", ROOT / ".ci" / "release.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


release = load_release()

CHANGELOG = """# Changelog

## [Unreleased]

- Not yet.

## [1.2.3] - 2026-03-01

### Added

- Three.

## [1.2.2] - 2026-02-01

## [1.2.1]

- Undated.

## [1.2.0] - 2026-01-01

- Nought.

[1.2.3]: https://example.com/1.2.3
"""


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("1.2.3", (1, 2, 3)),
        ("0.10.0", (0, 10, 0)),
        ("1.2", None),
        ("v1.2.3", None),
        ("01.2.3", None),
        ("1.2.3rc1", None),
        ("1.2.3\n", None),
        ("", None),
    ],
)
def test_a_version_is_three_numbers(text: str, version: object) -> None:
    assert release.parse_version(text) == version


@pytest.mark.parametrize(
    ("version", "last", "is_next"),
    [
        ((1, 2, 4), (1, 2, 3), True),
        ((1, 3, 0), (1, 2, 3), True),
        ((2, 0, 0), (1, 2, 3), True),
        ((1, 2, 3), (1, 2, 3), False),
        ((1, 2, 2), (1, 2, 3), False),
        ((1, 2, 5), (1, 2, 3), False),
        ((1, 3, 1), (1, 2, 3), False),
        ((1, 4, 0), (1, 2, 3), False),
        ((2, 1, 0), (1, 2, 3), False),
        ((3, 0, 0), (1, 2, 3), False),
    ],
)
def test_a_version_must_be_the_next_after_the_last(version: object, last: object, is_next: bool) -> None:
    assert release.follows(version, last) is is_next


@pytest.mark.parametrize(
    ("version", "entry"),
    [
        ("1.2.3", "### Added\n\n- Three."),
        ("1.2.2", ""),
        ("1.2.1", ""),
        ("1.2.0", "- Nought."),
        ("1.1.9", ""),
        ("Unreleased", ""),
    ],
)
def test_the_entry_in_the_changelog_must_have_a_date_and_a_text(version: str, entry: str) -> None:
    assert release.changelog_entry(CHANGELOG, version) == entry


@pytest.mark.parametrize(
    ("change", "reasons"),
    [
        ({}, []),
        ({"tags": []}, []),
        ({"tags": ["v1.2.2", "v1.1.0", "nightly", "1.2.3", "v2.0"]}, []),
        ({"version": "1.2"}, ["'1.2' is not a version", "pyproject.toml says version 1.2.3", "no entry '## [1.2]"]),
        ({"tags": ["v1.2.3"]}, ["released already"]),
        ({"tags": ["v1.2.2", "v1.3.0"]}, ["1.2.3 is not the next version after 1.3.0"]),
        ({"tags": ["v1.2.9", "v1.2.10"]}, ["1.2.3 is not the next version after 1.2.10"]),
        ({"declared": "1.2.2"}, ["pyproject.toml says version 1.2.2"]),
        ({"status": " M README.md\n"}, ["dirty:\n M README.md"]),
        ({"status": "?? new.py\n"}, ["dirty:\n?? new.py"]),
        ({"changelog": "# Changelog\n\n## [Unreleased]\n\n- Three.\n"}, ["CHANGELOG.md has no entry '## [1.2.3]"]),
    ],
)
def test_every_reason_against_a_release_is_reported(change: dict[str, Any], reasons: list[str]) -> None:
    good = {"version": "1.2.3", "declared": "1.2.3", "tags": ["v1.2.2"], "status": "", "changelog": CHANGELOG}
    found = release.refusals(**{**good, **change})
    assert len(found) == len(reasons)
    for reason, expected in zip(found, reasons, strict=True):
        assert expected in reason


TRACKED = [
    *("generated/teamwork_desk_api/types.py", "overrides/teamwork_desk/py.typed", "overrides/_a_plugin.py"),
    *(
        "openapi/desk.yaml",
        "CHANGELOG.md",
        "LICENSE",
        "README.md",
        "pyproject.toml",
        "Makefile",
        "tests/test_release.py",
    ),
]
WHEEL = [
    *("teamwork_desk_api/types.py", "teamwork_desk/py.typed", "_a_plugin.py"),
    *("x.dist-info/METADATA", "x.dist-info/licenses/LICENSE"),
]
SDIST = [*TRACKED, "PKG-INFO"]


@pytest.mark.parametrize(
    ("names", "faults"),
    [
        (WHEEL, []),
        ([*WHEEL, "teamwork_desk/_x.pyc"], ["in the wheel by mistake: teamwork_desk/_x.pyc"]),
        (WHEEL[1:], ["missing in the wheel: teamwork_desk_api/types.py"]),
        (WHEEL[:-1], ["missing in the wheel: LICENSE"]),
    ],
)
def test_the_wheel_holds_the_packages_and_the_licence(names: list[str], faults: list[str]) -> None:
    assert release.faults_of_wheel(names, TRACKED) == faults


@pytest.mark.parametrize(
    ("names", "faults"),
    [
        (SDIST, []),
        ([*SDIST, "tests/left_over.py"], ["in the sdist by mistake: tests/left_over.py"]),
        (SDIST[1:], ["missing in the sdist: generated/teamwork_desk_api/types.py"]),
        ([*TRACKED[:-1], "PKG-INFO"], ["missing in the sdist: tests/test_release.py"]),
    ],
)
def test_the_sdist_holds_the_whole_repository(names: list[str], faults: list[str]) -> None:
    assert release.faults_of_sdist(names, TRACKED) == faults


# A whole release, in a repository of its own


def git(root: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", *identity, *arguments], cwd=root, capture_output=True, text=True, check=True)
    return done.stdout


def commit_all(root: Path) -> None:
    git(root, "init", "--quiet")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "Add everything")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder at version 7.8.9, with an entry in its changelog."""
    monkeypatch.setenv("GIT_COMMITTER_NAME", "Test")
    monkeypatch.setenv("GIT_COMMITTER_EMAIL", "test@example.com")
    root = tmp_path / "repository"
    root.mkdir()
    project = re.sub(r'(?m)^version = ".*"$', 'version = "7.8.9"', (ROOT / "pyproject.toml").read_text("utf-8"))
    (root / "pyproject.toml").write_text(project, "utf-8")
    changelog = "# Changelog\n\n## [7.8.9] - 2026-01-01\n\n### Added\n\n- All of it.\n"
    (root / "CHANGELOG.md").write_text(changelog, "utf-8")
    return root


def test_a_release_makes_two_distributions_and_a_tag(repository: Path) -> None:
    parts = (".gitignore", "LICENSE", "README.md", "generated", "openapi", "overrides", "tests")
    ignored = shutil.ignore_patterns("__pycache__", "node_modules")
    for source in (ROOT / part for part in parts):
        if source.is_dir():
            shutil.copytree(source, repository / source.name, ignore=ignored)
        else:
            shutil.copy2(source, repository)
    commit_all(repository)
    kept = release.release(repository, "7.8.9", checks=[["git", "--version"]])
    assert [path.name for path in kept] == ["teamwork_desk-7.8.9.tar.gz", "teamwork_desk-7.8.9-py3-none-any.whl"]
    assert all(path.parent == repository / "dist" for path in kept)
    tag = git(repository, "for-each-ref", "--format=%(refname:short) %(objecttype)\n%(contents)", "refs/tags")
    assert tag.strip() == "v7.8.9 tag\nteamwork-desk 7.8.9\n\n### Added\n\n- All of it."
    assert git(repository, "status", "--porcelain") == ""


@pytest.mark.parametrize(
    ("check", "reason"),
    [
        ([sys.executable, "-c", "raise SystemExit('lint')"], "failed:\nlint"),
        (["touch", "left-behind"], "the checks changed the tree"),
    ],
    ids=["fails", "writes"],
)
def test_a_failed_check_or_a_changed_tree_ends_the_release(check: list[str], reason: str, repository: Path) -> None:
    commit_all(repository)
    with pytest.raises(SystemExit, match=reason):
        release.release(repository, "7.8.9", checks=[check])
    assert git(repository, "tag") == ""
    assert not (repository / "dist").exists()


def test_a_dirty_tree_ends_the_release_before_the_checks(repository: Path) -> None:
    commit_all(repository)
    (repository / "new.py").touch()
    with pytest.raises(SystemExit, match=r"dirty:\n\?\? new.py"):
        release.release(repository, "7.8.9")
