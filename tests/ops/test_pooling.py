"""Maxima over windows against XLA's own."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compilation import quickly
from flax import linen as nn

from senet_jax import ops
from senet_jax.ops.plain import plain

pytestmark = pytest.mark.optimised


def theirs(x, size, stride, padding):
    return nn.max_pool(x, (size, size), strides=(stride, stride), padding=(padding, padding))


@partial(jax.jit, static_argnums=range(4))
def value_and_gradient(pool, size, stride, padding, x):
    y, backward = jax.vjp(lambda x: pool(x, size, stride, padding), x)
    return y, backward(jnp.arange(y.size).reshape(y.shape).astype(x.dtype))[0]


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize(
    ("size", "stride", "padding"), [(3, 2, (0, 1)), (3, 2, (1, 1)), (3, 1, (1, 1)), (2, 2, (0, 0)), (3, 2, (0, 2))]
)
def test_value_and_gradient(size, stride, padding, dtype):
    # Every value is there once, and all below zero, so that a border of zeros would be seen.
    x = -1 - jnp.asarray(np.random.default_rng(0).permutation(2 * 9 * 8).reshape(2, 9, 8, 1), dtype)
    y, gradient = value_and_gradient(ops.max_pool, size, stride, padding, x)
    with quickly():
        expected, expected_gradient = value_and_gradient(theirs, size, stride, padding, x)
    np.testing.assert_array_equal(y, expected)
    # The sums of several windows' gradients are rounded in another order.
    np.testing.assert_allclose(
        *(np.asarray(each, np.float32) for each in (gradient, expected_gradient)),
        rtol=0 if dtype == jnp.float32 else 2**-6,
    )


def test_equal_maxima_share_the_gradient():
    gradient = jax.jit(jax.grad(lambda x: ops.max_pool(x, 3, 2, (0, 1)).sum()))(jnp.ones((1, 3, 3, 1)))
    assert gradient.sum() == 1
    assert (gradient >= 0).all()


def test_the_forms_are_those_of_the_platform():
    def text(platform):
        program = jax.jit(jax.grad(lambda x: ops.max_pool(x, 3, 2, (0, 1)).sum())).trace(jnp.ones((1, 8, 8, 2)))
        return program.lower(lowering_platforms=(platform,)).as_text()

    assert "select_and_scatter" not in text("cpu")
    assert "select_and_scatter" in text("cuda")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "stride", "padding"), [(3, 2, (1, 1)), (3, 2, (0, 1)), (2, 2, (0, 0)), (3, 1, (1, 1))]
)
@quickly()
def test_slices_give_the_same_maxima(size, stride, padding):
    x = jnp.asarray(np.random.default_rng(0).normal(-5, 1, (2, 9, 8, 3)), jnp.float32)
    with plain():
        sliced = ops.max_pool(x, size, stride, padding)
    np.testing.assert_array_equal(sliced, ops.max_pool(x, size, stride, padding))
