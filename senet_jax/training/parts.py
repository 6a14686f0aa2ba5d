"""Parts of a network: those that are trained, and the factors of their learning rates."""

import math
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import traverse_util
from flax.linen.module import InterceptorContext

from senet_jax.config import Experiment
from senet_jax.models.parameters import abstract_variables
from senet_jax.modules import BatchNorm
from senet_jax.patterns import matched, read_numbers

Path = tuple[str, ...]
"""Path of a parameter, such as ("stage2_block1", "norm1", "scale")."""


def find_parts(
    model: nn.Module, config: Experiment, image_shape: tuple[int, ...]
) -> tuple[frozenset[Path], dict[Path, float]]:
    """Returns the frozen parameters, and the factors of the learning rate of the others, as far as they are not 1.

    Raises ValueError for a pattern that matches no parameter, and if no parameter is left to train.
    """
    optimizer = config.optimizer
    if not config.init.freeze and not optimizer.multipliers and optimizer.layer_decay == 1:
        return frozenset(), {}
    blocks: dict[str, None] = {}

    def note(method: Callable[..., Any], args: Any, kwargs: Any, context: InterceptorContext) -> Any:
        if context.module.path:
            blocks.setdefault(context.module.path[0])
        return method(*args, **kwargs)

    with nn.intercept_methods(note):
        images = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
        variables = abstract_variables(model, images, train=False)
    paths: list[Path] = list(traverse_util.flatten_dict(variables["params"]))
    order = [block for block in blocks if any(path[0] == block for path in paths)]
    paths.sort(key=lambda path: order.index(path[0]))
    found = matched(config.init.freeze, paths, "config.init.freeze")
    frozen = frozenset(path for own in found.values() for path in map(tuple, own))
    if len(frozen) == len(paths):
        raise ValueError(f"config.init.freeze is {config.init.freeze}, which leaves no parameter to train")
    given = read_numbers(optimizer.multipliers) or {}
    multiplied = matched(given, paths, "config.optimizer.multipliers")
    factors = {
        path: optimizer.layer_decay ** (len(order) - 1 - order.index(path[0]))
        * math.prod(given[pattern] for pattern, own in multiplied.items() if path in own)
        for path in paths
        if path not in frozen
    }
    return frozen, {path: factor for path, factor in factors.items() if factor != 1}


def split(params: Any, frozen: Collection[Path]) -> tuple[Any, Any]:
    """Returns the parameters that are trained, and those that are not, as two nested dictionaries."""
    flat: dict[Path, Any] = traverse_util.flatten_dict(params)
    trained = {path: leaf for path, leaf in flat.items() if path not in frozen}
    kept = {path: leaf for path, leaf in flat.items() if path in frozen}
    return traverse_util.unflatten_dict(trained), traverse_util.unflatten_dict(kept)


def join(trained: Any, kept: Any) -> Any:
    """Returns all parameters: the inverse of `split`."""
    return traverse_util.unflatten_dict(traverse_util.flatten_dict(trained) | traverse_util.flatten_dict(kept))


def running_statistics(frozen: Collection[Path] | None) -> AbstractContextManager[None]:
    """Returns a context in which a BatchNorm with a frozen parameter uses its running statistics in training.

    None: every BatchNorm does.
    """
    modules = None if frozen is None else {path[:-1] for path in frozen}

    def evaluate(method: Callable[..., Any], args: Any, kwargs: Any, context: InterceptorContext) -> Any:
        module = context.module
        if isinstance(module, BatchNorm) and (modules is None or module.path in modules) and "train" in kwargs:
            kwargs = kwargs | {"train": False}
        return method(*args, **kwargs)

    return nn.intercept_methods(evaluate)
