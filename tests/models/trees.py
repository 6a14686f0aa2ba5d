"""Parameter trees of the registered networks, as shapes."""

import functools
import math

import jax
import jax.numpy as jnp

from senet_jax.analysis.parameters import abstract_variables
from senet_jax.models import create_model, native


@functools.cache
def tree(name, num_classes=None, **fields):
    """The variables of a network, as shapes and types."""
    size = native(name)[1]
    images = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    return abstract_variables(create_model(name, num_classes, **fields), images, train=False)


def count(tree):
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))
