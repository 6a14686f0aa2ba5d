"""MobileNet (Howard et al., arXiv 1704.04861), with squeeze-and-excitation (Hu et al., arXiv 1709.01507, table 3)."""

from collections.abc import Callable, Collection, Iterator, Sequence

from flax import linen as nn

from senet_jax.models.network import Network
from senet_jax.modules.conv_norm import ConvNorm, Layered
from senet_jax.modules.squeeze_excite import recalibrated
from senet_jax.typing import Array, Float, ModuleDef


class DepthwiseSeparable(Layered):
    """A depthwise 3x3 convolution, a 1x1 convolution, recalibration."""

    width: int
    """Channels of the output."""
    stride: int = 1
    dilation: int = 1
    attention: ModuleDef | None = None
    """Function that makes the attention module, named "se"; None: a plain block."""

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], *, train: bool) -> Float[Array, "n oh ow oc"]:
        channels = x.shape[-1]
        x = self.layer(channels, 3, self.stride, self.dilation, channels, name="depthwise")(x, train=train)
        x = self.layer(self.width, 1, name="pointwise")(x, train=train)
        return x if self.attention is None else recalibrated(self.attention(name="se"), x)


class MobileNet(Network, kw_only=True):
    """A 3x3 convolution and 13 depthwise separable blocks in five stages, of which stage s has the stride 2^s.

    The attention stands after each block's 1x1 convolution and activation, which gives the 4.7 million parameters of
    the paper; the paper does not say the place. The activation is that of the authors' code, the rounding of widths
    that of later MobileNets.
    """

    stage_sizes: Sequence[int] = (1, 2, 2, 6, 2)
    """Blocks of each stage."""
    widths: Sequence[int] = (64, 128, 256, 512, 1024)
    """Channels of each stage, before the multiplier."""
    width_multiplier: float = 1.0
    """Factor of the channels of every layer, which are then rounded to multiples of 8."""
    output_stride: int = 32
    """Largest stride of the last maps: 8, 16 or 32. Stages beyond it are dilated instead (arXiv 1706.05587)."""
    activation: Callable[[Array], Array] = nn.relu6

    def __post_init__(self) -> None:
        """Raises ValueError if the width multiplier is not positive, or if the output stride is not 8, 16 or 32."""
        if not 0 < self.width_multiplier < float("inf"):
            raise ValueError(f"width_multiplier is {self.width_multiplier}; it must be a positive number")
        if self.output_stride not in (8, 16, 32):
            raise ValueError(f"output_stride is {self.output_stride}; it must be 8, 16 or 32")
        super().__post_init__()

    @property
    def stages(self) -> Collection[int]:
        """Numbers of the stages that can have attention."""
        return range(1, 1 + len(self.stage_sizes))

    def maps(self, x: Array, *, train: bool) -> Iterator[tuple[int, Array]]:
        """Yields the stride and the map after each stage."""
        x = ConvNorm(self._channels(32), 3, stride=2, **self.layers(), name="stem")(x, train=train)
        stride, dilation = 2, 1
        for stage, blocks, width in zip(self.stages, self.stage_sizes, self.widths, strict=True):
            for block in range(1, blocks + 1):
                step = 2 if block == 1 and stage > 1 else 1
                before = dilation
                if stride * step > self.output_stride:
                    dilation, step = dilation * step, 1
                stride *= step
                module = DepthwiseSeparable(
                    self._channels(width),
                    step,
                    dilation=before,
                    attention=self.attention_in(stage),
                    **self.layers(),
                    name=f"stage{stage}_block{block}",
                )
                x = self.run(module, x, train=train)
            yield stride, x

    def _channels(self, width: int) -> int:
        """Returns the nearest multiple of 8, or the next one if that takes away more than a tenth."""
        exact = width * self.width_multiplier
        rounded = max(8, int(exact + 4) // 8 * 8)
        return rounded if rounded >= 0.9 * exact else rounded + 8


NETWORKS: dict[str, ModuleDef] = {"mobilenet": MobileNet}
