"""How large a network is."""

import math

import jax
import jax.numpy as jnp
from flax import linen as nn


def count_parameters(model: nn.Module, image_size: int, channels: int = 3) -> int:
    """Trainable parameters, counted from shapes alone; running statistics are not among them."""
    images = jax.ShapeDtypeStruct((1, image_size, image_size, channels), jnp.float32)
    variables = jax.eval_shape(lambda key, x: model.init(key, x, train=False), jax.random.key(0), images)
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(variables["params"]))
