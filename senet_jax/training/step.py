"""One step of training and of evaluation, as pure functions of arrays."""

from collections.abc import Callable, Collection
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
import optax.contrib
from flax import linen as nn

from senet_jax.config import DataConfig, Experiment, OptimizerConfig
from senet_jax.ops import divided
from senet_jax.training import augmentation, bad_steps, metrics, random
from senet_jax.training.parts import Path, join, running_statistics, split
from senet_jax.training.state import TrainState
from senet_jax.typing import Array

Batch = dict[str, Array]
"""`image` uint8 (n, h, w, c) and `label` int32 (n,); for evaluation also `mask` bool (n,), False for padding."""


def make_train_step(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    config: Experiment,
    frozen: Collection[Path] = (),
    *,
    frozen_statistics: bool = False,
) -> Callable[..., TrainState]:
    """Makes (state, batch, seed, learning_rate) -> state: augmentation, gradient, update, moving average, metrics.

    The last two arguments are the configuration's seed and peak learning rate by default. An optimizer that takes no
    argument `learning_rate` has a learning rate of its own.

    A step with a loss or a gradient whose norm is not finite changes neither the variables nor the metrics; it is noted
    in `state.bad`. No gradient is computed for the `frozen` parameters, nor before the first of the others. With
    `frozen_statistics`, every batch normalisation uses its running statistics and keeps them.

    The step is of the whole batch: of the global arrays under `jax.jit`, and of a batch that is `divided` over devices.
    """
    data, decay = config.data, config.optimizer.ema_decay
    is_schedule_free = config.optimizer.kind == "schedule_free_sgd"
    update = optax.with_extra_args_support(optimizer).update

    def loss(
        kept: Any, trained: Any, statistics: Any, examples: Batch, key: Array
    ) -> tuple[Array, tuple[Any, metrics.Sums]]:
        variables, rngs = {"params": join(trained, kept), **statistics}, {"dropout": key}
        with running_statistics(None if frozen_statistics else frozen):
            logits, updated = model.apply(variables, examples["image"], train=True, mutable=["batch_stats"], rngs=rngs)
        losses = _losses(logits, examples, config.optimizer)
        return losses.mean(), (updated, metrics.sums(losses, logits, examples["label"]))

    def train_step(
        state: TrainState,
        batch: Batch,
        seed: int | Array = config.seed,
        learning_rate: float | Array = config.optimizer.learning_rate,
    ) -> TrainState:
        examples, key = _augmented(batch, data, seed, state.step), random.stream(seed, "dropout", state.step)
        trained, kept = split(state.variables["params"], frozen)
        variables = state.variables | {"params": trained}
        gradient, updated, sums = _gradient(partial(loss, kept), variables, examples, key, config)
        (gradient, updated), sums = divided.mean((gradient, updated)), divided.total(sums)
        norms = bad_steps.norms(gradient)
        good = jnp.isfinite(sums["loss"]) & jnp.isfinite(norms).all()
        updates, optimizer_state = update(gradient, state.optimizer_state, trained, learning_rate=learning_rate)
        new = optax.apply_updates(trained, updates)
        variables = {"params": join(new, kept), **updated}
        average = None if decay is None else _move(state.average, variables, decay, state.step)
        if is_schedule_free:
            mean = optax.contrib.schedule_free_eval_params(optimizer_state, new)
            average = {"params": join(mean, kept), **updated}
        return TrainState(
            step=state.step + 1,
            variables=bad_steps.chosen(good, variables, state.variables),
            optimizer_state=bad_steps.chosen(good, optimizer_state, state.optimizer_state),
            average=bad_steps.chosen(good, average, state.average),
            sums=metrics.add(state.sums, jax.tree.map(lambda x: jnp.where(good, x, 0), sums)),
            bad=bad_steps.noted(state.bad, good, state.step + 1, sums["loss"] / sums["count"], norms),
        )

    return train_step


def _losses(logits: Any, examples: Batch, config: OptimizerConfig) -> Array:
    """Returns the loss of each example, by its label and that of an example mixed into it."""
    label, other, share = examples["label"], examples.get("other"), examples.get("share")
    if config.loss == "binary_cross_entropy":
        targets = jax.nn.one_hot(label, logits.shape[1])
        if other is not None and share is not None:
            targets = share[:, None] * targets + (1 - share[:, None]) * jax.nn.one_hot(other, logits.shape[1])
        return metrics.binary_losses(logits, targets)
    losses = metrics.losses(logits, label, config.label_smoothing)
    if other is None or share is None:
        return losses
    return share * losses + (1 - share) * metrics.losses(logits, other, config.label_smoothing)


