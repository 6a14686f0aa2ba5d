"""Squeeze, excitation and scale (Hu et al., arXiv 1709.01507, section 3), with the variants of its section 6."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from senet_jax.ops.precision import at_least_float32
from senet_jax.typing import Array, Float
from senet_jax.words import Activation, Gate, Squeeze


def squeeze(x: Float[Array, "*n h w c"]) -> Float[Array, "*n c"]:
    """Returns the mean of each channel over all positions (equation 2), in float32 at least."""
    return jnp.mean(at_least_float32(x), axis=(-3, -2))


def squeeze_max(x: Float[Array, "*n h w c"]) -> Float[Array, "*n c"]:
    """Returns the maximum of each channel over all positions (table 11), in float32 at least."""
    *leading, height, width, channels = x.shape  # A batch of no images has no -1.
    return at_least_float32(largest(x.reshape(*leading, height * width, channels), -2))


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def largest(x: Float[Array, "..."], axis: int) -> Float[Array, "..."]:
    """Returns the maximum along an axis; its gradient goes to the first of the largest elements.

    The gradient of `jnp.max` is 0 / 0 if the compiler computes x once more with other rounding and no element equals
    the maximum.
    """
    return jnp.max(x, axis)


@largest.defjvp
def _largest_jvp(axis: int, primals: tuple[Any], tangents: tuple[Any]) -> tuple[Array, Array]:
    (x,), (tangent,) = primals, tangents
    chosen = lax.broadcasted_iota(jnp.int32, x.shape, axis % x.ndim) == jnp.argmax(x, axis, keepdims=True)
    return largest(x, axis), jnp.sum(jnp.where(chosen, tangent, 0), axis)


def squeeze_both(x: Float[Array, "*n h w c"]) -> Float[Array, "*n c"]:
    """Returns half the mean of each channel plus half its maximum, in float32 at least."""
    return (squeeze(x) + squeeze_max(x)) / 2


def squeeze_none(x: Float[Array, "*n h w c"]) -> Float[Array, "*n h w c"]:
    """Returns x in float32 at least: every position gets gates of its own (table 16, NoSqueeze)."""
    return at_least_float32(x)


def gather(x: Float[Array, "*n h w c"], extent: int) -> Float[Array, "*n gh gw c"]:
    """Returns means over windows of 2 extent - 1 positions, `extent` apart, in float32 at least (arXiv 1810.12348).

    There are ceil(h / extent) x ceil(w / extent) windows. Those at the edge average the positions inside the map.
    """
    x, leading = at_least_float32(x), x.ndim - 3
    window, strides = ((1,) * leading + (step, step, 1) for step in (2 * extent - 1, extent))
    padding = ((0, 0),) * leading + ((extent - 1, extent - 1),) * 2 + ((0, 0),)
    sums, sizes = (lax.reduce_window(y, 0.0, lax.add, window, strides, padding) for y in (x, jnp.ones_like(x)))
    return sums / sizes


def enlarge(x: Float[Array, "*n gh gw c"], height: int, width: int) -> Float[Array, "*n h w c"]:
    """Enlarges the maps to the given size by nearest neighbours."""
    rows, columns = (np.arange(size) * x.shape[axis] // size for size, axis in ((height, -3), (width, -2)))
    return x[..., rows[:, None], columns, :]


def excite(
    z: Float[Array, "*n c"],
    reduce_kernel: Float[Array, "c hidden"],
    reduce_bias: Float[Array, " hidden"] | None,
    expand_kernel: Float[Array, "hidden c"],
    expand_bias: Float[Array, " c"] | None,
    *,
    activation: Callable[[Array], Array] = jax.nn.relu,
    gate: Callable[[Array], Array] = jax.nn.sigmoid,
) -> Float[Array, "*n c"]:
    """Returns the gates s = gate(W2 activation(W1 z)) of the channels (equation 3); a bias of None is left out.

    With z of shape (*n, h, w, c), every position has gates of its own.
    """
    hidden = activation(_dense(z, reduce_kernel, reduce_bias))
    return gate(_dense(hidden, expand_kernel, expand_bias))


def scale(x: Float[Array, "*n h w c"], s: Float[Array, "*n c"] | Float[Array, "*n h w #c"]) -> Float[Array, "*n h w c"]:
    """Multiplies each channel by its gate (equation 4), or each position by its own gates or gate.

    The result has x's dtype. Product and gradients are computed in float32 at least: the gradient of a gate is a sum
    over positions.
    """
    wide = at_least_float32(x)
    s = s.astype(wide.dtype)
    return (wide * (s if s.ndim == x.ndim else s[..., None, None, :])).astype(x.dtype)


def _dense(x: Array, kernel: Array, bias: Array | None) -> Array:
    y = x @ kernel
    return y if bias is None else y + jnp.broadcast_to(bias, y.shape)


SQUEEZES: Mapping[Squeeze, Callable[[Array], Array]] = {
    "mean": squeeze,
    "max": squeeze_max,
    "both": squeeze_both,
    "none": squeeze_none,
}
ACTIVATIONS: Mapping[Activation, Callable[[Array], Array]] = {
    "relu": jax.nn.relu,
    "relu6": jax.nn.relu6,
    "silu": jax.nn.silu,
    "gelu": partial(jax.nn.gelu, approximate=False),
    "hard_swish": jax.nn.hard_swish,
    "tanh": jnp.tanh,
}
GATES: Mapping[Gate, Callable[[Array], Array]] = {
    "sigmoid": jax.nn.sigmoid,
    "tanh": jnp.tanh,
    "relu": jax.nn.relu,
    "hard_sigmoid": jax.nn.hard_sigmoid,
}
