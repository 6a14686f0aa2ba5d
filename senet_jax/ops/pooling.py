"""Max pooling with a form of its own on CPUs, and XLA's form on other platforms."""

from functools import partial, reduce
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from senet_jax.ops.plain import is_explicit, is_plain
from senet_jax.ops.windows import Window, pad, taps
from senet_jax.typing import Array, Float


def max_pool(
    x: Float[Array, "n h w c"], size: int = 3, stride: int = 2, padding: tuple[int, int] = (0, 1)
) -> Float[Array, "n oh ow c"]:
    """Returns the maximum of each window of `size` x `size` positions, `stride` apart, ignoring the padding.

    `padding` is (before, after), for rows and columns alike. That of the authors' networks is Caffe's 0 with the
    output's size rounded up. PyTorch's networks have (1, 1), which gives other numbers and, for odd sizes, maps of
    another size. Equal maxima share the gradient on CPUs; on other platforms one of them gets it all. Only reverse-mode
    first derivatives exist, but in `modules.all_derivatives`.
    """
    if is_plain():
        return _max_of_slices(x, size, stride, padding)
    # An exported program's batch is symbolic.
    if not all(isinstance(extent, int) for extent in x.shape) or is_explicit(x):
        return _by_platform(size, stride, padding)["default"](x)
    return _max_pool(x, size, stride, padding)


def _max_of_slices(x: Array, size: int, stride: int, padding: tuple[int, int]) -> Array:
    """Pools along rows, then along columns; the edges are repeated, which changes no maximum of a window over them."""
    for axis in (1, 2):
        first, last = (lax.slice_in_dim(x, at, at + 1, axis=axis) for at in (0, x.shape[axis] - 1))
        x = lax.concatenate([*[first] * padding[0], x, *[last] * padding[1]], axis)
        span = x.shape[axis] - size + 1
        x = reduce(lax.max, [lax.slice_in_dim(x, at, at + span, stride=stride, axis=axis) for at in range(size)])
    return x


@partial(jax.custom_vjp, nondiff_argnums=(1, 2, 3))
def _max_pool(x: Array, size: int, stride: int, padding: tuple[int, int]) -> Array:
    return lax.platform_dependent(x, **_by_platform(size, stride, padding))


def _forward(x: Array, size: int, stride: int, padding: tuple[int, int]) -> tuple[Array, Array]:
    return _max_pool(x, size, stride, padding), x


def _backward(size: int, stride: int, padding: tuple[int, int], x: Array, gradient: Array) -> tuple[Array]:
    def by_input(pool: Any) -> Any:
        return lambda x, gradient: jax.vjp(pool, x)[1](gradient)[0]

    pools = _by_platform(size, stride, padding)
    return (lax.platform_dependent(x, gradient, **{name: by_input(pool) for name, pool in pools.items()}),)


def _by_platform(size: int, stride: int, padding: tuple[int, int]) -> dict[str, Any]:
    def slices(x: Array) -> Array:
        """Pools along rows, then along columns."""
        x = pad(x, (padding, padding), -jnp.inf)
        for shape, strides in (((size, 1), (stride, 1)), ((1, size), (1, stride))):
            x = reduce(jnp.maximum, (tap for row in taps(x, shape, Window(strides)) for tap in row))
        return x

    def windows(x: Array) -> Array:
        sides = ((0, 0), padding, padding, (0, 0))
        return lax.reduce_window(x, -jnp.inf, lax.max, (1, size, size, 1), (1, stride, stride, 1), sides)

    return {"cpu": slices, "default": windows}


_max_pool.defvjp(_forward, _backward)
