"""The state of training."""

from collections.abc import Collection
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax import struct

from senet_jax.training import bad_steps, metrics, random
from senet_jax.training.parts import Path, split
from senet_jax.typing import Array


@struct.dataclass
class TrainState:
    """The state of a run after `step` steps; a checkpoint holds exactly this.

    A pytree, so that besides arrays its leaves can be their shapes or shardings.
    """

    step: Any
    """Number of steps, int32 ()."""
    variables: Any
    """`params` and `batch_stats` of the network."""
    optimizer_state: Any
    """State of the optax optimizer."""
    average: Any
    """The variables that evaluation uses instead: an exponential moving average, or the mean of schedule-free SGD; None
    if evaluation uses those that are trained."""
    sums: Any
    """`metrics.Sums` since the last log line, so that a resumed run logs what an uninterrupted one does."""
    bad: Any
    """`bad_steps.BadSteps`: steps that were left out."""

    @property
    def evaluated(self) -> Any:
        """Variables that evaluation uses."""
        return self.variables if self.average is None else self.average


def init_state(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    image_shape: tuple[int, ...],
    *,
    seed: int | Array,
    average: bool,
    variables: Any = None,
    frozen: Collection[Path] = (),
) -> TrainState:
    """Returns the state before the first step for images (h, w, c), from these variables; None: from random ones.

    The optimizer has no state for the parameters that are frozen.
    """
    if variables is None:
        variables = model.init(random.stream(seed, "init"), jnp.zeros((1, *image_shape)), train=False)
    trained, _ = split(variables["params"], frozen)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        variables=variables,
        optimizer_state=optimizer.init(trained),
        average=jax.tree.map(jnp.copy, variables) if average else None,
        sums=metrics.zeros(),
        bad=bad_steps.none(trained),
    )
