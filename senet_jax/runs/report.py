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
    content: Mapping[str, Any], done: Mapping[str, Path], states: Mapping[str, str], ended: str, output: Path
) -> str:
    """Writes tables, figures and page of a sweep, and returns the table for the terminal.

    `content` is that of sweep.json, `done` has the workdirs of the runs that have ended, `states` the states of all in
    words, `ended` says how many of them have ended.
    """
    runs = {name: _read(content, name, directory) for name, directory in done.items()}
    summaries = summarise(list(runs.values()))
    rows = cells(summaries)
    output.mkdir(parents=True, exist_ok=True)
    if (output / _REPORT).exists():
        for name in _OPTIONAL:  # Of an earlier report.
            (output / name).unlink(missing_ok=True)
    write_runs(output / "runs.csv", runs.values())
    gates, others = excitation_runs.tables({done[name]: run for name, run in runs.items()})
    for name, table in gates.items():
        write_table(output / f"{name}.csv", table)
    write_table(output / "table.csv", rows)
    (output / "table.md").write_text(markdown(rows) + "\n")
    (output / "table.tex").write_text(latex(rows))
    topic = _topic(content["name"])
    if len(summaries) > 1:
        pictures.plot_accuracy(summaries, output / "accuracy.png", f"{topic}: test accuracy")
        pictures.plot_parameters(summaries, output / "parameters.png", f"{topic}: accuracy and parameters")
    curves: dict[str, list[list[dict[str, Any]]]] = {}
    for name, directory in done.items():
        curves.setdefault(runs[name].variant, []).append(logs.read(directory))
    pictures.plot_training(curves, output / "training.png", f"{topic}: training loss and test accuracy")
    (output / _REPORT).write_text(_page(content, done, states, ended, runs, summaries, gates, output))
    left = f"\nthe gates of {some(list(map(str, others)), 3)} {_LEFT}" if others else ""
    return "\n".join(aligned([list(rows[0]), *(list(row.values()) for row in rows)])) + left


def _topic(name: str) -> str:
    """Returns the name of a sweep as the beginning of a title."""
    spaced = re.sub(r"\bse\b", "SE", name.replace("_", " "))
    return spaced[:1].upper() + spaced[1:]


def _read(content: Mapping[str, Any], name: str, directory: Path) -> Run:
    variant = content["variants"][name]
    results = workdirs.read_result(directory)
    changes = {field: value for field, value in variant["changes"].items() if field != "seed"}
    counts = variant["parameters"], variant["multiply_adds"]
    return Run(variant["group"], results["seed"], variant["baseline"], changes, *counts, results)


def _page(
    content: Mapping[str, Any],
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
    shared = {name: value for name, value in configs[0].items() if all(value == other[name] for other in configs)}
    fields = [{"field": name, "value": written(value)} for name, value in shared.items()]
    commit, hardware, command = (
        ", ".join(dict.fromkeys(str(run.results[name]) for run in runs.values()))
        for name in ("commit", "hardware", "command")
    )
    log = []
    for name, text in states.items():
        results: Mapping[str, Any] = runs[name].results if name in runs else {}
        seconds = f"{results['seconds']:,.1f}" if "seconds" in results else ""
        log.append({"run": name, "state": text, "seconds of training": seconds, "ended": results.get("finished", "")})
    shown = [page.picture(output / name, caption) for name, caption in _PICTURES.items() if (output / name).is_file()]
    return page.page(
        content["name"],
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
