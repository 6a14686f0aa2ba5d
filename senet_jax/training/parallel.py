"""Data parallelism: one mesh of all devices, the batch sharded over it, everything else replicated."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from senet_jax.config import Experiment
from senet_jax.data import evaluation_batches
from senet_jax.data.bad_images import BadImages
from senet_jax.data.split import Split
from senet_jax.training.step import Batch


def data_mesh(devices: Sequence[Any] | None = None) -> Mesh:
    """Returns the mesh of the devices, by default all of all processes, along the axis "data"."""
    devices = jax.devices() if devices is None else devices
    return jax.make_mesh((len(devices),), ("data",), axis_types=(AxisType.Auto,), devices=devices)


def replicated(mesh: Mesh) -> NamedSharding:
    """Returns the sharding of an array that every device holds whole."""
    return NamedSharding(mesh, PartitionSpec())


def sharded(mesh: Mesh) -> NamedSharding:
    """Returns the sharding of an array whose first dimension is divided over the devices."""
    return NamedSharding(mesh, PartitionSpec("data"))


def jit_step(step: Callable[..., Any], mesh: Mesh) -> jax.stages.Wrapped:
    """Compiles a training step: its first argument, the state, is donated, and the new state is replicated."""
    return jax.jit(step, donate_argnums=0, out_shardings=replicated(mesh))


def to_devices(batches: Iterable[dict[str, np.ndarray]], mesh: Mesh, ahead: int = 2) -> Iterator[Batch]:
    """Yields batches as global arrays from this process's parts; `ahead` batches are on their way to the devices."""
    sharding = sharded(mesh)
    waiting: deque[Batch] = deque()
    for batch in batches:
        waiting.append({name: jax.make_array_from_process_local_data(sharding, part) for name, part in batch.items()})
        if len(waiting) > ahead:
            yield waiting.popleft()
    yield from waiting


def evaluated(
    split: Split, config: Experiment, mesh: Mesh, bad: BadImages | None = None
) -> tuple[Iterator[Batch], int]:
    """Returns the evaluation batches of a split as global arrays, and their number.

    The batch size is rounded up to a multiple of the devices: padding is masked, so more is harmless. Images that
    cannot be read are noted in `bad`.
    """
    size = -(-config.eval_batch_size // mesh.size) * mesh.size
    batches = evaluation_batches(
        split,
        config.data,
        batch_size=size,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
        bad=bad,
    )
    return to_devices(batches, mesh), -(-len(split) // size)
