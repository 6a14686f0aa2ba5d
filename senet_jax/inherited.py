"""Preprocessing that a run takes from the weights that it starts from. Standard library only."""

import dataclasses
from collections.abc import Collection
from pathlib import Path
from typing import Any

from senet_jax.config import Experiment
from senet_jax.schema import validate
from senet_jax.workdir import CONFIG, read_config

PREPROCESSING = {
    "weights": ("image_size", "center_crop", "interpolation", "mean", "std"),
    "normalisation": ("mean", "std"),
}
"""The fields of config.data that the words of config.init.preprocessing take from the weights."""


def adopted(config: Experiment, workdir: Path) -> Experiment:
    """Returns the configuration with the preprocessing that the run in the workdir took from the same weights, if any.

    Raises ValueError if its configuration cannot be read.
    """
    fields = PREPROCESSING.get(config.init.preprocessing, ())
    if config.init.weights is None or not fields or not (workdir / CONFIG).is_file():
        return config
    held = read_config(workdir)
    if held.init.weights != config.init.weights:
        return config
    return with_preprocessing(config, {name: getattr(held.data, name) for name in fields})


def check_overrides(config: Experiment, overrides: Collection[str]) -> None:
    """Raises ValueError if one of the fields that the user has set is to come from the weights."""
    if config.init.weights is None:
        return
    for name in PREPROCESSING.get(config.init.preprocessing, ()):
        if f"data.{name}" in overrides:
            others = "" if name in PREPROCESSING["normalisation"] else "normalisation, for mean and std alone, or "
            raise ValueError(
                f"config.data.{name} is given, but config.init.preprocessing={config.init.preprocessing!r} takes it "
                f"from the weights; give --config.init.preprocessing={others}config"
            )


def with_preprocessing(config: Experiment, fields: dict[str, Any]) -> Experiment:
    """Returns the configuration with these fields of its data. Raises ValueError if another field contradicts them."""
    config = dataclasses.replace(
        config,
        data=dataclasses.replace(config.data, **fields),
        init=dataclasses.replace(config.init, preprocessing="config"),
    )
    validate(config)
    return config
