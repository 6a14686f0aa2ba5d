"""Convolution as the networks of the paper use it."""

from functools import partial
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import promote_dtype

from senet_jax import ops
from senet_jax.ops.convolution import Padding
from senet_jax.ops.precision import at_least_float32
from senet_jax.typing import Array, Float


class Convolution(nn.Module):
    """Convolution of maps, He initialised.

    Parameters: `kernel` (kh, kw, c / groups, features), and `bias` (features,) if `use_bias`.
    """

    features: int
    kernel_size: int | tuple[int, int]
    stride: int = 1
    dilation: int = 1
    groups: int = 1
    padding: Padding | None = None
    """Padding of `ops.convolution`; None: zeros that keep the size of a map at stride 1 if the kernel's size is odd."""
    use_bias: bool = False
    dtype: Any = None
    """Dtype of the computation; None: that to which input and parameters promote."""
    param_dtype: Any = jnp.float32
    lowering: str = "platform"
    """Lowering of `ops.convolution`: "platform", "portable" or "xla"."""

    @nn.compact
    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """Returns the convolution (n, oh, ow, features) of x, (n, h, w, c).

        Raises ValueError if the groups do not divide c.
        """
        if x.shape[-1] % self.groups:
            raise ValueError(f"groups is {self.groups}; it must divide the input's {x.shape[-1]} channels")
        sizes = (self.kernel_size,) * 2 if isinstance(self.kernel_size, int) else self.kernel_size
        rows, columns = (self.dilation * (size // 2) for size in sizes)
        shape = (*sizes, x.shape[-1] // self.groups, self.features)
        kernel = self.param("kernel", nn.initializers.he_normal(), shape, self.param_dtype)
        x, kernel = promote_dtype(x, kernel, dtype=self.dtype)
        y = ops.convolution(
            x,
            kernel,
            stride=self.stride,
            padding=((rows, rows), (columns, columns)) if self.padding is None else self.padding,
            dilation=self.dilation,
            groups=self.groups,
            lowering=self.lowering,
        )
        if not self.use_bias:
            return y
        bias = self.param("bias", nn.initializers.zeros, shape[-1:], self.param_dtype)
        wide = at_least_float32(y)  # The gradient of the bias is a sum over all positions.
        return (wide + bias.astype(wide.dtype)[None, None, None]).astype(y.dtype)


def with_xla_convolutions(model: nn.Module) -> nn.Module:
    """Returns the network with XLA's convolutions on every platform: equal shapes and costs, half the time to trace.

    A module whose field `conv` is missing or has another convolution is returned as it is.
    """
    if getattr(model, "conv", None) is not Convolution:
        return model
    return model.clone(conv=partial(Convolution, lowering="xla"))
