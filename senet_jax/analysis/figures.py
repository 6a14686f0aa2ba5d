"""The style of all figures, and the files that they are written to."""

import math
import sys
import warnings
from pathlib import Path

from matplotlib import colormaps, font_manager, rc_context, rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

_MORE_FONTS = {
    "Arial Unicode MS", "Hiragino Sans", "Malgun Gothic", "Microsoft YaHei", "Noto Sans CJK JP", "Noto Sans CJK SC",
    "PingFang SC", "WenQuanYi Zen Hei", "Yu Gothic",
}  # fmt: skip
"""Fonts with Chinese, Japanese or Korean letters."""
GREY = "0.35"
"""Colour of a baseline."""


def colours(number: int) -> list[tuple[float, ...]]:
    """Returns that many different colours."""
    palette = colormaps["tab10" if number <= 10 else "turbo"]
    return [palette(index if number <= 10 else index / (number - 1)) for index in range(number)]


def plain(name: str) -> str:
    """Returns a name for a text of matplotlib, which takes "$" for mathematics and leaves "_x" out of legends."""
    return (" " if name.startswith("_") else "") + name.replace("$", r"\$")


def add_legend(figure: Figure, axis: Axes) -> None:
    """Adds the legend of an axis below a figure, in up to five columns that fit its width; the figure grows by it."""
    handles, labels = axis.get_legend_handles_labels()
    if not labels:
        return
    fitting = int(11 * figure.get_figwidth() / (max(map(len, labels)) + 6))  # About 11 letters to an inch.
    columns = max(1, min(5, fitting))
    figure.set_figheight(figure.get_figheight() + 0.25 * math.ceil(len(labels) / columns))
    figure.legend(handles, labels, loc="outside lower center", ncols=columns)


def save(figure: Figure, path: Path) -> None:
    """Writes a PNG at the path, and an SVG beside it, whose text stays text; both without a date.

    Letters that matplotlib's own font lacks come from fonts of the machine; those that none has are told.
    """
    texts = [text for text in figure.findobj(Text) if not text.get_text().isascii()]
    if texts:
        families = [*rcParams["font.family"], *sorted(_MORE_FONTS.intersection(font_manager.get_font_names()))]
        for text in texts:
            text.set_fontfamily(families)
    with warnings.catch_warnings(record=True, action="always") as caught:
        figure.savefig(path, dpi=120)
        with rc_context({"svg.fonttype": "none", "svg.hashsalt": "senet_jax"}):
            figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})
    missing = [warning for warning in caught if "missing from font" in str(warning.message)]
    if missing:
        print(f"{path.name} has letters that no font of this machine has; the SVG has them as text", file=sys.stderr)
    for other in (each for each in caught if each not in missing):
        warnings.warn_explicit(other.message, other.category, other.filename, other.lineno)
