import jax.numpy as jnp
import numpy as np
import pytest

from senet_jax import ops


@pytest.mark.parametrize("group", [None, 1, 2, 6])
def test_moments_are_those_of_each_group(group):
    x = np.random.default_rng(0).normal(3.0, 2.0, (6, 4, 5, 3)).astype(np.float32)
    mean, variance = ops.group_moments(jnp.array(x), group)
    size = group or 6
    for i, examples in enumerate(np.split(x, 6 // size)):
        np.testing.assert_allclose(mean[i], examples.mean((0, 1, 2)), rtol=1e-5)
        np.testing.assert_allclose(variance[i], examples.var((0, 1, 2)), rtol=1e-5)


def test_variance_does_not_cancel_if_the_mean_is_large():
    x = 1000 + np.random.default_rng(0).normal(size=(4, 8, 8, 2)).astype(np.float32)
    _, variance = ops.group_moments(jnp.array(x))
    np.testing.assert_allclose(variance[0], x.astype(np.float64).var((0, 1, 2)), rtol=1e-3)


@pytest.mark.parametrize("group", [4, 0, -1, 12])
def test_a_group_that_does_not_divide_the_batch_is_an_error(group):
    with pytest.raises(ValueError, match=f"group of {group} does not divide the batch of 6 examples"):
        ops.group_moments(jnp.zeros((6, 2, 2, 1)), group)


def test_normalise_uses_the_statistics_of_the_examples_group():
    x = np.random.default_rng(0).normal(size=(4, 2, 2, 3)).astype(np.float32)
    mean, variance = np.array([[0.0, 1, 2], [3, 4, 5]], np.float32), np.array([[1.0, 2, 3], [4, 5, 6]], np.float32)
    gain, bias = np.array([1.0, 2, 3], np.float32), np.array([-1.0, 0, 1], np.float32)
    y = ops.normalise(*map(jnp.array, (x, mean, variance, gain, bias)), epsilon=0.5)
    for i, group in enumerate([0, 0, 1, 1]):
        expected = (x[i] - mean[group]) / np.sqrt(variance[group] + 0.5) * gain + bias
        np.testing.assert_allclose(y[i], expected, rtol=1e-5, atol=1e-6)
