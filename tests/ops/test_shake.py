import jax
import jax.numpy as jnp
import numpy as np
import pytest

from senet_jax.ops.shake import shake

pytestmark = pytest.mark.optimised

RANDOM = np.random.default_rng(0)
FIRST, SECOND, GRADIENT = (jnp.array(RANDOM.normal(size=(3, 2, 4, 5)), jnp.float32) for _ in range(3))
FORWARD, BACKWARD = jnp.array([0.0, 0.25, 1.0]), jnp.array([0.5, 1.0, 0.125])


def weighted(weights, x):
    return np.stack([weight * example for weight, example in zip(weights, x, strict=True)])


def test_values_have_the_forward_and_gradients_the_backward_weights():
    value, gradients = jax.vjp(shake, FIRST, SECOND, FORWARD, BACKWARD)
    np.testing.assert_array_equal(value, weighted(FORWARD, FIRST) + weighted(1 - FORWARD, SECOND))
    first, second, *of_weights = gradients(GRADIENT)
    np.testing.assert_array_equal(first, weighted(BACKWARD, GRADIENT))
    np.testing.assert_array_equal(second, weighted(1 - BACKWARD, GRADIENT))
    assert not any(gradient.any() for gradient in of_weights)


def test_bfloat16_is_mixed_in_float32():
    half = [x.astype(jnp.bfloat16) for x in (FIRST, SECOND)]
    value, gradients = jax.vjp(shake, *half, FORWARD, BACKWARD)
    exact = shake(*(x.astype(jnp.float32) for x in half), FORWARD, BACKWARD)
    assert value.dtype == jnp.bfloat16
    np.testing.assert_array_equal(value, exact.astype(jnp.bfloat16))
    assert {gradient.dtype for gradient in gradients(value)[:2]} == {jnp.dtype(jnp.bfloat16)}
