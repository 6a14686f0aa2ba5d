"""The first layers of the networks."""

from collections.abc import Callable
from typing import Any

from flax import linen as nn

from senet_jax.modules.batch_norm import BatchNorm
from senet_jax.modules.conv import conv
from senet_jax.typing import Array, Float


class Stem(nn.Module):
    """What the stems have in common."""

    width: int
    """Channels of the first convolution."""
    conv: Callable[..., Any] = conv
    norm: Callable[..., Any] = BatchNorm
    activation: Callable[[Array], Array] = nn.relu


class ImageNetStem(Stem):
    """7x7 convolution with stride 2, then 3x3 maximum with stride 2: 224x224 images to 56x56 maps."""

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], *, train: bool) -> Float[Array, "n oh ow oc"]:
        x = self.conv(self.width, 7, stride=2, name="conv")(x)
        x = self.activation(self.norm(name="norm")(x, train=train))
        return max_pool(x)


class DeepStem(Stem):
    """Three 3x3 convolutions, the first with stride 2, the last twice as wide, then 3x3 maximum with stride 2."""

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], *, train: bool) -> Float[Array, "n oh ow oc"]:
        for i, (width, stride) in enumerate(((self.width, 2), (self.width, 1), (2 * self.width, 1)), start=1):
            x = self.conv(width, 3, stride=stride, name=f"conv{i}")(x)
            x = self.activation(self.norm(name=f"norm{i}")(x, train=train))
        return max_pool(x)


class CifarStem(Stem):
    """3x3 convolution with stride 1, for 32x32 images (He et al., arXiv 1512.03385, section 4.2)."""

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], *, train: bool) -> Float[Array, "n h w oc"]:
        x = self.conv(self.width, 3, name="conv")(x)
        return self.activation(self.norm(name="norm")(x, train=train))


def max_pool(x: Float[Array, "n h w c"]) -> Float[Array, "n oh ow c"]:
    """3x3 maximum with stride 2, padded by (0, 1) as in the authors' networks (Caffe's pad 0, the size rounded up)."""
    padding: Any = ((0, 1), (0, 1))
    return nn.max_pool(x, window_shape=(3, 3), strides=(2, 2), padding=padding)
