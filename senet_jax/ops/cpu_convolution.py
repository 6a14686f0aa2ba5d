"""Convolution and its gradients in forms that are fast on CPUs, chosen by shape (see benchmarks/convolution.py).

They consist of dense convolutions and of products of matrices, by oneDNN (`ops.onednn`) or by XLA. They compute in
float32 at least, but for oneDNN's in bfloat16, whose sums are of float32 too.
"""

import math
from functools import reduce
from operator import add
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from senet_jax.ops import onednn
from senet_jax.ops.precision import at_least_float32
from senet_jax.ops.windows import Window, pad, taps, xla_convolution, xla_input_gradient
from senet_jax.typing import Array, Float

_BLOCK = 16
"""Channels of a matrix product that computes several narrow groups as one."""
_DENSE_BLOCK = 32
"""Channels of a dense convolution by XLA that computes several narrow groups as one."""
_CHUNK = 16 * 2**20
"""Bytes gathered for one product, which should stay in the cache."""


class Allowed(NamedTuple):
    """The forms that a program may contain."""

    onednn: bool
    """Whether oneDNN may compute in the dtype of the operands."""
    loop: bool
    """Whether a loop may divide the batch, because devices do not."""


def convolution(
    x: Float[Array, "n h w c"], kernel: Float[Array, "kh kw gc o"], window: Window, allowed: Allowed
) -> Array:
    """Returns the convolution, (n, oh, ow, o)."""
    depthwise = _depthwise(x, kernel, window)
    if allowed.onednn and not depthwise:
        return onednn.convolution(x, kernel, window)
    x, kernel = map(at_least_float32, (x, kernel))
    if depthwise:
        return _each_channel(x, kernel, window)
    if window.groups > 1:
        return _by_blocks(x, kernel, window)
    if _pointwise(kernel, window):
        return lax.dot_general(_strided(x, window), kernel[0, 0], (((3,), (0,)), ((), ())))
    return xla_convolution(x, kernel, window)


def input_gradient(x: Array, kernel: Array, gradient: Array, window: Window, allowed: Allowed) -> Array:
    """Returns the gradient of `convolution` with respect to x, of which only shape and dtype are used."""
    depthwise, has_phases = _depthwise(x, kernel, window), (1, 1) in (window.stride, window.dilation)
    if allowed.onednn and has_phases and not depthwise:
        return _input_gradient_by_phases(x, kernel, gradient, window)
    x, kernel, gradient = map(at_least_float32, (x, kernel, gradient))
    if depthwise:
        return _each_channel(_spread(x, kernel, gradient, window), kernel[::-1, ::-1], Window(dilation=window.dilation))
    if window.groups > 1:
        return jax.linear_transpose(lambda x: _by_blocks(x, kernel, window), x)(gradient)[0]
    if _pointwise(kernel, window):
        product = lax.dot_general(gradient, kernel[0, 0], (((3,), (1,)), ((), ())))
        return _spread(x, kernel, product, window)
    return xla_input_gradient(x, kernel, gradient, window)


def kernel_gradient(x: Array, kernel: Array, gradient: Array, window: Window, allowed: Allowed) -> Array:
    """Returns the gradient of `convolution` with respect to the kernel, of which only the shape is used."""
    if not allowed.onednn:
        x, gradient = map(at_least_float32, (x, gradient))
    if _pointwise(kernel, window):
        product = _multiply(_side_by_side([_strided(x, window)], 1), _side_by_side([gradient], 1), allowed.onednn)
        return product.reshape(kernel.shape)
    if allowed.onednn and window.groups == 1:
        return _kernel_gradient_by_convolution(x, kernel, gradient, window)
    return _kernel_gradient_by_products(x, kernel, gradient, window, allowed)


def _kernel_gradient_by_convolution(x: Array, kernel: Array, gradient: Array, window: Window) -> Array:
    """Convolves x, by oneDNN, with the gradient as the kernel; the examples are the channels of both.

    The columns and channels of x are one axis, on which the kernel's columns lie as many positions apart as x has
    channels. So the output has all channels of a tap beside each other, and enough positions for oneDNN's registers.
    """
    (n, h, w, c), (_, rows, columns, features) = x.shape, gradient.shape
    extents = [(size - 1) * step + 1 for size, step in zip(kernel.shape[:2], window.dilation, strict=True)]
    (stride_h, stride_w), ((top, _), (left, _)) = window.stride, window.padding
    bottom = extents[0] + (rows - 1) * stride_h - h - top
    right = extents[1] + (columns - 1) * stride_w - w - left
    padding = ((top, bottom), (left * c, right * c))
    by_examples = x.transpose(1, 2, 3, 0).reshape(1, h, w * c, n)
    taps_window = Window((1, 1), padding, (stride_h, stride_w * c))
    products = onednn.convolution(by_examples, gradient.transpose(1, 2, 0, 3), taps_window)
    return products.reshape(*extents, c, features)[:: window.dilation[0], :: window.dilation[1]]


