"""Convolution as the networks of the paper use it."""

from functools import partial
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import promote_dtype

from senet_jax import ops
from senet_jax.typing import Array, Float


class Convolution(nn.Module):
    """Convolution of maps, He initialised.

    Parameters: `kernel` (kh, kw, c / groups, features), and `bias` (features,) if `use_bias`.
    """

    features: int
    kernel_size: tuple[int, int]
    stride: int
    padding: str | tuple[tuple[int, int], tuple[int, int]]
    """"SAME" or "VALID", or zeros (before, after) rows and columns."""
    dilation: int
    groups: int
    use_bias: bool
    dtype: Any
    """Dtype of the computation; None: that to which input and parameters promote."""
    param_dtype: Any
    lowering: str
    """Lowering of `ops.convolution`: "platform", "portable" or "xla"."""

    @nn.compact
    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """Returns the convolution (n, oh, ow, features) of x, (n, h, w, c).

        Raises ValueError if the groups do not divide c.
        """
        if x.shape[-1] % self.groups:
            raise ValueError(f"groups is {self.groups}; it must divide the input's {x.shape[-1]} channels")
        shape = (*self.kernel_size, x.shape[-1] // self.groups, self.features)
        kernel = self.param("kernel", nn.initializers.he_normal(), shape, self.param_dtype)
        bias = self.param("bias", nn.initializers.zeros, shape[-1:], self.param_dtype) if self.use_bias else None
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        settings = {name: getattr(self, name) for name in ("stride", "padding", "dilation", "groups", "lowering")}
        y = ops.convolution(x, kernel, **settings)
        return y if bias is None else y + bias


def conv(
    features: int,
    kernel_size: int | tuple[int, int],
    *,
    name: str,
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
    padding: str | None = None,
    use_bias: bool = False,
    dtype: Any = None,
    param_dtype: Any = jnp.float32,
    lowering: str = "platform",
) -> Convolution:
    """Makes a convolution, padded equally on all sides by default; "SAME" pads unequally at stride 2."""
    sizes = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    rows, columns = (dilation * (size // 2) for size in sizes)
    return Convolution(
        features,
        sizes,
        stride=stride,
        padding=padding or ((rows, rows), (columns, columns)),
        dilation=dilation,
        groups=groups,
        use_bias=use_bias,
        dtype=dtype,
        param_dtype=param_dtype,
        lowering=lowering,
        name=name,
    )


def with_xla_convolutions(model: nn.Module) -> nn.Module:
    """Returns the network with XLA's convolutions on every platform: equal shapes and costs, half the time to trace.

    A module whose field `conv` is missing or has another convolution is returned as it is.
    """
    return model.clone(conv=partial(conv, lowering="xla")) if getattr(model, "conv", None) is conv else model
