from functools import partial

import jax
import numpy as np
import pytest
from random_variables import random_variables

from senet_jax import SqueezeExcite
from senet_jax.models.parameters import count_parameters
from senet_jax.models.shake import NETWORKS
from senet_jax.modules.shake import ShakeBasicBlock

PARAMETERS = {
    ("shake26_2x32d_cifar", 10): 2_923_162,
    ("shake26_2x96d_cifar", 10): 26_192_922,
    ("shake29_2x4x64d_cifar", 10): 34_437_450,
    ("shake29_2x4x64d_cifar", 100): 34_529_700,
}
"""Parameters by name and classes; the first are those of imgclsmob, the others 26.2 and 34.4 million in the paper."""


@pytest.mark.parametrize(("name", "classes"), PARAMETERS)
def test_parameters_are_exact(name, classes):
    assert count_parameters(NETWORKS[name](num_classes=classes), 32) == PARAMETERS[name, classes]


@pytest.mark.parametrize(("use_bias", "added"), [(False, 96_768), (True, 99_624)])
def test_parameters_of_squeeze_and_excitation(use_bias, added):
    network = NETWORKS["shake26_2x96d_cifar"](num_classes=10, attention=partial(SqueezeExcite, use_bias=use_bias))
    assert count_parameters(network, 32) == 26_192_922 + added


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
