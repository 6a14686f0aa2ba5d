"""`launch.py eval`: evaluates the newest checkpoint of a workdir."""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import cast

from senet_jax.commands.command_line import Request
from senet_jax.data.bad_images import TooManyBadImagesError
from senet_jax.terminal import program
from senet_jax.terminal.progress import progress
from senet_jax.terminal.tables import accuracy_rows, print_table
from senet_jax.training import parallel
from senet_jax.training.checkpoints import Checkpoints
from senet_jax.training.compilation import keep_programs
from senet_jax.training.loop import initial_state, make_evaluate
from senet_jax.training.plan import open_plan
from senet_jax.weights import runs


def prepare(request: Request) -> Callable[[], None]:
    """Checks all that can be refused. Raises ValueError where there is no checkpoint, or not of this configuration."""
    workdir = cast(Path, request.workdir)
    checkpoints = Checkpoints(workdir, read_only=True)
    if checkpoints.latest is None:
        raise ValueError(f"--workdir={workdir} has no complete checkpoint; train first, or give another workdir")
    plan = open_plan(request.config)
    runs.check_data(workdir, plan.dataset.class_names)

    mesh = parallel.data_mesh()
    state, step = initial_state(plan, checkpoints, mesh)

    def run() -> None:
        keep_programs()
        watch = partial(progress, task="evaluating", unit="batches")
        try:
            results = make_evaluate(plan.model, plan.dataset, plan.config, mesh, watch=watch)(state.evaluated)
        except TooManyBadImagesError as error:
            sys.exit(f"{program.name()}: error: {error}")
        images, bad = len(plan.dataset.test), results.get("bad_images", 0)
        left_out = f", without {bad:,} that cannot be read" if bad else ""
        rows = {"network": plan.config.model.name, "dataset": f"{plan.dataset.name}, {images:,} images{left_out}"}
        print_table(rows | {"checkpoint": f"step {step}"} | accuracy_rows(results, plan.dataset.num_classes))

    return run
