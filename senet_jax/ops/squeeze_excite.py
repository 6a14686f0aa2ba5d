"""Squeeze, excitation and scale (Hu et al., arXiv 1709.01507, section 3)."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from senet_jax.typing import Array, Float


def squeeze(x: Float[Array, "*n h w c"]) -> Float[Array, "*n c"]:
    """The mean of each channel over all positions (equation 2), summed in float32 at least."""
    return jnp.mean(x, axis=(-3, -2), dtype=jnp.promote_types(x.dtype, jnp.float32))


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
    """The gates s = gate(W2 activation(W1 z)) of the channels (equation 3); None stands for no bias."""
    hidden = activation(_dense(z, reduce_kernel, reduce_bias))
    return gate(_dense(hidden, expand_kernel, expand_bias))


def scale(x: Float[Array, "*n h w c"], s: Float[Array, "*n c"]) -> Float[Array, "*n h w c"]:
    """Each channel times its gate (equation 4), in the type of x."""
    return x * s[..., None, None, :].astype(x.dtype)


def _dense(x: Array, kernel: Array, bias: Array | None) -> Array:
    y = x @ kernel
    return y if bias is None else y + bias
