"""The network of a run's workdir: its description, written at the start, and its variables in checkpoints."""

import contextlib
import dataclasses
import functools
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from senet_jax.config import DataConfig, Experiment, ModelConfig
from senet_jax.schema import from_dict, to_dict
from senet_jax.weights import manifests
from senet_jax.weights.preprocessing import Preprocessing
from senet_jax.workdir import BEST, CHECKPOINTS, NETWORK, SWEEP, no_checkpoint


class Description(NamedTuple):
    """Description of the network in a workdir."""

    config: ModelConfig
    class_names: tuple[str, ...]
    preprocessing: Preprocessing
    images: int | None
    """Number of training images; None in old workdirs."""
    data: dict[str, str] | None
    """Fingerprint of the data; None in old workdirs."""


def describe(
    config: Experiment,
    class_names: tuple[str, ...],
    channels: int,
    images: int | None = None,
    data: dict[str, str] | None = None,
) -> str:
    """Returns the content of `NETWORK` for a run on a dataset of these classes, channels, images and fingerprint."""
    return json.dumps(
        {
            "model": to_dict(config.model),
            "class_names": list(class_names),
            "preprocessing": json.loads(preprocessing(config, channels).to_json()),
            "images": images,
            "data": data,
        },
        indent=2,
    )


def preprocessing(config: Experiment, channels: int) -> Preprocessing:
    """Returns the preprocessing of a configuration's evaluation, for images of 1 or 3 channels."""
    data = config.data
    mean, std = (tuple(values) * (channels if len(values) == 1 else 1) for values in (data.mean, data.std))
    return Preprocessing(data.image_size, data.center_crop, data.interpolation, mean, std)


def data_fields(images: Preprocessing) -> dict[str, Any]:
    """Returns the fields of a `DataConfig` whose evaluation has this preprocessing."""
    fields = dataclasses.asdict(images)
    return {"center_crop": fields.pop("crop"), **fields}


def read_description(workdir: Path) -> Description:
    """Reads the description of a run's network. Raises ValueError if it cannot be read."""
    path = workdir / NETWORK
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        return Description(
            from_dict(ModelConfig, said["model"]),
            tuple(said["class_names"]),
            Preprocessing.from_json(json.dumps(said["preprocessing"])),
            said.get("images"),
            said.get("data"),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} cannot be read: {type(error).__name__}: {error}") from error


def classes_and_channels(data: DataConfig, workdir: Path | None) -> tuple[int, int]:
    """Returns the number of classes and of channels as a workdir describes them; without one, as the dataset has them.

    Raises ValueError if the description, or the dataset, cannot be read.
    """
    if workdir is not None and (workdir / NETWORK).is_file():
        described = read_description(workdir)
        return len(described.class_names), described.preprocessing.channels

    from senet_jax.data import preview  # Weights can be read without the packages that this imports.

    classes, channels, _ = preview(data)
    return classes, channels


def check_data(
    workdir: Path, class_names: tuple[str, ...], images: int | None = None, data: dict[str, str] | None = None
) -> None:
    """Raises ValueError if a run in the workdir has other classes, another number of images, or other data."""
    if not (workdir / NETWORK).is_file():
        return
    described = read_description(workdir)
    before, counted = described.class_names, described.images
    if before != tuple(class_names):
        first = next((pair for pair in zip(before, class_names, strict=False) if pair[0] != pair[1]), None)
        differ = f"; the first that differ are {first[0]!r} and {first[1]!r}" if first else ""
        raise ValueError(
            f"{workdir} is of a run on {len(before)} classes, and the dataset has {len(class_names)}{differ}: its "
            "logits mean other classes; give the data of the run, or another workdir"
        )
    if images is not None and counted not in (None, images):
        raise ValueError(
            f"{workdir} is of a run on {counted:,} training images, and the dataset has {images:,}: it cannot go on "
            "with other data; give the data of the run, or another workdir"
        )
    held = described.data
    if data and held and (names := _differing(held, data)):
        differ = "; ".join(f"{name} is {data.get(name)!r}, was {held.get(name)!r}" for name in names)
        raise ValueError(
            f"{workdir} is of a run on other data, with which it cannot go on: {differ}; give the data of the run, or "
            "another workdir"
        )


