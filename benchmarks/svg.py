"""Two small kinds of plots as SVG texts: bars with their spread and their aim, and dots on a logarithmic scale."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, LABEL_WIDTH, RIGHT_WIDTH = 860, 390, 90
LINE_HEIGHT, BAR_HEIGHT, TOP, BOTTOM = 26, 14, 44, 26
PLOT_WIDTH = WIDTH - LABEL_WIDTH - RIGHT_WIDTH
INK, PALE, BAR, AIM = "#24292f", "#d0d7de", "#4e79a7", "#e15759"
COLORS = (BAR, "#f28e2b")


@dataclass(frozen=True)
class Bar:
    """A value, the lowest and highest of its rounds, and what was aimed at."""

    label: str
    value: float
    low: float
    high: float
    aim: float | None = None


def bars(title: str, what: Sequence[Bar], unit: str = "x") -> str:
    """Horizontal bars from zero: the spread as a thin line, the aim as a red mark."""
    top = max((number for bar in what for number in (bar.high, bar.value, bar.aim or 0)), default=1) * 1.05
    scale = PLOT_WIDTH / top
    parts = list(_grid(_ticks(top), lambda value: value * scale, len(what), unit))
    for number, bar in enumerate(what):
        y = TOP + number * LINE_HEIGHT
        parts.append(_text(LABEL_WIDTH - 8, y + 12, bar.label, "end"))
        parts.append(_box(LABEL_WIDTH, y, bar.value * scale, BAR_HEIGHT, BAR))
        parts.append(_line(LABEL_WIDTH + bar.low * scale, y + 7, LABEL_WIDTH + bar.high * scale, y + 7, INK))
        if bar.aim is not None:
            x = LABEL_WIDTH + bar.aim * scale
            parts.append(_line(x, y - 4, x, y + BAR_HEIGHT + 4, AIM, 2))
        parts.append(_text(WIDTH - RIGHT_WIDTH + 8, y + 12, f"{bar.value:.3g}{unit}"))
    return _document(title, parts, len(what))


def dots(title: str, what: Mapping[str, Mapping[str, float]], colors: Mapping[str, str], unit: str = "ms") -> str:
    """For each label its named values as dots on a logarithmic scale; `colors` by name."""
    values = [value for named in what.values() for value in named.values() if value > 0]
    low, high = (math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))) if values else (0, 1)
    high = max(high, low + 1)

    def x_of(value: float) -> float:
        return (math.log10(value) - low) / (high - low) * PLOT_WIDTH

    parts = list(_grid([10.0**power for power in range(low, high + 1)], x_of, len(what), " " + unit))
    for number, (label, named) in enumerate(what.items()):
        y = TOP + number * LINE_HEIGHT
        parts.append(_text(LABEL_WIDTH - 8, y + 12, label, "end"))
        for name, value in named.items():
            if value > 0:
                parts.append(_dot(LABEL_WIDTH + x_of(value), y + 8, colors[name], f"{name}: {value:.3g} {unit}"))
    for number, (name, color) in enumerate(colors.items()):
        parts.append(_dot(LABEL_WIDTH + 90 * number + 5, 32, color, name))
        parts.append(_text(LABEL_WIDTH + 90 * number + 14, 36, name))
    return _document(title, parts, len(what))


def _ticks(top: float) -> list[float]:
    """Round numbers from zero, at most eight."""
    step = 10.0 ** math.floor(math.log10(top / 4))
    step = next(step * factor for factor in (1, 2, 5, 10) if top / (step * factor) <= 8)
    return [step * number for number in range(int(top / step) + 1)]


def _grid(ticks: Sequence[float], x_of: Callable[[float], float], lines: int, unit: str) -> Iterator[str]:
    bottom = TOP + lines * LINE_HEIGHT
    for tick in ticks:
        x = LABEL_WIDTH + x_of(tick)
        yield _line(x, TOP - 6, x, bottom, PALE)
        yield _text(x, bottom + 14, f"{tick:g}{unit}", "middle")


def _document(title: str, parts: Sequence[str], lines: int) -> str:
    height = TOP + lines * LINE_HEIGHT + BOTTOM
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
    head += 'font-family="sans-serif" font-size="12">'
    body = [_box(0, 0, WIDTH, height, "#ffffff"), _text(12, 20, title, weight="bold"), *parts]
    return "\n".join([head, *body, "</svg>", ""])


def _text(x: float, y: float, text: str, anchor: str = "start", weight: str = "normal") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}"'
    return f'<text {place} fill="{INK}">{escape(text)}</text>'


def _box(x: float, y: float, width: float, height: float, color: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{height:.1f}" fill="{color}"/>'


def _line(x1: float, y1: float, x2: float, y2: float, color: str, width: int = 1) -> str:
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{color}" stroke-width="{width}"/>'


def _dot(x: float, y: float, color: str, title: str) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{color}"><title>{escape(title)}</title></circle>'
