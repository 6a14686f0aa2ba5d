"""Shake-Shake networks for CIFAR (Gastaldi, arXiv 1705.07485; with SE: Hu et al., arXiv 1709.01507, tables 4, 5)."""

from collections.abc import Iterator
from functools import partial

from senet_jax import modules
from senet_jax.models.resnet import ResNet
from senet_jax.modules.shake import ShakeBasicBlock, ShakeBottleneck
from senet_jax.typing import Array, ModuleDef


class ShakeShake(ResNet, kw_only=True):
    """A ResNet whose blocks begin with the activation; another activation follows the last block."""

    def maps(self, x: Array, *, train: bool) -> Iterator[tuple[int, Array]]:
        """Yields the stride and the map after each stage; the last is activated."""
        *maps, (stride, last) = super().maps(x, train=train)
        yield from maps
        yield stride, self.activation(last)


def _shake_shake(width: int) -> ModuleDef:
    """Makes a network of 26 layers and two branches; the first of the three stages has `width` channels."""
    widths = (width, 2 * width, 4 * width)
    sizes, stem = (4, 4, 4), modules.CifarStem
    return partial(ShakeShake, stage_sizes=sizes, block=ShakeBasicBlock, stem=stem, stem_width=16, widths=widths)


NETWORKS: dict[str, ModuleDef] = {
    **{f"shake26_2x{width}d_cifar": _shake_shake(width) for width in (32, 64, 96)},
    "shake29_2x4x64d_cifar": partial(
        ResNet,
        stage_sizes=(3, 3, 3),
        block=partial(ShakeBottleneck, even_backward=True),
        stem=modules.CifarStem,
        widths=(64, 128, 256),
    ),
}