def _differing(held: dict[str, str], data: dict[str, str]) -> list[str]:
    """Returns the names under which two fingerprints differ in more than the way of packing."""
    names = set(held | data)
    if "sha256" in held and "sha256" in data:  # Class folders.
        if held["sha256"] == data["sha256"]:
            return []
        if held.keys() != data.keys():  # Of other splits; the digest is of all together.
            names = held.keys() & data.keys() - {"sha256"}
    return [name for name in held | data if name in names and held.get(name) != data.get(name)]


def called(workdir: Path) -> str:
    """Returns the name of a run: that of its workdir, and below a sweep its path there."""
    path = workdir.resolve()  # The last part of a sweep's run is often its seed alone.
    sweep = next((parent for parent in path.parents if (parent / SWEEP).is_file()), path.parent)
    return str(path.relative_to(sweep))


def best(workdir: Path) -> Path:
    """Returns the file of the best evaluation's variables. Raises ValueError if it does not exist."""
    if not (workdir / BEST).is_file():
        raise ValueError(f"{workdir} has no {BEST}: no evaluation of its run has ended yet; give step='newest'")
    return workdir / BEST


def read_variables(workdir: Path, step: str | int) -> tuple[dict[str, Any], int]:
    """Returns the variables for evaluation in the checkpoint of a step, or in the newest, and its step.

    The state of the optimizer is not read. Raises ValueError if the checkpoint does not exist.
    """
    import orbax.checkpoint as ocp  # Slow to import.

    directory = (workdir / CHECKPOINTS).absolute()
    if not directory.is_dir():
        raise no_checkpoint(workdir)
    handlers = {"state": ocp.PyTreeCheckpointHandler()}
    with reading(directory, item_handlers=handlers) as manager:
        found = sorted(manager.all_steps())
        if not found:
            raise no_checkpoint(workdir)
        chosen = found[-1] if step == "newest" else step
        if chosen not in found:
            known = ", ".join([*map(str, found), "newest", *(["best"] if (workdir / BEST).is_file() else [])])
            raise ValueError(f"{workdir} has no checkpoint of step {step}; it has {known}")
        try:
            tree: Any = manager.item_metadata(chosen)["state"]
            name = "average" if tree["average"] else "variables"
            shapes = {name: jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), tree[name])}
            as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), shapes)
            state = ocp.args.PyTreeRestore(item=shapes, restore_args=as_numpy, partial_restore=True)
            manifest = manifests.read(directory / str(chosen))
            read = manager.restore(chosen, args=ocp.args.Composite(state=state))["state"]
            saved = {key: array for key, array in manifest["arrays"].items() if key.startswith(f"{name}/")}
            manifests.compare(saved, {name: read[name]})
        except ModuleNotFoundError:
            raise
        except Exception as error:  # Damage raises errors of many types.
            others = [str(each) for each in found if each != chosen]
            fault = "could not be read" if manifests.may_pass(error) else "is damaged"
            raise ValueError(
                f"the checkpoint of step {chosen} in {workdir} {fault}: {manifests.first_line(error)}"
                + (f"; there are also those of step {', '.join(others)}" if others else "")
            ) from error
        return read[name], int(chosen)


@contextlib.contextmanager
def reading(directory: Path, **settings: Any) -> Iterator[Any]:
    """Opens a directory of checkpoints to read them: nothing is written, and no other process is waited for."""
    import orbax.checkpoint as ocp  # Slow to import.

    own = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(primary_host=own, active_processes={own})
    with quiet():
        options = ocp.CheckpointManagerOptions(read_only=True, multiprocessing_options=alone)
        with ocp.CheckpointManager(directory, options=options, **settings) as manager:
            yield manager


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silences Orbax's warnings of read-only checkpoints and of partial reading, and what `_drop_closed_loops` does."""
    from absl import logging

    _drop_closed_loops()
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)


@functools.cache
def _drop_closed_loops() -> None:
    """Drops, from now on, the hundreds of tracebacks of a restore that fails.

    Its other reads end later, in threads of tensorstore, and find asyncio's loop closed.
    """
    others = sys.unraisablehook

    def hook(unraisable: Any) -> None:
        error = unraisable.exc_value
        if not (isinstance(error, RuntimeError) and str(error) == "Event loop is closed"):
            others(unraisable)

    sys.unraisablehook = hook
