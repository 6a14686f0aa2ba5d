"""Pure functions of arrays, on jax alone: the mathematics of the networks."""

from senet_jax.ops.batch_norm import group_moments, normalise
from senet_jax.ops.squeeze_excite import (
    ACTIVATIONS,
    GATES,
    SQUEEZES,
    enlarge,
    excite,
    gather,
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
    "enlarge",
    "excite",
    "gather",
    "group_moments",
    "normalise",
    "scale",
    "squeeze",
    "squeeze_both",
    "squeeze_max",
    "squeeze_none",
]
