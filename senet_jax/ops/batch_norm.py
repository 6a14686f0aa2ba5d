"""Batch normalisation (Ioffe and Szegedy, arXiv 1502.03167) with statistics over groups of examples."""

import math

import jax.numpy as jnp
from jax import lax

from senet_jax.ops import divided
from senet_jax.ops.precision import at_least_float32
from senet_jax.typing import Array, Float


def group_moments(
    x: Float[Array, "n h w c"], group: int | None = None
) -> tuple[Float[Array, "groups c"], Float[Array, "groups c"]]:
    """Returns the mean and the biased variance of each channel over each group of `group` successive examples.

    They are computed in float32 at least. If `group` is None, the whole batch is one group. The variance is taken about
    the mean, so that large means do not cancel. Raises ValueError if the group does not divide the batch.

    If the batch is `divided`, a group that reaches over devices has a row for each piece of it in the own part.
    """
    size = group_size(x.shape[0], group)
    x = split(at_least_float32(x), group)
    number = size // x.shape[1]
    x = x.reshape(x.shape[0], -1, x.shape[-1])
    mean = x.mean(axis=1)
    variance = jnp.square(x - mean[:, None]).mean(axis=1)
    pivot, offset, variance = over_pieces(mean, jnp.zeros_like(mean), variance, number)
    return pivot + offset, variance


def group_size(n: int, group: int | None) -> int:
    """Returns the number of examples in a group, of whose batch n are in this part; None: all of the batch.

    Raises ValueError if the group does not divide the batch.
    """
    batch = n * divided.parts()
    size = batch if group is None else group
    if size < 1 or batch % size:
        raise ValueError(f"a statistics group of {size} does not divide the batch of {batch} examples")
    return size


def split(x: Float[Array, "n ..."], group: int | None) -> Float[Array, "groups size ..."]:
    """Splits the batch into groups of `group` successive examples, or into one group of all if it is None.

    If the batch is `divided`, the own part is split into pieces of which the groups of the whole batch are made. Raises
    ValueError if the group does not divide the batch.
    """
    return x.reshape(-1, math.gcd(x.shape[0], group_size(x.shape[0], group)), *x.shape[1:])


def combined(
    pivots: Float[Array, "groups k c"], offsets: Float[Array, "groups k c"], variances: Float[Array, "groups k c"]
) -> tuple[Float[Array, "groups 1 c"], Float[Array, "groups 1 c"], Float[Array, "groups 1 c"]]:
    """Returns pivot, mean minus pivot and biased variance of each group, from those of its k members of equal size.

    The sum of a pivot and an offset would lose digits if means are large.
    """
    pivot = pivots[:, :1]
    offsets += pivots - pivot
    offset = offsets.mean(1, keepdims=True)
    return pivot, offset, (variances + jnp.square(offsets - offset)).mean(1, keepdims=True)


def over_pieces(
    pivot: Float[Array, "pieces c"], offset: Float[Array, "pieces c"], variance: Float[Array, "pieces c"], number: int
) -> tuple[Float[Array, "pieces c"], Float[Array, "pieces c"], Float[Array, "pieces c"]]:
    """Returns pivot, mean minus pivot and variance of the group to which each piece of the own part belongs.

    `number` is that of the pieces of a group, successive ones of the whole batch; 1: the piece is the group.
    """
    if number == 1:
        return pivot, offset, variance
    channels = pivot.shape[-1]
    of_pieces = (divided.whole(x).reshape(-1, number, channels) for x in (pivot, offset, variance))
    rows = (jnp.repeat(x[:, 0], number, axis=0) for x in combined(*of_pieces))
    pivot, offset, variance = (divided.own(x) for x in rows)
    return pivot, offset, variance


def normalise(
    x: Float[Array, "n h w c"],
    mean: Float[Array, "groups c"],
    variance: Float[Array, "groups c"],
    gain: Float[Array, " c"],
    bias: Float[Array, " c"],
    epsilon: float,
) -> Float[Array, "n h w c"]:
    """Returns gain (x - mean) / sqrt(variance + epsilon) + bias, with the statistics of each group, in x's dtype.

    It is computed in float32 at least, whatever the dtypes.
    """
    mean, variance, gain, bias = map(at_least_float32, (mean, variance, gain[None], bias[None]))
    factor = gain * lax.rsqrt(variance + epsilon)
    grouped = at_least_float32(x).reshape(mean.shape[0], -1, *x.shape[1:])
    mean, factor, bias = (line[:, None, None, None] for line in (mean, factor, bias))
    result = (grouped - mean) * factor + bias
    return result.reshape(x.shape).astype(x.dtype)
