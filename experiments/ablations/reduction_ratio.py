"""Reduction ratio: no SE, and ratios 2 to 32, three seeds each.

Command:  python launch.py sweep --config=experiments/ablations/reduction_ratio.py; see base.py
Paper:    table 10, top-1 / top-5 error: no SE 23.30 / 6.55 %, 2: 22.29 / 6.00, 4: 22.25 / 6.09, 8: 22.26 / 5.99,
          16: 22.28 / 6.03, 32: 22.72 / 6.20
Measured: not yet
"""

from senet_jax.experiments.ablations.base import NO_SE, get_config
from senet_jax.sweep import Sweep, axis, chain, product, seeds

__all__ = ["get_config", "sweep"]


def sweep() -> Sweep:
    """18 runs; the network's own ratio is 16."""
    return product(chain(NO_SE, axis("model.ratio", [2, 4, 8, 16, 32])), seeds(3)).against("no SE")
