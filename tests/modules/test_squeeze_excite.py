import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from senet_jax import SqueezeExcite, ops

KEY = jax.random.key(0)


def keras_in_numpy(x, params):
    """GlobalAveragePooling2D, Dense(ch // ratio, relu), Dense(ch, sigmoid), multiply, as loops over numbers."""
    n, h, w, channels = x.shape
    hidden = params["reduce"]["kernel"].shape[1]
    out = np.empty_like(x)
    for i in range(n):
        pooled = [sum(x[i, a, b, c] for a in range(h) for b in range(w)) / (h * w) for c in range(channels)]
        reduced = [
            max(
                0.0,
                params["reduce"]["bias"][k]
                + sum(pooled[c] * params["reduce"]["kernel"][c, k] for c in range(channels)),
            )
            for k in range(hidden)
        ]
        for c in range(channels):
            logit = params["expand"]["bias"][c] + sum(
                reduced[k] * params["expand"]["kernel"][k, c] for k in range(hidden)
            )
            out[i, :, :, c] = x[i, :, :, c] / (1 + np.exp(-logit))
    return out


def test_equals_the_four_lines_of_keras(x64):
    x = np.random.default_rng(0).normal(size=(2, 4, 3, 16))
    block = SqueezeExcite(ratio=4, param_dtype=jnp.float64)
    variables = block.init(KEY, jnp.array(x))
    params = jax.tree.map(lambda p: jnp.array(np.random.default_rng(p.size).normal(size=p.shape)), variables["params"])
    y = block.apply({"params": params}, jnp.array(x))
    assert y.dtype == jnp.float64
    np.testing.assert_allclose(y, keras_in_numpy(x, params), rtol=1e-12)


def test_without_biases():
    params = SqueezeExcite(use_bias=False).init(KEY, jnp.zeros((1, 2, 2, 64)))["params"]
    assert jax.tree.map(jnp.shape, params) == {"reduce": {"kernel": (64, 4)}, "expand": {"kernel": (4, 64)}}


@pytest.mark.parametrize(
    ("channels", "fields", "hidden"),
    [
        (64, {}, 4),
        (64, {"ratio": 8}, 8),
        (60, {"ratio": 16}, 3),
        (8, {"ratio": 16}, 1),
        (64, {"ratio": 0.5}, 128),
        (64, {"hidden": 5}, 5),
        (64, {"hidden": 5, "ratio": 2}, 5),
        (64, {"ratio": 16, "divisor": 8}, 8),
        (320, {"ratio": 16, "divisor": 8}, 24),
        (288, {"ratio": 16, "divisor": 8}, 16),
    ],
)
def test_hidden_channels(channels, fields, hidden):
    shapes = jax.eval_shape(SqueezeExcite(**fields).init, KEY, jnp.zeros((1, 2, 2, channels)))
    assert shapes["params"]["reduce"]["kernel"].shape == (channels, hidden)


@pytest.mark.parametrize(
    ("field", "value"), [("ratio", 0), ("ratio", float("nan")), ("ratio", float("inf")), ("hidden", 0), ("divisor", -2)]
)
def test_a_field_that_is_not_positive_is_an_error_at_once(field, value):
    number = "number" if field == "ratio" else "whole number"
    with pytest.raises(ValueError, match=f"{field} is {value}; it must be a positive {number}"):
        SqueezeExcite(**{field: value})


def test_without_squeeze_every_position_has_gates_of_its_own():
    x = jax.random.normal(KEY, (2, 3, 5, 16))
    block = SqueezeExcite(ratio=4, squeeze="none")
    variables = block.init(KEY, x)
    p = variables["params"]
    assert jax.tree.map(jnp.shape, p) == jax.tree.map(jnp.shape, SqueezeExcite(ratio=4).init(KEY, x)["params"])
    hidden = jax.nn.relu(x @ p["reduce"]["kernel"] + p["reduce"]["bias"])
    s = jax.nn.sigmoid(hidden @ p["expand"]["kernel"] + p["expand"]["bias"])
    np.testing.assert_allclose(block.apply(variables, x), x * s, rtol=1e-5, atol=1e-6)


def test_functions_by_their_names():
    x = jax.random.normal(KEY, (2, 3, 3, 8))
    named = SqueezeExcite(ratio=2, squeeze="max", activation="silu", gate="hard_sigmoid")
    given = SqueezeExcite(ratio=2, squeeze=ops.squeeze_max, activation=jax.nn.silu, gate=jax.nn.hard_sigmoid)
    variables = named.init(KEY, x)
    np.testing.assert_array_equal(named.apply(variables, x), given.apply(variables, x))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        (
            "squeeze",
            "maxx",
            "squeeze is 'maxx'; it must be one of mean, max, both, none, or a function; did you mean 'max'?",
        ),
        ("activation", "swish9", "activation is 'swish9'; it must be one of relu, relu6, silu, "),
        ("gate", "sigmod", "sigmoid, tanh, relu, hard_sigmoid, or a function; did you mean 'sigmoid'?"),
    ],
)
def test_an_unknown_function_is_an_error_at_once(field, value, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        SqueezeExcite(**{field: value})


def test_squeeze_activation_and_gate_are_fields():
    x = jax.random.normal(KEY, (2, 3, 3, 4))
    block = SqueezeExcite(2, squeeze=partial(jnp.max, axis=(-3, -2)), activation=jnp.tanh, gate=jnp.cos)
    variables = block.init(KEY, x)
    p = variables["params"]
    hidden = jnp.tanh(x.max((1, 2)) @ p["reduce"]["kernel"] + p["reduce"]["bias"])
    s = jnp.cos(hidden @ p["expand"]["kernel"] + p["expand"]["bias"])
    np.testing.assert_allclose(block.apply(variables, x), x * s[:, None, None], rtol=1e-5)


class NnxNetwork(nnx.Module):
    def __init__(self, rngs):
        self.conv = nnx.Conv(3, 8, (3, 3), rngs=rngs)
        self.se = nnx.bridge.ToNNX(SqueezeExcite(ratio=2), rngs=rngs).lazy_init(jnp.zeros((1, 4, 4, 8)))

    def __call__(self, x):
        return self.se(self.conv(x))


def test_serves_in_an_nnx_network():
    network = NnxNetwork(nnx.Rngs(0))
    x = jax.random.normal(KEY, (2, 4, 4, 3))
    params = {name: {k: v[...] for k, v in getattr(network.se, name).items()} for name in ("reduce", "expand")}
    np.testing.assert_allclose(network(x), SqueezeExcite(ratio=2).apply({"params": params}, network.conv(x)), rtol=1e-6)
    gradient = nnx.jit(nnx.grad(lambda network: (network(x) ** 2).sum()))(network)
    assert all((leaf != 0).any() for leaf in jax.tree.leaves(gradient["se"]["expand"]))
