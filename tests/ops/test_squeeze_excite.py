import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from senet_jax import ops


def test_squeeze_is_the_mean_over_positions_summed_in_float32():
    x = jnp.full((2, 64, 64, 3), 1.01, jnp.bfloat16)
    z = ops.squeeze(x)
    assert z.dtype == jnp.float32
    np.testing.assert_array_equal(z, np.float32(x[0, 0, 0, 0]))


@pytest.mark.parametrize(
    ("name", "expected"),
    [("mean", [[3.0, 4.0]]), ("max", [[6.0, 8.0]]), ("both", [[4.5, 6.0]]), ("none", [[[[0.0, 8.0], [6.0, 0.0]]]])],
)
def test_squeezes(name, expected):
    z = ops.SQUEEZES[name](jnp.array([[[[0, 8], [6, 0]]]], jnp.bfloat16))
    assert z.dtype == jnp.float32
    np.testing.assert_array_equal(z, expected)


@pytest.mark.slow
def test_the_gradient_of_the_maximum_goes_to_the_first_of_the_largest():
    x = jnp.array([[[1.0, 5], [3, 5]], [[3, 2], [0, 5]]])
    np.testing.assert_array_equal(jax.grad(lambda x: ops.squeeze_max(x).sum())(x), [[[0, 1], [1, 0]], [[0, 0], [0, 0]]])
    check_grads(lambda x: ops.largest(jnp.asarray(x), 1), (x + jnp.arange(8).reshape(x.shape) / 10,), 2, eps=1e-2)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sigmoid", [1 / (1 + np.exp(4)), 1 / (1 + np.exp(1)), 0.5, 1 / (1 + np.exp(-2)), 1 / (1 + np.exp(-4))]),
        ("tanh", [-0.9993293, -0.7615942, 0, 0.9640276, 0.9993293]),
        ("relu", [0, 0, 0, 2, 4]),
        ("hard_sigmoid", [0, 2 / 6, 3 / 6, 5 / 6, 1]),
    ],
)
def test_gates(name, expected):
    np.testing.assert_allclose(ops.GATES[name](jnp.array([-4.0, -1, 0, 2, 4])), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("relu", [0, 0, 0, 2, 8]),
        ("relu6", [0, 0, 0, 2, 6]),
        ("silu", [-0.07194484, -0.2689414, 0, 1.761594, 7.997317]),
        ("gelu", [-1.266850e-4, -0.1586553, 0, 1.954500, 8]),
        ("hard_swish", [0, -2 / 6, 0, 10 / 6, 8]),
        ("tanh", [-0.9993293, -0.7615942, 0, 0.9640276, 0.9999998]),
    ],
)
def test_activations(name, expected):
    np.testing.assert_allclose(ops.ACTIVATIONS[name](jnp.array([-4.0, -1, 0, 2, 8])), expected, rtol=2e-5, atol=1e-7)


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


def test_gather_and_enlarge():
    x = jnp.arange(5.0).reshape(5, 1, 1)
    z = ops.gather(x, 2)
    np.testing.assert_array_equal(z.ravel(), [(0 + 1) / 2, (1 + 2 + 3) / 3, (3 + 4) / 2])
    np.testing.assert_array_equal(ops.enlarge(z, 5, 2)[:, 1].ravel(), [0.5, 0.5, 2, 2, 3.5])


def test_scale_by_gates_of_each_position():
    x, s = jnp.ones((2, 3, 3, 4)), jnp.arange(72.0).reshape(2, 3, 3, 4)
    np.testing.assert_array_equal(ops.scale(x, s), s)
    np.testing.assert_array_equal(ops.scale(x, s[..., :1])[..., 3], s[..., 0])


def test_gradients(x64):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 3, 3, 4))
    weights = [rng.normal(size=shape) for shape in ((4, 2), (2,), (2, 4), (4,))]

    def block(x, *weights):
        return ops.scale(x, ops.excite(ops.squeeze(x), *weights, activation=jnp.tanh))

    check_grads(jax.jit(block), (jnp.array(x), *map(jnp.array, weights)), order=1, modes=("rev",))


def test_ranks_are_promoted_by_hand():
    shapes = [(4,), (2, 4), (2, 3, 3, 4)]
    weights = jnp.ones((4, 2)), jnp.ones(2), jnp.ones((2, 4)), jnp.ones(4)
    with jax.numpy_rank_promotion("raise"):
        assert [ops.excite(jnp.ones(shape), *weights).shape for shape in shapes] == shapes
