"""Normalised maps that are not computed yet, so that what follows the normalisation costs no pass of its own.

Batch normalisation is a line in its input y, and so are a recalibration of it and the sum with a shortcut. `moments` of
y, from which the statistics and the squeeze follow, and one pass in `activate` do for all of them. Of the maps' size
nothing is kept for the gradients but y and the output. Both are differentiable once, in reverse.
"""

import operator
from collections.abc import Callable
from functools import partial, reduce
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from senet_jax.ops.batch_norm import split
from senet_jax.ops.no_cse import no_cse
from senet_jax.typing import Array, Float


class Moments(NamedTuple):
    """Mean and biased variance of each channel of each example over its positions, in float32 at least."""

    pivot: Float[Array, "n c"]
    """The value at some position, a constant to the gradient."""
    offset: Float[Array, "n c"]
    """The mean less the pivot: where means are large, their sum would lose digits."""
    variance: Float[Array, "n c"]


class Normalised(NamedTuple):
    """Stands for the map factor (y - pivot) + value, with a line for each channel of each example."""

    y: Float[Array, "n h w c"]
    pivot: Float[Array, "n c"]
    """A constant to the gradient: the map does not depend on it."""
    factor: Float[Array, "n c"]
    value: Float[Array, "n c"]
    squeeze: Float[Array, "n c"]
    """The mean of the map over its positions (arXiv 1709.01507, equation 2)."""

    def scale(self, gates: Float[Array, "n c"]) -> "Normalised":
        """The map with each channel times its gate (equation 4)."""
        scaled = {name: getattr(self, name) * gates for name in ("factor", "value", "squeeze")}
        return self._replace(**scaled)

    def compute(self) -> Float[Array, "n h w c"]:
        """The map, in the type of y."""
        return activate(lambda total: total, self)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the map."""
        return self.y.shape


@jax.custom_vjp
def moments(y: Float[Array, "n h w c"]) -> tuple[Float[Array, "n h w c"], Moments]:
    """The map itself and its moments.

    What uses both has to use the map given back: then their gradients are added in one pass. The sums are of
    differences from a position in the middle, so that large means do not cancel.
    """
    x = _float32(y)
    pivot = x[:, y.shape[1] // 2, y.shape[2] // 2]
    if x.dtype != y.dtype:  # Digits that such sums lose in float32 a narrower type has not.
        pivot = jnp.zeros_like(pivot)
    offset = (x - _spread(pivot)).mean((1, 2))
    variance = jnp.square(x - _spread(pivot)).mean((1, 2)) - jnp.square(offset)
    return y, Moments(pivot, offset, jnp.maximum(variance, 0))


def _moments_forward(y: Array) -> tuple[tuple[Array, Moments], tuple[Array, Array, Array]]:
    y, result = moments(y)
    return (y, result), (y, result.pivot, result.offset)


def _moments_backward(kept: tuple[Array, Array, Array], gradients: tuple[Array, Moments]) -> tuple[Array]:
    of_y, (_, of_offset, of_variance) = gradients
    y, pivot, offset = no_cse(*kept)
    positions = y.shape[1] * y.shape[2]
    constant, slope = (of_offset - 2 * of_variance * offset) / positions, 2 * of_variance / positions
    own = _spread(slope) * (_float32(y) - _spread(pivot)) + _spread(constant)
    return ((_float32(of_y) + own).astype(y.dtype),)


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
    """Gain (y - mean) / sqrt(variance + epsilon) + bias; `y_mean` is the mean of y over its positions."""
    factor = gain * lax.rsqrt(variance + epsilon)
    squeeze = factor * (y_mean - mean) + bias
    pivot, factor, value = (jnp.broadcast_to(x, squeeze.shape) for x in (mean, factor, bias))
    return Normalised(y, pivot, factor, value, squeeze)


def batch_normalise(
    y: Float[Array, "n h w c"], gain: Float[Array, " c"], bias: Float[Array, " c"], epsilon: float, group: int | None
) -> tuple[Normalised, Float[Array, "groups c"], Float[Array, "groups c"]]:
    """Batch normalisation by the statistics of each group of successive examples, and their mean and biased variance.

    None takes the whole batch as one group. Raises ValueError where the group does not divide the batch.
    """
    y, of_examples = moments(y)
    pivot, offset, variance = (split(x, group) for x in of_examples)
    origin = pivot[:, :1]
    shifted = pivot - origin
    mean = (shifted + offset).mean(1, keepdims=True)
    variance = (variance + jnp.square(shifted + offset - mean)).mean(1, keepdims=True)
    factor = gain * lax.rsqrt(variance + epsilon)
    value = factor * (shifted - mean) + bias
    squeeze = value + factor * offset
    factor, value, squeeze = (
        jnp.broadcast_to(x, offset.shape).reshape(-1, x.shape[-1]) for x in (factor, value, squeeze)
    )
    return Normalised(y, of_examples.pivot, factor, value, squeeze), (origin + mean)[:, 0], variance[:, 0]


def activate(activation: Callable[[Array], Array], *terms: Array | Normalised) -> Float[Array, "n h w c"]:
    """The activation of the sum of maps, in one pass with all normalisations among them where it is relu.

    The output has the type of the first normalised map.
    """
    lazy = [term for term in terms if isinstance(term, Normalised)]
    maps = [term for term in terms if not isinstance(term, Normalised)]
    if not lazy:
        return activation(reduce(operator.add, maps))
    total: Any = _combine(activation is jax.nn.relu, lazy, reduce(operator.add, maps) if maps else None)
    return total if activation is jax.nn.relu else activation(total)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _combine(rectify: bool, terms: list[Normalised], shortcut: Array | None) -> Array:
    lines = [_line(term) for term in terms]
    total = reduce(operator.add, lines if shortcut is None else [*lines, _float32(shortcut)])
    return (jnp.maximum(total, 0) if rectify else total).astype(terms[0].y.dtype)


Kept = tuple[list[Normalised], Array | None, Array | None]


def _combine_forward(rectify: bool, terms: list[Normalised], shortcut: Array | None) -> tuple[Array, Kept]:
    """Of the shortcut only its type is kept, and the output's sign only where it is not that of one line alone."""
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
    g = _float32(gradient)
    of_value = g.sum((1, 2))
    of_terms = [
        Normalised(
            y=(_spread(term.factor) * g).astype(term.y.dtype),
            pivot=jnp.zeros_like(term.pivot),
            factor=(g * (_float32(term.y) - _spread(term.pivot))).sum((1, 2)).astype(term.factor.dtype),
            value=of_value.astype(term.value.dtype),
            squeeze=jnp.zeros_like(term.squeeze),
        )
        for term in terms
    ]
    return of_terms, None if shortcut is None else gradient.astype(shortcut.dtype)


_combine.defvjp(_combine_forward, _combine_backward)


def _no_cse(term: Normalised) -> Normalised:
    y, pivot = no_cse(term.y, term.pivot)
    return term._replace(y=y, pivot=pivot)


def _line(term: Normalised) -> Array:
    return _spread(term.factor) * (_float32(term.y) - _spread(term.pivot)) + _spread(term.value)


def _spread(x: Array) -> Array:
    """Over the positions."""
    return x[:, None, None]


def _float32(x: Array) -> Array:
    """Float32, or float64 where x has it."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))
