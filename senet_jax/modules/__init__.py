"""`flax.linen` modules: the squeeze-and-excitation block and what the networks are built of."""

from senet_jax.modules.batch_norm import BatchNorm
from senet_jax.modules.residual import BasicBlock, Bottleneck
from senet_jax.modules.squeeze_excite import SqueezeExcite
from senet_jax.modules.stems import CifarStem, DeepStem, ImageNetStem

__all__ = ["BasicBlock", "BatchNorm", "Bottleneck", "CifarStem", "DeepStem", "ImageNetStem", "SqueezeExcite"]
