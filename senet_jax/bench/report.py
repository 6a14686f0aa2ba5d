"""Results of the benchmark as tables, CSV files and a figure."""

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from senet_jax.analysis.figures import save
from senet_jax.bench.contest import Ratio, Result
from senet_jax.files import write_table
from senet_jax.terminal.tables import aligned

_GIB = 2**30
_COLOURS = {False: "tab:blue", True: "tab:orange"}


def images_per_second(result: Result, images: int) -> list[float]:
    """Returns the images per second of each round, for steps of that many images."""
    return [images / seconds for seconds in result.seconds]


def measurements(results: Sequence[Result], images: int) -> list[dict[str, Any]]:
    """Returns a row for each contestant; unknown quantities are None."""
    rows = []
    for result in results:
        entry, facts, speeds = result.entry, result.facts, images_per_second(result, images)
        rows.append(
            {
                "mode": entry.mode,
                "contestant": entry.variant,
                "network": entry.network,
                "images_per_second": statistics.median(speeds),
                "lowest": min(speeds),
                "highest": max(speeds),
                "cpu_seconds_per_step": statistics.median(result.cpu_seconds),
                "peak_memory_gib": result.peak_memory / _GIB,
                "compiled_memory_gib": _divided(facts.get("compiled_memory"), _GIB),
                "bytes_accessed_gib": _divided(facts.get("bytes_accessed"), _GIB),
                "compile_seconds": facts.get("compile_seconds"),
                "rounds": " ".join(f"{speed:.4g}" for speed in speeds),
                "peer_versions": facts.get("versions"),
            }
        )
    return rows


def compared(ratios: Sequence[Ratio]) -> list[dict[str, Any]]:
    """Returns a row for each ratio, with median, lowest and highest of the rounds."""
    return [
        {
            "mode": ratio.mode,
            "ratio": ratio.compared,
            "quantity": ratio.quantity,
            "median": ratio.median,
            "lowest": min(ratio.values),
            "highest": max(ratio.values),
        }
        for ratio in ratios
    ]


def write(path: Path, rows: Sequence[dict[str, Any]], origin: dict[str, Any]) -> None:
    """Writes the rows as CSV, each with its settings, commit, command and hardware."""
    rows = [{name: _field(value) for name, value in (row | origin).items()} for row in rows]
    write_table(path, rows)


def table(rows: Sequence[dict[str, Any]], columns: dict[str, str]) -> str:
    """Returns some columns of the rows as a text table with titles."""
    cells = [list(columns.values()), *([_cell(row[name]) for name in columns] for row in rows)]
    return "\n".join(
        aligned(cells, left=[place for place, name in enumerate(columns) if isinstance(rows[0][name], str)])
    )


def draw(results: Sequence[Result], images: int, path: Path, title: str) -> None:
    """Draws the median speed, with lines from the lowest to the highest, and the peak memory as bars."""
    modes = list(dict.fromkeys(result.entry.mode for result in results))
    figure = Figure(figsize=(12, 1.0 + 2.9 * len(modes)), layout="constrained")
    figure.suptitle(title)
    panels = figure.subplots(len(modes), 2, squeeze=False)
    for mode, (speed, memory) in zip(modes, panels, strict=True):
        own = [result for result in results if result.entry.mode == mode]
        variants = list(dict.fromkeys(result.entry.variant for result in own))
        for result in own:
            entry = result.entry
            y = variants.index(entry.variant) + (0.2 if entry.squeeze_excite else -0.2)
            speeds = images_per_second(result, images)
            median = statistics.median(speeds)
            bar = {"height": 0.36, "color": _COLOURS[entry.squeeze_excite], "label": entry.network}
            speed.barh(y, median, xerr=[[median - min(speeds)], [max(speeds) - median]], capsize=2, **bar)
            memory.barh(y, result.peak_memory / _GIB, **bar)
        for axis, label in ((speed, "images per second"), (memory, "peak memory (GiB)")):
            axis.set_yticks(range(len(variants)), variants)
            axis.invert_yaxis()
            axis.set_xlabel(f"{mode}: {label}")
            axis.grid(axis="x", alpha=0.3)
            axis.set_axisbelow(True)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    legend = dict(zip(labels, handles, strict=True))
    figure.legend(legend.values(), legend.keys(), loc="outside lower center", ncols=2)
    save(figure, path)


def _divided(value: float | None, divisor: float) -> float | None:
    return None if value is None else value / divisor


def _field(value: Any) -> Any:
    return f"{value:.5g}" if isinstance(value, float) else json.dumps(value) if isinstance(value, dict) else value


def _cell(value: Any) -> str:
    return (
        "-" if value is None else value if isinstance(value, str) else f"{value:.3f}" if value < 10 else f"{value:.1f}"
    )
