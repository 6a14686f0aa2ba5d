"""Convolution and its gradients in forms that are fast on CPUs, chosen by shape (see benchmarks/convolution.py).

All of them compute in float32 at least, as XLA's convolutions on CPUs do.
"""

from functools import reduce
from operator import add

import jax
import jax.numpy as jnp
from jax import lax

from senet_jax.ops import winograd
from senet_jax.ops.windows import Window, taps, xla_convolution, xla_input_gradient, xla_kernel_gradient
from senet_jax.typing import Array, Float

_BLOCK = 32
"""Channels of each dense convolution that replaces several narrow groups."""


def convolution(x: Float[Array, "n h w c"], kernel: Float[Array, "kh kw gc o"], window: Window) -> Array:
    """Returns the convolution, (n, oh, ow, o)."""
    x, kernel = _float32(x), _float32(kernel)
    if _depthwise(x, kernel, window):
        return _each_channel(x, kernel, window)
    if window.groups > 1:
        return _by_blocks(x, kernel, window)
    if _pointwise(kernel, window):
        return lax.dot_general(_strided(x, window), kernel[0, 0], (((3,), (0,)), ((), ())))
    if _winograd(x, kernel, window):
        return winograd.convolution(x, kernel, window.padding)
    return xla_convolution(x, kernel, window)


def input_gradient(x: Array, kernel: Array, gradient: Array, window: Window) -> Array:
    """Returns the gradient of `convolution` with respect to x, of which only shape and dtype are used."""
    x, kernel, gradient = _float32(x), _float32(kernel), _float32(gradient)
    if _depthwise(x, kernel, window):
        return _each_channel(_spread(x, kernel, gradient, window), kernel[::-1, ::-1], Window(dilation=window.dilation))
    if window.groups > 1:
        return jax.linear_transpose(lambda x: _by_blocks(x, kernel, window), x)(gradient)[0]
    if _pointwise(kernel, window):
        product = lax.dot_general(gradient, kernel[0, 0], (((3,), (1,)), ((), ())))
        return _spread(x, kernel, product, window)
    if _winograd(x, kernel, window):
        return winograd.input_gradient(gradient, kernel, window.padding)
    return xla_input_gradient(x, kernel, gradient, window)


def kernel_gradient(x: Array, kernel: Array, gradient: Array, window: Window) -> Array:
    """Returns the gradient of `convolution` with respect to the kernel, of which only shape and dtype are used."""
    x, kernel, gradient = _float32(x), _float32(kernel), _float32(gradient)
    if _depthwise(x, kernel, window):
        met = taps(x, kernel.shape[:2], window)
        return jnp.stack([jnp.stack([(tap * gradient).sum((0, 1, 2)) for tap in row]) for row in met])[:, :, None]
    if window.groups > 1:
        return _kernel_gradient_by_blocks(x, kernel, gradient, window)
    if _pointwise(kernel, window):
        return _contract(_strided(x, window), gradient)[None, None]
    if _winograd(x, kernel, window):
        return winograd.kernel_gradient(x, gradient, window.padding)
    if x.shape[-1] < 16 or kernel.shape[0] * kernel.shape[1] > 9:
        return xla_kernel_gradient(x, kernel, gradient, window)
    return _products_of_taps(x, gradient, kernel.shape[:2], window)


def _float32(x: Array) -> Array:
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def _depthwise(x: Array, kernel: Array, window: Window) -> bool:
    return window.groups == x.shape[-1] == kernel.shape[-1]


def _pointwise(kernel: Array, window: Window) -> bool:
    return kernel.shape[:2] == (1, 1) and window.padding == ((0, 0), (0, 0))


def _winograd(x: Array, kernel: Array, window: Window) -> bool:
    """Whether Winograd's form applies and is faster: not with few channels, nor if few tiles share a large kernel."""
    channels, positions = kernel.shape[2:], x.shape[0] * x.shape[1] * x.shape[2]
    return _winograd_serves(x, kernel, window) and min(channels) >= 64 and 2 * positions >= max(channels)


