"""ResNet and SE-ResNet (He et al., arXiv 1512.03385; Hu et al., arXiv 1709.01507, table 1)."""

from collections.abc import Iterator, Sequence
from functools import partial

from senet_jax import modules
from senet_jax.models.network import ResidualNetwork
from senet_jax.typing import Array, ModuleDef


class ResNet(ResidualNetwork, kw_only=True):
    """A stem, stages of residual blocks, the mean over positions, a dense layer.

    The stages are numbered as in the papers: the stem is stage 1, so that `stage2_block3` is the paper's 2_3.
    The first block of every stage but stage 2 halves the size of the maps.
    """

    block: ModuleDef
    stem: ModuleDef
    stem_width: int = 64
    """Channels of the stem's first convolution."""
    widths: Sequence[int] = (64, 128, 256, 512)
    """Channels of the convolutions within the blocks, for each stage."""
    output_stride: int = 32
    """Largest stride of the last maps: 8, 16 or 32. Stages beyond it are dilated instead (arXiv 1706.05587)."""
    head_width: int | None = None
    """Channels of a last 1x1 convolution; None: the network does without."""

    def __post_init__(self) -> None:
        """Raises ValueError if the output stride is not 8, 16 or 32."""
        if self.output_stride not in (8, 16, 32):
            raise ValueError(f"output_stride is {self.output_stride}; it must be 8, 16 or 32")
        super().__post_init__()

    def maps(self, x: Array, *, train: bool) -> Iterator[tuple[int, Array]]:
        """Yields the stride and the map within the stem, if it is larger than after the stem, and after each stage."""
        stem = self.stem(self.stem_width, **self.layers(), name="stem")
        larger: dict[int, Array] = {}
        x, stride = stem(x, train=train, larger=larger), stem.stride
        yield from larger.items()
        dilation = 1
        for stage, blocks, width in zip(self.stages, self.stage_sizes, self.widths, strict=True):
            for block in range(1, blocks + 1):
                step = 2 if block == 1 and stage > 2 else 1
                before = dilation
                if stride * step > self.output_stride:
                    dilation, step = dilation * step, 1
                stride *= step
                module = self.block(width, step, dilations=(before, dilation), **self.block_fields(stage, block))
                x = self.run(module, x, train=train)
            if self.head_width is not None and stage == self.stages[-1]:
                x = modules.ConvNorm(self.head_width, 1, **self.layers(), name="head_conv")(x, train=train)
            yield stride, x


def _imagenet(block: ModuleDef, *stage_sizes: int) -> ModuleDef:
    return partial(ResNet, stage_sizes=stage_sizes, block=block, stem=modules.ImageNetStem)


def _cifar(depth: int, block: ModuleDef = modules.BasicBlock, layers: int = 2) -> ModuleDef:
    """Makes three stages; shortcuts that change shape are projections, as the published counts need."""
    sizes = ((depth - 2) // (3 * layers),) * 3
    return partial(ResNet, stage_sizes=sizes, block=block, stem=modules.CifarStem, stem_width=16, widths=(16, 32, 64))


NETWORKS: dict[str, ModuleDef] = {
    "resnet18": _imagenet(modules.BasicBlock, 2, 2, 2, 2),
    "resnet34": _imagenet(modules.BasicBlock, 3, 4, 6, 3),
    "resnet50": _imagenet(modules.Bottleneck, 3, 4, 6, 3),
    "resnet101": _imagenet(modules.Bottleneck, 3, 4, 23, 3),
    "resnet152": _imagenet(modules.Bottleneck, 3, 8, 36, 3),
    **{f"resnet{depth}_cifar": _cifar(depth) for depth in (20, 32, 44, 56, 110)},
    "resnet164_cifar": _cifar(164, modules.Bottleneck, layers=3),
}
