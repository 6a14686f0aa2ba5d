"""The network of a configuration."""

import dataclasses
from functools import partial
from typing import Any

import jax.numpy as jnp

from senet_jax.config import ModelConfig
from senet_jax.models import Network, create_model
from senet_jax.modules import BatchNorm, SqueezeExcite
from senet_jax.modules.squeeze_excite import made_class

_OF_TRAINING = {"dtype", "drop_path", "remat", "statistics_group"}
"""Fields of the network that change neither its parameters nor what it computes from them."""


def differing(config: ModelConfig, other: ModelConfig) -> list[str]:
    """Returns the names of the fields by which two networks have other parameters or compute something else."""
    here, there = (dataclasses.asdict(evaluated(each)) for each in (config, other))
    return [name for name in sorted(here) if here[name] != there[name]]


def evaluated(config: ModelConfig) -> ModelConfig:
    """Returns the configuration with the defaults of the fields that change training alone."""
    return dataclasses.replace(config, **{name: getattr(ModelConfig(), name) for name in _OF_TRAINING})


def build_model(config: ModelConfig, num_classes: int) -> Network:
    """Returns the network of a configuration. Raises ValueError if no network has such fields."""

    def given(*names: str) -> dict[str, Any]:
        """Returns the fields that differ from their defaults; a network can lack the others."""
        default = ModelConfig()
        return {name: getattr(config, name) for name in names if getattr(config, name) != getattr(default, name)}

    norm, dtype = partial(BatchNorm, group=config.statistics_group), jnp.dtype(config.dtype)
    make = partial(create_model, config.name, num_classes, dtype=dtype, norm=norm, **given("drop_path", "remat"))
    if config.attention == "none":
        return make(attention=None)
    place, variant = given("placement", "attention_stages"), given("squeeze", "activation", "gate", "use_bias")
    model = make(ratio=config.ratio, **given("attention"), **place)
    lacking = variant | (place if model.attention is None else {})
    attention: Any = model.attention
    if lacking and made_class(attention) is not SqueezeExcite:
        raise ValueError(
            f"config.model.{next(iter(lacking))} is of squeeze-and-excitation, which {config.name} does not have"
        )
    return model.clone(attention=partial(attention, **variant)) if variant else model
