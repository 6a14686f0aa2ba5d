"""Stochastic gradient descent as the paper trains (section 5.1), from optax's parts."""

from typing import Any

import jax
import optax

from senet_jax.config import OptimizerConfig, to_steps
from senet_jax.typing import Array


def make_schedule(
    config: OptimizerConfig,
    learning_rate: float | Array | None = None,
    *,
    total_steps: int,
    steps_per_epoch: float,
) -> optax.Schedule:
    """Learning rate of each step, counted from 0: linear warm-up, then constant, cosine to zero, or steps.

    `learning_rate` stands for the configuration's where it is given.

    Raises ValueError if the warm-up is not shorter than the training, or if a decay is not before its end.
    """
    warmup = to_steps(config.warmup, steps_per_epoch)
    if warmup >= total_steps:
        raise ValueError(f"config.optimizer.warmup is {warmup} steps of {total_steps} in all; make it shorter")
    peak = config.learning_rate if learning_rate is None else learning_rate
    match config.schedule:
        case "cosine":
            schedule = optax.cosine_decay_schedule(peak, total_steps - warmup)
        case "step":
            if late := [time for time in config.decay_at if to_steps(time, steps_per_epoch) >= total_steps]:
                raise ValueError(
                    f"config.optimizer.decay_at has {late[0]!r}, which is not before the end of training, after "
                    f"{total_steps} steps; give earlier times, or config.optimizer.schedule='cosine' without any"
                )
            times = [to_steps(time, steps_per_epoch) - warmup for time in config.decay_at]
            factors = {time: config.decay_factor ** times.count(time) for time in times}
            schedule = optax.piecewise_constant_schedule(peak, factors)
        case _:
            schedule = optax.constant_schedule(peak)
    if not warmup:
        return schedule
    return optax.join_schedules([optax.linear_schedule(0.0, peak, warmup), schedule], [warmup])


def make_optimizer(config: OptimizerConfig, schedule: optax.Schedule) -> optax.GradientTransformation:
    """Clipping, L2 decay of the kernels, momentum: in this order the decay passes through the momentum, as in Caffe."""
    return optax.chain(
        optax.identity() if config.clip_norm is None else optax.clip_by_global_norm(config.clip_norm),
        optax.add_decayed_weights(config.weight_decay, mask=kernels),
        optax.sgd(schedule, momentum=config.momentum, nesterov=config.nesterov),
    )


def kernels(params: Any) -> Any:
    """True for the kernels of convolutions and dense layers, False for biases and normalisation parameters."""
    return jax.tree.map_with_path(lambda path, _: path[-1].key == "kernel", params)
