"""The promises as a picture: how far each figure is from its aim, as SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

ROW, LEFT, WIDTH, TOP, TEXT = 24, 470, 420, 52, 290
SPAN = math.log10(32)  # the axis goes from 1/32 of the aim to 32 times it
KEPT, MISSED, GREY = "#0b6e4f", "#b3121d", "#6b7280"


def badness(row: Mapping[str, Any]) -> float:
    """Return how many times the aim a figure is; above 1 is missed, whichever way the aim points."""
    measured, aim = max(row["measured"], 1e-9), max(row["aim"], 1e-9)
    return float(aim / measured if row["at_least"] else measured / aim)


def draw(rows: Sequence[Mapping[str, Any]], title: str) -> str:
    """Return an SVG with a bar for each promise, to the left of the line where it is kept."""
    height = TOP + ROW * len(rows) + 24
    middle = LEFT + WIDTH / 2
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + TEXT}" height="{height}">',
        '<g font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>',
        f'<text x="12" y="20" font-size="15" font-weight="bold">{escape(title)}</text>',
        f'<text x="{middle - 8}" y="40" text-anchor="end" fill="{GREY}">kept</text>',
        f'<text x="{middle + 8}" y="40" fill="{GREY}">missed</text>',
    ]
    for place, row in enumerate(rows):
        times, y = badness(row), TOP + ROW * place
        end = middle + max(-1.0, min(1.0, math.log10(times) / SPAN)) * WIDTH / 2
        long = max(abs(end - middle), 1)
        colour = MISSED if times > 1 else KEPT
        word = "≥" if row["at_least"] else "≤"
        figure = f"{row['measured']:.3g} {row['unit']} ({word} {row['aim']:g})"
        parts += [
            f'<text x="{LEFT - 10}" y="{y + 16}" text-anchor="end">{escape(row["what"])}</text>',
            f'<rect x="{min(middle, end):.1f}" y="{y + 5}" width="{long:.1f}" height="14" fill="{colour}"/>',
            f'<text x="{LEFT + WIDTH + 10}" y="{y + 16}" fill="{colour}">{escape(figure)}</text>',
        ]
    parts.append(
        f'<line x1="{middle}" y1="{TOP - 8}" x2="{middle}" y2="{height - 16}" stroke="black"/></g></svg>'
    )
    return "\n".join(parts) + "\n"
