from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx
from flax.traverse_util import flatten_dict
from random_variables import initial_variables

from senet_jax import SqueezeExcite
from senet_jax.modules.with_se import WithSE

KEY = jax.random.key(0)
IMAGES = jax.random.normal(jax.random.key(1), (2, 6, 6, 3))


class ResNetBlock(nn.Module):
    norm: Callable
    filters: int = 4

    @nn.compact
    def __call__(self, x):
        y = nn.relu(self.norm()(nn.Conv(self.filters, (3, 3), use_bias=False)(x)))
        y = self.norm()(nn.Conv(self.filters, (3, 3), use_bias=False)(y))
        return nn.relu(x + y)


class DerivedBlock(ResNetBlock):
    @nn.compact
    def __call__(self, x):
        return super().__call__(x)


class ResNet(nn.Module):
    """A network of someone else: sub-modules named by Flax, `train` positional."""

    block_cls: Callable = ResNetBlock
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x, train: bool = True):
        norm = partial(nn.BatchNorm, use_running_average=not train, dtype=self.dtype)
        x = nn.Conv(4, (3, 3), name="conv_init", dtype=self.dtype)(x)
        for _ in range(2):
            x = self.block_cls(norm)(x)
        return nn.Dense(3)(x.mean((1, 2)))


class Residual(nn.Module):
    def setup(self):
        self.conv = nn.Conv(3, (3, 3))

    def __call__(self, x):
        return x + self.conv(x)


class InSetup(nn.Module):
    """Calls one block twice, and has a sub-module of the name of WithSE's own field."""

    def setup(self):
        self.blocks = [Residual(), Residual()]
        self.inner = nn.Conv(3, (1, 1))

    def __call__(self, x, train=True):
        return self.blocks[1](self.blocks[0](self.blocks[1](self.inner(x))))


class InField(nn.Module):
    body: nn.Module

    def __call__(self, x, train=True):
        return self.body(x)


class Step(nn.Module):
    @nn.compact
    def __call__(self, x, _):
        return Residual()(x), None


class Scanned(nn.Module):
    @nn.compact
    def __call__(self, x, train=True):
        steps = nn.scan(Step, variable_axes={"params": 0}, split_rngs={"params": True}, length=3)
        return steps(name="steps")(x, None)[0]


class HasSE(nn.Module):
    @nn.compact
    def __call__(self, x, train=True):
        return x * nn.Dense(3, name="se")(x)


OPEN = partial(SqueezeExcite, ratio=2, gate=jnp.ones_like)


def places(model):
    """Paths of the modules that own an entry "se"."""
    params = flatten_dict(jax.eval_shape(partial(model.init, train=False), KEY, IMAGES)["params"])
    return sorted({"/".join(path[: path.index("se")]) for path in params if "se" in path})


NETWORKS = {
    "compact": (ResNet(), "ResNetBlock_*", ["ResNetBlock_0", "ResNetBlock_1"]),
    "super": (ResNet(DerivedBlock), "DerivedBlock", ["DerivedBlock_0", "DerivedBlock_1"]),
    "remat": (ResNet(nn.remat(ResNetBlock)), "ResNetBlock", ["CheckpointResNetBlock_0", "CheckpointResNetBlock_1"]),
    "setup": (InSetup(), "blocks_?", ["blocks_0", "blocks_1"]),
    "field": (InField(nn.Sequential([nn.relu, Residual()])), "/body/layers_1", ["body/layers_1"]),
    "scan": (Scanned(), "Residual", ["steps/Residual_0"]),
}


@pytest.mark.slow
@pytest.mark.parametrize(("network", "where", "expected"), NETWORKS.values(), ids=NETWORKS)
def test_the_network_is_unchanged_but_for_the_blocks(network, where, expected):
    model = WithSE(network, where, OPEN)
    plain, variables = (jax.jit(partial(each.init, train=False))(KEY, IMAGES) for each in (network, model))
    flat, rest = flatten_dict(variables), flatten_dict(plain)
    assert places(model) == expected
    assert {path for path in flat if "se" not in path} == set(rest)
    for path, value in rest.items():
        np.testing.assert_array_equal(flat[path], value)
    logits, expected = (
        jax.jit(partial(each.apply, train=False))(values, IMAGES)
        for each, values in ((model, variables), (network, plain))
    )
    np.testing.assert_allclose(logits, expected, rtol=1e-6)


def test_each_block_recalibrates_the_output_of_its_module():
    capture = {"train": False, "capture_intermediates": True, "mutable": ["intermediates"]}
    model = WithSE(ResNet(), "/ResNetBlock_1", partial(SqueezeExcite, ratio=2))
    variables = initial_variables(model, IMAGES)
    seen = jax.jit(partial(model.apply, **capture))(variables, IMAGES)[1]["intermediates"]["ResNetBlock_1"]["__call__"][
        0
    ]
    se = variables["params"]["ResNetBlock_1"].pop("se")
    plain = jax.jit(partial(ResNet().apply, **capture))(variables, IMAGES)[1]["intermediates"]["ResNetBlock_1"][
        "__call__"
    ][0]
    np.testing.assert_allclose(seen, SqueezeExcite(ratio=2).apply({"params": se}, plain), rtol=1e-6)


