from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from random_variables import initial_variables

from senet_jax.modules import BasicBlock, BatchNorm, Bottleneck, SqueezeExcite, unfused
from senet_jax.modules.pre_activation import PreActivationBasicBlock, PreActivationBottleneck
from senet_jax.modules.shake import ShakeBasicBlock

X = jax.random.normal(jax.random.key(0), (2, 8, 8, 16))


@partial(jax.jit, static_argnums=0)
def infer(module, variables, x):
    return module.apply(variables, x, train=False)


@partial(jax.jit, static_argnums=0)
def look_inside(module, variables, x):
    return module.apply(variables, x, train=False, capture_intermediates=True)


class Times(nn.Module):
    factor: float

    def __call__(self, branch):
        return self.factor * branch


@pytest.mark.parametrize(("block", "width"), [(BasicBlock, 16), (Bottleneck, 4)])
def test_the_gates_weigh_the_branch_before_the_sum_and_leave_the_shortcut(block, width):
    def run(factor):
        module = block(width, attention=lambda name: Times(factor, name=name))
        variables = initial_variables(module, X)
        return infer(module, variables, X)

    np.testing.assert_array_equal(run(0.0), nn.relu(X))
    branch = run(1e4) - X
    np.testing.assert_allclose(run(1e4), nn.relu(1e4 * (run_branch(block, width)) + X), rtol=1e-4, atol=1e-2)
    assert jnp.abs(branch).max() > 1


def run_branch(block, width):
    """The last normalisation's output, read from the inside."""
    module = block(width)
    variables = initial_variables(module, X)
    _, captured = look_inside(module, variables, X)
    last = "norm2" if block is BasicBlock else "norm3"
    return captured["intermediates"][last]["__call__"][0]


@pytest.mark.parametrize(
    ("block", "width", "strided", "shape"),
    [(BasicBlock, 16, "conv1", (2, 4, 4, 16)), (Bottleneck, 8, "conv1", (2, 4, 4, 8))],
)
def test_the_stride_is_on_the_first_convolution(block, width, strided, shape):
    module = block(width, stride=2, attention=SqueezeExcite)
    variables = initial_variables(module, X)
    y, captured = look_inside(module, variables, X)
    assert captured["intermediates"][strided]["__call__"][0].shape == shape
    assert y.shape == (2, 4, 4, width * block.expansion)


def test_an_unchanged_shape_needs_no_projection():
    names = jax.eval_shape(lambda: BasicBlock(16).init(jax.random.key(1), X, train=False))["params"].keys()
    assert set(names) == {"conv1", "norm1", "conv2", "norm2"}


