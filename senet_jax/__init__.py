"""Squeeze-and-excitation networks (Hu et al., arXiv 1709.01507) in JAX and Flax.

`SqueezeExcite` is the block, `create_model` and `list_models` give the networks. They need jax and flax alone.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from senet_jax.models import create_model, list_models
    from senet_jax.modules import SqueezeExcite

__all__ = ["SqueezeExcite", "__version__", "create_model", "list_models"]
__version__ = "0.1.0"

_HOMES = {
    "SqueezeExcite": "senet_jax.modules",
    "create_model": "senet_jax.models",
    "list_models": "senet_jax.models",
}


def __getattr__(name: str):  # Imported on first use: a wrong command line is refused before jax is imported.
    if name not in _HOMES:
        raise AttributeError(f"module 'senet_jax' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
