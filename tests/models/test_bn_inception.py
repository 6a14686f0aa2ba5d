from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from models.trees import shapes
from random_variables import initial_variables, random_variables

from senet_jax.models.bn_inception import NETWORKS, Inception
from senet_jax.models.parameters import abstract_variables
from senet_jax.modules import SqueezeExcite


@pytest.mark.parametrize(("stages", "modules"), [(None, "3a 3b 3c 4a 4b 4c 4d 4e 5a 5b"), ((3, 5), "3a 3b 3c 5a 5b")])
def test_attention_stands_on_every_concatenation_of_its_stages(stages, modules):
    network = NETWORKS["bn_inception"](attention=SqueezeExcite, attention_stages=stages)
    images = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
    paths = flatten_dict(abstract_variables(network, images, train=False)["params"])
    assert [path[0] for path in sorted(paths) if path[1:] == ("se", "reduce", "kernel")] == [
        f"inception_{module}" for module in modules.split()
    ]


@pytest.mark.parametrize(
    ("size", "sizes"), [(224, {2: 112, 4: 56, 8: 28, 16: 14, 32: 7}), (232, {2: 116, 4: 58, 8: 29, 16: 15, 32: 8})]
)
def test_maps_at_strides(size, sizes):
    maps, _ = shapes(NETWORKS["bn_inception"](), (1, size, size, 3), features=tuple(sizes))
    channels = {2: 64, 4: 192, 8: 320, 16: 608, 32: 1024}
    assert {stride: maps[stride].shape for stride in maps} == {s: (1, sizes[s], sizes[s], channels[s]) for s in sizes}


def test_the_mean_counts_the_zeros_of_the_padding():
    module = Inception((1, 1, 1, 1, 1, 1))
    x = jnp.ones((1, 3, 3, 1))
    variables = initial_variables(module, x)
    variables["params"]["pool_proj"]["conv"]["kernel"] = jnp.ones((1, 1, 1, 1))
    pooled = jax.jit(partial(module.apply, train=False))(variables, x)[0, :, :, 3]
    np.testing.assert_allclose(pooled, np.array([[4, 6, 4], [6, 9, 6], [4, 6, 4]]) / 9, rtol=1e-4)


@pytest.mark.slow
def test_training_and_inference_of_the_least_images():
    widths = {"4e": (0, 8, 8, 8, 8, 0), "5a": (8,) * 6, "5b": (8,) * 6}
    network = NETWORKS["bn_inception"](num_classes=5, attention=SqueezeExcite, widths=widths)
    images = jax.random.normal(jax.random.key(1), (2, 7, 7, 3))
    variables = random_variables(network, images)
    keep = {"capture_intermediates": lambda module, _: module.name in {"inception_4e", "inception_5a", "conv"}}

    @partial(jax.jit, static_argnames="train")
    def apply(variables, train):
        return network.apply(variables, images, train=train, mutable=["batch_stats", "intermediates"], **keep)

    logits, captured = apply(variables, train=False)
    assert logits.shape == (2, 5)
    maps = {"/".join(path[:-1]): value[0] for path, value in flatten_dict(captured["intermediates"]).items()}
    # The map is 1x1: the mean of its window is a ninth of it, the maximum all of it.
    for module, before, share in (("inception_5a", "inception_4e", 1 / 9), ("inception_5b", "inception_5a", 1)):
        kernel = variables["params"][module]["pool_proj"]["conv"]["kernel"][0, 0]
        np.testing.assert_allclose(maps[f"{module}/pool_proj/conv"], share * maps[before] @ kernel, rtol=1e-4)
    _, updated = apply(variables, train=True)
    same = jax.tree.map(np.array_equal, variables["batch_stats"], updated["batch_stats"])
    assert not any(jax.tree.leaves(same))


def test_images_that_are_too_small_are_an_error():
    with pytest.raises(ValueError, match="images are 6x9; BN-Inception takes at least 7x7 pixels"):
        NETWORKS["bn_inception"]().init(jax.random.key(0), jnp.zeros((1, 6, 9, 3)), train=False)
