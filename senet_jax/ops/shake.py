"""The random mixture of two branches (Gastaldi, arXiv 1705.07485, section 1)."""

import jax

from senet_jax.ops.precision import at_least_float32
from senet_jax.typing import Array, Float


@jax.custom_vjp
def shake(
    first: Float[Array, "n h w c"],
    second: Float[Array, "n h w c"],
    forward_weight: Float[Array, " n"],
    backward_weight: Float[Array, " n"],
) -> Float[Array, "n h w c"]:
    """Returns a first + (1 - a) second for each example, with its forward weight a, in their dtype.

    A gradient g is passed on as b g and (1 - b) g, with the backward weight b. The weights have no gradient.
    """
    del backward_weight
    return (_times(first, forward_weight) + _times(second, 1 - forward_weight)).astype(first.dtype)


def _forward(first: Array, second: Array, forward_weight: Array, backward_weight: Array) -> tuple[Array, Array]:
    return shake(first, second, forward_weight, backward_weight), backward_weight


def _backward(backward_weight: Array, gradient: Array) -> tuple[Array, Array, None, None]:
    first, second = (_times(gradient, weight) for weight in (backward_weight, 1 - backward_weight))
    return first.astype(gradient.dtype), second.astype(gradient.dtype), None, None


def _times(x: Array, weight: Array) -> Array:
    """Multiplies each example by its weight, in float32 at least."""
    return at_least_float32(x) * weight[:, None, None, None]


shake.defvjp(_forward, _backward)
