"""Placement: the place of SE in a residual block, three seeds each.

Command:  python launch.py sweep --config=experiments/ablations/placement.py; see base.py
Paper:    table 14, top-1 / top-5 error: SE 22.28 / 6.03 %, SE-PRE 22.23 / 6.00, SE-POST 22.78 / 6.35,
          SE-Identity 22.20 / 6.15; table 15: SE_3x3 22.48 / 6.02 %
"""

from senet_jax.experiments.ablations.base import get_config
from senet_jax.sweep import Sweep, axis, product, seeds

__all__ = ["get_config", "sweep"]


def sweep() -> Sweep:
    """15 runs; SE_3x3 stands after the 3x3 convolution of a bottleneck, after the first of a basic block."""
    placements = {"SE": "standard", "SE-PRE": "pre", "SE-POST": "post", "SE-Identity": "identity", "SE_3x3": "inner"}
    return product(axis("model.placement", placements), seeds(3)).against("SE")
