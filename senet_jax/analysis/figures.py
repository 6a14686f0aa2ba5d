"""The style of all figures, and the files that they are written to."""

from pathlib import Path

from matplotlib import colormaps, rc_context
from matplotlib.figure import Figure

GREY = "0.35"
"""Colour of a baseline."""


def colours(number: int) -> list[tuple[float, ...]]:
    """Returns that many different colours."""
    palette = colormaps["tab10" if number <= 10 else "turbo"]
    return [palette(index if number <= 10 else index / (number - 1)) for index in range(number)]


def save(figure: Figure, path: Path) -> None:
    """Writes a PNG at the path, and an SVG beside it, whose text stays text; both without a date."""
    figure.savefig(path, dpi=120)
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "senet_jax"}):
        figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})
