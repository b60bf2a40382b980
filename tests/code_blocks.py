"""The Python blocks of a page, run as a reader would run them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis_server import redis_server

ROOT = Path(__file__).resolve().parents[1]


def blocks(page: Path) -> list[str]:
    """The Python blocks of a page, in order."""
    return re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL)


@contextmanager
def fake_desk() -> Generator[str]:
    """Serve a fake Desk from the command line, and yield its URL."""
    command = [sys.executable, "-m", "teamwork_desk.testing", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        first_line = server.stdout.readline()
        match = re.search(r"http://[\w.]+:\d+", first_line)
        assert match, first_line
        try:
            yield match[0]
        finally:
            server.terminate()  # not an interrupt: a shell's background jobs ignore it


@contextmanager
def desk_fleet(blocks: Iterable[str], folder: Path) -> Generator[None]:
    """Provide what the blocks about the fleet need: the operator's module, and a Redis."""
    (module,) = [block for block in blocks if block.startswith("# desk_fleet.py")]
    (folder / "desk_fleet.py").write_text(module, "utf-8")
    with redis_server() as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
        patch.setenv("REDIS_URL", server.connection_url)
        yield


def run(block: str, url: str, *, log: str = "error") -> str:
    """Run a block with the environment of a Desk, check that it does not fail and does not warn, and return its output.

    The block must also print the messages that it shows in comments, as `print(error)  # the message`.
    """
    environment = {**os.environ, "TEAMWORK_DESK_URL": url, "TEAMWORK_DESK_TOKEN": "t", "TEAMWORK_DESK_LOG": log}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", block], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    for message in re.findall(r"print\(error\)  # (.*)", block):
        assert re.search(re.escape(message).replace(re.escape("..."), ".*"), done.stdout), message
    return done.stdout
