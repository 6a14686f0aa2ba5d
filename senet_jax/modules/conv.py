"""Convolution as the networks of the paper use it."""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn


def conv(
    features: int,
    kernel_size: int | tuple[int, int],
    *,
    name: str,
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
    padding: str | None = None,
    use_bias: bool = False,
    dtype: Any = None,
    param_dtype: Any = jnp.float32,
) -> nn.Conv:
    """A convolution, He initialised, by default padded alike on all sides ("SAME" is not, at stride 2)."""
    sizes = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    return nn.Conv(
        features,
        sizes,
        strides=stride,
        padding=padding or [(dilation * (size // 2), dilation * (size // 2)) for size in sizes],
        kernel_dilation=dilation,
        feature_group_count=groups,
        use_bias=use_bias,
        kernel_init=nn.initializers.he_normal(),
        dtype=dtype,
        param_dtype=param_dtype,
        name=name,
    )