@pytest.mark.parametrize(
    ("placement", "channels"),
    [("standard", 32), ("pre", 16), ("post", 32), ("identity", 32), ("inner", 8)],
)
def test_placements(placement, channels):
    """Figure 5 and section 6.5, against the block put together by hand from its own parameters."""
    module = Bottleneck(8, stride=2, attention=SqueezeExcite, placement=placement)
    variables = initial_variables(module, X)
    assert variables["params"]["se"]["reduce"]["kernel"].shape[0] == channels

    def recalibrate(x, here):
        return SqueezeExcite().apply({"params": variables["params"]["se"]}, x) if here == placement else x

    def conv_norm(x, name, stride, padding):
        kernel = variables["params"][name.replace("norm", "conv")]["kernel"]
        x = jax.lax.conv_general_dilated(
            x, kernel, (stride, stride), [(padding, padding)] * 2, dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        return x / np.sqrt(1 + 1e-5)

    y = nn.relu(conv_norm(recalibrate(X, "pre"), "conv1", 2, 0))
    y = recalibrate(nn.relu(conv_norm(y, "conv2", 1, 1)), "inner")
    y = recalibrate(conv_norm(y, "conv3", 1, 0), "standard")
    shortcut = recalibrate(conv_norm(X, "shortcut_conv", 2, 0), "identity")
    expected = recalibrate(nn.relu(y + shortcut), "post")
    np.testing.assert_allclose(infer(module, variables, X), expected, rtol=1e-4, atol=1e-5)


def test_an_unknown_placement_is_an_error():
    with pytest.raises(ValueError, match="placement is 'after'; it must be one of standard, pre"):
        BasicBlock(8, placement="after")


@pytest.mark.parametrize(
    ("block", "fields", "message"),
    [
        (
            PreActivationBasicBlock,
            {"average_shortcut": True},
            "average_shortcut is True, which PreActivationBasicBlock",
        ),
        (
            PreActivationBottleneck,
            {"dilations": (2, 2)},
            "dilations is .*, which PreActivationBottleneck does not have",
        ),
        (ShakeBasicBlock, {"anti_alias": lambda x: x}, "anti_alias is .*, which ShakeBasicBlock does not have; leave"),
        (BasicBlock, {"attention": SqueezeExcite(ratio=2)}, r"attention is an instance of SqueezeExcite; give Squeeze"),
    ],
)
def test_fields_that_would_be_ignored_are_refused(block, fields, message):
    with pytest.raises(ValueError, match=message):
        block(8, **fields)


class Tenfold(BatchNorm):
    def __call__(self, x, *, train):
        return 10 * super().__call__(x, train=train)


class Doubled(SqueezeExcite):
    def __call__(self, x: Any) -> Any:
        return 2 * super().__call__(x.mean((1, 2), keepdims=True) + x)


@pytest.mark.parametrize("fields", [{"norm": Tenfold}, {"attention": Doubled}])
def test_subclasses_keep_their_own_call_in_training(fields):
    module = BasicBlock(16, **fields)
    variables = initial_variables(module, X)
    train = partial(jax.jit, static_argnums=0)(lambda m: m.apply(variables, X, train=True, mutable=["batch_stats"])[0])
    with unfused():
        expected = train(module.clone(activation=partial(nn.relu)))  # A program of its own.
    np.testing.assert_allclose(train(module), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_drop_path_leaves_out_whole_branches_in_training_alone():
    module = BasicBlock(16, drop_path=0.5)
    x = jnp.repeat(X[:1], 64, axis=0)
    variables = initial_variables(module, x)
    kept = infer(module, variables, x)
    np.testing.assert_array_equal(kept, infer(BasicBlock(16), variables, x))
    rngs = {"dropout": jax.random.key(2)}
    train = partial(jax.jit, static_argnums=0)(lambda m: m.apply(variables, x, train=True, rngs=rngs, mutable=True)[0])
    y = train(module)
    left_out = (y == nn.relu(x)).all(axis=(1, 2, 3))
    assert 16 < left_out.sum() < 48
    plain = train(BasicBlock(16))
    unclipped = (plain > 0) & (y > 0) & ~left_out[:, None, None, None]
    assert unclipped.sum() > 1000
    np.testing.assert_allclose((y - x)[unclipped], 2 * (plain - x)[unclipped], rtol=1e-4, atol=1e-4)


def test_the_mean_shortcut_and_anti_aliasing_take_the_stride():
    module = Bottleneck(8, stride=2, stride_on_3x3=True, average_shortcut=True, anti_alias=lambda x: x[:, 1::2, 1::2])
    variables = initial_variables(module, X)
    y, captured = look_inside(module, variables, X)
    assert y.shape == (2, 4, 4, 32)
    sizes = {
        name: captured["intermediates"][name]["__call__"][0].shape[1] for name in ("conv2", "conv3", "shortcut_conv")
    }
    assert sizes == {"conv2": 8, "conv3": 4, "shortcut_conv": 4}
    pooled = X.reshape(2, 4, 2, 4, 2, 16).mean(axis=(2, 4))
    expected = jnp.einsum("nhwc,cd->nhwd", pooled, variables["params"]["shortcut_conv"]["kernel"][0, 0])
    np.testing.assert_allclose(
        captured["intermediates"]["shortcut_conv"]["__call__"][0], expected, rtol=1e-4, atol=1e-5
    )
