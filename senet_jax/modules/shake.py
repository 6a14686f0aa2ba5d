"""Residual blocks of two branches with random weights: Shake-Shake (Gastaldi, arXiv 1705.07485)."""

from functools import partial
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import lax

from senet_jax.modules.residual import OUTER_PLACEMENTS, VARIANTS, ResidualBlock
from senet_jax.ops import divided
from senet_jax.ops.shake import shake
from senet_jax.typing import Array


class ShakeBlock(ResidualBlock):
    """Base class of blocks whose residual branch is the mean of two, weighted at random in training.

    Every example has its own weights. They come from the random numbers "dropout". The attention's place "standard" is
    after the mean; "inner" does not exist, because there are two 3x3 convolutions.
    """

    placements: ClassVar[tuple[str, ...]] = OUTER_PLACEMENTS
    unused: ClassVar[tuple[str, ...]] = VARIANTS
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


class ShakeBasicBlock(ShakeBlock):
    """In each branch an activation and two 3x3 convolutions, the first of which has the stride.

    A shortcut that changes shape sees two halves of the positions: one half of its channels comes from the map itself,
    the other from the map moved by one pixel down and to the right.
    """

    expansion: ClassVar[int] = 1

    def one_branch(self, x: Array, number: int, *, train: bool) -> Array:
        """Returns the branch `number`, 1 or 2, up to its last normalisation."""
        first = self.layer(self.width, 3, self.stride, name=f"branch{number}_conv1")
        second = self.layer(self.width, 3, activation=None, name=f"branch{number}_conv2")
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

    def join(self, branch: Array, shortcut: Array) -> Array:
        """Returns the sum alone, because the next block's branches begin with the activation."""
        return branch + shortcut


class ShakeBottleneck(ShakeBlock):
    """In each branch 1x1, grouped 3x3 and 1x1 convolutions, the last to 4 `width` channels; a plain block otherwise."""

    groups: int = 4
    """Groups of the 3x3 convolution, each of `width` channels."""
    expansion: ClassVar[int] = 4

    def one_branch(self, x: Array, number: int, *, train: bool) -> Array:
        """Returns the branch `number`, 1 or 2, up to its last normalisation."""
        inner, name = self.groups * self.width, f"branch{number}_conv"
        x = self.layer(inner, 1, name=f"{name}1")(x, train=train)
        x = self.layer(inner, 3, self.stride, groups=self.groups, name=f"{name}2")(x, train=train)
        return self.layer(self.width * self.expansion, 1, activation=None, name=f"{name}3")(x, train=train)
