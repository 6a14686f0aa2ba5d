import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import senet_jax
from senet_jax.nnx import SqueezeExcite

X = jnp.asarray(np.random.default_rng(0).normal(size=(2, 4, 4, 8)), jnp.float32)


def parameters(block):
    return nnx.to_pure_dict(nnx.state(block, nnx.Param))


@pytest.mark.parametrize(
    "fields", [{}, {"ratio": 4, "use_bias": False}, {"hidden": 3, "squeeze": "max", "gate": "tanh"}]
)
def test_parameters_and_results_are_those_of_the_linen_block(fields):
    block = SqueezeExcite(8, **fields, rngs=nnx.Rngs(0))
    linen = senet_jax.SqueezeExcite(**fields)
    expected = jax.eval_shape(linen.init, jax.random.key(0), X)["params"]
    assert jax.tree.map(jnp.shape, parameters(block)) == jax.tree.map(jnp.shape, expected)
    np.testing.assert_array_equal(block(X), linen.apply({"params": parameters(block)}, X))


def test_gradients_reach_every_parameter_under_nnx_jit():
    block = SqueezeExcite(8, 2, rngs=nnx.Rngs(0))
    gradient = nnx.jit(nnx.grad(lambda block: jnp.sin(block(X)).sum()))(block)
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(gradient))


def test_a_layer_can_be_replaced():
    block = SqueezeExcite(8, 2, rngs=nnx.Rngs(0))
    before = block(X)
    block.reduce = nnx.LoRA(8, 2, 4, base_module=block.reduce, rngs=nnx.Rngs(1))
    np.testing.assert_allclose(block(X), before, rtol=1e-6)  # Its second factor begins with zeros.
    block.reduce.lora_b[...] = jnp.ones((2, 4))
    assert np.abs(block(X) - before).max() > 1e-3


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_types_are_those_of_the_linen_block(dtype):
    block, x = SqueezeExcite(8, dtype=dtype, rngs=nnx.Rngs(0)), X.astype(jnp.bfloat16)
    expected = senet_jax.SqueezeExcite(dtype=dtype).apply({"params": parameters(block)}, x)
    np.testing.assert_array_equal(block(x), expected)


def test_invalid_fields_raise():
    with pytest.raises(ValueError, match="x has 8 channels; this SqueezeExcite was made for 4"):
        SqueezeExcite(4, rngs=nnx.Rngs(0))(X)
    with pytest.raises(ValueError, match=r"SqueezeExcite's gate is 'sigmiod'; .* did you mean 'sigmoid'"):
        SqueezeExcite(8, gate="sigmiod", rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="channels is 0; it must be a positive whole number"):
        SqueezeExcite(0, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"takes floating-point inputs \(..., height, width, channels\)"):
        SqueezeExcite(8, rngs=nnx.Rngs(0))(X[0, 0])
