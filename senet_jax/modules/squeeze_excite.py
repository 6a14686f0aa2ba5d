"""The squeeze-and-excitation block (Hu et al., arXiv 1709.01507, section 3)."""

from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import promote_dtype

from senet_jax import ops
from senet_jax.typing import Array, Float


class SqueezeExcite(nn.Module):
    """Gives every channel a weight in (0, 1) that depends on all channels: pool, two dense layers, sigmoid, multiply.

    The gates are s = gate(W2 activation(W1 squeeze(x))) and the output is s x (equations 2 to 4). Parameters:
    `reduce/kernel` (c, hidden), `reduce/bias` (hidden,), `expand/kernel` (hidden, c), `expand/bias` (c,).
    """

    ratio: float = 16
    """Reduction ratio r: the c channels are reduced to hidden = max(1, floor(c / r)) (section 6.1)."""
    squeeze: Callable[[Array], Array] = ops.squeeze
    """Describes each channel by one number: (..., h, w, c) -> (..., c)."""
    activation: Callable[[Array], Array] = nn.relu
    """Between the two dense layers."""
    gate: Callable[[Array], Array] = nn.sigmoid
    """After the second."""
    use_bias: bool = True
    """Biases in both dense layers, as in the authors' released networks; section 6 does without."""
    hidden: int | None = None
    """Hidden channels, whatever the ratio; None: by the ratio."""
    divisor: int = 1
    """Rounds the hidden channels that the ratio gives to the nearest multiple of this, and up to at least this."""
    dtype: Any = None
    """Of the squeeze, the dense layers and the gates; None: float32, or float64 for float64 inputs."""
    param_dtype: Any = jnp.float32

    def __post_init__(self) -> None:
        """Raises ValueError where ratio, hidden or divisor is no positive number."""
        for name, kind in (("ratio", Real), ("hidden", Integral), ("divisor", Integral)):
            value = getattr(self, name)
            if (name, value) != ("hidden", None) and not (isinstance(value, kind) and 0 < float(value) < float("inf")):
                number = "number" if kind is Real else "whole number"
                raise ValueError(f"SqueezeExcite's {name} is {value!r}; it must be a positive {number}")
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """Recalibrates the channels of x, (..., h, w, c). The output has the shape and the type of x.

        Raises ValueError where x has fewer than three dimensions.
        """
        if x.ndim < 3:
            raise ValueError(f"SqueezeExcite takes inputs (..., height, width, channels); given one of shape {x.shape}")
        channels = x.shape[-1]
        hidden = self._hidden_channels(channels)
        dtype = self.dtype or jnp.promote_types(x.dtype, jnp.float32)
        reduce = _DenseParameters(hidden, self.use_bias, nn.initializers.he_normal(), self.param_dtype, name="reduce")
        expand = _DenseParameters(
            channels, self.use_bias, nn.initializers.lecun_normal(), self.param_dtype, name="expand"
        )
        z, *weights = promote_dtype(self.squeeze(x), *reduce(channels), *expand(hidden), dtype=dtype)
        return ops.scale(x, ops.excite(z, *weights, activation=self.activation, gate=self.gate))

    def _hidden_channels(self, channels: int) -> int:
        if self.hidden is not None:
            return self.hidden
        return max(1, self.divisor, int(channels / self.ratio + self.divisor // 2) // self.divisor * self.divisor)


class _DenseParameters(nn.Module):
    """Owns a dense layer's kernel (in, features) and bias (features,), and hands them out."""

    features: int
    use_bias: bool
    kernel_init: Callable[..., Array]
    param_dtype: Any

    @nn.compact
    def __call__(self, inputs: int) -> tuple[Array, Array | None]:
        kernel = self.param("kernel", self.kernel_init, (inputs, self.features), self.param_dtype)
        if not self.use_bias:
            return kernel, None
        return kernel, self.param("bias", nn.initializers.zeros, (self.features,), self.param_dtype)
