"""What XLA shall compute once and keep, and what it shall not take for the same."""

import jax
from jax import lax
from jax.experimental.xla_metadata import set_xla_metadata

from senet_jax.typing import Array, Shaped


def materialise(x: Shaped[Array, "..."]) -> Shaped[Array, "..."]:
    """The array itself, which on CPUs is computed once, whoever uses it.

    XLA computes there what is elementwise once more for each use, chains of residual blocks back to their beginning,
    and takes no `optimization_barrier` for an answer; it does not look behind a call that is not inlined.
    """
    return lax.platform_dependent(x, cpu=lambda x: _call(x)[0], default=lambda x: x)


def keep_apart(*arrays: Shaped[Array, "..."]) -> tuple[Shaped[Array, "..."], ...]:
    """The arrays themselves, once all are there; nothing that is computed of them is shared with other places."""
    return lax.platform_dependent(*arrays, cpu=_call, default=lambda *arrays: lax.optimization_barrier(arrays))


def _call(*arrays: Array) -> tuple[Array, ...]:
    with set_xla_metadata(inlineable="false"):
        return jax.jit(lambda *arrays: lax.optimization_barrier(arrays))(*arrays)
