"""Turn the contract into the generated package.

`python openapi/generate.py` regenerates generated/teamwork_desk_api, and `--check` only compares. A failed generation
changes nothing, because the package is replaced only after the new one is complete.
"""

from __future__ import annotations

import argparse
import filecmp
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from contract import ContractError, load
from lint import lint
from prepare import prepare

HERE = Path(__file__).resolve().parent
CONTRACT = HERE / "desk.yaml"
PACKAGE = HERE.parent / "generated" / "teamwork_desk_api"


def generate(contract: Path, output: Path) -> None:
    """Generate a package from a contract.

    Args:
        contract: The contract's file.
        output: The folder to create. It may be incomplete after an error.

    Raises:
        SystemExit: The contract breaks a rule, or the generator fails or prints a warning.
    """
    try:
        document = load(contract)
    except ContractError as error:
        raise SystemExit(str(error)) from None
    if faults := lint(document):
        raise SystemExit("\n".join([f"{contract.name} breaks these rules:", *faults]))
    prepared, facts = prepare(document)
    with tempfile.TemporaryDirectory() as scratch:
        source, templates = Path(scratch, "contract.json"), Path(scratch, "templates")
        source.write_text(json.dumps(prepared), "utf-8")
        shutil.copytree(HERE / "templates", templates)
        (templates / "facts.jinja").write_text(facts, "utf-8")
        _run(source, templates, output)


def _run(contract: Path, templates: Path, output: Path) -> None:
    """Run openapi-python-client.

    Raises:
        SystemExit: It fails or prints a warning.
    """
    command = [
        *(sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none", "--fail-on-warning"),
        *("--path", str(contract), "--output-path", str(output)),
        *("--config", str(HERE / "generator.yaml"), "--custom-template-path", str(templates)),
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
    if "RecursionError" in run.stderr:
        raise SystemExit("the schemas of the contract are nested too deeply for openapi-python-client")
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
