"""The cost of networks: small ones by hand, large ones as published."""

from functools import partial

import jax
import jax.numpy as jnp
import pytest
from flax import linen as nn
from flax import nnx

from senet_jax import SqueezeExcite, WithSE, create_model
from senet_jax.analysis.cost import Cost, cost
from senet_jax.modules.conv import Convolution

PUBLISHED = {
    "resnet50": (25_557_032, 0, 3.8580),
    "se_resnet50": (28_088_024, 2_530_992, 3.8605),
    "resnet101": (44_549_160, 0, 7.5702),
    "se_resnet152": (66_821_848, 6_629_040, 11.2890),
    "se_resnext50_32x4d": (27_559_896, 2_530_992, 4.2330),
    "se_resnext101_32x4d": (48_955_416, 4_777_712, 7.9747),
    "senet154": (115_088_984, 6_629_040, 20.6884),
}
"""Parameters, those of squeeze-and-excitation, and 10^9 multiply-adds, of the authors' released networks."""


@pytest.mark.usefixtures("unchecked_types")
@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_the_authors_networks(name):
    parameters, extra, multiply_adds = PUBLISHED[name]
    network = cost(create_model(name), 224)
    assert network.total.parameters == parameters
    assert network.squeeze_excite.parameters == extra
    assert network.total.multiply_adds / 1e9 == pytest.approx(multiply_adds, abs=0.5e-4)


@pytest.mark.usefixtures("unchecked_types")
@pytest.mark.slow
@pytest.mark.parametrize("name", ["se_resnet50", "se_resnext26_32x4d"])
def test_the_rest_of_squeeze_and_excitation_is_the_plain_twin(name):
    network, plain = cost(create_model(name), (96, 64)), cost(create_model(name, attention=None), (96, 64))
    assert network.total - network.squeeze_excite == plain.total
    assert plain.squeeze_excite == Cost()


@pytest.mark.usefixtures("unchecked_types")
@pytest.mark.slow
def test_costs_do_not_depend_on_the_lowering():
    model = create_model("se_resnext26_32x4d")
    lowered = model.clone(conv=partial(Convolution, lowering="platform"))
    assert cost(lowered, (96, 64)) == cost(model, (96, 64))


class Small(nn.Module):
    """A block that calls a module from a helper method, and a layer on the pooled map."""

    @nn.compact
    def __call__(self, images, *, train):
        x = nn.Conv(8, (3, 3), strides=2, padding=1, name="conv")(images)
        x = nn.Conv(8, (3, 3), feature_group_count=4, use_bias=False, name="grouped")(nn.relu(x))
        x = self.recalibrate(x) + x
        x = nn.max_pool(x, (2, 2), strides=(2, 2))
        return nn.Dense(5, name="head")(x.mean(axis=(1, 2)) if not train else x)

    def recalibrate(self, x):
        return SqueezeExcite(ratio=4, name="se")(x)


def test_a_small_network_by_hand():
    """Images 12x8x3; maps 6x4x8, 192 elements, then 3x2x8, 48 elements."""
    network = cost(Small(), (12, 8))
    conv = Cost(parameters=27 * 8 + 8, multiply_adds=192 * 27, activations=192, elementwise=192)  # Its bias.
    grouped = Cost(parameters=18 * 8, multiply_adds=192 * 18, activations=192)
    head = Cost(parameters=8 * 5 + 5, multiply_adds=40, activations=5, elementwise=5)
    # Squeeze and scale go through the map; the rest: 8 means, 2 biases, 2 rectified, 8 biases, 8 gates.
    se = Cost(parameters=2 * 16 + 10, multiply_adds=32, activations=10, elementwise=192 + 192 + 28)
    relu, shortcut, max_pool, mean = 192, 192, 48 * 4, 48 + 8
    own = Cost(elementwise=relu + shortcut + max_pool + mean)
    assert {path: network.modules[path] for path in ("conv", "grouped", "se", "head")} == {
        "conv": conv, "grouped": grouped, "se": se, "head": head
    }  # fmt: skip
    assert network.modules[""] == network.total == conv + grouped + se + head + own
    assert network.squeeze_excite == se
    assert network.modules["se/reduce"] == Cost(parameters=18)


class Called(nn.Module):
    """A dense layer of 4 to 4 channels, as deep as Flax can hide it."""

    @nn.compact
    def __call__(self, x, *_):
        return nn.Dense(4, use_bias=False, name="dense")(x), None


