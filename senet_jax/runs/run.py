"""One run, from its start or its newest checkpoint to its result."""

import sys
from pathlib import Path
from typing import Any

from senet_jax import workdir as workdirs
from senet_jax.files import replace_text
from senet_jax.terminal import program
from senet_jax.terminal.tables import accuracy_rows, print_table
from senet_jax.training import logs, processes
from senet_jax.training.loop import train
from senet_jax.training.plan import Plan
from senet_jax.training.provenance import commit, provenance
from senet_jax.weights import runs
from senet_jax.weights.manifests import UnusableError


def shrink_warning(image: tuple[int, int], size: int) -> str | None:
    """Returns a warning if images of that width and height are shrunk more than twice in each direction."""
    if min(image) <= 2 * size:
        return None
    return (
        f"warning: the images ({image[0]}x{image[1]} pixels the first) are shrunk to {size}x{size}; give "
        "--config.data.image_size=PIXELS, with --config.init.preprocessing=normalisation if weights say the size"
    )


def run(plan: Plan, workdir: Path, command: str | None = None, parallelism: str = "jit") -> None:
    """Trains to the end, and writes the result into the workdir; of several processes, the first writes and prints.

    The result records the command, by default that of this process. `parallelism` is "jit" or "pmap".

    Raises FloatingPointError if training diverges, and UnusableError if processes do not share the workdir, the
    configuration or the data.
    """
    from senet_jax.analysis.curves import plot_curves  # Matplotlib is slow to import, and errors must be quick.

    commit()  # The checkout may change while the run goes on.
    config, dataset = plan.config, plan.dataset
    images = len(dataset.train)
    if processes.is_first():
        _check_data(plan, workdir)
        workdirs.write_config(workdir, config)
        described = runs.describe(config, dataset.class_names, dataset.channels, images, dataset.fingerprint)
        replace_text(workdir / workdirs.NETWORK, described + "\n")
    _check_shared(plan, workdir)
    if not processes.is_first():
        train(plan, workdir, parallelism)
        return
    print(
        f"{config.model.name}, {plan.parameters:,} parameters, on {dataset.name}: {images:,} images to train, "
        f"{len(dataset.test):,} to test, {dataset.num_classes} classes\n"
        f"{plan.total_steps:,} steps of {config.batch_size} images, logged in {workdir}",
        flush=True,
    )
    if warning := shrink_warning(dataset.train.first().size, config.data.image_size):
        print(warning, file=sys.stderr, flush=True)
    results = train(plan, workdir, parallelism)
    curves = workdir / workdirs.CURVES
    plot_curves(logs.read(workdir), curves, f"{config.model.name} on {dataset.name}")
    known: dict[str, Any] = {
        "steps": plan.total_steps,
        "seed": config.seed,
        "parameters": plan.parameters,
        "classes": dataset.num_classes,
    }
    if source := workdirs.read_init(workdir):
        known["init"] = source
    workdirs.write_result(workdir, known | results | provenance(command))
    speed = f" at {results['images_per_second']:,.0f} images/s" if "images_per_second" in results else ""
    print_table(
        {"network": f"{config.model.name}, {plan.parameters:,} parameters", "dataset": dataset.name}
        | accuracy_rows(results, dataset.num_classes)
        | {
            "trained": f"{plan.total_steps:,} steps, {plan.total_steps / plan.steps_per_epoch:.1f} epochs{speed}",
            "curves": str(curves),
            "evaluate": program.command_line("eval", workdir),
        }
    )


def _check_shared(plan: Plan, workdir: Path) -> None:
    """Waits until the first process has written the configuration and the description of the data.

    Raises UnusableError in all processes if one does not see them, or has others.
    """
    processes.told("written")
    try:
        with processes.agreed():
            if not (workdir / workdirs.CONFIG).is_file():
                raise ValueError(f"{workdir} is not there; --workdir must be on a file system that all hosts share")
            workdirs.check(workdir, plan.config)
            _check_data(plan, workdir)
    except (ValueError, OSError) as error:
        raise UnusableError(str(error)) from error


def _check_data(plan: Plan, workdir: Path) -> None:
    dataset = plan.dataset
    runs.check_data(workdir, dataset.class_names, len(dataset.train), dataset.fingerprint)
