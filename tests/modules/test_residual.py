import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from senet_jax.modules import BasicBlock, Bottleneck, SqueezeExcite

X = jax.random.normal(jax.random.key(0), (2, 8, 8, 16))


class Times(nn.Module):
    factor: float

    def __call__(self, branch):
        return self.factor * branch


@pytest.mark.parametrize(("block", "width"), [(BasicBlock, 16), (Bottleneck, 4)])
def test_the_gates_weigh_the_branch_before_the_sum_and_leave_the_shortcut(block, width):
    def run(factor):
        module = block(width, attention=lambda name: Times(factor, name=name))
        variables = module.init(jax.random.key(1), X, train=False)
        return module.apply(variables, X, train=False)

    np.testing.assert_array_equal(run(0.0), nn.relu(X))
    branch = run(1e4) - X
    np.testing.assert_allclose(run(1e4), nn.relu(1e4 * (run_branch(block, width)) + X), rtol=1e-4, atol=1e-2)
    assert jnp.abs(branch).max() > 1


def run_branch(block, width):
    """The last normalisation's output, read from the inside."""
    module = block(width)
    variables = module.init(jax.random.key(1), X, train=False)
    _, captured = module.apply(variables, X, train=False, capture_intermediates=True)
    last = "norm2" if block is BasicBlock else "norm3"
    return captured["intermediates"][last]["__call__"][0]


@pytest.mark.parametrize(
    ("block", "width", "strided", "shape"),
    [(BasicBlock, 16, "conv1", (2, 4, 4, 16)), (Bottleneck, 8, "conv1", (2, 4, 4, 8))],
)
def test_the_stride_is_on_the_first_convolution(block, width, strided, shape):
    module = block(width, stride=2, attention=SqueezeExcite)
    variables = module.init(jax.random.key(1), X, train=False)
    y, captured = module.apply(variables, X, train=False, capture_intermediates=True)
    assert captured["intermediates"][strided]["__call__"][0].shape == shape
    assert y.shape == (2, 4, 4, width * block.expansion)


def test_an_unchanged_shape_needs_no_projection():
    names = jax.eval_shape(lambda: BasicBlock(16).init(jax.random.key(1), X, train=False))["params"].keys()
    assert set(names) == {"conv1", "norm1", "conv2", "norm2"}
