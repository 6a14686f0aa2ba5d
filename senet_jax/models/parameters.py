"""Numbers of parameters."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from senet_jax.modules.conv import with_xla_convolutions


def abstract_variables(model: nn.Module, images: jax.ShapeDtypeStruct, **arguments: Any) -> dict[str, Any]:
    """Returns the variables of `model.init(key, images, **arguments)` as shapes and dtypes alone."""
    plain = with_xla_convolutions(model)
    return jax.eval_shape(lambda x: plain.init(jax.random.key(0), x, **arguments), images)


def count_parameters(model: nn.Module, image_size: int, channels: int = 3, collection: str = "params") -> int:
    """Returns the number of trainable parameters, or of the values of another collection, from shapes alone."""
    images = jax.ShapeDtypeStruct((1, image_size, image_size, channels), jnp.float32)
    variables = abstract_variables(model, images, train=False)
    return sum(leaf.size for leaf in jax.tree.leaves(variables[collection]))
