"""`launch.py analyze`: what the gates of a trained network do on its test images (arXiv 1709.01507, section 7.2)."""

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import jax
import numpy as np
from jax.sharding import Mesh

from senet_jax.analysis.excitations import CONSTANT, NEAR, Excitations, accuracy_without, count_gates, excitations
from senet_jax.analysis.parameters import abstract_variables
from senet_jax.commands.command_line import Request
from senet_jax.data import evaluation_batches
from senet_jax.schema import did_you_mean
from senet_jax.terminal.progress import progress
from senet_jax.terminal.tables import aligned
from senet_jax.training import parallel
from senet_jax.training.augmentation import normalise
from senet_jax.training.checkpoints import Checkpoints
from senet_jax.training.compilation import keep_programs
from senet_jax.training.loop import initial_state
from senet_jax.training.plan import Plan, open_plan
from senet_jax.weights import runs

_IMAGENET = {"n01443537": "goldfish", "n02690373": "plane", "n02110958": "pug", "n09246464": "cliff"}
"""The classes of figure 6, first the two of figure 7, which ImageNet's datasets call by the numbers of WordNet."""
_EXPLANATION = """
The std is over images, averaged over channels. Near 0 and near 1 is the share of gates
closer than {near}, constant the share of channels with a std below {constant}, between classes the share of the
gates' variance that is between the means of classes: where classes do not matter, {chance:.1%} by chance.

Test accuracy where all gates of some blocks are replaced by their means over images:
"""
_FORMATS = {"mean": ".3f", "std": ".3f", "channels": "d", "accuracy": ".2%", "difference": "+.2%"}
"""Of the printed columns; all others are shares."""


def prepare(request: Request) -> Callable[[], None]:
    """Checks all that can be refused.

    Raises ValueError where there is no checkpoint, or not of this configuration, where the network has no gates, for a
    class that there is not, and where --output is a file.
    """
    workdir = cast(Path, request.workdir)
    output: Path = request.options.get("output", workdir / "excitations")
    if output.exists() and not output.is_dir():
        raise ValueError(f"--output is {str(output)!r}, which is a file; give a directory")
    checkpoints = Checkpoints(workdir, read_only=True)
    if checkpoints.latest is None:
        raise ValueError(f"--workdir={workdir} has no complete checkpoint; train first, or give another workdir")
    plan = open_plan(request.config)
    runs.check_data(workdir, plan.dataset.class_names)
    size = plan.config.data.image_size
    images = jax.ShapeDtypeStruct((1, size, size, plan.dataset.channels), np.float32)
    count_gates(plan.model, abstract_variables(plan.model, images, train=False), images)
    classes = _choose(plan.dataset.class_names, request.options.get("classes", ()))

    mesh = parallel.data_mesh()
    state, step = initial_state(plan, checkpoints, mesh)

    def run() -> None:
        keep_programs()
        title = f"{plan.config.model.name} on {plan.dataset.name}, step {step}"
        print(f"{title}, {len(plan.dataset.test):,} test images\n", flush=True)
        found = excitations(plan.model, state.evaluated, _batches(plan, mesh, "observing gates"))
        groups = found.stages | {"all blocks": list(found.blocks)}
        batches = _batches(plan, mesh, "replacing gates")
        left = accuracy_without(plan.model, state.evaluated, batches, found, groups)
        _save(output, title, plan.dataset.class_names, classes, found, left)
        print(*_lines(_blocks(found)), sep="\n")
        chance = (np.count_nonzero(found.images) - 1) / (found.images.sum() - 1)
        print(_EXPLANATION.format(near=NEAR, constant=CONSTANT, chance=chance))
        print(*_lines(_replaced(found, left)), f"\npictures, tables and arrays are in {output}", sep="\n")

    return run


def _choose(names: Sequence[str], wanted: Sequence[str]) -> dict[str, int]:
    """The classes that are wanted, by default the paper's where the dataset has them, else four at even distances.

    Raises ValueError for a class that there is not.
    """
    called = {_IMAGENET.get(name, name): number for number, name in enumerate(names)}
    known = {name: number for number, name in enumerate(names)} | called
    for name in wanted:
        if name not in known:
            raise ValueError(
                f"--classes has {name!r}; the dataset's {len(names)} classes are {', '.join(list(called)[:10])}"
                f"{' and so on' if len(names) > 10 else ''}{did_you_mean(name, known)}"
            )
    if not wanted:
        spread = [list(called)[int(number)] for number in np.linspace(0, len(names) - 1, min(4, len(names)))]
        wanted = list(_IMAGENET.values()) if called.keys() >= set(_IMAGENET.values()) else spread
    return {name: known[name] for name in wanted}


