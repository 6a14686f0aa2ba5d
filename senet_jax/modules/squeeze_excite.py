"""The squeeze-and-excitation block (Hu et al., arXiv 1709.01507, section 3), and base classes of its descendants."""

from collections.abc import Callable, Mapping
from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar, NoReturn, overload

import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import promote_dtype

from senet_jax import ops
from senet_jax.ops.precision import float32_or_wider
from senet_jax.schema import did_you_mean
from senet_jax.typing import Array, Float

Function = str | Callable[..., Array]
_LECUN_NORMAL = nn.initializers.lecun_normal()


def made_class(maker: Any) -> Any:
    """Returns the class of a partial of one, and anything else as it is."""
    return maker.func if isinstance(maker, partial) else maker


def check_maker(attention: Any) -> None:
    """Raises ValueError if the attention is a module, and not a function that makes one."""
    if isinstance(attention, nn.Module):
        name = type(attention).__name__
        raise ValueError(f"attention is an instance of {name}; give {name}, or partial({name}, FIELD=VALUE)")


def recalibrated(attention: Callable[..., Any], x: Any) -> Any:
    """Returns maps after an attention module. Raises ValueError if it does not keep their shape."""
    y = attention(x)
    if y.shape != x.shape:
        name = type(attention).__name__
        raise ValueError(f"{name} returns {y.shape} for maps {x.shape}; an attention must return the scaled maps")
    return y


class Attention(nn.Module, kw_only=True):
    """Base class of the modules that recalibrate maps (..., h, w, c) and keep their shape and dtype."""

    gate: Function = "sigmoid"
    """Function that makes the gates, or its name in `ops.GATES`."""
    dtype: Any = None
    """Dtype of the computation up to the gates; None: float32, or float64 for float64 inputs."""
    param_dtype: Any = jnp.float32
    """Dtype of the parameters."""
    choices: ClassVar[dict[str, Mapping[Any, Callable[..., Array]]]] = {"gate": ops.GATES}
    """Names of functions, by the field that takes them."""

    def __post_init__(self) -> None:
        """Raises ValueError if a field names an unknown function."""
        for field in self.choices:
            self.chosen(field)
        super().__post_init__()

    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """Recalibrates x, (..., h, w, c); raises ValueError if x has fewer than three dimensions or holds no floats."""
        raise NotImplementedError

    @nn.nowrap
    def chosen(self, field: str) -> Callable[..., Any]:
        """Returns the function that a field is or names."""
        value, functions = getattr(self, field), self.choices[field]
        if callable(value):
            return value
        if not isinstance(value, str) or value not in functions:
            self.refuse(field, f"one of {', '.join(functions)}, or a function{did_you_mean(str(value), functions)}")
        return functions[value]

    def gates(self, z: Array) -> Array:
        """Returns `gate` of z. All gates are made here, where `nn.intercept_methods` can observe and replace them."""
        return self.chosen("gate")(z)

    @nn.nowrap
    def refuse(self, field: str, allowed: str) -> NoReturn:
        """Raises ValueError with the value of the field and the allowed values."""
        raise ValueError(f"{type(self).__name__}'s {field} is {getattr(self, field)!r}; it must be {allowed}")

    @nn.nowrap
    def gates_dtype(self, x: Array) -> Any:
        """Returns the dtype of the gates. Raises ValueError if x has fewer than three dimensions or holds no floats."""
        if x.ndim < 3 or not jnp.issubdtype(x.dtype, jnp.floating):
            raise ValueError(
                f"{type(self).__name__} takes floating-point inputs (..., height, width, channels); given one of shape "
                f"{x.shape} and dtype {x.dtype}"
            )
        return self.dtype or float32_or_wider(x.dtype)


