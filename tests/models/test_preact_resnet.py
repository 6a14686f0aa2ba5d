from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_variables import random_variables

from senet_jax import SqueezeExcite
from senet_jax.models.preact_resnet import PreActivationResNet
from senet_jax.modules.pre_activation import PreActivationBasicBlock, PreActivationBottleneck

small = partial(PreActivationResNet, num_classes=5, stage_sizes=(1, 2), widths=(16, 8), block=PreActivationBasicBlock)


def test_maps_at_every_stride_and_the_last_is_activated():
    model = small(num_classes=0)
    images = jax.random.normal(jax.random.key(1), (2, 15, 18, 3))
    variables = random_variables(model, images)
    maps = jax.jit(partial(model.apply, train=False, features=(1, 2)))(variables, images)
    assert {stride: x.shape for stride, x in maps.items()} == {1: (2, 15, 18, 16), 2: (2, 8, 9, 8)}
    assert maps[1].min() < 0 <= maps[2].min()
    pooled = jax.jit(partial(model.apply, train=False))(variables, images)
    np.testing.assert_allclose(pooled, maps[2].mean((1, 2)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("block", [PreActivationBasicBlock, PreActivationBottleneck])
def test_the_first_activation_comes_before_the_paths_part(block):
    """And so, where it is 0 everywhere, the images do not matter."""
    model = small(stage_sizes=(1, 1), block=block)
    images = jax.random.normal(jax.random.key(1), (2, 8, 8, 3))
    variables = random_variables(model, images)
    variables["params"]["stage2_block1"]["norm1"] = {"scale": jnp.zeros(16), "bias": jnp.full(16, -1.0)}
    logits = jax.jit(partial(model.apply, train=False))(variables, images)
    np.testing.assert_array_equal(logits[0], logits[1])


@pytest.mark.slow
@pytest.mark.parametrize("attention", [None, SqueezeExcite])
def test_training_and_inference(attention):
    model = small(attention=attention, drop_path=0.5, block_dropout=0.3)
    images = jax.random.normal(jax.random.key(1), (4, 16, 18, 1))
    variables = random_variables(model, images)
    assert jax.jit(partial(model.apply, train=False))(variables, images).shape == (4, 5)
    train = jax.jit(partial(model.apply, train=True, mutable=["batch_stats"]))
    (first, updated), (second, _) = (train(variables, images, rngs={"dropout": jax.random.key(i)}) for i in (2, 3))
    same = jax.tree.map(np.array_equal, variables["batch_stats"], updated["batch_stats"])
    assert not any(jax.tree.leaves(same))
    assert (first != second).any()
    assert ("se" in variables["params"]["stage3_block2"]) is (attention is not None)