class Lifted(nn.Module):
    """Flax's lifted modules, a shared one, and JAX's control flow, on maps of 2x2x4."""

    def setup(self):
        self.shared = Called()

    @nn.compact
    def __call__(self, x):
        repeated = nn.scan(Called, variable_axes={"params": 0}, split_rngs={"params": True}, length=5)
        for module in (nn.remat(Called)(name="remat"), nn.jit(Called)(name="jit"), repeated(name="scan")):
            x, _ = module(x, None)
        x = self.shared(self.shared(x)[0])[0]
        x, _ = jax.lax.scan(lambda y, _: (jnp.tanh(y), None), x, length=3)
        return jax.lax.cond(x.sum() > 0, lambda y: y @ jnp.ones((4, 4)), lambda y: y, x)


def test_modules_are_found_beside_their_parameters():
    modules = cost(Lifted(), 2, channels=4).modules
    dense = Cost(parameters=16, multiply_adds=64, activations=16)
    assert modules["remat/dense"] == modules["jit/dense"] == dense
    assert modules["scan/dense"] == dense * 5
    assert modules["shared/dense"] == Cost(parameters=16, multiply_adds=128, activations=32)
    assert list(modules)[:3] == ["", "remat", "remat/dense"]
    named = dense + dense + dense * 5 + modules["shared"]
    assert modules[""].multiply_adds == named.multiply_adds + 64  # The larger branch.
    assert modules[""].elementwise == 3 * 16 + 16 + 1  # Three times tanh; the condition's sum and comparison.


def test_a_transposed_convolution_multiplies_no_inserted_zeros():
    layer = cost(nn.ConvTranspose(6, (4, 4), strides=(2, 2)), 8).total
    assert layer.multiply_adds == 8 * 8 * 3 * 4 * 4 * 6
    assert layer.activations == 16 * 16 * 6


class Foreign(nn.Module):
    """Takes no `train`, but an argument of its own, and writes statistics."""

    @nn.compact
    def __call__(self, images, scale):
        return scale * nn.BatchNorm(use_running_average=False, use_bias=False)(images)


def test_any_module_that_takes_images():
    assert cost(Foreign(), 4, channels=1, scale=2.0).total.parameters == 1
    assert cost(Small(), (12, 8), train=True).total.multiply_adds > cost(Small(), (12, 8)).total.multiply_adds


def test_a_network_with_blocks_put_in_costs_its_own_and_theirs():
    whole = cost(WithSE(WithSE(Small(), "conv", partial(SqueezeExcite, ratio=4)), "grouped", SqueezeExcite), (12, 8))
    assert whole.total - (whole.squeeze_excite - cost(Small(), (12, 8)).squeeze_excite) == cost(Small(), (12, 8)).total
    assert whole.modules["conv/se"].parameters == 2 * 16 + 10


def test_attention_is_known_by_its_class_too():
    class Network(nn.Module):
        @nn.compact
        def __call__(self, images):
            return SqueezeExcite(name="recalibrated")(SqueezeExcite()(images))

    whole = cost(Network(), 4)
    assert whole.squeeze_excite == whole.total


class Endless(nn.Module):
    """Loops as long as its values say."""

    @nn.compact
    def __call__(self, images):
        return jax.lax.while_loop(lambda x: x.sum() < 1, lambda x: 2 * x, images)


def test_a_while_loop_and_an_empty_image_are_errors():
    with pytest.raises(ValueError, match="layers_0 calls 'while', whose work the traced program does not"):
        cost(nn.Sequential([Endless()]), 4)
    with pytest.raises(ValueError, match=r"image_size is \(0, 4\) and channels is 3; give a number of pixels"):
        cost(Small(), (0, 4))
    with pytest.raises(ValueError, match=r"stage2_block1.* is given maps of .*; the images are too small"):
        cost(create_model("se_resnet50"), (2, 2))


@pytest.mark.usefixtures("unchecked_types")
def test_a_network_of_nnx_is_an_error():
    with pytest.raises(ValueError, match=r"cost is given a Linear; it counts the modules of flax.linen alone"):
        cost(nnx.Linear(3, 4, rngs=nnx.Rngs(0)), 4)  # pyright: ignore[reportArgumentType]
