from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_variables import initial_variables

from senet_jax import SqueezeExcite
from senet_jax.modules.shake import ShakeBasicBlock, ShakeBottleneck

pytestmark = pytest.mark.optimised

X = jax.random.normal(jax.random.key(0), (6, 5, 4, 8))


def branches(block, variables, x, **settings):
    """Returns the outputs of the branches and of the block."""
    rngs = {"dropout": jax.random.key(2)}
    look = partial(block.apply, capture_intermediates=True, mutable=True, rngs=rngs, **settings)
    y, captured = jax.jit(look)(variables, x)
    last = 2 if isinstance(block, ShakeBasicBlock) else 3
    return *(captured["intermediates"][f"branch{i}_conv{last}"]["__call__"][0] for i in (1, 2)), y


@pytest.mark.parametrize("block", [ShakeBasicBlock(8), ShakeBottleneck(2)])
def test_inference_takes_the_mean_of_the_branches(block):
    variables = initial_variables(block, X)
    first, second, y = branches(block, variables, X, train=False)
    total = (first + second) / 2 + X
    np.testing.assert_allclose(y, total if isinstance(block, ShakeBasicBlock) else jax.nn.relu(total), atol=1e-6)


def test_training_weighs_the_branches_of_every_example_by_numbers_of_its_own():
    block = ShakeBasicBlock(8)
    variables = initial_variables(block, X)
    first, second, y = map(np.asarray, branches(block, variables, X, train=True))
    difference = (first - second).reshape(6, -1)
    weights = ((np.asarray(y - X) - second).reshape(6, -1) * difference).sum(1) / (difference**2).sum(1)
    rebuilt = weights[:, None] * difference + second.reshape(6, -1)
    np.testing.assert_allclose(rebuilt, np.asarray(y - X).reshape(6, -1), atol=1e-5)
    assert (weights.min() > 0) & (weights.max() < 1)
    assert np.diff(np.sort(weights)).min() > 1e-3


@pytest.mark.parametrize(("even", "distinct"), [(True, 1), (False, 6)])
def test_the_gradient_is_divided_evenly_or_at_random(even, distinct):
    """Each branch's last bias receives the gradient times the branch's weight; the two weights sum to 1."""
    block = ShakeBasicBlock(8, even_backward=even)
    variables = initial_variables(block, X)

    @jax.jit
    def share(example):
        def total(params):
            rngs = {"dropout": jax.random.key(3)}
            y, _ = block.apply(variables | {"params": params}, X, train=True, mutable=["batch_stats"], rngs=rngs)
            return y[example].sum()

        gradient = jax.grad(total)(variables["params"])
        return [gradient[f"branch{i}_conv2"]["norm"]["bias"][0] / X[0, ..., 0].size for i in (1, 2)]

    shares = np.array([share(example) for example in range(6)])
    np.testing.assert_allclose(shares.sum(1), 1, rtol=1e-5)
    assert len(set(shares[:, 0].round(5))) == distinct
    assert not even or (shares == 0.5).all()


def test_a_shortcut_that_changes_shape_sees_the_map_and_the_map_moved_by_one():
    block = ShakeBasicBlock(2, stride=2)
    x = jnp.abs(X[:1, :, :, :1])
    variables = initial_variables(block, x)
    ones = jax.tree.map(jnp.ones_like, variables["params"])
    zero = {name: jax.tree.map(jnp.zeros_like, value) for name, value in ones.items() if name.startswith("branch")}
    zero["shortcut_norm"] = ones["shortcut_norm"] | {"bias": jnp.zeros(2)}
    y = jax.jit(partial(block.apply, train=False))(variables | {"params": ones | zero}, x)
    moved = np.pad(x, ((0, 0), (1, 0), (1, 0), (0, 0)))
    np.testing.assert_allclose(y[..., 0], x[:, ::2, ::2, 0], rtol=1e-4)
    np.testing.assert_allclose(y[..., 1], moved[:, :-1:2, :-1:2, 0], rtol=1e-4)


def test_attention_stands_after_the_mean_and_has_no_inner_place():
    block = ShakeBasicBlock(8, attention=partial(SqueezeExcite, ratio=4))
    variables = initial_variables(block, X)
    closed = variables["params"]["se"] | {"expand": {"kernel": jnp.zeros((2, 8)), "bias": jnp.full(8, -100.0)}}
    variables |= {"params": variables["params"] | {"se": closed}}
    np.testing.assert_allclose(jax.jit(partial(block.apply, train=False))(variables, X), X, atol=1e-6)
    with pytest.raises(ValueError, match="placement is 'inner'; it must be one of standard, pre, post, identity"):
        ShakeBottleneck(8, placement="inner")