def _gradient(
    loss: Callable[..., Any], variables: Any, examples: Batch, key: Array, config: Experiment
) -> tuple[Any, Any, metrics.Sums]:
    """Returns the mean gradient over the parts of a batch, computed one by one, the new statistics and the sums.

    A part has whole statistics groups, and each part moves the statistics from before the step: their mean is of the
    whole batch, because they are linear in the moments of the groups. Raises ValueError if the batch is `divided` and
    groups reach over devices.
    """
    params, statistics = variables["params"], {name: values for name, values in variables.items() if name != "params"}
    gradient, parts, group = jax.grad(loss, has_aux=True), config.accumulate, config.model.statistics_group or 1
    if parts == 1:
        found, (updated, sums) = gradient(params, statistics, examples, key)
        return found, updated, sums
    size = examples["label"].shape[0] // parts
    if size % group:
        raise ValueError(
            f"a device has {size} images of each of config.accumulate={parts} parts, which is no multiple of "
            f"config.model.statistics_group={group}; divide the step by jax.jit instead of jax.pmap, or give smaller "
            "groups"
        )

    def add(carry: Any, part: Any) -> tuple[Any, None]:
        total, sums = carry
        found, (updated, more) = gradient(params, statistics, *part)
        change = jax.tree.map(jnp.subtract, updated, statistics)
        return (jax.tree.map(jnp.add, total, (found, change)), metrics.add(sums, more)), None

    def divide(x: Array) -> Array:
        """Takes groups in turn, so that each device's share of the batch has an equal share of every part."""
        return jnp.moveaxis(x.reshape(-1, parts, group, *x.shape[1:]), 1, 0).reshape(parts, size, *x.shape[1:])

    begin = jax.tree.map(jnp.zeros_like, (params, statistics)), metrics.zeros()
    (total, sums), _ = jax.lax.scan(add, begin, (jax.tree.map(divide, examples), jax.random.split(key, parts)))
    found, change = jax.tree.map(lambda x: x / parts, total)
    return found, jax.tree.map(jnp.add, statistics, change), sums


def make_eval_step(model: nn.Module, config: Experiment) -> Callable[[dict[str, Any], Batch], metrics.Sums]:
    """Makes (variables, batch) -> sums of loss and correct answers over the examples that are not padding."""

    def eval_step(variables: dict[str, Any], batch: Batch) -> metrics.Sums:
        images = augmentation.normalise(batch["image"], config.data.mean, config.data.std)
        logits: Any = model.apply(variables, images, train=False)
        return metrics.sums(metrics.losses(logits, batch["label"]), logits, batch["label"], batch["mask"])

    return eval_step


def _augmented(batch: Batch, config: DataConfig, seed: int | Array, step: Array) -> Batch:
    """Returns normalised images and labels; if images are mixed, also `other`, the other labels, and `share`."""
    images, labels = batch["image"], batch["label"]
    if config.crop_padding:
        images = augmentation.random_crop(random.stream(seed, "crop", step), images, config.crop_padding)
    if config.flip:
        images = augmentation.random_flip(random.stream(seed, "flip", step), images)
    images = augmentation.normalise(images, config.mean, config.std)
    if config.cutout:
        images = augmentation.cutout(random.stream(seed, "cutout", step), images, config.cutout)
    if not (config.mixup or config.cutmix):
        return {"image": images, "label": labels}
    key, distance = random.stream(seed, "mix", step), config.repeats
    images, share = augmentation.mix(key, images, mixup=config.mixup, cutmix=config.cutmix, distance=distance)
    others = divided.previous(labels, distance)  # Nearer ones can be copies of the same image.
    return {"image": images, "label": labels, "other": others, "share": jnp.broadcast_to(share, labels.shape)}


def _move(average: Any, variables: Any, decay: float, step: Array) -> Any:
    """Updates the average, faster at first, so that it soon forgets the initial values."""
    keep = jnp.minimum(decay, (1 + step) / (10 + step))
    return jax.tree.map(lambda old, new: keep * old + (1 - keep) * new, average, variables)
