"""Lazy normalised maps: batch norm, SE scaling, the shortcut's sum and ReLU in one pass over the maps.

Batch norm, SE scaling and the sum are all affine in y, the output of a convolution. The statistics and the squeeze
follow from the `moments` of y, and `activate` applies everything in one pass. For the gradients, y and the output are
kept, and no other array of their size. Only reverse-mode first derivatives exist.
"""

import operator
from collections.abc import Callable
from functools import partial, reduce
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from senet_jax.ops import divided
from senet_jax.ops.batch_norm import combined, group_size, over_pieces, split
from senet_jax.ops.no_cse import no_cse
from senet_jax.ops.precision import at_least_float32
from senet_jax.typing import Array, Float


class Normalised(NamedTuple):
    """The map factor (y - origin) + value, not computed yet."""

    y: Float[Array, "n h w c"]
    origin: Float[Array, "n c"]
    """A constant to the gradient; if it is a mean, `value` has the mean's gradient."""
    factor: Float[Array, "n c"]
    value: Float[Array, "n c"]
    squeeze: Float[Array, "n c"]
    """Mean of the map over its positions (arXiv 1709.01507, equation 2)."""

    def scale(self, gates: Float[Array, "n c"]) -> "Normalised":
        """Returns the map with each channel multiplied by its gate (equation 4)."""
        return self._replace(factor=self.factor * gates, value=self.value * gates, squeeze=self.squeeze * gates)

    def compute(self) -> Float[Array, "n h w c"]:
        """Computes the map, in the dtype of y."""
        return activate(lambda total: total, self)

    @property
    def shape(self) -> tuple[Any, ...]:
        """Shape of the map; sizes can be symbolic."""
        return self.y.shape


class Moments(NamedTuple):
    """Mean and biased variance of each channel of each example over its positions, in float32 at least."""

    pivot: Float[Array, "n c"]
    """Value at one position, a constant to the gradient."""
    offset: Float[Array, "n c"]
    """Mean minus pivot; their sum would lose digits if means are large."""
    variance: Float[Array, "n c"]