def _batches(plan: Plan, mesh: Mesh, task: str) -> Iterator[tuple[jax.Array, np.ndarray]]:
    """The test images as the network takes them, and their classes, -1 for padding; shows the progress of the task."""
    data, size = plan.config.data, plan.config.eval_batch_size
    batches = parallel.to_devices(evaluation_batches(plan.dataset.test, data, batch_size=size), mesh)
    for batch in progress(batches, -(-len(plan.dataset.test) // size), task, "batches"):
        yield normalise(batch["image"], data.mean, data.std), np.where(batch["mask"], batch["label"], -1)


def _save(
    output: Path,
    title: str,
    class_names: Sequence[str],
    classes: Mapping[str, int],
    found: Excitations,
    left: Mapping[str, float],
) -> None:
    """Writes pictures, tables and an array file.

    In that are "classes", their names, "images" of each, and for each block "<block>/mean" and "<block>/std" over
    the images of each class, (classes, c).
    """
    from senet_jax.analysis import excitation_pictures as pictures  # Matplotlib is slow to import.

    output.mkdir(parents=True, exist_ok=True)
    pictures.plot_means(found, classes, output / "classes.png", f"Mean gates: {title}")
    two = dict(list(classes.items())[:2])
    pictures.plot_stds(found, two, output / "instances.png", f"Mean gates ± std: {title}")
    tables = {"blocks": _blocks(found), "replaced": _replaced(found, left), "gates": _gates(found, classes)}
    for name, rows in tables.items():
        with (output / f"{name}.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0], lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    arrays: dict[str, Any] = {
        f"{path}/{name}": values.astype(np.float32)
        for path, gates in found.blocks.items()
        for name, values in (("mean", gates.class_mean), ("std", gates.class_std))
    }
    np.savez_compressed(output / "excitations.npz", classes=np.array(class_names), images=found.images, **arrays)


def _blocks(found: Excitations) -> list[dict[str, Any]]:
    """A row for each block."""
    return [
        {
            "block": path,
            "channels": gates.channels,
            "mean": _rounded(gates.mean.mean()),
            "std": _rounded(gates.std.mean()),
            "near_0": _rounded(gates.near_zero),
            "near_1": _rounded(gates.near_one),
            "constant": _rounded(gates.constant),
            "between_classes": _rounded(gates.between_classes),
        }
        for path, gates in found.blocks.items()
    ]


def _replaced(found: Excitations, left: Mapping[str, float]) -> list[dict[str, Any]]:
    """A row for the network as it is, and for each group of blocks whose gates are replaced."""
    return [
        {"replaced": name, "accuracy": _rounded(accuracy), "difference": _rounded(accuracy - found.accuracy)}
        for name, accuracy in ({"none": found.accuracy} | dict(left)).items()
    ]


def _gates(found: Excitations, classes: Mapping[str, int]) -> list[dict[str, Any]]:
    """What the pictures show: a row for each block, class and channel."""
    rows = []
    for path in found.shown:
        gates = found.blocks[path]
        moments = {"all classes": (gates.mean, gates.std)}
        moments |= {name: (gates.class_mean[label], gates.class_std[label]) for name, label in classes.items()}
        for name, (mean, std) in moments.items():
            rows += [
                {"block": path, "class": name, "channel": int(channel)}
                | {"mean": _rounded(mean[channel]), "std": _rounded(std[channel])}
                for channel in gates.sampled
            ]
    return rows


def _rounded(value: Any) -> float:
    return float(f"{value:.6g}")


def _lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The rows as lines under their titles, the first column flush left."""
    cells = [
        [name.replace("_", " ") for name in rows[0]],
        *(
            [format(value, "" if isinstance(value, str) else _FORMATS.get(name, ".1%")) for name, value in row.items()]
            for row in rows
        ),
    ]
    return aligned(cells)
