"""Data parallelism: one mesh of all devices, the batch sharded over it, everything else replicated.

`jax.jit` divides a step by the shardings of its arguments. `jax.pmap` gives each device its part of the batch, and the
step reaches beyond it by `ops.divided`; the arrays outside of the step are the same.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax.linen.module import InterceptorContext
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from senet_jax.config import Experiment
from senet_jax.data import evaluation_batches
from senet_jax.data.bad_images import BadImages
from senet_jax.data.split import Split
from senet_jax.ops import divided
from senet_jax.training.step import Batch


def data_mesh(devices: Sequence[Any] | None = None) -> Mesh:
    """Returns the mesh of the devices, by default all of all processes, along the axis "data".

    Those of a process stand side by side, in the order of the parts of a batch. `jax.make_mesh` orders them by the
    torus of TPUs instead, and refuses those of several slices, as GPUs of several hosts are.
    """
    ordered = sorted(jax.devices() if devices is None else devices, key=lambda one: (one.process_index, one.id))
    return Mesh(np.array(ordered), ("data",), axis_types=(AxisType.Auto,))


def replicated(mesh: Mesh) -> NamedSharding:
    """Returns the sharding of an array that every device holds whole."""
    return NamedSharding(mesh, PartitionSpec())


def sharded(mesh: Mesh) -> NamedSharding:
    """Returns the sharding of an array whose first dimension is divided over the devices."""
    return NamedSharding(mesh, PartitionSpec("data"))


def jit_step(step: Callable[..., Any], mesh: Mesh) -> jax.stages.Wrapped:
    """Compiles a training step: its first argument, the state, is donated, and the new state is replicated."""
    return jax.jit(step, donate_argnums=0, out_shardings=replicated(mesh))


class PmapStep:
    """The same by `jax.pmap`: each device computes the step for its part of the batch, of the arrays of `jit_step`."""

    def __init__(self, step: Callable[..., Any], mesh: Mesh):
        """Wraps (state, batch, seed, learning_rate) -> state."""

        def of_part(*arguments: Any) -> Any:
            with divided.over("data"), nn.intercept_methods(_drop_in_whole):
                return step(*arguments)

        devices = list(mesh.devices.flat)
        settings: Any = {"in_axes": (None, 0, None, None), "out_axes": None, "donate_argnums": 0}
        self._step = jax.pmap(of_part, "data", devices=devices, axis_size=mesh.size, **settings)
        self._mesh = mesh
        self._part = jax.jit(
            lambda batch: jax.tree.map(lambda x: x.reshape(mesh.size, -1, *x.shape[1:]), batch),
            out_shardings=sharded(mesh),
        )

    def __call__(self, state: Any, batch: Batch, seed: int, learning_rate: float) -> Any:
        """Returns the new state, replicated over all devices of all processes."""
        return jax.tree.map(self._global, self._step(state, self._part(batch), seed, learning_rate))

    def lower(self, state: Any, batch: Any, seed: Any, learning_rate: Any) -> jax.stages.Lowered:
        """Lowers the step for descriptions of its arguments, for the compiler's counts alone.

        Raises NotImplementedError with several processes, for which `jax.pmap` takes no descriptions.
        """
        if jax.process_count() > 1:
            raise NotImplementedError("jax.pmap cannot be lowered for descriptions of arrays with several processes")
        part = jax.eval_shape(self._part, batch)
        return self._step.lower(state, part, seed, learning_rate)

    def _global(self, array: jax.Array) -> jax.Array:
        """Returns the array on the devices of all processes of which `jax.pmap` returns this process's part."""
        if not array.is_fully_addressable or jax.process_count() == 1:
            return array
        parts = [shard.data for shard in array.addressable_shards]
        return jax.make_array_from_single_device_arrays(array.shape, replicated(self._mesh), parts)


STEPS: dict[str, Callable[[Callable[..., Any], Mesh], Any]] = {"jit": jit_step, "pmap": PmapStep}
"""The ways to divide a step over the devices of a mesh, by their names."""


def _drop_in_whole(method: Callable[..., Any], args: Any, kwargs: Any, context: InterceptorContext) -> Any:
    """Makes `nn.Dropout` draw for the whole batch and apply its own part, so that it does not depend on the devices."""
    if not isinstance(context.module, nn.Dropout) or context.method_name != "__call__":
        return method(*args, **kwargs)
    x, *others = args
    ones = jnp.ones((x.shape[0] * divided.parts(), *x.shape[1:]), x.dtype)
    return x * divided.own(method(ones, *others, **kwargs))


def to_devices(batches: Iterable[dict[str, np.ndarray]], mesh: Mesh) -> Iterator[Batch]:
    """Yields batches as global arrays from this process's parts; two more are on their way to the devices."""
    sharding = sharded(mesh)
    waiting: deque[Batch] = deque()
    for batch in batches:
        waiting.append({name: jax.make_array_from_process_local_data(sharding, part) for name, part in batch.items()})
        if len(waiting) > 2:
            yield waiting.popleft()
    yield from waiting


def evaluated(
    split: Split, config: Experiment, mesh: Mesh, bad: BadImages | None = None
) -> tuple[Iterator[Batch], int]:
    """Returns the evaluation batches of a split as global arrays, and their number.

    The batch size, at most the size of the split, is rounded up to a multiple of the devices: padding is masked. Images
    that cannot be read are noted in `bad`.
    """
    size = -(-min(config.eval_batch_size, len(split)) // mesh.size) * mesh.size
    batches = evaluation_batches(
        split,
        config.data,
        batch_size=size,
        process_index=jax.process_index(),
        process_count=jax.process_count(),
        bad=bad,
    )
    return to_devices(batches, mesh), -(-len(split) // size)
