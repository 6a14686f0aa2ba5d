"""Analysis of networks and runs: parameters, cost, gates, comparisons, figures."""

from senet_jax.analysis.cost import Cost, NetworkCost
from senet_jax.analysis.excitations import Excitations, Gates, excitations

__all__ = ["Cost", "Excitations", "Gates", "NetworkCost", "excitations"]
