"""Squeeze-and-excitation put into plain networks: not a bit of their logits changes."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compilation import quickly
from flax import linen as nn
from flax.traverse_util import flatten_dict
from random_variables import random_variables

from benchmarks.gradient_check import CASES
from senet_jax import WithSE, create_model, insert_se
from senet_jax.models.parameters import abstract_variables
from senet_jax.modules import CBAM, BatchNorm, GatherExcite
from senet_jax.modules.residual import ResidualBlock

OF_OTHERS = ("se_resnet18", "se_wrn16_8_cifar", "timm/seresnetaa50d", "se_resnext50_32x4d", "senet154")
"""Networks with blocks of others."""
NAMES = [name for name in CASES if name not in OF_OTHERS]
QUICK = "se_resnet20_cifar"
ROUNDED = ("se_shake26_2x96d_cifar",)
"""Networks in which the compiler fuses a product and a sum in one of the two programs alone."""
PLACES = (
    ("se_resnet50", "inner"),
    ("se_resnet50", "pre"),
    ("se_preact_resnet110_cifar", "inner"),
    ("se_shake26_2x96d_cifar", "pre"),
)


@pytest.mark.optimised
@pytest.mark.parametrize(
    ("name", "placement"),
    [
        *(pytest.param(name, None, marks=() if name == QUICK else pytest.mark.slow) for name in NAMES),
        *(pytest.param(*place, marks=pytest.mark.slow) for place in PLACES),
    ],
)
def test_the_logits_are_equal_bit_for_bit(name, placement):
    case = CASES[name]
    settings = case.fields | ({"placement": placement} if placement else {})
    plain = create_model(name, 7, attention=None, **settings)
    with quickly():
        images = jax.random.normal(jax.random.key(1), (2, max(case.pixels, 28), max(case.pixels, 28), 3))
        variables = random_variables(plain, images)
        network, filled = insert_se(plain, variables, ratio=4, images=images)
    twin = create_model(name, 7, attention="squeeze_excite", ratio=4, **settings)
    assert jax.tree.map(jnp.shape, filled) == jax.tree.map(
        jnp.shape, abstract_variables(twin, jax.ShapeDtypeStruct(images.shape, images.dtype), train=False)
    )
    jax.tree.map(np.testing.assert_array_equal, filled["batch_stats"], variables["batch_stats"])
    expected = jax.jit(partial(plain.apply, train=False))(variables, images)
    assert np.ptp(np.asarray(expected)) > 0
    logits = jax.jit(partial(network.apply, train=False))
    given = logits(filled, images)
    if name in ROUNDED:
        np.testing.assert_allclose(given, expected, rtol=0, atol=2e-7 * np.abs(expected).max())
    else:
        np.testing.assert_array_equal(given, expected)
    moved = jax.tree_util.tree_map_with_path(lambda path, x: x + 0.1 if "expand" in str(path) else x, filled)
    assert not np.array_equal(logits(moved, images), expected)


@pytest.mark.slow
def test_a_training_step_sees_the_same_and_gradients_reach_the_blocks():
    plain = create_model("resnet20_cifar", 5, stage_sizes=(1, 1, 1))
    images = jax.random.normal(jax.random.key(1), (4, 16, 16, 3))
    variables = random_variables(plain, images)
    network, filled = insert_se(plain, variables, ratio=2)

    def gradients(network, variables):
        apply = partial(network.apply, train=True, mutable=["batch_stats"])

        def loss(params):
            given, updated = apply({**variables, "params": params}, images)
            return jnp.sin(given).sum(), (given, updated)

        return jax.jit(jax.grad(loss, has_aux=True))(variables["params"])

    _, (expected, updated) = gradients(plain, variables)
    gradient, (given, updated_with_se) = gradients(network, filled)
    np.testing.assert_allclose(given, expected, rtol=1e-5, atol=1e-5)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5), updated_with_se, updated)
    reached = {path for path, leaf in flatten_dict(gradient).items() if "se" in path and leaf.any()}
    assert reached == {path for path in flatten_dict(gradient) if "expand" in path}


class Foreign(nn.Module):
    @nn.compact
    def __call__(self, x, training):
        for _ in range(2):
            y = nn.BatchNorm(use_running_average=not training)(nn.Conv(8, (3, 3))(x))
            x = nn.relu(y + nn.Conv(8, (1, 1))(x))
        return nn.Dense(3)(x.mean((1, 2)))


@pytest.mark.slow
def test_networks_of_others_take_it_by_patterns():
    images = jax.random.normal(jax.random.key(1), (2, 8, 8, 3))
    plain = Foreign()
    variables = plain.init(jax.random.key(0), images, training=False)
    with pytest.raises(TypeError) as raised:
        insert_se(WithSE(plain, where="BatchNorm_*"), variables)
    with pytest.raises(ValueError, match="ratio and attention are for networks of this package; give WithSE its own"):
        insert_se(WithSE(plain, where="BatchNorm_*"), variables, 8)
    assert any(
        note.startswith("insert_se calls the network with (1, 224, 224, 3), u") for note in raised.value.__notes__
    )
    boxed = jax.tree.map(lambda leaf: nn.Partitioned(leaf, (None,) * leaf.ndim), variables)
    network, filled = insert_se(WithSE(plain, where="BatchNorm_*"), boxed, images=images, training=False)
    assert set(filled["params"]["BatchNorm_1"]) == {"scale", "bias", "se"}
    np.testing.assert_array_equal(
        network.apply(filled, images, training=False), plain.apply(variables, images, training=False)
    )


class CentredConv(nn.Conv):
    """A layer that computes something else than its class of Flax: its kernel is centred."""


@pytest.mark.parametrize(
    ("layer", "name"), [(nn.GroupNorm(2, use_scale=False), "GroupNorm"), (CentredConv(4, (3, 3)), "CentredConv")]
)
def test_layers_whose_output_may_not_double_are_refused(layer, name):
    images = jnp.ones((1, 4, 4, 4))
    plain = nn.Sequential([layer, nn.relu])
    variables = jax.eval_shape(plain.init, jax.random.key(0), images)
    with pytest.raises(ValueError, match=f"layers_0 is a {name} whose output insert_se cannot double by its"):
        insert_se(WithSE(plain, where="layers_0"), variables, images=images)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"placement": "post"}, "placement 'post' of stage2_block1 halves a map"),
        ({"placement": "identity"}, "placement 'identity' of stage2_block1 halves a map"),
        ({"attention": "squeeze_excite"}, "has attention already"),
    ],
)
def test_impossible_placements_are_refused(settings, message):
    plain = create_model("resnet20_cifar", 5, stage_sizes=(1, 1, 1), **settings)
    variables = random_variables(plain.clone(attention=None), jnp.ones((1, 8, 8, 3)))
    with pytest.raises(ValueError, match=message):
        insert_se(plain, variables)


@pytest.mark.slow
def test_an_activation_between_that_is_not_homogeneous_is_refused():
    plain = create_model("bn_inception", 5, activation=nn.silu)
    variables = jax.eval_shape(partial(plain.init, train=False), jax.random.key(0), jnp.ones((1, 32, 32, 3)))
    with pytest.raises(ValueError, match="inception_3a has the activation silu between its SE block and the layer"):
        insert_se(plain, variables)


def test_an_activation_after_the_block_that_is_not_homogeneous_is_refused():
    plain = create_model("shake26_2x32d_cifar", 5, activation=nn.silu, placement="pre")
    variables = random_variables(plain, jnp.ones((1, 8, 8, 3)))
    with pytest.raises(ValueError, match="stage2_block1 has the activation silu between its SE block and the layer"):
        insert_se(plain, variables)


def test_a_last_inception_without_a_layer_after_it_is_refused():
    widths = {"3a": (4, 4, 4, 4, 4, 4), "3b": (0, 4, 4, 4, 4, 0)}
    plain = create_model("bn_inception", 5, widths=widths)
    variables = random_variables(plain, jnp.ones((1, 32, 32, 3)))
    with pytest.raises(ValueError, match="no layer beside the SE block of inception_3b can make up for its half"):
        insert_se(plain, variables)


@pytest.mark.parametrize("attention", [GatherExcite, CBAM])
def test_other_attention_is_refused(attention):
    plain = create_model("resnet20_cifar", 5, stage_sizes=(1, 1, 1))
    with pytest.raises(ValueError, match=f"attention makes a {attention.__name__}; insert_se takes SqueezeExcite"):
        insert_se(plain, {"params": {}}, attention=attention)


class ShiftedScale(BatchNorm):
    """Computes something else from its parameters."""


class Inside(nn.Module):
    """Has the normalisation inside."""

    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x, *, train):
        return nn.GroupNorm(1)(x)


@pytest.mark.parametrize(
    ("norm", "message"),
    [
        (ShiftedScale, "stage2_block1/norm2 is a ShiftedScale whose output insert_se cannot double by its parameters"),
        (Inside, "block of stage2_block1 can make up for its half; it has no kernel or scale or bias in norm2"),
    ],
)
def test_layers_of_other_classes_are_refused(norm, message):
    plain = create_model("resnet20_cifar", 5, stage_sizes=(1, 1, 1), norm=norm)
    variables = jax.eval_shape(partial(plain.init, train=False), jax.random.key(0), jnp.ones((1, 8, 8, 3)))
    with pytest.raises(ValueError, match=message):
        insert_se(plain, variables)


class OneConv(ResidualBlock):
    """A block unknown to insert_se."""

    def branch(self, x, *, train):
        return self.last_conv_norm(x, 1, self.width, 3, stride=self.stride, train=train)


def test_an_unknown_block_is_refused():
    plain = create_model("resnet20_cifar", 5, stage_sizes=(1,), widths=(16,), block=OneConv)
    variables = jax.eval_shape(partial(plain.init, train=False), jax.random.key(0), jnp.ones((1, 8, 8, 3)))
    message = "stage2_block1 is a OneConv, of which insert_se does not know the layers; it knows BasicBlock, Bottleneck"
    with pytest.raises(ValueError, match=message):
        insert_se(plain, variables)


def test_other_variables_are_refused():
    plain = create_model("resnet20_cifar", 5, stage_sizes=(1, 1, 1))
    variables = random_variables(plain, jnp.ones((1, 8, 8, 3)))
    del variables["params"]["head"]
    with pytest.raises(ValueError, match="params/head/bias of the variables is missing; the network has"):
        insert_se(plain, variables)
    with pytest.raises(ValueError, match="variables has kernel; give those of the network, with 'params'"):
        insert_se(plain, {"kernel": 0})
    with pytest.raises(ValueError, match=r"Foreign is not a network of this package; give WithSE\(network"):
        insert_se(Foreign(), variables)
