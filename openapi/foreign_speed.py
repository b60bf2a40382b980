"""Compare how fast our models and those of stock openapi-python-client decode and encode, on contracts of others."""

from __future__ import annotations

import functools
import gc
import importlib
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from foreign_oracle import Sampler, wire
from foreign_rewrite import Node, words

GOALS = {"decode": 0.6, "encode": 1.0}
"""The most time that ours may take, as a part of stock's time."""
HEAD = "| contract | models | decode | <= 0.6 | encode | <= 1.0 |\n| --- | ---: | ---: | --- | ---: | --- |"
MODELS, ROUNDS, ROUND_SECONDS = 30, 11, 0.002
Call: TypeAlias = Callable[[], Any]


def generate_stock(contract: Path, package: Path) -> None:
    """Generate a package with openapi-python-client alone."""
    config = package.with_suffix(".yaml")
    config.write_text("post_hooks: []\n", "utf-8")
    command = [sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none", "--overwrite"]
    command += ["--path", str(contract), "--output-path", str(package), "--config", str(config)]
    subprocess.run(command, check=True, capture_output=True)


def classes(package: str) -> dict[str, Any]:
    """Return the models of a generated package by their name in lower case."""
    members = vars(importlib.import_module(f"{package}.models"))
    return {words(name): member for name, member in members.items() if hasattr(member, "from_dict")}


def ratio(ours: Call, stock: Call) -> float:
    """Return the median ratio of two times. They are measured in pairs, in alternating order."""
    loops = 1
    while _seconds(ours, loops) < ROUND_SECONDS:
        loops *= 2
    ratios: list[float] = []
    for number in range(ROUNDS):
        if number % 2:
            other = _seconds(stock, loops)
            ratios.append(_seconds(ours, loops) / other)
        else:
            ratios.append(_seconds(ours, loops) / _seconds(stock, loops))
    return statistics.median(ratios)


def _seconds(call: Call, loops: int) -> float:
    # The CPU time of this thread does not depend on what else runs on the machine.
    start = time.thread_time()
    for _ in range(loops):
        call()
    return time.thread_time() - start


def compare(contract: Node, ours: str, stock: str) -> dict[str, list[float]]:
    """Measure models that both packages have, with samples that have every property."""
    our_models, stock_models = classes(ours), classes(stock)
    names = sorted(
        name for name in contract["components"]["schemas"] if words(name) in our_models.keys() & stock_models
    )
    ratios: dict[str, list[float]] = {goal: [] for goal in GOALS}
    gc.collect()
    gc.disable()
    try:
        for name in random.Random(1).sample(names, min(MODELS, len(names))):
            payload = wire(Sampler(contract, 0).value({"$ref": f"#/components/schemas/{name}"}))
            our_model, stock_model = our_models[words(name)], stock_models[words(name)]
            try:
                ours_decoded, stock_decoded = our_model.from_dict(payload), stock_model.from_dict(payload)
                stock_decoded.to_dict()
            except Exception as error:
                print(f"{name} is not measured, because stock fails: {error!r}"[:200])
                continue
            decoders = (functools.partial(model.from_dict, payload) for model in (our_model, stock_model))
            ratios["decode"].append(ratio(*decoders))
            ratios["encode"].append(ratio(ours_decoded.to_dict, stock_decoded.to_dict))
    finally:
        gc.enable()
    return ratios


def line(name: str, ratios: dict[str, list[float]]) -> str:
    """Return a row of the table: for each goal the median, and the least and the most in brackets."""
    cells = [name, str(len(ratios["decode"]))]
    for goal, most in GOALS.items():
        values = sorted(ratios[goal])
        median = statistics.median(values)
        cells.append(f"{median:.2f} ({values[0]:.2f} to {values[-1]:.2f})")
        cells.append("yes" if median <= most else "no")
    return f"| {' | '.join(cells)} |"
