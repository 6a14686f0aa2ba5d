import jax.numpy as jnp
import numpy as np

from senet_jax.ops.shuffle import shuffle_channels


def test_the_first_channels_of_all_groups_come_first():
    x = jnp.arange(12.0).reshape(1, 1, 2, 6)
    shuffled = shuffle_channels(x, 3)
    np.testing.assert_array_equal(shuffled[0, 0], [[0, 2, 4, 1, 3, 5], [6, 8, 10, 7, 9, 11]])
    np.testing.assert_array_equal(shuffle_channels(shuffled, 2), x)
