"""Functions of a whole batch, for a function that sees one device's part of it inside of `jax.pmap` or `jax.shard_map`.

In a context `over(axis)` they reach over the devices along that axis. Elsewhere the part is the whole batch, and they
change nothing.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from senet_jax.typing import Array, Shaped

_axis: ContextVar[str | None] = ContextVar("axis", default=None)


@contextmanager
def over(axis: str) -> Iterator[None]:
    """Makes the functions of this module reach over the named axis of `jax.pmap` or `jax.shard_map` while tracing."""
    token = _axis.set(axis)
    try:
        yield
    finally:
        _axis.reset(token)


def parts() -> int:
    """Returns the number of parts of the batch: the devices along the axis, or 1."""
    axis = _axis.get()
    return 1 if axis is None else lax.axis_size(axis)


def whole(x: Shaped[Array, "n ..."]) -> Shaped[Array, "whole ..."]:
    """Returns the arrays of all parts, one after the other."""
    axis = _axis.get()
    return x if axis is None else lax.all_gather(x, axis, tiled=True)


def own(x: Shaped[Array, "..."], axis: int = 0) -> Shaped[Array, "..."]:
    """Returns this part of an array of the whole batch, whose examples are along that dimension."""
    name, size = _axis.get(), x.shape[axis] // parts()
    return x if name is None else lax.dynamic_slice_in_dim(x, lax.axis_index(name) * size, size, axis)


def mean(tree: Any) -> Any:
    """Returns the mean over the parts of each array in a tree."""
    axis = _axis.get()
    return tree if axis is None else lax.pmean(tree, axis)


def total(tree: Any) -> Any:
    """Returns the sum over the parts of each array in a tree."""
    axis = _axis.get()
    return tree if axis is None else lax.psum(tree, axis)


def varying_alike(tree: Any) -> Any:
    """Returns arrays that vary over the same axes of `jax.shard_map`, as the gradients of all of them do there."""
    arrays, structure = jax.tree.flatten(tree)
    axes = [getattr(getattr(jax.typeof(x), "manual_axis_type", None), "varying", frozenset()) for x in arrays]
    missing = [tuple(frozenset().union(*axes) - own) for own in axes]
    alike = [lax.pcast(x, more, to="varying") if more else x for x, more in zip(arrays, missing, strict=True)]
    return jax.tree.unflatten(structure, alike)


def previous(x: Shaped[Array, "n ..."], distance: int = 1) -> Shaped[Array, "n ..."]:
    """Returns for each example the one `distance` places before it in the whole batch; the last precede the first."""
    axis, number = _axis.get(), parts()
    if axis is None:
        return jnp.roll(x, distance, axis=0)

    def sent(rows: Array, away: int) -> Array:
        """Returns the rows of the part that is so many parts before this one."""
        return lax.ppermute(rows, axis, [(part, (part + away) % number) for part in range(number)]) if away else rows

    away, rest = divmod(distance, len(x))
    return jnp.concatenate([sent(x[len(x) - rest :], away + 1), sent(x[: len(x) - rest], away)])
