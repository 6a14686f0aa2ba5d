"""Loss and accuracy as sums and counts, so that no figure depends on how the examples were batched."""

import math

import jax
import jax.numpy as jnp
import optax

from senet_jax.typing import Array, Bool, Float, Int

Sums = dict[str, Array]


def zeros() -> Sums:
    """Returns sums over no examples."""
    counts = {name: jnp.zeros((), jnp.int32) for name in ("correct", "top5_correct", "count")}
    return {"loss": jnp.zeros((), jnp.float32)} | counts


def losses(
    logits: Float[Array, "n classes"], labels: Int[Array, " n"], label_smoothing: float = 0.0
) -> Float[Array, " n"]:
    """Returns the cross entropy in nats; `label_smoothing` of the target is spread over all classes (1512.00567)."""
    log_p = jax.nn.log_softmax(logits)
    target = -jnp.take_along_axis(log_p, labels[:, None], axis=1)[:, 0]
    if not label_smoothing:  # The mean is infinite if a class is left out with a logit of -inf.
        return target
    return (1 - label_smoothing) * target - label_smoothing * log_p.mean(axis=1)


def binary_losses(logits: Float[Array, "n classes"], targets: Float[Array, "n classes"]) -> Float[Array, " n"]:
    """Binary cross entropy in nats, the mean over classes; each target above 0.2 is 1, the others 0.

    This is the loss of "ResNet strikes back" (arXiv 2110.00476), by which a mixed image has all of its classes.
    """
    return optax.sigmoid_binary_cross_entropy(logits, (targets > 0.2).astype(logits.dtype)).mean(axis=1)


def sums(
    losses: Float[Array, " n"],
    logits: Float[Array, "n classes"],
    labels: Int[Array, " n"],
    mask: Bool[Array, " n"] | None = None,
) -> Sums:
    """Returns sums over the examples whose mask is True. A tie counts as wrong, and so does a NaN among the logits."""
    mask = jnp.ones(labels.shape, bool) if mask is None else mask
    rank = ranks(logits, labels)
    return {
        "loss": jnp.where(mask, losses, 0).sum(dtype=jnp.float32),
        "correct": (mask & (rank == 1)).sum(dtype=jnp.int32),
        "top5_correct": (mask & (rank <= 5)).sum(dtype=jnp.int32),
        "count": mask.sum(dtype=jnp.int32),
    }


def ranks(logits: Float[Array, "n classes"], labels: Int[Array, " n"]) -> Int[Array, " n"]:
    """Returns the rank of each label among the logits, from 1; the worst of a tie, and beyond all classes for NaN."""
    own = jnp.take_along_axis(logits, labels[:, None], axis=1)
    return jnp.where(jnp.isnan(logits).any(axis=1), logits.shape[1] + 5, (logits >= own).sum(axis=1))


def add(a: Sums, b: Sums) -> Sums:
    """Returns sums over the examples of both."""
    return jax.tree.map(jnp.add, a, b)


def means(parts: list[Sums]) -> dict[str, float]:
    """Returns loss in nats, accuracy and top-5 accuracy in [0, 1] over all parts; waits for the device."""
    parts = jax.device_get(parts)
    total = {name: math.fsum(float(part[name]) for part in parts) for name in parts[0]}
    return {
        "loss": total["loss"] / total["count"],
        "accuracy": total["correct"] / total["count"],
        "top5_accuracy": total["top5_correct"] / total["count"],
    }