def _kernel_gradient_by_products(x: Array, kernel: Array, gradient: Array, window: Window, allowed: Allowed) -> Array:
    """Multiplies the channels under each column of taps by the gradient, moved down to each row of taps.

    Both are gathered for some examples at a time. Several narrow groups are multiplied as one, and only the products
    within a group are kept.
    """
    kh, kw, group_width, features = kernel.shape
    together = _divisor(window.groups, _BLOCK // group_width)
    blocks = window.groups // together

    def part(x: Array, gradient: Array) -> Array:
        return _products(x, gradient, kernel, window, blocks, allowed.onednn)

    gathered = gradient[0].size // features * kw * window.stride[0] * x.shape[-1] * x.dtype.itemsize
    chunk = _divisor(len(x), _CHUNK // gathered) if allowed.loop else len(x)
    if chunk == len(x):
        total = part(x, gradient)
    else:
        zero = jnp.zeros((blocks, kh, kw * x.shape[-1] // blocks, features // blocks), at_least_float32(x).dtype)
        parts = tuple(z.reshape(-1, chunk, *z.shape[1:]) for z in (x, gradient))
        total, _ = lax.scan(lambda total, operands: (total + part(*operands), None), zero, parts)
    total = total.reshape(blocks, kh, kw, together, group_width, together, -1)
    within = jnp.diagonal(total, axis1=3, axis2=5)  # blocks, kh, kw, group_width, features of a group, together
    return within.transpose(1, 2, 3, 0, 5, 4).reshape(kernel.shape)


def _products(
    x: Array, gradient: Array, kernel: Array, window: Window, blocks: int, use_onednn: bool
) -> Float[Array, "blocks kh kw_channels features"]:
    kh, kw = kernel.shape[:2]
    stride, dilation, before = window.stride[0], window.dilation[0], window.padding[0][0]
    columns = Window((1, window.stride[1]), ((0, 0), window.padding[1]), (1, window.dilation[1]))
    found = {}
    for phase in range(stride):
        rows = x[:, phase::stride]
        own = [tap for tap in range(kh) if (tap * dilation - before) % stride == phase]
        if own:
            met = _side_by_side(taps(rows, (1, kw), columns)[0], blocks)
            moved = [_moved_down(gradient, (tap * dilation - before) // stride, rows.shape[1]) for tap in own]
            product = _multiply(met, _side_by_side(moved, blocks), use_onednn)
            found |= dict(zip(own, jnp.split(product, len(own), axis=2), strict=True))
    return jnp.stack([found[tap] for tap in range(kh)], axis=1)


def _depthwise(x: Array, kernel: Array, window: Window) -> bool:
    return window.groups == x.shape[-1] == kernel.shape[-1]


def _pointwise(kernel: Array, window: Window) -> bool:
    return window.groups == 1 and kernel.shape[:2] == (1, 1) and window.padding == ((0, 0), (0, 0))


def _strided(x: Array, window: Window) -> Array:
    return x[:, :: window.stride[0], :: window.stride[1]]


def _spread(x: Array, kernel: Array, gradient: Array, window: Window) -> Array:
    """Pads the gradient with zeros between and around its positions; its convolution is the gradient of x."""
    sides = []
    for axis in (0, 1):
        reach, stride, size = window.dilation[axis] * (kernel.shape[axis] - 1), window.stride[axis], x.shape[axis + 1]
        before = reach - window.padding[axis][0]
        spread = (gradient.shape[axis + 1] - 1) * stride + 1
        sides.append((before, size + reach - before - spread, stride - 1))
    return lax.pad(gradient, jnp.zeros((), gradient.dtype), [(0, 0, 0), *sides, (0, 0, 0)])


def _each_channel(x: Array, kernel: Array, window: Window) -> Array:
    met = taps(x, kernel.shape[:2], window)
    return reduce(add, (tap * kernel[i, j, 0] for i, row in enumerate(met) for j, tap in enumerate(row)))


class _Phase(NamedTuple):
    """The positions phase, phase + stride, ... of one axis of a convolution's input."""

    size: int
    """Number of positions."""
    taps: slice
    """Taps of the kernel that meet these positions, in steps of the stride."""
    padding: tuple[int, int]
    """Padding of the output's gradient for its convolution with these taps, reversed."""


def _phases(x: Array, kernel: Array, gradient: Array, window: Window, axis: int) -> list[_Phase]:
    """Returns the phases of an axis.

    The output at h meets the input at stride h + dilation i - padding by the tap i.
    """
    stride, dilation, (before, _) = window.stride[axis], window.dilation[axis], window.padding[axis]
    phases = []
    for phase in range(stride):
        first = (phase + before) % stride
        reach = dilation * (len(range(first, kernel.shape[axis], stride)) - 1)
        size = len(range(phase, x.shape[axis + 1], stride))
        low = reach - (phase + before) // stride
        padding = (low, size + reach - low - gradient.shape[axis + 1])
        phases.append(_Phase(size, slice(first, None, stride), padding))
    return phases


def _input_gradient_by_phases(x: Array, kernel: Array, gradient: Array, window: Window) -> Array:
    """Convolves the gradient, by oneDNN, for each phase of the stride with the taps that meet it.

    Stride or dilation must be 1.
    """

    def part(row: _Phase, column: _Phase) -> Array:
        own = kernel[row.taps, column.taps][::-1, ::-1]
        if 0 in (*own.shape[:2], row.size, column.size):
            return jnp.zeros((len(x), row.size, column.size, x.shape[-1]), x.dtype)
        own_window = Window((1, 1), (row.padding, column.padding), window.dilation, window.groups)
        return onednn.transposed_convolution(gradient, own, own_window)

    rows, columns = (_phases(x, kernel, gradient, window, axis) for axis in (0, 1))
    lines = [_interleave([part(row, column) for column in columns], 2) for row in rows]
    return _interleave(lines, 1)


def _interleave(parts: list[Array], axis: int) -> Array:
    """Alternates the positions of the parts along an axis; later ones may be shorter by one."""
    if len(parts) == 1:
        return parts[0]
    size, shape = sum(part.shape[axis] for part in parts), list(parts[0].shape)
    short = [(0, 0, 0)] * parts[0].ndim
    short[axis] = (0, 1, 0)
    zero = jnp.zeros((), parts[0].dtype)
    full = [part if part.shape[axis] == shape[axis] else lax.pad(part, zero, short) for part in parts]
    shape[axis] *= len(parts)
    return lax.slice_in_dim(jnp.stack(full, axis + 1).reshape(shape), 0, size, axis=axis)


def _divisor(number: int, limit: int) -> int:
    """Returns the largest divisor of the number that is not above the limit, at least 1."""
    return next((size for size in range(min(number, limit), 0, -1) if number % size == 0), 1)


def _moved_down(gradient: Array, lag: int, rows: int) -> Array:
    """Moves the rows down by the lag, in maps of so many rows."""
    return pad(gradient, ((lag, rows - gradient.shape[1] - lag), (0, 0)))


def _side_by_side(maps: list[Array], blocks: int) -> Array:
    """Returns the channels of all maps in each block, (positions, blocks, maps * channels of a block)."""
    # A concatenation of the last axes would be made one element at a time.
    positions, channels = math.prod(maps[0].shape[:-1]), maps[0].shape[-1]  # There are none in a phase of no rows.
    split = [z.reshape(positions, blocks, channels // blocks) for z in maps]
    return jnp.stack(split, axis=2).reshape(positions, blocks, len(maps) * channels // blocks)


def _multiply(x: Array, y: Array, use_onednn: bool) -> Array:
    """Returns the products of their last axes for each block, summed over positions."""
    # oneDNN does not write the sum of no positions.
    return onednn.product(x, y) if use_onednn and x.size else lax.dot_general(x, y, (((0,), (0,)), ((1,), (1,))))


def _by_blocks(x: Array, kernel: Array, window: Window) -> Array:
    """Convolves several groups at a time with one dense kernel that is zero between groups."""
    kh, kw, group_width, features = kernel.shape
    together = _divisor(window.groups, _DENSE_BLOCK // group_width)
    blocks = window.groups // together
    grouped = kernel.reshape(kh, kw, 1, group_width, blocks, together, -1)
    apart = jnp.eye(together, dtype=kernel.dtype)[:, None, None, :, None]
    dense = (grouped * apart).reshape(kh, kw, together * group_width, blocks, features // blocks)
    parts = zip(jnp.split(x, blocks, axis=-1), jnp.split(dense, blocks, axis=3), strict=True)
    dense_window = window._replace(groups=1)
    return jnp.concatenate([xla_convolution(part, own[:, :, :, 0], dense_window) for part, own in parts], axis=-1)
