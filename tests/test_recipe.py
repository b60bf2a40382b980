"""A new operation costs the contract only: a clone of the project gets three, by the recipe in CONTRIBUTING.md.

What needs Node is in `make contract`, which judges the same clone.
"""

from __future__ import annotations

import pytest
from recipe import ADDED, Clone

pytestmark = pytest.mark.project

TESTS = ("contract", "diff", "judges", "exports")


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone with the new operations."""
    clone = Clone(tmp_path_factory.mktemp("clone"))
    clone.add_operations()
    return clone


def output_of(clone: Clone, *arguments: str) -> str:
    run = clone.run(*arguments)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def test_only_the_contract_is_edited(clone: Clone) -> None:
    assert clone.changed() == {"openapi/desk.yaml"}


@pytest.mark.parametrize(
    "command",
    [
        ("openapi/generate.py", "--check"),
        ("-m", "ruff", "format", "--no-cache", "--check", "."),
        ("-m", "ruff", "check", "--no-cache", "."),
        # The package is complete on its own, and the rest of the project imports nothing of what is new.
        ("-m", "mypy", "--no-incremental", "generated/teamwork_desk_api"),
    ],
    ids=" ".join,
)
def test_the_checks_pass(command: tuple[str, ...], clone: Clone) -> None:
    output_of(clone, *command)


def test_the_tests_about_the_contract_pass(clone: Clone) -> None:
    files = [f"tests/test_{name}.py" for name in TESTS]
    output = output_of(clone, "-m", "pytest", "-p", "no:cacheprovider", "-v", "-k", "not trio and not needs_a", *files)
    assert "test_a_secret_is_decoded_but_not_in_the_repr[Note-text]" in output
    assert "test_an_example_is_valid[components/parameters/ConversationId]" in output


def test_the_diff_names_the_new_operations_and_nothing_else(clone: Clone) -> None:
    output = output_of(clone, "openapi/diff.py", "HEAD")
    assert "BREAKING  " not in output
    for name in ADDED:
        assert f"addition  {name}: added\n" in output
    assert "addition  teamwork_desk_api.api.conversations.set_note" in output
