"""ResNet and SE-ResNet (He et al., arXiv 1512.03385; Hu et al., arXiv 1709.01507, table 1)."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from senet_jax import modules, ops
from senet_jax.modules.conv import conv
from senet_jax.typing import Array, Float

ModuleDef = Callable[..., Any]


class ResNet(nn.Module):
    """A stem, stages of residual blocks, the mean over positions, a dense layer.

    The stages are numbered as in the papers: the stem is stage 1, so that `stage2_block3` is the paper's 2_3.
    The first block of every stage but stage 2 halves the size of the maps; every stage doubles the width.
    """

    stage_sizes: Sequence[int]
    block: ModuleDef
    stem: ModuleDef
    width: int = 64
    """Channels of the stem, and of the convolutions within the blocks of stage 2."""
    num_classes: int = 1000
    attention: ModuleDef | None = None
    """Makes the module on every residual branch, such as `partial(SqueezeExcite, ratio=8)`; None: a plain network."""
    norm: ModuleDef = modules.BatchNorm
    activation: Callable[[Array], Array] = nn.relu
    dropout: float = 0.0
    """Rate of dropout before the dense layer; training then needs the random numbers "dropout"."""
    dtype: Any = jnp.float32
    """Of the convolutions and the maps; parameters, statistics, gates and logits have `param_dtype`."""
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: Float[Array, "..."], *, train: bool) -> Float[Array, "n classes"]:
        """Logits of normalised images (n, h, w, c). With train=True, `batch_stats` must be mutable and is updated.

        Raises ValueError where the images are not (n, h, w, c).
        """
        if images.ndim != 4:
            raise ValueError(f"images must be (n, height, width, channels); given shape {images.shape}")
        layers: dict[str, Any] = {
            "conv": partial(conv, dtype=self.dtype, param_dtype=self.param_dtype),
            "norm": partial(self.norm, param_dtype=self.param_dtype),
            "activation": self.activation,
        }
        attention = self.attention and partial(self.attention, param_dtype=self.param_dtype)
        x = self.stem(self.width, **layers, name="stem")(images.astype(self.dtype), train=train)
        for stage, blocks in enumerate(self.stage_sizes, start=2):
            width = self.width * 2 ** (stage - 2)
            for block in range(1, blocks + 1):
                stride = 2 if block == 1 and stage > 2 else 1
                name = f"stage{stage}_block{block}"
                x = self.block(width, stride, attention=attention, **layers, name=name)(x, train=train)
        x = nn.Dropout(self.dropout, deterministic=not train)(ops.squeeze(x))
        return nn.Dense(self.num_classes, param_dtype=self.param_dtype, name="head")(x)


def _imagenet(block: ModuleDef, *stage_sizes: int) -> ModuleDef:
    return partial(ResNet, stage_sizes=stage_sizes, block=block, stem=modules.ImageNetStem)


def _cifar(depth: int) -> ModuleDef:
    """6n + 2 layers in three stages; the shortcuts that change shape are projections, which the exact counts need."""
    stages = ((depth - 2) // 6,) * 3
    return partial(ResNet, stage_sizes=stages, block=modules.BasicBlock, stem=modules.CifarStem, width=16)


NETWORKS: dict[str, ModuleDef] = {
    "resnet18": _imagenet(modules.BasicBlock, 2, 2, 2, 2),
    "resnet34": _imagenet(modules.BasicBlock, 3, 4, 6, 3),
    "resnet50": _imagenet(modules.Bottleneck, 3, 4, 6, 3),
    "resnet101": _imagenet(modules.Bottleneck, 3, 4, 23, 3),
    "resnet152": _imagenet(modules.Bottleneck, 3, 8, 36, 3),
    **{f"resnet{depth}_cifar": _cifar(depth) for depth in (20, 32, 44, 56, 110)},
}
