"""The channel shuffle (Zhang et al., arXiv 1707.01083, section 3.1)."""

from senet_jax.typing import Array, Float


def shuffle_channels(x: Float[Array, "n h w c"], groups: int) -> Float[Array, "n h w c"]:
    """Reorders the channels: the first of every group, then the second of every group, and so on."""
    return x.reshape(*x.shape[:-1], groups, -1).swapaxes(-1, -2).reshape(x.shape)
