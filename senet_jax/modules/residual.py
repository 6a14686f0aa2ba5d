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
    """Channels of a plain block's 3x3 convolutions."""
    stride: int = 1
    conv: ModuleDef = conv
    norm: ModuleDef = BatchNorm
    attention: ModuleDef | None = None
    """Makes the module on the residual branch, named "se"; None: a plain block."""
    activation: Callable[[Array], Array] = nn.relu
    strided_shortcut_kernel: int = 1
    """Kernel size of a shortcut that has a stride; SENet-154 has 3."""

    def join(self, x: Array, branch: Array, *, train: bool) -> Array:
        """Recalibrates the branch and adds the shortcut x, which is projected where the block changes the shape."""
        if self.attention is not None:
            branch = self.attention(name="se")(branch)
        if self.stride != 1 or x.shape[-1] != branch.shape[-1]:
            kernel_size = 1 if self.stride == 1 else self.strided_shortcut_kernel
            x = self.conv(branch.shape[-1], kernel_size, stride=self.stride, name="shortcut_conv")(x)
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
    """1x1, 3x3 and 1x1 convolutions, the last to 4 `width` channels."""

    inner_widths: tuple[int, int] = (1, 1)
    """Channels of the 1x1 and of the 3x3 convolution, in multiples of `width`; (2, 2) in ResNeXt 32x4d."""
    groups: int = 1
    """Of the 3x3 convolution."""
    stride_on_3x3: bool = False
    """Whether the stride is on the 3x3 convolution, or on the first 1x1, as in the authors' SE-ResNets."""
    expansion: ClassVar[int] = 4

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], *, train: bool) -> Float[Array, "n oh ow oc"]:
        first, second = (multiple * self.width for multiple in self.inner_widths)
        strides = (1, self.stride) if self.stride_on_3x3 else (self.stride, 1)
        y = self.conv(first, 1, stride=strides[0], name="conv1")(x)
        y = self.activation(self.norm(name="norm1")(y, train=train))
        y = self.conv(second, 3, stride=strides[1], groups=self.groups, name="conv2")(y)
        y = self.activation(self.norm(name="norm2")(y, train=train))
        y = self.conv(self.width * self.expansion, 1, name="conv3")(y)
        return self.join(x, self.norm(name="norm3")(y, train=train), train=train)
