"""Variables of a network without the time that its initialisation takes to compile."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax.traverse_util import path_aware_map


def random_variables(model: nn.Module, images: jax.Array) -> Any:
    """Returns variables like those of `model.init`, random: about 1 for scales and variances, else about 0."""
    random = np.random.default_rng(0)
    return _variables(model, images, lambda name, shape: _centre(name) + random.uniform(-0.3, 0.3, shape))


def initial_variables(model: nn.Module, images: jax.Array) -> Any:
    """Returns variables like those of `model.init`: random kernels of unit gain, scales and variances of 1, else 0."""
    random = np.random.default_rng(0)

    def numbers(name: str, shape: tuple[int, ...]) -> Any:
        if name == "kernel":
            return random.normal(0, math.sqrt(2 / math.prod(shape[:-1])), shape)
        return np.full(shape, _centre(name))

    return _variables(model, images, numbers)


def _centre(name: str) -> float:
    return 1.0 if name in ("scale", "var") else 0.0


def _variables(model: nn.Module, images: jax.Array, numbers: Callable[[str, tuple[int, ...]], Any]) -> Any:
    shapes = jax.eval_shape(partial(model.init, train=False), jax.random.key(0), images)
    return path_aware_map(lambda path, leaf: jnp.asarray(numbers(path[-1], leaf.shape), leaf.dtype), shapes)
