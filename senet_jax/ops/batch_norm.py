"""Batch normalisation (Ioffe and Szegedy, arXiv 1502.03167) with statistics over groups of examples."""

import jax.numpy as jnp
from jax import lax

from senet_jax.typing import Array, Float


def group_moments(
    x: Float[Array, "n h w c"], group: int | None = None
) -> tuple[Float[Array, "groups c"], Float[Array, "groups c"]]:
    """Returns the mean and the biased variance of each channel over each group of `group` successive examples.

    They are computed in float32 at least. If `group` is None, the whole batch is one group. The variance is taken about
    the mean, so that large means do not cancel. Raises ValueError if the group does not divide the batch.
    """
    x = split(x.astype(jnp.promote_types(x.dtype, jnp.float32)), group)
    x = x.reshape(x.shape[0], -1, x.shape[-1])
    mean = x.mean(axis=1)
    return mean, jnp.square(x - mean[:, None]).mean(axis=1)


def split(x: Float[Array, "n ..."], group: int | None) -> Float[Array, "groups size ..."]:
    """Splits the batch into groups of `group` successive examples, or into one group of all if it is None.

    Raises ValueError if the group does not divide the batch.
    """
    n = x.shape[0]
    size = n if group is None else group
    if size < 1 or n % size:
        raise ValueError(f"a statistics group of {size} does not divide the batch of {n} examples")
    return x.reshape(-1, size, *x.shape[1:])


def normalise(
    x: Float[Array, "n h w c"],
    mean: Float[Array, "groups c"],
    variance: Float[Array, "groups c"],
    gain: Float[Array, " c"],
    bias: Float[Array, " c"],
    epsilon: float,
) -> Float[Array, "n h w c"]:
    """Returns gain (x - mean) / sqrt(variance + epsilon) + bias, with the statistics of each group, in x's dtype."""
    factor = gain * lax.rsqrt(variance + epsilon)
    grouped = x.astype(factor.dtype).reshape(mean.shape[0], -1, *x.shape[1:])
    result = (grouped - mean[:, None, None, None]) * factor[:, None, None, None] + bias
    return result.reshape(x.shape).astype(x.dtype)
