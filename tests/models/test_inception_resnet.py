import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax.traverse_util import flatten_dict
from models.trees import shapes
from random_variables import initial_variables, random_variables

from senet_jax.models.inception_resnet import InceptionResidualBlock, InceptionResNetV2, Mixed
from senet_jax.modules import BatchNorm, SqueezeExcite

small = partial(InceptionResNetV2, num_classes=5, stage_sizes=(1, 1, 2))


def evaluate(network, shape, **arguments):
    return shapes(network, shape, **arguments)[0]


@pytest.mark.slow
def test_attention_on_the_shortcut_has_as_many_channels_as_on_the_branch():
    standard, identity = (small(attention=SqueezeExcite, placement=place) for place in ("standard", "identity"))
    assert shapes(standard, (1, 75, 75, 3))[1] == shapes(identity, (1, 75, 75, 3))[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "sizes"),
    [(299, {2: 147, 4: 71, 8: 35, 16: 17, 32: 8}), (330, {2: 162, 4: 78, 8: 38, 16: 18, 32: 8})],
)
def test_maps_at_strides(size, sizes):
    maps = evaluate(InceptionResNetV2(), (1, size, size, 3), features=sizes)
    channels = {2: 64, 4: 192, 8: 320, 16: 1088, 32: 1536}
    assert {stride: maps[stride].shape for stride in maps} == {s: (1, sizes[s], sizes[s], channels[s]) for s in sizes}


def test_the_mean_does_not_count_the_zeros_of_the_padding():
    module = Mixed(branches=(((1, 1),),), projection=1)
    x = jnp.ones((1, 3, 3, 1))
    variables = initial_variables(module, x)
    variables["params"]["branch1_conv1"]["conv"]["kernel"] = jnp.ones((1, 1, 1, 1))
    np.testing.assert_allclose(jax.jit(partial(module.apply, train=False))(variables, x)[0, :, :, 1], 1, rtol=1e-4)


@pytest.mark.slow
def test_the_branch_is_scaled_after_its_attention():
    class Square(nn.Module):
        def __call__(self, x):
            return x**2

    x = jax.random.normal(jax.random.key(1), (2, 5, 5, 3))

    def added(scale):
        block = InceptionResidualBlock(
            width=3,
            branches=(((4, 1),), ((4, 1), (2, (1, 3)))),
            scale=scale,
            activated=False,
            attention=lambda name: Square(name=name),
        )
        return jax.jit(partial(block.init_with_output, train=False))(jax.random.key(0), x)[0] - x

    np.testing.assert_allclose(added(0.5), 2 * added(0.25), rtol=1e-4, atol=1e-5)
    assert (added(0.5) > -1e-5).all()


def test_the_epsilon_stays_if_the_normalisation_is_injected():
    norm = InceptionResNetV2(norm=partial(BatchNorm, group=2)).layers()["norm"](parent=None)
    assert (norm.group, norm.epsilon) == (2, 1e-3)


@pytest.mark.slow
def test_training_and_inference():
    network = small(attention=SqueezeExcite, attention_stages=(5, 7), drop_path=0.5)
    images = jax.random.normal(jax.random.key(1), (2, 75, 75, 1))
    variables = random_variables(network, images)
    with_se = [name for name, block in variables["params"].items() if "se" in block]
    assert with_se == ["block35_1", "block8_1", "block8_2"]
    wanted = re.compile("block|mixed|linear|se$")
    keep = {"capture_intermediates": lambda module, method: method == "__call__" and wanted.match(module.name or "")}

    @partial(jax.jit, static_argnames="train")
    def apply(variables, seed, train):
        rngs = {"dropout": jax.random.key(seed)}
        return network.apply(
            variables, images, train=train, mutable=["batch_stats", "intermediates"], rngs=rngs, **keep
        )

    logits, captured = apply(variables, 0, train=False)
    assert logits.shape == (2, 5)
    maps = {"/".join(path[:-1]): value[0] for path, value in flatten_dict(captured["intermediates"]).items()}
    blocks = {"block35_1": ("mixed_5b", 0.17), "block17_1": ("mixed_6a", 0.1), "block8_1": ("mixed_7a", 0.2)}
    for block, (before, scale) in blocks.items():
        residual = maps[f"{block}/{'se' if block in with_se else 'linear'}"]
        np.testing.assert_allclose(maps[block], nn.relu(maps[before] + scale * residual), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(maps["block8_2"], maps["block8_1"] + maps["block8_2/se"], rtol=1e-5, atol=1e-6)
    logits, updated = apply(variables, 0, train=True)
    same = jax.tree.map(np.array_equal, variables["batch_stats"], updated["batch_stats"])
    assert not any(jax.tree.leaves(same))
    assert (logits != apply(variables, 1, train=True)[0]).any()


def test_invalid_fields_raise():
    with pytest.raises(ValueError, match="images are 75x74; Inception-ResNet-v2 takes at least 75x75 pixels"):
        evaluate(small(), (1, 75, 74, 3))
    with pytest.raises(ValueError, match="placement is 'inner'; it must be one of standard, pre, post, identity"):
        evaluate(small(placement="inner"), (1, 75, 75, 3))
    with pytest.raises(ValueError, match="attention_stages has 4; the stages of this network are 5, 6, 7"):
        small(attention_stages=(4,))
