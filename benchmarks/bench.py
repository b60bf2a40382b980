"""Measure the SDK against bare httpx and its peers, and write results.md. README.md describes the method."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import pace
import yaml
from cases import FIRST_CONVERSATION

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PYTHON = ROOT / "build" / "bench-venv" / "bin" / "python"
CONTRACT = ROOT / "openapi" / "desk.yaml"

CONTROL = "control"
NAMES = {
    CONTROL: "httpx again (the control)",
    "sdk": "**teamwork-desk**",
    "sdk-aiohttp": "**teamwork-desk, aiohttp transport**",
    "slots": "httpx, a client for each caller",
    "raw-aiohttp": "httpx, aiohttp transport",
    "stock": "openapi-python-client's stock output",
    "anthropic": "anthropic",
    "openai": "openai",
    "githubkit": "githubkit",
    "python-intercom": "python-intercom",
}
GROUPS = ((CONTROL, "sdk"), ("sdk-aiohttp", "raw-aiohttp"), ("stock", "anthropic"), ("openai", "githubkit"))
LAST_GROUP = ("python-intercom", "slots")
CALL_TARGETS = {("sdk", 1): 1.0, ("sdk", 64): 0.25, ("sdk-aiohttp", 1): 0.75, ("sdk-aiohttp", 64): 0.15}
MODEL_TARGETS = {
    "decode the API page's example": 0.5,
    "decode a page of 100, JSON included": 0.6,
    "encode a full request, JSON included": 0.5,
}
PACKAGES = (
    *("teamwork-desk", "orjson", "httpx", "httpcore", "h11", "anyio", "sniffio", "httpx-aiohttp", "aiohttp"),
    *("anthropic", "openai", "githubkit", "python-intercom", "httpx2"),
)
MORE_AND_LESS = """
The peers do not do the same work as this SDK in these rounds. Bare httpx decodes to plain JSON, and has no retries and
no deadline. The stock output decodes to typed models, and has no retries, no pacing and no deadline. anthropic and
openai retry, but the `post` used here returns plain JSON, so typed models would cost more; they use httpx2 instead of
httpx. githubkit retries, has an HTTP cache and a throttle, and returns plain JSON here. python-intercom decodes to
models that it does not check. None of the peers verifies whether a request whose response was lost took effect.
""".strip()

Ratios = dict[tuple[str, int], list[float]]


class Bench:
    """Runs the cases, each in a fresh process, against a running server."""

    def __init__(self, stock: Path, response: Any, page: Any, calls: int) -> None:
        self.response = response
        self.page = page
        self._calls = calls
        # Imports are measured from bytecode, because an installed package has it.
        compiled = {"PYTHONDONTWRITEBYTECODE": ""}
        self._environment = {**os.environ, **compiled, "PYTHONPATH": str(stock), "PYTHONWARNINGS": "ignore"}
        self.failures: dict[str, str] = {}
        self.raw: dict[int, list[float]] = {}
        self.url = ""

    def run(self, *arguments: object, stdin: Any = None) -> Any:
        """Run a part of cases.py in a fresh process."""
        return json.loads(self.python(str(HERE / "cases.py"), *map(str, arguments), stdin=json.dumps(stdin)))

    def python(self, *arguments: str, stdin: str = "") -> str:
        """Run Python in the environment that has the peers."""
        command = [str(PYTHON), *arguments]
        return subprocess.run(
            command, env=self._environment, input=stdin, text=True, capture_output=True, check=True
        ).stdout

    def cost(self, case: str, callers: int) -> float:
        """Return the CPU microseconds per call."""
        return float(self.run("call", "raw" if case == CONTROL else case, self.url, callers, self._calls))

    def round(self, number: int, callers: int, groups: Iterable[tuple[str, ...]], ratios: Ratios) -> None:
        """Measure each group beside a run of raw httpx. The order is reversed in every other round."""
        for group in groups:
            costs: dict[str, float] = {}
            order = [*group[:1], "raw", *group[1:]]
            for case in reversed(order) if number % 2 else order:
                if case in self.failures:
                    continue
                try:
                    costs[case] = self.cost(case, callers)
                except subprocess.CalledProcessError as error:
                    self.failures[case] = (error.stderr.strip().splitlines() or ["no message"])[-1]
                    # A peer that fails is noted in the results, but without these two there is nothing to compare.
                    if case == "raw" or case.startswith("sdk"):
                        raise SystemExit(error.stderr) from error
            bare = costs.pop("raw")
            self.raw.setdefault(callers, []).append(bare)
            for case, cost in costs.items():
                ratios.setdefault((case, callers), []).append(cost / bare)
            measured = ", ".join(f"{case} {cost / bare:.2f}" for case, cost in costs.items())
            print(f"round {number + 1}, {callers} at once: raw {bare:.0f} us; {measured}", file=sys.stderr)

    def imports(self, times: int) -> tuple[list[float], dict[str, list[float]]]:
        """Return the CPU milliseconds to import httpx, and the ratios of other imports to it, in fresh processes."""
        bare: list[float] = []
        ratios: dict[str, list[float]] = {"teamwork_desk": [], "stock_desk.api.conversations.convert_conversation": []}
        program = "import time; t = time.process_time(); import {}; print((time.process_time() - t) * 1e3)"
        for number in range(times + 1):  # The first round only compiles the modules.
            order = ["httpx", *ratios]
            costs = {m: float(self.python("-c", program.format(m))) for m in (order[::-1] if number % 2 else order)}
            if number:
                bare.append(costs["httpx"])
                for module, values in ratios.items():
                    values.append(costs[module] / costs["httpx"])
        return bare, ratios


@contextmanager
def serve(body: Any) -> Generator[str]:
    """Serve a fixed response from a separate process."""
    with subprocess.Popen(
        [str(PYTHON), str(HERE / "server.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdin
        assert server.stdout
        server.stdin.write(json.dumps(body))
        server.stdin.close()
        try:
            yield f"http://127.0.0.1:{int(server.stdout.readline())}"
        finally:
            server.terminate()


def generate_stock(folder: Path) -> None:
    """Generate a package from the contract with the generator's own templates."""
    command = ["-m", "openapi_python_client", "generate", "--meta", "none", "--path", str(CONTRACT)]
    # The generator calls ruff by its name, so the folder of this interpreter must be on the PATH.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    subprocess.run(
        [sys.executable, *command, "--output-path", str(folder / "stock_desk")],
        env={**os.environ, "PATH": path},
        capture_output=True,
        check=True,
    )


