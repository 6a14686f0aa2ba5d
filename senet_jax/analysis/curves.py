"""Figure of training curves."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from senet_jax.analysis.figures import save


def plot_curves(records: Sequence[dict[str, Any]], path: Path, title: str) -> None:
    """Draws loss, accuracy and learning rate of training and test over epochs, and saves the figure."""
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    axes = figure.subplots(1, 3)
    figure.suptitle(title)
    panels = (("loss", "loss (nats)"), ("accuracy", "accuracy"), ("learning_rate", "learning rate"))
    for axis, (name, label) in zip(axes, panels, strict=True):
        for split, colour in (("train", "tab:blue"), ("test", "tab:orange")):
            points = [
                (record["epoch"], record[name]) for record in records if record["split"] == split and name in record
            ]
            if points:
                axis.plot(
                    *zip(*points, strict=True),
                    color=colour,
                    label=split,
                    linewidth=1.2,
                    marker="." if len(points) == 1 else "",
                )
        axis.set_xlabel("epoch")
        axis.set_ylabel(label)
        axis.grid(alpha=0.3)
    axes[0].set_yscale("log")
    axes[0].legend()
    axes[1].yaxis.set_major_formatter(PercentFormatter(1.0))
    save(figure, path)
