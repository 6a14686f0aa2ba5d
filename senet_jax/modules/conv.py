"""Convolution as the networks of the paper use it."""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn


def conv(
    features: int,
    kernel_size: int,
    *,
    name: str,
    stride: int = 1,
    groups: int = 1,
    dtype: Any = None,
    param_dtype: Any = jnp.float32,
) -> nn.Conv:
    """A square convolution without bias, He initialised, padded alike on all sides ("SAME" is not, at stride 2)."""
    return nn.Conv(
        features,
        (kernel_size, kernel_size),
        strides=stride,
        padding=kernel_size // 2,
        feature_group_count=groups,
        use_bias=False,
        kernel_init=nn.initializers.he_normal(),
        dtype=dtype,
        param_dtype=param_dtype,
        name=name,
    )
