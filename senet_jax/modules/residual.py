"""Residual blocks (He et al., arXiv 1512.03385), with squeeze-and-excitation on the residual branch.

The block stands after the branch's last batch normalisation and before the sum (Hu et al., figure 3).
"""

from collections.abc import Callable
from typing import Any, ClassVar

from flax import linen as nn

from senet_jax.modules.batch_norm import BatchNorm
from senet_jax.modules.conv import conv
from senet_jax.typing import Array, Float

ModuleDef = Callable[..., Any]


class ResidualBlock(nn.Module):
    """What the blocks have in common; a subclass computes the residual branch."""

    width: int
    """Channels of its 3x3 convolutions."""
    stride: int = 1
    conv: ModuleDef = conv
    norm: ModuleDef = BatchNorm
    attention: ModuleDef | None = None
    """Makes the module on the residual branch, named "se"; None: a plain block."""
    activation: Callable[[Array], Array] = nn.relu

    def join(self, x: Array, branch: Array, *, train: bool) -> Array:
        """Recalibrates the branch and adds the shortcut x, which is projected where the block changes the shape."""
        if self.attention is not None:
            branch = self.attention(name="se")(branch)
        if self.stride != 1 or x.shape[-1] != branch.shape[-1]:
            x = self.conv(branch.shape[-1], 1, stride=self.stride, name="shortcut_conv")(x)
            x = self.norm(name="shortcut_norm")(x, train=train)
        return self.activation(branch + x)


class BasicBlock(ResidualBlock):
    """Two 3x3 convolutions; the stride is on the first."""

    expansion: ClassVar[int] = 1

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], *, train: bool) -> Float[Array, "n oh ow oc"]:
        y = self.conv(self.width, 3, stride=self.stride, name="conv1")(x)
        y = self.activation(self.norm(name="norm1")(y, train=train))
        y = self.conv(self.width, 3, name="conv2")(y)
        return self.join(x, self.norm(name="norm2")(y, train=train), train=train)


class Bottleneck(ResidualBlock):
    """1x1, 3x3 and 1x1 convolutions, the last to 4 `width` channels; the authors' stride is on the first."""

    expansion: ClassVar[int] = 4

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], *, train: bool) -> Float[Array, "n oh ow oc"]:
        y = self.conv(self.width, 1, stride=self.stride, name="conv1")(x)
        y = self.activation(self.norm(name="norm1")(y, train=train))
        y = self.conv(self.width, 3, name="conv2")(y)
        y = self.activation(self.norm(name="norm2")(y, train=train))
        y = self.conv(self.width * self.expansion, 1, name="conv3")(y)
        return self.join(x, self.norm(name="norm3")(y, train=train), train=train)
