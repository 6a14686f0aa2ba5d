"""`launch.py sweep`: trains the variants of an experiment, or goes on with those in its workdir."""

import fnmatch
import platform
import signal
import sys
import textwrap
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, cast

from senet_jax import workdir as workdirs
from senet_jax.bounds import Count, Positive
from senet_jax.commands.request import CommandOptions, Request
from senet_jax.config import Experiment
from senet_jax.disks import check_writable
from senet_jax.durations import to_steps
from senet_jax.files import write_json
from senet_jax.inherited import PREPROCESSING, adopted, check_overrides, with_preprocessing
from senet_jax.schema import Placeholder, did_you_mean
from senet_jax.sweep import Row, Sweep, resolve, shard
from senet_jax.terminal import program
from senet_jax.terminal.tables import aligned
from senet_jax.texts import written
from senet_jax.workdir import RunState

if TYPE_CHECKING:
    from senet_jax.analysis.cost import Cost


@dataclass(frozen=True, kw_only=True)
class Options(CommandOptions):
    """Trains the variants that sweep() in --config returns, each in a directory of --workdir.

    The same command again skips finished variants, resumes unfinished ones and retries failed ones.
    """

    configured = True
    computes = True

    dry_run: bool = False
    """Prints the table of variants and exits."""
    only: Annotated[str, Placeholder("PATTERN")] = "*"
    """Trains the variants whose names match, as in 'ratio=8*' or '*/seed=0'."""
    shard: Annotated[str, Placeholder("K/N")] = "1/1"
    """Trains the K-th of N parts, as in 3/8, for several machines."""
    jobs: Count = 1
    """Number of variants to train at a time, each in a process."""
    teraflops: Positive | None = None
    """Operations that the machine sustains in training, in 10^12 a second, for a column of hours."""


def prepare(request: Request) -> Callable[[], None]:
    """Validates all variants, and counts their parameters.

    Raises ValueError if a variant is impossible, or if the workdir holds a run of another configuration.
    """
    sweep, options = cast(Sweep, request.sweep), cast(Options, request.options)
    workdir = request.workdir or Path("runs") / request.name
    configs = resolve(request.config, sweep, workdir)
    names = _choose(list(configs), options)
    changes = {variant.name: variant.changes for variant in sweep.variants}
    workdirs.check_sweep(workdir, request.name, changes)
    for name, config in configs.items():
        try:
            check_overrides(config, {*request.overrides, *changes[name]})
        except ValueError as error:
            raise ValueError(f"variant {name!r}: {error}") from error
        workdirs.check(workdir / name, adopted(config, workdir / name))
        workdirs.describe(workdir / name)  # A damaged result is refused before anything is trained.
    sources = sweep.sources()
    if not options.dry_run:
        check_writable(workdir, f"--workdir={workdir}")
        _check_sources(workdir, names, sources)
    rows = _rows(sweep, _settled(configs, workdir, sources), workdir, () if options.dry_run else names)

    def run() -> None:
        _print_table(workdir, rows, names, options.teraflops)
        if not options.dry_run:
            paths = {workdir / name: workdir / source for name, source in sources.items()}
            _train(request, workdir, rows, {workdir / name: configs[name] for name in names}, paths)

    return run


def _choose(names: list[str], options: Options) -> list[str]:
    chosen = fnmatch.filter(names, options.only)
    if not chosen:
        raise ValueError(f"--only={options.only} is none of {', '.join(names)}{did_you_mean(options.only, names)}")
    return shard(chosen, options.shard)


def _check_sources(workdir: Path, names: list[str], sources: Mapping[str, str]) -> None:
    """Raises ValueError if a chosen variant needs the weights of a run that is neither chosen nor done."""
    for name in filter(sources.get, names):
        source = sources[name]
        if source not in names and workdirs.state(workdir / source) is not workdirs.RunState.DONE:
            state = workdirs.describe(workdir / source)
            raise ValueError(
                f"variant {name!r} starts from the weights of {source!r}, which is {state} and not chosen here; choose "
                "it too, or train it first"
            )


def _settled(configs: dict[str, Experiment], workdir: Path, sources: Mapping[str, str]) -> dict[str, Experiment]:
    """Returns the configurations with the preprocessing of their weights, or of the variant whose weights they take."""
    from senet_jax.training.starting import settled

    found: dict[str, Experiment] = {}
    read: dict[str, Any] = {}
    for name, config in configs.items():
        if config.init.weights is None:
            found[name] = config
            continue
        key = repr((config.init.weights, config.init.preprocessing, config.model.name, config.data))
        try:
            if name in sources:
                read[key] = found[sources[name]].data
            elif key not in read:
                read[key] = settled(adopted(config, workdir / name)).data
            fields = PREPROCESSING.get(config.init.preprocessing, ())
            found[name] = with_preprocessing(config, {field: getattr(read[key], field) for field in fields})
        except (ValueError, OSError) as error:
            raise type(error)(f"variant {name!r}: {error}") from error
    return found


