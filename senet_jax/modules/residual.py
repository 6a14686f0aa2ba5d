"""Residual blocks (He et al., arXiv 1512.03385), with squeeze-and-excitation at any of the paper's places."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, get_args

import jax.numpy as jnp
from flax import linen as nn

from senet_jax import ops
from senet_jax.modules.batch_norm import BatchNorm, normalised
from senet_jax.modules.conv import Convolution
from senet_jax.modules.conv_norm import Layered
from senet_jax.modules.pooling import average_pool
from senet_jax.modules.squeeze_excite import SqueezeExcite, check_maker, recalibrated
from senet_jax.typing import Array, Float, ModuleDef
from senet_jax.words import Placement

Map = Array | ops.Normalised
PLACEMENTS: tuple[Placement, ...] = get_args(Placement)
OUTER_PLACEMENTS = tuple(place for place in PLACEMENTS if place != "inner")
"""The places in blocks of several branches, which have no 3x3 convolution of their own."""

VARIANTS = ("dilations", "strided_shortcut_kernel", "average_shortcut", "anti_alias")
"""Fields of `ResidualBlock` that other families of blocks do not use."""


def check_residual(placement: str, drop_path: float, placements: Sequence[str] = PLACEMENTS) -> None:
    """Raises ValueError if these are no place of an attention module, or no drop rate."""
    if placement not in placements:
        raise ValueError(f"placement is {placement!r}; it must be one of {', '.join(placements)}")
    if not 0 <= drop_path < 1:
        raise ValueError(f"drop_path is {drop_path}; it must be at least 0 and less than 1")


class ResidualBlock(Layered):
    """The sum of a residual branch, which a subclass computes, and a shortcut, which is projected if shapes differ."""

    width: int
    """Channels of a plain block's 3x3 convolutions."""
    stride: int = 1
    """Stride of the block."""
    dilations: tuple[int, int] = (1, 1)
    """Dilation of the convolution that can have the stride, and of later ones."""
    attention: ModuleDef | None = None
    """Function that makes the attention module, named "se"; None: a plain block."""
    placement: str = "standard"
    """Place of the attention module (section 6.5, figure 5): on the residual branch after its last normalisation
    ("standard"), before its first layer ("pre") or after its 3x3 convolution and activation ("inner"); on the shortcut
    ("identity"), after its projection; after the sum and its activation ("post")."""
    drop_path: float = 0.0
    """Rate at which training leaves out the branch of an example (arXiv 1603.09382); needs random numbers "dropout"."""
    strided_shortcut_kernel: int = 1
    """Kernel size of the projection if the block has a stride; SENet-154 has 3."""
    average_shortcut: bool = False
    """Whether the mean of 2x2 positions before the projection takes the shortcut's stride (arXiv 1812.01187)."""
    anti_alias: Callable[[Array], Array] | None = None
    """Pooling that takes the stride instead of the 3x3 convolution, after its activation (arXiv 1904.11486)."""
    placements: ClassVar[tuple[str, ...]] = PLACEMENTS
    """Places that a subclass has."""
    unused: ClassVar[tuple[str, ...]] = ()
    """Fields that a subclass does not use."""

    def __post_init__(self) -> None:
        """Raises ValueError for an unknown placement, a drop rate that is not in [0, 1), and an `unused` field."""
        check_residual(self.placement, self.drop_path, self.placements)
        check_maker(self.attention)
        for name in self.unused:
            if getattr(self, name) != type(self).__dataclass_fields__[name].default:
                raise ValueError(
                    f"{name} is {getattr(self, name)}, which {type(self).__name__} does not have; leave it out"
                )
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], *, train: bool) -> Float[Array, "n oh ow oc"]:
        branch = self.branch(self.recalibrate(x, "pre"), train=train)
        branch = self.recalibrate(branch, "standard")
        branch = self.dropped(branch, train=train)
        shortcut = self.recalibrate(self.shortcut(x, branch.shape[-1], train=train), "identity")
        return self.recalibrate(self.join(branch, shortcut), "post")

    def branch(self, x: Array, *, train: bool) -> Map:
        """Returns the residual branch up to its last normalisation, which need not be computed yet."""
        raise NotImplementedError

    def dropped(self, branch: Any, *, train: bool) -> Any:
        """Returns the branch without that of some examples, at the rate `drop_path`."""
        drop = nn.Dropout(self.drop_path, broadcast_dims=(1, 2, 3), deterministic=not train)
        if not isinstance(branch, ops.Normalised):
            return drop(branch)
        return branch.scale(jnp.squeeze(drop(jnp.ones((branch.shape[0], 1, 1, 1), branch.factor.dtype)), (1, 2)))

    def shortcut(self, x: Array, features: int, *, train: bool) -> Map:
        """Returns the block's input in the shape of its output."""
        if self.stride == 1 and x.shape[-1] == features:
            return x
        strided, stride = self.stride > 1 or self.dilations[1] > 1, self.stride
        kernel_size = self.strided_shortcut_kernel if strided else 1
        if self.average_shortcut and strided:
            # If dilation replaces the stride, timm's networks have windows that overlap and count a zero border.
            x = average_pool(x, stride=stride, padding="SAME", count_padding=stride == 1)
            stride = 1
        x = self.conv(features, kernel_size, stride=stride, dilation=self.dilations[0], name="shortcut_conv")(x)
        return normalised(self.norm(name="shortcut_norm"), x, train=train)

    def join(self, branch: Any, shortcut: Any) -> Array:
        """Returns the activated sum of the recalibrated branch and the shortcut."""
        return ops.activate(self.activation, branch, shortcut)

    def recalibrate(self, x: Any, placement: str) -> Any:
        """Returns x after the attention module, if `placement` is its place."""
        if self.attention is None or placement != self.placement:
            return x
        attention = self.attention(name="se")
        takes_lazy = type(attention).__call__ is SqueezeExcite.__call__
        return recalibrated(attention, x.compute() if isinstance(x, ops.Normalised) and not takes_lazy else x)

    def middle_conv(self, x: Array, index: int, features: int, stride: int, *, train: bool, groups: int = 1) -> Array:
        """Returns the 3x3 convolution of x, normalised and activated; it has the stride and the first dilation."""
        pool = self.anti_alias if stride > 1 else None
        settings = {"stride": stride if pool is None else 1, "dilation": self.dilations[0], "groups": groups}
        x = self.conv_norm_activation(x, index, features, 3, train=train, **settings)
        return self.recalibrate(x if pool is None else pool(x), "inner")

    def conv_norm_activation(
        self, x: Array, index: int, features: int, size: int, *, train: bool, **settings: Any
    ) -> Array:
        """Returns the convolution `index` of x, normalised and activated."""
        x = self.conv(features, size, **settings, name=f"conv{index}")(x)
        return ops.activate(self.activation, normalised(self.norm(name=f"norm{index}"), x, train=train))

    def last_conv_norm(self, x: Array, index: int, features: int, size: int, *, train: bool, **settings: Any) -> Map:
        """Returns the convolution `index` of x, normalised; a lazy map if the block can fuse the normalisation."""
        conv, norm = self.conv(features, size, **settings, name=f"conv{index}"), self.norm(name=f"norm{index}")
        y = conv(x)
        attends = self.attention is not None and self.placement == "standard"
        is_known = type(conv) is Convolution and isinstance(norm, BatchNorm) and norm.fuses(y)
        if train or size > 1 or not attends or not is_known:
            return normalised(norm, y, train=train)
        # A 1x1 convolution commutes with the mean, and there are fewer channels before it.
        means = jnp.squeeze(conv(ops.squeeze(x)[:, None, None]), (1, 2))  # An index gathers in a batch of any size.
        return norm.normalise_lazily(y, train=False, x_mean=means)


