"""VGG with batch normalisation (Simonyan and Zisserman, arXiv 1409.1556, configurations A, B, D and E)."""

from collections.abc import Collection, Iterator, Sequence
from functools import partial

from flax import linen as nn

from senet_jax.models.network import Network
from senet_jax.modules.conv_norm import ConvNorm
from senet_jax.modules.squeeze_excite import recalibrated
from senet_jax.ops import max_pool
from senet_jax.typing import Array, Float, ModuleDef


class VGGLayer(ConvNorm):
    """Convolution, normalisation, activation, recalibration."""

    attention: ModuleDef | None = None
    """Function that makes the attention module, named "se"; None: a plain layer."""

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], *, train: bool) -> Float[Array, "n oh ow oc"]:
        x = super().__call__(x, train=train)
        return x if self.attention is None else recalibrated(self.attention(name="se"), x)


class VGG(Network, kw_only=True):
    """Stages of 3x3 convolutions, each stage with a 2x2 maximum after it, then three dense layers.

    The layers have their customary names: `conv5_3` is the third of stage 5. The attention stands after the activation
    of every convolution (Hu et al., arXiv 1709.01507, section 3.3). The dense layers are convolutions, so that an image
    larger than 224x224 gives the mean of their outputs over positions; with `num_classes=0`, that of the second.
    """

    stage_sizes: Sequence[int]
    """Convolutions of each stage."""
    widths: Sequence[int] = (64, 128, 256, 512, 512)
    """Channels of each stage."""
    dense_width: int = 4096
    """Channels of the first two dense layers."""
    dropout: float = 0.5
    """Rate of dropout after each of the first two dense layers; training then needs the random numbers "dropout"."""

    @property
    def stages(self) -> Collection[int]:
        """Numbers of the stages that can have attention."""
        return range(1, 1 + len(self.stage_sizes))

    def maps(self, x: Array, *, train: bool) -> Iterator[tuple[int, Array]]:
        """Yields the stride and the map after each stage, and after the last maximum.

        Raises ValueError if the images are too small for the network.
        """
        if min(x.shape[1:3]) < (least := 2 ** len(self.stage_sizes)):
            raise ValueError(f"images are {x.shape[1]}x{x.shape[2]}; VGG takes at least {least}x{least} pixels")
        stride = 1
        for stage, convolutions, width in zip(self.stages, self.stage_sizes, self.widths, strict=True):
            layer = partial(VGGLayer, width, 3, use_bias=True, attention=self.attention_in(stage), **self.layers())
            for number in range(1, convolutions + 1):
                x = self.run(layer(name=f"conv{stage}_{number}"), x, train=train)
            yield stride, x
            x, stride = max_pool(x, 2, padding=(0, 0)), 2 * stride
        yield stride, x

    def classify(self, x: Array, *, train: bool) -> Array:
        """Returns the logits of the last map, or the mean over positions of the second dense layer's output.

        Raises ValueError if the map is smaller than the 7x7 of a 224x224 image; timm stretches it.
        """
        if min(x.shape[1:3]) < 7:
            least = 7 * 2 ** len(self.stage_sizes)
            raise ValueError(
                f"the last map is {x.shape[1]}x{x.shape[2]}, and VGG's dense layers take at least 7x7: "
                f"give images of at least {least}x{least} pixels, or features_only=True"
            )
        layer = partial(self.layers()["conv"], self.dense_width, use_bias=True)
        x = self.activation(layer(7, padding="VALID", name="fc1")(x))
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        x = self.activation(layer(1, name="fc2")(x))
        return super().classify(x, train=train)


def _vgg(*stage_sizes: int) -> ModuleDef:
    return partial(VGG, stage_sizes=stage_sizes)


NETWORKS: dict[str, ModuleDef] = {
    "vgg11": _vgg(1, 1, 2, 2, 2),
    "vgg13": _vgg(2, 2, 2, 2, 2),
    "vgg16": _vgg(2, 2, 3, 3, 3),
    "vgg19": _vgg(2, 2, 4, 4, 4),
}
