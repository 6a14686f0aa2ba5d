"""Attention modules that are built, called and named as squeeze-and-excitation is, and can take its place."""

import math
from collections.abc import Callable, Mapping
from numbers import Integral
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from senet_jax import ops, words
from senet_jax.modules.squeeze_excite import Attention, Function, ReducingAttention, SqueezeExcite
from senet_jax.ops.precision import at_least_float32
from senet_jax.typing import Array, Float


class EffectiveSqueezeExcite(Attention):
    """SqueezeExcite with one dense layer, so that no channel is lost between two (eSE, arXiv 1911.06667).

    Parameters: `dense/kernel` (c, c), `dense/bias` (c,).
    """

    gate: Function = "hard_sigmoid"
    """Function that makes the gates, or its name in `ops.GATES`."""

    @nn.compact
    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        dense = nn.Dense(x.shape[-1], dtype=self.gates_dtype(x), param_dtype=self.param_dtype, name="dense")
        return ops.scale(x, self.gates(dense(ops.squeeze(x))))


class EfficientChannelAttention(Attention):
    """Gates from the means of neighbouring channels, by one convolution along them (ECA, arXiv 1910.03151).

    The channels are padded with zeros. Parameter: `conv/kernel` (kernel_size, 1, 1).
    """

    kernel_size: int | None = None
    """Number of channels that a gate depends on, odd; None: the odd number nearest to (log2 c + 1) / 2."""

    def __post_init__(self) -> None:
        """Raises ValueError for a kernel size that is not odd and positive."""
        if self.kernel_size is not None and not _is_odd(self.kernel_size):
            self.refuse("kernel_size", "a positive odd number, or None")
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        dtype = self.gates_dtype(x)
        kernel_size = self.kernel_size or int((math.log2(x.shape[-1]) + 1) / 2) | 1
        conv = nn.Conv(1, kernel_size, use_bias=False, dtype=dtype, param_dtype=self.param_dtype, name="conv")
        return ops.scale(x, self.gates(jnp.squeeze(conv(ops.squeeze(x)[..., None]), -1)))


class SpatialChannelSqueezeExcite(ReducingAttention):
    """SqueezeExcite and, in parallel, a gate for each position from its channels alone (scSE, arXiv 1803.02579).

    Parameters: those of SqueezeExcite, `spatial/kernel` (c, 1) and `spatial/bias` (1,). The paper's ratio is 2.
    """

    combine: Function = "maximum"
    """Function of x times the channels' gates and x times the positions' gates: "maximum" as in the authors' code,
    "sum" as in the paper, "product", or a function (arXiv 1808.08127 compares them)."""
    choices = ReducingAttention.choices | {
        "combine": {"maximum": jnp.maximum, "sum": jnp.add, "product": jnp.multiply},
    }

    @nn.compact
    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        dtype, gate = self.gates_dtype(x), self.gates
        spatial = nn.Dense(1, use_bias=self.use_bias, dtype=dtype, param_dtype=self.param_dtype, name="spatial")
        by_channels = ops.scale(x, self.excite(ops.squeeze(x), dtype, gate=gate))
        return self.chosen("combine")(by_channels, ops.scale(x, gate(spatial(x))))


class CBAM(ReducingAttention):
    """Gates of the channels, then gates of the positions of the result (arXiv 1807.06521, equations 1 to 3).

    The dense layers see the channels' means and maxima, and the sum of both answers makes the channels' gates. A
    convolution of the mean and the maximum over channels makes the positions', as in equation 3: the batch
    normalisation after it in the authors' code would need `train`. Parameters: `reduce/kernel` (c, hidden),
    `expand/kernel` (hidden, c), their biases, and `spatial/kernel` (kernel_size, kernel_size, 2, 1).
    """

    use_bias: bool = False
    """Whether both dense layers have biases, as in the authors' code; equation 2 has none."""
    kernel_size: int = 7
    """Height and width of the convolution, an odd number."""

    def __post_init__(self) -> None:
        """Raises ValueError for a kernel size that is not odd and positive."""
        if not _is_odd(self.kernel_size):
            self.refuse("kernel_size", "a positive odd number")
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        dtype, gate = self.gates_dtype(x), self.gates
        squeezed = jnp.stack([ops.squeeze(x), ops.squeeze_max(x)])
        x = ops.scale(x, gate(self.excite(squeezed, dtype, gate=_identity).sum(axis=0)))
        y = x.astype(dtype)
        size = (self.kernel_size, self.kernel_size)
        spatial = nn.Conv(1, size, use_bias=False, dtype=dtype, param_dtype=self.param_dtype, name="spatial")
        return ops.scale(x, gate(spatial(jnp.stack([y.mean(axis=-1), ops.largest(y, -1)], axis=-1))))


