"""Compiles a training step for devices that can be absent, and reads the compiler's counts."""

import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from senet_jax.planning import hlo
from senet_jax.planning.hlo import Collective
from senet_jax.training import parallel
from senet_jax.training.memory import total


class DoesNotFitError(Exception):
    """A program needs more memory than a device has."""

    def __init__(self, needed: int | None):
        super().__init__("the program does not fit into the memory of a device")
        self.needed = needed
        """Needed bytes, if the compiler says them."""


@dataclass(frozen=True)
class Program:
    """A compiled training step, with the compiler's counts for one device."""

    executable: Any
    """Result of `jax.stages.Lowered.compile`."""
    flops: float
    """Floating-point operations; a multiply-add counts as two. For absent GPUs they are counted before compilation."""
    bytes_accessed: float
    """Bytes read and written by all operations, at any level of memory."""
    argument_bytes: int
    """Bytes of the state and the batch in memory."""
    peak_bytes: int
    """Peak bytes, including arguments; for CPUs and GPUs the sum of arguments, results and temporary values."""
    collectives: tuple[Collective, ...]
    compile_seconds: float
    kernels: int | None = None
    """Number of kernels and calls of libraries that a GPU starts; None: not counted."""

    @property
    def temporary_bytes(self) -> int:
        """Bytes of activations and temporaries at the peak."""
        return max(0, self.peak_bytes - self.argument_bytes)

    @property
    def collective_bytes(self) -> int:
        """Bytes of the results of all collectives."""
        return sum(each.bytes for each in self.collectives)

    @property
    def reduced_bytes(self) -> float:
        """Bytes whose all-reduce sends no more than all collectives do: the others send at least half as much."""
        return sum(each.bytes if "reduce" in each.kind else each.bytes / 2 for each in self.collectives)

    @property
    def counts(self) -> Counter[str]:
        """Number of collectives of each kind."""
        return Counter(each.kind for each in self.collectives)


def abstract(tree: Any, sharding: Any) -> Any:
    """Returns shapes and dtypes of arrays, with this sharding."""
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), tree)


def abstract_batch(batch_size: int, image_shape: tuple[int, ...], mesh: Mesh) -> dict[str, Any]:
    """Returns shapes and dtypes of a batch of training images (h, w, c), sharded over the devices."""
    batch = {
        "image": jax.ShapeDtypeStruct((batch_size, *image_shape), jnp.uint8),
        "label": jax.ShapeDtypeStruct((batch_size,), jnp.int32),
    }
    return abstract(batch, parallel.sharded(mesh))


def compile_step(
    step: Callable[..., Any], mesh: Mesh, state: Any, batch: Any, *numbers: Any, parallelism: str = "jit"
) -> Program:
    """Compiles (state, batch, *numbers) -> state as training does, for shapes and dtypes of its arguments.

    Raises DoesNotFitError if a device has too little memory and the compiler says so.
    """
    everywhere = parallel.replicated(mesh)
    began = time.perf_counter()
    arguments = abstract(state, everywhere), batch, *(abstract(jnp.asarray(each), everywhere) for each in numbers)
    lowered = parallel.STEPS[parallelism](step, mesh).lower(*arguments)
    try:
        executable = lowered.compile()
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        used = re.search(r"Used ([\d.]+)([KMG]) of", str(error))
        scale = {"K": 2**10, "M": 2**20, "G": 2**30}
        raise DoesNotFitError(int(float(used[1]) * scale[used[2]]) if used else None) from error
    memory: Any = executable.memory_analysis()
    text = executable.as_text() or ""
    cost: Any = executable.cost_analysis()
    kernels = None
    if cost is None:  # XLA for absent GPUs counts nothing.
        whole: Any = jax.jit(step).trace(*abstract(arguments, None)).lower(lowering_platforms=("cuda",))
        flops = whole.cost_analysis()["flops"] / mesh.size
        accessed = hlo.bytes_accessed(text)
        cost, kernels = {"flops": flops, "bytes accessed": sum(accessed)}, len(accessed)
    on_tpu = mesh.devices.flat[0].platform == "tpu"  # Elsewhere the peak lacks temporary values.
    return Program(
        executable,
        flops=cost.get("flops", 0.0),
        bytes_accessed=cost.get("bytes accessed", 0.0),
        argument_bytes=memory.argument_size_in_bytes,
        peak_bytes=memory.peak_memory_in_bytes if on_tpu else total(memory),
        collectives=tuple(hlo.collectives(text)),
        compile_seconds=time.perf_counter() - began,
        kernels=kernels,
    )
