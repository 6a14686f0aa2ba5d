"""Two-dimensional convolution with forms of its own on CPUs, and XLA's form on other platforms."""

from functools import partial
from typing import Any

import jax
from jax import lax

from senet_jax.ops import by_platform, divided
from senet_jax.ops.plain import is_explicit, is_plain
from senet_jax.ops.windows import Window, xla_convolution
from senet_jax.typing import Array, Float

LOWERINGS = ("platform", "portable", "xla")

Pair = int | tuple[int, int]
Padding = str | int | tuple[tuple[int, int], tuple[int, int]]


def convolution(
    x: Float[Array, "n h w c"],
    kernel: Float[Array, "kh kw gc o"],
    *,
    stride: Pair = 1,
    padding: Padding = 0,
    dilation: Pair = 1,
    groups: int = 1,
    lowering: str = "platform",
) -> Float[Array, "n oh ow o"]:
    """Returns the convolution of x with the kernel, in their common dtype.

    On CPUs, the result and its gradients differ from XLA's by rounding. Only reverse-mode first derivatives exist, but
    in `modules.all_derivatives`. Maps that are divided along explicit axes of a mesh get XLA's form.

    Args:
      x: feature maps.
      kernel: kernel; gc = c / groups is the number of input channels of each group.
      stride: step between output positions: one number, or (rows, columns).
      padding: zeros on all sides, ((top, bottom), (left, right)), "SAME" or "VALID".
      dilation: step between the kernel's taps: one number, or (rows, columns).
      groups: number of groups that the channels are divided into, in order.
      lowering: "platform" for the fastest form; "portable" for the fastest without oneDNN; or "xla" for XLA's form on
        every platform, which has all derivatives.

    Raises:
      ValueError: the lowering is unknown, the groups do not fit the channels of x and the kernel, or stride or dilation
        is not a positive integer.
    """
    if lowering not in LOWERINGS:
        raise ValueError(f"lowering is {lowering!r}; it must be one of {', '.join(LOWERINGS)}")
    if x.shape[-1] != groups * kernel.shape[2] or kernel.shape[3] % groups:
        raise ValueError(
            f"groups is {groups}, x has {x.shape[-1]} channels and the kernel takes {kernel.shape[2]} to "
            f"{kernel.shape[3]}; groups times the first must be the channels of x, and groups must divide the second"
        )
    strides, dilations = _pair(stride, "stride"), _pair(dilation, "dilation")
    if isinstance(padding, str):
        extents = [(size - 1) * step + 1 for size, step in zip(kernel.shape[:2], dilations, strict=True)]
        rows, columns = lax.padtype_to_pads(x.shape[1:3], extents, strides, padding)
    else:
        rows, columns = ((padding, padding),) * 2 if isinstance(padding, int) else padding
    precision: Any = jax.config.jax_default_matmul_precision  # pyright: ignore[reportAttributeAccessIssue]
    window = Window(strides, (rows, columns), dilations, groups, precision)
    if lowering == "xla" or is_plain() or is_explicit(x):
        return xla_convolution(x, kernel, window)
    return _convolution(*divided.varying_alike((x, kernel)), window, lowering == "platform")


def _pair(size: Pair, name: str) -> tuple[int, int]:
    rows, columns = size if isinstance(size, tuple | list) else (size, size)
    if int(rows) != rows or int(columns) != columns or min(rows, columns) < 1:
        raise ValueError(f"{name} is {size}; it must be a positive integer, or two of them")
    return int(rows), int(columns)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _convolution(x: Array, kernel: Array, window: Window, use_onednn: bool) -> Array:
    return by_platform.convolution(x, kernel, window=window, use_onednn=use_onednn)


def _forward(x: Array, kernel: Array, window: Window, use_onednn: bool) -> tuple[Array, tuple[Array, Array]]:
    return _convolution(x, kernel, window, use_onednn), (x, kernel)


def _backward(window: Window, use_onednn: bool, kept: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    forms = by_platform.input_gradient, by_platform.kernel_gradient
    by_input, by_kernel = (form(*kept, gradient, window=window, use_onednn=use_onednn) for form in forms)
    return by_input, by_kernel


_convolution.defvjp(_forward, _backward)
