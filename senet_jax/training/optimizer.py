"""The optimizers, from optax's parts: by default stochastic gradient descent as the paper trains (section 5.1)."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
import optax.contrib

from senet_jax.config import OptimizerConfig
from senet_jax.durations import to_steps
from senet_jax.optimizers import read_arguments
from senet_jax.typing import Array


def make_schedule(config: OptimizerConfig, *, total_steps: int, steps_per_epoch: float) -> optax.Schedule:
    """Makes the schedule: the share of the peak learning rate, from 0 to 1, at each step, counted from 0.

    A linear warm-up comes first, then a constant, a cosine or a power to zero, or steps.

    Raises ValueError if the warm-up is not shorter than the training, or if a decay is in it or not before the end.
    """
    warmup = to_steps(config.warmup, steps_per_epoch)
    if warmup >= total_steps:
        raise ValueError(
            f"config.optimizer.warmup is {config.warmup!r}, {warmup:,} steps of {total_steps:,} in all, at "
            f"{steps_per_epoch:,.4g} an epoch; make it shorter, as in --config.optimizer.warmup="
            f"'{total_steps // 4} steps'"
        )
    match config.schedule:
        case "cosine":
            schedule = optax.cosine_decay_schedule(1.0, total_steps - warmup)
        case "polynomial":
            schedule = optax.polynomial_schedule(1.0, 0.0, config.decay_power, total_steps - warmup)
        case "step":
            steps = [to_steps(time, steps_per_epoch) for time in config.decay_at]
            for time, step in zip(config.decay_at, steps, strict=True):
                if step >= total_steps:
                    raise ValueError(
                        f"config.optimizer.decay_at has {time!r}, {step:,} steps at {steps_per_epoch:,.4g} an epoch, "
                        f"which is not before the end of training, after {total_steps:,} steps; give earlier times, or "
                        "config.optimizer.schedule='cosine' without any"
                    )
                if step < warmup:
                    raise ValueError(
                        f"config.optimizer.decay_at has {time!r}, {step:,} steps, which is in the warm-up of "
                        f"{warmup:,} steps; give later times, or a shorter config.optimizer.warmup"
                    )
            factors = {step - warmup: config.decay_factor ** steps.count(step) for step in steps}
            schedule = optax.piecewise_constant_schedule(1.0, factors)
        case _:
            schedule = optax.constant_schedule(1.0)
    if not warmup:
        return schedule
    return optax.join_schedules([optax.linear_schedule(0.0, 1.0, warmup), schedule], [warmup])


def make_optimizer(
    config: OptimizerConfig, schedule: optax.Schedule, factors: Mapping[tuple[str, ...], float] | None = None
) -> optax.GradientTransformationExtraArgs:
    """Makes an optimizer whose `update` takes the peak learning rate as its argument `learning_rate`.

    It clips, then adds the L2 decay of the kernels: in this order the decay passes through the momentum, as in Caffe.
    The decoupled decay of Adam, Lion, Muon and LAMB is added after their direction; LAMB then scales the steps of the
    kernels by the ratio of the norms of kernel and step. LARS scales the gradients of the kernels by that ratio, of
    the gradient with its decay, times the trust coefficient. `factors` are those of the learning rates of parameters,
    by their paths.
    """
    arguments: Any = read_arguments(config.kind, config.arguments)
    clip = optax.identity() if config.clip_norm is None else optax.clip_by_global_norm(config.clip_norm)
    decay = optax.add_decayed_weights(config.weight_decay, mask=kernels)
    rate = scale_by_learning_rate(schedule)
    if factors:
        rate = optax.chain(_scale_by_factors(factors), rate)
    match config.kind:
        case "sgd":  # Nested as `optax.sgd` nests them: checkpoints hold the state of this structure.
            parts = [decay, optax.chain(optax.trace(config.momentum, nesterov=config.nesterov), rate)]
        case "rmsprop":  # TensorFlow's mean of squares begins at 1, and its momentum takes steps, not gradients.
            mean = optax.scale_by_rms(**arguments, initial_scale=1.0, eps_in_sqrt=True)
            parts = [decay, mean, rate, optax.trace(config.momentum)]
        case "schedule_free_sgd":  # The weights of its mean are relative, so that shares of the peak rate will do.
            steps = optax.chain(clip, decay, rate)
            return optax.contrib.schedule_free(steps, lambda count: schedule(count - 1), **arguments)  # It begins at 1.
        case "adamw":
            parts = [optax.scale_by_adam(**arguments), decay, rate]
        case "lion":
            parts = [optax.scale_by_lion(**arguments), decay, rate]
        case "muon":  # A learning rate of -1 gives the direction.
            direction = optax.contrib.muon(-1.0, muon_weight_dimension_numbers=_muon_dimensions, **arguments)
            parts = [direction, decay, rate]
        case "lamb":
            adam = optax.scale_by_adam(b1=config.momentum, b2=0.999, eps=1e-6)
            parts = [adam, decay, optax.masked(optax.scale_by_trust_ratio(), kernels), rate]
        case "lars":
            trust = optax.masked(optax.scale_by_trust_ratio(**arguments), kernels)
            parts = [decay, trust, rate, optax.trace(config.momentum, nesterov=config.nesterov)]
    return optax.chain(clip, *parts)


def _muon_dimensions(params: Any) -> Any:
    """Returns for each kernel but the last layer's the summed axes and the output axis; None for all else, for Adam.

    A kernel (h, w, in, out) is a matrix from h * w * in to out.
    """

    def dimensions(path: Any, leaf: Any) -> optax.contrib.MuonDimensionNumbers | None:
        if path[-1].key != "kernel" or path[0].key == "head" or leaf.ndim not in (2, 4):
            return None
        return optax.contrib.MuonDimensionNumbers(tuple(range(leaf.ndim - 1)), leaf.ndim - 1)

    return jax.tree.map_with_path(dimensions, params)


def _scale_by_factors(factors: Mapping[tuple[str, ...], float]) -> optax.GradientTransformation:
    """Multiplies updates by the factors of their paths."""

    def factor(path: Any, update: Array) -> Array:
        return update * factors.get(tuple(part.key for part in path), 1.0)

    return optax.stateless(lambda updates, _: jax.tree.map_with_path(factor, updates))


def scale_by_learning_rate(schedule: optax.Schedule) -> optax.GradientTransformationExtraArgs:
    """Multiplies updates by minus the learning rate: the argument `learning_rate` of `update` times the schedule.

    `optax.scale_by_learning_rate` has the rate as a constant; as an argument, one compiled program serves every rate.
    """

    def init(params: optax.Params) -> optax.ScaleByScheduleState:
        return optax.ScaleByScheduleState(count=jnp.zeros((), jnp.int32))

    def update(
        updates: optax.Updates,
        state: Any,
        params: optax.Params | None = None,
        *,
        learning_rate: float | Array,
        **others: Any,
    ) -> tuple[optax.Updates, optax.ScaleByScheduleState]:
        factor = -(learning_rate * schedule(state.count))
        updates = jax.tree.map(lambda update: jnp.asarray(factor, update.dtype) * update, updates)
        return updates, optax.ScaleByScheduleState(count=optax.safe_increment(state.count))

    return optax.GradientTransformationExtraArgs(init, update)  # pyright: ignore[reportArgumentType]  # Its type lacks extra arguments.


def kernels(params: Any) -> Any:
    """Returns True for kernels of convolutions and dense layers, False for biases and normalisation parameters."""
    return jax.tree.map_with_path(lambda path, _: path[-1].key == "kernel", params)
