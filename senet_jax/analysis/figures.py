"""The style of all figures, and the files that they are written to."""

import math
from pathlib import Path

from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

GREY = "0.35"
"""Colour of a baseline."""


def colours(number: int) -> list[tuple[float, ...]]:
    """Returns that many different colours."""
    palette = colormaps["tab10" if number <= 10 else "turbo"]
    return [palette(index if number <= 10 else index / (number - 1)) for index in range(number)]


def add_legend(figure: Figure, axis: Axes) -> None:
    """Adds the legend of an axis below a figure, in up to five columns that fit its width; the figure grows by it."""
    handles, labels = axis.get_legend_handles_labels()
    fitting = int(11 * figure.get_figwidth() / (max(map(len, labels)) + 6))  # About 11 letters to an inch.
    columns = max(1, min(5, fitting))
    figure.set_figheight(figure.get_figheight() + 0.25 * math.ceil(len(labels) / columns))
    figure.legend(handles, labels, loc="outside lower center", ncols=columns)


def save(figure: Figure, path: Path) -> None:
    """Writes a PNG at the path, and an SVG beside it, whose text stays text; both without a date."""
    figure.savefig(path, dpi=120)
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "senet_jax"}):
        figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})