class ReducingAttention(Attention):
    """Base class of the modules that excite by two dense layers with a bottleneck between them.

    Parameters: `reduce/kernel` (c, hidden), `reduce/bias` (hidden,), `expand/kernel` (hidden, c), `expand/bias` (c,).
    """

    ratio: float = 16
    """Reduction ratio r: the c channels are reduced to hidden = max(1, floor(c / r)) (section 6.1)."""
    activation: Function = "relu"
    """Activation between the two dense layers: a name in `ops.ACTIVATIONS`, or a function."""
    use_bias: bool = True
    """Whether both dense layers have biases, as in the authors' released networks; section 6 has none."""
    hidden: int | None = None
    """Number of hidden channels, whatever the ratio; None: by the ratio."""
    divisor: int = 1
    """Divisor to whose nearest multiple the hidden channels of the ratio are rounded; they are at least this number."""
    choices = Attention.choices | {"activation": ops.ACTIVATIONS}

    def __post_init__(self) -> None:
        """Raises ValueError if ratio, hidden or divisor is not positive."""
        for field, kind in (("ratio", Real), ("hidden", Integral), ("divisor", Integral)):
            value = getattr(self, field)
            by_default_none = value is None and getattr(type(self), field) is None
            if not by_default_none and not (isinstance(value, kind) and 0 < float(value) < float("inf")):
                self.refuse(field, "a positive number" if kind is Real else "a positive whole number")
        super().__post_init__()

    @nn.nowrap
    def excite(
        self,
        z: Array,
        dtype: Any,
        *,
        gate: Callable[[Array], Array],
        activation: Callable[[Array], Array] | None = None,
        expand_init: nn.initializers.Initializer = _LECUN_NORMAL,
    ) -> Array:
        """Returns the gates of z, (..., c), by the two dense layers in `dtype`; activation None: that of the field."""
        channels = z.shape[-1]
        hidden = self.hidden_channels(channels)
        reduce = _DenseParameters(hidden, self.use_bias, nn.initializers.he_normal(), self.param_dtype, name="reduce")
        expand = _DenseParameters(channels, self.use_bias, expand_init, self.param_dtype, name="expand")
        z, *weights = promote_dtype(z, *reduce(channels), *expand(hidden), dtype=dtype)
        return ops.excite(z, *weights, activation=activation or self.chosen("activation"), gate=gate)

    def hidden_channels(self, channels: int) -> int:
        """Returns the number of hidden channels for that number of channels."""
        if self.hidden is not None:
            return self.hidden
        return max(1, self.divisor, int(channels / self.ratio + self.divisor // 2) // self.divisor * self.divisor)


class SqueezeExcite(ReducingAttention):
    """Gives every channel a weight that depends on all channels: pool, two dense layers, sigmoid, multiply.

    The gates are s = gate(W2 activation(W1 squeeze(x))) and the output is s x (equations 2 to 4). Parameters:
    `reduce/kernel` (c, hidden), `reduce/bias` (hidden,), `expand/kernel` (hidden, c), `expand/bias` (c,).
    """

    squeeze: Function = "mean"
    """Function that describes the channels, or its name in `ops.SQUEEZES`: from (..., h, w, c) to (..., c), or to
    (..., h, w, c) for gates at every position ("none"), which costs h w times the multiply-adds."""
    choices = ReducingAttention.choices | {"squeeze": ops.SQUEEZES}

    @overload
    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]: ...

    @overload
    def __call__(self, x: ops.Normalised) -> ops.Normalised: ...

    @nn.compact
    def __call__(self, x: Float[Array, "..."] | ops.Normalised) -> Float[Array, "..."] | ops.Normalised:
        """Recalibrates the channels of x, (..., h, w, c). The output has the shape and the dtype of x.

        A normalised map that is not computed yet remains so, because its mean is known. Raises ValueError if x has
        fewer than three dimensions or holds no floats.
        """
        if isinstance(x, ops.Normalised) and self.chosen("squeeze") is ops.squeeze:
            return x.scale(self.excite(x.squeeze, self.gates_dtype(x.y), gate=self.gates))
        x = x.compute() if isinstance(x, ops.Normalised) else x
        dtype = self.gates_dtype(x)
        return ops.scale(x, self.excite(self.chosen("squeeze")(x), dtype, gate=self.gates))


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
