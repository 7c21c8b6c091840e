"""Plots of the report as SVG, drawn twice: for a wide window and for a phone."""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..metrics.basic import runs

COLOURS = {
    "real": "#20242c",
    "base": "#8a93a3",
    "generated": "#1668c7",
    "repasted": "#2f9e6e",
    "nearest": "#8b5fbf",
    "frozen": "#d9822b",
}
WIDE, NARROW = 11.2, 3.5  # inches at 100 pixels per inch
_numbers = itertools.count()


def over_time(curves: Mapping[str, np.ndarray], fps: float, silent: np.ndarray, unit: str = "") -> dict[str, str]:
    """Rows of one measure over seconds, pauses of the sound shaded: {"wide": svg, "narrow": svg}."""

    def draw(axes: Any) -> None:
        for start, end in runs(silent):
            axes.axvspan(start / fps, end / fps, color="#edf0f4", linewidth=0)
        for name, values in curves.items():
            axes.plot(np.arange(len(values)) / fps, values, color=COLOURS[name], linewidth=1.1, label=name)
        axes.set_xlim(0, len(silent) / fps)
        axes.set_xlabel("seconds")
        axes.set_ylabel(unit)

    return _both(draw, 1.9)


def over_lag(curves: Mapping[str, np.ndarray], fps: float) -> dict[str, str]:
    """Correlation over lags of -n .. n frames, the best lag of each curve marked."""

    def draw(axes: Any) -> None:
        axes.axvline(0, color="#c9ced6", linewidth=1)
        for name, values in curves.items():
            reach = len(values) // 2
            lags = np.arange(-reach, reach + 1)
            axes.plot(lags, values, color=COLOURS[name], linewidth=1.4, label=name)
            if np.isfinite(values).any():
                best = int(np.nanargmax(values))
                axes.plot(lags[best], values[best], "o", color=COLOURS[name], markersize=5)
        axes.set_xlabel(f"lag in frames of {1000 / fps:.0f} ms")
        axes.set_ylabel("correlation")

    return _both(draw, 2.3)


def _both(draw: Callable[[Any], None], height: float) -> dict[str, str]:
    return {"wide": _svg(draw, WIDE, height), "narrow": _svg(draw, NARROW, height)}


def _svg(draw: Callable[[Any], None], width: float, height: float) -> str:
    import matplotlib
    from matplotlib.figure import Figure

    style = {"svg.fonttype": "none", "font.family": "sans-serif", "font.size": 9, "path.simplify_threshold": 0.5}
    with matplotlib.rc_context(style):  # type: ignore[arg-type]
        figure = Figure(figsize=(width, height), dpi=100, layout="constrained")
        axes = figure.add_subplot()
        draw(axes)
        axes.grid(axis="y", color="#e3e6eb", linewidth=0.7)
        axes.spines[["top", "right"]].set_visible(False)
        if len(axes.get_legend_handles_labels()[0]) > 1:
            axes.legend(loc="upper left", ncols=4, frameon=False, fontsize=8, bbox_to_anchor=(0, 1.22), borderaxespad=0)
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return _inline(out.getvalue())


def _inline(svg: str) -> str:
    """SVG for the inside of an HTML page: no prologue, no metadata, size from the page, ids of its own."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<svg ([^>]*?)width="[^"]*"', r"<svg \1", svg, count=1)
    svg = re.sub(r'(<svg [^>]*?)height="[^"]*"', r"\1", svg, count=1)
    prefix = f"c{next(_numbers)}-"
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}\1"', svg)
    svg = re.sub(r'href="#([^"]+)"', rf'href="#{prefix}\1"', svg)
    return re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}\1)", svg)
