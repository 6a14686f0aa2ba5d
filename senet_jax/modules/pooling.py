"""Pooling as the networks of the paper use it: (n, h, w, c) to (n, oh, ow, c)."""

from typing import Any

from flax import linen as nn

from senet_jax import ops
from senet_jax.typing import Array, Float


def max_pool(
    x: Float[Array, "n h w c"], size: int = 3, stride: int = 2, padding: tuple[int, int] = (0, 1)
) -> Float[Array, "n oh ow c"]:
    """Returns the maximum of each window.

    The padding (before, after) of the authors' networks is Caffe's 0 with the output's size rounded up. PyTorch's
    networks have (1, 1), which gives other numbers and, for odd sizes, maps of another size.
    """
    return ops.max_pool(x, size, stride, padding)


def average_pool(
    x: Float[Array, "n h w c"],
    size: int = 2,
    stride: int = 2,
    padding: str | tuple[int, int] = "VALID",
    count_padding: bool = True,
) -> Float[Array, "n oh ow c"]:
    """Returns the mean of each window; `count_padding`: whether the zeros of the padding count as positions."""
    both = padding if isinstance(padding, str) else _both(padding)
    window, strides = (size, size), (stride, stride)
    return nn.avg_pool(x, window_shape=window, strides=strides, padding=both, count_include_pad=count_padding)


def _both(padding: tuple[int, int]) -> Any:  # Flax says str, and takes pairs.
    return (padding, padding)
