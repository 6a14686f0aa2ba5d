"""The confusion matrix as a picture."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from senet_jax.analysis.figures import plain, save

_MOST_NAMED = 40
_MOST_COUNTED = 20


def plot_confusion(confusion: np.ndarray, rows: Sequence[str], columns: Sequence[str], path: Path, title: str) -> None:
    """Draws shares of each true class (rows) that were taken for each class (columns), and saves them at the path.

    `confusion` counts examples, (rows, columns). Up to 40 classes are named, up to 20 have their counts written.
    """
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    most = max(confusion.shape)
    side = float(np.clip(0.42 * most + 2.5, 5, 14))
    figure = Figure(figsize=(side + 1, max(side * len(rows) / len(columns), 3.5)), layout="constrained")
    axis = figure.subplots()
    image = axis.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    figure.colorbar(image, ax=axis, label="share of the true class", format=PercentFormatter(1.0))
    if most <= _MOST_NAMED:
        is_long = most > 6 or max(map(len, columns)) > 8
        axis.set_xticks(range(len(columns)), list(map(plain, columns)), rotation=90 if is_long else 0)
    if len(rows) <= _MOST_NAMED:
        axis.set_yticks(range(len(rows)), list(map(plain, rows)))
    if most <= _MOST_COUNTED:
        for (row, column), count in np.ndenumerate(confusion):
            colour = "white" if shares[row, column] > 0.5 else "black" if count else "0.7"
            axis.text(column, row, f"{count:,}", ha="center", va="center", color=colour, fontsize=8)
    axis.set_xlabel("predicted class")
    axis.set_ylabel("true class")
    figure.suptitle(plain(title))
    save(figure, path)
