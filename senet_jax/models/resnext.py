"""ResNeXt and SE-ResNeXt (Xie et al., arXiv 1611.05431; Hu et al., arXiv 1709.01507, table 1)."""

from functools import partial

from senet_jax import modules
from senet_jax.models.resnet import ResNet
from senet_jax.typing import ModuleDef


def _resnext(*stage_sizes: int, groups: int, group_width: int) -> ModuleDef:
    """Makes a ResNeXt with `groups` groups of `group_width` channels in stage 2; the 3x3 convolution has the stride."""
    multiple = groups * group_width // 64
    block = partial(modules.Bottleneck, inner_widths=(multiple, multiple), groups=groups, stride_on_3x3=True)
    return partial(ResNet, stage_sizes=stage_sizes, block=block, stem=modules.ImageNetStem)


NETWORKS: dict[str, ModuleDef] = {
    "resnext26_32x4d": _resnext(2, 2, 2, 2, groups=32, group_width=4),
    "resnext50_32x4d": _resnext(3, 4, 6, 3, groups=32, group_width=4),
    "resnext101_32x4d": _resnext(3, 4, 23, 3, groups=32, group_width=4),
    "resnext101_64x4d": _resnext(3, 4, 23, 3, groups=64, group_width=4),
    "resnext101_32x8d": _resnext(3, 4, 23, 3, groups=32, group_width=8),
}
