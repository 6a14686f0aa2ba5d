"""ResNet-20 for CIFAR-10 from timm's blocks, plain and with SE: timm itself has no networks for such images.

The Python of the peer imports it by its path; it has no senet_jax.
"""

from functools import partial

from timm.layers import SEModule  # pyright: ignore[reportMissingImports]
from timm.models.resnet import BasicBlock, make_blocks  # pyright: ignore[reportMissingImports]
from torch import nn  # pyright: ignore[reportMissingImports]

NETWORKS = {"resnet20_cifar": None, "se_resnet20_cifar": partial(SEModule, rd_ratio=1 / 16, rd_divisor=1)}
"""Attention layers of the networks, by their names in `senet_jax.list_models()`, which have as many parameters."""


class ResNet20(nn.Module):
    """timm's blocks behind the stem of CIFAR networks; shortcuts that change shape are projections."""

    def __init__(self, name: str):
        """Draws the convolutions' kernels as senet_jax does."""
        super().__init__()
        layers = {"act_layer": nn.ReLU, "norm_layer": nn.BatchNorm2d, "attn_layer": NETWORKS[name]}
        stages, _ = make_blocks((BasicBlock,) * 3, (16, 32, 64), (3, 3, 3), inplanes=16, **layers)
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.stages = nn.Sequential(*(stage for _, stage in stages))
        self.head = nn.Linear(64, 10)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_in")

    def forward(self, x):
        """Returns the logits, (n, 10), of images, (n, 3, 32, 32)."""
        return self.head(self.stages(self.stem(x)).mean((2, 3)))
