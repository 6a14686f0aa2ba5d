"""`launch.py report`: results of a sweep or a run as tables, figures and a page."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from senet_jax import workdir as workdirs
from senet_jax.commands.places import check_output_directory
from senet_jax.commands.request import CommandOptions, Directory, Request
from senet_jax.files import read_records
from senet_jax.sweep import Row
from senet_jax.workdir import RunState


@dataclass(frozen=True, kw_only=True)
class Options(CommandOptions):
    """Writes tables (CSV, Markdown, LaTeX), figures and an HTML page of the sweep or run in --workdir."""

    of_workdir = True

    output: Directory | None = None
    """Directory for the report; none: report in --workdir."""


def prepare(request: Request) -> Callable[[], None]:
    """Reads the workdir. Raises ValueError if it holds neither a sweep nor a run, or if no run has ended."""
    workdir = cast(Path, request.workdir)
    output = cast(Options, request.options).output or workdir / "report"
    check_output_directory(output)
    name, rows, directories = _sweep(workdir) if (workdir / workdirs.SWEEP).is_file() else _single(workdir)
    kinds = {name: workdirs.state(directory) for name, directory in directories.items()}
    others = Counter(kind.value for kind in kinds.values() if kind is not RunState.DONE)
    done = {name: directory for name, directory in directories.items() if kinds[name] is RunState.DONE}
    ended = ", ".join(
        [f"{len(done)} of {len(kinds)} runs have ended", *(f"{number} {kind}" for kind, number in others.items())]
    )
    if not done:
        raise ValueError(f"{ended} in --workdir={workdir}; the command that began them goes on")
    for directory in done.values():
        read_records(directory / workdirs.METRICS)  # A damaged log is refused before anything is written.
    states = {name: workdirs.describe(directory) for name, directory in directories.items()}

    def run() -> None:
        from senet_jax.terminal.progress import working

        with working("drawing the figures"):
            from senet_jax.runs.report import write_report  # Matplotlib is slow to import.

            table = write_report(name, rows, done, states, ended, output)
        print(table)
        print(f"\n{ended}; tables, pictures and report.html are in {output}")

    return run


def _sweep(workdir: Path) -> tuple[str, dict[str, Row], dict[str, Path]]:
    name, rows = workdirs.read_sweep(workdir)
    return name, rows, {variant: workdir / variant for variant in rows}


def _single(workdir: Path) -> tuple[str, dict[str, Row], dict[str, Path]]:
    """Returns a run as a sweep of one variant."""
    config = workdirs.read_config(workdir, "a sweep or of a training run")

    from senet_jax.analysis.cost import cost
    from senet_jax.weights.configured import build_model
    from senet_jax.weights.runs import classes_and_channels

    classes, channels = classes_and_channels(config.data, workdir)
    total = cost(build_model(config.model, classes), config.data.image_size, channels=channels).total
    name = workdir.resolve().name
    row = Row(config.model.name, None, {"seed": config.seed}, total.parameters, total.multiply_adds)
    return name, {name: row}, {name: workdir}