class GatherExcite(ReducingAttention):
    """Gates of the channels at each position, from their means in its neighbourhood (GE, arXiv 1810.12348).

    Without a ratio it has no parameters (the paper's GE-θ-). With a ratio it has those of SqueezeExcite, and equals it
    if the extent is 0. Gathering by depthwise convolutions (GE-θ, GE-θ+) is left out: the batch normalisation after
    them would need `train`.
    """

    ratio: float | None = None  # pyright: ignore[reportIncompatibleVariableOverride]  # None: no call of `excite`.
    """Reduction ratio of two dense layers between the means and the gates; None, without `hidden`: no layers."""
    extent: int = 0
    """Step e between the windows of 2e - 1 positions whose means are taken; nearest neighbours enlarge the gates to all
    positions. 2, 4 or 8 in the paper; 0: the whole map is one window."""

    def __post_init__(self) -> None:
        """Raises ValueError if the extent is not a whole number, or is negative."""
        if not (isinstance(self.extent, Integral) and int(self.extent) >= 0):
            self.refuse("extent", "a positive whole number, or 0 for the whole map")
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        dtype, gate = self.gates_dtype(x), self.gates
        z = ops.gather(x.astype(dtype), self.extent) if self.extent else ops.squeeze(x)
        gates = gate(z) if self.ratio is None and self.hidden is None else self.excite(z, dtype, gate=gate)
        return ops.scale(x, ops.enlarge(gates, *x.shape[-3:-1]) if self.extent else gates)


class GlobalContext(ReducingAttention):
    """Adds to all positions a function, two dense layers, of a weighted mean over them (GC, arXiv 1904.11492).

    The weights are the softmax, over positions, of one linear function of the channels, whose bias in the authors' code
    would cancel. Parameters: those of SqueezeExcite, `context/kernel` (c, 1), `norm/scale` and `norm/bias` (hidden,).
    The last layer starts at zero, as in the authors' code.
    """

    fuse: Function = "add"
    """"add" as in the paper; "scale", by gates of the channels, as in timm; or a function. Only "scale" uses `gate`."""
    epsilon: float = 1e-5
    """Term added to the variance in the normalisation of the hidden channels; timm has 1e-6."""
    choices = ReducingAttention.choices | {
        "fuse": {"add": lambda x, y: (at_least_float32(x) + y[..., None, None, :]).astype(x.dtype), "scale": ops.scale},
    }

    @nn.compact
    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """Returns the maps, (..., h, w, c). Raises ValueError if the normalisation has a single hidden channel."""
        types: Any = {"dtype": self.gates_dtype(x), "param_dtype": self.param_dtype}
        if self.hidden_channels(x.shape[-1]) == 1:
            raise ValueError(
                f"GlobalContext with ratio {self.ratio} has 1 hidden channel for {x.shape[-1]}, whose normalisation is "
                "constant; give a smaller ratio, or hidden"
            )
        context = nn.Dense(1, use_bias=False, kernel_init=nn.initializers.he_normal(), **types, name="context")
        norm = nn.LayerNorm(self.epsilon, use_fast_variance=False, **types, name="norm")
        weights = nn.softmax(context(x), axis=(-3, -2))
        activation = self.chosen("activation")
        y = self.excite(
            jnp.einsum("...hwc,...hw->...c", x.astype(types["dtype"]), jnp.squeeze(weights, -1)),
            types["dtype"],
            activation=lambda hidden: activation(norm(hidden)),
            gate=self.gates if self.fuse == "scale" else _identity,
            expand_init=nn.initializers.zeros,
        )
        return self.chosen("fuse")(x, y)


ATTENTIONS: Mapping[words.Attention, Callable[..., nn.Module]] = {
    "squeeze_excite": SqueezeExcite,
    "effective": EffectiveSqueezeExcite,
    "eca": EfficientChannelAttention,
    "scse": SpatialChannelSqueezeExcite,
    "cbam": CBAM,
    "gather_excite": GatherExcite,
    "global_context": GlobalContext,
}
"""Attention modules by their names in `config.model.attention`."""


def _identity(x: Array) -> Array:
    return x


def _is_odd(value: Any) -> bool:
    return isinstance(value, Integral) and int(value) > 0 and int(value) % 2 == 1
