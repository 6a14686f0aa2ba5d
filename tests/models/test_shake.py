from functools import partial

import jax
import numpy as np
import pytest
from random_variables import random_variables

from senet_jax import SqueezeExcite
from senet_jax.models.shake import NETWORKS
from senet_jax.modules.shake import ShakeBasicBlock


@pytest.mark.slow
@pytest.mark.parametrize("name", ["shake26_2x32d_cifar", "shake29_2x4x64d_cifar"])
def test_training_and_inference(name):
    model = NETWORKS[name](num_classes=5, stage_sizes=(1, 1), widths=(4, 8), attention=SqueezeExcite)
    images = jax.random.normal(jax.random.key(1), (4, 9, 10, 3))
    variables = random_variables(model, images)
    maps = jax.jit(partial(model.apply, train=False, features=(1, 2)))(variables, images)
    assert maps[1].shape[:3] == (4, 9, 10)
    assert maps[2].shape[:3] == (4, 5, 5)
    assert maps[2].min() >= 0
    train = jax.jit(partial(model.apply, train=True, mutable=["batch_stats"]))
    (first, updated), (second, _) = (train(variables, images, rngs={"dropout": jax.random.key(i)}) for i in (2, 3))
    same = jax.tree.map(np.array_equal, variables["batch_stats"], updated["batch_stats"])
    assert not any(jax.tree.leaves(same))
    assert (first != second).all()


def test_the_gradient_is_even_in_the_network_for_cifar100_alone():
    assert NETWORKS["shake29_2x4x64d_cifar"]().block.keywords == {"even_backward": True}
    assert NETWORKS["shake26_2x96d_cifar"]().block is ShakeBasicBlock
    assert not ShakeBasicBlock.even_backward
