"""Excitation: the function that makes the gates, three seeds each.

Command:  python launch.py sweep --config=experiments/ablations/excitation.py; see base.py
Paper:    table 12, top-1 / top-5 error: ReLU 23.47 / 6.98 %, tanh 23.00 / 6.38 %, sigmoid 22.28 / 6.03 %
"""

from senet_jax.experiments.ablations.base import get_config
from senet_jax.sweep import Sweep, axis, product, seeds

__all__ = ["get_config", "sweep"]


def sweep() -> Sweep:
    """9 runs."""
    return product(axis("model.gate", ["relu", "tanh", "sigmoid"]), seeds(3)).against("gate=sigmoid")
