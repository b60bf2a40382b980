"""Draw backlogs against the rate limit, as an SVG picture for the site."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

PICTURE = Path(__file__).parents[1] / "docs" / "pages" / "pictures" / "backlog.svg"
WIDTH, HEIGHT = 760, 400
LEFT, RIGHT, TOP, BOTTOM = 70, 740, 30, 340
COLOURS = ("#303f9f", "#ef6c00", "#2e7d32")


def draw(curves: Mapping[str, Sequence[float]], *, limit: int, period: float) -> str:
    """Draw how many jobs have ended at each moment, beside what the limit alone allows.

    Args:
        curves: The seconds at which the jobs of each backlog ended, by the name of the backlog.
        limit: How many requests the rate window allows.
        period: Seconds of the rate window.
    """
    jobs = max(map(len, curves.values()))
    seconds = max(max(ended) for ended in curves.values())
    minutes = int(seconds // 60) + 1

    def x(second: float) -> float:
        return LEFT + (RIGHT - LEFT) * second / (60 * minutes)

    def y(count: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * count / jobs

    def line(ended: Sequence[float], style: str) -> str:
        steps: list[str] = []
        # A point for each second is as much as the picture can show.
        last = {round(second): count for count, second in enumerate(sorted(ended), start=1)}
        before = 0
        for second, count in last.items():
            steps += [f"{x(second):.1f},{y(before):.1f}", f"{x(second):.1f},{y(count):.1f}"]
            before = count
        return f'<polyline points="{" ".join(steps)}" fill="none" {style}/>'

    body = [
        *(_text(LEFT - 8, y(count) + 4, str(count), "end") for count in range(0, jobs + 1, 2 * limit)),
        *(f'<path d="M{LEFT} {y(count):.1f}H{RIGHT}" stroke="#e0e0ee"/>' for count in range(0, jobs + 1, 2 * limit)),
        *(_text(x(60 * minute), BOTTOM + 20, str(minute), "middle") for minute in range(0, minutes + 1, 2)),
        _text(LEFT - 8, TOP - 12, "converted", "start"),
        _text(RIGHT, BOTTOM + 40, "minutes", "end"),
        line([job // limit * period for job in range(jobs)], 'stroke="#9a9ab8" stroke-width="6" stroke-opacity="0.5"'),
    ]
    names = [(f"what {limit} requests in {period:.0f} s allow", "#9a9ab8")]
    for (name, ended), colour in zip(curves.items(), COLOURS, strict=False):
        body.append(line(ended, f'stroke="{colour}" stroke-width="2"'))
        names.append((name, colour))
    for number, (name, colour) in enumerate(names):
        top = BOTTOM - 76 + 24 * number
        body += [
            f'<path d="M{RIGHT - 270} {top - 4}h24" stroke="{colour}" stroke-width="4"/>',
            _text(RIGHT - 238, top, name, "start"),
        ]
    shown = "\n".join(f"  {element}" for element in body)
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img">
  <title>A backlog of {jobs} conversations against the rate limit</title>
  <style>text {{ font: 13px system-ui, sans-serif; fill: #1a1a2e }}</style>
  <rect width="{WIDTH}" height="{HEIGHT}" rx="8" fill="#fff"/>
{shown}
</svg>
"""


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>'
