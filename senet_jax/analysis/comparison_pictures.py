"""Figures of a sweep: accuracy over the varied field, parameters and seconds, and training curves."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, PercentFormatter

from senet_jax.analysis.comparison import Summary
from senet_jax.analysis.figures import GREY, add_legend, colours, save
from senet_jax.texts import written

Records = Sequence[Mapping[str, Any]]
Curves = Mapping[str, Sequence[Records]]
"""Records of `metrics.jsonl` of each run, by variant."""


def plot_accuracy(summaries: Sequence[Summary], path: Path, title: str) -> None:
    """Draws mean test accuracy with its std, over the varied field if it has numbers, else one below the other.

    A variant without a value of that field is a horizontal line, with its std as a band.
    """
    field = varied_number(summaries)
    if field is None:
        _plot_names(summaries, path, title)
    else:
        _plot_numbers(summaries, field, path, title)


def _plot_names(summaries: Sequence[Summary], path: Path, title: str) -> None:
    figure = Figure(figsize=(6.4, 1.6 + 0.3 * len(summaries)), layout="constrained")
    axis = figure.subplots()
    for position, (each, colour) in enumerate(zip(summaries, colours(len(summaries)), strict=True)):
        axis.errorbar(each.accuracy, position, xerr=each.std, color=colour, **_marked(each))
    axis.set_yticks(range(len(summaries)), [each.variant for each in summaries])
    axis.invert_yaxis()
    axis.margins(y=0.5 / len(summaries))
    axis.set_xlabel("test accuracy, mean ± std")
    _finish(figure, axis, axis.xaxis, path, title)


def _marked(summary: Summary) -> dict[str, Any]:
    """Returns the style of a variant's mean with its std; that of a baseline is a square."""
    return {"fmt": "s" if summary.is_baseline else "o", "capsize": 4}


def _plot_numbers(summaries: Sequence[Summary], field: str, path: Path, title: str) -> None:
    figure = Figure(figsize=(6.4, 3.8), layout="constrained")
    axis = figure.subplots()
    for each in summaries:
        if field not in each.changes:
            label = f"{each.variant} ({each.seeds} seed{'s' * (each.seeds > 1)})"
            axis.axhline(each.accuracy, label=label, color=GREY, linestyle="--")
            if each.std is not None:
                low, high = each.accuracy - each.std, each.accuracy + each.std
                axis.axhspan(low, high, color=GREY, alpha=0.12, linewidth=0, label=f"{each.variant} ± std")
    placed = sorted((each for each in summaries if field in each.changes), key=lambda each: each.changes[field])
    positions, means = [each.changes[field] for each in placed], [each.accuracy for each in placed]
    stds = [each.std or 0 for each in placed]
    axis.errorbar(positions, means, stds, fmt="o-", capsize=4, color="tab:orange", label="mean ± std")
    for each in placed:
        if each.is_baseline:
            axis.plot(each.changes[field], each.accuracy, "s", color="tab:orange", markersize=8)
    axis.set_xlabel(field.rpartition(".")[2])
    least = min((x for x in positions if x > 0), default=0.0)
    if min(positions) >= 0 and max(positions) > 4 * least:
        axis.set_xscale("symlog", base=2, linthresh=least)  # The logarithm, and linear from zero to the least.
    axis.set_xticks(positions, list(map(written, positions)))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.set_ylabel("test accuracy")
    add_legend(figure, axis)
    _finish(figure, axis, axis.yaxis, path, title)


def plot_parameters(summaries: Sequence[Summary], path: Path, title: str) -> None:
    """Draws mean test accuracy, with its std, over the number of parameters."""
    figure = Figure(figsize=(6.4, 3.8), layout="constrained")
    axis = figure.subplots()
    for each, colour in zip(summaries, colours(len(summaries)), strict=True):
        place = each.parameters / 1e6, each.accuracy
        axis.errorbar(*place, each.std, color=colour, label=each.variant, **_marked(each))
    axis.set_xlabel("parameters (millions)")
    axis.set_ylabel("test accuracy")
    axis.margins(x=0.1)
    add_legend(figure, axis)
    _finish(figure, axis, axis.yaxis, path, title)


def plot_training(curves: Curves, path: Path, title: str) -> None:
    """Draws training loss and test accuracy of each variant over epochs, and test accuracy over seconds of training:
    the mean over its runs, and a band from the lowest to the highest.
    """
    figure = Figure(figsize=(15, 3.9), layout="constrained")
    figure.suptitle(title)
    loss, accuracy, speed = figure.subplots(1, 3)
    panels = (
        (loss, "train", "loss", "training loss (nats)", "epoch"),
        (accuracy, "test", "accuracy", "test accuracy", "epoch"),
        (speed, "test", "accuracy", "test accuracy", "seconds of training, mean over runs"),
    )
    for axis, split, name, label, time in panels:
        for (variant, runs), colour in zip(curves.items(), colours(len(curves)), strict=True):
            shown = [[record for record in records if record["split"] == split] for records in runs]
            epochs = sorted({record["epoch"] for records in shown for record in records})
            if not epochs:  # A run can have been copied without its records.
                continue
            seconds = [_seconds(*records) for records in zip(runs, shown, strict=True)]
            times = epochs if time == "epoch" else _at(epochs, shown, seconds).mean(0)
            values = _at(epochs, shown, [[record[name] for record in records] for records in shown])
            axis.plot(times, values.mean(0), ".-", color=colour, label=variant)
            axis.fill_between(times, values.min(0), values.max(0), color=colour, alpha=0.15, linewidth=0)
        axis.set_xlabel(time)
        axis.set_ylabel(label)
        axis.grid(alpha=0.3)
    loss.set_yscale("log")
    for axis in (accuracy, speed):
        axis.yaxis.set_major_formatter(PercentFormatter(1.0))
    add_legend(figure, accuracy)
    save(figure, path)


def _at(epochs: Sequence[float], shown: Sequence[Records], values: Sequence[Sequence[float]]) -> np.ma.MaskedArray:
    """Returns the values of each run at these epochs, (runs, epochs), interpolated, since runs may have others."""
    own = [[record["epoch"] for record in records] for records in shown]
    lines = [np.interp(epochs, *line, left=np.nan, right=np.nan) for line in zip(own, values, strict=True) if line[0]]
    return np.ma.masked_invalid(lines)


def _seconds(records: Records, shown: Records) -> list[float]:
    """Returns the seconds of training before each of the shown records, interpolated between those of training."""
    train = [record for record in records if record["split"] == "train"]
    steps = [0, *(record["step"] for record in train)]
    ends = np.cumsum([0, *(record.get("seconds", 0) for record in train)])  # None for the step that was compiled.
    return np.interp([record["step"] for record in shown], steps, ends).tolist()


def varied_number(summaries: Sequence[Summary]) -> str | None:
    """Returns the only varied field if its values are numbers in all variants but at most one, else None."""
    values: dict[str, list[Any]] = defaultdict(list)
    for each in summaries:
        for field, value in each.changes.items():
            values[field].append(value)

    def is_axis(own: Sequence[Any]) -> bool:
        numbers = all(isinstance(x, int | float) and not isinstance(x, bool) for x in own)
        return numbers and len(set(own)) == len(own) >= max(2, len(summaries) - 1)

    numbers = [field for field, own in values.items() if is_axis(own)]
    return numbers[0] if len(numbers) == 1 else None


def _finish(figure: Figure, axis: Axes, accuracies: Axis, path: Path, title: str) -> None:
    accuracies.set_major_formatter(PercentFormatter(1.0))
    axis.grid(alpha=0.3)
    axis.set_title(title)
    save(figure, path)
