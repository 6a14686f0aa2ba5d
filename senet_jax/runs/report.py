"""The report of a sweep: tables, pictures and a page."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from senet_jax import workdir as workdirs
from senet_jax.analysis import comparison_pictures as pictures
from senet_jax.analysis import excitation_runs, page
from senet_jax.analysis.comparison import CONFIDENCE, Run, Summary, cells, latex, markdown, summarise, write_runs
from senet_jax.analysis.excitation_tables import COLUMNS
from senet_jax.files import write_table
from senet_jax.schema import flatten
from senet_jax.sweep import Row
from senet_jax.terminal.tables import aligned
from senet_jax.texts import some, written
from senet_jax.training import logs

_NOTE = (
    "Mean and std over seeds, on the test images after the last step. Multiply-adds are those of convolutions and "
    "dense layers for one image."
)
_DIFFERENCE = (
    "The difference is to the baseline over pairs of equal seeds, in percentage points, with its "
    f"{CONFIDENCE:.0%} confidence interval (paired t-test). It is not significant if the interval contains zero; equal "
    "differences of all pairs have no interval. Every interval is for itself: of comparisons without an effect, one in "
    "twenty is significant by chance."
)
_GATES = f"Mean and std over the seeds whose gates were analyzed after the last step. {COLUMNS}"
_LEFT = "do not say that they are of the last step and of the run's test images; they are left out, analyze it again"
_REPORT = "report.html"
_OPTIONAL = ("accuracy.png", "accuracy.svg", "parameters.png", "parameters.svg", "gates.csv", "mean_gates.csv")
"""Files that only some reports have."""
_PICTURES = {
    "accuracy.png": "Test accuracy of each variant: mean and std over seeds. A baseline is a square or a dashed line.",
    "parameters.png": "Test accuracy over the number of parameters.",
    "training.png": "Training loss and test accuracy: mean over seeds, and a band from the lowest to the highest. "
    "Seconds compare variants only if their runs shared the machine in the same way.",
}


def write_report(
    name: str,
    rows: Mapping[str, Row],
    done: Mapping[str, Path],
    states: Mapping[str, str],
    ended: str,
    output: Path,
) -> str:
    """Writes tables, figures and page of a sweep, and returns the table for the terminal.

    `rows` are those of sweep.json, `done` has the workdirs of the runs that have ended, `states` the states of all in
    words, `ended` says how many of them have ended.
    """
    runs = {variant: _read(rows[variant], directory) for variant, directory in done.items()}
    summaries = summarise(list(runs.values()))
    table = cells(summaries)
    output.mkdir(parents=True, exist_ok=True)
    if (output / _REPORT).exists():
        for file in _OPTIONAL:  # Of an earlier report.
            (output / file).unlink(missing_ok=True)
    write_runs(output / "runs.csv", runs.values())
    gates, others = excitation_runs.tables({done[variant]: run for variant, run in runs.items()})
    for kind, found in gates.items():
        write_table(output / f"{kind}.csv", found)
    write_table(output / "table.csv", table)
    (output / "table.md").write_text(markdown(table) + "\n", encoding="utf-8")
    (output / "table.tex").write_text(latex(table), encoding="utf-8")
    topic = _topic(name)
    if len(summaries) > 1:
        pictures.plot_accuracy(summaries, output / "accuracy.png", f"{topic}: test accuracy")
        pictures.plot_parameters(summaries, output / "parameters.png", f"{topic}: accuracy and parameters")
    curves: dict[str, list[list[dict[str, Any]]]] = {}
    for variant, directory in done.items():
        curves.setdefault(runs[variant].variant, []).append(logs.read(directory))
    pictures.plot_training(curves, output / "training.png", f"{topic}: training loss and test accuracy")
    (output / _REPORT).write_text(_page(name, done, states, ended, runs, summaries, gates, output), encoding="utf-8")
    left = f"\nthe gates of {some(list(map(str, others)), 3)} {_LEFT}" if others else ""
    return "\n".join(aligned([list(table[0]), *(list(row.values()) for row in table)])) + left


def _topic(name: str) -> str:
    """Returns the name of a sweep as the beginning of a title."""
    spaced = re.sub(r"\bse\b", "SE", name.replace("_", " "))
    return spaced[:1].upper() + spaced[1:]


def _read(row: Row, directory: Path) -> Run:
    results = workdirs.read_result(directory)
    changes = {field: value for field, value in row.changes.items() if field != "seed"}
    return Run(row.group, results["seed"], row.baseline, changes, row.parameters, row.multiply_adds, results)


def _page(
    name: str,
    done: Mapping[str, Path],
    states: Mapping[str, str],
    ended: str,
    runs: Mapping[str, Run],
    summaries: Sequence[Summary],
    gates: Mapping[str, excitation_runs.Rows],
    output: Path,
) -> str:
    baselines = [number for number, each in enumerate(summaries) if each.is_baseline]
    configs = [flatten(workdirs.read_config(directory)) for directory in done.values()]
    shared = {key: value for key, value in configs[0].items() if all(value == other[key] for other in configs)}
    fields = [{"field": key, "value": written(value)} for key, value in shared.items()]
    commit, hardware, command = (
        ", ".join(dict.fromkeys(str(run.results[key]) for run in runs.values()))
        for key in ("commit", "hardware", "command")
    )
    log = []
    for variant, text in states.items():
        results: Mapping[str, Any] = runs[variant].results if variant in runs else {}
        seconds = f"{results['seconds']:,.1f}" if "seconds" in results else ""
        log.append(
            {"run": variant, "state": text, "seconds of training": seconds, "ended": results.get("finished", "")}
        )
    shown = [page.picture(output / file, caption) for file, caption in _PICTURES.items() if (output / file).is_file()]
    return page.page(
        name,
        f"{ended}. Commit {commit}; {hardware}.",
        {
            "Results": [
                page.table(cells(summaries), baselines),
                page.note(_NOTE + (f" {_DIFFERENCE}" if baselines else "")),
            ],
            "Pictures": shown,
            "Gates": [*map(page.table, map(excitation_runs.cells, gates.values())), page.note(_GATES)] if gates else [],
            "Runs": [page.table(log), page.note(f"Command: {command}")],
            "What all runs share": [page.folded(f"{len(fields)} fields of the configuration", page.table(fields))],
        },
    )
