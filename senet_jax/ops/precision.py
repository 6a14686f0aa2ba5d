"""Precision of sums."""

from typing import Any

import jax.numpy as jnp

from senet_jax.typing import Array


def float32_or_wider(dtype: Any) -> Any:
    """Returns a floating-point dtype, or float32 if it is narrower; without promotion, which can be strict."""
    return dtype if jnp.finfo(dtype).bits >= 32 else jnp.float32


def at_least_float32(x: Array) -> Array:
    """Returns x in float32, or as it is in float64."""
    return x.astype(float32_or_wider(x.dtype))
