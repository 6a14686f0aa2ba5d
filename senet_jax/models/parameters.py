"""Numbers of parameters."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from senet_jax.modules.conv import with_xla_convolutions


def abstract_variables(model: nn.Module, images: jax.ShapeDtypeStruct, **arguments: Any) -> dict[str, Any]:
    """Returns the variables of `model.init(key, images, **arguments)` as shapes and dtypes alone."""
    plain = with_xla_convolutions(model)
    return jax.eval_shape(lambda x: plain.init(jax.random.key(0), x, **arguments), images)


def count_parameters(model: nn.Module, image_size: int, channels: int = 3) -> int:
    """Returns the number of trainable parameters, without running statistics, from shapes alone."""
    return _count(model, "params", image_size, channels)


def count_statistics(model: nn.Module, image_size: int, channels: int = 3) -> int:
    """Returns the number of running means and variances, from shapes alone."""
    return _count(model, "batch_stats", image_size, channels)


def _count(model: nn.Module, collection: str, image_size: int, channels: int) -> int:
    images = jax.ShapeDtypeStruct((1, image_size, image_size, channels), jnp.float32)
    variables = abstract_variables(model, images, train=False)
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(variables[collection]))
