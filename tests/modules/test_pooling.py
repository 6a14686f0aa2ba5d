"""Means over windows against Flax's own."""

import jax
import numpy as np
import pytest
from flax import linen as nn

from senet_jax.modules.pooling import average_pool


@pytest.mark.parametrize(
    ("size", "stride", "padding", "count_padding"),
    [
        (3, 1, (1, 1), False),
        (3, 2, (0, 1), False),
        (3, 2, (1, 1), True),
        (2, 2, "SAME", False),
        (2, 1, "SAME", True),
        (2, 2, "VALID", True),
    ],
)
def test_means_are_those_of_flax(size, stride, padding, count_padding):
    x = jax.random.normal(jax.random.key(0), (2, 9, 8, 3))
    sides = padding if isinstance(padding, str) else (padding, padding)
    expected = nn.avg_pool(x, (size, size), (stride, stride), sides, count_include_pad=count_padding)
    np.testing.assert_allclose(average_pool(x, size, stride, padding, count_padding), expected, rtol=1e-6, atol=1e-6)
