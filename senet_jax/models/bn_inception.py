"""BN-Inception and SE-BN-Inception (Ioffe and Szegedy, arXiv 1502.03167; Hu et al., arXiv 1709.01507, figure 2).

As the authors released it: the last module pools by maximum, there are no auxiliary classifiers and no dropout. Layers
have the names of their prototxt.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial

import jax.numpy as jnp
from flax import linen as nn
from flax.core import FrozenDict

from senet_jax.models.network import Network
from senet_jax.modules.conv_norm import ConvNorm, Layered
from senet_jax.modules.pooling import average_pool
from senet_jax.modules.squeeze_excite import recalibrated
from senet_jax.ops import max_pool
from senet_jax.typing import Array, Float, ModuleDef

_WIDTHS = {
    "3a": (64, 64, 64, 64, 96, 32),
    "3b": (64, 64, 96, 64, 96, 64),
    "3c": (0, 128, 160, 64, 96, 0),
    "4a": (224, 64, 96, 96, 128, 128),
    "4b": (192, 96, 128, 96, 128, 128),
    "4c": (160, 128, 160, 128, 160, 128),
    "4d": (96, 128, 192, 160, 192, 128),
    "4e": (0, 128, 192, 192, 256, 0),
    "5a": (352, 192, 320, 160, 224, 128),
    "5b": (352, 192, 320, 192, 224, 128),
}


class Inception(Layered):
    """Four branches on the same map, concatenated and then recalibrated."""

    widths: Sequence[int]
    """Channels of the 1x1 convolution, of a 1x1 and its 3x3, of a 1x1 and its two 3x3, and of the projection of the
    pooled map. Without projection and 1x1 (0), the other branches have stride 2."""
    pool: Callable[[Array], Array] = partial(average_pool, size=3, stride=1, padding=(1, 1))
    """Pooling before the projection."""
    attention: ModuleDef | None = None
    """Function that makes the attention module, named "se"; None: a plain module."""

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"], *, train: bool) -> Float[Array, "n oh ow oc"]:
        one, three_reduce, three, double_reduce, double, projection = self.widths
        stride = 1 if projection else 2

        def layer(x: Array, name: str, features: int, size: int = 1, stride: int = 1) -> Array:
            return self.layer(features, size, stride, name=name)(x, train=train)

        y = layer(layer(x, "3x3_reduce", three_reduce), "3x3", three, 3, stride)
        z = layer(layer(x, "double3x3_reduce", double_reduce), "double3x3a", double, 3)
        z = layer(z, "double3x3b", double, 3, stride)
        if projection:
            branches = [layer(x, "1x1", one), y, z, layer(self.pool(x), "pool_proj", projection)]
        else:
            # Caffe rounds up the size of a pooled map; of an odd map, that is less than the size of the convolutions.
            branches = [y, z, max_pool(x, padding=(0, 2))]
        x = jnp.concatenate(branches, axis=-1)
        return x if self.attention is None else recalibrated(self.attention(name="se"), x)


class BNInception(Network, kw_only=True):
    """Two convolutions, each with a pooling, and ten Inception modules in the stages 3, 4 and 5.

    The attention stands on the whole output of each module, including a branch that only pools.
    """

    widths: Mapping[str, Sequence[int]] = FrozenDict(_WIDTHS)
    """Channels of each Inception module, by its stage and letter: see `Inception.widths`."""

    @property
    def stages(self) -> Collection[int]:
        """Numbers of the stages that can have attention."""
        return (3, 4, 5)

    def maps(self, x: Array, *, train: bool) -> Iterator[tuple[int, Array]]:
        """Yields the stride and the map after each convolution and module.

        Raises ValueError if the images are too small for the network.
        """
        if min(x.shape[1:3]) < 7:
            raise ValueError(f"images are {x.shape[1]}x{x.shape[2]}; BN-Inception takes at least 7x7 pixels")
        layer = partial(ConvNorm, **self.layers())
        x = layer(64, 7, 2, name="conv1_7x7_s2")(x, train=train)
        yield 2, x
        x = layer(64, 1, name="conv2_3x3_reduce")(max_pool(x), train=train)
        x = layer(192, 3, name="conv2_3x3")(x, train=train)
        yield 4, x
        x, stride = max_pool(x), 8
        for number, widths in self.widths.items():
            module = partial(Inception, widths, attention=self.attention_in(int(number[0])), **self.layers())
            if number == "5b":
                module = partial(module, pool=partial(max_pool, stride=1, padding=(1, 1)))
            x = self.run(module(name=f"inception_{number}"), x, train=train)
            stride = stride if widths[-1] else 2 * stride
            yield stride, x


NETWORKS: dict[str, ModuleDef] = {"bn_inception": BNInception}
