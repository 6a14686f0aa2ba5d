"""SENet-154, the network that won ILSVRC 2017 (Hu et al., arXiv 1709.01507, appendix)."""

from functools import partial

from senet_jax import modules
from senet_jax.models.resnet import ResNet

SENET154 = partial(
    ResNet,
    stage_sizes=(3, 8, 36, 3),
    block=partial(modules.Bottleneck, inner_widths=(2, 4), groups=64, stride_on_3x3=True, strided_shortcut_kernel=3),
    stem=modules.DeepStem,
    dropout=0.2,
)
"""SENet-154 without squeeze-and-excitation, which the registry adds."""
