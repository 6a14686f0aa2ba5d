"""Residual blocks with normalisation and activation before each convolution (He et al., arXiv 1603.05027)."""

from typing import ClassVar

from flax import linen as nn

from senet_jax.modules.residual import VARIANTS, ResidualBlock
from senet_jax.typing import Array, Float


class PreActivationBlock(ResidualBlock):
    """Base class of blocks whose sum nothing follows, and whose shortcut is projected by a convolution alone.

    The attention's place "pre" is after the first activation, "standard" after the branch's last convolution.
    """

    unused: ClassVar[tuple[str, ...]] = VARIANTS
    first: bool = False
    """Whether the shortcut begins after the first activation even without a projection, as in the first block of a
    network (appendix)."""
    dropout: float = 0.0
    """Rate of dropout between the convolutions (arXiv 1605.07146); training then needs the random numbers "dropout"."""

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], *, train: bool) -> Float[Array, "n oh ow oc"]:
        activated = self.activation(self.norm(name="norm1")(x, train=train))
        branch = self.recalibrate(self.branch(self.recalibrate(activated, "pre"), train=train), "standard")
        branch = self.dropped(branch, train=train)
        features = branch.shape[-1]
        projects = self.stride > 1 or x.shape[-1] != features
        shortcut = activated if projects or self.first else x
        if projects:
            shortcut = self.conv(features, 1, stride=self.stride, name="shortcut_conv")(shortcut)
        return self.recalibrate(branch + self.recalibrate(shortcut, "identity"), "post")

    def next_conv(
        self, x: Array, index: int, features: int, size: int, *, train: bool, after_3x3: bool = False
    ) -> Array:
        """Returns the convolution `index` of x, after normalisation, activation and dropout."""
        x = self.activation(self.norm(name=f"norm{index}")(x, train=train))
        x = self.recalibrate(x, "inner") if after_3x3 else x
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return self.conv(features, size, name=f"conv{index}")(x)


class PreActivationBasicBlock(PreActivationBlock):
    """Two 3x3 convolutions; the stride is on the first."""

    expansion: ClassVar[int] = 1

    def branch(self, x: Array, *, train: bool) -> Array:
        """Computes the residual branch, from its first convolution to its last."""
        x = self.conv(self.width, 3, stride=self.stride, name="conv1")(x)
        return self.next_conv(x, 2, self.width, 3, after_3x3=True, train=train)


class PreActivationBottleneck(PreActivationBlock):
    """1x1, 3x3 and 1x1 convolutions, the last to 4 `width` channels; the stride is on the first (authors' code)."""

    expansion: ClassVar[int] = 4

    def branch(self, x: Array, *, train: bool) -> Array:
        """Computes the residual branch, from its first convolution to its last."""
        x = self.conv(self.width, 1, stride=self.stride, name="conv1")(x)
        x = self.next_conv(x, 2, self.width, 3, train=train)
        return self.next_conv(x, 3, self.width * self.expansion, 1, after_3x3=True, train=train)
