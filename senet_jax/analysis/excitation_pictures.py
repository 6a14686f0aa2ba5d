"""Figures of gates, after figures 6 and 7 of the paper (Hu et al., arXiv 1709.01507, section 7.2)."""

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from senet_jax.analysis.excitations import Excitations, Gates
from senet_jax.analysis.figures import add_legend, plain, save


def title(path: str) -> str:
    """Returns a block's name as in the paper, "SE_2_3" for stage2_block3; other paths stay."""
    return re.sub(r"^stage(\d+)_block(\d+)$", r"SE_\1_\2", path)


def plot_means(found: Excitations, classes: Mapping[str, int], path: Path, heading: str) -> None:
    """Draws the mean gates of classes (numbers by names) and of all images, and saves the figure (figure 6)."""

    def draw(axis: Axes, gates: Gates, channels: np.ndarray) -> None:
        means = gates.class_mean[:, channels]
        for name, label in classes.items():
            axis.plot(channels, means[label], label=_counted(name, gates.count[label]), linewidth=1.2)
        axis.plot(
            channels, gates.mean[channels], "k--", label=_counted("all classes", gates.count.sum()), linewidth=1.2
        )

    _save(found, draw, path, heading)


def plot_stds(found: Excitations, classes: Mapping[str, int], path: Path, heading: str) -> None:
    """Draws the mean gates of classes, with a std over images to both sides, and saves the figure (figure 7)."""

    def draw(axis: Axes, gates: Gates, channels: np.ndarray) -> None:
        means, stds = gates.class_mean[:, channels], gates.class_std[:, channels]
        for name, label in classes.items():
            mean, std = means[label], stds[label]
            (line,) = axis.plot(channels, mean, label=_counted(name, gates.count[label]), linewidth=1.2)
            axis.fill_between(channels, mean - std, mean + std, color=line.get_color(), alpha=0.25)

    _save(found, draw, path, heading)


def _counted(name: str, images: np.integer) -> str:
    return plain(f"{name} ({images:,} images)")


def _save(found: Excitations, draw: Callable[[Axes, Gates, np.ndarray], None], path: Path, heading: str) -> None:
    """Draws a panel for each block, with shared axes and legend, and saves the figure."""
    columns = min(3, len(found.shown))
    rows = math.ceil(len(found.shown) / columns)
    figure = Figure(figsize=(4.6 * columns, 2.9 * rows + 0.4), layout="constrained")
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    for axis, block in zip(panels, found.shown, strict=False):
        gates = found.blocks[block]
        draw(axis, gates, gates.sampled)
        axis.set_title(title(block))
        axis.set_xlabel("channel")
        axis.grid(alpha=0.3)
    for axis in panels[len(found.shown) :]:
        axis.remove()
    for axis in panels[::columns]:
        axis.set_ylabel("gate")
    low, high = panels[0].get_ylim()
    panels[0].set_ylim(min(low, 0), max(high, 1))
    figure.suptitle(plain(heading))
    add_legend(figure, panels[0])
    save(figure, path)
