"""Steps with a loss or a gradient that is not finite: left out of the state, counted and described."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from senet_jax.typing import Array, Bool, Float
from senet_jax.weights import manifests

BadSteps = dict[str, Array]
"""`count` int32 (), of the whole run; of the first since the last log line `step` int32 (), 0 if there was none, `loss`
float32 () and `norms` float32 (parameters,) of the gradient; `before` are the norms of the last good step before it."""


def none(params: Any) -> BadSteps:
    """Returns the record before the first bad step."""
    parameters = len(jax.tree.leaves(params))
    integers = {name: jnp.zeros((), jnp.int32) for name in ("count", "step")}
    # The training step donates each of them, so that no two may be one array.
    norms = {name: jnp.zeros(parameters, jnp.float32) for name in ("norms", "before")}
    return integers | {"loss": jnp.zeros((), jnp.float32)} | norms


def norms(gradient: Any) -> Float[Array, " parameters"]:
    """The norm of each parameter's gradient, in the order of the tree's leaves."""
    squares = [jnp.square(leaf.astype(jnp.float32)).sum() for leaf in jax.tree.leaves(gradient)]
    return jnp.sqrt(jnp.stack(squares))


def chosen(good: Bool[Array, ""], new: Any, old: Any) -> Any:
    """The new tree after a good step, else the old one, but for its counters: a schedule goes on with the steps."""

    def choose(new: Array, old: Array) -> Array:
        return new if jnp.issubdtype(new.dtype, jnp.integer) else jnp.where(good, new, old)

    return jax.tree.map(choose, new, old)


def noted(
    bad: BadSteps, good: Bool[Array, ""], step: Array, loss: Float[Array, ""], norms: Float[Array, " parameters"]
) -> BadSteps:
    """The same with one more step, of that number (from 1), loss and gradient norms."""
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
    """The first bad step since the last log line in words: its number, its loss, its largest gradient norms."""
    values = jax.device_get(bad)
    names = [name for name, _ in manifests.leaves(params)]
    return (
        f"step {int(values['step'])} is bad: its loss is {float(values['loss']):.4g}, its largest gradient norms are "
        f"{_largest(names, values['norms'])}, and those of the last good step {_largest(names, values['before'])}"
    )


def _largest(names: list[str], norms: np.ndarray, count: int = 3) -> str:
    order = np.argsort(np.where(np.isnan(norms), np.inf, norms), kind="stable")[::-1]
    return ", ".join(f"{names[index]} {norms[index]:.3g}" for index in order[:count])
