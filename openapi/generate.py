"""Turn the contract into the generated package.

`python openapi/generate.py` regenerates generated/teamwork_desk_api, and `--check` only compares. A failed generation
changes nothing, because the package is replaced only after the new one is complete.
"""

from __future__ import annotations

import argparse
import filecmp
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import yaml

HERE = Path(__file__).resolve().parent
CONTRACT = HERE / "desk.yaml"
PACKAGE = HERE.parent / "generated" / "teamwork_desk_api"


def lint(contract: Any) -> list[str]:
    """List the parts of a contract that the generator would silently drop or change.

    Args:
        contract: The parsed contract.

    Returns:
        A line for each broken rule, with the path of the part that breaks it.
    """
    return [f"{'/'.join(path)}: {fault}" for path, node in _walk(contract, ()) for fault in _faults(path, node)]


def _walk(
    node: Any, path: tuple[str, ...], keys_are_names: bool = False
) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """Yield every object that follows the rules of OpenAPI, with its path.

    Examples are skipped, because they are data. Objects such as `properties` are not yielded themselves, because their
    keys are names of the contract's own: a property may be called `enum`.
    """
    if isinstance(node, dict):
        fields = cast("dict[str, Any]", node)
        if not keys_are_names:
            yield path, fields
        for key, child in fields.items():
            if keys_are_names or key not in ("default", "example", "examples"):
                child_keys_are_names = not keys_are_names and key in ("properties", "schemas", "responses")
                yield from _walk(child, (*path, str(key)), child_keys_are_names)
    elif isinstance(node, list):
        for index, child in enumerate(cast("Any", node)):
            yield from _walk(child, (*path, str(index)))


def _faults(path: tuple[str, ...], node: dict[str, Any]) -> Iterator[str]:
    """Yield the rules that an object breaks."""
    is_component = path[:2] == ("components", "schemas") and len(path) == 3
    is_part = path[:2] == ("components", "schemas") and len(path) == 5 and path[3] == "allOf"
    kinds = node.get("type") or ()  # The type is a string or a list of strings, and `in` works for both.
    parts = [part for key in ("allOf", "anyOf", "oneOf") for part in node.get(key, ())]
    if "$ref" in node and len(node) > 1:
        yield "properties beside a $ref are dropped: wrap the $ref in allOf"
    if ("object" in kinds or "properties" in node) and not is_component and not is_part:
        yield "inline object: make it a named component"
    if is_component and len(parts) == 1 and "$ref" in parts[0]:
        yield "alias of another schema, whose own keys are dropped: refer to the other schema directly"
    if "properties" in node and ("anyOf" in node or "oneOf" in node):
        yield "properties beside anyOf or oneOf are dropped"
    if "enum" in node:
        yield "a closed enum rejects new values: use x-extensible-enum"
    if "x-secret" in node and path[-2:-1] != ("properties",):
        yield "x-secret has an effect only on a property"
    if node.get("in") in ("query", "path", "header", "cookie"):
        if "schema" not in node:
            yield "a parameter without a schema is dropped"
        elif "array" in node["schema"].get("type", ()) and node.get("explode") is not False and node["in"] == "query":
            yield "an array in a query is sent comma-separated: add explode: false"
        if "style" in node:
            yield "the style of a parameter is ignored"
    if path[:1] == ("paths",) and "responses" in node:
        yield from (f"an operation needs {key}" for key in ("operationId", "summary", "security") if key not in node)


def generate(contract: Path, output: Path) -> None:
    """Generate a package from a contract.

    Args:
        contract: The contract's file.
        output: The folder to create. It may be incomplete after an error.

    Raises:
        SystemExit: The contract breaks a rule, or the generator fails or prints a warning.
    """
    if faults := lint(yaml.safe_load(contract.read_text("utf-8"))):
        raise SystemExit("\n".join([f"{contract.name} breaks these rules:", *faults]))
    command = [
        *(sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none", "--fail-on-warning"),
        *("--path", str(contract), "--output-path", str(output)),
        *("--config", str(HERE / "generator.yaml"), "--custom-template-path", str(HERE / "templates")),
    ]
    # The post hooks call ruff by its name, so the folder of this interpreter must be on the PATH.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    run = subprocess.run(
        command,
        env={**os.environ, "PATH": path, "NO_COLOR": "1", "TYPER_STANDARD_TRACEBACK": "1"},
        text=True,
        capture_output=True,
        check=False,
    )
    if run.returncode:
        # A template can stop the generator only by including a template that does not exist. The name of that template
        # is the reason, which is the last line of the traceback.
        reason = next((line for line in reversed(run.stderr.splitlines()) if "unsupported: " in line), "")
        raise SystemExit(reason.partition("unsupported: ")[2].strip(" │'") or run.stdout + run.stderr)


def differences(left: Path, right: Path) -> list[str]:
    """List the files that differ between two folders or are in only one of them."""
    files = {
        file.relative_to(root)
        for root in (left, right)
        for file in root.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    return sorted(
        str(file)
        for file in files
        if not (left / file).is_file()
        or not (right / file).is_file()
        or not filecmp.cmp(left / file, right / file, shallow=False)
    )


def main() -> None:
    """Regenerate the package, or compare it with the contract."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only compare the package with the contract")
    parser.add_argument("--contract", type=Path, default=CONTRACT)
    parser.add_argument("--package", type=Path, default=PACKAGE)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        fresh = Path(scratch) / options.package.name
        generate(options.contract, fresh)
        changed = differences(fresh, options.package)
        if options.check and changed:
            raise SystemExit("generated/ differs from the contract, run `make generate`:\n" + "\n".join(changed))
        if changed:
            shutil.rmtree(options.package, ignore_errors=True)
            shutil.copytree(fresh, options.package)
    print(f"{options.package.name}: {f'{len(changed)} files changed' if changed else 'up to date'}")


if __name__ == "__main__":
    main()