def test_an_attention_of_ones_own_takes_other_arrays_than_maps():
    class Times(nn.Module):
        @nn.compact
        def __call__(self, x):
            return x * self.param("factor", nn.initializers.constant(3.0), x.shape[-1:])

    model = WithSE(ResNet(), "Dense_0", Times)
    (given, variables), expected = model.init_with_output(KEY, IMAGES), ResNet().init_with_output(KEY, IMAGES)[0]
    np.testing.assert_allclose(given, 3 * expected, rtol=1e-6)
    assert variables["params"]["Dense_0"]["se"]["factor"].shape == (3,)


def test_trains():
    model = WithSE(ResNet(), "ResNetBlock_*/BatchNorm_1", partial(SqueezeExcite, ratio=1))
    variables = initial_variables(model, IMAGES)

    @jax.jit
    @partial(jax.grad, has_aux=True)
    def gradient(params):
        logits, state = model.apply({**variables, "params": params}, IMAGES, train=True, mutable=["batch_stats"])
        return jnp.square(logits).sum(), state

    gradients, state = gradient(variables["params"])
    for i in range(2):
        assert jnp.abs(gradients[f"ResNetBlock_{i}"]["BatchNorm_1"]["se"]["reduce"]["kernel"]).max() > 0
        assert jnp.abs(state["batch_stats"][f"ResNetBlock_{i}"]["BatchNorm_1"]["mean"]).max() > 0


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("Block_?/Conv_1", []),
        ("*Block_?/Conv_1", ["ResNetBlock_0/Conv_1", "ResNetBlock_1/Conv_1"]),
        ("/conv_init", ["conv_init"]),
        ("BatchNorm_1", ["ResNetBlock_0/BatchNorm_1", "ResNetBlock_1/BatchNorm_1"]),
        (["conv_init", "*_0/*_1"], ["ResNetBlock_0/BatchNorm_1", "ResNetBlock_0/Conv_1", "conv_init"]),
        (["/*_1", "/*_1/*_1"], ["ResNetBlock_1", "ResNetBlock_1/BatchNorm_1", "ResNetBlock_1/Conv_1"]),
    ],
)
def test_patterns(where, expected):
    if expected:
        assert places(WithSE(ResNet(), where)) == expected
    else:
        with pytest.raises(ValueError, match="matches"):
            places(WithSE(ResNet(), where))


def test_the_network_itself_can_match():
    assert places(WithSE(InSetup(), "/")) == [""]


def test_bfloat16_maps_stay_bfloat16():
    model = WithSE(ResNet(dtype=jnp.bfloat16), "conv_init")
    init = partial(model.init_with_output, train=False, capture_intermediates=True, mutable=True)
    _, state = jax.eval_shape(init, KEY, IMAGES)
    assert state["intermediates"]["conv_init"]["__call__"][0].dtype == jnp.bfloat16


class Around(nn.Module):
    """Two networks in one that is called twice."""

    def setup(self):
        self.first = WithSE(InSetup(), "/blocks_?")
        self.second = InSetup()
        self.wrapped = WithSE(self.second, "blocks_0")

    def __call__(self, x, train):
        for _ in range(2):
            x = self.wrapped(self.first(x))
        return x


def test_within_a_network():
    assert places(Around()) == ["first/blocks_0", "first/blocks_1", "second/blocks_0"]


@pytest.mark.parametrize(
    ("network", "where", "message"),
    [
        (ResNet(), ["ResNetBlock", "Blok_*"], r"has \['Blok_\*'\], which no module of ResNet matches"),
        (ResNet(), "Blok_*", r"\nBatchNorm: /ResNetBlock_\*/BatchNorm_0, .*\nResNetBlock: /ResNetBlock_0, /ResNet"),
        (ResNet(), "*", r"needs maps \(n, h, w, c\); /Dense_0 \(Dense\) matches and returns shape \(2, 3\), float32"),
        (Scanned(), "Step", r"/steps \(Step\) matches and returns a tuple"),
        (HasSE(), "HasSE", r'/ \(HasSE\) matches .* has a sub-module "se" already'),
        (WithSE(ResNet(), "conv_init"), "conv_init", r'/conv_init \(Conv\) .* has a sub-module "se" already'),
        (ResNet(nn.jit(ResNetBlock)), "ResNetBlock", r"/JitResNetBlock_0 \(ResNetBlock\) .* use jax.jit around"),
    ],
)
def test_invalid_matches_raise(network, where, message):
    with pytest.raises(ValueError, match=message):
        places(WithSE(network, where))


def test_a_pattern_that_matches_nothing_is_an_error_at_apply():
    with pytest.raises(ValueError, match="no module of ResNet matches"):
        WithSE(ResNet(), "Blok_*").apply(initial_variables(ResNet(), IMAGES), IMAGES, train=False)


@pytest.mark.parametrize("where", ["", [], ["ResNetBlock_*", ""]])
def test_no_pattern_is_an_error_at_once(where):
    with pytest.raises(ValueError, match="it must be one pattern or several"):
        WithSE(ResNet(), where)


@pytest.mark.usefixtures("unchecked_types")
@pytest.mark.parametrize("network", [nnx.Linear(3, 4, rngs=nnx.Rngs(0)), ResNet])
def test_other_networks_than_linen_modules_raise_at_once(network):
    with pytest.raises(ValueError, match=r"it must be an instance of a flax.linen module; an NNX network calls senet_"):
        WithSE(network, "Conv_*")
