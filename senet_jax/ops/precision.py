"""Precision of sums."""

import jax.numpy as jnp

from senet_jax.typing import Array


def at_least_float32(x: Array) -> Array:
    """Returns x in float32, or as it is in float64."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))
