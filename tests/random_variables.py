"""Variables of a network without the time that its initialisation takes to compile."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax.traverse_util import path_aware_map


def random_variables(model: nn.Module, images: jax.Array) -> Any:
    """As `model.init` gives them, with other numbers: about 1 where they scale or are variances, else about 0."""
    random = np.random.default_rng(0)

    def numbers(path: tuple[str, ...], leaf: jax.ShapeDtypeStruct) -> jax.Array:
        centre = 1.0 if path[-1] in ("scale", "var") else 0.0
        return jnp.asarray(random.uniform(centre - 0.3, centre + 0.3, leaf.shape), leaf.dtype)

    return path_aware_map(numbers, jax.eval_shape(partial(model.init, train=False), jax.random.key(0), images))
