"""A convolution with normalisation and activation."""

from collections.abc import Callable
from typing import Any

from flax import linen as nn

from senet_jax import ops
from senet_jax.modules.batch_norm import BatchNorm, normalised
from senet_jax.modules.conv import Convolution
from senet_jax.ops.convolution import Padding
from senet_jax.typing import Array, Float, ModuleDef


class ConvNorm(nn.Module):
    """Convolution, normalisation, activation."""

    features: int
    kernel_size: int | tuple[int, int]
    stride: int = 1
    dilation: int = 1
    groups: int = 1
    padding: Padding | None = None
    """Padding, such as "VALID"; None: as `Convolution` has it."""
    use_bias: bool = False
    conv: ModuleDef = Convolution
    norm: ModuleDef = BatchNorm
    activation: Callable[[Array], Array] | None = nn.relu

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], *, train: bool) -> Float[Array, "n oh ow oc"]:
        names = ("stride", "dilation", "groups", "padding", "use_bias")
        settings = {name: getattr(self, name) for name in names}
        x = self.conv(self.features, self.kernel_size, **settings, name="conv")(x)
        norm = self.norm(name="norm")
        if self.activation is None:
            return norm(x, train=train)
        return ops.activate(self.activation, normalised(norm, x, train=train))


class Layered(nn.Module, kw_only=True):
    """Base class of modules of several convolutions, with one kind of normalisation and activation."""

    conv: ModuleDef = Convolution
    norm: ModuleDef = BatchNorm
    activation: Callable[[Array], Array] = nn.relu

    @nn.nowrap
    def layer(self, *shape: Any, **fields: Any) -> ConvNorm:
        """Returns a ConvNorm with the convolution, normalisation and activation of this module, or of the fields."""
        return ConvNorm(*shape, **{"conv": self.conv, "norm": self.norm, "activation": self.activation} | fields)
