"""Residual blocks of two branches with random weights: Shake-Shake (Gastaldi, arXiv 1705.07485)."""

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax import lax

from senet_jax.modules.conv_norm import ConvNorm
from senet_jax.modules.residual import OUTER_PLACEMENTS, ResidualBlock
from senet_jax.ops import divided
from senet_jax.ops.shake import shake
from senet_jax.typing import Array


class ShakeBlock(ResidualBlock):
    """Base class of blocks whose residual branch is the mean of two, weighted at random in training.

    Every example has its own weights. They come from the random numbers "dropout". The attention's place "standard" is
    after the mean; "inner" does not exist, because there are two 3x3 convolutions.
    """

    placements: ClassVar[tuple[str, ...]] = OUTER_PLACEMENTS
    unused: ClassVar[tuple[str, ...]] = ("anti_alias",)
    even_backward: bool = False
    """Whether the gradient is the same for both branches (Shake-Even), or has weights of its own (Shake-Shake)."""

    def branch(self, x: Array, *, train: bool) -> Array:
        """Returns the mean of both branches, weighted at random in training."""
        first, second = (self.one_branch(x, number, train=train) for number in (1, 2))
        if not train:
            return (first + second) / 2
        weights = jax.random.uniform(self.make_rng("dropout"), (2, x.shape[0] * divided.parts()))
        forward, backward = divided.own(weights, axis=1)
        return shake(first, second, forward, jnp.full_like(backward, 0.5) if self.even_backward else backward)

    def one_branch(self, x: Array, number: int, *, train: bool) -> Array:
        """Returns the branch `number`, 1 or 2, up to its last normalisation."""
        raise NotImplementedError

    def layer(self, name: str, features: int, kernel_size: int, *, last: bool = False, **settings: Any) -> ConvNorm:
        """Returns a convolution with its normalisation and, unless it is the branch's last, its activation."""
        make = partial(ConvNorm, conv=self.conv, norm=self.norm, activation=None if last else self.activation)
        return make(features, kernel_size, **settings, name=name)


class ShakeBasicBlock(ShakeBlock):
    """In each branch an activation and two 3x3 convolutions, the first of which has the stride.

    A shortcut that changes shape sees two halves of the positions: one half of its channels comes from the map itself,
    the other from the map moved by one pixel down and to the right.
    """

    expansion: ClassVar[int] = 1
    unused: ClassVar[tuple[str, ...]] = ("strided_shortcut_kernel", "average_shortcut", "anti_alias")

    def one_branch(self, x: Array, number: int, *, train: bool) -> Array:
        """Returns the branch `number`, 1 or 2, up to its last normalisation."""
        before, after = self.dilations
        first = self.layer(f"branch{number}_conv1", self.width, 3, stride=self.stride, dilation=before)
        second = self.layer(f"branch{number}_conv2", self.width, 3, last=True, dilation=after)
        return second(first(self.activation(x), train=train), train=train)

    def shortcut(self, x: Array, features: int, *, train: bool) -> Array:
        """Returns the block's input in the shape of its output."""
        if self.stride == 1 and x.shape[-1] == features:
            return x
        x = self.activation(x)
        rows = lax.slice_in_dim(x, 0, -1, axis=1)  # An index gathers in a batch of any size.
        moved = jnp.pad(lax.slice_in_dim(rows, 0, -1, axis=2), ((0, 0), (1, 0), (1, 0), (0, 0)))
        half = partial(self.conv, features // 2, 1, stride=self.stride)
        halves = [half(name="shortcut_conv1")(x), half(name="shortcut_conv2")(moved)]
        return self.norm(name="shortcut_norm")(jnp.concatenate(halves, axis=-1), train=train)

    @property
    def final_activation(self) -> Callable[[Array], Array]:
        """The identity, because the next block's branches begin with the activation."""
        return lambda x: x


class ShakeBottleneck(ShakeBlock):
    """In each branch 1x1, grouped 3x3 and 1x1 convolutions, the last to 4 `width` channels; a plain block otherwise."""

    groups: int = 4
    """Groups of the 3x3 convolution, each of `width` channels."""
    expansion: ClassVar[int] = 4

    def one_branch(self, x: Array, number: int, *, train: bool) -> Array:
        """Returns the branch `number`, 1 or 2, up to its last normalisation."""
        inner, name = self.groups * self.width, f"branch{number}_conv"
        x = self.layer(f"{name}1", inner, 1)(x, train=train)
        before, groups = self.dilations[0], self.groups
        x = self.layer(f"{name}2", inner, 3, stride=self.stride, dilation=before, groups=groups)(x, train=train)
        return self.layer(f"{name}3", self.width * self.expansion, 1, last=True)(x, train=train)
