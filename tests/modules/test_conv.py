"""The convolution's module against Flax's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from senet_jax.modules.conv import Convolution


@pytest.mark.parametrize("lowering", ["platform", "xla"])
@pytest.mark.parametrize(
    ("settings", "flax_settings"),
    [
        ({}, {"padding": 1}),
        ({"stride": 2, "groups": 2, "use_bias": True}, {"padding": 1, "strides": 2, "feature_group_count": 2}),
        ({"dilation": 2, "dtype": jnp.bfloat16}, {"padding": 2, "kernel_dilation": 2, "dtype": jnp.bfloat16}),
        ({"padding": "VALID", "param_dtype": jnp.bfloat16}, {"padding": "VALID", "param_dtype": jnp.bfloat16}),
        ({"padding": "SAME", "stride": 2}, {"padding": "SAME", "strides": 2}),
        ({"padding": 0}, {"padding": 0}),
    ],
)
def test_numbers_and_initial_parameters_are_those_of_flax(settings, flax_settings, lowering):
    x = jax.random.normal(jax.random.key(1), (2, 7, 8, 4))
    flax_settings = {"use_bias": False, "kernel_init": nn.initializers.he_normal()} | flax_settings
    ours, theirs = Convolution(6, 3, name="conv", lowering=lowering, **settings), nn.Conv(6, (3, 3), **flax_settings)
    if settings.get("use_bias"):
        theirs = theirs.clone(use_bias=True)
    (y, variables), (expected, flax_variables) = (
        model.init_with_output(jax.random.key(0), x) for model in (ours, theirs)
    )
    jax.tree.map(np.testing.assert_array_equal, variables, flax_variables)
    assert y.dtype == expected.dtype
    tolerance = 1e-6 if y.dtype == jnp.float32 else 2**-7
    np.testing.assert_allclose(*(np.asarray(z, np.float32) for z in (y, expected)), atol=tolerance, rtol=tolerance)


def test_the_gradient_of_a_bias_is_summed_in_float32():
    conv, x = Convolution(2, 1, use_bias=True, dtype=jnp.bfloat16, name="conv"), jnp.ones((1, 56, 56, 1))
    variables = conv.init(jax.random.key(0), x)
    gradient = jax.grad(lambda variables: conv.apply(variables, x).astype(jnp.float32).sum())(variables)
    np.testing.assert_array_equal(gradient["params"]["bias"], 56 * 56)


def test_groups_divide_the_channels():
    with pytest.raises(ValueError, match="groups is 3; it must divide the input's 4 channels"):
        Convolution(6, 3, name="conv", groups=3).init(jax.random.key(0), jnp.zeros((1, 5, 5, 4)))
