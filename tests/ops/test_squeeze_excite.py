import jax
import jax.numpy as jnp
import numpy as np
from jax.test_util import check_grads

from senet_jax import ops


def test_squeeze_is_the_mean_over_positions_summed_in_float32():
    x = jnp.full((2, 64, 64, 3), 1.01, jnp.bfloat16)
    z = ops.squeeze(x)
    assert z.dtype == jnp.float32
    np.testing.assert_array_equal(z, np.float32(x[0, 0, 0, 0]))


def test_excite_without_biases_is_equation_3():
    rng = np.random.default_rng(0)
    z, w1, w2 = rng.normal(size=(5, 8)), rng.normal(size=(8, 2)), rng.normal(size=(2, 8))
    s = ops.excite(*map(jnp.float32, (z, w1)), None, jnp.float32(w2), None)
    np.testing.assert_allclose(s, 1 / (1 + np.exp(-np.maximum(z @ w1, 0) @ w2)), rtol=1e-5)


def test_excite_takes_other_activations():
    z, eye = jnp.array([[-1.0, 2.0]]), jnp.eye(2)
    s = ops.excite(z, eye, None, eye, None, activation=jnp.abs, gate=jnp.square)
    np.testing.assert_array_equal(s, [[1.0, 4.0]])


def test_scale_keeps_the_type_of_x():
    x, s = jnp.ones((2, 3, 3, 4), jnp.bfloat16), jnp.arange(8.0).reshape(2, 4)
    y = ops.scale(x, s)
    assert y.dtype == jnp.bfloat16
    np.testing.assert_array_equal(y[:, 1, 2], s)


def test_gradients(x64):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 3, 3, 4))
    weights = [rng.normal(size=shape) for shape in ((4, 2), (2,), (2, 4), (4,))]

    def block(x, *weights):
        return ops.scale(x, ops.excite(ops.squeeze(x), *weights, activation=jnp.tanh))

    check_grads(jax.jit(block), (jnp.array(x), *map(jnp.array, weights)), order=1, modes=("rev",))
