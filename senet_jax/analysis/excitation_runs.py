"""Statistics of the gates over the runs of a sweep."""

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from senet_jax import workdir as workdirs
from senet_jax.analysis.comparison import Run
from senet_jax.files import read_table

Rows = Sequence[Mapping[str, str]]


_FORMS = {
    "mean": ".3f",
    "std": ".3f",
    "class_std": ".3f",
    "near_0": ".1%",
    "near_1": ".1%",
    "constant": ".0%",
    "between_classes": ".0%",
    "accuracy": ".2%",
    "difference": "+.2%",
}
"""Columns that `cells` shows, and their formats."""


def tables(runs: Mapping[Path, Run]) -> tuple[dict[str, list[dict[str, str]]], list[Path]]:
    """Returns the tables "gates" and "mean_gates" of the runs, given by workdir, that `analyze` has been called for.

    They are its "blocks" and "replaced" with variant and seed; a table without rows is left out. So are tables that do
    not say that they are of the last step and of the run's test images: the second value has the workdirs of these.
    """
    found: dict[str, list[dict[str, str]]] = {}
    others = []
    for directory, run in runs.items():
        split = str(workdirs.read_config(directory).data.test_split)
        for name, source in (("gates", "blocks"), ("mean_gates", "replaced")):
            path = directory / workdirs.EXCITATIONS / f"{source}.csv"
            rows = read_table(path) if path.is_file() else []
            if all((row.get("step"), row.get("split")) == (str(run.results["steps"]), split) for row in rows):
                found.setdefault(name, []).extend({"variant": run.variant, "seed": str(run.seed)} | row for row in rows)
            elif directory not in others:
                others.append(directory)
    return {name: rows for name, rows in found.items() if rows}, others


def cells(rows: Rows) -> list[dict[str, str]]:
    """Returns a row for each variant and block, or replaced group: mean and std over seeds of the other columns.

    NaN, a share of no variance, is left out; the number of seeds that remain is then in brackets.
    """
    _, _, of, *columns = rows[0]
    groups: dict[tuple[str, str], list[Mapping[str, str]]] = {}
    for row in rows:
        groups.setdefault((row["variant"], row[of]), []).append(row)
    table = []
    for (variant, name), members in groups.items():
        row = {"variant": variant, of: name, "seeds": str(len(members))}
        for column in filter(_FORMS.get, columns):
            form = _FORMS[column]
            values = [value for value in (float(member[column]) for member in members) if math.isfinite(value)]
            mean = f"{statistics.fmean(values):{form}}" if values else ""
            std = f" ± {statistics.stdev(values):{form.lstrip('+')}}" if len(values) > 1 else ""
            left = f" ({len(values)})" if 0 < len(values) < len(members) else ""
            row[column.replace("_", " ")] = mean + std + left
        table.append(row)
    return table
