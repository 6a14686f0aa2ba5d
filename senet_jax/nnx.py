"""The squeeze-and-excitation block for Flax NNX."""

from numbers import Integral
from typing import Any

import jax.numpy as jnp
from flax import nnx

from senet_jax import modules, ops
from senet_jax.modules.squeeze_excite import Function
from senet_jax.typing import Array, Float


class SqueezeExcite(nnx.Module):
    """`senet_jax.SqueezeExcite` as an NNX module: the same fields, parameters and results.

    `reduce` and `expand` are `nnx.Linear` and can be replaced, as by `nnx.LoRA`.

    Parameters: `reduce.kernel` (c, hidden), `reduce.bias` (hidden,), `expand.kernel` (hidden, c), `expand.bias` (c,).
    """

    def __init__(
        self,
        channels: int,
        ratio: float = 16,
        *,
        squeeze: Function = "mean",
        activation: Function = "relu",
        gate: Function = "sigmoid",
        use_bias: bool = True,
        hidden: int | None = None,
        divisor: int = 1,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
        rngs: nnx.Rngs,
    ):
        """Draws the parameters from `rngs` for maps of `channels` channels; the rest as in `senet_jax.SqueezeExcite`.

        Raises ValueError for an invalid field, or if `channels` is not positive.
        """
        if not isinstance(channels, Integral) or channels < 1:
            raise ValueError(f"channels is {channels!r}; it must be a positive whole number")
        self.channels = channels
        self.fields = modules.SqueezeExcite(
            ratio=ratio,
            squeeze=squeeze,
            activation=activation,
            gate=gate,
            use_bias=use_bias,
            hidden=hidden,
            divisor=divisor,
            dtype=dtype,
            param_dtype=param_dtype,
            parent=None,
        )
        width = self.fields.hidden_channels(channels)
        initial = {"use_bias": use_bias, "dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        self.reduce = nnx.Linear(channels, width, kernel_init=nnx.initializers.he_normal(), **initial)
        self.expand = nnx.Linear(width, channels, kernel_init=nnx.initializers.lecun_normal(), **initial)

    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """Recalibrates the channels of x, (..., h, w, c). The output has the shape and the dtype of x.

        Raises ValueError if x has fewer than three dimensions, another number of channels, or holds no floats.
        """
        block = self.fields
        dtype = block.gates_dtype(x)
        if x.shape[-1] != self.channels:
            raise ValueError(f"x has {x.shape[-1]} channels; this SqueezeExcite was made for {self.channels}")
        z = block.chosen("squeeze")(x).astype(dtype)
        hidden = block.chosen("activation")(self.reduce(z))
        return ops.scale(x, block.chosen("gate")(self.expand(hidden)))
