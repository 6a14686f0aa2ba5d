"""Inception-ResNet-v2 (Szegedy et al., arXiv 1602.07261), as its authors released it and timm has it.

The layers have their released names, with `block35`, `block17` and `block8` for the Inception-ResNet-A, -B and -C of
the paper.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import jax.numpy as jnp
from flax import linen as nn
from flax.core import FrozenDict

from senet_jax.models.network import ResidualNetwork
from senet_jax.modules.conv_norm import ConvNorm, Layered
from senet_jax.modules.pooling import average_pool
from senet_jax.modules.residual import OUTER_PLACEMENTS, VARIANTS, ResidualBlock
from senet_jax.ops import max_pool
from senet_jax.typing import Array, Float, ModuleDef

Branches = Sequence[Sequence[tuple[int, int | tuple[int, int]]]]
"""Channels and kernel size of each convolution of each branch."""

_MIXED: dict[str, dict[str, Any]] = {
    "mixed_5b": {"branches": (((96, 1),), ((48, 1), (64, 5)), ((64, 1), (96, 3), (96, 3))), "projection": 64},
    "mixed_6a": {"branches": (((384, 3),), ((256, 1), (256, 3), (384, 3)))},
    "mixed_7a": {"branches": (((256, 1), (384, 3)), ((256, 1), (288, 3)), ((256, 1), (288, 3), (320, 3)))},
}
_BLOCKS: dict[str, dict[str, Any]] = {
    "block35": {
        "width": 320,
        "branches": (((32, 1),), ((32, 1), (32, 3)), ((32, 1), (48, 3), (64, 3))),
        "scale": 0.17,
    },
    "block17": {"width": 1088, "branches": (((192, 1),), ((128, 1), (160, (1, 7)), (192, (7, 1)))), "scale": 0.10},
    "block8": {"width": 2080, "branches": (((192, 1),), ((192, 1), (224, (1, 3)), (256, (3, 1)))), "scale": 0.20},
}
_FINAL = {"scale": 1.0, "activated": False}
"""Fields of the last block, which differ from those of the others."""


def _branches(x: Array, branches: Branches, layer: ModuleDef, *, train: bool, stride: int = 1) -> list[Array]:
    """Returns the output of each branch; a stride is on its last convolution, which then is not padded."""
    outputs = []
    for i, branch in enumerate(branches):
        y = x
        for j, (features, size) in enumerate(branch, start=1):
            strided = {"stride": stride, "padding": "VALID"} if stride > 1 and j == len(branch) else {}
            y = layer(features, size, **strided, name=f"branch{i}_conv{j}")(y, train=train)
        outputs.append(y)
    return outputs


class Mixed(Layered):
    """Branches on the same map, one of which pools it, concatenated."""

    branches: Branches
    projection: int = 0
    """Channels of the projection of the mean of 3x3 positions; 0: their maximum, and stride 2 in all branches."""

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], *, train: bool) -> Float[Array, "n oh ow oc"]:
        if self.projection:
            pooled = average_pool(x, 3, 1, padding=(1, 1), count_padding=False)
            pooled = self.layer(self.projection, 1, name=f"branch{len(self.branches)}_conv1")(pooled, train=train)
        else:
            pooled = max_pool(x, padding=(0, 0))
        stride = 1 if self.projection else 2
        return jnp.concatenate([*_branches(x, self.branches, self.layer, train=train, stride=stride), pooled], axis=-1)


class InceptionResidualBlock(ResidualBlock, kw_only=True):
    """The sum of a shortcut and of branches that a linear 1x1 convolution joins and a factor scales down."""

    width: int
    """Channels of the input and of the output."""
    branches: Branches
    scale: float
    """Factor of the residual branch, after its attention."""
    activated: bool = True
    """Whether the activation follows the sum."""
    placements: ClassVar[tuple[str, ...]] = OUTER_PLACEMENTS
    unused: ClassVar[tuple[str, ...]] = VARIANTS

    def branch(self, x: Array, *, train: bool) -> Array:
        """Returns the residual branch up to its linear convolution."""
        x = jnp.concatenate(_branches(x, self.branches, self.layer, train=train), axis=-1)
        return self.conv(self.width, 1, use_bias=True, name="linear")(x)

    def join(self, branch: Array, shortcut: Array) -> Array:
        """Returns the sum of the scaled branch and the shortcut, activated or not."""
        branch *= self.scale
        return super().join(branch, shortcut) if self.activated else branch + shortcut


class InceptionResNetV2(ResidualNetwork, kw_only=True):
    """A stem without padding, three stages of a module that changes the map's shape and residual blocks, a convolution.

    The stages have the numbers of those modules (`mixed_5b`, `mixed_6a`, `mixed_7a`): 5, 6 and 7. The attention stands
    on the residual branch of every block, after its linear convolution, before it is scaled. Images are 299x299.
    """

    stage_sizes: Sequence[int] = (10, 20, 10)
    """Blocks of each stage."""
    mixed: Mapping[str, Mapping[str, Any]] = FrozenDict(_MIXED)
    """Fields of the module before each stage, by its name: see `Mixed`."""
    blocks: Mapping[str, Mapping[str, Any]] = FrozenDict(_BLOCKS)
    """Fields of the blocks of each stage, by the beginning of their names: see `InceptionResidualBlock`."""
    epsilon: float = 1e-3
    """Term added to the variance in the normalisation."""

    @property
    def stages(self) -> Sequence[int]:
        """Numbers of the stages that can have attention."""
        return (5, 6, 7)[: len(self.stage_sizes)]

    def layers(self) -> dict[str, Any]:
        """Returns the fields of every block; a normalisation with another or no epsilon keeps it."""
        layers = super().layers()
        norm = layers["norm"]
        if hasattr(norm.func, "epsilon"):
            layers["norm"] = partial(norm, **{"epsilon": self.epsilon} | norm.keywords)
        return layers

    def maps(self, x: Array, *, train: bool) -> Iterator[tuple[int, Array]]:
        """Yields the stride and the map after the stem's convolutions and each stage, and after the last convolution.

        Raises ValueError if the images are too small for the network.
        """
        if min(x.shape[1:3]) < 75:
            raise ValueError(f"images are {x.shape[1]}x{x.shape[2]}; Inception-ResNet-v2 takes at least 75x75 pixels")
        layer = partial(ConvNorm, **self.layers())
        x = layer(32, 3, 2, padding="VALID", name="conv2d_1a")(x, train=train)
        x = layer(32, 3, padding="VALID", name="conv2d_2a")(x, train=train)
        x = layer(64, 3, name="conv2d_2b")(x, train=train)
        yield 2, x
        x = layer(80, 1, name="conv2d_3b")(max_pool(x, padding=(0, 0)), train=train)
        x = layer(192, 3, padding="VALID", name="conv2d_4a")(x, train=train)
        yield 4, x
        x, stride = max_pool(x, padding=(0, 0)), 8
        for stage, size, mixed, block in zip(self.stages, self.stage_sizes, self.mixed, self.blocks, strict=True):
            x = self.run(Mixed(**self.mixed[mixed], **self.layers(), name=mixed), x, train=train)
            last = stage == self.stages[-1]
            for number in range(1, size + 1):
                fields: dict[str, Any] = self.block_fields(stage, number) | {"name": f"{block}_{number}"}
                fields.update(self.blocks[block], **_FINAL if last and number == size else {})
                x = self.run(InceptionResidualBlock(**fields), x, train=train)
            yield stride, layer(1536, 1, name="conv2d_7b")(x, train=train) if last else x
            stride *= 2


NETWORKS: dict[str, ModuleDef] = {"inception_resnet_v2": InceptionResNetV2}
