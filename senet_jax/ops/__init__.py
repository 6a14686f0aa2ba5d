"""Pure functions of arrays, on jax alone: the mathematics of the networks."""

from senet_jax.ops.batch_norm import group_moments, group_size, normalise
from senet_jax.ops.convolution import convolution
from senet_jax.ops.lazy_norm import Normalised, activate, batch_normalise, moments, normalise_lazily
from senet_jax.ops.pooling import max_pool
from senet_jax.ops.squeeze_excite import (
    ACTIVATIONS,
    GATES,
    SQUEEZES,
    enlarge,
    excite,
    gather,
    largest,
    scale,
    squeeze,
    squeeze_both,
    squeeze_max,
    squeeze_none,
)

__all__ = [
    "ACTIVATIONS",
    "GATES",
    "SQUEEZES",
    "Normalised",
    "activate",
    "batch_normalise",
    "convolution",
    "enlarge",
    "excite",
    "gather",
    "group_moments",
    "group_size",
    "largest",
    "max_pool",
    "moments",
    "normalise",
    "normalise_lazily",
    "scale",
    "squeeze",
    "squeeze_both",
    "squeeze_max",
    "squeeze_none",
]
