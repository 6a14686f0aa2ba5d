"""A bound for common-subexpression elimination."""

from jax import lax

from senet_jax.typing import Array, Shaped


def no_cse(*arrays: Shaped[Array, "..."]) -> tuple[Shaped[Array, "..."], ...]:
    """Returns the arrays. On accelerators, XLA recomputes expressions of them instead of sharing those made elsewhere.

    On CPUs nothing bounds it: XLA removes `optimization_barrier`, and a call that is not inlined, which is a bound,
    can make it compute wrong results (docs/xla_aliasing.md).
    """
    return lax.platform_dependent(
        *arrays, cpu=lambda *arrays: arrays, default=lambda *arrays: lax.optimization_barrier(arrays)
    )
