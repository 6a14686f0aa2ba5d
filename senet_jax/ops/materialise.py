"""What XLA shall compute once and keep, and what it shall not take for the same."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental.xla_metadata import set_xla_metadata

from senet_jax.typing import Array, Shaped

Arrays = tuple[Shaped[Array, "..."], ...]


def materialise(x: Shaped[Array, "..."]) -> Shaped[Array, "..."]:
    """The array itself, which on CPUs is computed once, whoever uses it.

    XLA computes there what is elementwise once more for each use, chains of residual blocks back to their beginning,
    and takes no `optimization_barrier` for an answer; it does not look behind a call that is not inlined.
    """
    return lax.platform_dependent(x, cpu=_behind_call(0), default=lambda x: (x,))[0]


def apart_on_cpu(place: int, *arrays: Shaped[Array, "..."]) -> Arrays:
    """The arrays themselves; on CPUs nothing that is computed of them is shared with other places of the program.

    A sum over what is shared would not take it into its own pass there.
    """
    return lax.platform_dependent(*arrays, cpu=_behind_call(place), default=lambda *arrays: arrays)


def apart(place: int, *arrays: Shaped[Array, "..."]) -> Arrays:
    """As `apart_on_cpu`, on all platforms: what is computed of them again is not kept from where it was before."""
    return lax.platform_dependent(
        *arrays, cpu=_behind_call(place), default=lambda *arrays: lax.optimization_barrier(arrays)
    )


def _behind_call(place: int) -> Callable[..., Arrays]:
    """Calls with the same arrays would be merged, so each has the number of its place."""

    def call(*arrays: Array) -> Arrays:
        with set_xla_metadata(inlineable="false"):
            return jax.jit(lambda *given: lax.optimization_barrier(given)[1:])(jnp.int32(place), *arrays)

    return call
