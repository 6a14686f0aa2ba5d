"""The networks that timm (Wightman, PyTorch Image Models) builds, by its names.

They differ from the authors': the stride is on the 3x3 convolution, the maximum after the stem is padded on all sides,
hidden channels are multiples of 8; the `legacy_` networks, which came from Caffe, differ in other ways.
"""

import re
from functools import partial
from typing import Any

from flax import linen as nn

from senet_jax import modules, ops
from senet_jax.models import resnext, senet
from senet_jax.models.resnet import NETWORKS as RESNETS
from senet_jax.models.resnet import ResNet
from senet_jax.modules.pooling import average_pool
from senet_jax.ops import max_pool
from senet_jax.typing import Array, ModuleDef

_STAGE_SIZES = {
    10: (1, 1, 1, 1),
    14: (1, 1, 1, 1),
    18: (2, 2, 2, 2),
    26: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
    200: (3, 24, 36, 3),
    201: (3, 24, 36, 4),
    269: (3, 30, 48, 8),
}
_NAMES = """
    resnet10t resnet14t resnet18 resnet18d resnet26 resnet26d resnet26t resnet34 resnet34d resnet50 resnet50c resnet50d
    resnet50s resnet50t resnet101 resnet101c resnet101d resnet101s resnet152 resnet152c resnet152d resnet152s resnet200
    resnet200d resnetaa34d resnetaa50 resnetaa50d resnetaa101d
    resnext50_32x4d resnext50d_32x4d resnext101_32x4d resnext101_64x4d resnext101_32x8d resnext101_32x16d
    resnext101_32x32d
    seresnet18 seresnet34 seresnet50 seresnet50t seresnet101 seresnet152 seresnet152d seresnet200d seresnet269d
    seresnetaa50d
    seresnext26d_32x4d seresnext26t_32x4d seresnext50_32x4d seresnext101_32x4d seresnext101_64x4d seresnext101_32x8d
    seresnext101d_32x8d seresnextaa101d_32x8d seresnextaa201d_32x8d
    ecaresnet26t ecaresnet50d ecaresnet50t ecaresnet101d ecaresnet200d ecaresnet269d
    ecaresnext26t_32x4d ecaresnext50t_32x4d
""".split()  # noqa: SIM905
_ATTENTIONS = {
    "": None,
    "se": partial(modules.SqueezeExcite, divisor=8),
    "eca": modules.EfficientChannelAttention,
}
_padded_max_pool = partial(max_pool, padding=(1, 1))


def _resnet(name: str) -> partial:
    """Makes the network of a name, which spells attention, anti-aliasing, depth, stem, groups and widths."""
    pattern = r"^(se|eca|)res(?:net|next)(aa|)(\d+)([cdst]|)(?:_(\d+)x(\d+)d)?$"
    ((attention, pooled, depth, letter, groups, group_width),) = re.findall(pattern, name)
    stem = partial(modules.DeepStem, tiered=letter == "t") if letter else modules.ImageNetStem
    stem = partial(stem, pool=average_pool if pooled else _padded_max_pool)
    stem_width = 32 if letter and letter != "s" and depth != "201" else 64
    block = modules.BasicBlock
    if depth not in ("10", "18", "34"):
        groups = int(groups or 1)
        multiple = groups * int(group_width or 64) // 64
        block = partial(modules.Bottleneck, inner_widths=(multiple, multiple), groups=groups, stride_on_3x3=True)
    block = partial(block, average_shortcut=letter in ("d", "t"), anti_alias=average_pool if pooled else None)
    return partial(
        ResNet,
        stage_sizes=_STAGE_SIZES[int(depth)],
        block=block,
        stem=stem,
        stem_width=stem_width,
        attention=_ATTENTIONS[attention],
    )


_WIDE = partial(modules.Bottleneck, inner_widths=(2, 2), stride_on_3x3=True)
"""Block twice as wide inside (Zagoruyko and Komodakis, arXiv 1605.07146)."""
_TIERED_SILU = partial(ResNet, placement="inner", activation=nn.silu, stem_width=32)
_RESNEXT26TS = partial(
    _TIERED_SILU,
    stage_sizes=(2, 2, 2, 2),
    block=partial(modules.Bottleneck, group_width=32, stride_on_3x3=True),
    stem=partial(modules.DeepStem, tiered=True, pool=_padded_max_pool),
)
_RESNET33TS = partial(
    _TIERED_SILU,
    stage_sizes=(2, 3, 3, 2),
    block=partial(modules.Bottleneck, stride_on_3x3=True),
    stem=partial(modules.DeepStem, tiered=True, pool=None),
    widths=(64, 128, 384, 384),
    head_width=1280,
)


class LegacyBasicBlock(modules.BasicBlock):
    """A basic block that activates the branch before its squeeze."""

    def branch(self, x: Array, *, train: bool) -> Array:
        """Returns the residual branch up to the activation that follows its last normalisation."""
        return ops.activate(self.activation, super().branch(x, train=train))


def _legacy(network: ModuleDef, **settings: Any) -> partial:
    """Makes the authors' network with dropout."""
    return partial(network, attention=modules.SqueezeExcite, dropout=0.2, **settings)


NETWORKS: dict[str, partial] = {
    **{name: _resnet(name) for name in _NAMES},
    "wide_resnet50_2": partial(_resnet("resnet50"), block=_WIDE),
    "wide_resnet101_2": partial(_resnet("resnet101"), block=_WIDE),
    "resnext26ts": _RESNEXT26TS,
    "seresnext26ts": partial(_RESNEXT26TS, attention=_ATTENTIONS["se"]),
    "resnet33ts": _RESNET33TS,
    "seresnet33ts": partial(_RESNET33TS, attention=_ATTENTIONS["se"]),
    "senet154": partial(
        senet.SENET154,
        stem=partial(modules.DeepStem, pool=_padded_max_pool),
        attention=_ATTENTIONS["se"],
        dropout=0.0,
    ),
    "legacy_seresnet18": _legacy(RESNETS["resnet18"], block=LegacyBasicBlock),
    "legacy_seresnet34": _legacy(RESNETS["resnet34"], block=LegacyBasicBlock),
    "legacy_seresnet50": _legacy(RESNETS["resnet50"]),
    "legacy_seresnet101": _legacy(RESNETS["resnet101"]),
    "legacy_seresnet152": _legacy(RESNETS["resnet152"]),
    "legacy_seresnext26_32x4d": _legacy(resnext.NETWORKS["resnext26_32x4d"]),
    "legacy_seresnext50_32x4d": _legacy(resnext.NETWORKS["resnext50_32x4d"]),
    "legacy_seresnext101_32x4d": _legacy(resnext.NETWORKS["resnext101_32x4d"]),
    "legacy_senet154": _legacy(senet.SENET154),
}
