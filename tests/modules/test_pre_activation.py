from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from random_variables import initial_variables

from senet_jax.modules.pre_activation import PreActivationBasicBlock, PreActivationBottleneck

X = jax.random.normal(jax.random.key(0), (2, 7, 6, 8)) - 0.5
ACTIVATED = nn.relu(X / np.sqrt(1 + 1e-5))
BLOCKS = [PreActivationBasicBlock(8), PreActivationBottleneck(2)]


class Times(nn.Module):
    factor: float

    def __call__(self, x):
        return self.factor * x


def run(block, factor=None, x=X, **fields):
    """The block's output, and the outputs of its layers; its attention multiplies by the factor."""
    attention = None if factor is None else lambda name: Times(factor, name=name)
    block = block.clone(attention=attention, **fields)
    variables = initial_variables(block, x)
    y, captured = jax.jit(partial(block.apply, train=False, capture_intermediates=True))(variables, x)
    return y, {name: value["__call__"][0] for name, value in captured["intermediates"].items() if name != "__call__"}


@pytest.mark.parametrize("block", BLOCKS)
def test_nothing_follows_the_sum_of_the_input_and_the_branch(block):
    y, layers = run(block)
    last = layers["conv2" if isinstance(block, PreActivationBasicBlock) else "conv3"]
    np.testing.assert_array_equal(y, X + last)
    assert "shortcut_conv" not in layers
    assert (y < 0).any()


@pytest.mark.parametrize("block", BLOCKS)
def test_a_projection_takes_the_activated_input_and_has_no_normalisation(block):
    y, layers = run(block, stride=2)
    kernel = initial_variables(block.clone(stride=2), X)["params"]["shortcut_conv"]["kernel"][0, 0]
    np.testing.assert_allclose(layers["shortcut_conv"], ACTIVATED[:, ::2, ::2] @ kernel, rtol=1e-4, atol=1e-5)
    assert y.shape == (2, 4, 3, 8)
    assert "shortcut_norm" not in layers


def test_the_first_block_of_a_network_adds_to_the_activated_input():
    y, layers = run(BLOCKS[0], first=True)
    np.testing.assert_allclose(y, ACTIVATED + layers["conv2"], atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("block", BLOCKS)
def test_places_of_the_attention(block):
    plain, layers = run(block)
    last = layers["conv2" if isinstance(block, PreActivationBasicBlock) else "conv3"]
    np.testing.assert_allclose(run(block, 3.0)[0], X + 3 * last, atol=1e-5)
    np.testing.assert_allclose(run(block, 3.0, placement="post")[0], 3 * plain, atol=1e-5)
    np.testing.assert_allclose(run(block, 3.0, placement="identity")[0], 3 * X + last, atol=1e-5)
    # All between the first activation and the sum is homogeneous, as the running means are 0 and the biases too.
    np.testing.assert_allclose(run(block, 3.0, placement="pre")[0], X + 3 * last, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(run(block, 3.0, placement="inner")[0], X + 3 * last, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(run(block, 3.0, placement="pre")[1]["conv1"], 3 * layers["conv1"], rtol=1e-4, atol=1e-5)
    middle = "conv1" if isinstance(block, PreActivationBasicBlock) else "conv2"
    np.testing.assert_array_equal(run(block, 3.0, placement="inner")[1][middle], layers[middle])


def test_dropout_between_the_convolutions_is_of_training_alone():
    block = PreActivationBasicBlock(8, dropout=0.5)
    variables = initial_variables(block, X)

    @jax.jit
    def train(seed):
        rngs = {"dropout": jax.random.key(seed)}
        return block.apply(variables, X, train=True, mutable=["batch_stats"], rngs=rngs)[0]

    assert (train(0) != train(1)).any()
    np.testing.assert_allclose(block.apply(variables, X, train=False), run(BLOCKS[0])[0], rtol=1e-5, atol=1e-6)
    assert jnp.isfinite(train(0)).all()
