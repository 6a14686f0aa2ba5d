"""ResNet-50, SE-ResNet-50 and their ResNeXts, written with the layers of `flax.linen` alone, for the benchmark.

Their parameter trees are those of `timm/resnet50`, `timm/seresnet50` and so on.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

_ONE: Any = ((1, 1), (1, 1))  # Flax annotates padding as str, and takes pairs.


class SqueezeExcite(nn.Module):
    """Squeeze-and-excitation: each channel times a gate from the means of all channels."""

    ratio: int = 16
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        s = jnp.mean(x, axis=(1, 2))
        s = nn.relu(nn.Dense(x.shape[-1] // self.ratio, dtype=self.dtype, name="reduce")(s))
        s = nn.sigmoid(nn.Dense(x.shape[-1], dtype=self.dtype, name="expand")(s))
        return x * s[:, None, None, :]


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions beside a shortcut; the stride is on the 3x3 convolution."""

    width: int
    stride: int
    groups: int
    group_width: int
    squeeze_excite: bool
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        conv = partial(nn.Conv, use_bias=False, kernel_init=nn.initializers.he_normal(), dtype=self.dtype)
        norm = partial(nn.BatchNorm, use_running_average=not train, momentum=0.9, dtype=self.dtype)
        middle = self.width * self.groups * self.group_width // 64
        y = conv(middle, (1, 1), name="conv1")(x)
        y = nn.relu(norm(name="norm1")(y))
        y = conv(middle, (3, 3), self.stride, padding=_ONE, feature_group_count=self.groups, name="conv2")(y)
        y = nn.relu(norm(name="norm2")(y))
        y = conv(4 * self.width, (1, 1), name="conv3")(y)
        y = norm(name="norm3")(y)
        if self.squeeze_excite:
            y = SqueezeExcite(dtype=self.dtype, name="se")(y)
        if x.shape != y.shape:
            x = conv(4 * self.width, (1, 1), self.stride, name="shortcut_conv")(x)
            x = norm(name="shortcut_norm")(x)
        return nn.relu(x + y)


class ResNet(nn.Module):
    """A 7x7 convolution, a maximum, four stages of blocks, the mean over positions, a dense layer."""

    stage_sizes: Sequence[int] = (3, 4, 6, 3)
    groups: int = 1
    group_width: int = 64
    squeeze_excite: bool = False
    num_classes: int = 1000
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> jax.Array:
        x = Stem(self.dtype, name="stem")(images.astype(self.dtype), train=train)
        for stage, blocks in enumerate(self.stage_sizes):
            for block in range(blocks):
                x = Bottleneck(
                    64 * 2**stage,
                    2 if stage and not block else 1,
                    self.groups,
                    self.group_width,
                    self.squeeze_excite,
                    self.dtype,
                    name=f"stage{stage + 2}_block{block + 1}",
                )(x, train=train)
        x = jnp.mean(x, axis=(1, 2))
        return nn.Dense(self.num_classes, dtype=self.dtype, name="head")(x).astype(jnp.float32)


class Stem(nn.Module):
    """Maps of 56x56 positions of 224x224 images."""

    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        x = nn.Conv(64, (7, 7), 2, padding=((3, 3), (3, 3)), use_bias=False, dtype=self.dtype, name="conv")(x)
        x = nn.BatchNorm(use_running_average=not train, momentum=0.9, dtype=self.dtype, name="norm")(x)
        return nn.max_pool(nn.relu(x), (3, 3), (2, 2), padding=_ONE)


_RESNEXT = {"groups": 32, "group_width": 4}
NETWORKS = {
    "timm/resnet50": partial(ResNet),
    "timm/seresnet50": partial(ResNet, squeeze_excite=True),
    "timm/resnext50_32x4d": partial(ResNet, **_RESNEXT),
    "timm/seresnext50_32x4d": partial(ResNet, **_RESNEXT, squeeze_excite=True),
}
"""Networks by their names in `senet_jax.list_models()`."""