@jax.custom_vjp
def moments(y: Float[Array, "n h w c"]) -> tuple[Float[Array, "n h w c"], Moments]:
    """Returns the map itself and its moments.

    Uses of both must take y from the result: then their gradients are added in one pass. The sums are of differences
    from a position in the middle, so that large means do not cancel.
    """
    (pivot,) = no_cse(at_least_float32(y[:, y.shape[1] // 2, y.shape[2] // 2]))
    if pivot.dtype != y.dtype:
        # A narrower type has fewer digits than such sums lose, and a TPU takes them in the pass that computes y.
        pivot = jnp.zeros_like(pivot)
    offset = _difference(y, pivot).mean((1, 2))
    variance = jnp.square(at_least_float32(y) - _spread(pivot)).mean((1, 2)) - jnp.square(offset)
    return y, Moments(pivot, offset, jnp.maximum(variance, 0))


def _moments_forward(y: Array) -> tuple[tuple[Array, Moments], tuple[Array, Array]]:
    y, result = moments(y)
    return (y, result), (y, result.pivot + result.offset)


def _moments_backward(kept: tuple[Array, Array], gradients: tuple[Array, Moments]) -> tuple[Array]:
    of_y, (_, of_offset, of_variance) = gradients
    y, mean = no_cse(*kept)
    positions = y.shape[1] * y.shape[2]
    own = (_spread(of_offset) + _spread(2 * of_variance) * (at_least_float32(y) - _spread(mean))) / positions
    return ((at_least_float32(of_y) + own).astype(y.dtype),)


moments.defvjp(_moments_forward, _moments_backward)


def normalise_lazily(
    y: Float[Array, "n h w c"],
    y_mean: Float[Array, "n c"],
    mean: Float[Array, " c"],
    variance: Float[Array, " c"],
    gain: Float[Array, " c"],
    bias: Float[Array, " c"],
    epsilon: float,
) -> Normalised:
    """Returns gain (y - mean) / sqrt(variance + epsilon) + bias; `y_mean` is the mean of y over its positions."""
    mean, variance, gain, bias = (at_least_float32(x)[None] for x in (mean, variance, gain, bias))
    y_mean = at_least_float32(y_mean)
    factor = gain * lax.rsqrt(variance + epsilon)
    origin = lax.stop_gradient(mean)
    value = factor * (origin - mean) + bias  # The bias, with the gradient of the mean.
    squeeze = factor * (y_mean - mean) + bias
    origin, factor, value = (jnp.broadcast_to(x, squeeze.shape) for x in (origin, factor, value))
    return Normalised(y, origin, factor, value, squeeze)


def batch_normalise(
    y: Float[Array, "n h w c"], gain: Float[Array, " c"], bias: Float[Array, " c"], epsilon: float, group: int | None
) -> tuple[Normalised, Float[Array, "groups c"], Float[Array, "groups c"]]:
    """Returns y normalised by the statistics of each group of successive examples, and their mean and biased variance.

    If `group` is None, the whole batch is one group. If the batch is `divided`, a group that reaches over devices has
    a row for each piece of it in the own part. Raises ValueError if the group does not divide the batch.
    """
    size = group_size(y.shape[0], group)
    y, of_examples = moments(y)
    pivots, offsets, variances = (split(x, group) for x in of_examples)
    pivot, offset, variance = (x[:, 0] for x in combined(pivots, offsets, variances))
    of_groups = over_pieces(pivot, offset, variance, size // pivots.shape[1])
    pivot, offset, variance = (x[:, None] for x in of_groups)
    offsets += pivots - pivot
    mean = pivot + offset
    gain, bias = (at_least_float32(x)[None, None] for x in (gain, bias))
    factor = gain * lax.rsqrt(variance + epsilon)
    # The mean, rounded, as a constant. The value has its difference from the exact mean, and the mean's gradient.
    origin = lax.stop_gradient(mean)
    value = factor * (origin - pivot - offset) + bias
    squeeze = value + factor * (offsets - (origin - pivot))
    line = (jnp.broadcast_to(x, offsets.shape).reshape(-1, x.shape[-1]) for x in (origin, factor, value, squeeze))
    return Normalised(y, *line), mean[:, 0], variance[:, 0]


def activate(activation: Callable[[Array], Array], *terms: Array | Normalised) -> Float[Array, "n h w c"]:
    """Returns the activation of the sum of maps; ReLU is computed in the same pass as the normalisations among them.

    The output has the dtype of the first normalised map.
    """
    lazy = [term for term in terms if isinstance(term, Normalised)]
    maps = [term for term in terms if not isinstance(term, Normalised)]
    if not lazy:
        total = reduce(operator.add, maps)
        return rectified(total) if activation is jax.nn.relu else activation(total)
    terms, shortcut = divided.varying_alike((lazy, reduce(operator.add, maps) if maps else None))
    total: Any = _combine(activation is jax.nn.relu, terms, shortcut)
    return total if activation is jax.nn.relu else activation(total)


def rectified(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """ReLU as a select, which has two operands as large as its output: XLA computes it once on CPUs.

    XLA computes an operation with one such operand, and the sum before it, again for each use.
    """
    return jnp.where(x <= 0, 0, x)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _combine(rectify: bool, terms: list[Normalised], shortcut: Array | None) -> Array:
    lines = [_line(term) for term in terms]
    total = reduce(operator.add, lines if shortcut is None else [*lines, at_least_float32(shortcut)])
    return (rectified(total) if rectify else total).astype(terms[0].y.dtype)


Kept = tuple[list[Normalised], Array | None, Array | None]


def _combine_forward(rectify: bool, terms: list[Normalised], shortcut: Array | None) -> tuple[Array, Kept]:
    """Keeps the dtype of the shortcut, and the output for its sign, unless that follows from a single term."""
    output: Any = _combine(rectify, terms, shortcut)
    if shortcut is None and len(terms) == 1:
        return output, (terms, None, None)
    return output, (terms, None if shortcut is None else shortcut[:0], output if rectify else None)


def _combine_backward(rectify: bool, kept: Kept, gradient: Array) -> tuple[list[Normalised], Array | None]:
    terms, shortcut, output = kept
    terms = [_no_cse(term) for term in terms]
    if rectify:
        sign = _line(terms[0]) if output is None else output
        gradient = jnp.where(sign > 0, gradient, 0)
    g = at_least_float32(gradient)
    of_value = g.sum((1, 2))
    of_terms = [
        Normalised(
            y=(_spread(term.factor) * g).astype(term.y.dtype),
            origin=jnp.zeros_like(term.origin),
            factor=(g * _difference(term.y, term.origin)).sum((1, 2)).astype(term.factor.dtype),
            value=of_value.astype(term.value.dtype),
            squeeze=jnp.zeros_like(term.squeeze),
        )
        for term in terms
    ]
    return of_terms, None if shortcut is None else gradient.astype(shortcut.dtype)


_combine.defvjp(_combine_forward, _combine_backward)


def _no_cse(term: Normalised) -> Normalised:
    y, origin = no_cse(term.y, term.origin)
    return term._replace(y=y, origin=origin)


def _line(term: Normalised) -> Array:
    return _spread(term.factor) * (at_least_float32(term.y) - _spread(term.origin)) + _spread(term.value)


def _difference(y: Array, origin: Array) -> Array:
    """Returns y - origin for a sum over positions.

    The negative origin is added, in no other place: on CPUs, XLA stores a difference that other uses share, instead of
    computing it in the pass of the sum.
    """
    return at_least_float32(y) + _spread(-origin)


def _spread(x: Array) -> Array:
    """Broadcasts over the positions."""
    return x[:, None, None]
