"""Sliding windows, shared by convolution and pooling, and XLA's convolution over them."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from senet_jax.typing import Array, Float


class Window(NamedTuple):
    """Stride, padding and dilation of a kernel over (rows, columns); each padding is (before, after)."""

    stride: tuple[int, int] = (1, 1)
    padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    precision: str | None = None
    """`jax_default_matmul_precision` at the call; XLA's form is made later."""


def pad(x: Float[Array, "n h w c"], padding: tuple[tuple[int, int], tuple[int, int]], value: float = 0) -> Array:
    """Pads the maps by `value`; negative widths crop."""
    sides = [(0, 0, 0), *((before, after, 0) for before, after in padding), (0, 0, 0)]
    return lax.pad(x, jnp.asarray(value, x.dtype), sides)


def taps(x: Float[Array, "n h w c"], size: tuple[int, ...], window: Window) -> list[list[Array]]:
    """Returns, for each row and column of a kernel, the part of the padded maps under it, (n, oh, ow, c) each."""
    x = pad(x, window.padding)
    starts = [[i * dilation for i in range(length)] for length, dilation in zip(size, window.dilation, strict=True)]
    spans = [length - last[-1] for length, last in zip(x.shape[1:3], starts, strict=True)]
    return [
        [x[:, i : i + spans[0] : window.stride[0], j : j + spans[1] : window.stride[1]] for j in starts[1]]
        for i in starts[0]
    ]


def xla_convolution(x: Float[Array, "n h w c"], kernel: Float[Array, "kh kw gc o"], window: Window) -> Array:
    """Returns the convolution as XLA lowers it."""
    with jax.default_matmul_precision(window.precision):
        return lax.conv_general_dilated(
            x,
            kernel,
            window.stride,
            window.padding,
            rhs_dilation=window.dilation,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=window.groups,
        )


def xla_input_gradient(x: Array, kernel: Array, gradient: Array, window: Window) -> Array:
    """Returns the gradient of `xla_convolution` with respect to x, of which only the shape is used."""
    return jax.linear_transpose(lambda x: xla_convolution(x, kernel, window), x)(gradient)[0]


def xla_kernel_gradient(x: Array, kernel: Array, gradient: Array, window: Window) -> Array:
    """Returns the gradient of `xla_convolution` with respect to the kernel, of which only the shape is used."""
    return jax.linear_transpose(lambda kernel: xla_convolution(x, kernel, window), kernel)(gradient)[0]
