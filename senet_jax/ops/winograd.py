"""3x3 convolution with stride 1, and its gradients, with 16 products for each 2x2 outputs instead of 36.

F(2x2, 3x3) of Lavin and Gray (arXiv 1509.09308, section 4.1), as sums of strided slices and matrix products.
"""

from collections.abc import Sequence
from functools import reduce
from operator import add

import jax.numpy as jnp
import numpy as np
from jax import lax

from senet_jax.ops.windows import Window, pad, taps
from senet_jax.typing import Array, Float

_INPUT = np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]])
_KERNEL = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
_OUTPUT = np.array([[1, 1, 1, 0], [0, 1, -1, -1]])

Grid = Sequence[Sequence[Array]]
Padding = tuple[tuple[int, int], tuple[int, int]]


def convolution(x: Float[Array, "n h w c"], kernel: Float[Array, "3 3 c o"], padding: Padding) -> Array:
    """Returns the convolution with stride 1."""
    return _products(x, [list(row) for row in kernel], padding, contracted=0)


def input_gradient(gradient: Float[Array, "n oh ow o"], kernel: Float[Array, "3 3 c o"], padding: Padding) -> Array:
    """Returns the gradient with respect to the input: the convolution with the kernel rotated by 180 degrees."""
    # Transposing the kernel would cost more than the products of the last stage, so the other axis is contracted.
    turned = [list(row) for row in kernel[::-1, ::-1]]
    (top, bottom), (left, right) = padding
    return _products(gradient, turned, ((2 - top, 2 - bottom), (2 - left, 2 - right)), contracted=1)


def kernel_gradient(x: Float[Array, "n h w c"], gradient: Float[Array, "n oh ow o"], padding: Padding) -> Array:
    """Returns the gradient with respect to the kernel, (3, 3, c, o)."""
    tiles, missing = _tiles(gradient.shape[1:3])
    gradient = pad(gradient, ((0, missing[0]), (0, missing[1])))
    inputs = _transform(_INPUT, _patches(x, padding, tiles))
    outputs = _transform(_OUTPUT.T, taps(gradient, (2, 2), Window(stride=(2, 2))))
    products = [[_contract(a, b) for a, b in zip(*rows, strict=True)] for rows in zip(inputs, outputs, strict=True)]
    grid = _transform(_KERNEL.T, products)
    return jnp.stack([jnp.stack(row) for row in grid])


def _contract(x: Array, y: Array) -> Array:
    """Returns the products of their channels, summed over all other axes."""
    x, y = (z.reshape(-1, z.shape[-1]) for z in (x, y))
    return x.T @ y


def _products(x: Array, kernel: Grid, padding: Padding, contracted: int) -> Array:
    height, width = (size + sum(both) - 2 for size, both in zip(x.shape[1:3], padding, strict=True))
    tiles, _ = _tiles((height, width))
    inputs, kernels = _transform(_INPUT, _patches(x, padding, tiles)), _transform(_KERNEL, kernel)
    products = [
        [lax.dot_general(a, b, (((3,), (contracted,)), ((), ()))) for a, b in zip(*rows, strict=True)]
        for rows in zip(inputs, kernels, strict=True)
    ]
    y = jnp.stack([jnp.stack(row, axis=3) for row in _transform(_OUTPUT, products)], axis=2)
    return y.reshape(y.shape[0], 2 * tiles[0], 2 * tiles[1], -1)[:, :height, :width]


def _tiles(size: tuple[int, ...]) -> tuple[list[int], list[int]]:
    """Returns the number of 2x2 tiles along each side, and the rows and columns they add beyond it."""
    return [-(-length // 2) for length in size], [length % 2 for length in size]


def _patches(x: Array, padding: Padding, tiles: list[int]) -> Grid:
    """Returns the 4x4 grid of elements of the overlapping patches, (n, *tiles, c) each."""
    sides = zip(x.shape[1:3], padding, tiles, strict=True)
    rows, columns = ((before, 2 * count + 2 - size - before) for size, (before, _), count in sides)
    return taps(x, (4, 4), Window((2, 2), (rows, columns)))


def _transform(matrix: np.ndarray, grid: Grid) -> Grid:
    """Returns matrix @ grid @ matrix.T for a grid of arrays."""
    columns = [[_weighted(row, column) for column in zip(*grid, strict=True)] for row in matrix]
    return [[_weighted(row, line) for row in matrix] for line in columns]


def _weighted(weights: np.ndarray, terms: Sequence[Array]) -> Array:
    weighted = [(weight, term) for weight, term in zip(weights.tolist(), terms, strict=True) if weight]
    return reduce(add, (term if weight == 1 else weight * term for weight, term in weighted))