def _rows(sweep: Sweep, configs: dict[str, Experiment], workdir: Path, trained: Collection[str]) -> dict[str, Row]:
    """Returns the rows; opens each dataset and counts each network once.

    Datasets that are not prepared are opened, and so prepared, for the variants to be trained only.
    Raises ValueError if a run of the sweep, which may be done, was on other data than a dataset that is opened.
    """
    from senet_jax.analysis.cost import cost
    from senet_jax.data import open_dataset, preview, train_images
    from senet_jax.runs.run import warn_of_data
    from senet_jax.training.plan import check_durations, make_plan
    from senet_jax.weights.configured import build_model
    from senet_jax.weights.runs import check_data

    data = {repr(config.data): config.data for config in configs.values()}
    counted: dict[str, Cost] = {}
    rows: dict[str, Row] = {}
    numbers = {key: train_images(config) for key, config in data.items()}
    for name, config in configs.items():  # A dataset can take long to open.
        try:
            build_model(config.model, num_classes=1)
            check_durations(config, numbers[repr(config.data)])
        except ValueError as error:
            raise ValueError(f"variant {name!r}: {error}") from error
    needed = {repr(configs[name].data) for name in trained}
    datasets = {key: open_dataset(config) for key, config in data.items() if key in needed}
    for key, dataset in datasets.items():
        warn_of_data(data[key], dataset)
    previews = {key: preview(config) for key, config in data.items()}  # Some have their classes once they are prepared.
    datasets |= {key: open_dataset(data[key]) for key, (*_, ready) in previews.items() if ready and key not in datasets}
    for variant in sweep.variants:
        config = configs[variant.name]
        classes, channels, _ = previews[repr(config.data)]
        duration, steps = config.duration, None
        if number := numbers[repr(config.data)]:
            steps = to_steps(duration, number / config.batch_size)
        try:
            model = build_model(config.model, classes)
            if dataset := datasets.get(repr(config.data)):
                steps = make_plan(config, dataset).total_steps
                if trained:
                    check_data(workdir / variant.name, dataset.class_names, len(dataset.train), dataset.fingerprint)
                duration = f"{steps:,} steps"
            key = repr((config.model, config.data.image_size, classes, channels))
            if key not in counted:
                counted[key] = cost(model, config.data.image_size, channels=channels).total
        except ValueError as error:
            raise ValueError(f"variant {variant.name!r}: {error}") from error
        counts = counted[key]
        rows[variant.name] = Row(
            variant.group,
            sweep.baseline_of(variant.group),
            variant.changes,
            counts.parameters,
            counts.multiply_adds,
            duration,
            steps and steps * config.batch_size,
        )
    return rows


def _print_table(workdir: Path, rows: dict[str, Row], names: list[str], teraflops: float | None = None) -> None:
    titles = "variant", "changes", "parameters", "G multiply-adds", "duration", "state"
    table: list[tuple[str, ...]] = [titles if teraflops is None else (*titles[:-1], "hours", "state")]
    hours = [None if teraflops is None else rows[name].hours(teraflops) for name in names]
    for name, own in zip(names, hours, strict=True):
        row = rows[name]
        changes = " ".join(f"{field}={written(value)}" for field, value in row.changes.items())
        counts = f"{row.parameters:,}", f"{row.multiply_adds / 1e9:.4g}"
        state = textwrap.shorten(workdirs.describe(workdir / name), 90)
        length = [row.duration] if teraflops is None else [row.duration, "" if own is None else f"{own:.3g}"]
        table.append((name, changes, *counts, *length, state))
    print(*aligned(table, left=(0, 1, len(table[0]) - 1)), sep="\n")
    known = [own for own in hours if own is not None]
    total = f", {sum(known):,.4g} hours at {teraflops:g} TFLOP/s" if known and len(known) == len(names) else ""
    print(f"{len(names)} of {len(rows)} variants, in {workdir}{total}", flush=True)


def _interrupt(signum: int, _: object) -> NoReturn:
    raise KeyboardInterrupt(signum)


def _train(
    request: Request, workdir: Path, rows: dict[str, Row], runs: dict[Path, Experiment], sources: dict[Path, Path]
) -> None:
    from senet_jax.runs.workers import train_all
    from senet_jax.training.stopping import handled_by

    content = {
        "name": request.name,
        "variants": {name: asdict(row) for name, row in rows.items()},
    }
    workdir.mkdir(parents=True, exist_ok=True)
    write_json(workdir / workdirs.SWEEP, content)
    pending = {
        directory: config for directory, config in runs.items() if workdirs.state(directory) is not RunState.DONE
    }

    def say(directory: Path, text: str) -> None:
        print(f"{directory.relative_to(workdir)}: {text}", flush=True)

    try:
        print(f"each prints into its {workdirs.LOG}", flush=True)
        with handled_by(_interrupt, [signal.SIGTERM]):
            programs = workdir / ".programs" / platform.node()
            unwritten = train_all(pending, programs, request.options.jobs, say, sources)
    except KeyboardInterrupt as stopped:
        print("\nstopped; the same command goes on")
        sys.exit(128 + (*stopped.args, signal.SIGINT)[0])
    _print_table(workdir, rows, [str(directory.relative_to(workdir)) for directory in runs])
    failed = [each for each in runs if each in unwritten or workdirs.state(each) is RunState.FAILED]
    if failed:
        sys.exit(f"{program.name()}: {len(failed)} of {len(runs)} runs failed; the same command tries them again")
    if left := sum(workdirs.state(each) is not RunState.DONE for each in runs):
        sys.exit(f"{program.name()}: {left} of {len(runs)} runs are left, as said above; the same command trains them")
