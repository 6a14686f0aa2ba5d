from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from models.trees import shapes
from random_variables import initial_variables, random_variables

from senet_jax import SqueezeExcite
from senet_jax.models.parameters import count_parameters
from senet_jax.models.shufflenet import NETWORKS, ShuffleNet, ShuffleUnit

PARAMETERS = {
    (1, 1.0): 1_531_936,
    (2, 1.0): 1_733_848,
    (4, 1.0): 1_968_344,
    (8, 1.0): 2_434_768,
    (1, 0.75): 975_214,
    (3, 0.5): 718_324,
    (3, 0.25): 305_902,
}
"""Parameters in imgclsmob, by groups and width multiplier."""
X = jax.random.normal(jax.random.key(0), (2, 7, 6, 12))


@pytest.mark.usefixtures("unchecked_types")
@pytest.mark.parametrize(("groups", "width_multiplier"), PARAMETERS)
def test_parameters_are_exact(groups, width_multiplier):
    network = NETWORKS["shufflenet"](groups=groups, width_multiplier=width_multiplier)
    assert count_parameters(network, 224) == PARAMETERS[groups, width_multiplier]


def test_the_first_convolution_is_widened_to_a_multiple_of_the_groups():
    assert ShuffleNet(groups=8, width_multiplier=0.5).widths == [16, 192, 384, 768]


def test_maps_at_every_stride():
    expected = {2: (49, 66, 24), 4: (25, 33, 24), 8: (13, 17, 240), 16: (7, 9, 480), 32: (4, 5, 960)}
    maps, _ = shapes(ShuffleNet(), (1, 97, 131, 3), features=tuple(expected))
    assert {stride: x.shape[1:] for stride, x in maps.items()} == expected


class Times(nn.Module):
    factor: float

    def __call__(self, x):
        return self.factor * x


def run(stride, factor, placement="standard"):
    """The output of a unit whose attention multiplies, and of its inner layers."""
    attention = partial(Times, factor)
    unit = ShuffleUnit(24 if stride == 2 else 12, stride, attention=attention, placement=placement)
    variables = initial_variables(unit, X)
    y, captured = jax.jit(partial(unit.apply, train=False, capture_intermediates=True))(variables, X)
    return y, {name: value["__call__"][0] for name, value in captured["intermediates"].items() if name != "__call__"}


def test_a_unit_adds_its_branch_to_its_input():
    y, layers = run(1, 2.0)
    np.testing.assert_array_equal(y, nn.relu(2 * layers["norm3"] + X))


def test_a_strided_unit_puts_its_branch_beside_the_mean_of_its_input():
    y, layers = run(2, 2.0)
    padded = np.pad(X, ((0, 0), (1, 1), (1, 1), (0, 0)))
    mean = sum(padded[:, i : i + 7 : 2, j : j + 5 : 2] for i in range(3) for j in range(3)) / 9
    np.testing.assert_allclose(y, nn.relu(np.concatenate([mean, 2 * layers["norm3"]], axis=-1)), atol=1e-6)


@pytest.mark.slow
def test_places_of_the_attention():
    plain, layers = run(1, 1.0)
    np.testing.assert_array_equal(run(1, 2.0, "post")[0], 2 * plain)
    np.testing.assert_array_equal(run(1, 2.0, "identity")[0], nn.relu(layers["norm3"] + 2 * X))
    np.testing.assert_array_equal(run(1, 2.0, "pre")[1]["conv1"], 2 * layers["conv1"])
    np.testing.assert_array_equal(run(1, 2.0, "inner")[1]["conv3"], 2 * layers["conv3"])
    np.testing.assert_array_equal(run(1, 2.0, "inner")[1]["norm2"], layers["norm2"])


@pytest.mark.slow
@pytest.mark.parametrize("attention", [None, SqueezeExcite])
def test_training_and_inference(attention):
    model = ShuffleNet(num_classes=5, stage_sizes=(2, 1), width_multiplier=0.2, attention=attention, drop_path=0.5)
    images = jax.random.normal(jax.random.key(1), (4, 40, 34, 1))
    variables = random_variables(model, images)
    assert jax.jit(partial(model.apply, train=False))(variables, images).shape == (4, 5)
    train = partial(model.apply, train=True, mutable=["batch_stats"], rngs={"dropout": jax.random.key(2)})
    logits, updated = jax.jit(train)(variables, images)
    same = jax.tree.map(np.array_equal, variables["batch_stats"], updated["batch_stats"])
    assert not any(jax.tree.leaves(same))
    assert jnp.isfinite(logits).all()
    assert ("se" in variables["params"]["stage2_block1"]) is (attention is not None)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"groups": 5}, "groups is 5; it must be one of 1, 2, 3, 4, 8"),
        ({"groups": 4, "width_multiplier": 0.5}, "width_multiplier is 0.5; .* 4 groups can share evenly"),
        ({"width_multiplier": 0.0}, "width_multiplier is 0.0; it must be a positive number"),
    ],
)
def test_invalid_fields_raise(fields, message):
    with pytest.raises(ValueError, match=message):
        ShuffleNet(**fields)
