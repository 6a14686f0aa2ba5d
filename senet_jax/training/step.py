"""One step of training and of evaluation, as pure functions of arrays."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from senet_jax.config import DataConfig, Experiment
from senet_jax.training import augmentation, bad_steps, metrics, random
from senet_jax.training.state import TrainState
from senet_jax.typing import Array

Batch = dict[str, Array]
"""`image` uint8 (n, h, w, c) and `label` int32 (n,); for evaluation also `mask` bool (n,), False for padding."""


def make_train_step(
    model: nn.Module, optimizer: optax.GradientTransformation, config: Experiment
) -> Callable[..., TrainState]:
    """Makes (state, batch, seed, learning_rate) -> state: augmentation, gradient, update, moving average, metrics.

    The last two arguments are the configuration's seed and peak learning rate by default. An optimizer that takes no
    argument `learning_rate` has a learning rate of its own.

    A step with a loss or a gradient whose norm is not finite changes neither the variables nor the metrics; it is noted
    in `state.bad`.
    """
    data, decay = config.data, config.optimizer.ema_decay
    update = optax.with_extra_args_support(optimizer).update

    def train_step(
        state: TrainState,
        batch: Batch,
        seed: int | Array = config.seed,
        learning_rate: float | Array = config.optimizer.learning_rate,
    ) -> TrainState:
        images = _augment(batch["image"], data, seed, state.step)
        images = augmentation.normalise(images, data.mean, data.std)
        if data.cutout:
            images = augmentation.cutout(random.stream(seed, "cutout", state.step), images, data.cutout)

        def loss(params: Any) -> tuple[Array, tuple[Any, metrics.Sums]]:
            variables = state.variables | {"params": params}
            rngs = {"dropout": random.stream(seed, "dropout", state.step)}
            logits, updated = model.apply(variables, images, train=True, mutable=["batch_stats"], rngs=rngs)
            losses = metrics.losses(logits, batch["label"], config.optimizer.label_smoothing)
            return losses.mean(), (updated, metrics.sums(losses, logits, batch["label"]))

        params = state.variables["params"]
        gradient, (updated, sums) = jax.grad(loss, has_aux=True)(params)
        norms = bad_steps.norms(gradient)
        good = jnp.isfinite(sums["loss"]) & jnp.isfinite(norms).all()
        updates, optimizer_state = update(gradient, state.optimizer_state, params, learning_rate=learning_rate)
        variables = {"params": optax.apply_updates(params, updates), **updated}
        average = None if decay is None else _move(state.average, variables, decay, state.step)
        return TrainState(
            step=state.step + 1,
            variables=bad_steps.chosen(good, variables, state.variables),
            optimizer_state=bad_steps.chosen(good, optimizer_state, state.optimizer_state),
            average=bad_steps.chosen(good, average, state.average),
            sums=metrics.add(state.sums, jax.tree.map(lambda x: jnp.where(good, x, jnp.zeros_like(x)), sums)),
            bad=bad_steps.noted(state.bad, good, state.step + 1, sums["loss"] / sums["count"], norms),
        )

    return train_step


def make_eval_step(model: nn.Module, config: Experiment) -> Callable[[dict[str, Any], Batch], metrics.Sums]:
    """Makes (variables, batch) -> sums of loss and correct answers over the examples that are not padding."""

    def eval_step(variables: dict[str, Any], batch: Batch) -> metrics.Sums:
        images = augmentation.normalise(batch["image"], config.data.mean, config.data.std)
        logits: Any = model.apply(variables, images, train=False)
        return metrics.sums(metrics.losses(logits, batch["label"]), logits, batch["label"], batch["mask"])

    return eval_step


def _augment(images: Array, config: DataConfig, seed: int | Array, step: Array) -> Array:
    if config.crop_padding:
        images = augmentation.random_crop(random.stream(seed, "crop", step), images, config.crop_padding)
    if config.flip:
        images = augmentation.random_flip(random.stream(seed, "flip", step), images)
    return images


def _move(average: Any, variables: Any, decay: float, step: Array) -> Any:
    """Updates the average, faster at first, so that it soon forgets the initial values."""
    keep = jnp.minimum(decay, (1 + step) / (10 + step))
    return jax.tree.map(lambda old, new: keep * old + (1 - keep) * new, average, variables)
