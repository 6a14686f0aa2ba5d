"""`launch.py train`: trains an experiment, or goes on with the one in its workdir."""

import datetime
import json
import shlex
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from senet_jax.analysis.parameters import count_parameters
from senet_jax.commands import program
from senet_jax.commands.command_line import Request
from senet_jax.commands.config_files import CONFIG, read_workdir
from senet_jax.commands.tables import accuracy_rows, print_table
from senet_jax.config import Experiment, flatten, to_dict
from senet_jax.training import logs
from senet_jax.training.files import replace_text
from senet_jax.training.loop import train
from senet_jax.training.plan import Plan, open_plan
from senet_jax.training.provenance import provenance
from senet_jax.weights import runs

RESULT = "result.json"
"""Of a run that has ended, in its workdir."""
_WITHOUT_EFFECT = {
    "data.data_dir", "data.path", "data.workers", "data.memory_limit_gib", "eval_batch_size", "keep_checkpoints"
}  # fmt: skip
"""Fields that may change when a run goes on, because nothing that it learns depends on them."""


def prepare(request: Request) -> Callable[[], None]:
    """Checks all that can be refused, the quickest first. Raises ValueError for what cannot be done."""
    workdir = request.workdir or Path("runs") / request.name / f"{datetime.datetime.now():%Y-%m-%d_%H%M%S}"
    check_workdir(workdir, request.config)
    if (workdir / RESULT).exists():
        return lambda: _say_finished(workdir)
    plan = open_plan(request.config)
    _make_writable(workdir)
    return lambda: _run(plan, workdir)


def check_workdir(workdir: Path, config: Experiment) -> None:
    """Raises ValueError where the workdir holds the run of another configuration."""
    if workdir.exists() and not workdir.is_dir():
        raise ValueError(f"--workdir={workdir} is a file; give a directory, new or of an earlier run")
    if not (workdir / CONFIG).exists():
        return
    before, now = flatten(read_workdir(workdir)), flatten(config)
    names = [name for name in now if now[name] != before[name] and name not in _WITHOUT_EFFECT]
    if names:
        differ = [f"{name} is {now[name]!r}, was {before[name]!r}" for name in names]
        raise ValueError(
            f"--workdir={workdir} holds a run of another configuration: {'; '.join(differ)}. Give another workdir, "
            "or the same configuration to go on. A longer run has another schedule: it starts anew in another workdir"
        )


def _make_writable(workdir: Path) -> None:
    """Creates the workdir. Raises ValueError if no file can be written there."""
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=workdir):
            pass
    except OSError as error:
        raise ValueError(f"--workdir={workdir} cannot be written: {error.strerror}; give another directory") from error


def _command(name: str, workdir: Path) -> str:
    """A command line for the workdir, to be pasted."""
    return f"{program.command()} {name} {shlex.quote(f'--workdir={workdir}')}"


def _say_finished(workdir: Path) -> None:
    result = json.loads((workdir / RESULT).read_text())
    print(f"this run has ended, and nothing was changed; its result is in {workdir / RESULT}")
    print_table(
        accuracy_rows(result, result["classes"])
        | {
            "trained": f"{result['steps']:,} steps, finished {result['finished']}",
            "evaluate": _command("eval", workdir),
        }
    )


def _run(plan: Plan, workdir: Path) -> None:
    try:
        run(plan, workdir)
    except KeyboardInterrupt:
        print(f"\nstopped; {_command('train', workdir)} goes on from the newest checkpoint")
        sys.exit(130)
    except FloatingPointError as error:
        sys.exit(f"{program.name()}: error: {error}")


def shrink_warning(image: tuple[int, int], size: int) -> str | None:
    """Returns a warning if images of that width and height are shrunk more than twice in each direction."""
    if min(image) <= 2 * size:
        return None
    return (
        f"warning: the images ({image[0]}x{image[1]} pixels the first) are shrunk to {size}x{size}; give "
        "--config.data.image_size=PIXELS, or --config=experiments/folder.py for class folders"
    )


def run(plan: Plan, workdir: Path) -> None:
    """Trains to the end, and leaves the result in the workdir. Raises FloatingPointError where training diverges."""
    from senet_jax.analysis.curves import plot_curves  # Matplotlib is slow to import, and a refusal must be quick.

    config, dataset = plan.config, plan.dataset
    parameters = count_parameters(plan.model, config.data.image_size, dataset.channels)
    replace_text(workdir / CONFIG, json.dumps(to_dict(config), indent=2) + "\n")
    replace_text(workdir / runs.NETWORK, runs.describe(config, dataset.class_names, dataset.channels) + "\n")
    print(
        f"{config.model.name}, {parameters:,} parameters, on {dataset.name}: {len(dataset.train):,} images to train, "
        f"{len(dataset.test):,} to test, {dataset.num_classes} classes\n"
        f"{plan.total_steps:,} steps of {config.batch_size} images, logged in {workdir}",
        flush=True,
    )
    (first, _), *_ = dataset.train.read([0])
    if warning := shrink_warning(first.size, config.data.image_size):
        print(warning, file=sys.stderr, flush=True)
    results = train(plan, workdir)
    curves = workdir / "curves.png"
    plot_curves(logs.read(workdir), curves, f"{config.model.name} on {dataset.name}")
    known = {"steps": plan.total_steps, "seed": config.seed, "parameters": parameters, "classes": dataset.num_classes}
    record = known | results | provenance()
    replace_text(workdir / RESULT, json.dumps(record, indent=2) + "\n")
    speed = f" at {results['images_per_second']:,.0f} images/s" if "images_per_second" in results else ""
    print_table(
        {"network": f"{config.model.name}, {parameters:,} parameters", "dataset": dataset.name}
        | accuracy_rows(results, dataset.num_classes)
        | {
            "trained": f"{plan.total_steps:,} steps, {plan.total_steps / plan.steps_per_epoch:.1f} epochs{speed}",
            "curves": str(curves),
            "evaluate": _command("eval", workdir),
        }
    )
