"""`launch.py analyze`: statistics of the gates of a trained network on its test images (paper, section 7.2)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

from senet_jax import workdir as workdirs
from senet_jax.commands.places import check_output_directory
from senet_jax.commands.request import CommandOptions, Directory, Request
from senet_jax.config import ModelConfig
from senet_jax.inherited import PREPROCESSING
from senet_jax.schema import Placeholder, did_you_mean
from senet_jax.texts import some

if TYPE_CHECKING:
    from senet_jax.training.plan import Plan

_IMAGENET = {"n01443537": "goldfish", "n02690373": "plane", "n02110958": "pug", "n09246464": "cliff"}
"""Classes of figure 6 by their WordNet numbers, first the two of figure 7."""


@dataclass(frozen=True, kw_only=True)
class Options(CommandOptions):
    """Analyzes the gates of the newest checkpoint in --workdir on the test images: figures and tables."""

    configured = True
    computes = True
    of_run = True

    classes: Annotated[tuple[str, ...], Placeholder("NAMES")] = ()
    """Classes to draw, the first two with std; empty: four."""
    output: Directory | None = None
    """Directory for figures and tables; none: excitations in --workdir."""


def prepare(request: Request) -> Callable[[], None]:
    """Opens the checkpoint and validates the flags.

    Raises ValueError if there is no checkpoint, if config.model is not that of the run, if the network has no gates, if
    a class does not exist, or if --output is a file.
    """
    options, workdir = cast(Options, request.options), cast(Path, request.workdir)
    output = options.output or workdir / workdirs.EXCITATIONS
    check_output_directory(output)

    import jax
    import numpy as np

    from senet_jax.analysis import excitation_tables
    from senet_jax.analysis.excitations import accuracy_without, count_gates, excitations
    from senet_jax.models.parameters import abstract_variables
    from senet_jax.terminal.progress import progress, working
    from senet_jax.training import memory, parallel
    from senet_jax.training.augmentation import normalise
    from senet_jax.training.compilation import keep_programs
    from senet_jax.training.plan import open_plan
    from senet_jax.training.provenance import commit
    from senet_jax.weights import runs

    _check_network(workdir, request.config.model)
    plan = open_plan(request.config)
    data, dataset = plan.config.data, plan.dataset
    runs.check_data(workdir, dataset.class_names)
    images = jax.ShapeDtypeStruct((1, data.image_size, data.image_size, dataset.channels), np.float32)
    count_gates(plan.model, abstract_variables(plan.model, images, train=False), images)
    classes = _choose(dataset.class_names, options.classes)

    mesh = parallel.data_mesh()
    with working("restoring the checkpoint"):
        read, step = runs.read_variables(workdir, "newest")
        variables = jax.device_put(read, parallel.replicated(mesh))

    def batches(task: str) -> Iterator[tuple[jax.Array, np.ndarray]]:
        """Yields normalised test images and their classes, -1 for padding; shows the task's progress."""
        for batch in progress(*parallel.evaluated(dataset.test, plan.config, mesh), task, "batches"):
            yield normalise(batch["image"], data.mean, data.std), np.where(batch["mask"], batch["label"], -1)

    def run() -> None:
        keep_programs()
        commit()  # The checkout may change meanwhile.
        title = f"{plan.config.model.name} on {dataset.name}, step {step}"
        print(f"{title}, {len(dataset.test):,} test images\n", flush=True)
        with memory.explained(plan.config, None, (), evaluates=True):
            found = excitations(plan.model, variables, batches("observing gates"))
            groups = found.stages | {"all blocks": list(found.blocks)}
            left = accuracy_without(plan.model, variables, batches("replacing gates"), found, groups)
        with working("drawing the figures"):
            split = data.test_split if _as_in_run(workdir, plan) else f"{data.test_split} of other data"
            origin = {"step": step, "split": split, "images": len(dataset.test), "commit": commit()}
            excitation_tables.save(output, title, dataset.class_names, classes, found, left, origin)
        print(excitation_tables.printed(found, left))
        print(f"\npictures, tables and arrays are in {output}")

    return run


def _check_network(workdir: Path, model: ModelConfig) -> None:
    """Raises ValueError if the run has no checkpoint, or is of another network."""
    from senet_jax.weights.configured import differing

    if not workdirs.has_checkpoints(workdir):
        raise workdirs.no_checkpoint(workdir)
    own = workdirs.read_config(workdir).model
    if others := differing(model, own):
        given, said = getattr(model, others[0]), getattr(own, others[0])
        raise ValueError(f"config.model.{others[0]} is {given!r}, and the run in {workdir} has {said!r}; give no other")


def _as_in_run(workdir: Path, plan: "Plan") -> bool:
    """Returns whether the data, and all that is done to test images, are those of the run, whatever the test split."""
    from senet_jax.weights import runs

    try:
        runs.check_data(workdir, plan.dataset.class_names, data=plan.dataset.fingerprint)
    except ValueError:
        return False
    before, now = workdirs.read_config(workdir).data, plan.config.data
    return all(getattr(before, name) == getattr(now, name) for name in ("name", *PREPROCESSING["weights"]))


def _choose(names: Sequence[str], wanted: Sequence[str]) -> dict[str, int]:
    """Returns the classes to draw, by default the paper's if the dataset has them, else four at even distances.

    Raises ValueError for a class that does not exist.
    """
    import numpy

    called = {_IMAGENET.get(name, name): number for number, name in enumerate(names)}
    known = {name: number for number, name in enumerate(names)} | called
    for name in wanted:
        if name not in known:
            raise ValueError(
                f"--classes has {name!r}; the dataset's {len(names)} classes are {some(list(called), 10)}"
                f"{did_you_mean(name, known)}"
            )
    if not wanted:
        spread = [list(called)[int(number)] for number in numpy.linspace(0, len(names) - 1, min(4, len(names)))]
        wanted = list(_IMAGENET.values()) if called.keys() >= set(_IMAGENET.values()) else spread
    return {name: known[name] for name in wanted}
