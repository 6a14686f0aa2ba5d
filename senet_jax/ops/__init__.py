"""Pure functions of arrays, on jax alone: the mathematics of the networks."""

from senet_jax.ops.batch_norm import group_moments, normalise
from senet_jax.ops.squeeze_excite import excite, scale, squeeze

__all__ = ["excite", "group_moments", "normalise", "scale", "squeeze"]
