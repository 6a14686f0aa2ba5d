"""Networks that are quick to compile."""

from flax import linen as nn

from senet_jax import create_model
from senet_jax.models import Network


def tiny_network(classes=10, **fields):
    """Returns SE-ResNet-20 for CIFAR with two stages of one narrow block, unless the fields say otherwise."""
    sizes = {"stage_sizes": (1, 1), "stem_width": 8, "widths": (8, 16)}
    return create_model("se_resnet20_cifar", classes, **sizes | fields)


class ChannelMeans(Network, kw_only=True):
    """Has no parameters; its classes are the channels."""

    def maps(self, x, *, train):
        yield 1, x

    def classify(self, x, *, train):
        return 100 * x.mean((1, 2))


class Linear(nn.Module):
    """Without batch normalisation, so that an example's logits are its own."""

    dropout: float = 0.0

    @nn.compact
    def __call__(self, x, *, train):
        x = nn.Dropout(self.dropout, deterministic=not train)(x.reshape(len(x), -1))
        return nn.Dense(10, name="dense")(x)