class BasicBlock(ResidualBlock):
    """Two 3x3 convolutions; the stride is on the first."""

    expansion: ClassVar[int] = 1

    def branch(self, x: Array, *, train: bool) -> Map:
        """Returns the residual branch up to its last normalisation."""
        x = self.middle_conv(x, 1, self.width, self.stride, train=train)
        return self.last_conv_norm(x, 2, self.width, 3, dilation=self.dilations[1], train=train)


class Bottleneck(ResidualBlock):
    """1x1, 3x3 and 1x1 convolutions, the last to 4 `width` channels."""

    inner_widths: tuple[int, int] = (1, 1)
    """Channels of the first 1x1 and of the 3x3 convolution, in multiples of `width`; (2, 2) in ResNeXt 32x4d."""
    groups: int = 1
    """Groups of the 3x3 convolution."""
    group_width: int | None = None
    """Channels of each group, which then give the number of groups; None: by `groups`."""
    stride_on_3x3: bool = False
    """Whether the 3x3 convolution has the stride, or the first 1x1, as in the authors' SE-ResNets."""
    expansion: ClassVar[int] = 4

    def branch(self, x: Array, *, train: bool) -> Map:
        """Returns the residual branch up to its last normalisation."""
        first, second = (multiple * self.width for multiple in self.inner_widths)
        if self.group_width is not None and second % self.group_width:
            raise ValueError(
                f"the 3x3 convolution has {second} channels, which groups of {self.group_width} do not divide"
            )
        groups = self.groups if self.group_width is None else second // self.group_width
        strides = (1, self.stride) if self.stride_on_3x3 else (self.stride, 1)
        x = self.conv_norm_activation(x, 1, first, 1, stride=strides[0], train=train)
        x = self.middle_conv(x, 2, second, strides[1], groups=groups, train=train)
        return self.last_conv_norm(x, 3, self.width * self.expansion, 1, train=train)
