"""The site: it builds without a warning, has no dead link, loads nothing from another host, and its examples run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from code_blocks import ROOT, blocks, desk_fleet, fake_desk, run

import teamwork_desk
import teamwork_desk.fleet
import teamwork_desk.testing

pytestmark = pytest.mark.project

PAGES = ROOT / "docs" / "pages"
BLOCKS = {
    f"{page.relative_to(PAGES)}-{number}": block
    for page in sorted(PAGES.rglob("*.md"))
    if page.name != "tutorial.md"  # test_tutorial.py follows its steps
    for number, block in enumerate(blocks(page), 1)
}
PUBLIC = [
    *(f"teamwork_desk.{name}" for name in teamwork_desk.__all__),
    *(f"teamwork_desk.testing.{name}" for name in teamwork_desk.testing.__all__),
    *(f"teamwork_desk.fleet.{name}" for name in teamwork_desk.fleet.__all__),
    *(f"teamwork_desk.backlog.{name}" for name in ("Job", "Outcome", "convert_many")),
]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with fake_desk() as url:
        yield url


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with desk_fleet(BLOCKS.values(), tmp_path_factory.mktemp("modules")):
        yield


@pytest.mark.usefixtures("fleet")
@pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS.keys())
def test_a_code_block_runs(block: str, url: str) -> None:
    run(block, url)


def test_a_process_that_is_forked_from_a_synchronous_caller_converts_and_ends(url: str, tmp_path: Path) -> None:
    (module,) = [block for block in blocks(PAGES / "sync.md") if block.startswith("# desk_sync.py")]
    (tmp_path / "desk_sync.py").write_text(module, "utf-8")
    script = """
import os, sys, threading, desk_sync

def in_child(convert):
    if not (child := os.fork()):
        convert()
        sys.exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7

desk_sync.convert(90)
in_child(lambda: None)
threads = [threading.Thread(target=desk_sync.convert, args=(number,)) for number in range(10, 20)]
for thread in threads:
    thread.start()
in_child(lambda: desk_sync.convert(91))
"""
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "TEAMWORK_DESK_URL": url, "TEAMWORK_DESK_TOKEN": "t"}
    command = [sys.executable, "-W", "error", "-W", "ignore:.*fork.*:DeprecationWarning", "-c", script]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS.keys())
def test_a_code_block_fits_the_page(block: str) -> None:
    assert max(map(len, block.splitlines())) <= 88


def test_the_log_that_a_page_shows_is_what_its_example_logs(url: str) -> None:
    page = PAGES / "observing.md"
    (shown,) = re.findall(r"```text\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    logged = [line for line in run(blocks(page)[0], url, log="debug").splitlines() if "asyncio" not in line]
    assert [re.sub(r"\d\.\d{3} s", "", line) for line in logged] == [
        re.sub(r"\d\.\d{3} s", "", line) for line in shown.splitlines()
    ]


def test_every_test_that_a_page_names_exists() -> None:
    pages = "".join((ROOT / page).read_text("utf-8") for page in ("CONTRIBUTING.md", "SECURITY.md"))
    named = set(re.findall(r"`(test_\w+)`", pages))
    tests = "".join(file.read_text("utf-8") for file in (ROOT / "tests").glob("test_*.py"))
    assert named
    assert named <= set(re.findall(r"def (test_\w+)", tests))


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_has_an_entry_and_an_example(name: str) -> None:
    text = "".join(page.read_text("utf-8") for page in PAGES.rglob("*.md"))
    assert re.search(rf"^::: {re.escape(name)}$", text, re.MULTILINE)
    assert re.search(rf"\b{name.rpartition('.')[2]}\b", "".join(BLOCKS.values()))


class Page(HTMLParser):
    """The links of a page, the files that it loads, and its anchors."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.loads: set[str] = set()
        self.anchors: set[str] = {""}
        self.feed(file.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        self.anchors.add(attributes.get("id", ""))
        if tag == "a":
            self.links.add(attributes.get("href", ""))
        elif "href" in attributes or "src" in attributes:
            self.loads.add(attributes.get("href") or attributes["src"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Page]:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    built = subprocess.run(
        [*command, "--config-file", str(ROOT / "docs" / "mkdocs.yml")],
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (built.returncode, built.stdout, built.stderr) == (0, "", "")
    return {file: Page(file) for file in folder.rglob("*.html") if file.name != "404.html"}


def test_every_page_is_built(site: dict[Path, Page]) -> None:
    assert {file.stem for file in site} == {page.stem for page in PAGES.rglob("*.md")}


def test_no_link_is_dead(site: dict[Path, Page]) -> None:
    dead: list[str] = []
    for file, page in site.items():
        for link in page.links:
            parts = urlsplit(link)
            target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            if parts.scheme:
                continue
            if target not in site or unquote(parts.fragment) not in site[target].anchors:
                dead.append(f"{file.name}: {link}")
    assert dead == []


def test_nothing_is_loaded_from_elsewhere(site: dict[Path, Page]) -> None:
    for file, page in site.items():
        for load in page.loads:
            parts = urlsplit(load)
            assert not parts.scheme
            assert not parts.netloc
            assert (file.parent / parts.path).exists()
        for style in file.parent.glob("**/*.css"):
            assert not re.search(r"(url\(|@import )['\"]?(https?:)?//", style.read_text("utf-8"))


def test_the_reference_shows_what_the_docstrings_say(site: dict[Path, Page]) -> None:
    (client,) = [file for file in site if file.name == "client.html"]
    text = re.sub(r"<[^>]+>", "", client.read_text("utf-8"))
    for words in ("Seconds for a whole call", "A personal API key or OAuth access", "The URL, the token or an option"):
        assert words in text