def pin(core: int) -> None:
    """Pin this process and its children to a core, if the platform supports it."""
    pin_to = getattr(os, "sched_setaffinity", None)
    if pin_to:
        pin_to(0, {core})


def spread(values: list[float], digits: int = 2) -> str:
    """Format the median and the extremes of a list of values."""
    return f"{median(values):.{digits}f} ({min(values):.{digits}f}..{max(values):.{digits}f})"


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> list[str]:
    """Return the lines of a Markdown table."""
    lines = [[*head]]
    lines += [["---"] * len(lines[0]), *([str(cell) for cell in row] for row in rows)]
    return [*(f"| {' | '.join(line)} |" for line in lines), ""]


def calls_table(bench: Bench, ratios: Ratios) -> list[str]:
    """Return the table of the costs of a call."""
    rows: list[list[str]] = [["httpx `post(json=)` and `.json()`", *("" for _ in range(4))]]
    for index, callers in enumerate((1, 64)):
        rows[0][1 + 2 * index] = f"1.00 = {median(bench.raw[callers]):.0f} us"
    for case, name in NAMES.items():
        row = [name]
        for callers in (1, 64):
            values = ratios.get((case, callers))
            row += [spread(values) if values else "not measured", str(CALL_TARGETS.get((case, callers), ""))]
        rows.append(row)
    lines = table(["", "1 at a time", "target", "64 at once", "target"], rows)
    lines += [f"{name} could not be measured: `{reason}`.\n" for name, reason in bench.failures.items()]
    if abs(median(ratios[CONTROL, 1]) - 1) > 0.05:
        lines += [
            "**The control is off by more than 5 %: the machine was too busy, so these numbers are not valid.**",
            "",
        ]
    return [*lines, MORE_AND_LESS, ""]


def environment(bench: Bench, cores: list[int]) -> list[str]:
    """Return the lines that describe the machine and the versions."""
    program = f"from importlib.metadata import version\nfor p in {PACKAGES!r}: print(p, version(p))"
    versions = ", ".join(bench.python("-c", program).split("\n")).strip(", ")
    return [
        f"{platform.python_implementation()} {platform.python_version()}, {platform.system()} {platform.machine()}, "
        f"{os.cpu_count()} cores ({'server and client pinned to one each' if len(cores) > 1 else 'not pinned'}).",
        "",
        f"{versions}.",
        "",
    ]


