"""ShuffleNet (Zhang et al., arXiv 1707.01083), with squeeze-and-excitation (Hu et al., arXiv 1709.01507, table 3)."""

from collections.abc import Iterator, Sequence
from math import inf
from typing import Any, ClassVar

import jax.numpy as jnp

from senet_jax.models.network import ResidualNetwork
from senet_jax.modules.conv_norm import ConvNorm
from senet_jax.modules.pooling import average_pool
from senet_jax.modules.residual import VARIANTS, ResidualBlock
from senet_jax.ops import max_pool
from senet_jax.ops.shuffle import shuffle_channels
from senet_jax.typing import Array, ModuleDef

_FIRST_WIDTHS = {1: 144, 2: 200, 3: 240, 4: 272, 8: 384}
"""Channels of stage 2 by the number of groups (table 1); those of each later stage are twice as many."""


class ShuffleUnit(ResidualBlock):
    """Grouped 1x1 convolution, shuffle, depthwise 3x3 convolution, grouped 1x1 convolution (figure 2).

    With a stride, the branch is concatenated with the shortcut, a mean over 3x3 positions, instead of added.
    """

    groups: int = 3
    """Groups of the 1x1 convolutions."""
    first_groups: int = 3
    """Groups of the first 1x1 convolution."""
    unused: ClassVar[tuple[str, ...]] = VARIANTS

    def branch(self, x: Array, *, train: bool) -> Array:
        """Returns the residual branch up to its last normalisation."""
        features = self.width if self.stride == 1 else self.width - x.shape[-1]
        inner = self.width // 4
        x = self.activation(self.conv_norm(x, 1, inner, 1, groups=self.first_groups, train=train))
        x = shuffle_channels(x, self.groups)
        x = self.conv_norm(x, 2, inner, 3, stride=self.stride, groups=inner, train=train)
        return self.conv_norm(self.recalibrate(x, "inner"), 3, features, 1, groups=self.groups, train=train)

    def shortcut(self, x: Array, features: int, *, train: bool) -> Array:
        """Returns the block's input, or its mean if there is a stride."""
        return x if self.stride == 1 else average_pool(x, 3, self.stride, padding=(1, 1))

    def join(self, branch: Array, shortcut: Array) -> Array:
        """Returns the activated sum or, with a stride, concatenation."""
        return self.activation(branch + shortcut if self.stride == 1 else jnp.concatenate([shortcut, branch], axis=-1))

    def conv_norm(self, x: Array, index: int, features: int, size: int, *, train: bool, **settings: Any) -> Array:
        """Returns the convolution `index` of x, normalised."""
        x = self.conv(features, size, **settings, name=f"conv{index}")(x)
        return self.norm(name=f"norm{index}")(x, train=train)


class ShuffleNet(ResidualNetwork, kw_only=True):
    """A 3x3 convolution, a maximum, three stages of units, numbered from 2, each of which halves the maps.

    The attention stands on the branch before it meets the shortcut, which gives the 2.4 million parameters of the
    paper; the paper does not say the place.
    """

    stage_sizes: Sequence[int] = (4, 8, 4)
    """Units of each stage."""
    groups: int = 3
    """Groups of the 1x1 convolutions: 1, 2, 3, 4 or 8; with more groups a stage has more channels."""
    width_multiplier: float = 1.0
    """Factor of the channels of every layer, the paper's scale factor."""

    def __post_init__(self) -> None:
        """Raises ValueError if the number of groups is unknown, or does not divide the channels."""
        if self.groups not in _FIRST_WIDTHS:
            raise ValueError(f"groups is {self.groups}; it must be one of {', '.join(map(str, _FIRST_WIDTHS))}")
        shareable = 0 < self.width_multiplier < inf and all(
            count > 0 and count % self.groups == 0 for width in self.widths[1:] for count in (width, width // 4)
        )
        if not shareable:
            raise ValueError(
                f"width_multiplier is {self.width_multiplier}; it must be a positive number that makes widths which "
                f"{self.groups} groups can share evenly, such as 1"
            )
        super().__post_init__()

    @property
    def widths(self) -> Sequence[int]:
        """Channels of the first convolution, rounded up to a multiple of the groups, then of each stage."""
        first = _FIRST_WIDTHS[self.groups]
        exact = (24, *(first * 2**index for index in range(len(self.stage_sizes))))
        stem, *widths = (int(width * self.width_multiplier) for width in exact)
        return [-(-stem // self.groups) * self.groups, *widths]

    def maps(self, x: Array, *, train: bool) -> Iterator[tuple[int, Array]]:
        """Yields the stride and the map after the first convolution, the maximum and each stage."""
        x = ConvNorm(self.widths[0], 3, stride=2, **self.layers(), name="stem")(x, train=train)
        yield 2, x
        x, stride = max_pool(x, padding=(1, 1)), 4
        yield stride, x
        for stage, units, width in zip(self.stages, self.stage_sizes, self.widths[1:], strict=True):
            for number in range(1, units + 1):
                unit = ShuffleUnit(
                    width,
                    stride=2 if number == 1 else 1,
                    groups=self.groups,
                    first_groups=1 if (stage, number) == (2, 1) else self.groups,
                    **self.block_fields(stage, number),
                )
                x = self.run(unit, x, train=train)
            stride *= 2
            yield stride, x


NETWORKS: dict[str, ModuleDef] = {"shufflenet": ShuffleNet}
