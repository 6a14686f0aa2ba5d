"""Durations of training: a number and its unit, "30 epochs" or "500 steps"."""

from math import inf
from typing import Annotated

from senet_jax.schema import Rule


def to_steps(duration: str, steps_per_epoch: float) -> int:
    """Returns the steps in a duration such as "30 epochs" or "500 steps", rounded to whole steps.

    Raises ValueError if the duration is not a number and a unit.
    """
    return round(in_steps(duration, steps_per_epoch))


def in_steps(duration: str, steps_per_epoch: float) -> float:
    """Returns the steps in a duration, which need not be whole. Raises ValueError as `to_steps` does."""
    parsed = parse(duration)
    if parsed is None:
        raise ValueError(f"the duration is {duration!r}; it must be {_A_DURATION}")
    number, unit = parsed
    return number * steps_per_epoch if unit == "epochs" else number


def is_due(step: int, period: float) -> bool:
    """Whether a step is the nearest one to a multiple of a period of one step or more, which need not be whole."""
    return step == round(round(step / period) * period)


def parse(duration: str) -> tuple[float, str] | None:
    """Returns number and unit of a duration, "steps" or "epochs"; None if it is not a duration."""
    number, _, unit = duration.strip().partition(" ")
    unit = {"step": "steps", "epoch": "epochs"}.get(unit.strip(), unit.strip())
    try:
        value = float(number)
    except ValueError:
        return None
    whole = value % 1 == 0
    return (value, unit) if 0 <= value < inf and (unit == "epochs" or (unit == "steps" and whole)) else None


def _is_positive(duration: str) -> bool:
    parsed = parse(duration)
    return parsed is not None and parsed[0] > 0


def is_before(duration: str, end: str) -> bool:
    """Whether a duration is shorter than another, as far as this is known without the steps of an epoch."""
    first, last = parse(duration), parse(end)
    return not first or not last or first[1] != last[1] or first[0] < last[0]


_A_DURATION = "a number and its unit, such as '30 epochs' or '500 steps'"
DurationOrZero = Annotated[str, Rule(_A_DURATION, lambda text: parse(text) is not None)]
Duration = Annotated[str, Rule(f"{_A_DURATION}, more than 0", _is_positive)]
