"""One run, from its start or its newest checkpoint to its result."""

import hashlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import jax

import senet_jax
from senet_jax import workdir as workdirs
from senet_jax.config import DataConfig
from senet_jax.data import Dataset
from senet_jax.files import replace_text
from senet_jax.schema import Adjustable, extras, field_types, flatten, said
from senet_jax.terminal import program
from senet_jax.terminal.tables import accuracy_rows, print_table
from senet_jax.training import logs, processes
from senet_jax.training.loop import train
from senet_jax.training.plan import Plan
from senet_jax.training.provenance import commit, provenance
from senet_jax.weights import runs
from senet_jax.weights.manifests import UnusableError

_PATIENCE = 60.0
"""Seconds in which a new file must appear on all hosts; a network file system can show it late."""


def warn_of_data(config: DataConfig, dataset: Dataset) -> None:
    """Says on stderr if test images are trained on, or if images are shrunk more than twice in each direction."""
    (width, height), size = dataset.train.first().size, config.image_size
    warnings = []
    if dataset.shared:
        warnings.append(
            f"{dataset.shared:,} of the {len(dataset.test):,} test images are training images too; give splits without "
            "images in common, such as --config.data.train_split='train[:80%]' --config.data.test_split='train[80%:]'"
        )
    if min(width, height) > 2 * size:
        warnings.append(
            f"the images ({width}x{height} pixels the first) are shrunk to {size}x{size}; give "
            "--config.data.image_size=PIXELS, with --config.init.preprocessing=normalisation if weights say the size"
        )
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr, flush=True)


def run(plan: Plan, workdir: Path, command: str | None = None, parallelism: str = "jit") -> None:
    """Trains to the end, and writes the result into the workdir; of several processes, the first writes and prints.

    The result records the command, by default that of this process. `parallelism` is "jit" or "pmap".

    Raises FloatingPointError if training diverges, and UnusableError if the processes have different configurations
    or data, or do not share the workdir.
    """
    commit()  # The checkout may change while the run goes on.
    config, dataset = plan.config, plan.dataset
    images = len(dataset.train)
    _check_alike(plan, workdir, parallelism)
    with processes.agreed():
        from senet_jax.analysis.curves import plot_curves  # Matplotlib is slow to import, and errors must be quick.

        if processes.is_first():
            runs.check_data(workdir, dataset.class_names, images, dataset.fingerprint)
            workdirs.write_config(workdir, config)
            described = runs.describe(config, dataset.class_names, dataset.channels, images, dataset.fingerprint)
            replace_text(workdir / workdirs.NETWORK, described + "\n")
    _check_shared(workdir)
    if not processes.is_first():
        train(plan, workdir, parallelism)
        return
    print(
        f"{config.model.name}, {plan.parameters:,} parameters, on {dataset.name}: {images:,} images to train, "
        f"{len(dataset.test):,} to test, {dataset.num_classes} classes\n"
        f"{plan.total_steps:,} steps of {config.batch_size} images, logged in {workdir}",
        flush=True,
    )
    warn_of_data(config.data, dataset)
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


def _check_alike(plan: Plan, workdir: Path, parallelism: str) -> None:
    """Raises UnusableError in all processes if one has another configuration, other data or weights than the first."""
    if not processes.several():
        return
    dataset, kinds = plan.dataset, field_types(type(plan.config))
    by_host = {name for name in kinds if any(mark.by_host for mark in extras(kinds[name], Adjustable))}
    own = {f"config.{name}": said(value) for name, value in flatten(plan.config).items() if name not in by_host}
    own |= {"--parallelism": parallelism, "jax": jax.__version__, "training images": str(len(dataset.train))}
    own |= {"version": senet_jax.__version__, "commit": commit()}
    if not workdirs.has_checkpoints(workdir) and plan.start is not None:
        own["weights"] = plan.start.source
    data = {"classes": repr(dataset.class_names)} | dataset.fingerprint  # Texts as long as a dataset has shards.
    if "sha256" in data:  # However each host has packed them.
        data = {"classes": data["classes"], "data": data["sha256"]}
    own |= {name: hashlib.sha256(text.encode(errors="replace")).hexdigest()[:16] for name, text in data.items()}
    first = json.loads(processes.told(json.dumps(own)))
    names = [name for name in own | first if own.get(name) != first.get(name)]
    if "unknown" in (own["commit"], first["commit"]):  # A host can lack git.
        names = [name for name in names if name != "commit"]
    with processes.agreed():
        if names:
            differ = "; ".join(f"{name} is {own.get(name)}, and {first.get(name)} in process 0" for name in names)
            raise UnusableError(f"the processes differ: {differ}; give all the same code, command, data and weights")


def _check_shared(workdir: Path) -> None:
    """Raises UnusableError in all processes if one does not see the files that the first has written."""
    with processes.agreed():
        for name in (workdirs.CONFIG, workdirs.NETWORK):
            until = time.monotonic() + _PATIENCE
            while not (workdir / name).is_file():
                if time.monotonic() > until:
                    raise UnusableError(
                        f"there is no {workdir / name}; --workdir must be on a file system that all share"
                    )
                time.sleep(1)
