"""The first layers of the networks."""

from collections.abc import Callable
from typing import ClassVar

from flax import linen as nn

from senet_jax import ops
from senet_jax.modules.batch_norm import normalised
from senet_jax.modules.conv_norm import Layered
from senet_jax.ops import max_pool
from senet_jax.typing import Array, Float


class Stem(Layered):
    """Base class of the stems."""

    width: int
    """Channels of the first convolution."""

    stride: ClassVar[int] = 4
    """Stride of the stem's output."""

    def __call__(
        self, x: Float[Array, "n h w c"], *, train: bool, larger: dict[int, Array] | None = None
    ) -> Float[Array, "n oh ow oc"]:
        """Returns the output; to `larger` are added the last maps of smaller strides, by their strides."""
        raise NotImplementedError

    def norm_activation(self, x: Array, name: str = "norm", *, train: bool) -> Array:
        """Returns x after the normalisation of that name and the activation."""
        return ops.activate(self.activation, normalised(self.norm(name=name), x, train=train))


class ImageNetStem(Stem):
    """7x7 convolution with stride 2, then 3x3 maximum with stride 2: 224x224 images to 56x56 maps."""

    pool: Callable[[Array], Array] = max_pool
    """Pooling with stride 2."""

    @nn.compact
    def __call__(
        self, x: Float[Array, "n h w c"], *, train: bool, larger: dict[int, Array] | None = None
    ) -> Float[Array, "n oh ow oc"]:
        x = self.norm_activation(self.conv(self.width, 7, stride=2, name="conv")(x), train=train)
        if larger is not None:
            larger[2] = x
        return self.pool(x)


class DeepStem(Stem):
    """Three 3x3 convolutions, the first with stride 2, the last twice as wide, then 3x3 maximum with stride 2."""

    tiered: bool = False
    """Whether the first convolution has three quarters of `width` channels."""
    pool: Callable[[Array], Array] | None = max_pool
    """Pooling with stride 2; None: the last convolution has the stride instead."""

    @nn.compact
    def __call__(
        self, x: Float[Array, "n h w c"], *, train: bool, larger: dict[int, Array] | None = None
    ) -> Float[Array, "n oh ow oc"]:
        widths = (self.width // 4 * 3 if self.tiered else self.width, self.width, 2 * self.width)
        strides = (2, 1, 2 if self.pool is None else 1)
        for i, (width, stride) in enumerate(zip(widths, strides, strict=True), start=1):
            x = self.conv(width, 3, stride=stride, name=f"conv{i}")(x)
            x = self.norm_activation(x, f"norm{i}", train=train)
            if larger is not None and (i < 3 or self.pool):
                larger[2] = x
        return x if self.pool is None else self.pool(x)


class CifarStem(Stem):
    """3x3 convolution with stride 1, for 32x32 images (He et al., arXiv 1512.03385, section 4.2)."""

    stride: ClassVar[int] = 1

    @nn.compact
    def __call__(
        self, x: Float[Array, "n h w c"], *, train: bool, larger: dict[int, Array] | None = None
    ) -> Float[Array, "n h w oc"]:
        x = self.conv(self.width, 3, name="conv")(x)
        return self.norm_activation(x, train=train)
