"""The error of a step that does not fit into a device's memory, with its need and the fields to change."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import jax

from senet_jax.config import Experiment
from senet_jax.workdir import RunError


class OutOfMemoryError(RunError):
    """A program does not fit into the memory of a device."""


@contextmanager
def explained(config: Experiment, step: Any, arguments: Sequence[Any], *, evaluates: bool = False) -> Iterator[None]:
    """Raises OutOfMemoryError in place of jax's error if the body exhausts the memory of a device.

    `step` is the jitted function of the arguments, for which the compiler tells the need; None: it is left out.
    """
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise OutOfMemoryError(described(str(error), config, evaluates, _needed(step, arguments), _limit())) from error


def described(error: str, config: Experiment, evaluates: bool, needed: int | None, limit: int | None) -> str:
    """Returns the message for a text of jax's error; `needed` and `limit` are bytes on a device, None if unknown."""
    field = "eval_batch_size" if evaluates else "batch_size"
    size, devices = getattr(config, field), jax.device_count()
    step = "evaluation" if evaluates else "training"
    needs = "does not fit on a device" if needed is None else f"needs {_gib(needed)} on each device"
    has = "" if limit is None else f", which has {_gib(limit)}"
    advice = [f"a smaller config.{field}" + ("" if evaluates else ", and the learning rate in proportion")]
    if config.model.dtype != "bfloat16":
        advice.append("config.model.dtype=bfloat16")
    if not evaluates:
        advice += [] if config.model.remat else ["config.model.remat=true"]
        parts = 2 * config.accumulate
        if all(size % (parts * each) == 0 for each in (devices, config.model.statistics_group or 1)):
            over = "" if config.model.statistics_group else ", with batch normalisation over each part"
            advice.append(f"config.accumulate={parts}{over}")
    return (
        f"out of memory: a step of {step} with config.{field} {size}, {-(-size // devices)} images on each of "
        f"{devices} device(s), {needs}{has}; give {', or '.join(advice)} ({error.partition(chr(10))[0][:300]})"
    )


def _needed(step: Any, arguments: Sequence[Any]) -> int | None:
    """Returns the bytes that a step needs; None if they are not known."""
    if step is None:
        return None

    def shape(leaf: Any) -> Any:  # The arrays themselves were donated.
        is_array = isinstance(leaf, jax.Array)
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding) if is_array else leaf

    try:
        return total(step.lower(*jax.tree.map(shape, tuple(arguments))).compile().memory_analysis())
    except (jax.errors.JaxRuntimeError, NotImplementedError):  # The latter from `jax.pmap` with several processes.
        return None


def total(sizes: Any) -> int:
    """Returns the bytes of a `memory_analysis`: arguments, results and temporary values together."""
    kept = sizes.argument_size_in_bytes + sizes.output_size_in_bytes - sizes.alias_size_in_bytes
    return kept + sizes.temp_size_in_bytes


def _limit() -> int | None:
    """Returns the bytes that jax may use of a device; None if the platform does not tell, as on CPUs."""
    return (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")


def _gib(size: int) -> str:
    return f"{size / 2**30:.2f} GiB"
