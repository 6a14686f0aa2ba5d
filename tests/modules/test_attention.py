import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from senet_jax import SqueezeExcite, ops
from senet_jax.modules.attention import (
    ATTENTIONS,
    CBAM,
    EfficientChannelAttention,
    GatherExcite,
    GlobalContext,
    SpatialChannelSqueezeExcite,
)

KEY = jax.random.key(0)
NAMES = sorted(ATTENTIONS)


def random(*shape, dtype=np.float32):
    return np.random.default_rng(shape).normal(size=shape).astype(dtype)


def random_variables(module, x, scale=1.0):
    shapes = jax.eval_shape(module.init, KEY, x)
    return jax.tree.map(lambda p: scale * random(*p.shape, dtype=p.dtype), shapes)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def dense(x, layer):
    return x @ layer["kernel"] + layer.get("bias", 0)


def excitation(z, p):
    return dense(np.maximum(dense(z, p["reduce"]), 0), p["expand"])


def effective(x, p):
    return x * np.clip(dense(x.mean((1, 2), keepdims=True), p["dense"]) / 6 + 0.5, 0, 1)


def eca(x, p):
    w = p["conv"]["kernel"][:, 0, 0]
    z = np.pad(x.mean((1, 2), keepdims=True), ((0, 0), (0, 0), (0, 0), (len(w) // 2, len(w) // 2)))
    return x * sigmoid(sum(w[j] * z[..., j : j + x.shape[-1]] for j in range(len(w))))


def scse(combine):
    def formula(x, p):
        channels = x * sigmoid(excitation(x.mean((1, 2), keepdims=True), p))
        return combine(channels, x * sigmoid(dense(x, p["spatial"])))

    return formula


def cbam(x, p):
    x = x * sigmoid(excitation(x.mean((1, 2), keepdims=True), p) + excitation(x.max((1, 2), keepdims=True), p))
    kernel = p["spatial"]["kernel"]
    reach, (_, h, w, _) = len(kernel) // 2, x.shape
    y = np.pad(np.stack([x.mean(-1), x.max(-1)], -1), ((0, 0), (reach, reach), (reach, reach), (0, 0)))
    taps = np.ndindex(kernel.shape[:2])
    return x * sigmoid(sum(y[:, i : i + h, j : j + w] @ kernel[i, j] for i, j in taps))


def gather_excite(extent):
    def formula(x, p):
        y = np.empty_like(x)
        height, width = x.shape[1:3]
        for i, j in np.ndindex(height, width):
            row, column = (extent * int(k * -(-size // extent) / size) for k, size in ((i, height), (j, width)))
            around = [slice(max(0, k - extent + 1), k + extent) for k in (row, column)]
            z = x[:, *around].mean((1, 2))
            y[:, i, j] = x[:, i, j] * sigmoid(excitation(z, p) if p else z)
        return y

    return formula


def context(x, p):
    weights = np.exp(x @ p["context"]["kernel"])
    z = (x * weights).sum((1, 2), keepdims=True) / weights.sum((1, 2), keepdims=True)
    z = dense(z, p["reduce"])
    z = (z - z.mean(-1, keepdims=True)) / np.sqrt(z.var(-1, keepdims=True) + 1e-5)
    return dense(np.maximum(z * p["norm"]["scale"] + p["norm"]["bias"], 0), p["expand"])


@pytest.mark.parametrize(
    ("name", "fields", "formula"),
    [
        ("effective", {}, effective),
        ("eca", {}, eca),
        ("eca", {"kernel_size": 5}, eca),
        ("scse", {"ratio": 2}, scse(np.maximum)),
        ("scse", {"combine": "sum", "use_bias": False}, scse(np.add)),
        ("scse", {"combine": "product"}, scse(np.multiply)),
        ("cbam", {"ratio": 4}, cbam),
        ("cbam", {"kernel_size": 3, "use_bias": True}, cbam),
        ("gather_excite", {}, lambda x, p: x * sigmoid(x.mean((1, 2), keepdims=True))),
        ("gather_excite", {"extent": 2}, gather_excite(2)),
        ("gather_excite", {"extent": 4}, gather_excite(4)),
        ("gather_excite", {"extent": 4, "ratio": 4}, gather_excite(4)),
        ("gather_excite", {"extent": 8, "hidden": 3}, gather_excite(8)),
        ("global_context", {"ratio": 2}, lambda x, p: x + context(x, p)),
        ("global_context", {"ratio": 2, "fuse": "scale"}, lambda x, p: x * sigmoid(context(x, p))),
    ],
)
def test_is_the_formula_of_its_paper(x64, name, fields, formula):
    x = random(2, 14, 9, 16, dtype=np.float64)
    module = ATTENTIONS[name](**fields, param_dtype=jnp.float64)
    variables = random_variables(module, x)
    y = jax.jit(module.apply)(variables, x)
    assert y.dtype == jnp.float64
    np.testing.assert_allclose(y, formula(x, variables.get("params")), rtol=1e-10, atol=1e-12)


LAYERS = {"reduce": {"kernel": (40, 2), "bias": (2,)}, "expand": {"kernel": (2, 40), "bias": (40,)}}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("squeeze_excite", LAYERS),
        ("effective", {"dense": {"kernel": (40, 40), "bias": (40,)}}),
        ("eca", {"conv": {"kernel": (3, 1, 1)}}),
        ("scse", LAYERS | {"spatial": {"kernel": (40, 1), "bias": (1,)}}),
        ("cbam", {"reduce": {"kernel": (40, 2)}, "expand": {"kernel": (2, 40)}, "spatial": {"kernel": (7, 7, 2, 1)}}),
        ("gather_excite", {}),
        ("global_context", LAYERS | {"context": {"kernel": (40, 1)}, "norm": {"scale": (2,), "bias": (2,)}}),
    ],
)
def test_parameters(name, expected):
    variables = jax.eval_shape(ATTENTIONS[name]().init, KEY, jnp.zeros((1, 4, 4, 40)))
    assert jax.tree.map(jnp.shape, variables) == ({"params": expected} if expected else {})


@pytest.mark.parametrize(
    ("channels", "kernel_size"), [(4, 1), (8, 3), (64, 3), (128, 5), (256, 5), (1024, 5), (2048, 7)]
)
def test_kernel_size_of_eca(channels, kernel_size):
    variables = jax.eval_shape(EfficientChannelAttention().init, KEY, jnp.zeros((1, 2, 2, channels)))
    assert variables["params"]["conv"]["kernel"].shape == (kernel_size, 1, 1)


def test_gather_excite_of_the_whole_map_with_a_ratio_is_squeeze_excite():
    x = jnp.array(random(2, 3, 3, 8))
    variables = jax.tree.map(jnp.array, random_variables(SqueezeExcite(2), x))
    np.testing.assert_array_equal(GatherExcite(2).apply(variables, x), SqueezeExcite(2).apply(variables, x))


def test_global_context_starts_as_the_identity():
    x = random(2, 3, 3, 8)
    y, _ = jax.jit(GlobalContext(2).init_with_output)(KEY, x)
    np.testing.assert_array_equal(y, x)


@pytest.mark.parametrize("name", NAMES)
def test_bfloat16_data_have_float32_gates_and_parameters(name):
    gates = []

    def gate(logits):
        gates.append(logits.dtype)
        return jax.nn.sigmoid(logits)

    fields = {"fuse": "scale"} if name == "global_context" else {}
    module = ATTENTIONS[name](gate=gate, **fields)
    x = random(2, 5, 4, 32, dtype=jnp.bfloat16)
    variables = random_variables(module, x, scale=0.2)
    y = jax.jit(module.apply)(variables, x)
    assert (y.dtype, y.shape) == (jnp.bfloat16, x.shape)
    assert set(gates) == {jnp.dtype("float32")}
    assert {p.dtype for p in jax.tree.leaves(variables)} <= {jnp.dtype("float32")}
    exact = jax.jit(module.apply)(variables, x.astype(jnp.float32))
    np.testing.assert_allclose(y.astype(jnp.float32), exact, rtol=0.02)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_finite_and_reach_every_parameter(name):
    module, x = ATTENTIONS[name](), random(2, 5, 4, 32)
    variables = random_variables(module, x, scale=0.2)
    gradient = jax.grad(lambda variables, x: (module.apply(variables, x) ** 2).sum(), argnums=(0, 1))
    gradients = jax.jit(gradient)(variables, x)
    for gradient in jax.tree.leaves(gradients):
        assert np.isfinite(gradient).all()
        assert np.any(gradient)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(4, 5, 8), (3, 2, 4, 5, 8)])
def test_leading_dimensions_are_a_batch(name, shape):
    x = random(*shape)
    module = ATTENTIONS[name](**{"gather_excite": {"extent": 2}, "global_context": {"ratio": 2}}.get(name, {}))
    variables = random_variables(module, x)
    at_once = jax.jit(module.apply)(variables, x.reshape(-1, 4, 5, 8)).reshape(shape)
    np.testing.assert_allclose(jax.jit(module.apply)(variables, x), at_once, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_an_input_without_positions_is_an_error(name):
    with pytest.raises(
        ValueError, match=r"takes floating-point inputs \(..., height, width, channels\); given .* \(2, 8\)"
    ):
        ATTENTIONS[name]().init(KEY, jnp.zeros((2, 8)))


@pytest.mark.parametrize("name", NAMES)
def test_an_input_of_integers_is_an_error(name, unchecked_types):
    with pytest.raises(ValueError, match=r"takes floating-point .* of shape \(2, 4, 4, 8\) and dtype uint8"):
        ATTENTIONS[name]().init(KEY, jnp.zeros((2, 4, 4, 8), jnp.uint8))


@pytest.mark.parametrize("module", [SqueezeExcite(squeeze="max"), CBAM()])
def test_a_batch_of_no_images(module):
    assert module.init_with_output(KEY, jnp.zeros((0, 4, 4, 8)))[0].shape == (0, 4, 4, 8)


def test_the_means_of_windows_are_taken_in_float32():
    x = jnp.full((1, 32, 32, 8), 0.3, jnp.bfloat16)
    np.testing.assert_allclose(ops.gather(x, 8), np.float32(x[0, 0, 0, 0]), rtol=1e-6)


def test_one_hidden_channel_cannot_be_normalised():
    with pytest.raises(
        ValueError, match=r"GlobalContext with ratio 16 has 1 hidden channel for 31, .*; give a smaller"
    ):
        GlobalContext().init(KEY, jnp.zeros((1, 2, 2, 31)))


def test_gradients_of_gates_are_summed_in_float32():
    x = jnp.ones((1, 56, 56, 3), jnp.bfloat16)
    gates = jnp.ones((1, 3))
    gradient = jax.grad(lambda s: ops.scale(x, s).astype(jnp.float32).sum())(gates)
    np.testing.assert_array_equal(gradient, 56 * 56)


@pytest.mark.parametrize(
    ("module", "fields", "message"),
    [
        (EfficientChannelAttention, {"kernel_size": 4}, "kernel_size is 4; it must be a positive odd number, or None"),
        (EfficientChannelAttention, {"gate": "tanhh"}, "or a function; did you mean 'tanh'?"),
        (CBAM, {"kernel_size": 0}, "CBAM's kernel_size is 0; it must be a positive odd number"),
        (CBAM, {"ratio": 0}, "CBAM's ratio is 0; it must be a positive number"),
        (GatherExcite, {"extent": -2}, "extent is -2; it must be a positive whole number, or 0 for the whole map"),
        (GatherExcite, {"ratio": -1}, "ratio is -1; it must be a positive number"),
        (SpatialChannelSqueezeExcite, {"combine": "max"}, "one of maximum, sum, product, or a function"),
        (GlobalContext, {"fuse": "mul"}, "fuse is 'mul'; it must be one of add, scale, or a function"),
    ],
)
def test_an_invalid_field_raises_at_once(module, fields, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        module(**fields)
