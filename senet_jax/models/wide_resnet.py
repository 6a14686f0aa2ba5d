"""Wide ResNet (Zagoruyko and Komodakis, arXiv 1605.07146): few pre-activation blocks of many channels."""

from functools import partial

from senet_jax.models.preact_resnet import PreActivationResNet
from senet_jax.modules.pre_activation import PreActivationBasicBlock
from senet_jax.typing import ModuleDef


def _wide(depth: int, multiple: int) -> ModuleDef:
    """Makes a network of 6n + 4 layers, projections included, and `multiple` times the channels of ResNet-20."""
    return partial(
        PreActivationResNet,
        stage_sizes=((depth - 4) // 6,) * 3,
        block=PreActivationBasicBlock,
        widths=(16 * multiple, 32 * multiple, 64 * multiple),
    )


NETWORKS: dict[str, ModuleDef] = {
    f"wrn{depth}_{multiple}_cifar": _wide(depth, multiple) for depth, multiple in ((16, 8), (28, 10), (40, 4))
}
