"""Pre-activation ResNet for CIFAR (He et al., arXiv 1603.05027), with SE (Hu et al., arXiv 1709.01507, table 4)."""

from collections.abc import Iterator, Sequence
from functools import partial

from senet_jax.models.network import ResidualNetwork
from senet_jax.modules.pre_activation import PreActivationBasicBlock, PreActivationBottleneck
from senet_jax.typing import Array, ModuleDef


class PreActivationResNet(ResidualNetwork, kw_only=True):
    """A 3x3 convolution, stages of pre-activation blocks, normalisation and activation, the mean, a dense layer.

    The stages are numbered from 2; the first block of every later one halves the maps. The attention stands on the
    branch after its last convolution (Hu et al., arXiv 1709.01507, section 3.3).
    """

    block: ModuleDef
    stem_width: int = 16
    """Channels of the first convolution."""
    widths: Sequence[int] = (16, 32, 64)
    """Channels of the convolutions within the blocks, for each stage."""
    block_dropout: float = 0.0
    """Rate of dropout between the convolutions of a block (arXiv 1605.07146); it takes the random numbers "dropout"."""

    def maps(self, x: Array, *, train: bool) -> Iterator[tuple[int, Array]]:
        """Yields the stride and the map after each stage; the last is normalised and activated."""
        layers = self.layers()
        x, stride = layers["conv"](self.stem_width, 3, name="stem_conv")(x), 1
        for stage, blocks, width in zip(self.stages, self.stage_sizes, self.widths, strict=True):
            for block in range(1, blocks + 1):
                step = 2 if block == 1 and stage > 2 else 1
                stride *= step
                first, fields = (stage, block) == (2, 1), self.block_fields(stage, block)
                module = self.block(width, step, first=first, dropout=self.block_dropout, **fields)
                x = self.run(module, x, train=train)
            if stage == self.stages[-1]:
                x = self.activation(layers["norm"](name="head_norm")(x, train=train))
            yield stride, x


def _basic(depth: int) -> ModuleDef:
    return partial(PreActivationResNet, stage_sizes=((depth - 2) // 6,) * 3, block=PreActivationBasicBlock)


NETWORKS: dict[str, ModuleDef] = {
    **{f"preact_resnet{depth}_cifar": _basic(depth) for depth in (20, 56, 110)},
    "preact_resnet164_cifar": partial(PreActivationResNet, stage_sizes=(18, 18, 18), block=PreActivationBottleneck),
}
