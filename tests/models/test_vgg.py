from functools import partial

import jax
import numpy as np
import pytest
from flax import linen as nn
from models.trees import shapes
from random_variables import random_variables

from senet_jax.models.vgg import NETWORKS, VGG, VGGLayer
from senet_jax.modules import SqueezeExcite

small = partial(VGG, num_classes=5, stage_sizes=(1, 2), widths=(8, 16), dense_width=32)


def evaluate(network, shape, **arguments):
    return shapes(network, shape, **arguments)[0]


def test_maps_at_strides():
    maps = evaluate(NETWORKS["vgg16"](), (1, 230, 301, 3), features=(1, 2, 4, 8, 16, 32))
    assert {stride: maps[stride].shape[1:] for stride in maps} == {
        1: (230, 301, 64),
        2: (115, 150, 128),
        4: (57, 75, 256),
        8: (28, 37, 512),
        16: (14, 18, 512),
        32: (7, 9, 512),
    }


def test_pooled_features_are_the_output_of_the_second_dense_layer():
    assert evaluate(NETWORKS["vgg16"](num_classes=0), (2, 260, 224, 3)).shape == (2, 4096)


def test_attention_stands_after_the_activation():
    class Negate(nn.Module):
        def __call__(self, x):
            return -x

    x = jax.random.normal(jax.random.key(1), (2, 5, 5, 3))
    y, negated = (
        jax.jit(partial(layer.init_with_output, train=False))(jax.random.key(0), x)[0]
        for layer in (VGGLayer(4, 3), VGGLayer(4, 3, attention=lambda name: Negate(name=name)))
    )
    assert (y >= 0).all()
    assert (negated == -y).all()


@pytest.mark.parametrize("attention", [None, SqueezeExcite])
def test_training_and_inference(attention):
    network = small(attention=attention, attention_stages=(2,))
    images = jax.random.normal(jax.random.key(1), (4, 33, 28, 1))
    variables = random_variables(network, images)
    assert jax.jit(partial(network.apply, train=False))(variables, images).shape == (4, 5)
    assert [name for name, layer in variables["params"].items() if "se" in layer] == (
        ["conv2_1", "conv2_2"] if attention else []
    )

    @jax.jit
    def train(variables, seed):
        rngs = {"dropout": jax.random.key(seed)}
        return network.apply(variables, images, train=True, mutable=["batch_stats"], rngs=rngs)

    (first, updated), (second, _) = train(variables, 0), train(variables, 1)
    assert (first != second).any()
    same = jax.tree.map(np.array_equal, variables["batch_stats"], updated["batch_stats"])
    assert not any(jax.tree.leaves(same))


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ((27, 64), "the last map is 6x16.* at least 7x7: give images of at least 28x28 pixels"),
        ((3, 64), "images are 3x64; VGG takes at least 4x4 pixels"),
    ],
)
def test_images_that_are_too_small_are_an_error(size, message):
    with pytest.raises(ValueError, match=message):
        evaluate(small(), (1, *size, 3))
