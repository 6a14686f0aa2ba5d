"""No squeeze: gates at every position, from its channels alone, three seeds each.

Command:  python launch.py sweep --config=experiments/ablations/no_squeeze.py; see base.py
Paper:    table 16, top-1 / top-5 error: ResNet-50 23.30 / 6.55 %, NoSqueeze 22.93 / 6.39 %, SE 22.28 / 6.03 %
"""

from senet_jax.experiments.ablations.base import NO_SE, get_config
from senet_jax.sweep import Sweep, axis, chain, product, seeds

__all__ = ["get_config", "sweep"]


def sweep() -> Sweep:
    """9 runs."""
    return product(chain(NO_SE, axis("model.squeeze", {"NoSqueeze": "none", "SE": "mean"})), seeds(3)).against("no SE")
