"""The tutorial works from its first step to its last, and prints what the page shows."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from code_blocks import ROOT

pytestmark = pytest.mark.project

PAGE = ROOT / "docs" / "pages" / "tutorial.md"
WAIT = """\
until python -c 'import socket; socket.create_connection(("127.0.0.1", {port}))' 2>/dev/null; do
    kill -0 $!  # fail if the server has ended
done
"""


def unused_port() -> str:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return str(listener.getsockname()[1])


def test_every_step_prints_what_the_page_shows(tmp_path: Path) -> None:
    page = PAGE.read_text("utf-8").partition("## Use your Desk")[0]
    for port in ("8000", "8080"):  # another program of this machine may use them
        page = page.replace(port, unused_port())
    _, *steps = re.findall(r"```(\w+)\n(.*?)```", page, re.DOTALL)  # the first step installs what is installed here
    script = ["set -eu", "trap 'kill $(jobs -p) 2>/dev/null' EXIT"]
    shown: list[str] = []
    for language, step in steps:
        if language == "python":
            name = step.partition("\n")[0].removeprefix("# ")
            (tmp_path / name).write_text(step, "utf-8")
        elif language == "sh":
            server = re.search(r"--port (\d+).*&\n", step)
            script += [step, WAIT.format(port=server[1]) if server else "echo"]
        else:
            shown += step.splitlines()

    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTEST_ADDOPTS": "-p no:randomly -p no:cacheprovider",
    }
    done = subprocess.run(
        ["bash", "-c", "\n".join(script)], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    printed = iter(done.stdout.splitlines())
    missing = [line for line in shown if not any(line in each for each in printed)]
    assert not missing, done.stdout
