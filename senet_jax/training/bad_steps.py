"""Steps with a loss or a gradient that is not finite: skipped, counted and described."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from senet_jax.typing import Array, Bool, Float
from senet_jax.weights import manifests

BadSteps = dict[str, Array]
"""Record of the bad steps of a run.

`count` int32 (): number of bad steps of the whole run. The others are of the first bad step since the last log line:
`step` int32 (), its number, 0 if none was bad; `loss` float32 (); `norms` float32 (parameters,), the norms of the
gradient; `before` float32 (parameters,), those of the last good step before it."""


def none(params: Any) -> BadSteps:
    """Returns the record before the first bad step."""
    parameters = len(jax.tree.leaves(params))
    integers = {name: jnp.zeros((), jnp.int32) for name in ("count", "step")}
    # The training step donates each array, so each must be its own.
    norms = {name: jnp.zeros(parameters, jnp.float32) for name in ("norms", "before")}
    return integers | {"loss": jnp.zeros((), jnp.float32)} | norms


def norms(gradient: Any) -> Float[Array, " parameters"]:
    """Returns the norm of each parameter's gradient, in the order of the tree's leaves."""
    squares = [jnp.square(leaf.astype(jnp.float32)).sum() for leaf in jax.tree.leaves(gradient)]
    return jnp.sqrt(jnp.stack(squares))


def chosen(good: Bool[Array, ""], new: Any, old: Any) -> Any:
    """Returns the new tree after a good step, else the old one with the new counters, by which schedules advance."""

    def choose(new: Array, old: Array) -> Array:
        return new if jnp.issubdtype(new.dtype, jnp.integer) else jnp.where(good, new, old)

    return jax.tree.map(choose, new, old)


def noted(
    bad: BadSteps, good: Bool[Array, ""], step: Array, loss: Float[Array, ""], norms: Float[Array, " parameters"]
) -> BadSteps:
    """Returns the record after one more step, with its number (from 1), loss and gradient norms."""
    none_yet = bad["step"] == 0
    first = none_yet & ~good
    return {
        "count": bad["count"] + ~good,
        "step": jnp.where(first, step, bad["step"]),
        "loss": jnp.where(first, loss, bad["loss"]),
        "norms": jnp.where(first, norms, bad["norms"]),
        "before": jnp.where(none_yet & good, norms, bad["before"]),
    }


def described(bad: BadSteps, params: Any) -> str:
    """Describes the first bad step since the last log line: its number, its loss, its largest gradient norms."""
    values = jax.device_get(bad)
    names = [name for name, _ in manifests.leaves(params)]
    return (
        f"step {int(values['step'])} is bad: its loss is {float(values['loss']):.4g}, its largest gradient norms are "
        f"{_largest(names, values['norms'])}, and those of the last good step {_largest(names, values['before'])}"
    )


def _largest(names: list[str], norms: np.ndarray) -> str:
    order = np.argsort(np.where(np.isnan(norms), np.inf, norms), kind="stable")[::-1]
    return ", ".join(f"{names[index]} {norms[index]:.3g}" for index in order[:3])
