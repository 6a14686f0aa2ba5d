"""Evaluates a network on every example of a split, and returns its predictions."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.sharding import Mesh

from senet_jax.config import Experiment
from senet_jax.data.split import Split
from senet_jax.training import augmentation, memory, metrics, parallel
from senet_jax.training.step import Batch
from senet_jax.training.watchdog import watched
from senet_jax.typing import Array

_TOP = 5


class Answers(NamedTuple):
    """Predictions for n examples, in the order of the split; k is 5, or the number of classes if it is smaller."""

    numbers: np.ndarray
    """Numbers of the examples in the split, int (n,); those that cannot be read are left out."""
    labels: np.ndarray
    """The network's number of each example's class, int32 (n,)."""
    losses: np.ndarray
    """Cross entropy in nats, float32 (n,)."""
    ranks: np.ndarray
    """`metrics.ranks`, int32 (n,): the prediction is correct if the rank is 1."""
    classes: np.ndarray
    """The likeliest classes, the likeliest first, int32 (n, k)."""
    probabilities: np.ndarray
    """Probabilities of `classes`, float32 (n, k)."""


def answers(
    network: nn.Module,
    variables: Any,
    split: Split,
    numbers: np.ndarray,
    *,
    config: Experiment,
    mesh: Mesh,
    subset: bool,
    watch: Callable[[Iterable[Batch], int], Iterable[Batch]],
) -> Answers:
    """Evaluates every example of the split once.

    `numbers` are those that the network gives to the classes of the split, (classes of the split,). With `subset` the
    network chooses among these classes alone, and other classes have no share in the probabilities. `watch` takes the
    batches and their number, and yields them. Raises TooManyBadImagesError if more images cannot be read than the
    configuration allows, OutOfMemoryError if a device has too little memory.
    """
    data = config.data

    def step(variables: Any, numbers: Array, batch: Batch) -> dict[str, Array]:
        images = augmentation.normalise(batch["image"], data.mean, data.std)
        logits: Any = network.apply(variables, images, train=False)
        if subset:
            logits = jnp.full_like(logits, -jnp.inf).at[:, numbers].set(logits[:, numbers])
        labels = numbers[batch["label"]]
        probabilities, classes = jax.lax.top_k(jax.nn.softmax(logits), min(_TOP, logits.shape[1]))
        return {
            "labels": labels,
            "losses": metrics.losses(logits, labels),
            "ranks": metrics.ranks(logits, labels),
            "classes": classes,
            "probabilities": probabilities,
            "mask": batch["mask"],
        }

    compiled = jax.jit(step, out_shardings=parallel.replicated(mesh))
    found, parts = jnp.asarray(numbers, jnp.int32), []
    with watched(config.stuck_after) as gets_on:
        for batch in watch(*parallel.evaluated(split, config, mesh)):
            with memory.explained(config, compiled, (variables, found, batch), evaluates=True):
                part = jax.device_get(compiled(variables, found, batch))
            mask = part.pop("mask")
            part["numbers"] = np.arange(len(mask)) + len(parts) * len(mask)
            parts.append({name: values[mask] for name, values in part.items()})
            gets_on()
    return Answers(**{name: np.concatenate([part[name] for part in parts]) for name in parts[0]})