def report(bench: Bench, cores: list[int], rounds: int, calls: int, is_quick: bool) -> Iterator[str]:
    """Measure everything, and yield the lines of results.md."""
    yield "# Results\n"
    yield f"Written by `make bench`{' (a quick run)' if is_quick else ''}; README.md describes the method.\n"
    yield f"{pace.HEADING}\n"
    yield from pace.measure()[0]
    yield "## Machine and versions\n"
    yield from environment(bench, cores)
    ratios: Ratios = {}
    for number in range(rounds):
        for callers in (1, 64):
            bench.round(number, callers, (*GROUPS, LAST_GROUP), ratios)
    yield "## CPU per call over bare httpx\n"
    yield f"Medians and extremes of {rounds} rounds of {calls:,} calls. The control shows the noise.\n"
    yield from calls_table(bench, ratios)

    many: Ratios = {}
    for number in range(1 if is_quick else 3):
        for callers in (4, 16, 256):
            bench.round(number, callers, [("sdk",)], many)
    many |= {(case, callers): values for (case, callers), values in ratios.items() if case == "sdk"}
    yield "## With more callers\n"
    rows = [
        [callers, f"{median(bench.raw[callers]):.0f} us", spread(values), "1.00"]
        for (_, callers), values in sorted(many.items())
    ]
    yield from table(["at once", "httpx", "teamwork-desk over it", "target"], rows)

    yield "## Models over the stock output\n"
    models: dict[str, list[float]] = bench.run("models", stdin={"response": bench.response, "page": bench.page})
    yield from table(["", "ratio", "target"], ([name, spread(models[name]), MODEL_TARGETS[name]] for name in models))

    yield "## Import over httpx alone\n"
    bare, imports = bench.imports(10)
    yield f"Fresh processes, medians of 10; httpx takes {median(bare):.0f} ms of CPU.\n"
    names = {"teamwork_desk": ("`teamwork_desk`", "1.6")}
    rows = [[*names.get(module, ("the stock output", "")), spread(values)] for module, values in imports.items()]
    yield from table(["", "target", "ratio"], rows)

    yield "## Growth\n"
    if is_quick or not Path("/proc/self/statm").exists():
        yield "Not measured, because it needs a full run on Linux.\n"
        return
    grown = bench.run("growth", bench.url, 100_000)
    with serve(bench.page) as url:
        listing = bench.run("listing", url, 100_000)
    rows = [
        ["cost of a call of a client after 100,000 calls, over a new client's", f"{grown['flat']:.2f}", "1.20"],
        ["memory, 100,000 calls one at a time", f"{grown['sequential']:.2f} MB", "2 MB"],
        ["memory, 10,000 calls, 64 at once", f"{grown['concurrent']:.2f} MB", "2 MB"],
        ["memory, listing 100,000 conversations, after the first 2,000", f"{listing:.2f} MB", "2 MB"],
    ]
    yield from table(["", "measured", "target"], rows)


def main() -> None:
    """Measure everything, and write results.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, help="9, or 2 with --quick")
    parser.add_argument("--calls", type=int, help="2,000, or 1,000 with --quick")
    parser.add_argument("--quick", action="store_true", help="a few minutes: fewer rounds and calls, no growth")
    parser.add_argument("--output", type=Path, default=HERE / "results.md")
    options = parser.parse_args()
    rounds: int = options.rounds or (2 if options.quick else 9)
    calls: int = options.calls or (1_000 if options.quick else 2_000)
    if not PYTHON.exists():
        raise SystemExit("the peers are not installed: run `make bench`")
    paths = yaml.safe_load(CONTRACT.read_text("utf-8"))["paths"]
    content = paths["/desk/api/v2/conversations/{id}/convert.json"]["post"]["responses"]["200"]["content"]
    # The example's ids are 0, with which a response proves no conversion. The server replaces the first conversation's.
    response = {**content["application/json"]["example"], "id": FIRST_CONVERSATION, "ticket_id": 1017}
    page = json.loads(
        json.dumps({"conversations": [response] * 100, "pagination": {"hasMorePages": True}}, default=str)
    )
    find_cores = getattr(os, "sched_getaffinity", None)
    cores: list[int] = sorted(find_cores(0)) if find_cores else []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        generate_stock(folder)
        bench = Bench(folder, response, page, calls)
        if len(cores) > 1:
            pin(cores[0])
        bench.url = stack.enter_context(serve(response))
        if len(cores) > 1:
            pin(cores[-1])
        text = "\n".join(report(bench, cores, rounds, calls, options.quick))
    options.output.write_text(text.strip() + "\n", "utf-8")
    print(text)


if __name__ == "__main__":
    main()
