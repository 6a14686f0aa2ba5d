from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from models.trees import shapes
from random_variables import random_variables

from senet_jax import SqueezeExcite
from senet_jax.models.mobilenet import NETWORKS, MobileNet
from senet_jax.models.parameters import count_parameters

small = partial(MobileNet, num_classes=5, stage_sizes=(1, 2, 1, 2), widths=(8, 8, 16, 16))


def test_parameters_of_a_wider_network():
    assert count_parameters(NETWORKS["mobilenet"](width_multiplier=1.25), 224) == 6_270_840  # As in timm.


@pytest.mark.parametrize(
    ("output_stride", "expected"),
    [
        (32, {2: (49, 66, 64), 4: (25, 33, 128), 8: (13, 17, 256), 16: (7, 9, 512), 32: (4, 5, 1024)}),
        (16, {2: (49, 66, 64), 4: (25, 33, 128), 8: (13, 17, 256), 16: (7, 9, 1024)}),
        (8, {2: (49, 66, 64), 4: (25, 33, 128), 8: (13, 17, 1024)}),
    ],
)
def test_maps_at_every_stride(output_stride, expected):
    model = MobileNet(output_stride=output_stride)
    maps, _ = shapes(model, (1, 97, 131, 3), features=tuple(expected))
    assert {stride: x.shape[1:] for stride, x in maps.items()} == expected


@pytest.mark.slow
def test_a_dilated_network_has_the_outputs_of_the_strided_one():
    images = jax.random.normal(jax.random.key(1), (1, 45, 50, 3))
    variables = random_variables(small(), images)
    strided = jax.jit(partial(small().apply, train=False, features=(16,)))(variables, images)[16]
    dilated = jax.jit(partial(small(output_stride=8).apply, train=False, features=(8,)))(variables, images)[8]
    np.testing.assert_allclose(dilated[:, ::2, ::2], strided, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("attention", [None, SqueezeExcite])
def test_training_and_inference(attention):
    model = small(attention=attention)
    images = jax.random.normal(jax.random.key(1), (4, 40, 34, 1))
    variables = random_variables(model, images)
    assert jax.jit(partial(model.apply, train=False))(variables, images).shape == (4, 5)
    logits, updated = jax.jit(partial(model.apply, train=True, mutable=["batch_stats"]))(variables, images)
    same = jax.tree.map(np.array_equal, variables["batch_stats"], updated["batch_stats"])
    assert not any(jax.tree.leaves(same))
    assert jnp.isfinite(logits).all()
    assert ("se" in variables["params"]["stage2_block1"]) is (attention is not None)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"width_multiplier": 0}, "width_multiplier is 0; it must be a positive number"),
        ({"output_stride": 4}, "output_stride is 4; it must be 8, 16 or 32"),
        ({"attention_stages": (6,)}, "attention_stages has 6; the stages of this network are 1, 2, 3, 4, 5"),
    ],
)
def test_invalid_fields_raise(fields, message):
    with pytest.raises(ValueError, match=message):
        MobileNet(**fields)
