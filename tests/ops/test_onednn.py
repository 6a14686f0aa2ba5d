"""The calls themselves, without the choice of forms. Their results in networks are in test_convolution.py."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from senet_jax import ops
from senet_jax.ops import onednn
from senet_jax.ops.windows import Window, xla_convolution

pytestmark = [
    pytest.mark.optimised,
    pytest.mark.skipif(not onednn.serves(jnp.float32), reason="oneDNN's calls are tried on x86-64 Linux alone"),
]


def normal(*shape):
    return jnp.asarray(np.random.default_rng(sum(shape)).standard_normal(shape), jnp.float32)


@pytest.mark.parametrize(
    "window",
    [
        Window(padding=((1, 1), (0, 2))),
        Window(stride=(2, 1), padding=((0, 1), (1, 1))),
        Window(padding=((2, 2), (2, 2)), dilation=(2, 2)),
        Window(stride=(2, 2), padding=((1, 1), (1, 1)), groups=4),
    ],
)
def test_convolution(window):
    x, kernel = normal(2, 9, 8, 8), normal(3, 3, 8 // window.groups, 12)
    found = jax.jit(lambda x, kernel: onednn.convolution(x, kernel, window))(x, kernel)
    np.testing.assert_allclose(found, xla_convolution(x, kernel, window), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("groups", [1, 3])
def test_transposed_convolution(groups):
    x, kernel, window = normal(2, 5, 6, 12), normal(3, 2, 4, 12), Window(padding=((1, 1), (1, 0)), groups=groups)
    found = jax.jit(lambda x, kernel: onednn.transposed_convolution(x, kernel, window))(x, kernel)
    parts = [
        xla_convolution(own, part.swapaxes(2, 3), window._replace(groups=1))
        for own, part in zip(jnp.split(x, groups, axis=3), jnp.split(kernel, groups, axis=3), strict=True)
    ]
    np.testing.assert_allclose(found, jnp.concatenate(parts, axis=3), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("blocks", [1, 3])
def test_product(blocks):
    x, y = normal(50, blocks, 4), normal(50, blocks, 7)
    found = jax.jit(onednn.product)(x, y)
    np.testing.assert_allclose(found, jnp.einsum("kbm,kbn->bmn", x, y), rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(not onednn.serves(jnp.bfloat16), reason="this CPU has no AMX")
def test_bfloat16_is_computed_as_such_and_summed_in_float32():
    x, kernel = (z.astype(jnp.bfloat16) for z in (normal(2, 9, 8, 64), normal(3, 3, 64, 16)))
    program = jax.jit(lambda x, kernel: ops.convolution(x, kernel, padding=1))
    assert "f32" not in program.lower(x, kernel).as_text()
    exact = ops.convolution(x.astype(jnp.float32), kernel.astype(jnp.float32), padding=1, lowering="xla")
    np.testing.assert_allclose(program(x, kernel).astype(jnp.float32), exact, rtol=2**-7, atol=0.1)
    many = jnp.ones((5000, 1, 2), jnp.bfloat16)
    np.testing.assert_array_equal(jax.jit(onednn.product)(many, many), jnp.full((1, 2, 2), 5000.0))


def test_a_program_that_is_kept_has_no_calls_of_onednn():
    x, kernel = normal(1, 4, 4, 2), normal(3, 3, 2, 3)
    program = jax.jit(lambda x, kernel: ops.convolution(x, kernel, padding=1))
    assert "onednn" in program.lower(x, kernel).as_text()
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)
    assert "onednn" not in jax.jit(program).lower(x, kernel).as_text()
