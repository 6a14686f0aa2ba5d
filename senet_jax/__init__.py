"""Squeeze-and-excitation networks (Hu et al., arXiv 1709.01507) in JAX and Flax.

`SqueezeExcite` is the block, `WithSE` puts it into any network, `create_model` makes the networks of `list_models`, and
`cost` counts their parameters and operations. They need jax and flax alone; trained weights need the packages of
`pip install ".[weights]"` in the checkout.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from senet_jax.analysis.cost import cost
    from senet_jax.models import list_models
    from senet_jax.models.insert_se import insert_se
    from senet_jax.modules import SqueezeExcite, WithSE
    from senet_jax.weights import create_model, load_weights
    from senet_jax.weights.source import load

__all__ = [
    "SqueezeExcite",
    "WithSE",
    "__version__",
    "cost",
    "create_model",
    "insert_se",
    "list_models",
    "load",
    "load_weights",
]
__version__ = "0.1.0"

_HOMES = {
    "SqueezeExcite": "senet_jax.modules",
    "WithSE": "senet_jax.modules",
    "cost": "senet_jax.analysis.cost",
    "create_model": "senet_jax.weights",
    "insert_se": "senet_jax.models.insert_se",
    "list_models": "senet_jax.models",
    "load": "senet_jax.weights.source",
    "load_weights": "senet_jax.weights",
}
_PACKAGES = (
    "analysis", "checkpoints", "config", "experiments", "models", "modules", "nnx", "ops", "sweep", "weights"
)  # fmt: skip


def __getattr__(name: str):  # Imports on first use, so that errors of the command line come before jax is imported.
    if name in _PACKAGES:
        return importlib.import_module(f"senet_jax.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'senet_jax' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, *_PACKAGES]
