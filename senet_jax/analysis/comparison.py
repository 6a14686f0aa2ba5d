"""Comparison of the runs of a sweep: means over seeds, differences to a baseline, tables."""

import json
import re
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scipy import stats

from senet_jax.files import write_table

RESULTS = {
    "accuracy": float,
    "top5_accuracy": float,
    "loss": float,
    "classes": int,
    "steps": int,
    "images_per_second": float,
    "seconds": float,
    "commit": str,
    "command": str,
    "hardware": str,
    "versions": json.loads,
    "finished": str,
}
"""Results of a finished run, and the types that read them from text."""
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Run:
    """A finished run."""

    variant: str
    """Name without the seed, which runs that differ in the seed alone have in common."""
    seed: int
    baseline: str | None
    """The variant that its own is compared with; its own if that is a baseline."""
    changes: Mapping[str, Any]
    """Fields of the configuration and their values, without the seed."""
    parameters: int
    multiply_adds: int
    """Multiply-adds of one image."""
    results: Mapping[str, Any]
    """Results by the names in RESULTS; `seconds` are those of training."""


@dataclass(frozen=True)
class Summary:
    """Means over the runs of a variant and their sample std. Std and interval are None if there are too few runs."""

    variant: str
    baseline: str | None
    """The variant that it is compared with, itself if it is a baseline."""
    changes: Mapping[str, Any]
    seeds: int
    accuracy: float
    std: float | None
    top5_accuracy: float | None
    """Mean top-5 accuracy; None if there are ten classes or fewer."""
    pairs: int
    """Seeds that its baseline has too: runs with the same order of the images and the same augmentation."""
    difference: float | None
    """Mean difference of the accuracy to the baseline's over the pairs; None for a baseline, and without pairs."""
    interval: tuple[float, float] | None
    """95 % confidence interval of the difference (paired t-test)."""
    parameters: int
    multiply_adds: int

    @property
    def is_baseline(self) -> bool:
        """Whether others are compared with it."""
        return self.baseline == self.variant


def summarise(runs: Sequence[Run]) -> list[Summary]:
    """Returns a summary of each variant, in the order in which they first appear."""
    variants: dict[str, list[Run]] = {}
    for run in runs:
        variants.setdefault(run.variant, []).append(run)
    return [_summary(own, variants.get(own[0].baseline or "", [])) for own in variants.values()]


def _summary(runs: Sequence[Run], baseline: Sequence[Run]) -> Summary:
    first = runs[0]
    accuracies = [run.results["accuracy"] for run in runs]
    others = {run.seed: run.results["accuracy"] for run in baseline if first.baseline != first.variant}
    differences = [run.results["accuracy"] - others[run.seed] for run in runs if run.seed in others]
    many_classes = all(run.results.get("classes", 0) > 10 for run in runs)
    return Summary(
        first.variant,
        first.baseline,
        first.changes,
        len(runs),
        statistics.fmean(accuracies),
        statistics.stdev(accuracies) if len(accuracies) > 1 else None,
        statistics.fmean(run.results["top5_accuracy"] for run in runs) if many_classes else None,
        len(differences),
        statistics.fmean(differences) if differences else None,
        mean_interval(differences),
        first.parameters,
        first.multiply_adds,
    )


def mean_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Returns the 95 % confidence interval of the mean (t-test); None if there is one value, or all are equal.

    Values that differ by rounding alone are equal.
    """
    if len(values) < 2 or max(values) - min(values) < 1e-9:
        return None
    test: Any = stats.ttest_1samp(values, 0.0)
    low, high = test.confidence_interval(CONFIDENCE)
    return float(low), float(high)


def cells(summaries: Sequence[Summary]) -> list[dict[str, str]]:
    """Returns the rows of the table as text by column titles, without columns that are empty in all rows.

    Images per second are left out: the load of the machine differs between runs, so that they do not compare networks.
    `runs.csv` has the value of each run; `bench` measures speed, in turns.
    """
    rows = []
    for summary in summaries:
        std = "" if summary.std is None else f" ± {100 * summary.std:.2f}"
        interval = summary.interval
        compared = summary.baseline is not None and not summary.is_baseline
        rows.append(
            {
                "variant": summary.variant,
                "test accuracy, %": f"{100 * summary.accuracy:.2f}{std}",
                "top-5 accuracy, %": _text(summary.top5_accuracy, lambda x: f"{100 * x:.2f}"),
                "seeds": str(summary.seeds),
                "pairs": str(summary.pairs) if compared and summary.pairs != summary.seeds else "",
                "difference": "baseline" if summary.is_baseline else _text(summary.difference, _points),
                "95 % interval": "" if interval is None else f"{_points(interval[0])} to {_points(interval[1])}",
                "parameters": f"{summary.parameters:,}",
                "G multiply-adds": f"{summary.multiply_adds / 1e9:.4g}",
            }
        )
    return [{title: row[title] for title in row if any(other[title] for other in rows)} for row in rows]


def _text(value: float | None, form: Callable[[float], str]) -> str:
    return "" if value is None else form(value)


def _points(share: float) -> str:
    """Formats a share in percentage points, with its sign."""
    return f"{100 * share:+.2f}"


def markdown(rows: Sequence[Mapping[str, str]]) -> str:
    """Returns a Markdown table of rows of cells."""
    table = [list(rows[0]), ["---"] * len(rows[0]), *(list(row.values()) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in table)


_LATEX = str.maketrans(
    {character: rf"\{character}" for character in "%_&#${}"}
    | {"±": r"$\pm$", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "\\": r"\textbackslash{}"}
)


def latex(rows: Sequence[Mapping[str, str]]) -> str:
    """Returns a LaTeX tabular of rows of cells, with the rules of booktabs."""

    def line(texts: Iterable[str]) -> str:
        escaped = (text.translate(_LATEX) for text in texts)
        escaped = (re.sub(r"(?<!\w)-(?=\d)", "$-$", text) for text in escaped)
        return f"{' & '.join(escaped)} \\\\"

    columns = "l" + "r" * (len(rows[0]) - 1)
    body = [line(row.values()) for row in rows]
    rules = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", line(rows[0]), r"\midrule"]
    return "\n".join([*rules, *body, r"\bottomrule", r"\end{tabular}"]) + "\n"


_COLUMNS = ("variant", "seed", "baseline", "changes", "parameters", "multiply_adds")


def write_runs(path: Path, runs: Iterable[Run]) -> None:
    """Writes a CSV file with a row for each run."""
    rows = []
    for run in runs:
        row = {name: getattr(run, name) for name in _COLUMNS} | {name: run.results.get(name) for name in RESULTS}
        coded = [name for name in ("changes", "versions") if row[name] is not None]
        rows.append(row | {name: json.dumps(row[name]) for name in coded})
    write_table(path, rows)


def runs_of(rows: Iterable[Mapping[str, str]]) -> list[Run]:
    """Returns the runs of the rows of a file of `write_runs`."""
    return [
        Run(
            row["variant"],
            int(row["seed"]),
            row["baseline"] or None,
            json.loads(row["changes"]),
            int(row["parameters"]),
            int(row["multiply_adds"]),
            {name: read(row[name]) for name, read in RESULTS.items() if row[name]},
        )
        for row in rows
    ]