def _winograd_serves(x: Array, kernel: Array, window: Window) -> bool:
    return kernel.shape[:2] == (3, 3) and window.stride == window.dilation == (1, 1) and x.dtype == jnp.float32


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


def _contract(x: Array, gradient: Array) -> Array:
    """Returns the products of two maps' channels, (c, o), summed over examples and positions."""
    # XLA transposes a whole map to sum over several axes, so they are flattened into one.
    x, gradient = (z.reshape(-1, z.shape[-1]) for z in (x, gradient))
    return lax.dot_general(x, gradient, (((0,), (0,)), ((), ())))


def _products_of_taps(x: Array, gradient: Array, size: tuple[int, ...], window: Window) -> Array:
    """Returns the products of the channels under each tap with those of the gradient, (kh, kw, c, o)."""
    if window.stride == (1, 1):
        return _products_of_shifts(x, gradient, size, window)
    met = jnp.concatenate([tap for row in taps(x, size, window) for tap in row], axis=-1)
    return _contract(met, gradient).reshape(*size, x.shape[-1], -1)


def _products_of_shifts(x: Array, gradient: Array, size: tuple[int, ...], window: Window) -> Array:
    """As `_products_of_taps`, for stride 1: maps shifted by columns times the gradient shifted by rows."""
    height, (kh, kw) = x.shape[1], size
    (top, _), columns = window.padding
    (row,) = taps(x, (1, kw), window._replace(padding=((0, 0), columns)))
    lags = [i * window.dilation[0] - top for i in range(kh)]
    sides = [(lag, height - gradient.shape[1] - lag, 0) for lag in lags]
    lagged = [lax.pad(gradient, jnp.zeros((), gradient.dtype), [(0, 0, 0), side, *[(0, 0, 0)] * 2]) for side in sides]
    together = jnp.concatenate(lagged, axis=-1)
    products = jnp.stack([_contract(shifted, together) for shifted in row])
    return products.reshape(kw, x.shape[-1], kh, -1).transpose(2, 0, 1, 3)


def _blocks(groups: int, group_width: int) -> int:
    """Number of dense convolutions that the groups are gathered into."""
    together = max(1, _BLOCK // group_width)
    while groups % together:
        together -= 1
    return groups // together


def _by_blocks(x: Array, kernel: Array, window: Window) -> Array:
    """Convolves several groups at a time with one dense kernel that is zero between groups."""
    kh, kw, group_width, features = kernel.shape
    blocks = _blocks(window.groups, group_width)
    together = window.groups // blocks
    grouped = kernel.reshape(kh, kw, 1, group_width, blocks, together, -1)
    apart = jnp.eye(together, dtype=kernel.dtype)[:, None, None, :, None]
    dense = (grouped * apart).reshape(kh, kw, together * group_width, blocks, features // blocks)
    parts = zip(jnp.split(x, blocks, axis=-1), jnp.split(dense, blocks, axis=3), strict=True)
    dense_window = window._replace(groups=1)
    return jnp.concatenate([xla_convolution(part, own[:, :, :, 0], dense_window) for part, own in parts], axis=-1)


def _kernel_gradient_by_blocks(x: Array, kernel: Array, gradient: Array, window: Window) -> Array:
    """Computes the products of all channels of each block, and keeps those within a group."""
    kh, kw, group_width, _ = kernel.shape
    blocks = _blocks(window.groups, group_width)
    together = window.groups // blocks
    x, gradient = (jnp.moveaxis(z.reshape(*z.shape[:3], blocks, -1), 3, 0) for z in (x, gradient))
    winograd_serves = _winograd_serves(x, kernel, window)

    def dense(x: Array, gradient: Array) -> Array:
        if winograd_serves:
            return winograd.kernel_gradient(x, gradient, window.padding)
        return _products_of_taps(x, gradient, (kh, kw), window)

    products = jax.vmap(dense)(x, gradient)
    products = products.reshape(blocks, kh, kw, together, group_width, together, -1)
    within = jnp.diagonal(products, axis1=3, axis2=5)  # blocks, kh, kw, group_width, features of a group, together
    return within.transpose(1, 2, 3, 0, 5, 4).reshape(kernel.shape)
