"""Squeeze: how a channel is described, by its mean or its maximum, or both, three seeds each.

Command:  python launch.py sweep --config=experiments/ablations/squeeze.py; see base.py
Paper:    table 11, top-1 / top-5 error: max 22.57 / 6.09 %, mean 22.28 / 6.03 %
"""

from senet_jax.experiments.ablations.base import get_config
from senet_jax.sweep import Sweep, axis, product, seeds

__all__ = ["get_config", "sweep"]


def sweep() -> Sweep:
    """9 runs; the paper does not have "both"."""
    return product(axis("model.squeeze", ["mean", "max", "both"]), seeds(3)).against("squeeze=mean")
