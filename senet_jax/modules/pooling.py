"""Average pooling, (n, h, w, c) to (n, oh, ow, c)."""

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax

from senet_jax.typing import Array, Float


def average_pool(
    x: Float[Array, "n h w c"],
    size: int = 2,
    stride: int = 2,
    padding: str | tuple[int, int] = "VALID",
    count_padding: bool = True,
) -> Float[Array, "n oh ow c"]:
    """Returns the mean of each window; `count_padding`: whether the zeros of the padding count as positions.

    `padding` is "VALID", "SAME", or (before, after) for rows and columns alike.
    """
    window, strides, sizes = (size, size), (stride, stride), x.shape[1:3]
    sides = lax.padtype_to_pads(sizes, window, strides, padding) if isinstance(padding, str) else (padding, padding)
    if any(map(any, sides)):  # Padded by itself, which compilers fold into the pool and jax2onnx can write.
        x = jnp.pad(x, ((0, 0), *sides, (0, 0)))
    means = nn.avg_pool(x, window_shape=window, strides=strides)
    if count_padding or not any(map(any, sides)):
        return means
    rows, columns = (_inside(length, pad, size, stride) for length, pad in zip(sizes, sides, strict=True))
    return means * jnp.asarray(size * size / np.outer(rows, columns), x.dtype)[None, :, :, None]


def _inside(length: int, sides: tuple[int, int], size: int, stride: int) -> np.ndarray:
    """Returns the number of positions of each window, along one axis, that are not padding."""
    real = np.pad(np.ones(length), sides)
    return np.convolve(real, np.ones(size), "valid")[::stride]
