"""Stages: SE in one stage at a time, and in all, three seeds each.

Command:  python launch.py sweep --config=experiments/ablations/stages.py; see base.py
Paper:    table 13, top-1 / top-5 error: stage 2 23.03 / 6.48 %, 3: 23.04 / 6.32, 4: 22.68 / 6.22, all: 22.28 / 6.03;
          without SE 23.30 / 6.55 %
"""

from senet_jax.experiments.ablations.base import NO_SE, get_config
from senet_jax.sweep import Sweep, axis, chain, product, seeds

__all__ = ["get_config", "sweep"]


def sweep() -> Sweep:
    """15 runs; as in the paper, without stage 5, which the networks of CIFAR do not have."""
    stages = {"stage 2": (2,), "stage 3": (3,), "stage 4": (4,), "all stages": None}
    return product(chain(NO_SE, axis("model.attention_stages", stages)), seeds(3)).against("no SE")
