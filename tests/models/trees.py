"""Parameter trees of the registered networks, as shapes."""

import functools
import json
import math
from pathlib import Path
from unittest import mock

import jax
import jax.numpy as jnp
from flax import linen as nn

from senet_jax.models import create_model, default_input
from senet_jax.models.parameters import abstract_variables
from senet_jax.modules.conv import with_xla_convolutions

GOLDEN = Path(__file__).parent / "golden"


@functools.cache
def tree(name, num_classes=None, **fields):
    """The variables of a network, as shapes and types.

    Random initial values, which nobody sees, would take a quarter of the time.
    """
    size = default_input(name)[1]
    images = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    with mock.patch.object(nn.initializers, "he_normal", return_value=nn.initializers.zeros):
        return abstract_variables(create_model(name, num_classes, **fields), images, train=False)


def count(tree):
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


def golden(name):
    """Parameters in the golden file of a network, by path; test_golden compares the file with the network."""
    lines = (GOLDEN / f"{name}.txt").read_text().splitlines()
    rows = [line.removeprefix("params/").split(" float32") for line in lines if line.startswith("params/")]
    return {tuple(path.split("/")): jax.ShapeDtypeStruct(json.loads(shape), jnp.float32) for path, shape in rows}


def shapes(model, image_shape, **arguments):
    """Returns the output for images of that shape, and the variables, as shapes and dtypes."""
    init = functools.partial(with_xla_convolutions(model).init_with_output, jax.random.key(0), train=False, **arguments)
    return jax.eval_shape(init, jax.ShapeDtypeStruct(image_shape, jnp.float32))
