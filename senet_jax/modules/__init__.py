"""`flax.linen` modules: the squeeze-and-excitation block, its descendants, and parts of the networks."""

from senet_jax.modules.attention import (
    ATTENTIONS,
    CBAM,
    EffectiveSqueezeExcite,
    EfficientChannelAttention,
    GatherExcite,
    GlobalContext,
    SpatialChannelSqueezeExcite,
)
from senet_jax.modules.batch_norm import BatchNorm, all_derivatives, unfused
from senet_jax.modules.conv import Convolution
from senet_jax.modules.conv_norm import ConvNorm
from senet_jax.modules.residual import PLACEMENTS, BasicBlock, Bottleneck, ResidualBlock
from senet_jax.modules.squeeze_excite import SqueezeExcite
from senet_jax.modules.stems import CifarStem, DeepStem, ImageNetStem
from senet_jax.modules.with_se import WithSE

__all__ = [
    "ATTENTIONS",
    "CBAM",
    "PLACEMENTS",
    "BasicBlock",
    "BatchNorm",
    "Bottleneck",
    "CifarStem",
    "ConvNorm",
    "Convolution",
    "DeepStem",
    "EffectiveSqueezeExcite",
    "EfficientChannelAttention",
    "GatherExcite",
    "GlobalContext",
    "ImageNetStem",
    "ResidualBlock",
    "SpatialChannelSqueezeExcite",
    "SqueezeExcite",
    "WithSE",
    "all_derivatives",
    "unfused",
]
