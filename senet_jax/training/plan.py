"""An experiment made concrete: its network, its dataset, its durations in steps."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import optax

from senet_jax.config import Experiment
from senet_jax.data import Dataset, open_dataset, train_images
from senet_jax.durations import in_steps, is_due, to_steps
from senet_jax.models import Network
from senet_jax.models.parameters import count_parameters
from senet_jax.modules.conv import with_xla_convolutions
from senet_jax.training.optimizer import make_optimizer, make_schedule
from senet_jax.training.parts import Path, find_parts
from senet_jax.training.starting import Start, read_start, settled
from senet_jax.training.state import TrainState, init_state
from senet_jax.training.step import make_train_step
from senet_jax.typing import Array
from senet_jax.weights.configured import build_model


@dataclass(frozen=True)
class Plan:
    """An experiment as far as it is known before its first step."""

    config: Experiment
    model: Network
    dataset: Dataset
    steps_per_epoch: float
    total_steps: int
    log_every: float
    """Steps from one record of the training loss to the next, on average: those of an epoch need not be whole."""
    eval_every: float
    checkpoint_every: float
    schedule: Callable[[int], Any]
    """Share of the peak learning rate at a step, counted from 0."""
    optimizer: optax.GradientTransformationExtraArgs
    """Optimizer whose `update` takes the peak learning rate as an argument."""
    freeze_statistics_at: int
    """Steps after which batch normalisation uses its running statistics; that of all steps: never."""
    frozen: frozenset[Path]
    """The parameters that are not trained."""

    @cached_property
    def parameters(self) -> int:
        """Number of parameters. Raises ValueError if the network does not take images of this size."""
        return count_parameters(self.model, self.config.data.image_size, self.dataset.channels)

    @cached_property
    def start(self) -> Start | None:
        """Trained variables that a new run starts from; None: random values. Raises as `read_start` does."""
        return read_start(self.config, self.model, self.dataset)

    def learning_rate(self, step: int) -> float:
        """Returns the learning rate of a step, counted from 0."""
        return self.config.optimizer.learning_rate * float(self.schedule(step))

    def is_due(self, step: int, period: float) -> bool:
        """Whether an event with this period, in steps, is due after this step; every event is due after the last."""
        return step == self.total_steps or is_due(step, period)

    def train_step(self, *, frozen_statistics: bool = False) -> Callable[..., TrainState]:
        """Makes (state, batch, seed, learning_rate) -> state, as `make_train_step` does.

        The last two differ most often between the runs of a sweep; as arguments, they leave them one compiled program.
        """
        return make_train_step(
            self.model, self.optimizer, self.config, self.frozen, frozen_statistics=frozen_statistics
        )


def open_plan(config: Experiment) -> Plan:
    """Opens the dataset and makes the plan. Raises ValueError if it is impossible, after the quickest check."""
    build_model(config.model, num_classes=1)
    check_devices(config)
    check_durations(config, train_images(config.data))
    config = settled(config)
    plan = make_plan(config, open_dataset(config.data))
    _ = plan.parameters  # Raises an error before anything is written.
    return plan


def check_durations(config: Experiment, images: int | None) -> None:
    """Raises ValueError if a duration is impossible with so many training images; None: their number is not known."""
    if images:
        _in_steps(config, images)


def make_plan(config: Experiment, dataset: Dataset) -> Plan:
    """Builds the network and turns durations into steps.

    Raises ValueError if a duration is less than a step, or if there is nothing to tell apart.
    """
    if dataset.num_classes < 2:
        raise ValueError(
            f"dataset {dataset.name!r} has the class {', '.join(dataset.class_names)!r} alone; training needs two or "
            "more, and images in folders belong into <split>/<class>/<file>"
        )
    model = build_model(config.model, dataset.num_classes)
    steps = _in_steps(config, len(dataset.train))
    _check_statistics(config, model, dataset.channels)
    frozen, factors = find_parts(model, config, (config.data.image_size, config.data.image_size, dataset.channels))
    optimizer = make_optimizer(config.optimizer, steps["schedule"], factors)
    return Plan(config, model, dataset, optimizer=optimizer, frozen=frozen, **steps)


def _in_steps(config: Experiment, images: int) -> dict[str, Any]:
    """Returns the fields of a `Plan` that depend on the number of training images, all but its dataset.

    Raises ValueError if a duration is less than a step, or does not end before the training.
    """
    steps_per_epoch = images / config.batch_size
    steps: dict[str, Any] = {}
    for name in ("duration", "log_every", "eval_every", "checkpoint_every"):
        number = in_steps(getattr(config, name), steps_per_epoch)
        if round(number) < 1:
            raise ValueError(
                f"config.{name} is {getattr(config, name)!r}, less than one step of {config.batch_size} images out of "
                f"{images}; it must be at least '1 steps'"
            )
        steps[name] = max(1.0, number)
    total = round(steps.pop("duration"))
    time = config.freeze_statistics_at
    frozen_at = total if time is None else to_steps(time, steps_per_epoch)
    if time is not None and frozen_at >= total:
        raise ValueError(
            f"config.freeze_statistics_at is {time!r}, step {frozen_at:,}; it must be before the end of "
            f"training, after {total:,} steps"
        )
    schedule = make_schedule(config.optimizer, total_steps=total, steps_per_epoch=steps_per_epoch)
    return steps | {
        "steps_per_epoch": steps_per_epoch,
        "total_steps": total,
        "freeze_statistics_at": frozen_at,
        "schedule": schedule,
    }


def _check_statistics(config: Experiment, model: Network, channels: int) -> None:
    """Raises ValueError if batch normalisation has a single value for each channel somewhere."""
    if (config.model.statistics_group or config.batch_size // config.accumulate) > 1:
        return
    size, network = config.data.image_size, with_xla_convolutions(model)
    images = jax.ShapeDtypeStruct((1, size, size, channels), jnp.float32)

    def apply(images: Array) -> Any:
        rngs = {name: jax.random.key(0) for name in ("params", "dropout")}
        variables = network.init(rngs, images, train=False)
        return network.apply(variables, images, train=True, mutable=["batch_stats"], rngs=rngs)

    try:
        jax.eval_shape(apply, images)
    except ValueError as error:
        raise ValueError(
            f"config.batch_size is {config.batch_size}, config.accumulate {config.accumulate} and "
            f"config.model.statistics_group {config.model.statistics_group}: {error}"
        ) from error


def initial(plan: Plan, seed: int | Array, variables: Any = None) -> TrainState:
    """Returns the state before the first step, from these variables; None: from random ones."""
    size, optimizer = plan.config.data.image_size, plan.config.optimizer
    return init_state(
        plan.model,
        plan.optimizer,
        (size, size, plan.dataset.channels),
        seed=seed,
        average=optimizer.ema_decay is not None or optimizer.kind == "schedule_free_sgd",
        variables=variables,
        frozen=plan.frozen,
    )


def check_devices(config: Experiment, devices: int | None = None) -> None:
    """Raises ValueError if the number of devices, by default all of jax, does not divide each part of a batch."""
    size, devices, parts = config.batch_size, devices or jax.device_count(), config.accumulate
    if size % (devices * parts):
        unit = parts * math.lcm(devices, config.model.statistics_group or 1)
        nearest = max(1, round(size / unit)) * unit
        whole = "" if parts == 1 else f" in config.accumulate={parts} parts"
        raise ValueError(
            f"config.batch_size is {size}, which {devices} devices do not divide{whole}; the nearest possible is "
            f"{nearest}"
        )
